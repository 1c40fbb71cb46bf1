//! The Model Context Protocol: a [`Server`] offers what a [`ToolHost`] has over stdio or streamable
//! HTTP.
//!
//! The types of messages and the two lifecycles (`initialize`, and the stateless one of 2026-07-28) are
//! `rmcp`'s. Sessions over HTTP and plain calls of tools are our own: see
//! `docs/adr/0013-sessions-over-http-are-our-own.md`. Every answer is the host's.

mod accept;
mod arriving;
mod asking;
mod asks;
mod calls;
mod convert;
mod endpoint;
mod events;
mod found;
mod gather;
mod handler;
mod http;
mod hub;
mod initializing;
mod jobs;
mod lines;
mod long;
mod pages;
mod reading;
mod refusing;
mod requests;
mod running;
mod seal;
mod sessions;
mod stdio;
mod streams;
mod subscriptions;
mod task;
mod task_streams;
mod tasks;
mod teller;
mod watching;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::host::ToolHost;
use crate::manifest::ServeConfig;
pub use crate::serve::Listener;
pub use http::{HttpError, HttpServer, McpService};
use hub::Hub;
pub use stdio::StdioError;

/// Serves a [`ToolHost`] over MCP. Clones serve the same one.
#[derive(Clone)]
pub struct Server {
    hub: Arc<Hub>,
}

/// How a [`Server`] presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What a model should know before it uses the tools.
    pub instructions: Option<String>,
    /// Items on a page of a list.
    pub page_size: usize,
    /// A message of a client may have no more bytes.
    pub max_message: usize,
    /// Sessions that are open at once.
    pub max_sessions: usize,
    /// How long a client may take to answer what a tool asks.
    pub ask_timeout: Duration,
    /// A client that takes tasks waits so long for a call before it becomes one.
    pub task_after: Duration,
    /// The tools that only clients that take tasks may call.
    pub task_only: BTreeSet<String>,
    /// Longer results are compacted, and can be read on in.
    pub max_result_chars: Option<usize>,
}

impl Default for ServerInfo {
    fn default() -> Self {
        ServerInfo {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instructions: None,
            page_size: 1000,
            max_message: 4 << 20,
            max_sessions: 1000,
            ask_timeout: Duration::from_secs(10 * 60),
            task_after: Duration::from_secs(20),
            task_only: BTreeSet::new(),
            max_result_chars: None,
        }
    }
}

impl ServerInfo {
    /// As the manifest's `[serve]` has it.
    pub fn of(config: &ServeConfig) -> Self {
        ServerInfo {
            instructions: config.instructions.clone(),
            page_size: config.page_size,
            max_message: usize::try_from(config.max_body.as_u64()).unwrap_or(usize::MAX),
            max_sessions: config.max_sessions,
            ask_timeout: config.ask_timeout,
            task_after: config.task_after,
            task_only: config.task_only.clone(),
            max_result_chars: config.max_result_chars,
            ..ServerInfo::default()
        }
    }
}

impl Server {
    /// A server of what the host has.
    pub fn new(host: ToolHost, info: ServerInfo) -> Self {
        Server {
            hub: Arc::new(Hub::new(host, info)),
        }
    }

    /// Offers what another host has from now on, and tells clients whose lists change. What runs goes
    /// on where it is.
    pub fn replace(&self, host: ToolHost, info: ServerInfo) {
        self.hub.replace(host, info);
    }

    /// Follows what the providers of the host offer, until what is returned is dropped.
    fn follow(&self) -> AbortOnDropHandle<()> {
        let hub = self.hub.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { hub.follow().await }))
    }

    /// The host that is served now.
    pub fn host(&self) -> ToolHost {
        self.hub.offer().loaded().clone()
    }

    /// Starts nothing more; waits so long for what runs, then cancels it. Returns how many requests had
    /// to be.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.hub.drain(grace).await
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.host()).finish()
    }
}
