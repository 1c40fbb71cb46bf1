//! The tools that a section of the manifest names, in `tools` and `allowed-callers`.

use std::path::Path;

use super::AllowedCallers;
use crate::error::{Diagnostic, Location, similar};

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
    let problems = unknown.map(|(name, at)| {
        let message = format!("`{section}` offers no tool named `{name}`");
        let help = match similar(name, offered.iter().copied()).first() {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it offers: {}", offered.join(", ")),
        };
        Diagnostic::new(manifest, Some(at), message).help(help)
    });
    problems.collect()
}
