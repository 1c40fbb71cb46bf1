//! `cargo xtask clients`: the tests of the clients in other languages, with the real binary.

use crate::{CRATES, build_toolhost, cargo, python, root, run, ui};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const HELP: &str = "\
Test the clients in clients/ with the binary, type checkers, and the frameworks that adapters are for.
Installs what it needs into target/clients. Needs Python 3.10 with venv, Node 20 with npm, and the guests of
`cargo xtask guests`.

Usage: cargo xtask clients

PYTHONS=\"python3.12 python3.13\" runs the tests of the Python client with these as well.";

/// What every Python runs the tests with.
const TESTED: [(&str, &str); 4] = [
    ("pytest", "9.2.0"),
    ("jsonschema", "4.26.0"),
    ("trio", "0.35.0"),
    ("anyio", "4.16.0"),
];

/// Checkers, SDKs and frameworks.
const CHECKED: [(&str, &str); 14] = [
    ("mypy", "2.4.1"),
    ("pyright", "1.1.414"),
    ("openai", "3.57.0"),
    ("anthropic", "2.15.0"),
    ("google-genai", "3.6.1"),
    ("ollama", "0.6.3"),
    ("langchain-core", "1.8.3"),
    ("langgraph", "1.2.24"),
    ("openai-agents", "0.24.0"),
    ("pydantic-ai-slim", "2.68.0"),
    ("litellm", "1.110.2"),
    ("deno", "2.9.8"),
    ("gunicorn", "27.0.1"),
    ("uvloop", "0.23.0"),
];

/// The other runtime of JavaScript that npm has.
const BUN: &str = "bun@1.4.5";

/// The tests that every runtime passes. Those of the adapters are for Node, as the frameworks are.
const PORTABLE: [&str; 3] = [
    "test/docs.test.js",
    "test/host.test.js",
    "test/nested.test.js",
];

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if crate::asks_for_help(arguments, HELP)? {
        return Ok(());
    }
    test()
}

/// Runs the tests.
pub(crate) fn test() -> Result<()> {
    let root = root()?;
    let mut built = cargo();
    built.args(["build", "--bin", "toolhost"]);
    // All together, so that their features, and with them wasmtime, are those of the other tests.
    built.args(CRATES.map(|name| format!("--package={name}")));
    let toolhost = build_toolhost(built.current_dir(&root))?;
    let client = root.join("clients/python");
    let tools = root.join("target/clients");
    let venv = tools.join("python");
    python::install(&venv, &[&TESTED[..], &CHECKED].concat())?;
    let own = venv.join("bin/python");
    let in_client = |program: &Path| {
        let mut command = Command::new(program);
        command
            .current_dir(&client)
            .env("TOOLHOST_BINARY", &toolhost);
        command
    };
    ui::say("clients/python: types");
    let cache = tools.join("mypy");
    run(in_client(&own)
        .args(["-m", "mypy", "--cache-dir"])
        .arg(cache))
    .context("mypy")?;
    run(in_client(&own)
        .args(["-m", "pyright", "--pythonpath"])
        .arg(&own))
    .context("pyright")?;
    ui::say("clients/python: tests");
    let tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider"];
    // What is not installed must not be skipped.
    run(in_client(&own).args(tests).env("TOOLHOST_TEST_ALL", "1")).context("the tests")?;
    for other in std::env::var("PYTHONS")
        .unwrap_or_default()
        .split_whitespace()
    {
        ui::say(format_args!("clients/python: tests with {other}"));
        let name = other.replace(['/', '.'], "_");
        let venv = tools.join(name.trim_start_matches('_'));
        python::install_with(other, &venv, &TESTED)?;
        run(in_client(&venv.join("bin/python")).args(tests))
            .with_context(|| format!("the tests with {other}"))?;
    }
    ui::say("clients/typescript");
    let client = root.join("clients/typescript");
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--loglevel=error",
    ]);
    run(npm.current_dir(&client))?;
    let mut npm = Command::new("npm");
    npm.arg("test").env("TOOLHOST_BINARY", &toolhost);
    run(npm.current_dir(&client)).context("the tests of clients/typescript")?;
    let bun = bun(&tools)?;
    let deno = venv.join("bin/deno");
    let deno_options = [
        "test",
        "--allow-all",
        "--quiet",
        "--no-lock",
        "--node-modules-dir=manual",
    ];
    let runtimes = [("Bun", bun, &["test"][..]), ("Deno", deno, &deno_options)];
    for (name, runtime, options) in runtimes {
        ui::say(format_args!("clients/typescript: tests with {name}"));
        let mut tests = Command::new(runtime);
        tests.args(options).args(PORTABLE).current_dir(&client);
        run(tests.env("TOOLHOST_BINARY", &toolhost))
            .with_context(|| format!("the tests with {name}"))?;
    }
    Ok(())
}

/// Installs Bun. Its package for this system has the binary; what its installation would do beside is not needed.
fn bun(tools: &Path) -> Result<PathBuf> {
    let folder = tools.join("bun");
    std::fs::create_dir_all(&folder)?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--no-save",
        "--loglevel=error",
        "--prefix",
    ]);
    run(npm.arg(&folder).arg(BUN))?;
    let packages = folder.join("node_modules/@oven");
    let entries = std::fs::read_dir(&packages).context("Bun has no package for this system")?;
    let mut binaries = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin/bun")));
    binaries
        .find(|file| file.is_file())
        .context("Bun's package has no binary")
}
