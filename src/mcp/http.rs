//! MCP over streamable HTTP at `/mcp`: the front lets requests through to the sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, header};
use rmcp::model::ProtocolVersion;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Server;
use super::gather::gathered;
use crate::manifest::ServeConfig;
use crate::serve::{self, Front, FrontError, Lifecycle, Principal};

/// What is left once nothing runs, answers on their way, gets so long, and then what does not end by
/// itself.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a server cannot be reached as its configuration says.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct HttpError(#[from] FrontError);

/// A [`Server`] that a network can reach.
#[derive(Clone)]
pub struct HttpServer {
    server: Server,
    front: Front,
    config: ServeConfig,
}

impl Server {
    /// This server over HTTP, to whom `config` names.
    ///
    /// # Errors
    ///
    /// A file of the configuration cannot be used.
    pub fn http(&self, config: &ServeConfig) -> Result<HttpServer, HttpError> {
        Ok(HttpServer {
            server: self.clone(),
            front: Front::new(config)?,
            config: config.clone(),
        })
    }
}

impl HttpServer {
    /// Takes another configuration, for requests that come from now on; `max-sessions` and
    /// `session-timeout` stay as they are.
    ///
    /// # Errors
    ///
    /// As of [`Server::http`]; then nothing has changed.
    pub fn reload(&self, config: &ServeConfig) -> Result<(), HttpError> {
        Ok(self.front.reload(config)?)
    }

    /// Serves whoever connects, until `shutdown`: then nothing new is taken, what runs gets `grace`, and
    /// is cancelled. Returns how many requests had to be.
    ///
    /// It does not look at where it listens: see [`ServeConfig::check_exposure`].
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> usize {
        let lifecycle = Lifecycle::default();
        let sessions = CancellationToken::new();
        let answers = TaskTracker::new();
        let mcp = self.router(sessions.clone(), answers.clone());
        let mut front = tokio::spawn({
            let (front, lifecycle) = (self.front.clone(), lifecycle.clone());
            async move { front.serve(listener, mcp, lifecycle).await }
        });
        shutdown.cancelled().await;
        lifecycle.drain.cancel();
        let cancelled = self.server.drain(grace).await;
        answers.close();
        let _ = tokio::time::timeout(LAST_WORDS, answers.wait()).await;
        // Streams that wait for what will not come any more.
        sessions.cancel();
        if tokio::time::timeout(LAST_WORDS, &mut front).await.is_err() {
            lifecycle.stop.cancel();
            let _ = front.await;
        }
        cancelled
    }

    /// `answers` are the responses to messages that are on their way.
    fn router(&self, stop: CancellationToken, answers: TaskTracker) -> Router {
        let mut manager = LocalSessionManager::default();
        manager.session_config.keep_alive = Some(self.config.session_timeout);
        let manager = Arc::new(manager);
        let config = StreamableHttpServerConfig::default()
            .with_cancellation_token(stop)
            // The front has looked at them, by a list that may change.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(usize::MAX);
        let server = self.server.clone();
        let service =
            StreamableHttpService::new(move || Ok(server.session()), manager.clone(), config);
        let most = self.server.hub.offer().info.max_sessions;
        let owners = Arc::new(Owners::default());
        let tracked = from_fn(move |request: Request<Body>, next: Next| {
            let answer = (request.method() == Method::POST).then(|| answers.token());
            async move {
                let mut response = next.run(request).await;
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
        });
        let guarded = from_fn(move |request: Request<Body>, next: Next| {
            let (manager, owners) = (manager.clone(), owners.clone());
            async move {
                let principal = request.extensions().get::<Principal>();
                let principal = principal.map_or_else(Arc::default, |it| it.name.clone());
                if let Some(session) = session(request.headers()) {
                    let is_open = manager.sessions.read().await.contains_key(session);
                    // What is no session is not ours to refuse: the stateless protocol ignores it.
                    return match !is_open || owners.may_use(session, &principal) {
                        true => next.run(request).await,
                        false => no_session(),
                    };
                }
                if may_begin_session(&request) && manager.sessions.read().await.len() >= most {
                    return too_many_sessions(most);
                }
                let response = next.run(request).await;
                if let Some(session) = session(response.headers()) {
                    let sessions = manager.sessions.read().await;
                    owners.add(session, principal, |session| sessions.contains_key(session));
                }
                response
            }
        });
        Router::new()
            .fallback_service(service)
            .layer(guarded)
            .layer(tracked)
    }
}

/// Who began each session: that its name is hard to guess does not make it a second password.
#[derive(Default)]
struct Owners(Mutex<HashMap<String, Arc<str>>>);

impl Owners {
    fn may_use(&self, session: &str, principal: &str) -> bool {
        let owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owners
            .get(session)
            .is_some_and(|owner| **owner == *principal)
    }

    fn add(&self, session: &str, principal: Arc<str>, is_open: impl Fn(&str) -> bool) {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are over are left out, when it is time to look for room anyway.
        if owners.len() == owners.capacity() {
            owners.retain(|session, _| is_open(session));
        }
        owners.insert(session.to_owned(), principal);
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
