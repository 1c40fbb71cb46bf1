//! JavaScript and TypeScript: the SDK's own build, which runs esbuild and componentize-qjs.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::sources;
use super::project::{Project, package_json};
use super::toolchain::{BuildError, Built, Toolchain, is_installed};

/// The oldest Node that runs the build.
const MIN_NODE: u32 = 20;

const HOW: &str = "install Node 20 or newer with npm, from https://nodejs.org";

/// Builds a project's component into `output`.
pub(super) async fn build(
    toolchain: &Toolchain<'_>,
    project: &Project,
    output: &Path,
) -> Built<()> {
    check_node(toolchain, &project.folder).await?;
    let package = package_json(&project.folder).unwrap_or_default();
    check_dependencies(&project.folder, &package)?;
    let sdk = match own_sdk(&project.folder) {
        Some(own) => own,
        None => super::unpacked(toolchain, &sources::JAVASCRIPT, "javascript")?,
    };
    let mut node = toolchain.command("node", &project.folder);
    node.arg(sdk.join("bin/toolhost-plugin.js")).arg("build");
    match &project.entry {
        Some(entry) => node.arg(entry),
        None => node.arg("."),
    };
    node.arg("--output").arg(output);
    if let Some(engine) = package["toolhost"]["engine"].as_str() {
        node.args(["--engine", engine]);
    }
    node.args(["--timeout", &toolchain.seconds_left()]);
    let ended = toolchain.run(node).await?;
    super::sdk_result(&ended)
}

async fn check_node(toolchain: &Toolchain<'_>, folder: &Path) -> Built<()> {
    let mut node = toolchain.command("node", folder);
    node.arg("--version");
    let version = toolchain.run_if_there(node).await?;
    let version = version.map(|ended| ended.stdout.trim().to_owned());
    let missing = match &version {
        None => Some(format!("Node is not installed: {HOW}")),
        Some(version) => {
            let major = version.trim_start_matches('v').split('.').next();
            let major: Option<u32> = major.and_then(|major| major.parse().ok());
            let is_old = major.is_none_or(|major| major < MIN_NODE);
            is_old.then(|| format!("Node is {version}: {HOW}"))
        }
    };
    let missing = missing.or_else(|| {
        // It installs what builds, the first time.
        (!is_installed("npm")).then(|| format!("npm is not installed: {HOW}"))
    });
    missing.map_or(Ok(()), |missing| Err(BuildError::Missing(missing)))
}

/// The SDK beside the sources, or among the packages.
fn own_sdk(folder: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    let vendored = folder.join("toolhost-plugin");
    let mut candidates = std::iter::once(vendored).chain(
        folder
            .ancestors()
            .map(|above| above.join("node_modules/toolhost-plugin")),
    );
    candidates.find(|sdk| sdk.join("bin/toolhost-plugin.js").is_file())
}

/// Whether the packages that the plugin needs are installed; the SDK is not one of them.
fn check_dependencies(folder: &Path, package: &Value) -> Built<()> {
    let Ok(absolute) = std::path::absolute(folder) else {
        return Ok(());
    };
    let wanted = package["dependencies"].as_object();
    let wanted = wanted.into_iter().flatten().map(|(name, _)| name);
    let is_there = |name: &str| {
        let mut above = absolute.ancestors();
        above.any(|above| above.join("node_modules").join(name).exists())
    };
    let missing: Vec<&str> = wanted
        .map(|name| &**name)
        .filter(|name| *name != "toolhost-plugin" && !is_there(name))
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(BuildError::Missing(format!(
            "packages are not installed: {}: run `npm install` in {}",
            missing.join(", "),
            folder.display()
        ))),
    }
}
