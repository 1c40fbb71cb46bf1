//! A server that is kept: started again when it has gone, and asked for its tools again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use rmcp::model::Tool;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;

use super::answer::failed;
use super::connection::Connection;
use super::listing::{self, Offered};
use super::settings::Settings;
use crate::error::{CallError, Diagnostic};
use crate::limits::seconds;
use crate::schema::checking::computed;

/// A server that ends sooner after its start is not started again at once.
const STEADY: Duration = Duration::from_secs(10);

/// The longest that a server which keeps ending is left alone.
const MOST_BACKOFF: Duration = Duration::from_secs(60);

/// A server that changes its tools often is not asked for them more often than this.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// A server whose tools are known.
pub(super) struct Kept {
    pub(super) settings: Arc<Settings>,
    manifest: PathBuf,
    state: Arc<Mutex<State>>,
    /// Its tools, as it last listed them.
    offered: RwLock<Arc<Offered>>,
    /// Counts the changes of them.
    pub(super) changes: watch::Sender<u64>,
    /// It has other tools.
    changed: Arc<Notify>,
    /// Ends a start that nobody waits for any more, and what follows its changes.
    pub(super) closing: CancellationToken,
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

impl Kept {
    /// A server that is not started yet, with the tools that it is known to have.
    pub(super) fn new(settings: Arc<Settings>, manifest: &Path, offered: Offered) -> Arc<Kept> {
        let changed = Arc::new(Notify::new());
        let kept = Arc::new(Kept {
            manifest: manifest.to_owned(),
            state: Arc::new(Mutex::new(State {
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

    /// Starts it and asks for its tools, unless it runs.
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

    /// Has these tools offered from now on.
    fn publish(&self, offered: Offered) {
        if !self.offered().is_like(&offered) {
            let mut current = self.offered.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(offered);
            drop(current);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Why it does not run, where it has never done so.
    pub(super) fn failure(&self) -> Option<String> {
        // Whoever starts it now will know.
        let state = self.state.try_lock().ok()?;
        state.error.clone().filter(|_| state.connection.is_none())
    }

    pub(super) fn offered(&self) -> Arc<Offered> {
        let offered = self.offered.read();
        offered.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a tool has to be run as a task, as it is offered now, by the server's own name.
    ///
    /// # Errors
    ///
    /// It is offered no more.
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

    /// Asks for the tools, and publishes them.
    async fn list(&self, connection: &Connection) -> Result<(), String> {
        let listed = connection.list_tools(&self.settings).await?;
        self.settings
            .memory
            .keep_tools(&listed, &self.settings.mask);
        let (offered, problems) = read(listed, &self.settings, &self.manifest).await;
        // What is wrong with some is no reason to be without the others, now that calls run.
        for problem in problems {
            let mut problem = problem.to_string();
            self.settings.mask.text(&mut problem);
            tracing::warn!("{problem}");
        }
        self.publish(offered);
        Ok(())
    }

    /// The connection; a new one where the last is closed.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>, String> {
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
        // A call that ends does not end the start, which the next one needs as well.
        let start = restart(self.clone(), state);
        let started = tokio::spawn(start).await;
        let started = started.unwrap_or_else(|_| Err("could not be started".to_owned()));
        started.map_err(|why| format!("its MCP server `{name}` {why}"))
    }
}

/// Starts a server that did not start, sooner or later.
pub(super) async fn retry(server: Weak<Kept>, closing: CancellationToken) {
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

/// Lists a server's tools again whenever it says that they changed.
async fn follow(server: Weak<Kept>, changed: Arc<Notify>, closing: CancellationToken) {
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
    kept: Arc<Kept>,
    mut state: OwnedMutexGuard<State>,
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

/// Reads the tools that a server lists: their schemas are compiled, which no deadline ends.
async fn read(
    listed: Vec<Tool>,
    settings: &Arc<Settings>,
    manifest: &Path,
) -> (Offered, Vec<Diagnostic>) {
    let (settings, manifest) = (settings.clone(), manifest.to_owned());
    computed(move || listing::offered(&listed, &settings, &manifest)).await
}
