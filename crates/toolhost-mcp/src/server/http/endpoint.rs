//! What is at `/mcp`: requests that the front let through, on their way to sessions and back.
//!
//! Calls of tools in a session that has begun are most of what comes, and are answered here, where
//! there is nothing else to them. rmcp answers the rest, and refuses what the protocol does not allow.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::Full;
use rmcp::model::{ProtocolVersion, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http_front::{self, Principal, Room, Short, Unsent};
use crate::manifest::ServeConfig;
use crate::server::dispatch::ArrivedCall;
use crate::server::handler::{ClientSession, ReadyHandler};
use crate::server::http::accept::{self, Accepted, JSON, is_events, of_kind};
use crate::server::http::fast_path::{self, FastCall};
use crate::server::http::refusal;
use crate::server::http::session::{Answer, AnswerSlot, JsonOnly};
use crate::server::http::sessions::{Bounds, HttpSessions};
use crate::server::http::sse::{self, EVENT_STREAM};
use crate::server::http::task_streams::TaskSubscription;
use crate::server::initialize;
use crate::server::json_rpc::message_text;
use crate::server::message::Peeked;
use crate::server::server_state::ServerState;
use crate::watch::Owner;

/// An `initialize` of another protocol is passed on as it is up to so many bytes.
const MAX_SEEN: usize = 16 << 10;

pub(crate) struct Endpoint {
    service: StreamableHttpService<ClientSession, HttpSessions>,
    sessions: Arc<HttpSessions>,
    server: Arc<ServerState>,
    /// Responses to messages that are on their way.
    answers: TaskTracker,
}

impl Endpoint {
    /// `stop` ends the sessions.
    pub(crate) fn new(
        server: &Arc<ServerState>,
        config: &ServeConfig,
        stop: CancellationToken,
        answers: TaskTracker,
        unsent: Unsent,
    ) -> Endpoint {
        let bounds = Bounds {
            all: config.max_sessions,
            of_one: config.sessions_of_one(),
            timeout: config.session_timeout,
        };
        let sessions = Arc::new(HttpSessions::new(bounds, unsent));
        let config = StreamableHttpServerConfig::default()
            .with_cancellation_token(stop)
            // The front has looked at them, by a list that may change.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            // Here, a timer for each response; `coalesce_first_events` has one for those that last.
            .with_sse_keep_alive(None)
            // Which sessions have a first event without data is known here.
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
        let mut response = match lacks(&request, accepted) {
            Some(needed) => accept::not_acceptable(needed),
            None if request.method() == Method::POST => match refusal::refused(&request) {
                Some(refusal) => refusal,
                None => accept::fitted(self.pass(request, accepted).await, accepted).await,
            },
            None => self.pass(request, accepted).await,
        };
        response = refusal::explained(response, &message).await;
        if is_events(&response) {
            response = sse::coalesce_first_events(response).await;
        }
        // Whoever ends the server waits for connections that send what is whole.
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| {
            Body::new(http_front::Response {
                body,
                _running: answer,
            })
        })
    }

    async fn pass(&self, mut request: Request<Bytes>, accepted: Accepted) -> Response {
        accept::name_both(request.headers_mut());
        let is_json_only = accepted == Accepted::Json;
        if is_json_only {
            request.extensions_mut().insert(JsonOnly);
        }
        let principal = request.extensions().get::<Principal>();
        let principal = principal.cloned().unwrap_or_default();
        let Some(session) = session(request.headers()) else {
            return self.pass_alone(request, principal).await;
        };
        // What is no session is not ours to refuse: the stateless protocol ignores it.
        let Ok(session) = self.sessions.enter(session, &principal.name) else {
            return no_session();
        };
        let Some(session) = session else {
            // A client that begins anew after a restart may still name the session of before.
            if request.method() == Method::POST && initialize::is_initialize(request.body()) {
                request.headers_mut().remove("mcp-session-id");
                return self.pass_alone(request, principal).await;
            }
            // rmcp ends what is not there as well.
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
        answer.await.map_or_else(|_| no_session(), written)
    }

    /// What rmcp does with it; its answer is written here.
    async fn handle_in_session(
        &self,
        mut request: Request<Bytes>,
        handler: Option<&ReadyHandler>,
        by: &Principal,
    ) -> Response {
        let slot = AnswerSlot::default();
        request.extensions_mut().insert(slot.clone());
        let response = self.handle(request, handler, by).await;
        slot.take().map_or(response, written)
    }

    /// What is of no session, and may begin one.
    async fn pass_alone(&self, mut request: Request<Bytes>, principal: Principal) -> Response {
        let mut admission = None;
        if may_begin_session(&request) && initialize::is_initialize(request.body()) {
            // What says its method there is of the protocol that has no `initialize`: rmcp sees what it says.
            let is_known = !request.headers().contains_key("mcp-method");
            if is_known || request.body().len() > MAX_SEEN {
                match initialize::reduced(request.body(), is_known) {
                    Err(refusal) => return refused(StatusCode::BAD_REQUEST, &refusal),
                    Ok(Some(message)) => *request.body_mut() = message.into(),
                    Ok(None) => {}
                }
            }
            // It may go by the version in its body alone: what is agreed upon is not known before.
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
            // What was not seen to begin a session has no place for one.
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

    /// What rmcp does with it. It begins a call in a task of its own: that takes its places in order before.
    async fn handle(
        &self,
        mut request: Request<Bytes>,
        handler: Option<&ReadyHandler>,
        by: &Principal,
    ) -> Response {
        let deletes = request.method() == Method::DELETE;
        let message = request.body().clone();
        let peeked = Peeked::of(&message);
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
                // Each request is a client of its own, and so is one of a session that has not begun.
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
        // Boxed: it is large, and what it is in is moved about.
        let mut response = Box::pin(self.service.handle(request)).await.map(Body::new);
        // Nothing is left to be done, and clients take 202 for a failure.
        if deletes && response.status() == StatusCode::ACCEPTED {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response
    }
}

/// Has a request that waits for its answer count for as long as it does: what is done for it goes on when its
/// connection is gone. The room that it has, where it came by a front.
///
/// # Errors
///
/// The response where there is no room.
async fn counted(request: &mut Request<Bytes>) -> Result<Option<Room>, Box<Response>> {
    if let Some(short) = request.extensions_mut().remove::<Short>() {
        let room = short.room().await?;
        request.extensions_mut().insert(room);
    }
    Ok(request.extensions().get().cloned())
}

/// The kind of answer that a request cannot do without, and its client does not take.
fn lacks(request: &Request<Bytes>, accepted: Accepted) -> Option<&'static str> {
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

/// A call of a tool, in a request that has nothing for rmcp to look at.
fn call(request: &Request<Bytes>) -> Option<FastCall> {
    let headers = request.headers();
    let is_usual = request.method() == Method::POST && is_of_session(headers);
    match is_usual {
        true => fast_path::read(request.body()),
        false => None,
    }
}

/// Whether the version of the protocol, where it is said, is one that has sessions.
fn is_of_session(headers: &HeaderMap) -> bool {
    let Some(version) = headers.get("mcp-protocol-version") else {
        return true;
    };
    let mut known = ProtocolVersion::KNOWN_VERSIONS.iter();
    known.any(|known| version == known.as_str() && *known < ProtocolVersion::V_2026_07_28)
}

fn written(answer: Answer) -> Response {
    match answer {
        Answer::Json(answer) => json(&answer),
        Answer::Stream(reader) => sse::response(reader),
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

/// The session that a message says it is of; an empty name, which none has, where it is no text.
fn session(headers: &HeaderMap) -> Option<&str> {
    let session = headers.get("mcp-session-id")?;
    Some(session.to_str().unwrap_or_default())
}

/// As of one that is over: whose it is, is not said.
fn no_session() -> Response {
    (StatusCode::NOT_FOUND, "Not Found: Session not found\n").into_response()
}

/// Whether a request may be the first of a session. What says that it is of the stateless protocol and
/// some other method than it is, is refused for that.
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
