//! MCP over streamable HTTP at `/mcp`: the front lets requests through to the sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

use super::Server;
use super::gather::gathered;
use crate::manifest::ServeConfig;
use crate::serve::{Front, FrontError, Lifecycle, Principal};

/// What is left once nothing runs, answers on their way, gets so long.
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
        let mcp = self.router(sessions.clone());
        let mut front = tokio::spawn({
            let (front, lifecycle) = (self.front.clone(), lifecycle.clone());
            async move { front.serve(listener, mcp, lifecycle).await }
        });
        shutdown.cancelled().await;
        lifecycle.drain.cancel();
        let cancelled = self.server.drain(grace).await;
        // Streams that wait for what will not come any more.
        sessions.cancel();
        if tokio::time::timeout(LAST_WORDS, &mut front).await.is_err() {
            lifecycle.stop.cancel();
            let _ = front.await;
        }
        cancelled
    }

    fn router(&self, stop: CancellationToken) -> Router {
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
        let sessions = Arc::new(Sessions {
            manager,
            most,
            owners: Mutex::default(),
        });
        let guarded = from_fn(move |request: Request<Body>, next: Next| {
            let sessions = sessions.clone();
            async move { sessions.pass(request, next).await }
        });
        Router::new().fallback_service(service).layer(guarded)
    }
}

/// The sessions that are open, and whose they are: whoever learns the id of another's session can do
/// nothing with it.
struct Sessions {
    manager: Arc<LocalSessionManager>,
    most: usize,
    /// The names of principals by the ids of sessions.
    owners: Mutex<HashMap<String, Arc<str>>>,
}

impl Sessions {
    async fn pass(&self, request: Request<Body>, next: Next) -> Response {
        let principal = request.extensions().get::<Principal>();
        let principal = principal.map(|principal| principal.name.clone());
        if let Some(id) = session_id(request.headers()) {
            let owner = self.owners().get(id).cloned();
            if owner.is_some() && owner != principal {
                // As for one that there is not.
                return (StatusCode::NOT_FOUND, "there is no such session\n").into_response();
            }
        }
        if may_begin_session(&request) && self.manager.sessions.read().await.len() >= self.most {
            return too_many_sessions(self.most);
        }
        let response = next.run(request).await;
        if let (Some(id), Some(principal)) = (session_id(response.headers()), principal) {
            self.keep(id, principal).await;
        }
        match is_events(&response) {
            true => gathered(response).await,
            false => response,
        }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Arc<str>>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep(&self, id: &str, principal: Arc<str>) {
        if self.owners().contains_key(id) {
            return;
        }
        if self.owners().len() > self.most.saturating_mul(2) {
            let open = self.manager.sessions.read().await;
            self.owners().retain(|id, _| open.contains_key(id.as_str()));
        }
        self.owners().insert(id.to_owned(), principal);
    }
}

fn session_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("mcp-session-id")?.to_str().ok()
}

fn is_events(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Whether a request says that it would be the first of a session. What says otherwise and is one all
/// the same, its handler refuses.
fn may_begin_session(request: &Request<Body>) -> bool {
    let headers = request.headers();
    let is_stateless = headers
        .get("mcp-protocol-version")
        .and_then(|version| version.to_str().ok())
        .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28.as_str());
    request.method() == Method::POST && !headers.contains_key("mcp-session-id") && !is_stateless
}

fn too_many_sessions(most: usize) -> Response {
    let message = format!("there are {most} sessions, and no more may be: try again later\n");
    let retry = [(header::RETRY_AFTER, "10")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, message).into_response()
}
