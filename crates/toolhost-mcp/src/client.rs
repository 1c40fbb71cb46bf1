//! The MCP client: other MCP servers as providers. They are started when the host is loaded,
//! called, and restarted when they have ended.
//!
//! A server is not sandboxed. Only what it can do to this host is bounded: how long a call takes,
//! how much it answers and logs, and how many tools it has.

mod cache;
mod cached_server;
mod call;
#[expect(
    deprecated,
    reason = "servers that log are there, whatever becomes of logging"
)]
mod call_messages;
mod call_result;
mod connection;
mod encode;
mod http;
mod http_bodies;
mod json_repair;
mod message_reader;
mod parked_calls;
mod pins;
mod process;
mod questions;
mod request;
mod running_call;
mod schema_budget;
mod schema_repair;
mod server_handler;
mod settings;
mod stdio;
mod supervisor;
mod task;
mod tool_listing;
mod watchdog;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use cached_server::recall;
use call::{Flight, TurnEnd};
use call_result::failed;
use parked_calls::Parked;
pub use process::kill_mcp_servers;
use settings::Settings;
use supervisor::Supervisor;
use toolhost_core::error::{CallError, Diagnostic};
use toolhost_core::limits::Limits;
use toolhost_core::manifest::{McpConfig, Order};
use toolhost_core::paths::Paths;
use toolhost_core::permissions::Secret;
use toolhost_core::provider::{
    CallContext, Meter, NotStarted, Pin, ProvidedTool, Provider, RunEnd, RunOutcome, ToolNote,
    ToolProvider, stopped, until,
};
use toolhost_core::sandbox::Journal;
use toolhost_core::schema::check_scheduling::Allowed;
use toolhost_core::server_starter::ServerStarter;
use toolhost_core::tool::ToolCall;

inventory::submit! {
    ServerStarter {
        start: |config, around, may_wait| {
            Box::pin(load(config, around.manifest, around.paths, around.memory, may_wait))
        },
        recall: |config, around| recall(config, around.manifest, around.paths, around.memory),
    }
}

/// A server whose tools are known.
struct McpServer {
    kept: Arc<Supervisor>,
    /// Calls that wait for replies.
    parked: Parked,
    _closing: DropGuard,
}

/// Starts a server and lists its tools. `cache` is the cache folder for servers. A server that
/// `may_wait` is not started before it is needed, and has the cached tools until then.
///
/// # Errors
///
/// Everything that is wrong with it.
async fn load(
    config: McpConfig,
    manifest: &Path,
    paths: &Arc<Paths>,
    memory: Option<&Path>,
    may_wait: bool,
) -> Result<Arc<dyn ToolProvider>, Vec<Diagnostic>> {
    let settings = Settings::new(config, manifest, paths, memory);
    let recalled = match may_wait {
        true => cached_server::tools(&settings, manifest),
        false => None,
    };
    let offered = recalled.unwrap_or_default();
    let kept = Supervisor::new(Arc::new(settings), manifest, offered);
    let closing = kept.closing.clone();
    let server = McpServer {
        _closing: closing.clone().drop_guard(),
        parked: Parked::default(),
        kept,
    };
    if may_wait {
        return Ok(Arc::new(server));
    }
    match server.kept.start().await {
        Err(problems) if server.kept.settings.config.optional => {
            for problem in problems {
                tracing::warn!(
                    "{problem}; it is optional, so its tools are missing until it starts"
                );
            }
            // A missing secret will not turn up, so do not retry.
            if server.kept.settings.lacking.is_empty() {
                tokio::spawn(supervisor::retry(Arc::downgrade(&server.kept), closing));
            }
        }
        started => started?,
    }
    Ok(Arc::new(server))
}

impl ToolProvider for McpServer {
    fn name(&self) -> &str {
        &self.kept.settings.config.name
    }

    fn title(&self) -> String {
        format!("MCP server `{}`", self.name())
    }

    fn provenance(&self) -> Provider<'_> {
        Provider::Server(&self.kept.settings.config)
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        let offered = self.kept.offered();
        offered.tools.iter().map(|it| it.tool.clone()).collect()
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.kept.changes.subscribe())
    }

    fn ends_calls(&self) -> bool {
        true
    }

    fn limits(&self) -> &Limits {
        &self.kept.settings.config.limits
    }

    fn max_concurrency(&self) -> Option<usize> {
        self.kept.settings.config.max_concurrency
    }

    fn order(&self) -> Order {
        self.kept.settings.config.order
    }

    fn secrets(&self) -> Vec<&Secret> {
        let settings = &self.kept.settings;
        settings.secrets.values().chain(&settings.token).collect()
    }

    fn left_out(&self) -> Vec<ToolNote> {
        self.kept.offered().left_out.clone()
    }

    fn pins(&self) -> Vec<Pin> {
        let offered = self.kept.offered();
        offered.tools.iter().map(|tool| tool.pin.clone()).collect()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), Vec<Diagnostic>>> {
        Box::pin(async move {
            match self.kept.start().await {
                // Its calls will report that.
                Err(problems) if self.kept.settings.config.optional => {
                    for problem in problems {
                        tracing::warn!("{problem}");
                    }
                    Ok(())
                }
                started => started,
            }
        })
    }

    fn not_started(&self) -> Option<NotStarted> {
        let why = self.kept.failure()?;
        Some(NotStarted::new(None, Some(why)))
    }

    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        call: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        Box::pin(self.serve(tool, call, context))
    }

    fn abandon(&self, state: &[u8]) {
        self.parked.forget(state);
    }
}

impl McpServer {
    async fn serve(
        &self,
        tool: &ProvidedTool,
        call: &ToolCall,
        context: CallContext<'_>,
    ) -> RunOutcome {
        let (limits, deadline) = (context.limits, context.deadline());
        let journal = context.journal;
        let allowed = Allowed {
            limits,
            start: context.start,
            spent: context.spent,
            cancel: context.cancel,
        };
        let mut meter = Meter::new(None, context.spent);
        let mut flight = match self.flight(tool, call, context.key, &journal) {
            Ok(flight) => flight,
            Err(error) => return RunOutcome::refused(error),
        };
        let step = {
            let step = pin!(flight.step());
            until(deadline, context.cancel, &journal, &mut meter, step).await
        };
        let log = flight.log(&journal);
        let mut checking = Duration::ZERO;
        let outcome = match step {
            RunEnd::Itself(TurnEnd::Done(Ok(output))) => {
                let (held, spent) =
                    call_result::validated(output, tool.output.as_ref(), allowed).await;
                checking = spent;
                held
            }
            RunEnd::Itself(TurnEnd::Done(Err(error))) => Err(error),
            RunEnd::Itself(TurnEnd::Asks(asked)) => {
                Err(self.parked.park(flight, asked, context.owner.clone()))
            }
            RunEnd::Stopped(stop) => Err(stopped(stop, limits.timeout)),
            RunEnd::Cancelled => Err(CallError::Cancelled),
        };
        RunOutcome {
            outcome,
            cpu: meter.spent + checking,
            peak_memory: 0,
            log,
            calls: 0,
        }
    }

    /// A new call, or the waiting one that this call brings the replies for.
    fn flight(
        &self,
        tool: &ProvidedTool,
        call: &ToolCall,
        key: Option<&str>,
        journal: &Journal,
    ) -> Result<Flight, CallError> {
        let resumed = call.resumed.as_deref();
        let Some(resumed) = resumed.filter(|resumed| !resumed.state.is_empty()) else {
            return Ok(Flight::start(&self.kept, tool, call, key, journal.clone()));
        };
        let flight = self.parked.take(&resumed.state, resumed.replies.clone());
        let mut flight = flight.ok_or_else(|| {
            failed("the call that asked has ended: its server no longer waits for it; call the tool again")
        })?;
        flight.turn(journal.clone());
        Ok(flight)
    }
}

/// A `_meta` without the members that are between a client and its own server.
fn handed_on(meta: &Map<String, Value>) -> Option<Map<String, Value>> {
    let is_ours = |key: &str| key == "progressToken" || key.starts_with("io.modelcontextprotocol/");
    let meta = meta.iter().filter(|(key, _)| !is_ours(key));
    let meta: Map<String, Value> = meta.map(|(key, it)| (key.clone(), it.clone())).collect();
    (!meta.is_empty()).then_some(meta)
}
