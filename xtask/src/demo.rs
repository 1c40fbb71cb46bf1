//! `cargo xtask demo`: the five plugins that ship, on a recorded model response.

use crate::{asks_for_help, guests, root, run, ui};
use anyhow::Result;
use std::io::IsTerminal;
use std::process::Command;

const HELP: &str = "\
Build what is missing and run the recorded model response of examples/demo: calls to the five plugins that ship, one of
which is refused what it asks for, and one of which never ends and is stopped.

Usage: cargo xtask demo";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if asks_for_help(arguments, HELP)? {
        return Ok(());
    }
    guests::build(guests::way()?)?;
    let root = root()?;
    let demo = root.join("examples/demo");
    ui::say("building toolhost (wasmtime takes some minutes the first time)");
    let mut build = Command::new("cargo");
    build.args(["build", "--bin", "toolhost"]);
    if !std::io::stderr().is_terminal() {
        build.arg("--quiet");
    }
    run(build.current_dir(&root))?;
    ui::say("toolhost run examples/demo/response.json --timeline");
    let mut toolhost = Command::new("cargo");
    toolhost.args(["run", "--quiet", "--bin", "toolhost", "--", "run"]);
    toolhost.arg(demo.join("response.json"));
    toolhost.arg("--manifest").arg(demo.join("toolhost.toml"));
    run(toolhost.arg("--timeline").current_dir(&root))
}
