//! [`ToolHost`]: every call gets a permit in its turn, a fresh instance, and one result.

mod asking;
mod batch;
mod lanes;
mod load;
mod offers;
mod open;
mod queue;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span};

use crate::audit::{AuditLog, CallAudit};
use crate::error::{CallError, LoadError};
use crate::manifest::{Manifest, McpConfig, PluginConfig};
use crate::mask::Mask;
use crate::plugin::{Payload, Plugin, Served, Turn};
use crate::registry::Registry;
use crate::sandbox::Journal;
use crate::tool::{CallOrigin, LogLine, Output, Tool, ToolCall, ToolResult, Usage};
use crate::watch::CallContext;
pub use asking::CallOptions;
pub use batch::Batch;
pub use load::{LoadEvent, Loader};
pub use open::{Canceller, OpenBatch};
use queue::{Queue, Ticket};

/// Runs the tool calls of a model, each in a fresh sandbox.
///
/// It is cheap to clone, and clones share their caps. Its methods run on the tokio runtime they
/// are called on, of either flavour; the multi-threaded one lets calls compute in parallel.
#[derive(Clone)]
pub struct ToolHost {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for ToolHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.tools().map(|tool| &tool.name))
            .finish()
    }
}

struct Shared {
    registry: Registry,
    own: offers::Own,
    queue: Queue,
    max_concurrency: usize,
    /// The secrets of all plugins.
    mask: Arc<Mask>,
    audit: Option<Arc<AuditLog>>,
}

/// What running a call would be; see [`ToolHost::plan`].
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The tool that is called.
    pub tool: &'a Tool,
    /// What would serve it.
    pub by: Provider<'a>,
}

/// Where a tool comes from, with the limits of its calls.
#[derive(Clone, Copy, Debug)]
pub enum Provider<'a> {
    /// A plugin, with its permissions.
    Plugin(&'a PluginConfig),
    /// An MCP server, which is in no sandbox.
    Server(&'a McpConfig),
}

impl ToolHost {
    /// Loads the plugins of a manifest with default options; see [`Loader`] for others.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the plugins.
    pub async fn load(manifest: Manifest) -> Result<ToolHost, LoadError> {
        Loader::new(manifest).load().await
    }

    /// The tools, in the order of the plugins' names and of each plugin's own listing; then those of the
    /// MCP servers.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        let plugins = self.shared.registry.plugins.iter();
        plugins.flat_map(|plugin| plugin.tools.iter().map(|tool| &tool.tool))
    }

    /// The plugins, in the order of their names.
    pub fn plugins(&self) -> impl Iterator<Item = &PluginConfig> {
        let plugins = self.shared.registry.plugins.iter();
        plugins
            .filter(|plugin| plugin.component().is_some())
            .map(|plugin| &plugin.config)
    }

    /// The MCP servers, in the order of their names.
    pub fn servers(&self) -> impl Iterator<Item = &McpConfig> {
        let plugins = self.shared.registry.plugins.iter();
        plugins.filter_map(|plugin| plugin.server())
    }

    /// What each plugin imports, in the order of [`plugins`](ToolHost::plugins), and which
    /// permissions it can make use of, as the manifest has them.
    pub fn imports(&self) -> impl Iterator<Item = (&[String], &[&'static str])> {
        let plugins = self.shared.registry.plugins.iter();
        let components = plugins.filter_map(|plugin| plugin.component());
        components.map(|component| (&*component.imports, &*component.usable))
    }

    /// What a call would run, without running it.
    ///
    /// # Errors
    ///
    /// There is no such tool, or the arguments are not what it asks for: what the call would fail with.
    pub fn plan(&self, call: &ToolCall) -> Result<Plan<'_>, CallError> {
        let Some((_, plugin, tool)) = self.shared.registry.find(&call.name) else {
            return Err(self.unknown_tool(&call.name));
        };
        tool.arguments(call, &plugin.config.limits)?;
        Ok(Plan {
            tool: &tool.tool,
            by: match plugin.server() {
                Some(server) => Provider::Server(server),
                None => Provider::Plugin(&plugin.config),
            },
        })
    }

    /// What finds the secrets of the manifest, as it is done to every result and log: for what a
    /// program prints of its own, such as traces.
    pub fn mask(&self) -> Arc<Mask> {
        self.shared.mask.clone()
    }

    /// Runs one call. It waits for its turn if as many run as may; dropping the future ends the
    /// call wherever it is.
    pub async fn call(&self, call: ToolCall) -> ToolResult {
        let never = CancellationToken::new();
        let context = CallContext::alone(&never);
        self.call_since(Instant::now(), &call, &context, None).await
    }

    /// As [`call`](ToolHost::call), for a call that was handed over at `queued` and may be cancelled.
    async fn call_since(
        &self,
        queued: Instant,
        call: &ToolCall,
        context: &CallContext<'_>,
        ticket: Option<Ticket>,
    ) -> ToolResult {
        let found = self.shared.registry.find(&call.name);
        let ended = self.ending(queued, call, found.map(|(_, plugin, _)| plugin));
        let Some((_, plugin, tool)) = found else {
            let error = self.unknown_tool(&call.name);
            return ended.refused::<Output>(error).into();
        };
        if let Err(error) = self.audit_ready() {
            return ended.refused::<Output>(error).into();
        }
        let cancel = context.cancel;
        let permits = self.shared.queue.wait(plugin, queued, cancel, ticket).await;
        let _permits = match permits {
            Ok(permits) => permits,
            Err(error) => return ended.refused::<Output>(error).into(),
        };
        let start = Instant::now();
        let bound = plugin.config.limits.max_log;
        let journal = Journal::new(
            bound,
            self.shared.mask.clone(),
            ended.audit.clone(),
            context,
        );
        let span = debug_span!(
            "call",
            id = call.id,
            tool = call.name,
            plugin = plugin.config.name
        );
        let turn = Turn {
            start,
            cancel,
            journal: journal.clone(),
        };
        // Boxed, so that a call that waits does not hold room for one that runs.
        let served = serve(span, Box::pin(plugin.call(tool, call, turn))).await;
        ended
            .at(start, Instant::now(), served, journal.denials())
            .into()
    }

    /// Answers a call that is not run.
    fn refuse_since(&self, queued: Instant, call: &ToolCall, error: CallError) -> ToolResult {
        let found = self.shared.registry.find(&call.name);
        let ended = self.ending(queued, call, found.map(|(_, plugin, _)| plugin));
        ended.refused::<Output>(error).into()
    }

    fn ending(&self, queued: Instant, call: &ToolCall, plugin: Option<&Plugin>) -> Ending {
        let mask = &self.shared.mask;
        let plugin = plugin.map(|plugin| (&*plugin.config.name, plugin.sha256()));
        Ending {
            id: call.id.clone(),
            name: call.name.clone(),
            origin: call.origin.clone(),
            queued,
            mask: mask.clone(),
            audit: self
                .shared
                .audit
                .as_ref()
                .map(|log| Arc::new(CallAudit::new(log, call, plugin, mask))),
        }
    }

    fn unknown_tool(&self, name: &str) -> CallError {
        CallError::UnknownTool {
            similar: self.shared.registry.similar(name),
        }
    }

    fn audit_ready(&self) -> Result<(), CallError> {
        match &self.shared.audit {
            Some(log) => log.ready().map_err(CallError::internal),
            None => Ok(()),
        }
    }

    /// Runs a batch, up to the caps at once, and yields each result as it completes with the
    /// position of its call.
    ///
    /// Calls are taken from the iterator as room comes up, so memory grows with the caps and not
    /// with the batch; where the manifest has a `max-queue` they have all come, and what finds the queue
    /// full is refused. Dropping the stream cancels what runs; [`Batch::cancel`] does so and still
    /// yields a result for every call.
    pub fn run<I>(&self, calls: I) -> Batch<I::IntoIter>
    where
        I: IntoIterator<Item = ToolCall>,
    {
        Batch::new(self.clone(), calls.into_iter())
    }

    /// Runs a batch and returns the results in the order of the calls. It takes all calls at once, as
    /// it holds all results in the end; [`run`](ToolHost::run) does neither.
    pub async fn run_all<I>(&self, calls: I) -> Vec<ToolResult>
    where
        I: IntoIterator<Item = ToolCall>,
    {
        batch::run_all(self.clone(), calls.into_iter()).await
    }
}

async fn serve<T: Payload>(
    span: tracing::Span,
    served: impl Future<Output = Served<T>>,
) -> Served<T> {
    let served = AssertUnwindSafe(served.instrument(span))
        .catch_unwind()
        .await;
    served.unwrap_or_else(|panic| Served::refused(panicked(&*panic)))
}

/// What is known of a result before it is there.
struct Ending {
    id: Option<String>,
    name: String,
    origin: Option<Box<CallOrigin>>,
    queued: Instant,
    mask: Arc<Mask>,
    audit: Option<Arc<CallAudit>>,
}

impl Drop for Ending {
    /// A call that was dropped where it was has run as far as that.
    fn drop(&mut self) {
        if let Some(audit) = self.audit.take() {
            audit.abandoned(self.queued.elapsed());
        }
    }
}

impl Ending {
    /// The result of a call that never ran: it waited for all of its time.
    fn refused<T: Payload>(self, error: CallError) -> Ended<T> {
        let now = Instant::now();
        self.at(now, now, Served::refused(error), 0)
    }

    /// The result of a call that ran from `start` to `end`.
    fn at<T: Payload>(
        mut self,
        start: Instant,
        end: Instant,
        mut served: Served<T>,
        denials: u64,
    ) -> Ended<T> {
        served.hide(&self.mask);
        let usage = Usage {
            queue: start.saturating_duration_since(self.queued),
            run: end - start,
            cpu: served.cpu,
            peak_memory: served.peak_memory,
            output_bytes: served.outcome.as_ref().map_or(0, Payload::len),
        };
        let mut outcome = served.outcome;
        // What nobody can account for is not handed out.
        if let Some(audit) = self.audit.take()
            && let Err(error) = audit.ended(outcome.as_ref().err(), &usage, denials)
        {
            outcome = Err(CallError::internal(error));
        }
        Ended {
            id: self.id.take(),
            name: std::mem::take(&mut self.name),
            origin: self.origin.take(),
            outcome,
            usage,
            log: served.log,
        }
    }
}

/// A [`ToolResult`], or that of any other request.
struct Ended<T> {
    id: Option<String>,
    name: String,
    origin: Option<Box<CallOrigin>>,
    outcome: Result<T, CallError>,
    usage: Usage,
    log: Vec<LogLine>,
}

impl From<Ended<Output>> for ToolResult {
    fn from(ended: Ended<Output>) -> Self {
        ToolResult {
            id: ended.id,
            name: ended.name,
            outcome: ended.outcome,
            usage: ended.usage,
            log: ended.log,
            origin: ended.origin,
        }
    }
}

/// A panic of the host while it served a call is that call's error and nobody else's.
fn panicked(panic: &(dyn Any + Send)) -> CallError {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    CallError::internal(format!("the host panicked: {message}"))
}
