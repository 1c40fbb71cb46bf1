//! C: make, with the SDK's `toolhost.mk`, which runs zig (or clang with wasi-libc) and wasm-tools.

use std::path::Path;

use super::project::Project;
use super::toolchain::{BuildError, Built, Toolchain, is_installed};

/// Builds a project's component into `output`.
pub(super) async fn build(
    toolchain: &Toolchain<'_>,
    project: &Project,
    output: &Path,
) -> Built<()> {
    check(&project.folder)?;
    let made = format!("{}.wasm", project.name());
    let mut make = toolchain.command("make", &project.folder);
    make.args(["--no-print-directory", &made]);
    // What a make around this one has told it is of other makefiles.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let ended = toolchain.run(make).await?;
    if !ended.status.success() {
        let said = match ended.stderr.trim().is_empty() {
            true => ended.stdout,
            false => ended.stderr,
        };
        let why = format!("make ended with {}", ended.status);
        return Err(BuildError::Failed { said, why });
    }
    let made = project.folder.join(made);
    if std::path::absolute(&made).is_ok_and(|made| made == output) {
        return Ok(());
    }
    let bytes = std::fs::read(&made);
    let bytes = bytes
        .map_err(|error| BuildError::failed(format!("cannot read {}: {error}", made.display())))?;
    super::write(output, &bytes)
}

fn check(folder: &Path) -> Built<()> {
    let missing = |what: &str| Err(BuildError::Missing(what.to_owned()));
    if !is_installed("make") {
        return missing(
            "make is not installed: install it (Debian: `apt-get install make`, macOS: `xcode-select --install`)",
        );
    }
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_compiler = std::env::var_os("WASI_CC").is_some() || is_installed("zig");
    let has_own_tools = has_compiler && is_installed("wasm-tools");
    if !has_own_tools
        && !is_installed(&python)
        && !folder.join(&python).is_file()
        && !Path::new(&python).is_file()
    {
        return missing(
            "neither zig and wasm-tools nor Python with pip, which installs them, is there: install one (Debian: \
             `apt-get install python3 python3-pip`)",
        );
    }
    Ok(())
}
