//! The MCP server: [`Server`] offers a [`ToolHost`] over stdio or streamable HTTP.
//!
//! The message types and the two lifecycles (`initialize`, and the stateless one of 2026-07-28) are
//! `rmcp`'s. Sessions over HTTP and plain `tools/call` requests are handled here: see
//! `docs/adr/0013-sessions-over-http-are-our-own.md`. Every answer is the host's.

mod caller;
mod catalogue;
mod change_notifications;
mod convert;
mod detached_call;
mod dispatch;
mod elicitation;
mod handler;
mod http;
mod initialize;
mod json_rpc;
mod long_results;
mod message_outline;
mod pagination;
mod pending_questions;
mod progress_and_logs;
mod request_state;
mod resource_polling;
mod running_requests;
mod server_state;
mod stdio;
mod stream_id;
mod subscriptions;
mod tasks;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rmcp::transport::io::stdio_pipes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub use crate::http_front::Listener;
pub use http::{HttpError, HttpServer, McpService};
use server_state::ServerState;
pub use stdio::StdioError;
use toolhost_core::host::ToolHost;
use toolhost_core::manifest::ServeConfig;
use toolhost_core::setters;

/// Serves a [`ToolHost`] over MCP. Clones share one server.
#[derive(Clone)]
pub struct Server {
    state: Arc<ServerState>,
}

/// How a [`Server`] presents itself, and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Instructions for models, sent with the server's capabilities.
    pub instructions: Option<String>,
    /// Items per page of a list.
    pub page_size: usize,
    /// The longest message of a client, in bytes.
    pub max_message: usize,
    /// Sessions open at once.
    pub max_sessions: usize,
    /// How long a client may take to answer a tool's question.
    pub ask_timeout: Duration,
    /// How long a client that supports tasks waits for a call before it becomes a task.
    pub task_after: Duration,
    /// Tools that only clients with task support may call.
    pub task_only: BTreeSet<String>,
    /// Longer results are compacted and can be read on.
    pub max_result_chars: Option<usize>,
    /// The name for clients without one: the client over stdio, and those over HTTP that need no
    /// token. See [`CallOptions::client`](toolhost_core::CallOptions::client).
    pub client: Option<Arc<str>>,
}

setters!(ServerInfo {
    with_page_size: page_size: usize,
    with_max_message: max_message: usize,
    with_max_sessions: max_sessions: usize,
    with_ask_timeout: ask_timeout: Duration,
    with_task_after: task_after: Duration,
} into {
    with_name: name: String,
    with_version: version: String,
    with_instructions: instructions: Option<String>,
    with_task_only: task_only: BTreeSet<String>,
    with_max_result_chars: max_result_chars: Option<usize>,
    with_client: client: Option<Arc<str>>,
});

impl Default for ServerInfo {
    fn default() -> Self {
        ServerInfo {
            name: "toolhost".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instructions: None,
            page_size: 1000,
            max_message: 4 << 20,
            max_sessions: 1000,
            ask_timeout: Duration::from_secs(10 * 60),
            task_after: Duration::from_secs(20),
            task_only: BTreeSet::new(),
            max_result_chars: None,
            client: None,
        }
    }
}

impl ServerInfo {
    /// The values of the manifest's `[serve]`.
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
    /// A server for a host.
    pub fn new(host: ToolHost, info: ServerInfo) -> Self {
        Server {
            state: Arc::new(ServerState::new(host, info)),
        }
    }

    /// Serves another host from now on, and notifies clients whose lists change. Running calls go
    /// on with the old host.
    pub fn replace(&self, host: ToolHost, info: ServerInfo) {
        self.state.replace(host, info);
    }

    /// The host that is served now.
    pub fn host(&self) -> ToolHost {
        self.state.catalogue().loaded.clone()
    }

    /// Starts no more requests; waits up to `grace` for running ones, then cancels them. Returns
    /// how many were cancelled.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.state.drain(grace).await
    }

    /// Serves the client at stdin and stdout until end of input, or until `stop`.
    ///
    /// At end of input running calls get a few seconds to finish, and are then cancelled.
    ///
    /// # Errors
    ///
    /// The first message did not begin a session.
    pub async fn serve_stdio(&self, stop: CancellationToken) -> Result<(), StdioError> {
        let (reader, writer) = stdio_pipes();
        self.serve_stream(reader, writer, stop).await
    }

    /// Serves the client at the other end of two byte streams, as
    /// [`serve_stdio`](Server::serve_stdio) does: one JSON-RPC message per line.
    ///
    /// ```
    /// # mod toolhost {
    /// #     pub use toolhost_core::*;
    /// #     pub use toolhost_mcp::server as mcp;
    /// # }
    /// use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex, split};
    /// use toolhost::mcp::{Server, ServerInfo};
    /// use toolhost::{CancellationToken, Manifest, ToolHost};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let host = ToolHost::load(Manifest::default()).await?;
    /// let server = Server::new(host, ServerInfo::default().with_name("demo"));
    /// let (client, stream) = duplex(64 << 10);
    /// let (reader, writer) = split(stream);
    /// let stop = CancellationToken::new();
    /// let serving = server.serve_stream(reader, writer, stop.clone());
    ///
    /// let talking = async {
    ///     let (from, mut to) = split(client);
    ///     let initialize = serde_json::json!({
    ///         "jsonrpc": "2.0", "id": 1, "method": "initialize",
    ///         "params": {
    ///             "protocolVersion": "2025-06-18",
    ///             "capabilities": {},
    ///             "clientInfo": { "name": "client", "version": "1" },
    ///         },
    ///     });
    ///     to.write_all(format!("{initialize}\n").as_bytes()).await?;
    ///     let answer = BufReader::new(from).lines().next_line().await?.unwrap();
    ///     assert!(answer.contains(r#""serverInfo":{"name":"demo""#), "{answer}");
    ///     stop.cancel();
    ///     std::io::Result::Ok(())
    /// };
    /// let (served, talked) = tokio::join!(serving, talking);
    /// talked?;
    /// served?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The first message did not begin a session.
    pub async fn serve_stream<R, W>(
        &self,
        reader: R,
        writer: W,
        stop: CancellationToken,
    ) -> Result<(), StdioError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        stdio::serve(&self.state, reader, writer, stop).await
    }

    /// This server over HTTP, for the clients that `config` admits.
    ///
    /// # Errors
    ///
    /// A file of the configuration cannot be used.
    pub fn http(&self, config: &ServeConfig) -> Result<HttpServer, HttpError> {
        HttpServer::new(self.state.clone(), config)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.host()).finish()
    }
}
