//! Runs the hooks of a host, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::fit::Fit;
use crate::error::CallError;
use crate::hook::{Decision, Hook};
use crate::provider::RunOutcome;
use crate::tool::{Tool, ToolCall, ToolResult};

/// At least one hook.
pub(super) struct Hooks(Vec<Arc<dyn Hook>>);

impl Hooks {
    pub(super) fn new(hooks: Vec<Arc<dyn Hook>>) -> Option<Hooks> {
        (!hooks.is_empty()).then_some(Hooks(hooks))
    }

    /// The outcome of a call that a hook does not let run: the first such hook decides. `None` if
    /// it runs.
    pub(super) async fn before(
        &self,
        call: &ToolCall,
        tool: &Tool,
        cancel: &CancellationToken,
    ) -> Option<RunOutcome> {
        for hook in &self.0 {
            let asked = AssertUnwindSafe(async { hook.before(call, tool).await }).catch_unwind();
            let outcome = match cancel.run_until_cancelled(asked).await {
                None => Err(CallError::Cancelled),
                Some(Ok(Decision::Run)) => continue,
                Some(Ok(Decision::Refuse { why })) => Err(CallError::Denied { what: why }),
                Some(Ok(Decision::Answer(output))) => Ok(output),
                // A hook that panics has not approved the call.
                Some(Err(panic)) => Err(super::panicked(&*panic)),
            };
            return Some(outcome.into());
        }
        None
    }

    pub(super) fn after(&self, fit: &Fit<'_, '_>, result: &ToolResult) {
        let tool = fit.found.map(|(_, tool)| &tool.tool);
        for hook in &self.0 {
            let told = catch_unwind(AssertUnwindSafe(|| hook.after(&fit.call, tool, result)));
            if told.is_err() {
                tracing::error!("a hook panicked after a call of {}", fit.tool());
            }
        }
    }
}
