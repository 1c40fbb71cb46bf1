//! `cargo xtask test`: every test there is.

use crate::guests::Scope;
use crate::{
    CRATES, asks_for_help, cargo, clients, components, guests, mcp, npm, root, run, sdks, ui,
};
use anyhow::Result;
use std::path::Path;

const HELP: &str = "\
Build the guests and run every test: the library's, the command line's, and those of the guests' own logic.

Usage: cargo xtask test";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if asks_for_help(arguments, HELP)? {
        return Ok(());
    }
    let root = root()?;
    let mut steps = ui::Steps::new(8);
    steps.run("build the plugins and the test guests", || {
        guests::build(guests::way()?, Scope::All)
    })?;
    steps.run("install the peers that tests talk to", || {
        npm::install(&npm::AIMOCK)?;
        npm::install(&npm::COMPONENTIZE_QJS)?;
        components::fetch()?;
        mcp::install()
    })?;
    steps.run("test the guests' own logic", || {
        guests::WORKSPACES
            .into_iter()
            .try_for_each(|workspace| test_guests(&root, workspace))
    })?;
    steps.run("test the host", || {
        // Tests run them, and `cargo test` with a choice of targets builds none.
        let mut examples = cargo();
        examples.args(["build", "--package", "toolhost", "--examples"]);
        run(examples.current_dir(&root))?;
        let mut tests = cargo();
        // Not the whole workspace at once: xtask's crates would have wasmtime built once more, with
        // other features.
        tests.args([
            "test",
            // All failures of a run, not the first.
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--test",
            "behaviour",
            "--test",
            "agent",
            "--test",
            "mcp",
            "--test",
            "fuzz",
            "--test",
            "wire",
            "--test",
            "session",
            "--test",
            "schema",
        ]);
        tests.args(CRATES.map(|name| format!("--package={name}")));
        // What this machine cannot test fails, instead of being left out.
        tests.env("TOOLHOST_TEST_ALL", "1");
        run(tests.current_dir(&root))
    })?;
    steps.run("test the examples in the documentation", || {
        let mut tests = cargo();
        tests.args(["test", "--doc"]);
        tests.args(CRATES.map(|name| format!("--package={name}")));
        run(tests.current_dir(&root))
    })?;
    steps.run("test the SDKs, and plugins in every language", || {
        sdks::test(None)
    })?;
    steps.run("test the clients in other languages", clients::test)?;
    steps.run("test what takes a quiet machine, one at a time", || {
        let mut timing = cargo();
        timing.args(["test", "--test", "timing", "--", "--test-threads=1"]);
        run(timing.current_dir(&root))
    })?;
    steps.report();
    Ok(())
}

/// Runs the tests of a workspace's guests that are something without a host.
fn test_guests(root: &Path, workspace: &str) -> Result<()> {
    // Guests that are nothing without a host have no tests of their own, and some of them do not link natively.
    let packages = guests::tested(workspace);
    if packages.is_empty() {
        return Ok(());
    }
    let mut cargo = cargo();
    cargo.args(["test", "--quiet", "--target-dir"]);
    cargo.arg(root.join("target/guests-build/native"));
    for package in packages {
        cargo.args(["--package", package]);
    }
    run(cargo.current_dir(root.join(workspace)))
}
