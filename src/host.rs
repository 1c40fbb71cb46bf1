//! [`ToolHost`]: every call gets a permit in its turn, a fresh instance, and one result.

mod batch;
mod load;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span};

use crate::error::{CallError, LoadError};
use crate::manifest::{Manifest, PluginConfig};
use crate::plugin::{Plugin, Served};
use crate::registry::Registry;
use crate::tool::{Tool, ToolCall, ToolResult, Usage};
pub use batch::Batch;
pub use load::{LoadEvent, Loader};

/// Runs the tool calls of a model, each in a fresh sandbox.
///
/// It is cheap to clone, and clones share their caps. Its methods run on the tokio runtime they
/// are called on, of either flavour; the multi-threaded one lets calls compute in parallel.
#[derive(Clone)]
pub struct ToolHost {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    permits: Semaphore,
    max_concurrency: usize,
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

    /// The tools, in the order of the plugins' names and of each plugin's own listing.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        let plugins = self.shared.registry.plugins.iter();
        plugins.flat_map(|plugin| plugin.tools.iter().map(|tool| &tool.tool))
    }

    /// The plugins, in the order of their names.
    pub fn plugins(&self) -> impl Iterator<Item = &PluginConfig> {
        self.shared
            .registry
            .plugins
            .iter()
            .map(|plugin| &plugin.config)
    }

    /// Runs one call. It waits for its turn if as many run as may; dropping the future ends the
    /// call wherever it is.
    pub async fn call(&self, call: ToolCall) -> ToolResult {
        let never = CancellationToken::new();
        self.call_since(Instant::now(), call, &never).await
    }

    /// As [`call`](ToolHost::call), for a call that was handed over at `queued` and may be cancelled.
    async fn call_since(
        &self,
        queued: Instant,
        call: ToolCall,
        cancel: &CancellationToken,
    ) -> ToolResult {
        let id = call.id.clone();
        let name = call.name.clone();
        let mut start = None;
        let served = match self.shared.registry.find(&name) {
            None => {
                let similar = self.shared.registry.similar(&name);
                Served::refused(CallError::UnknownTool { similar })
            }
            Some((_, plugin, tool)) => {
                let permits = cancel.run_until_cancelled(self.permits(plugin)).await;
                match permits {
                    None => Served::refused(CallError::Cancelled),
                    Some(_permits) => {
                        let start = *start.insert(Instant::now());
                        let span =
                            debug_span!("call", id, tool = name, plugin = plugin.config.name);
                        // Boxed, so that a call that waits does not hold room for one that runs.
                        let served = Box::pin(plugin.call(tool, call, start, cancel));
                        let served = AssertUnwindSafe(served.instrument(span)).catch_unwind();
                        let served = served.await;
                        served.unwrap_or_else(|panic| Served::refused(panicked(&*panic)))
                    }
                }
            }
        };
        let end = Instant::now();
        // What never ran waited for all of its time.
        let start = start.unwrap_or(end);
        ToolResult {
            id,
            name,
            usage: Usage {
                queue: start - queued,
                run: end - start,
                peak_memory: served.peak_memory,
                output_bytes: served.outcome.as_ref().map_or(0, |output| output.len()),
            },
            outcome: served.outcome,
            log: served.log,
        }
    }

    /// The plugin's permit first: a call that waits for its plugin keeps nobody else from running.
    /// Neither semaphore is ever closed.
    async fn permits<'a>(&'a self, plugin: &'a Plugin) -> [Option<SemaphorePermit<'a>>; 2] {
        let plugin_permit = match &plugin.permits {
            Some(permits) => permits.acquire().await.ok(),
            None => None,
        };
        [plugin_permit, self.shared.permits.acquire().await.ok()]
    }

    /// Runs a batch, up to the caps at once, and yields each result as it completes with the
    /// position of its call.
    ///
    /// Calls are taken from the iterator as room comes up, so memory grows with the caps and not
    /// with the batch. Dropping the stream cancels what runs; [`Batch::cancel`] does so and still
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

/// A panic of the host while it served a call is that call's error and nobody else's.
fn panicked(panic: &(dyn Any + Send)) -> CallError {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    CallError::internal(format!("the host panicked: {message}"))
}
