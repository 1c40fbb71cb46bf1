//! Packages of npm that tests use, each in a folder of its own below `target/`.

use crate::{asks_for_help, root, run, ui};
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

/// A package, in the version that the tests are written for.
pub(crate) struct Package {
    /// The command that installs it, and its folder.
    command: &'static str,
    name: &'static str,
    version: &'static str,
    purpose: &'static str,
}

/// The mock of models' APIs.
pub(crate) const AIMOCK: Package = Package {
    command: "aimock",
    name: "@copilotkit/aimock",
    version: "1.43.0",
    purpose: "which the agent's tests talk to",
};

/// What makes components of JavaScript, here without the options that the SDK gives it.
pub(crate) const COMPONENTIZE_QJS: Package = Package {
    command: "componentize-qjs",
    name: "componentize-qjs",
    version: "0.4.5",
    purpose: "whose output a test loads",
};

/// Runs the command with its arguments.
pub(crate) fn command(package: &Package, arguments: &[String]) -> Result<()> {
    let Package {
        command,
        name,
        purpose,
        ..
    } = package;
    let help = format!(
        "Install npm's {name}, {purpose}, into target/{command}, unless it is there. Needs Node 20 or newer with npm.\n\n\
         Usage: cargo xtask {command}"
    );
    if asks_for_help(arguments, &help)? {
        return Ok(());
    }
    install(package)
}

/// Installs it, unless it is there.
pub(crate) fn install(package: &Package) -> Result<()> {
    let Package {
        command,
        name,
        version,
        purpose,
    } = package;
    let folder = root()?.join("target").join(command);
    let installed = folder.join("node_modules").join(name).join("package.json");
    let is_there = fs::read_to_string(installed)
        .is_ok_and(|package| package.contains(&format!("\"version\": \"{version}\"")));
    if is_there {
        return Ok(());
    }
    ui::say(format_args!("npm install {name}@{version}"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-fund",
        "--no-audit",
        "--loglevel=error",
        "--prefix",
    ]);
    npm.arg(&folder).arg(format!("{name}@{version}"));
    run(&mut npm)
        .with_context(|| format!("{name}, {purpose}: is npm of Node 20 or newer installed?"))
}
