//! Packages of Debian.

use crate::output;
use crate::ui::say;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Installs packages with apt-get, if it is there.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "{} missing, and there is no apt-get to install it",
            packages.join(", ")
        );
    }
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    // The package lists may be missing or stale, and a new list costs time and traffic: only if it is needed.
    if apt_get(&install).is_ok() {
        return Ok(());
    }
    apt_get(&["update"])?;
    apt_get(&install)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    let mut command = if is_root {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let line = format!(
        "{}apt-get {}",
        if is_root { "" } else { "sudo " },
        arguments.join(" ")
    );
    say(&line);
    // stdout is for results, and this is none.
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}
