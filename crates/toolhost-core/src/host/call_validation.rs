//! Matching a call with its tool: finds the tool, validates the arguments against its schema and
//! repairs them. The result is what is approved, run and audited.
//!
//! Most calls are validated at once, before they wait for anything. Validation that would block the
//! thread for long is done in the call's turn and counts against its deadline.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use toolhost_schema::Watch;

use super::ToolHost;
use crate::error::CallError;
use crate::limits::{Limit, Limits};
use crate::provider::ProvidedTool;
use crate::registry::Registered;
use crate::schema::check_scheduling::{Allowed, apart, at_once};
use crate::schema::{Checked, FittedArguments, Schema};
use crate::tool::{Repair, ToolCall};

/// A call matched with its tool, and the repairs of its arguments.
pub(super) struct FittedCall<'h, 'c> {
    pub(super) call: Cow<'c, ToolCall>,
    pub(super) repairs: Vec<Repair>,
    /// The provider and tool of that name, even if the arguments are invalid.
    pub(super) found: Option<(&'h Arc<Registered>, &'h Arc<ProvidedTool>)>,
    /// The provider and tool that will serve the call, or why the call is refused.
    pub(super) served_by: Result<(&'h Arc<Registered>, &'h Arc<ProvidedTool>), CallError>,
    /// Whether the arguments have not been validated yet; they are then as the model wrote them.
    pub(super) is_unchecked: bool,
}

/// New arguments, if they changed, and the repairs.
type ArgumentChanges = (Option<String>, Vec<Repair>);

impl FittedCall<'_, '_> {
    /// The tool's name, or the name that was called if there is no such tool.
    pub(super) fn tool(&self) -> &str {
        self.found
            .map_or(&self.call.name, |(_, tool)| &tool.tool.name)
    }
}

impl ToolHost {
    /// Validates a call if its client may call the tool and validation is quick.
    pub(super) fn fit<'h, 'c>(
        &'h self,
        call: &'c ToolCall,
        allowed: Option<&BTreeSet<String>>,
    ) -> FittedCall<'h, 'c> {
        let mut fit = FittedCall {
            call: Cow::Borrowed(call),
            repairs: Vec::new(),
            found: None,
            served_by: Err(CallError::Cancelled),
            is_unchecked: false,
        };
        let found = self.registry.find_allowed(&call.name, allowed);
        if let Some(error) = call.refusal() {
            fit.found = found.ok().map(|(_, by, tool)| (by, tool));
            fit.served_by = Err(error);
            return fit;
        }
        let (_, by, tool) = match found {
            Ok(found) => found,
            Err(unknown) => {
                fit.served_by = Err(unknown);
                return fit;
            }
        };
        fit.found = Some((by, tool));
        fit.served_by = Ok((by, tool));
        let limits = by.provider.limits();
        let text = call.arguments_text();
        let fitted = match bounded(text, limits) {
            Err(error) => Some(Err(error)),
            Ok(()) => at_once(text.len(), |watch| {
                fitted(call, tool, self.shared.repairs, limits, watch)
            }),
        };
        match fitted {
            Some(Ok(changes)) => fit.change(changes),
            Some(Err(error)) => fit.served_by = Err(error),
            None => fit.is_unchecked = true,
        }
        fit
    }

    /// Validates a call in its turn. Returns the CPU time it took as well.
    pub(super) async fn fit_apart(
        &self,
        call: &ToolCall,
        tool: &Arc<ProvidedTool>,
        allowed: Allowed<'_>,
    ) -> (Result<ArgumentChanges, CallError>, Duration) {
        let (call, tool) = (call.clone(), tool.clone());
        let (repairs, limits) = (self.shared.repairs, allowed.limits.clone());
        let check = move |watch: &Watch| fitted(&call, &tool, repairs, &limits, watch);
        let (checked, spent) = apart(allowed, check).await;
        (checked.and_then(|checked| checked), spent)
    }

    /// Validates a call on the current thread, for up to the call's timeout.
    pub(super) fn fit_here<'h, 'c>(&'h self, call: &'c ToolCall) -> FittedCall<'h, 'c> {
        let mut fit = self.fit(call, None);
        let Some((by, tool)) = fit.found.filter(|_| fit.is_unchecked) else {
            return fit;
        };
        let limits = by.provider.limits();
        let deadline = limits.deadline(Instant::now());
        let is_time = || Instant::now() >= deadline;
        let watch = Watch::until(&is_time);
        fit.is_unchecked = false;
        match fitted(call, tool, self.shared.repairs, limits, &watch) {
            Ok(Ok(changes)) => fit.change(changes),
            Ok(Err(error)) => fit.served_by = Err(error),
            Err(_) => {
                let after = limits.timeout;
                fit.served_by = Err(CallError::Timeout { after });
            }
        }
        fit
    }
}

impl FittedCall<'_, '_> {
    /// Applies the arguments that the tool gets, and their repairs.
    pub(super) fn change(&mut self, (arguments, repairs): ArgumentChanges) {
        if let Some(arguments) = arguments {
            self.call.to_mut().arguments = arguments;
        }
        self.repairs = repairs;
    }
}

/// The arguments of a call as its tool gets them.
fn fitted(
    call: &ToolCall,
    tool: &ProvidedTool,
    repairs: bool,
    limits: &Limits,
    watch: &Watch,
) -> Checked<Result<ArgumentChanges, CallError>> {
    let written = match call.json_arguments(&tool.tool.input_schema) {
        Ok(written) => written,
        Err(error) => return Ok(Err(error)),
    };
    let source = repairs.then_some(&tool.tool.input_schema);
    let FittedArguments { text, repairs } =
        match arguments(&written, &tool.schema, source, limits, watch)? {
            Ok(fitted) => fitted,
            Err(error) => return Ok(Err(error)),
        };
    let repaired = match text {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    };
    // Free text is wrapped as JSON from here on.
    let changed = repaired.or(match written {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    });
    Ok(Ok((changed, repairs)))
}

/// # Errors
///
/// The arguments are longer than `max-input`.
fn bounded(arguments: &str, limits: &Limits) -> Result<(), CallError> {
    let bound = limits.max_input;
    match arguments.len() as u64 > bound.as_u64() {
        true => Err(CallError::over(Limit::Input, bound)),
        false => Ok(()),
    }
}

/// Arguments as a tool with that schema gets them; repaired only if `source` is the schema's own.
pub(super) fn arguments<'c>(
    written: &'c str,
    schema: &Schema,
    source: Option<&serde_json::Value>,
    limits: &Limits,
    watch: &Watch,
) -> Checked<Result<FittedArguments<'c>, CallError>> {
    if let Err(error) = bounded(written, limits) {
        return Ok(Err(error));
    }
    let unchanged = || FittedArguments {
        text: Cow::Borrowed(written),
        repairs: Vec::new(),
    };
    let Some(source) = source else {
        return Ok(schema.check(written, watch)?.map(|()| unchanged()));
    };
    let fitted = schema.fit(source, written, watch)?;
    // A number grows when it becomes a string.
    if let Ok(fitted) = &fitted
        && bounded(&fitted.text, limits).is_err()
    {
        return Ok(schema.check(written, watch)?.map(|()| unchanged()));
    }
    Ok(fitted)
}
