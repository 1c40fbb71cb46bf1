//! Tool names on the wire: those that an API would refuse are given another, which leads back to
//! the tool.

use std::collections::HashMap;

use super::keys::{self, Keys};
use super::{Format, fit, leaks};
use crate::digest;
use crate::tool::Tool;

/// The names that the tools of a host have in a format. The same tools always get the same names.
///
/// ```
/// use toolhost_wire::wire::{Format, Names};
///
/// // Gemini takes no name that begins with a digit.
/// let names = Names::new(Format::Gemini, ["2fa_code", "add"]);
/// let wire = names.wire("2fa_code");
/// assert_ne!(wire, "2fa_code");
/// assert_eq!(names.tool(wire), "2fa_code");
/// assert_eq!(names.wire("add"), "add");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Only those that differ.
    to_wire: HashMap<String, String>,
    from_wire: HashMap<String, String>,
    /// Of the arguments of tools, by the tools' own names.
    arguments: HashMap<String, Keys>,
}

impl Names {
    /// Names for these tools, and for those of their arguments that an API would refuse.
    pub fn of_tools(format: Format, tools: &[&Tool]) -> Self {
        let mut names = Names::new(format, tools.iter().map(|tool| &*tool.name));
        for tool in tools {
            let keys = fit::keys(tool, format);
            if !keys.is_empty() {
                names.arguments.insert(tool.name.clone(), keys);
            }
        }
        names
    }

    /// The names that a tool's arguments have on the wire, where they differ.
    pub(super) fn arguments(&self, tool: &str) -> Option<&Keys> {
        self.arguments.get(tool)
    }

    /// Names for these tools.
    pub fn new<'a>(format: Format, tools: impl IntoIterator<Item = &'a str>) -> Self {
        let Some(rule) = format.wire().name_rule() else {
            return Names::default();
        };
        let is_taken = |name: &str| {
            let mut chars = name.chars();
            let begins = chars
                .next()
                .is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || rule.begins_with_any);
            begins && name.len() <= rule.longest && name.chars().all(is_plain)
        };
        let mut names = Names::default();
        for tool in tools {
            if is_taken(tool) || names.to_wire.contains_key(tool) {
                continue;
            }
            let name = another(tool, rule.longest);
            names.from_wire.insert(name.clone(), tool.to_owned());
            names.to_wire.insert(tool.to_owned(), name);
        }
        names
    }

    /// The name on the wire of a tool.
    pub fn wire<'a>(&'a self, tool: &'a str) -> &'a str {
        self.to_wire.get(tool).map_or(tool, String::as_str)
    }

    /// The tool of a name on the wire. What a template has left on a name that stands for itself is
    /// the host's to take off.
    pub fn tool<'a>(&'a self, name: &'a str) -> &'a str {
        self.other(name).map_or(name, String::as_str)
    }

    /// The tool of a name that stands for another.
    fn other(&self, name: &str) -> Option<&String> {
        let wire = leaks::find(name, |name| self.from_wire.contains_key(name))?;
        self.from_wire.get(wire)
    }

    /// Gives decoded calls the names of the tools that they call, and their arguments those of the tools.
    pub fn restore(&self, calls: &mut [crate::ToolCall]) {
        if self.from_wire.is_empty() && self.arguments.is_empty() {
            return;
        }
        for call in calls {
            if let Some(tool) = self.other(&call.name) {
                call.name.clone_from(tool);
            }
            if let Some(keys) = self.arguments.get(&call.name)
                && let Some(arguments) = keys::restore(keys, &call.arguments)
            {
                call.arguments = arguments;
            }
        }
    }
}

/// What all APIs take within a name.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// What can be read of the name, and eight digits of its digest: no two tools get the same, nor one
/// that another tool has by chance.
fn another(tool: &str, longest: usize) -> String {
    let readable: String = tool
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .take(longest - "t__12345678".len())
        .collect();
    format!("t_{readable}_{}", &digest::sha256(tool)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToolCall;

    #[test]
    fn a_name_that_all_take_stays() {
        for format in Format::ALL {
            let names = Names::new(format, ["echo", "A_b-9"]);
            assert_eq!(names.wire("echo"), "echo");
            assert_eq!(names.tool("A_b-9"), "A_b-9");
        }
    }

    #[test]
    fn what_an_api_refuses_gets_a_name_that_leads_back() {
        let long = "x".repeat(100);
        let tools = ["9lives", "-dash", "a.b", "a/b", "über", &long, "echo"];
        for format in [
            Format::OpenaiChat,
            Format::OpenaiResponses,
            Format::Anthropic,
            Format::Gemini,
        ] {
            let names = Names::new(format, tools);
            let mut seen = std::collections::HashSet::new();
            for tool in tools {
                let wire = names.wire(tool);
                let rule = format.wire().name_rule().unwrap();
                let first = wire.chars().next().unwrap();
                assert!(
                    rule.begins_with_any || first.is_ascii_alphabetic(),
                    "{wire}"
                );
                assert!(wire.chars().all(is_plain), "{wire}");
                assert!(wire.len() <= rule.longest, "{wire}");
                assert!(seen.insert(wire.to_owned()), "{wire} twice");
                assert_eq!(names.tool(wire), tool);
                let mut calls = [ToolCall::new("1", wire, "{}")];
                names.restore(&mut calls);
                assert_eq!(calls[0].name, tool);
            }
        }
        assert_eq!(Names::new(Format::Mcp, tools).wire("a.b"), "a.b");
    }
}
