//! Other MCP servers, as a client of theirs: started when they are loaded, asked by every call, and
//! started again when they have gone.
//!
//! A server is not sandboxed. What is bounded is what it can do to us: how long a call takes, how much
//! it answers and logs, and how many tools it has.

mod answer;
mod connection;
mod listing;
mod process;
mod settings;
mod stdio;
#[expect(
    deprecated,
    reason = "servers that log are there, whatever becomes of logging"
)]
mod tap;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, ErrorData};
use rmcp::service::{PeerRequestOptions, RequestHandle};
use rmcp::{RoleClient, ServiceError};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{CallError, Diagnostic};
use crate::limits::{ByteSize, Limits, seconds};
use crate::manifest::{McpConfig, PluginConfig};
use crate::permissions::Secret;
use crate::plugin::{End, Meter, Plugin, PluginTool, Served, Turn, output_limit, stopped, until};
use crate::sandbox::Journal;
use crate::tool::Output;
use connection::{Connection, shown};
pub use process::kill_mcp_servers;
use settings::Settings;

/// A server that ends sooner after its start is not started again at once.
const STEADY: Duration = Duration::from_secs(10);

/// The longest that a server which keeps ending is left alone.
const MOST_BACKOFF: Duration = Duration::from_secs(60);

/// A server whose tools are known.
struct Server {
    settings: Arc<Settings>,
    state: Arc<Mutex<State>>,
    /// Ends a start that nobody waits for any more.
    closing: CancellationToken,
    _closing: DropGuard,
}

/// Whether it runs.
struct State {
    connection: Option<Arc<Connection>>,
    /// When it was last started.
    started: Instant,
    /// How often in a row it did not start, or ended soon after.
    failures: u32,
    /// Why it last did not start.
    error: Option<String>,
}

/// Starts a server and asks for its tools.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(crate) async fn load(config: McpConfig, manifest: &Path) -> Result<Plugin, Vec<Diagnostic>> {
    let settings = Arc::new(Settings::new(config, manifest)?);
    let config = &settings.config;
    let failed = |mut why: String| {
        settings.mask.text(&mut why);
        let message = format!("`mcp.{}` {why}", config.name);
        vec![Diagnostic::new(manifest, config.at, message)]
    };
    let started = Instant::now();
    let connection = Connection::open(&settings).await.map_err(failed)?;
    let listed = connection.list_tools(&settings).await.map_err(failed)?;
    let tools = listing::offered(listed, &settings, manifest)?;
    // What a plugin has; the rest of it does not concern a server.
    let as_plugin = PluginConfig {
        name: config.name.clone(),
        at: config.at,
        limits: Limits {
            // It is its own process that needs it.
            memory: ByteSize::b(0),
            ..config.limits.clone()
        },
        max_concurrency: config.max_concurrency,
        prefix: config.prefix.clone(),
        allowed_callers: config.allowed_callers.clone(),
        ..PluginConfig::default()
    };
    let closing = CancellationToken::new();
    let server = Server {
        state: Arc::new(Mutex::new(State {
            connection: Some(Arc::new(connection)),
            started,
            failures: 0,
            error: None,
        })),
        _closing: closing.clone().drop_guard(),
        closing,
        settings,
    };
    Ok(Plugin::of_server(as_plugin, Box::new(server), tools))
}

impl crate::plugin::Server for Server {
    fn config(&self) -> &McpConfig {
        &self.settings.config
    }

    fn secrets(&self) -> Vec<&Secret> {
        let secrets = self.settings.secrets.values();
        secrets.chain(&self.settings.token).collect()
    }

    fn call<'c>(
        &'c self,
        tool: &'c PluginTool,
        arguments: String,
        turn: Turn<'c>,
    ) -> BoxFuture<'c, Served> {
        Box::pin(self.serve(tool, arguments, turn))
    }
}

impl Server {
    async fn serve(&self, tool: &PluginTool, arguments: String, turn: Turn<'_>) -> Served {
        let limits = &self.settings.config.limits;
        let deadline = limits.deadline(turn.start);
        let journal = turn.journal;
        let mut meter = Meter::new(None);
        let asked = self.ask(tool, &arguments, &journal);
        let outcome = match until(deadline, turn.cancel, &journal, &mut meter, asked).await {
            End::Itself(outcome) => outcome,
            End::Stopped(stop) => Err(stopped(stop, limits)),
            End::Cancelled => Err(CallError::Cancelled),
        };
        Served {
            outcome,
            cpu: meter.spent,
            peak_memory: 0,
            log: journal.take_lines(),
        }
    }

    async fn ask(
        &self,
        tool: &PluginTool,
        arguments: &str,
        journal: &Journal,
    ) -> Result<Output, CallError> {
        let limits = &self.settings.config.limits;
        let connection = self.connection().await;
        let connection = connection.map_err(|message| CallError::Failed { message })?;
        let arguments = serde_json::from_str(arguments).map_err(CallError::internal)?;
        let params = CallToolRequestParams::new(tool.own_name.clone()).with_arguments(arguments);
        let mut request = CallToolRequest::new(params);
        request.extensions.insert(journal.clone());
        let request = ClientRequest::CallToolRequest(request);
        let options = PeerRequestOptions::no_options();
        let sent = connection.peer().send_request_with_option(request, options);
        let mut answer = match sent.await {
            Ok(handle) => Unanswered(Some(handle)),
            Err(error) => return Err(self.failure(error, &connection).await),
        };
        match answer.wait().await {
            Ok(result) => answer::output(result, tool.output.as_ref(), limits),
            Err(error) => Err(self.failure(error, &connection).await),
        }
    }

    async fn failure(&self, error: ServiceError, connection: &Connection) -> CallError {
        let limits = &self.settings.config.limits;
        let name = &self.settings.config.name;
        let message = match error {
            ServiceError::McpError(ErrorData { code, .. }) if code == stdio::TOO_LONG => {
                return output_limit(limits);
            }
            ServiceError::McpError(error) => error.message.into_owned(),
            ServiceError::TransportClosed => {
                let how = connection.end().await;
                format!("its MCP server `{name}` {how} before it answered")
            }
            error => format!("its MCP server `{name}` cannot be asked: {}", shown(&error)),
        };
        answer::bounded_failure(message, limits)
    }

    /// The connection; a new one where the last is closed.
    async fn connection(&self) -> Result<Arc<Connection>, String> {
        let mut state = self.state.clone().lock_owned().await;
        if let Some(connection) = &state.connection {
            if connection.is_open() {
                return Ok(connection.clone());
            }
            state.connection = None;
            state.failures = match state.started.elapsed() < STEADY {
                true => state.failures + 1,
                false => 0,
            };
        }
        let name = &self.settings.config.name;
        let wait = backoff(state.failures).saturating_sub(state.started.elapsed());
        if !wait.is_zero() {
            let why = state
                .error
                .as_deref()
                .unwrap_or("ended soon after its start");
            let wait = seconds(Duration::from_secs(wait.as_secs() + 1));
            return Err(format!(
                "its MCP server `{name}` {why}; it is not started again before {wait} have passed"
            ));
        }
        // A call that ends does not end the start, which the next one needs as well.
        let start = restart(self.settings.clone(), state, self.closing.clone());
        let started = tokio::spawn(start).await;
        let started = started.unwrap_or_else(|_| Err("could not be started".to_owned()));
        started.map_err(|why| format!("its MCP server `{name}` {why}"))
    }
}

async fn restart(
    settings: Arc<Settings>,
    mut state: OwnedMutexGuard<State>,
    closing: CancellationToken,
) -> Result<Arc<Connection>, String> {
    tracing::info!("mcp.{} is started again", settings.config.name);
    state.started = Instant::now();
    let opened = closing
        .run_until_cancelled(Connection::open(&settings))
        .await;
    match opened.unwrap_or_else(|| Err("is not needed any more".to_owned())) {
        Ok(connection) => {
            let connection = Arc::new(connection);
            state.connection = Some(connection.clone());
            state.error = None;
            Ok(connection)
        }
        Err(why) => {
            tracing::warn!("mcp.{} {why}", settings.config.name);
            state.failures += 1;
            // Its stderr is for the log: what a model reads is what the call came to.
            let why = why.lines().next().unwrap_or_default().to_owned();
            state.error = Some(why.clone());
            Err(why)
        }
    }
}

/// How long after its last start a server is left alone that failed so often in a row.
fn backoff(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        failures => Duration::from_secs(1 << (failures - 2).min(6)).min(MOST_BACKOFF),
    }
}

/// A request that was sent. If it is dropped before its answer comes, the server is told.
struct Unanswered(Option<RequestHandle<RoleClient>>);

impl Unanswered {
    async fn wait(&mut self) -> Result<rmcp::model::ServerResult, ServiceError> {
        let Some(handle) = &mut self.0 else {
            return Err(ServiceError::TransportClosed);
        };
        let answer = (&mut handle.rx).await;
        self.0 = None;
        answer.unwrap_or(Err(ServiceError::TransportClosed))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let Some(handle) = self.0.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // It waits where the server does not read, for as long as there is a connection.
            runtime.spawn(async move {
                let reason = "nobody waits for it any more".to_owned();
                let _ = handle.cancel(Some(reason)).await;
            });
        }
    }
}
