//! `cargo xtask demo`: the five plugins that ship, on a recorded model response.

use crate::{Usage, guests, root, run, ui};
use anyhow::Result;
use std::process::Command;

const HELP: &str = "\
Build what is missing and run the recorded model response of examples/demo: calls to the five plugins that ship, one of
which is refused what it asks for, and one of which never ends and is stopped.

Usage: cargo xtask demo";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {}
        [help] if help == "--help" || help == "-h" => {
            println!("{HELP}");
            return Ok(());
        }
        [other, ..] => return Err(Usage(format!("unknown argument `{other}`\n\n{HELP}")).into()),
    }
    guests::build(guests::way()?)?;
    let root = root()?;
    let demo = root.join("examples/demo");
    ui::say("building toolhost (wasmtime takes some minutes the first time)");
    run(Command::new("cargo")
        .args(["build", "--quiet", "--bin", "toolhost"])
        .current_dir(&root))?;
    ui::say("toolhost run examples/demo/response.json --timeline");
    let toolhost = root.join("target/debug/toolhost");
    run(Command::new(toolhost)
        .arg("run")
        .arg(demo.join("response.json"))
        .arg("--manifest")
        .arg(demo.join("toolhost.toml"))
        .arg("--timeline"))
}
