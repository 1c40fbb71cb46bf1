//! `cargo xtask test`: every test there is.

use crate::{aimock, asks_for_help, cargo, guests, mcp, root, run, ui};
use anyhow::Result;

const HELP: &str = "\
Build the guests and run every test: the library's, the command line's, and those of the guests' own logic.

Usage: cargo xtask test";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if asks_for_help(arguments, HELP)? {
        return Ok(());
    }
    guests::build(guests::way()?)?;
    aimock::install()?;
    mcp::install()?;
    let root = root()?;
    ui::say("testing the guests' own logic");
    for workspace in guests::WORKSPACES {
        // Guests that are nothing without a host have no tests of their own, and some of them do
        // not link natively.
        let packages = guests::tested(workspace);
        if packages.is_empty() {
            continue;
        }
        let mut tests = cargo();
        tests.args(["test", "--quiet", "--target-dir"]);
        tests.arg(root.join("target/guests-build/native"));
        for package in packages {
            tests.args(["--package", package]);
        }
        run(tests.current_dir(root.join(workspace)))?;
    }
    ui::say("testing the host");
    let mut tests = cargo();
    // Not the whole workspace at once: xtask's crates would have wasmtime built once more, with
    // other features.
    tests.args([
        "test",
        // All failures of a run, not the first.
        "--no-fail-fast",
        "--package",
        "toolhost",
        "--package",
        "toolhost-schema",
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
        "--examples",
    ]);
    run(tests.current_dir(&root))?;
    run(cargo().args(["test", "--doc"]).current_dir(&root))?;
    ui::say("testing what takes a quiet machine, one at a time");
    let mut timing = cargo();
    timing.args(["test", "--test", "timing", "--", "--test-threads=1"]);
    run(timing.current_dir(&root))
}
