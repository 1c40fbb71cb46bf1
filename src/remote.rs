//! Other MCP servers, as a client of theirs: started when they are loaded, asked by every call, and
//! started again when they have gone.
//!
//! A server is not sandboxed. What is bounded is what it can do to us: how long a call takes, how much
//! it answers and logs, and how many tools it has.

mod answer;
mod bodies;
mod client;
mod connection;
mod http;
mod kept;
mod listing;
mod memory;
mod mend;
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

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use crate::error::{CallError, Diagnostic};
use crate::limits::{ByteSize, Limits, seconds};
use crate::manifest::{McpConfig, Order};
use crate::permissions::Secret;
use crate::provider::{
    End, Meter, Pin, ProvidedTool, Provider, Served, ToolNote, ToolProvider, Turn, stopped, until,
};
use crate::sandbox::Journal;
use crate::tool::{LogSource, Output, Tool, ToolCall};
use answer::failed;
use kept::Kept;
pub use process::kill_mcp_servers;
use request::Asking;
use settings::Settings;
use tap::Running;

/// A server whose tools are known.
struct Server {
    kept: Arc<Kept>,
    _closing: DropGuard,
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
    let kept = Kept::start(settings, manifest).await?;
    Ok(Arc::new(Server {
        _closing: kept.closing.clone().drop_guard(),
        kept,
    }))
}

impl ToolProvider for Server {
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

    fn limits(&self) -> &Limits {
        &self.kept.settings.config.limits
    }

    /// It is its own process that needs it.
    fn memory(&self) -> ByteSize {
        ByteSize::b(0)
    }

    fn max_concurrency(&self) -> Option<usize> {
        self.kept.settings.config.max_concurrency
    }

    fn order(&self) -> Order {
        self.kept.settings.config.order
    }

    /// What it says itself: most servers mark nothing, and most of their tools change nothing.
    fn may_change(&self, tool: &Tool) -> bool {
        let hints = tool.annotations;
        hints.read_only == Some(false) || hints.destructive == Some(true)
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
        let config = &self.kept.settings.config;
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
        let settings = &self.kept.settings;
        let connection = self.kept.connection().await.map_err(failed)?;
        let as_task = self.kept.is_offered(tool)?;
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
}

/// A `_meta`, but for what is between a client and its own server.
fn handed_on(meta: &Map<String, Value>) -> Option<Map<String, Value>> {
    let is_ours = |key: &str| key == "progressToken" || key.starts_with("io.modelcontextprotocol/");
    let meta = meta.iter().filter(|(key, _)| !is_ours(key));
    let meta: Map<String, Value> = meta.map(|(key, it)| (key.clone(), it.clone())).collect();
    (!meta.is_empty()).then_some(meta)
}
