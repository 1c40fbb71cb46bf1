//! The hooks of a host, asked one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::fit::Fit;
use crate::error::CallError;
use crate::hook::{Decision, Hook};
use crate::order::{Access, Client, Domain, Place};
use crate::provider::RunOutcome;
use crate::tool::{Tool, ToolCall, ToolResult};

/// Those that there are: at least one.
pub(super) struct Hooks(Vec<Listed>);

struct Listed {
    hook: Arc<dyn Hook>,
    /// The calls that it asks somebody about.
    line: Arc<Domain>,
}

/// The places of a call among those that hooks ask somebody about, by the hooks' order; none where no hook does.
pub(super) struct HookPlaces(Vec<Option<Place>>);

impl Hooks {
    pub(super) fn new(hooks: Vec<Arc<dyn Hook>>) -> Option<Hooks> {
        let line = Domain::new;
        let listed = hooks.into_iter().map(|hook| Listed { hook, line: line() });
        let listed: Vec<Listed> = listed.collect();
        (!listed.is_empty()).then_some(Hooks(listed))
    }

    /// Whether somebody may have to be asked about calls of that tool.
    pub(super) fn ask_somebody(&self, tool: &Tool) -> bool {
        self.0.iter().any(|it| it.hook.asks_somebody(tool))
    }

    /// Takes the places of a call that is handed over.
    pub(super) fn enter(&self, tool: &Tool, client: Client) -> HookPlaces {
        if !self.ask_somebody(tool) {
            return HookPlaces(Vec::new());
        }
        let places = self.0.iter().map(|Listed { hook, line }| {
            let enter = || line.enter(client, Access::Change, String::new);
            hook.asks_somebody(tool).then(enter)
        });
        HookPlaces(places.collect())
    }

    /// What a call comes to that does not run: the first hook that does not let it decides.
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
                // A call that nobody let run does not run.
                Some(Err(panic)) => Err(super::panicked(&*panic)),
            };
            return Some(outcome.into());
        }
        None
    }

    pub(super) fn after(&self, fit: &Fit<'_, '_>, result: &ToolResult) {
        let tool = fit.found.map(|(_, tool)| &tool.tool);
        for Listed { hook, .. } in &self.0 {
            let told = catch_unwind(AssertUnwindSafe(|| hook.after(&fit.call, tool, result)));
            if told.is_err() {
                tracing::error!("a hook panicked after a call of {}", fit.tool());
            }
        }
    }
}
