//! The front's configuration, which can be reloaded while it runs.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use axum::Router;
use axum::body::Bytes;
use axum::response::Response;
use axum::routing::get;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode};
use tokio_rustls::TlsAcceptor;

use super::auth::Auth;
use super::auth_rate_limit::AuthRateLimit;
use super::body_memory::Bodies;
use super::connection_limit::ConnectionLimit;
use super::host_and_origin::Strangers;
use super::refuse::refuse;
use super::request_rate_limit::RequestRateLimit;
use super::unread_bytes::UnreadBytes;
use super::{FrontError, Lifecycle, resource_metadata, tls};
use toolhost_core::locks;
use toolhost_core::manifest::ServeConfig;

/// Failed tokens that one client may send in a burst, and then per second.
const FAILURES: (u32, u32) = (20, 1);

/// The HTTP front.
#[derive(Clone)]
pub(crate) struct Front(Arc<FrontShared>);

/// What every connection needs: the routes and the shared state.
pub(crate) struct Site {
    pub(super) shared: Arc<FrontShared>,
    /// Handles `/mcp`. Boxed: the future is large, and those around it are moved.
    pub(super) mcp: Box<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response> + Send + Sync>,
    /// Handles other paths.
    pub(super) router: Router,
    pub(crate) lifecycle: Lifecycle,
    /// The longest answer that `mcp` may give.
    pub(super) longest_answer: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// State shared by all requests.
pub(super) struct FrontShared {
    state: RwLock<Arc<FrontState>>,
    /// The listening addresses that were checked: whoever reaches them must authenticate.
    checked: Mutex<Vec<SocketAddr>>,
    pub(super) failures: AuthRateLimit,
    pub(super) slots: Arc<ConnectionLimit>,
}

/// What is derived from one configuration.
pub(super) struct FrontState {
    pub(super) config: ServeConfig,
    pub(super) auth: Auth,
    pub(super) requests: Option<Arc<RequestRateLimit>>,
    pub(super) bodies: Arc<Bodies>,
    pub(super) tls: Option<TlsAcceptor>,
    /// One for each configuration, which may have other hosts.
    pub(super) strangers: Strangers,
}

impl Front {
    /// Reads the certificate. No request is sent to an issuer yet.
    ///
    /// # Errors
    ///
    /// A file cannot be used, or TLS cannot be set up.
    pub(crate) fn new(config: &ServeConfig) -> Result<Front, FrontError> {
        let (burst, a_second) = FAILURES;
        let count = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Ok(Front(Arc::new(FrontShared {
            state: RwLock::new(Arc::new(FrontState::new(config, None)?)),
            checked: Mutex::default(),
            failures: AuthRateLimit::new(count(a_second), count(burst)),
            slots: Arc::new(ConnectionLimit::new(config.max_connections, unsent(config))),
        })))
    }

    /// The counter of response bytes that clients have not read.
    pub(crate) fn unsent(&self) -> UnreadBytes {
        self.0.slots.unsent.clone()
    }

    /// Checks that the server may listen on this address, with this and all later configurations.
    ///
    /// # Errors
    ///
    /// Anyone could call every tool: see [`ServeConfig::check_exposure`].
    pub(crate) fn check_exposure(&self, address: SocketAddr) -> Result<(), FrontError> {
        let mut checked = self.checked();
        let config = &self.0.state().config;
        config.check_exposure(address)?;
        checked.push(address);
        Ok(())
    }

    fn checked(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        locks::lock(&self.0.checked)
    }

    /// Uses another configuration, and reads the certificate again, for requests from now on; a
    /// connection keeps the timeouts and certificate it began with.
    ///
    /// # Errors
    ///
    /// As for [`new`](Front::new) and [`check_exposure`](Front::check_exposure); nothing has
    /// changed then.
    pub(crate) fn reload(&self, config: &ServeConfig) -> Result<(), FrontError> {
        let checked = self.checked();
        for address in &*checked {
            config.check_exposure(*address)?;
        }
        let state = FrontState::new(config, Some(&self.0.state()))?;
        let mut current = locks::write(&self.0.state);
        *current = Arc::new(state);
        drop(current);
        self.0.slots.set_most(config.max_connections);
        self.0.slots.unsent.set_most(most_unsent(config));
        Ok(())
    }

    /// The site for connections: `mcp` answers authenticated requests to `/mcp`.
    ///
    /// `longest_answer` bounds how many answers one connection may wait for at once.
    pub(crate) fn site<M, R>(
        &self,
        mcp: M,
        longest_answer: impl Fn() -> u64 + Send + Sync + 'static,
        lifecycle: Lifecycle,
    ) -> Arc<Site>
    where
        M: Fn(Request<Bytes>) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        Arc::new(Site {
            shared: Arc::clone(&self.0),
            mcp: Box::new(move |request| mcp(request).boxed()),
            router: self.router(&lifecycle),
            lifecycle,
            longest_answer: Box::new(longest_answer),
        })
    }

    fn router(&self, lifecycle: &Lifecycle) -> Router {
        let (shared, seen) = (Arc::clone(&self.0), lifecycle.clone());
        let metadata = get(async move || -> Response {
            resource_metadata::respond(shared.state().auth.oauth())
        });
        let ready = get(async move || match seen.is_draining() {
            false => (StatusCode::OK, "ok\n"),
            true => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        });
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", ready)
            .route(resource_metadata::PATH, metadata.clone())
            .route(&format!("{}/{{*path}}", resource_metadata::PATH), metadata)
            .fallback(async || refuse(StatusCode::NOT_FOUND, "nothing is here: MCP is at /mcp"))
    }
}

fn unsent(config: &ServeConfig) -> UnreadBytes {
    let unsent = UnreadBytes::default();
    unsent.set_most(most_unsent(config));
    unsent
}

fn most_unsent(config: &ServeConfig) -> usize {
    usize::try_from(config.max_unsent.as_u64()).unwrap_or(usize::MAX)
}

impl FrontShared {
    pub(super) fn state(&self) -> Arc<FrontState> {
        let state = locks::read(&self.state);
        Arc::clone(&state)
    }
}

impl FrontState {
    fn new(config: &ServeConfig, before: Option<&FrontState>) -> Result<FrontState, FrontError> {
        let limits = |config: &ServeConfig| (config.rate_limit, config.rate_burst);
        let same = before.filter(|before| limits(&before.config) == limits(config));
        let requests = match same {
            // A reload must not refill allowances.
            Some(before) => before.requests.clone(),
            None => config.rate_limit.map(|rate| {
                let burst = config.rate_burst.unwrap_or(rate);
                Arc::new(RequestRateLimit::new(rate, burst))
            }),
        };
        let sizes = |config: &ServeConfig| (config.max_in_flight, config.max_body);
        let same = before.filter(|before| sizes(&before.config) == sizes(config));
        let bodies = match same {
            Some(before) => Arc::clone(&before.bodies),
            None => Arc::new(Bodies::new(config.max_in_flight, config.max_body)),
        };
        Ok(FrontState {
            bodies,
            auth: Auth::new(&config.auth, before.map(|before| &before.auth))?,
            requests,
            tls: config.tls.as_ref().map(tls::acceptor).transpose()?,
            strangers: Strangers::default(),
            config: config.clone(),
        })
    }
}
