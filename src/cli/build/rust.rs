//! Rust: cargo, for wasm32-wasip2, whose linker makes components; or for wasm32-wasip1 where that is what there is.

use std::path::{Path, PathBuf};

use serde_json::Value;
use toolhost::inspect::component_of;

use super::project::Project;
use super::toolchain::{BuildError, Built, Toolchain, is_installed};

const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-wasip1"];

/// Builds a project's component into `output`.
pub(super) async fn build(
    toolchain: &Toolchain<'_>,
    project: &Project,
    output: &Path,
) -> Built<()> {
    let target = target(toolchain, &project.folder).await?;
    let mut cargo = toolchain.command("cargo", &project.folder);
    cargo
        .args(["build", "--release", "--lib", "--target", &target])
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env("CARGO_TERM_COLOR", "never");
    let ended = toolchain.run(cargo).await?;
    if !ended.status.success() {
        return Err(BuildError::Failed {
            said: ended.stderr,
            why: format!("cargo ended with {}", ended.status),
        });
    }
    let Some(module) = built(&ended.stdout, &project.name()) else {
        return Err(BuildError::failed(
            "cargo built no WebAssembly: `[lib]` in Cargo.toml needs `crate-type = [\"cdylib\"]`",
        ));
    };
    let bytes = std::fs::read(&module);
    let bytes = bytes.map_err(|error| {
        BuildError::failed(format!("cannot read {}: {error}", module.display()))
    })?;
    let component = component_of(&bytes);
    let component =
        component.map_err(|error| BuildError::failed(format!("{} {error}", module.display())))?;
    super::write(output, &component)
}

/// The target to build for: CARGO_BUILD_TARGET if that is WebAssembly, else what the toolchain has.
async fn target(toolchain: &Toolchain<'_>, folder: &Path) -> Built<String> {
    let rust = "Rust is not installed: install it with rustup, from https://rustup.rs";
    if !is_installed("cargo") || !is_installed("rustc") {
        return Err(BuildError::Missing(rust.to_owned()));
    }
    if let Ok(named) = std::env::var("CARGO_BUILD_TARGET")
        && named.starts_with("wasm32-")
    {
        return Ok(named);
    }
    for target in TARGETS {
        let mut rustc = toolchain.command("rustc", folder);
        rustc.args(["--print", "target-libdir", "--target", target]);
        let ended = toolchain.run(rustc).await?;
        if !ended.status.success() {
            // An unknown target to an old compiler, or a toolchain file that names none that there is.
            continue;
        }
        let files = std::fs::read_dir(ended.stdout.trim()).into_iter().flatten();
        let mut names = files.flatten().map(|file| file.file_name());
        if names.any(|name| name.to_string_lossy().starts_with("libstd-")) {
            return Ok(target.to_owned());
        }
    }
    let how = match is_installed("rustup") {
        true => "run `rustup target add wasm32-wasip2`",
        false => {
            "install Rust with rustup, from https://rustup.rs, and run `rustup target add wasm32-wasip2`"
        }
    };
    Err(BuildError::Missing(format!(
        "the Rust toolchain has no standard library for wasm32-wasip2: {how}"
    )))
}

/// The WebAssembly file of the package that was to be built, from cargo's messages: the last that cargo names, as it
/// builds dependencies first.
fn built(messages: &str, package: &str) -> Option<PathBuf> {
    let messages = messages.lines();
    let messages = messages.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let files = messages.filter_map(|message| {
        let files = message["filenames"].as_array()?;
        let mut files = files.iter().filter_map(Value::as_str);
        let file = files.find(|file| file.ends_with(".wasm"))?;
        let id = message["package_id"].as_str().unwrap_or_default();
        Some((id.contains(package), PathBuf::from(file)))
    });
    let files: Vec<_> = files.collect();
    let own = files.iter().rev().find(|(is_own, _)| *is_own);
    own.or(files.last()).map(|(_, file)| file.clone())
}
