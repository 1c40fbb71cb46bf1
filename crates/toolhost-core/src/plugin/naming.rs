//! What the manifest says of a plugin's tools by name: which to offer, and how they are called and
//! described.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::declared::Declared;
use crate::error::{Diagnostic, Location};
use crate::manifest::{PluginConfig, unknown_tool};

/// The tools that the manifest chooses, if it does.
pub(super) fn chosen(config: &PluginConfig) -> Option<HashSet<&str>> {
    let tools = config.tools.as_ref()?.iter();
    Some(tools.map(|(name, _)| &**name).collect())
}

/// Checks that the tools that the manifest names exist and can be offered.
pub(super) fn check(
    declared: &[Declared],
    config: &PluginConfig,
    manifest: &Path,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let known = by_name(declared);
    let wanted = config.tools.iter().flatten();
    let wanted = wanted.map(|(wanted, at)| (&**wanted, *at));
    for (name, at) in wanted.clone() {
        let refused = known
            .get(name)
            .and_then(|at| declared[*at].refused.as_ref());
        if let Some(why) = refused {
            let message = format!("`plugin.{}` cannot offer `{name}`: it {why}", config.name);
            problems.push(Diagnostic::new(manifest, Some(at), message));
        }
    }
    let renamed = config.rename.iter().map(|(old, (_, at))| (&**old, *at));
    for (wanted, at) in wanted.chain(config.allowed_callers.named()).chain(renamed) {
        if !known.contains_key(wanted) {
            problems.push(unknown(wanted, at, declared, config, manifest));
        }
    }
    problems
}

/// The positions of tools by all their names.
fn by_name(declared: &[Declared]) -> HashMap<String, usize> {
    let names = declared.iter().enumerate();
    let names = names.flat_map(|(at, it)| it.names().map(move |name| (name.to_owned(), at)));
    names.collect()
}

/// Sets the descriptions of the manifest: of a tool, or as `TOOL.ARGUMENT` of an argument.
pub(super) fn describe(
    declared: &mut [Declared],
    config: &PluginConfig,
    manifest: &Path,
    problems: &mut Vec<Diagnostic>,
) {
    let known = by_name(declared);
    for (name, (text, at)) in &config.describe {
        if let Some(tool) = known.get(name) {
            let tool = &mut declared[*tool];
            tool.tool.description.clone_from(text);
            tool.is_described = true;
            continue;
        }
        let argument = name.rsplit_once('.');
        let tool = argument.and_then(|(tool, argument)| Some((*known.get(tool)?, argument)));
        let Some((tool, argument)) = tool else {
            problems.push(unknown(name, *at, declared, config, manifest));
            continue;
        };
        let tool = &mut declared[tool];
        // What is not offered has no schema here.
        if !tool.input.is_empty() && !tool.describe_argument(argument, text) {
            let (plugin, tool) = (&config.name, &tool.tool.name);
            let message = format!(
                "`plugin.{plugin}.describe` names an argument `{argument}`, which `{tool}` does not have"
            );
            problems.push(Diagnostic::new(manifest, Some(*at), message));
        }
    }
}

fn unknown(
    wanted: &str,
    at: Location,
    declared: &[Declared],
    config: &PluginConfig,
    manifest: &Path,
) -> Diagnostic {
    let names: Vec<&str> = declared.iter().map(|it| &*it.tool.name).collect();
    unknown_tool(
        &format!("plugin.{}", config.name),
        wanted,
        at,
        &names,
        manifest,
    )
}
