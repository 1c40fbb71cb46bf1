//! The front of the server, and its configuration, which may change while it runs.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::Router;
use axum::body::Bytes;
use axum::response::Response;
use axum::routing::get;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode};
use tokio_rustls::TlsAcceptor;

use super::auth::Auth;
use super::bodies::Bodies;
use super::failures::Allowance;
use super::names::Strangers;
use super::rate::Requests;
use super::refuse::refuse;
use super::slots::Slots;
use super::unsent::Unsent;
use super::{FrontError, Lifecycle, metadata, tls};
use crate::manifest::ServeConfig;

/// Tokens that one client may get wrong at once, and then in a second.
const FAILURES: (u32, u32) = (20, 1);

/// What stands between a network and a router.
#[derive(Clone)]
pub(crate) struct Front(Arc<Shared>);

/// What connections are to.
pub(crate) struct Site {
    pub(super) shared: Arc<Shared>,
    /// What answers at `/mcp`, boxed: it is large, and what it is in is moved about.
    pub(super) mcp: Box<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response> + Send + Sync>,
    /// What is elsewhere.
    pub(super) router: Router,
    pub(crate) lifecycle: Lifecycle,
    /// How long an answer of `mcp` can be.
    pub(super) longest_answer: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// What all requests see.
pub(super) struct Shared {
    state: RwLock<Arc<State>>,
    /// The addresses that it was checked for: who reaches them is not to call tools unasked.
    checked: Mutex<Vec<SocketAddr>>,
    pub(super) failures: Allowance,
    pub(super) slots: Arc<Slots>,
}

/// What comes of one configuration.
pub(super) struct State {
    pub(super) config: ServeConfig,
    pub(super) auth: Auth,
    pub(super) requests: Option<Arc<Requests>>,
    pub(super) bodies: Arc<Bodies>,
    pub(super) tls: Option<TlsAcceptor>,
    /// Logged once for each configuration: another may have other hosts.
    pub(super) strangers: Strangers,
}

impl Front {
    /// Reads the certificate. No request is sent to an issuer yet.
    ///
    /// # Errors
    ///
    /// A file that cannot be used, or no TLS at all.
    pub(crate) fn new(config: &ServeConfig) -> Result<Front, FrontError> {
        let (burst, a_second) = FAILURES;
        let count = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Ok(Front(Arc::new(Shared {
            state: RwLock::new(Arc::new(State::new(config, None)?)),
            checked: Mutex::default(),
            failures: Allowance::new(count(a_second), count(burst)),
            slots: Arc::new(Slots::new(config.max_connections, unsent(config))),
        })))
    }

    /// What counts what clients have not taken yet.
    pub(crate) fn unsent(&self) -> Unsent {
        self.0.slots.unsent.clone()
    }

    /// Whether the server may be reached there, by this configuration and those that follow it.
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
        self.0
            .checked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes another configuration, and reads the certificate again. Requests that come from now on go
    /// by it; timeouts and the certificate are those of a connection's beginning.
    ///
    /// # Errors
    ///
    /// As of [`new`](Front::new) and [`check_exposure`](Front::check_exposure); then nothing has changed.
    pub(crate) fn reload(&self, config: &ServeConfig) -> Result<(), FrontError> {
        let checked = self.checked();
        for address in &*checked {
            config.check_exposure(*address)?;
        }
        let state = State::new(config, Some(&self.0.state()))?;
        let mut current = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(state);
        drop(current);
        self.0.slots.set_most(config.max_connections);
        self.0.slots.unsent.set_most(most_unsent(config));
        Ok(())
    }

    /// What connections are to: `mcp` answers what comes to `/mcp`, from whom the configuration names.
    ///
    /// What `longest_answer` says bounds how many answers one connection waits for at once.
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
        let metadata =
            get(async move || -> Response { metadata::respond(shared.state().auth.oauth()) });
        let ready = get(async move || match seen.is_draining() {
            false => (StatusCode::OK, "ok\n"),
            true => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        });
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", ready)
            .route(metadata::PATH, metadata.clone())
            .route(&format!("{}/{{*path}}", metadata::PATH), metadata)
            .fallback(async || refuse(StatusCode::NOT_FOUND, "nothing is here: MCP is at /mcp"))
    }
}

fn unsent(config: &ServeConfig) -> Unsent {
    let unsent = Unsent::default();
    unsent.set_most(most_unsent(config));
    unsent
}

fn most_unsent(config: &ServeConfig) -> usize {
    usize::try_from(config.max_unsent.as_u64()).unwrap_or(usize::MAX)
}

impl Shared {
    pub(super) fn state(&self) -> Arc<State> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&state)
    }
}

impl State {
    fn new(config: &ServeConfig, before: Option<&State>) -> Result<State, FrontError> {
        let limits = |config: &ServeConfig| (config.rate_limit, config.rate_burst);
        let same = before.filter(|before| limits(&before.config) == limits(config));
        let requests = match same {
            // What clients have used up they have not got back.
            Some(before) => before.requests.clone(),
            None => config.rate_limit.map(|rate| {
                let burst = config.rate_burst.unwrap_or(rate);
                Arc::new(Requests::new(rate, burst))
            }),
        };
        let sizes = |config: &ServeConfig| (config.max_in_flight, config.max_body);
        let same = before.filter(|before| sizes(&before.config) == sizes(config));
        let bodies = match same {
            Some(before) => Arc::clone(&before.bodies),
            None => Arc::new(Bodies::new(config.max_in_flight, config.max_body)),
        };
        Ok(State {
            bodies,
            auth: Auth::new(&config.auth, before.map(|before| &before.auth))?,
            requests,
            tls: config.tls.as_ref().map(tls::acceptor).transpose()?,
            strangers: Strangers::default(),
            config: config.clone(),
        })
    }
}
