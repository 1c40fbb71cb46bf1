//! A call as it meets its tool: the tool it is for, and the arguments as that gets them. What is
//! approved, run and written down is this call.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::ToolHost;
use crate::error::CallError;
use crate::limits::{Limit, Limits};
use crate::provider::ProvidedTool;
use crate::registry::Registered;
use crate::schema::{Fitted, Schema};
use crate::tool::{Repair, ToolCall};

/// A call, and what of it was repaired.
pub(super) struct Fit<'h, 'c> {
    pub(super) call: Cow<'c, ToolCall>,
    pub(super) repairs: Vec<Repair>,
    /// What it is for, even if that cannot take it.
    pub(super) found: Option<(&'h Registered, &'h ProvidedTool)>,
    /// What serves it, or why nothing does.
    pub(super) served_by: Result<(&'h Registered, &'h ProvidedTool), CallError>,
}

impl Fit<'_, '_> {
    /// The tool's name, or what was called where there is none.
    pub(super) fn tool(&self) -> &str {
        self.found
            .map_or(&self.call.name, |(_, tool)| &tool.tool.name)
    }
}

impl ToolHost {
    /// Holds a call against the schema of its tool, if its client may call that.
    pub(super) fn fit<'h, 'c>(
        &'h self,
        call: &'c ToolCall,
        allowed: Option<&BTreeSet<String>>,
    ) -> Fit<'h, 'c> {
        let mut fitting = Cow::Borrowed(call);
        let found = self.registry.find_allowed(&call.name, allowed);
        if let Some(error) = call.refusal() {
            return Fit {
                call: fitting,
                repairs: Vec::new(),
                found: found.ok().map(|(_, by, tool)| (&**by, &**tool)),
                served_by: Err(error),
            };
        }
        let (_, by, tool) = match found {
            Ok(found) => found,
            Err(unknown) => {
                return Fit {
                    call: fitting,
                    repairs: Vec::new(),
                    found: None,
                    served_by: Err(unknown),
                };
            }
        };
        let source = self.shared.repairs.then_some(&tool.tool.input_schema);
        let limits = by.provider.limits();
        let written = call.json_arguments(&tool.tool.input_schema);
        let fitted = written.and_then(|written| {
            let Fitted { text, repairs } = arguments(&written, &tool.schema, source, limits)?;
            let repaired = match text {
                Cow::Owned(text) => Some(text),
                Cow::Borrowed(_) => None,
            };
            // Free text is JSON from here on.
            let changed = repaired.or(match written {
                Cow::Owned(text) => Some(text),
                Cow::Borrowed(_) => None,
            });
            Ok((changed, repairs))
        });
        let (served_by, repairs) = match fitted {
            Ok((changed, repairs)) => {
                if let Some(arguments) = changed {
                    fitting.to_mut().arguments = arguments;
                }
                (Ok((&**by, &**tool)), repairs)
            }
            Err(error) => (Err(error), Vec::new()),
        };
        Fit {
            call: fitting,
            repairs,
            found: Some((by, tool)),
            served_by,
        }
    }
}

/// Arguments as a tool of that schema gets them, repaired where `source` is the schema's own.
pub(super) fn arguments<'c>(
    written: &'c str,
    schema: &Schema,
    source: Option<&serde_json::Value>,
    limits: &Limits,
) -> Result<Fitted<'c>, CallError> {
    let bound = limits.max_input;
    let is_over = |text: &str| text.len() as u64 > bound.as_u64();
    if is_over(written) {
        return Err(CallError::over(Limit::Input, bound));
    }
    let unchanged = || Fitted {
        text: Cow::Borrowed(written),
        repairs: Vec::new(),
    };
    let Some(source) = source else {
        return schema.check(written).map(|()| unchanged());
    };
    let fitted = schema.fit(source, written)?;
    // A number is longer as a string.
    if is_over(&fitted.text) {
        return schema.check(written).map(|()| unchanged());
    }
    Ok(fitted)
}
