//! Supervises a server: restarts it when it has ended, and lists its tools again when they change.
//!
//! A server has a connection or none ([`ConnectionState`]). A call that finds the connection closed restarts
//! the server under the lock of its state, so that calls in between wait for the same start. After
//! two failures in a row (failed starts, or ends within [`MIN_UPTIME`] of the start) the back-off
//! applies, doubling up to [`MAX_BACKOFF`]; calls before it has passed fail at once with the last
//! error. A server that ran for longer restarts without back-off. A start belongs to the server and
//! not to the call that caused it, which may be cancelled.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, Weak};
use std::time::{Duration, Instant};

use rmcp::model::Tool;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;

use super::call_result::failed;
use super::connection::Connection;
use super::settings::Settings;
use super::tool_listing::{self, Offered};
use toolhost_core::error::{CallError, Diagnostic};
use toolhost_core::limits::seconds;
use toolhost_core::locks;
use toolhost_core::schema::check_scheduling::computed;

/// A server that ends sooner after its start than this has failed.
const MIN_UPTIME: Duration = Duration::from_secs(10);

/// The longest back-off.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The shortest time between two listings of a server that keeps changing its tools.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// A supervised server.
pub(super) struct Supervisor {
    pub(super) settings: Arc<Settings>,
    manifest: PathBuf,
    state: Arc<Mutex<ConnectionState>>,
    /// Its tools, as last listed.
    offered: RwLock<Arc<Offered>>,
    /// The number of changes of the tools.
    pub(super) changes: watch::Sender<u64>,
    /// Signals that its tools have changed.
    changed: Arc<Notify>,
    /// Cancels a start that nobody waits for any more, and the following of changes.
    pub(super) closing: CancellationToken,
}

/// Its connection and its failures.
struct ConnectionState {
    connection: Option<Arc<Connection>>,
    /// When it was last started.
    started: Instant,
    /// How many starts failed, or ended soon after, in a row.
    failures: u32,
    /// The error of the last failed start.
    error: Option<String>,
}

impl Supervisor {
    /// A server that is not started yet, with the tools known so far.
    pub(super) fn new(
        settings: Arc<Settings>,
        manifest: &Path,
        offered: Offered,
    ) -> Arc<Supervisor> {
        let changed = Arc::new(Notify::new());
        let kept = Arc::new(Supervisor {
            manifest: manifest.to_owned(),
            state: Arc::new(Mutex::new(ConnectionState {
                connection: None,
                started: Instant::now(),
                failures: 0,
                error: None,
            })),
            offered: RwLock::new(Arc::new(offered)),
            changes: watch::Sender::new(0),
            changed: changed.clone(),
            closing: CancellationToken::new(),
            settings,
        });
        let follow = follow(Arc::downgrade(&kept), changed, kept.closing.clone());
        tokio::spawn(follow);
        kept
    }

    /// Starts it and lists its tools, unless it is running.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(super) async fn start(&self) -> Result<(), Vec<Diagnostic>> {
        let mut state = self.state.lock().await;
        if state.connection.as_ref().is_some_and(|it| it.is_open()) {
            return Ok(());
        }
        state.started = Instant::now();
        match self.open().await {
            Ok(connection) => {
                state.connection = Some(Arc::new(connection));
                state.error = None;
                Ok(())
            }
            Err(problems) => {
                state.failures += 1;
                let why = problems.first().and_then(|it| it.message.lines().next());
                let name = format!("`mcp.{}` ", self.settings.config.name);
                let why = why.map(|why| why.strip_prefix(&*name).unwrap_or(why));
                state.error = why.map(str::to_owned);
                Err(problems)
            }
        }
    }

    async fn open(&self) -> Result<Connection, Vec<Diagnostic>> {
        let settings = &self.settings;
        let config = &settings.config;
        if !settings.lacking.is_empty() {
            return Err(settings.lacking.clone());
        }
        let failed = |mut why: String| {
            settings.mask.text(&mut why);
            let mut lines = why.lines();
            let message = format!("`mcp.{}` {}", config.name, lines.next().unwrap_or_default());
            // The end of its stderr.
            let rest = lines.map(|line| line.trim_start().to_owned());
            vec![Diagnostic::new(&self.manifest, config.at, message).lines(rest)]
        };
        let connection = Connection::open(settings, &self.changed).await;
        let connection = connection.map_err(failed)?;
        let listed = connection.list_tools(settings).await.map_err(failed)?;
        settings.memory.keep_tools(&listed, &settings.mask);
        let (offered, problems) = read(listed, settings, &self.manifest).await;
        match problems[..] {
            [] => self.publish(offered),
            _ => return Err(problems),
        }
        Ok(connection)
    }

    /// Offers these tools from now on.
    fn publish(&self, offered: Offered) {
        if !self.offered().is_like(&offered) {
            let mut current = locks::write(&self.offered);
            *current = Arc::new(offered);
            drop(current);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Why it is not running, if it never was.
    pub(super) fn failure(&self) -> Option<String> {
        // If it is being started, the result will show.
        let state = self.state.try_lock().ok()?;
        state.error.clone().filter(|_| state.connection.is_none())
    }

    pub(super) fn offered(&self) -> Arc<Offered> {
        locks::read(&self.offered).clone()
    }

    /// Whether a tool, by the server's own name, must be run as a task.
    ///
    /// # Errors
    ///
    /// It is no longer offered.
    pub(super) fn offers(&self, tool: &str) -> Result<bool, CallError> {
        let offered = self.offered();
        let mut tools = offered.tools.iter();
        match tools.find(|it| it.tool.own_name == tool) {
            Some(found) => Ok(found.as_task),
            None => {
                let left_out = offered.left_out.iter().find(|it| it.tool == tool);
                let why = left_out
                    .map(|it| format!(": it {}", it.why))
                    .unwrap_or_default();
                let name = &self.settings.config.name;
                Err(failed(format!(
                    "its MCP server `{name}` no longer offers it{why}"
                )))
            }
        }
    }

    /// Lists the tools and publishes them.
    async fn list(&self, connection: &Connection) -> Result<(), String> {
        let listed = connection.list_tools(&self.settings).await?;
        self.settings
            .memory
            .keep_tools(&listed, &self.settings.mask);
        let (offered, problems) = read(listed, &self.settings, &self.manifest).await;
        // A problem with some tools is no reason to lose the others while calls run.
        for problem in problems {
            let mut problem = problem.to_string();
            self.settings.mask.text(&mut problem);
            tracing::warn!("{problem}");
        }
        self.publish(offered);
        Ok(())
    }

    /// The connection; a new one if the last is closed.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>, String> {
        let mut state = self.state.clone().lock_owned().await;
        if let Some(connection) = &state.connection {
            if connection.is_open() {
                return Ok(connection.clone());
            }
            state.connection = None;
            state.failures = match state.started.elapsed() < MIN_UPTIME {
                true => state.failures + 1,
                false => 0,
            };
        }
        let name = &self.settings.config.name;
        if let Some(problem) = self.settings.lacking.first() {
            let why = &problem.message;
            return Err(format!("its MCP server `{name}` is not started: {why}"));
        }
        let wait = backoff(state.failures).saturating_sub(state.started.elapsed());
        if !wait.is_zero() {
            let why = state
                .error
                .as_deref()
                .unwrap_or("exited soon after it started");
            let wait = seconds(Duration::from_secs(wait.as_secs() + 1));
            return Err(format!(
                "its MCP server `{name}` {why}; it can be restarted in {wait}"
            ));
        }
        // A call that is cancelled must not cancel the start, which the next call needs as well.
        let start = restart(self.clone(), state);
        let started = tokio::spawn(start).await;
        let started = started.unwrap_or_else(|_| Err("could not be started".to_owned()));
        started.map_err(|why| format!("its MCP server `{name}` {why}"))
    }
}

/// Retries a server that did not start, with back-off.
pub(super) async fn retry(server: Weak<Supervisor>, closing: CancellationToken) {
    loop {
        let failures = match server.upgrade() {
            Some(server) => server.state.lock().await.failures,
            None => return,
        };
        let wait = tokio::time::sleep(backoff(failures.max(2)));
        if closing.run_until_cancelled(wait).await.is_none() {
            return;
        }
        let Some(server) = server.upgrade() else {
            return;
        };
        match closing.run_until_cancelled(server.start()).await {
            Some(Ok(())) => {
                tracing::info!("started mcp.{}", server.settings.config.name);
                return;
            }
            Some(Err(problems)) => {
                for problem in problems {
                    tracing::info!("{problem}");
                }
            }
            None => return,
        }
    }
}

/// Lists a server's tools again whenever it reports changes.
async fn follow(server: Weak<Supervisor>, changed: Arc<Notify>, closing: CancellationToken) {
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
            Some(Ok(())) => tracing::info!("the tools of mcp.{name} changed"),
            Some(Err(why)) => tracing::warn!("mcp.{name} {why}"),
            None => return,
        }
    }
}

async fn restart(
    kept: Arc<Supervisor>,
    mut state: OwnedMutexGuard<ConnectionState>,
) -> Result<Arc<Connection>, String> {
    let name = &kept.settings.config.name;
    tracing::info!("restarted mcp.{name}");
    state.started = Instant::now();
    let open = async {
        let connection = Connection::open(&kept.settings, &kept.changed).await?;
        // It may be another program by now.
        kept.list(&connection).await?;
        Ok(connection)
    };
    let opened = kept.closing.run_until_cancelled(open).await;
    match opened.unwrap_or_else(|| Err("is no longer needed".to_owned())) {
        Ok(connection) => {
            let connection = Arc::new(connection);
            state.connection = Some(connection.clone());
            state.error = None;
            Ok(connection)
        }
        Err(why) => {
            tracing::warn!("mcp.{name} {why}");
            state.failures += 1;
            // Its stderr is for the log: the model reads only the reason.
            let why = why.lines().next().unwrap_or_default().to_owned();
            state.error = Some(why.clone());
            Err(why)
        }
    }
}

/// The back-off after that many failures in a row.
fn backoff(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        failures => Duration::from_secs(1 << (failures - 2).min(6)).min(MAX_BACKOFF),
    }
}

/// Parses the tools that a server lists. Their schemas are compiled, which no deadline interrupts.
async fn read(
    listed: Vec<Tool>,
    settings: &Arc<Settings>,
    manifest: &Path,
) -> (Offered, Vec<Diagnostic>) {
    let (settings, manifest) = (settings.clone(), manifest.to_owned());
    computed(move || tool_listing::select_tools(&listed, &settings, &manifest)).await
}
