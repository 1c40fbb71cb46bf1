//! Tools as the request to an API has them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fit::{fit_tool, odd};
use super::keys::Keys;
use super::{Format, Names};
use crate::tool::Tool;

/// Tools, declared to an API.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Declared {
    /// As a request has them.
    pub tools: Box<RawValue>,
    /// Those that it does not have.
    pub left_out: Vec<LeftOut>,
}

/// A tool that an API would refuse, and every request with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its name.
    pub tool: String,
    /// What is wrong with it, as what it does or has.
    pub why: String,
}

impl Format {
    /// The tools as a request has them, by these names, with schemas that its API takes.
    ///
    /// ```
    /// use serde_json::json;
    /// use toolhost_wire::Tool;
    /// use toolhost_wire::wire::{Format, Names};
    ///
    /// let add = Tool::new("add", "Adds two numbers.").with_input_schema(json!({
    ///     "type": "object",
    ///     "properties": { "a": { "type": "number" }, "b": { "type": "number" } },
    /// }));
    /// let names = Names::of_tools(Format::Anthropic, &[&add]);
    /// let declared = Format::Anthropic.declare(&[&add], &names);
    /// assert!(declared.tools.get().starts_with(r#"[{"name":"add","description":"Adds two numbers.""#));
    /// assert!(declared.left_out.is_empty());
    /// ```
    pub fn declare(self, tools: &[&Tool], names: &Names) -> Declared {
        let mut left_out = Vec::new();
        let mut fitted = Vec::new();
        for tool in tools {
            match fit_tool(tool, self)
                .and_then(|(fitted, keys)| leads_back(tool, fitted, &keys, names))
            {
                Ok(tool) => fitted.push(tool),
                Err(why) => left_out.push(LeftOut {
                    tool: tool.name.clone(),
                    why,
                }),
            }
        }
        let tools: Vec<&Tool> = fitted.iter().map(|tool| &**tool).collect();
        Declared {
            tools: self.wire().declare(&tools, names),
            left_out,
        }
    }
}

/// The tool, if calls of it are given its own names of arguments again.
fn leads_back<'t>(
    tool: &Tool,
    fitted: Cow<'t, Tool>,
    keys: &Keys,
    names: &Names,
) -> Result<Cow<'t, Tool>, String> {
    match keys.values().next() {
        Some(name) if names.arguments(&tool.name) != Some(keys) => Err(odd(name)),
        _ => Ok(fitted),
    }
}
