//! Packages of PyPI, in a virtual environment of their own.

use crate::apt::apt_install;
use crate::{run, ui};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Stdio};

/// Installs what is not there yet.
pub(crate) fn install(venv: &Path, packages: &[(&str, &str)]) -> Result<()> {
    install_with("python3", venv, packages)
}

/// The same with another Python.
pub(crate) fn install_with(program: &str, venv: &Path, packages: &[(&str, &str)]) -> Result<()> {
    let python = venv.join("bin/python");
    let missing: Vec<String> = packages
        .iter()
        .filter(|(name, version)| !has(&python, name, version))
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    ui::say(format_args!("pip install {}", missing.join(" ")));
    if !python.exists() && make(program, venv).is_err() {
        // Debian keeps what a venv's pip comes from in a package of its own.
        apt_install(&["python3-venv"])
            .and_then(|()| make(program, venv))
            .context("is Python 3.10 or newer installed?")?;
    }
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    run(pip.args(missing))
}

fn make(program: &str, venv: &Path) -> Result<()> {
    let mut python = Command::new(program);
    run(python.args(["-m", "venv", "--clear"]).arg(venv))
}

fn has(python: &Path, name: &str, version: &str) -> bool {
    let version_of =
        "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))";
    let output = Command::new(python)
        .args(["-c", version_of, name])
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == version.as_bytes())
}
