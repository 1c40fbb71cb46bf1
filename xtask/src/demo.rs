//! `cargo xtask demo`: the plugins that ship, on a recorded model response; and the agent loop, with a recorded
//! model; and the same question answered with single calls and with one program.

mod model;
mod programs;

use crate::guests::Scope;
use crate::{asks_for_help, build_toolhost, cargo, guests, root, run, ui};
use anyhow::Result;
use model::Model;
use std::io::IsTerminal;
use std::process::Command;

const HELP: &str = "\
Build what is missing and run the recorded model response of examples/demo: calls to plugins that ship, one of
which is denied a request, and one of which never ends and is stopped. Then run an agent with a recorded model: a turn
of six calls that take 300 ms each, one call of another tool, and the answer. Then answer one question with single calls
and with one program, and print what each costs.

Usage: cargo xtask demo";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if asks_for_help(arguments, HELP)? {
        return Ok(());
    }
    let root = root()?;
    let mut steps = ui::Steps::new(5);
    steps.run(
        "build the plugins that ship, and a guest that sleeps",
        || guests::build(guests::way()?, Scope::PluginsAnd(&["misbehave"])),
    )?;
    let title = "build toolhost and an example: the first time, wasmtime takes minutes";
    let binary = steps.run(title, || {
        let mut build = cargo();
        // With an example, dependencies have the features that they have for tests, and those build them no second time.
        build.args(["build", "--bin", "toolhost", "--example", "embed"]);
        if !std::io::stderr().is_terminal() {
            build.arg("--quiet");
        }
        build_toolhost(build.current_dir(&root))
    })?;
    let demo = root.join("examples/demo");
    steps.run(
        "toolhost run examples/demo/response.json --timeline",
        || {
            let mut batch = Command::new(&binary);
            batch.arg("run").arg(demo.join("response.json"));
            batch.arg("--manifest").arg(demo.join("toolhost.toml"));
            run(batch.arg("--timeline"))
        },
    )?;
    let recorded = demo.join("agent");
    let title = "toolhost agent \"How long do six naps take?\" --timeline, with a recorded model";
    steps.run(title, || {
        let model = Model::start(&recorded)?;
        let mut agent = Command::new(&binary);
        agent.args(["agent", "How long do six naps take?"]);
        agent.args(["--timeline", "--stream", "--base-url", &model.url]);
        agent.arg("--manifest").arg(recorded.join("toolhost.toml"));
        // The recording wants no key, and should not get one.
        run(agent.env_remove("ANTHROPIC_API_KEY"))
    })?;
    steps.run(
        "toolhost agent, with single calls and with --code-mode",
        || programs::compare(&binary, &demo.join("programs")),
    )?;
    steps.report();
    Ok(())
}
