//! MCP over streamable HTTP at `/mcp`: the HTTP front admits requests to the sessions.

mod content_negotiation;
mod endpoint;
mod event_log;
mod fast_path;
mod refusal;
mod session;
mod session_table;
mod sse;
mod stream_routing;
mod task_streams;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::Request;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::http_front::{Front, FrontError, Lifecycle, Listener, Site, accept};
use crate::server::http::endpoint::Endpoint;
use crate::server::server_state::ServerState;
use toolhost_core::manifest::ServeConfig;

/// Once no request runs, responses still being sent get this long, and after that whatever does not
/// end by itself.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a server cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct HttpError(#[from] FrontError);

/// A [`Server`](crate::server::Server) for the network.
#[derive(Clone)]
pub struct HttpServer {
    server: Arc<ServerState>,
    front: Front,
    config: ServeConfig,
}

impl HttpServer {
    pub(crate) fn new(
        server: Arc<ServerState>,
        config: &ServeConfig,
    ) -> Result<HttpServer, HttpError> {
        Ok(HttpServer {
            server,
            front: Front::new(config)?,
            config: config.clone(),
        })
    }

    /// Uses another configuration for requests from now on; `max-sessions` and `session-timeout`
    /// stay.
    ///
    /// # Errors
    ///
    /// As for [`Server::http`](crate::server::Server::http); or with this configuration anyone who
    /// reaches the [listener](HttpServer::serve) or the [service](HttpServer::service) could call
    /// every tool. Nothing has changed then.
    pub fn reload(&self, config: &ServeConfig) -> Result<(), HttpError> {
        Ok(self.front.reload(config)?)
    }

    /// Serves clients until `shutdown`: then it accepts nothing new, gives running requests
    /// `grace`, and cancels the rest. Returns how many were cancelled.
    ///
    /// ```
    /// # mod toolhost {
    /// #     pub use toolhost_core::*;
    /// #     pub use toolhost_mcp::server as mcp;
    /// # }
    /// use std::time::Duration;
    ///
    /// use tokio::net::TcpListener;
    /// use toolhost::manifest::ServeConfig;
    /// use toolhost::mcp::{Server, ServerInfo};
    /// use toolhost::{CancellationToken, Manifest, ToolHost};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let host = ToolHost::load(Manifest::default()).await?;
    /// let server = Server::new(host, ServerInfo::default()).http(&ServeConfig::default())?;
    /// // Clients connect to http://127.0.0.1:PORT/mcp. Other addresses need authentication.
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let shutdown = CancellationToken::new();
    /// # shutdown.cancel();
    /// let cancelled = server.serve(listener, shutdown, Duration::from_secs(5)).await?;
    /// assert_eq!(cancelled, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Anyone who reaches the listener's address could call every tool: see
    /// [`ServeConfig::check_exposure`].
    pub async fn serve(
        &self,
        listener: impl Listener,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> Result<usize, HttpError> {
        if let Some(address) = listener.address().map_err(FrontError::Address)? {
            self.front.check_exposure(address)?;
        }
        Ok(self.serve_unchecked(listener, shutdown, grace).await)
    }

    /// As [`serve`](HttpServer::serve), on any address.
    pub async fn serve_unchecked(
        &self,
        listener: impl Listener,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> usize {
        let serving = Serving::new(self);
        let mut accepting = tokio::spawn(accept(listener, serving.site.clone()));
        shutdown.cancelled().await;
        let cancelled = serving.drain(grace).await;
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, &mut accepting)
            .await
            .is_err()
        {
            serving.site.lifecycle.stop.cancel();
            let _ = accepting.await;
        }
        cancelled
    }

    /// This server as a [`tower::Service`], to be nested in a server of your own. Connections are
    /// your server's: TLS, their number and idle time. The rest of the configuration holds here:
    /// authentication, hosts, origins, rates, body size.
    ///
    /// # Errors
    ///
    /// The configuration has no authentication, and who can reach your server is not known here.
    pub fn service(&self) -> Result<McpService, HttpError> {
        // Judged as if it listened on all addresses.
        let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let checked = self.front.check_exposure(anywhere);
        checked.map_err(|_| FrontError::Nested)?;
        Ok(self.service_unchecked())
    }

    /// As [`service`](HttpServer::service), whoever can reach it.
    pub fn service_unchecked(&self) -> McpService {
        McpService(Arc::new(Serving::new(self)))
    }
}

/// A running server.
struct Serving {
    site: Arc<Site>,
    server: Arc<ServerState>,
    sessions: CancellationToken,
    answers: TaskTracker,
    _following: AbortOnDropHandle<()>,
}

impl Serving {
    fn new(http: &HttpServer) -> Serving {
        let sessions = CancellationToken::new();
        let answers = TaskTracker::new();
        let endpoint = Arc::new(Endpoint::new(
            &http.server,
            &http.config,
            sessions.clone(),
            answers.clone(),
            http.front.unsent(),
        ));
        let server = http.server.clone();
        let longest = move || server.catalogue().host.longest_output();
        let mcp = move |request| {
            let endpoint = endpoint.clone();
            async move { endpoint.respond(request).await }
        };
        Serving {
            site: http.front.site(mcp, longest, Lifecycle::default()),
            server: http.server.clone(),
            sessions,
            answers,
            _following: http.server.following(),
        }
    }

    /// Accepts no more requests, gives running ones `grace`, and ends the sessions.
    async fn drain(&self, grace: Duration) -> usize {
        self.site.lifecycle.drain.cancel();
        let cancelled = self.server.drain(grace).await;
        self.answers.close();
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, self.answers.wait()).await;
        // Ends streams that wait for events.
        self.sessions.cancel();
        cancelled
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.sessions.cancel();
    }
}

/// MCP over streamable HTTP as a [`tower::Service`], from [`HttpServer::service`]. Every path that it is nested under
/// is MCP. Clones serve the same sessions; when the last one is dropped, these end.
///
/// ```
/// # mod toolhost {
/// #     pub use toolhost_core::*;
/// #     pub use toolhost_mcp::server as mcp;
/// # }
/// use toolhost::manifest::{AuthConfig, ServeConfig, TokenConfig, TokenDigest};
/// use toolhost::mcp::{Server, ServerInfo};
/// use toolhost::{Manifest, ToolHost};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut auth = AuthConfig::default();
/// auth.tokens = vec![TokenConfig::new("ci", TokenDigest::of("a secret of 256 bits"))];
/// let serve = ServeConfig::default().with_auth(auth);
/// let host = ToolHost::load(Manifest::default()).await?;
/// let mcp = Server::new(host, ServerInfo::of(&serve)).http(&serve)?.service()?;
///
/// let app: axum::Router = axum::Router::new().nest_service("/tools", mcp);
/// # Ok(())
/// # }
/// ```
///
/// Rates without authentication are counted by the address that
/// [`ConnectInfo`](axum::extract::ConnectInfo) has in a request, or for all together where there is none.
#[derive(Clone)]
pub struct McpService(Arc<Serving>);

impl McpService {
    /// Accepts no more requests, gives running ones `grace`, then cancels them. Returns how many
    /// were cancelled.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.0.drain(grace).await
    }
}

impl std::fmt::Debug for McpService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let catalogue = self.0.server.catalogue();
        f.debug_tuple("McpService")
            .field(&catalogue.loaded)
            .finish()
    }
}

impl<B> tower::Service<Request<B>> for McpService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let serving = self.0.clone();
        let client = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let client = client.map(|ConnectInfo(address)| address.ip());
        let request = request.map(Body::new);
        Box::pin(async move { Ok(serving.site.respond_within(request, client).await) })
    }
}
