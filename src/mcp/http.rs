//! MCP over streamable HTTP at `/mcp`: the front lets requests through to the sessions.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Server;
use super::endpoint::Endpoint;
use crate::manifest::ServeConfig;
use crate::serve::{Front, FrontError, Lifecycle, Listener};

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
        listener: impl Listener,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> usize {
        let lifecycle = Lifecycle::default();
        let sessions = CancellationToken::new();
        let answers = TaskTracker::new();
        let _following = self.server.follow();
        let endpoint = Arc::new(Endpoint::new(
            &self.server,
            &self.config,
            sessions.clone(),
            answers.clone(),
            self.front.unsent(),
        ));
        let hub = self.server.hub.clone();
        let longest = move || hub.offer().host.longest_output();
        let mcp = move |request| {
            let endpoint = endpoint.clone();
            async move { endpoint.respond(request).await }
        };
        let mut front = tokio::spawn({
            let (front, lifecycle) = (self.front.clone(), lifecycle.clone());
            async move { front.serve(listener, mcp, longest, lifecycle).await }
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
}
