//! `cargo xtask sdks`: the tests of the SDKs, and those of plugins from `toolhost new` to a call.

use crate::guests::{self, toolchain};
use crate::{CRATES, Usage, build_toolhost, cargo, root, run, ui};
use anyhow::{Context, Result};
use std::process::Command;

const HELP: &str = "\
Test the SDKs, and plugins in every language from `toolhost new` to a call. Builds keep their tools in target/sdk-tools.
Needs Python 3.10 with pip and venv, Node 20 with npm, make, a C compiler, and what `cargo xtask guests` needs.

Usage: cargo xtask sdks [FILTER]

With a FILTER, only the tests of plugins whose names have it run.

SDK_ENGINES=quickjs,starlingmonkey also tests the second engine for JavaScript, which takes minutes.";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => test(None),
        [help] if help == "--help" || help == "-h" => {
            println!("{HELP}");
            Ok(())
        }
        [filter] if !filter.starts_with('-') => test(Some(filter)),
        [other, ..] => Err(Usage(format!("unknown argument `{other}`\n\n{HELP}")).into()),
    }
}

/// Runs the tests.
pub(crate) fn test(filter: Option<&str>) -> Result<()> {
    let root = root()?;
    let tools = root.join("target/sdk-tools");
    if filter.is_none() {
        let mut tests = cargo();
        tests.args(["test", "--no-run", "--test", "sdks"]);
        tests.args(packages());
        let toolhost = build_toolhost(tests.current_dir(&root))?;
        let engines = std::env::var("SDK_ENGINES").unwrap_or_else(|_| "quickjs".to_owned());
        ui::say("sdk/test");
        let mut sdks = Command::new(root.join("sdk/test"));
        sdks.env("TOOLHOST", toolhost)
            .env("TOOLHOST_TOOLS", &tools)
            .env("TOOLHOST_CODE_CACHE", root.join("target/code-cache"))
            .env("ENGINES", engines);
        run(&mut sdks).context("the tests of the SDKs")?;
    }
    let toolchain = toolchain::find(guests::way()?, &root.join("target/guests-build"))?;
    let mut tests = cargo();
    tests.args(["test", "--test", "sdks"]).args(packages());
    tests.arg("--").args(filter);
    tests
        .env("TOOLHOST_TEST_ALL", "1")
        .env("TOOLHOST_TEST_RUST", toolchain.environment());
    run(tests.current_dir(&root))
}

/// All together, so that their features, and with them wasmtime, are those of the other tests.
fn packages() -> [String; CRATES.len()] {
    CRATES.map(|name| format!("--package={name}"))
}
