//! `cargo xtask aimock`: the mock of models' APIs that the agent's tests talk to.

use crate::{asks_for_help, root, run, ui};
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

const HELP: &str = "\
Install aimock (npm @copilotkit/aimock), which the agent's tests talk to, into target/aimock, unless it is there. Needs
Node 20 or newer with npm.

Usage: cargo xtask aimock";

/// The version that the tests are written for.
const VERSION: &str = "1.43.0";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if asks_for_help(arguments, HELP)? {
        return Ok(());
    }
    install()
}

/// Installs it, unless it is there.
pub(crate) fn install() -> Result<()> {
    let folder = root()?.join("target/aimock");
    let package = folder.join("node_modules/@copilotkit/aimock/package.json");
    let is_there = fs::read_to_string(package)
        .is_ok_and(|package| package.contains(&format!("\"version\": \"{VERSION}\"")));
    if is_there {
        return Ok(());
    }
    ui::say(format_args!("npm install @copilotkit/aimock@{VERSION}"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-fund",
        "--no-audit",
        "--loglevel=error",
        "--prefix",
    ]);
    npm.arg(&folder)
        .arg(format!("@copilotkit/aimock@{VERSION}"));
    run(&mut npm).context("aimock, for the agent's tests: is npm of Node 20 or newer installed?")
}
