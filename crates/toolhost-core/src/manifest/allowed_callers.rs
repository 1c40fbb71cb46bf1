//! `allowed-callers`: whether the model, a program that the model writes, or both may call a tool.
//! This is declared to the APIs that run such programs; they enforce it.

use std::collections::BTreeMap;

use super::reader::{ManifestSource, ManifestTable, Value, expect_string};
use crate::error::Location;

/// The allowed callers of the tools of a plugin, or of an MCP server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowedCallers {
    /// For tools that are not named.
    all: Vec<String>,
    /// For one tool, by its own name.
    by_tool: BTreeMap<String, (Vec<String>, Location)>,
}

impl AllowedCallers {
    /// The allowed callers of a tool, by its own name; empty if none were set.
    pub fn of(&self, tool: &str) -> &[String] {
        self.of_any(std::iter::once(tool))
    }

    /// The same for a tool with several names.
    pub(crate) fn of_any<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> &[String] {
        match names.find_map(|name| self.by_tool.get(name)) {
            Some((callers, _)) => callers,
            None => &self.all,
        }
    }

    /// Whether a tool that had its callers restricted in `before` is unrestricted here.
    pub(super) fn lack(&self, before: &AllowedCallers) -> bool {
        let is_lost = |tool: &str| !before.of(tool).is_empty() && self.of(tool).is_empty();
        let is_of_all = !before.all.is_empty() && self.all.is_empty();
        is_of_all || before.by_tool.keys().any(|tool| is_lost(tool))
    }

    /// The tools that are named, with their locations.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, Location)> {
        let named = self.by_tool.iter();
        named.map(|(tool, (_, at))| (&**tool, *at))
    }
}

/// Reads an array for all tools, or a table of arrays by tool name.
pub(super) fn read_allowed_callers(
    table: &mut ManifestTable,
    source: &mut ManifestSource,
) -> AllowedCallers {
    let mut allowed = AllowedCallers::default();
    let path = table.path("allowed-callers");
    let Some(value) = table.get("allowed-callers") else {
        return allowed;
    };
    if value.get_ref().as_table().is_none() {
        allowed.all = callers(value, &path, source);
        return allowed;
    }
    let tools = table.table("allowed-callers", source);
    for (tool, value, path) in tools.iter().flat_map(ManifestTable::entries) {
        let at = source.location(tool.span());
        let callers = callers(value, &path, source);
        let tool = tool.get_ref().to_string();
        allowed.by_tool.insert(tool, (callers, at));
    }
    allowed
}

fn callers(value: &Value, path: &str, source: &mut ManifestSource) -> Vec<String> {
    let Some(items) = value.get_ref().as_array() else {
        let message = format!("`{path}` must be an array, such as [\"direct\", \"programmatic\"]");
        source.problem(value.span(), message);
        return Vec::new();
    };
    let mut callers = Vec::new();
    for item in items {
        let Some(caller) = expect_string(item, path, source) else {
            continue;
        };
        if !is_caller(caller) {
            let message = format!(
                "`{path}`: unknown caller {caller:?}: use \"direct\", \"programmatic\", or one of Anthropic's \
                 versions such as \"code_execution_20260120\""
            );
            source.problem(item.span(), message);
        }
        callers.push(caller.to_owned());
    }
    callers
}

fn is_caller(text: &str) -> bool {
    let is_date = |text: &str| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let version = text.strip_prefix("code_execution_");
    matches!(text, "direct" | "programmatic") || version.is_some_and(is_date)
}
