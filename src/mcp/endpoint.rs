//! What is at `/mcp`: requests that the front let through, on their way to sessions and back.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Request, StatusCode, header};
use rmcp::model::ProtocolVersion;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Server;
use super::gather::gathered;
use super::handler::Session;
use super::sessions::Sessions;
use crate::manifest::ServeConfig;
use crate::serve::{self, Principal};

pub(super) struct Endpoint {
    service: StreamableHttpService<Session, Sessions>,
    sessions: Arc<Sessions>,
    max_sessions: usize,
    /// Responses to messages that are on their way.
    answers: TaskTracker,
}

impl Endpoint {
    /// `stop` ends the sessions.
    pub(super) fn new(
        server: &Server,
        config: &ServeConfig,
        stop: CancellationToken,
        answers: TaskTracker,
    ) -> Endpoint {
        let sessions = Arc::new(Sessions::new(config.session_timeout));
        let max_sessions = server.hub.offer().info.max_sessions;
        let config = StreamableHttpServerConfig::default()
            .with_cancellation_token(stop)
            // The front has looked at them, by a list that may change.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            // Here, a timer for each response; `gathered` has one for those that last.
            .with_sse_keep_alive(None)
            .with_max_request_body_bytes(usize::MAX);
        let server = server.clone();
        let factory = move || Ok(server.session());
        Endpoint {
            service: StreamableHttpService::new(factory, sessions.clone(), config),
            sessions,
            max_sessions,
            answers,
        }
    }

    pub(super) async fn respond(&self, request: Request<Body>) -> Response {
        let answer = (request.method() == Method::POST).then(|| self.answers.token());
        let mut response = self.pass(request).await;
        if is_events(&response) {
            response = gathered(response).await;
        }
        response.map(|body| {
            Body::new(serve::Response {
                body,
                _running: answer,
            })
        })
    }

    /// What rmcp does with it.
    async fn handle(&self, request: Request<Body>) -> Response {
        // Boxed: it is large, and what it is in is moved about.
        Box::pin(self.service.handle(request)).await.map(Body::new)
    }

    async fn pass(&self, mut request: Request<Body>) -> Response {
        let principal = request.extensions().get::<Principal>();
        let principal = principal.map_or_else(Arc::default, |it| it.name.clone());
        if let Some(session) = session(request.headers()) {
            // What is no session is not ours to refuse: the stateless protocol ignores it.
            let Ok(answerer) = self.sessions.enter(session, &principal) else {
                return no_session();
            };
            if let Some(answerer) = answerer {
                request.extensions_mut().insert(answerer);
            }
            return self.handle(request).await;
        }
        if may_begin_session(&request) && self.sessions.len() >= self.max_sessions {
            return too_many_sessions(self.max_sessions);
        }
        let response = self.handle(request).await;
        if let Some(session) = session(response.headers()) {
            self.sessions.own(session, principal);
        }
        response
    }
}

fn is_events(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
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
fn may_begin_session(request: &Request<Body>) -> bool {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_stateless = text("mcp-protocol-version")
        .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28.as_str())
        && text("mcp-method").is_some_and(|method| method != "initialize");
    request.method() == Method::POST && !headers.contains_key("mcp-session-id") && !is_stateless
}

fn too_many_sessions(most: usize) -> Response {
    let message = format!("there are {most} sessions, and no more may be: try again later\n");
    let retry = [(header::RETRY_AFTER, "10")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, message).into_response()
}
