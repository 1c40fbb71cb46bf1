//! Runs the hooks of a host, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::call_validation::FittedCall;
use crate::error::CallError;
use crate::hook::{Decision, Hook};
use crate::order::{Domain, DomainAccess, OrderClient, PlaceInOrder};
use crate::provider::RunOutcome;
use crate::tool::{Tool, ToolCall, ToolResult};

/// At least one hook.
pub(super) struct Hooks(Vec<Listed>);

struct Listed {
    hook: Arc<dyn Hook>,
    /// The line of the calls that it asks a user about.
    line: Arc<Domain>,
}

/// The places of a call in the lines of the hooks that ask a user, in the order of the hooks.
/// Empty if no hook asks.
pub(super) struct HookPlaces(Vec<Option<PlaceInOrder>>);

impl Hooks {
    pub(super) fn new(hooks: Vec<Arc<dyn Hook>>) -> Option<Hooks> {
        let line = Domain::new;
        let listed = hooks.into_iter().map(|hook| Listed { hook, line: line() });
        let listed: Vec<Listed> = listed.collect();
        (!listed.is_empty()).then_some(Hooks(listed))
    }

    /// Whether a user may have to decide about calls of this tool.
    pub(super) fn ask_somebody(&self, tool: &Tool) -> bool {
        self.0.iter().any(|it| it.hook.asks_somebody(tool))
    }

    /// Takes the places of a call when it is handed over.
    pub(super) fn enter(&self, tool: &Tool, client: OrderClient) -> HookPlaces {
        if !self.ask_somebody(tool) {
            return HookPlaces(Vec::new());
        }
        let places = self.0.iter().map(|Listed { hook, line }| {
            let enter = || line.enter(client, DomainAccess::Change, String::new);
            hook.asks_somebody(tool).then(enter)
        });
        HookPlaces(places.collect())
    }

    /// The outcome of a call that a hook does not let run: the first such hook decides. `None` if
    /// it runs.
    pub(super) async fn before(
        &self,
        call: &ToolCall,
        tool: &Tool,
        HookPlaces(mut places): HookPlaces,
        cancel: &CancellationToken,
    ) -> Option<RunOutcome> {
        for (index, Listed { hook, .. }) in self.0.iter().enumerate() {
            let place = places.get_mut(index).and_then(Option::take);
            let asked = async {
                if let Some(place) = &place {
                    place.granted().await;
                }
                hook.before(call, tool).await
            };
            let asked = AssertUnwindSafe(asked).catch_unwind();
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

    pub(super) fn after(&self, fit: &FittedCall<'_, '_>, result: &ToolResult) {
        let tool = fit.found.map(|(_, tool)| &tool.tool);
        for Listed { hook, .. } in &self.0 {
            let told = catch_unwind(AssertUnwindSafe(|| hook.after(&fit.call, tool, result)));
            if told.is_err() {
                tracing::error!("a hook panicked after a call of {}", fit.tool());
            }
        }
    }
}
