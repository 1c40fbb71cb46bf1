//! A call as it meets its tool: the tool it is for, and the arguments as that gets them. What is
//! approved, run and written down is this call.
//!
//! Most calls are held against the schema of their tool at once, before they wait for anything. Where that
//! would keep the thread from others, it is done in the call's turn, in its time.

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
use crate::schema::checking::{Allowed, apart, at_once};
use crate::schema::{Checked, Fitted, Schema};
use crate::tool::{Repair, ToolCall};

/// A call, and what of it was repaired.
pub(super) struct Fit<'h, 'c> {
    pub(super) call: Cow<'c, ToolCall>,
    pub(super) repairs: Vec<Repair>,
    /// What it is for, even if that cannot take it.
    pub(super) found: Option<(&'h Registered, &'h Arc<ProvidedTool>)>,
    /// What serves it, or why nothing does.
    pub(super) served_by: Result<(&'h Registered, &'h Arc<ProvidedTool>), CallError>,
    /// Whether its arguments are yet to be held against the schema: it is as it was written.
    pub(super) is_unchecked: bool,
}

/// What becomes of a call's arguments where they change, and the repairs.
type Changes = (Option<String>, Vec<Repair>);

impl Fit<'_, '_> {
    /// The tool's name, or what was called where there is none.
    pub(super) fn tool(&self) -> &str {
        self.found
            .map_or(&self.call.name, |(_, tool)| &tool.tool.name)
    }
}

impl ToolHost {
    /// Holds a call against the schema of its tool, if its client may call that and it takes a moment only.
    pub(super) fn fit<'h, 'c>(
        &'h self,
        call: &'c ToolCall,
        allowed: Option<&BTreeSet<String>>,
    ) -> Fit<'h, 'c> {
        let mut fit = Fit {
            call: Cow::Borrowed(call),
            repairs: Vec::new(),
            found: None,
            served_by: Err(CallError::Cancelled),
            is_unchecked: false,
        };
        let found = self.registry.find_allowed(&call.name, allowed);
        if let Some(error) = call.refusal() {
            fit.found = found.ok().map(|(_, by, tool)| (&**by, tool));
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
        fit.found = Some((&**by, tool));
        fit.served_by = Ok((&**by, tool));
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

    /// Holds a call against the schema of its tool, in its turn; what that took is beside.
    pub(super) async fn fit_apart(
        &self,
        call: &ToolCall,
        tool: &Arc<ProvidedTool>,
        allowed: Allowed<'_>,
    ) -> (Result<Changes, CallError>, Duration) {
        let (call, tool) = (call.clone(), tool.clone());
        let (repairs, limits) = (self.shared.repairs, allowed.limits.clone());
        let check = move |watch: &Watch| fitted(&call, &tool, repairs, &limits, watch);
        let (checked, spent) = apart(allowed, check).await;
        (checked.and_then(|checked| checked), spent)
    }

    /// The same on this thread, for as long as the call may take.
    pub(super) fn fit_here<'h, 'c>(&'h self, call: &'c ToolCall) -> Fit<'h, 'c> {
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

impl Fit<'_, '_> {
    /// The arguments are as the tool gets them.
    pub(super) fn change(&mut self, (arguments, repairs): Changes) {
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
) -> Checked<Result<Changes, CallError>> {
    let written = match call.json_arguments(&tool.tool.input_schema) {
        Ok(written) => written,
        Err(error) => return Ok(Err(error)),
    };
    let source = repairs.then_some(&tool.tool.input_schema);
    let Fitted { text, repairs } = match arguments(&written, &tool.schema, source, limits, watch)? {
        Ok(fitted) => fitted,
        Err(error) => return Ok(Err(error)),
    };
    let repaired = match text {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    };
    // Free text is JSON from here on.
    let changed = repaired.or(match written {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    });
    Ok(Ok((changed, repairs)))
}

/// # Errors
///
/// They are longer than they may be.
fn bounded(arguments: &str, limits: &Limits) -> Result<(), CallError> {
    let bound = limits.max_input;
    match arguments.len() as u64 > bound.as_u64() {
        true => Err(CallError::over(Limit::Input, bound)),
        false => Ok(()),
    }
}

/// Arguments as a tool of that schema gets them, repaired where `source` is the schema's own.
pub(super) fn arguments<'c>(
    written: &'c str,
    schema: &Schema,
    source: Option<&serde_json::Value>,
    limits: &Limits,
    watch: &Watch,
) -> Checked<Result<Fitted<'c>, CallError>> {
    if let Err(error) = bounded(written, limits) {
        return Ok(Err(error));
    }
    let unchanged = || Fitted {
        text: Cow::Borrowed(written),
        repairs: Vec::new(),
    };
    let Some(source) = source else {
        return Ok(schema.check(written, watch)?.map(|()| unchanged()));
    };
    let fitted = schema.fit(source, written, watch)?;
    // A number is longer as a string.
    if let Ok(fitted) = &fitted
        && bounded(&fitted.text, limits).is_err()
    {
        return Ok(schema.check(written, watch)?.map(|()| unchanged()));
    }
    Ok(fitted)
}
