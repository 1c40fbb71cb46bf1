//! The endpoint at `/mcp`: requests that the front admitted, on their way to sessions and back.
//!
//! Most requests are plain tool calls in a session that has begun, and those are answered here.
//! rmcp answers the rest, and refuses what the protocol does not allow.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::Full;
use rmcp::model::{ProtocolVersion, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http_front::{self, BodyRoom, Principal, Short, UnreadBytes};
use crate::server::dispatch::ArrivedCall;
use crate::server::handler::{ClientSession, ReadyHandler};
use crate::server::http::content_negotiation::{self, Accepted, JSON, is_events, of_kind};
use crate::server::http::fast_path::{self, FastCall};
use crate::server::http::refusal;
use crate::server::http::session::{AnswerSlot, JsonOnly, RequestOutcome};
use crate::server::http::session_table::{HttpSessions, SessionBounds};
use crate::server::http::sse::{self, EVENT_STREAM};
use crate::server::http::task_streams::TaskSubscription;
use crate::server::initialize;
use crate::server::json_rpc::message_text;
use crate::server::message_outline::MessagePeek;
use crate::server::server_state::ServerState;
use toolhost_core::manifest::ServeConfig;
use toolhost_core::watch::Owner;

/// An `initialize` of another protocol version is passed on unchanged up to this many bytes.
const MAX_SEEN: usize = 16 << 10;

pub(crate) struct Endpoint {
    service: StreamableHttpService<ClientSession, HttpSessions>,
    sessions: Arc<HttpSessions>,
    server: Arc<ServerState>,
    /// Responses that are still being sent.
    answers: TaskTracker,
}

impl Endpoint {
    /// `stop` ends the sessions.
    pub(crate) fn new(
        server: &Arc<ServerState>,
        config: &ServeConfig,
        stop: CancellationToken,
        answers: TaskTracker,
        unsent: UnreadBytes,
    ) -> Endpoint {
        let bounds = SessionBounds {
            all: config.max_sessions,
            of_one: config.sessions_of_one(),
            timeout: config.session_timeout,
        };
        let sessions = Arc::new(HttpSessions::new(bounds, unsent));
        let config = StreamableHttpServerConfig::default()
            .with_cancellation_token(stop)
            // The front has checked them, against a list that can be reloaded.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            // rmcp would use a timer for each response; `coalesce_first_events` has one for long
            // streams only.
            .with_sse_keep_alive(None)
            // Which sessions get a first event without data is decided here.
            .with_sse_retry(None)
            .with_max_request_body_bytes(usize::MAX);
        let factory = {
            let server = server.clone();
            move || Ok(ClientSession::new(server.clone()))
        };
        Endpoint {
            service: StreamableHttpService::new(factory, sessions.clone(), config),
            sessions,
            server: server.clone(),
            answers,
        }
    }

    pub(crate) async fn respond(&self, request: Request<Bytes>) -> Response {
        let answer = (request.method() == Method::POST).then(|| self.answers.token());
        let accepted = Accepted::of(request.headers());
        let message = request.body().clone();
        let mut response = match unacceptable(&request, accepted) {
            Some(needed) => content_negotiation::not_acceptable(needed),
            None if request.method() == Method::POST => match refusal::refused(&request) {
                Some(refusal) => refusal,
                None => {
                    content_negotiation::fitted(self.pass(request, accepted).await, accepted).await
                }
            },
            None => self.pass(request, accepted).await,
        };
        response = refusal::explained(response, &message).await;
        if is_events(&response) {
            response = sse::coalesce_first_events(response).await;
        }
        // A whole body needs no tracking: shutdown waits for connections that send one.
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| {
            Body::new(http_front::TrackedBody {
                body,
                _running: answer,
            })
        })
    }

    async fn pass(&self, mut request: Request<Bytes>, accepted: Accepted) -> Response {
        content_negotiation::name_both(request.headers_mut());
        let is_json_only = accepted == Accepted::Json;
        if is_json_only {
            request.extensions_mut().insert(JsonOnly);
        }
        let principal = request.extensions().get::<Principal>();
        let principal = principal.cloned().unwrap_or_default();
        let Some(session) = session(request.headers()) else {
            return self.pass_alone(request, principal).await;
        };
        // An unknown session id is not refused here: the stateless protocol ignores it.
        let Ok(session) = self.sessions.enter(session, &principal.name) else {
            return no_session();
        };
        let Some(session) = session else {
            // A client that reconnects after a restart may still send its old session id.
            if request.method() == Method::POST && initialize::is_initialize(request.body()) {
                request.headers_mut().remove("mcp-session-id");
                return self.pass_alone(request, principal).await;
            }
            // rmcp answers `DELETE` of an unknown session with success as well.
            let deletes = request.method() == Method::DELETE;
            return match deletes && is_of_session(request.headers()) {
                true => no_session(),
                false => self.handle(request, None, &principal).await,
            };
        };
        if request.method() == Method::GET && is_of_session(request.headers()) {
            let last = request.headers().get("last-event-id");
            return sse::response(session.events(last.and_then(|last| last.to_str().ok())));
        }
        let Some(handler) = session.handler.ready().cloned() else {
            let handler = session.handler.clone();
            request.extensions_mut().insert(handler);
            return self.handle_in_session(request, None, &principal).await;
        };
        let Some(call) = call(&request) else {
            return self
                .handle_in_session(request, Some(&handler), &principal)
                .await;
        };
        let room = match counted(&mut request).await {
            Ok(room) => room,
            Err(refusal) => return *refusal,
        };
        drop(request);
        let answer = session.call(handler, call, principal, room, is_json_only);
        answer.await.map_or_else(|_| no_session(), outcome_response)
    }

    /// Has rmcp handle a request of a session, and writes its answer.
    async fn handle_in_session(
        &self,
        mut request: Request<Bytes>,
        handler: Option<&ReadyHandler>,
        by: &Principal,
    ) -> Response {
        let slot = AnswerSlot::default();
        request.extensions_mut().insert(slot.clone());
        let response = self.handle(request, handler, by).await;
        slot.take().map_or(response, outcome_response)
    }

    /// Handles a request outside any session, which may begin one.
    async fn pass_alone(&self, mut request: Request<Bytes>, principal: Principal) -> Response {
        let mut admission = None;
        if may_begin_session(&request) && initialize::is_initialize(request.body()) {
            // With `mcp-method` it is of the stateless protocol, which has no `initialize`; rmcp
            // validates that.
            let is_known = !request.headers().contains_key("mcp-method");
            if is_known || request.body().len() > MAX_SEEN {
                match initialize::reduced(request.body(), is_known) {
                    Err(refusal) => return refused(StatusCode::BAD_REQUEST, &refusal),
                    Ok(Some(message)) => *request.body_mut() = message.into(),
                    Ok(None) => {}
                }
            }
            // The version may be in the body alone: none has been negotiated yet.
            if is_known {
                request.headers_mut().remove("mcp-protocol-version");
            }
            admission = self.sessions.admit(&principal.name);
            if admission.is_none() {
                return too_many_sessions();
            }
        }
        let subscription = TaskSubscription::of(&request);
        if let Some(refusal) = subscription.as_ref().and_then(TaskSubscription::refusal) {
            return refusal;
        }
        let response = self.handle(request, None, &principal).await;
        if let Some(session) = session(response.headers()) {
            // A request that does not begin a session was not admitted to one.
            if admission.is_none() {
                self.sessions.end(session);
                return too_many_sessions();
            }
            self.sessions.own(session, principal.name);
            return response;
        }
        drop(admission);
        match subscription {
            Some(subscription) if is_events(&response) => {
                let owner = Owner::Principal(principal.name);
                subscription.join(self.server.clone(), owner, response)
            }
            _ => response,
        }
    }

    /// Has rmcp handle a request. rmcp starts a task for each call, so the call takes its places in
    /// order before.
    async fn handle(
        &self,
        mut request: Request<Bytes>,
        handler: Option<&ReadyHandler>,
        by: &Principal,
    ) -> Response {
        let deletes = request.method() == Method::DELETE;
        let message = request.body().clone();
        let peeked = MessagePeek::of(&message);
        if let Some(refusal) = peeked.refusal() {
            return refused(StatusCode::BAD_REQUEST, &refusal);
        }
        if peeked.waits
            && request.method() == Method::POST
            && let Err(refusal) = counted(&mut request).await
        {
            return *refusal;
        }
        if let Some(outline) = peeked.call {
            let call = outline.call();
            let places = match handler {
                Some(handler) => handler.session.places(&call, Some(by)),
                // Each stateless request is a client of its own, as is one of a session that has
                // not begun.
                None => ClientSession::new(self.server.clone()).places(&call, Some(by)),
            };
            request
                .extensions_mut()
                .insert(ArrivedCall::new(call, places));
            if let Some(message) = outline.for_rmcp() {
                *request.body_mut() = message.into();
            }
        }
        drop(message);
        let request = request.map(Full::new);
        // Boxed: it is large, and the futures around it are moved.
        let mut response = Box::pin(self.service.handle(request)).await.map(Body::new);
        // It has been handled, and clients take 202 for a failure.
        if deletes && response.status() == StatusCode::ACCEPTED {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response
    }
}

/// Counts a request for as long as it waits for its response, since its work goes on when its
/// connection is gone. Returns the reservation of its body, if it came through a front.
///
/// # Errors
///
/// The response if there is no room.
async fn counted(request: &mut Request<Bytes>) -> Result<Option<BodyRoom>, Box<Response>> {
    if let Some(short) = request.extensions_mut().remove::<Short>() {
        let room = short.room().await?;
        request.extensions_mut().insert(room);
    }
    Ok(request.extensions().get().cloned())
}

/// The content type that a request needs and its client does not accept.
fn unacceptable(request: &Request<Bytes>, accepted: Accepted) -> Option<&'static str> {
    let listens = || {
        let method = request.headers().get("mcp-method");
        method.is_some_and(|method| method == "subscriptions/listen")
    };
    match *request.method() {
        Method::POST if accepted == Accepted::Nothing => {
            Some("both application/json and text/event-stream")
        }
        Method::POST if !accepted.takes_events() && listens() => Some(EVENT_STREAM),
        Method::GET if !accepted.takes_events() => Some(EVENT_STREAM),
        _ => None,
    }
}

/// Reads a tool call, if the request leaves nothing for rmcp to check.
fn call(request: &Request<Bytes>) -> Option<FastCall> {
    let headers = request.headers();
    let is_usual = request.method() == Method::POST && is_of_session(headers);
    match is_usual {
        true => fast_path::read(request.body()),
        false => None,
    }
}

/// Whether the protocol version, if given, is one with sessions.
fn is_of_session(headers: &HeaderMap) -> bool {
    let Some(version) = headers.get("mcp-protocol-version") else {
        return true;
    };
    let mut known = ProtocolVersion::KNOWN_VERSIONS.iter();
    known.any(|known| version == known.as_str() && *known < ProtocolVersion::V_2026_07_28)
}

fn outcome_response(answer: RequestOutcome) -> Response {
    match answer {
        RequestOutcome::Json(answer) => json(&answer),
        RequestOutcome::Stream(reader) => sse::response(reader),
    }
}

fn refused(status: StatusCode, answer: &ServerJsonRpcMessage) -> Response {
    let mut response = json(answer);
    *response.status_mut() = status;
    response
}

fn json(answer: &ServerJsonRpcMessage) -> Response {
    of_kind(JSON, Body::from(message_text(answer)))
}

/// The session id of a message; empty, which matches no session, if it is not text.
fn session(headers: &HeaderMap) -> Option<&str> {
    let session = headers.get("mcp-session-id")?;
    Some(session.to_str().unwrap_or_default())
}

/// As for a session that has ended: whose it is must not show.
fn no_session() -> Response {
    (StatusCode::NOT_FOUND, "Not Found: Session not found\n").into_response()
}

/// Whether a request may begin a session. One that claims the stateless protocol and another method
/// is left to rmcp to refuse.
fn may_begin_session(request: &Request<Bytes>) -> bool {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_stateless = text("mcp-protocol-version")
        .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28.as_str())
        && text("mcp-method").is_some_and(|method| method != "initialize");
    request.method() == Method::POST && !headers.contains_key("mcp-session-id") && !is_stateless
}

fn too_many_sessions() -> Response {
    let message = "too many sessions, in total or for this client (`max-sessions`, `max-sessions-per-client`): \
                   try again later\n";
    let retry = [(header::RETRY_AFTER, "10")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, message).into_response()
}
