//! The tools that a section of the manifest names, in `tools` and `allowed-callers`.

use std::path::Path;

use super::AllowedCallers;
use crate::error::{Diagnostic, Location, similar};

/// How many of the offered tools are named when one is unknown.
const SHOWN_NAMES: usize = 50;

/// The problems of a section that names tools which its plugin or server does not offer.
pub fn unknown_tools(
    section: &str,
    tools: Option<&[(String, Location)]>,
    callers: &AllowedCallers,
    offered: &[&str],
    manifest: &Path,
) -> Vec<Diagnostic> {
    let chosen = tools.into_iter().flatten();
    let chosen = chosen.map(|(name, at)| (&**name, *at));
    let named = chosen.chain(callers.named());
    let unknown = named.filter(|(name, _)| !offered.contains(name));
    let problems = unknown.map(|(name, at)| unknown_tool(section, name, at, offered, manifest));
    problems.collect()
}

/// The problem of a section that names a tool which is not among those `offered`.
pub(crate) fn unknown_tool(
    section: &str,
    name: &str,
    at: Location,
    offered: &[&str],
    manifest: &Path,
) -> Diagnostic {
    let message = format!("`{section}` offers no tool named `{name}`");
    let help = match similar(name, offered.iter().copied()).first() {
        Some(near) => format!("did you mean `{near}`?"),
        None if offered.len() > SHOWN_NAMES => {
            format!("it offers: {}, …", offered[..SHOWN_NAMES].join(", "))
        }
        None => format!("it offers: {}", offered.join(", ")),
    };
    Diagnostic::new(manifest, Some(at), message).help(help)
}
