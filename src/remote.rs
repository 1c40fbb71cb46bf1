//! Other MCP servers, as a client of theirs: started when they are loaded, asked by every call, and
//! started again when they have gone.
//!
//! A server is not sandboxed. What is bounded is what it can do to us: how long a call takes, how much
//! it answers and logs, and how many tools it has.

mod answer;
mod connection;
mod http;
mod listing;
mod memory;
mod pins;
mod process;
mod reading;
mod request;
mod settings;
mod stdio;
#[expect(
    deprecated,
    reason = "servers that log are there, whatever becomes of logging"
)]
mod tap;
mod task;
mod tidy;
mod watchdog;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{CallError, Diagnostic};
use crate::limits::{ByteSize, Limits, seconds};
use crate::manifest::{McpConfig, Order};
use crate::permissions::Secret;
use crate::provider::{
    End, LeftOut, Meter, Pin, ProvidedTool, Provider, Served, ToolProvider, Turn, stopped, until,
};
use crate::sandbox::Journal;
use crate::tool::{LogSource, Output, Tool, ToolCall};
use answer::failed;
use connection::Connection;
use listing::Offered;
pub use process::kill_mcp_servers;
use request::Asking;
use settings::Settings;
use tap::Running;

/// A server that ends sooner after its start is not started again at once.
const STEADY: Duration = Duration::from_secs(10);

/// The longest that a server which keeps ending is left alone.
const MOST_BACKOFF: Duration = Duration::from_secs(60);

/// A server that changes its tools often is not asked for them more often than this.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// A server whose tools are known.
struct Server {
    shared: Arc<Shared>,
    /// Ends a start that nobody waits for any more.
    closing: CancellationToken,
    _closing: DropGuard,
}

/// What a server has in common with what follows its changes.
struct Shared {
    settings: Arc<Settings>,
    manifest: PathBuf,
    state: Arc<Mutex<State>>,
    /// Its tools, as it last listed them.
    offered: RwLock<Arc<Offered>>,
    /// Counts the changes of them.
    changes: watch::Sender<u64>,
    /// It has other tools.
    changed: Arc<Notify>,
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

/// Starts a server and asks for its tools. `memory` is the folder for what is remembered of servers.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(crate) async fn load(
    config: McpConfig,
    manifest: &Path,
    memory: Option<&Path>,
) -> Result<Arc<dyn ToolProvider>, Vec<Diagnostic>> {
    let settings = Arc::new(Settings::new(config, manifest, memory)?);
    let config = &settings.config;
    let failed = |mut why: String| {
        settings.mask.text(&mut why);
        let message = format!("`mcp.{}` {why}", config.name);
        vec![Diagnostic::new(manifest, config.at, message)]
    };
    let started = Instant::now();
    let changed = Arc::new(Notify::new());
    let connection = Connection::open(&settings, &changed)
        .await
        .map_err(failed)?;
    let listed = connection.list_tools(&settings).await.map_err(failed)?;
    let (offered, problems) = listing::offered(&listed, &settings, manifest);
    if !problems.is_empty() {
        return Err(problems);
    }
    let closing = CancellationToken::new();
    let shared = Arc::new(Shared {
        manifest: manifest.to_owned(),
        state: Arc::new(Mutex::new(State {
            connection: Some(Arc::new(connection)),
            started,
            failures: 0,
            error: None,
        })),
        offered: RwLock::new(Arc::new(offered)),
        changes: watch::Sender::new(0),
        changed: changed.clone(),
        settings,
    });
    tokio::spawn(follow(Arc::downgrade(&shared), changed, closing.clone()));
    Ok(Arc::new(Server {
        shared,
        _closing: closing.clone().drop_guard(),
        closing,
    }))
}

impl ToolProvider for Server {
    fn name(&self) -> &str {
        &self.shared.settings.config.name
    }

    fn title(&self) -> String {
        format!("MCP server `{}`", self.name())
    }

    fn provenance(&self) -> Provider<'_> {
        Provider::Server(&self.shared.settings.config)
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        let offered = self.shared.offered();
        offered.tools.iter().map(|it| it.tool.clone()).collect()
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.shared.changes.subscribe())
    }

    fn limits(&self) -> &Limits {
        &self.shared.settings.config.limits
    }

    /// It is its own process that needs it.
    fn memory(&self) -> ByteSize {
        ByteSize::b(0)
    }

    fn max_concurrency(&self) -> Option<usize> {
        self.shared.settings.config.max_concurrency
    }

    fn order(&self) -> Order {
        self.shared.settings.config.order
    }

    /// What it says itself: most servers mark nothing, and most of their tools change nothing.
    fn may_change(&self, tool: &Tool) -> bool {
        let hints = tool.annotations;
        hints.read_only == Some(false) || hints.destructive == Some(true)
    }

    fn secrets(&self) -> Vec<&Secret> {
        let settings = &self.shared.settings;
        settings.secrets.values().chain(&settings.token).collect()
    }

    fn left_out(&self) -> Vec<LeftOut> {
        self.shared.offered().left_out.clone()
    }

    fn pins(&self) -> Vec<Pin> {
        let offered = self.shared.offered();
        offered.tools.iter().map(|tool| tool.pin.clone()).collect()
    }

    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        call: &'c ToolCall,
        turn: Turn<'c>,
    ) -> BoxFuture<'c, Served> {
        Box::pin(self.serve(tool, call, turn))
    }
}

impl Server {
    async fn serve(&self, tool: &ProvidedTool, call: &ToolCall, turn: Turn<'_>) -> Served {
        let config = &self.shared.settings.config;
        let limits = &config.limits;
        let deadline = limits.deadline(turn.start);
        let journal = turn.journal;
        let mut meter = Meter::new(None);
        let asked = self.ask(tool, call, &journal);
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
        tool: &ProvidedTool,
        call: &ToolCall,
        journal: &Journal,
    ) -> Result<Output, CallError> {
        let settings = &self.shared.settings;
        let connection = self.connection().await.map_err(failed)?;
        let as_task = self.shared.is_offered(tool)?;
        let arguments = call.arguments_text();
        let arguments: Value = serde_json::from_str(arguments).map_err(CallError::internal)?;
        let mut params = json!({ "name": tool.own_name, "arguments": arguments });
        if let Some(meta) = call.meta.as_deref().and_then(handed_on) {
            params["_meta"] = Value::Object(meta);
        }
        if as_task {
            params["task"] = json!({});
        }
        let asking = Asking {
            settings: settings.clone(),
            connection,
        };
        let running = Running::new(journal.clone());
        let limits = &settings.config.limits;
        let answered = async {
            let answered = asking.request("tools/call", params, &running).await?;
            let result = task::result(answered, &asking, &running, limits).await?;
            answer::output(&result, tool.output.as_ref(), limits)
        };
        let Some(idle) = settings.config.idle_timeout else {
            return answered.await;
        };
        tokio::select! {
            outcome = answered => outcome,
            () = running.silent_for(idle) => {
                let line = format!("said nothing for {}, its `idle-timeout`", seconds(idle));
                journal.log(LogSource::Warning, line);
                Err(CallError::Timeout { after: idle })
            }
        }
    }

    /// The connection; a new one where the last is closed.
    async fn connection(&self) -> Result<Arc<Connection>, String> {
        let shared = &self.shared;
        let mut state = shared.state.clone().lock_owned().await;
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
        let name = &shared.settings.config.name;
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
        let start = restart(shared.clone(), state, self.closing.clone());
        let started = tokio::spawn(start).await;
        let started = started.unwrap_or_else(|_| Err("could not be started".to_owned()));
        started.map_err(|why| format!("its MCP server `{name}` {why}"))
    }
}

impl Shared {
    fn offered(&self) -> Arc<Offered> {
        let offered = self.offered.read();
        offered.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a tool is still the one that was offered, and whether it has to be run as a task.
    ///
    /// # Errors
    ///
    /// It is not.
    fn is_offered(&self, tool: &ProvidedTool) -> Result<bool, CallError> {
        let offered = self.offered();
        let mut tools = offered.tools.iter();
        match tools.find(|it| it.tool.own_name == tool.own_name) {
            Some(found) => Ok(found.as_task),
            None => {
                let left_out = offered.left_out.iter().find(|it| it.tool == tool.own_name);
                let why = left_out
                    .map(|it| format!(": it {}", it.why))
                    .unwrap_or_default();
                let name = &self.settings.config.name;
                Err(failed(format!(
                    "its MCP server `{name}` offers it no more{why}"
                )))
            }
        }
    }

    /// Asks for the tools, and publishes them.
    async fn list(&self, connection: &Connection) -> Result<(), String> {
        let listed = connection.list_tools(&self.settings).await?;
        let (offered, problems) = listing::offered(&listed, &self.settings, &self.manifest);
        // What is wrong with some is no reason to be without the others, now that calls run.
        for problem in problems {
            let mut problem = problem.to_string();
            self.settings.mask.text(&mut problem);
            tracing::warn!("{problem}");
        }
        if !self.offered().is_like(&offered) {
            let mut current = self.offered.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(offered);
            drop(current);
            self.changes.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

/// Lists a server's tools again whenever it says that they changed.
async fn follow(server: Weak<Shared>, changed: Arc<Notify>, closing: CancellationToken) {
    loop {
        let told = async {
            changed.notified().await;
            tokio::time::sleep(DEBOUNCE).await;
        };
        if closing.run_until_cancelled(told).await.is_none() {
            return;
        }
        let Some(server) = server.upgrade() else {
            return;
        };
        let connection = server.state.lock().await.connection.clone();
        let Some(connection) = connection.filter(|it| it.is_open()) else {
            continue;
        };
        let name = &server.settings.config.name;
        let listed = closing.run_until_cancelled(server.list(&connection)).await;
        match listed {
            Some(Ok(())) => tracing::info!("mcp.{name} has other tools now"),
            Some(Err(why)) => tracing::warn!("mcp.{name} {why}"),
            None => return,
        }
    }
}

/// A `_meta`, but for what is between a client and its own server.
fn handed_on(meta: &Map<String, Value>) -> Option<Map<String, Value>> {
    let is_ours = |key: &str| key == "progressToken" || key.starts_with("io.modelcontextprotocol/");
    let meta = meta.iter().filter(|(key, _)| !is_ours(key));
    let meta: Map<String, Value> = meta.map(|(key, it)| (key.clone(), it.clone())).collect();
    (!meta.is_empty()).then_some(meta)
}

async fn restart(
    shared: Arc<Shared>,
    mut state: OwnedMutexGuard<State>,
    closing: CancellationToken,
) -> Result<Arc<Connection>, String> {
    let name = &shared.settings.config.name;
    tracing::info!("mcp.{name} is started again");
    state.started = Instant::now();
    let open = async {
        let connection = Connection::open(&shared.settings, &shared.changed).await?;
        // It may be another program by now.
        shared.list(&connection).await?;
        Ok(connection)
    };
    let opened = closing.run_until_cancelled(open).await;
    match opened.unwrap_or_else(|| Err("is not needed any more".to_owned())) {
        Ok(connection) => {
            let connection = Arc::new(connection);
            state.connection = Some(connection.clone());
            state.error = None;
            Ok(connection)
        }
        Err(why) => {
            tracing::warn!("mcp.{name} {why}");
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
