//! `cargo xtask guests`: every plugin and test guest as a component in `target/guests`.
//!
//! [`toolchain`] finds or installs what compiles them, [`cargo`] runs it, [`component`] makes and checks components;
//! here is what goes where.

mod cargo;
mod component;
mod toolchain;

use crate::{Usage, root, ui};
use anyhow::{Context, Result, bail};
use cargo::Guest;
use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use toolchain::Way;

pub(crate) use toolchain::apt_install;

const HELP: &str = "\
Build every plugin (plugins/) and test guest (tests/guests/) into target/guests/*.wasm.

Usage: cargo xtask guests [--rustup | --debian]

There are two ways to build, and the first that works is taken:
  --rustup  target wasm32-wasip2 of the toolchain in use, fetched with `rustup target add` if it is missing
  --debian  Debian's packages rustc-web, cargo-web, rust-web-src and wasi-libc, installed with apt-get if they are
            missing; the standard library is built from source, which takes some minutes the first time

TOOLHOST_GUESTS=rustup or TOOLHOST_GUESTS=debian says the same as the options.

What has not changed is neither built nor written again.";

/// The workspaces whose cdylib packages are guests. The second may be missing, in a package of the sources for instance.
pub(crate) const WORKSPACES: [&str; 2] = ["plugins", "tests/guests"];

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let mut way = way()?;
    for argument in arguments {
        match argument.as_str() {
            "--rustup" => way = Some(Way::Rustup),
            "--debian" => way = Some(Way::Debian),
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(Usage(format!("unknown argument `{other}`\n\n{HELP}")).into()),
        }
    }
    build(way)
}

/// The way that the environment asks for.
pub(crate) fn way() -> Result<Option<Way>> {
    match std::env::var("TOOLHOST_GUESTS") {
        Ok(name) if name == "rustup" => Ok(Some(Way::Rustup)),
        Ok(name) if name == "debian" => Ok(Some(Way::Debian)),
        Ok(name) if !name.is_empty() => Err(Usage(format!(
            "TOOLHOST_GUESTS is `{name}`; it may be `rustup` or `debian`"
        ))
        .into()),
        _ => Ok(None),
    }
}

/// The packages of a workspace whose own logic has tests that run natively.
pub(crate) fn tested(workspace: &str) -> &'static [&'static str] {
    match workspace {
        "plugins" => &[
            "toolhost-plugin",
            "time",
            "calculator",
            "json",
            "filesystem",
            "fetch",
        ],
        _ => &["bfcl", "conformance", "echo"],
    }
}

/// Builds all guests, by the given way or the first that works.
pub(crate) fn build(way: Option<Way>) -> Result<()> {
    let root = root()?;
    let toolchain = toolchain::find(way, &root.join("target/guests-build"))?;

    let mut guests = BTreeMap::new();
    let mut failures = Vec::new();
    for workspace in WORKSPACES {
        let folder = root.join(workspace);
        if !folder.join("Cargo.toml").is_file() {
            continue;
        }
        let (built, is_all) = cargo::build(&toolchain, &folder, workspace)?;
        if !is_all {
            failures.push(format!(
                "cargo could not build all guests of {workspace}: what it said is above"
            ));
        }
        for guest in built {
            if let Some((former, guest)) = guests.insert(guest.name.clone(), (workspace, guest)) {
                let name = guest.name;
                bail!(
                    "{former} and {workspace} both have a package `{name}`: they would be one file in target/guests"
                );
            }
        }
    }

    let output = root.join("target/guests");
    fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;
    let mut changes = Changes::default();
    for (_, guest) in guests.values() {
        // A guest that is broken keeps nobody from using the others.
        match provide(guest, &output) {
            Ok(Some(size)) => changes
                .written
                .push(format!("{} {}", guest.name, kilobytes(size))),
            Ok(None) => changes.unchanged += 1,
            Err(error) => failures.push(format!("guest `{}`: {error:#}", guest.name)),
        }
    }
    if failures.is_empty() {
        changes.removed = remove_others(&output, |name| guests.contains_key(name))?;
    }
    changes.report();
    if !failures.is_empty() {
        bail!("{}", failures.join("\nerror: "));
    }
    Ok(())
}

/// Puts a guest's component into the folder. Returns its size in bytes if that is new.
fn provide(guest: &Guest, folder: &Path) -> Result<Option<usize>> {
    let component = component::make(guest)?;
    let file = folder.join(format!("{}.wasm", guest.name));
    if fs::read(&file).is_ok_and(|former| former == component) {
        return Ok(None);
    }
    component::check(guest, &component)?;
    replace(&file, &component)?;
    Ok(Some(component.len()))
}

/// Whoever reads the file meanwhile sees the old bytes or the new ones.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let new = file.with_extension("wasm.new");
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, file).with_context(|| format!("cannot write {}", file.display()))
}

/// Removes the components of guests that are gone, and returns their names.
fn remove_others(folder: &Path, keep: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        let Some(name) = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".wasm"))
        else {
            continue;
        };
        if !keep(name) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            removed.push(name.to_owned());
        }
    }
    Ok(removed)
}

#[derive(Default)]
struct Changes {
    written: Vec<String>,
    removed: Vec<String>,
    unchanged: usize,
}

impl Changes {
    fn report(&self) {
        let mut parts = vec![format!("{} unchanged", self.unchanged)];
        for (verb, names) in [("written", &self.written), ("removed", &self.removed)] {
            if !names.is_empty() {
                let colon = if std::io::stderr().is_terminal() {
                    ":\n    "
                } else {
                    ": "
                };
                parts.push(format!("{} {verb}{colon}{}", names.len(), names.join(", ")));
            }
        }
        ui::say(format_args!("target/guests: {}", parts.join("; ")));
    }
}

fn kilobytes(bytes: usize) -> String {
    format!("({} KB)", bytes.div_ceil(1000))
}
