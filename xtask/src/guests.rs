//! `cargo xtask guests`: every plugin and test guest as a component in `target/guests`; `cargo xtask plugins`: the plugins
//! that ship, in `target/plugins`.
//!
//! [`toolchain`] finds or installs what compiles them, [`cargo`] runs it, [`component`] makes and checks components;
//! here is what goes where.

mod c_compiler;
mod cargo;
mod component;
pub(crate) mod toolchain;

use crate::{Usage, root, ui};
use anyhow::{Context, Result, bail};
use cargo::Guest;
use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use toolchain::Way;

const HELP: &str = "\
Build every plugin (plugins/) and test guest (tests/guests/) into target/guests/*.wasm, and the plugins that ship into
target/plugins/*.wasm as well.

Usage: cargo xtask guests [--rustup | --debian]
";

const HELP_PLUGINS: &str = "\
Build the plugins that ship (plugins/) into target/plugins/*.wasm.

Usage: cargo xtask plugins [--rustup | --debian]
";

const HELP_WAYS: &str = "
There are two ways to build; the first that works is used:
  --rustup  target wasm32-wasip2 of the toolchain in use, fetched with `rustup target add` if it is missing
  --debian  Debian's packages rustc-web, cargo-web, rust-web-src and wasi-libc, installed with apt-get if they are
            missing; the standard library is built from source, which takes some minutes the first time

TOOLHOST_GUESTS=rustup or TOOLHOST_GUESTS=debian has the same effect as the options.

Unchanged guests are neither rebuilt nor rewritten.";

/// The plugins that ship.
const PLUGINS: &str = "plugins";
/// The guests of the tests. It may be missing, in a package of the sources for instance.
const TEST_GUESTS: &str = "tests/guests";
/// The workspaces whose cdylib packages are guests.
pub(crate) const WORKSPACES: [&str; 2] = [PLUGINS, TEST_GUESTS];

/// What to build.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    /// The plugins that ship, and all guests of the tests.
    All,
    /// The plugins that ship, and these guests of the tests.
    PluginsAnd(&'static [&'static str]),
}

impl Scope {
    /// Whether a package of a workspace is meant.
    fn has(self, workspace: &str, package: &str) -> bool {
        match self {
            Self::All => true,
            Self::PluginsAnd(guests) => workspace == PLUGINS || guests.contains(&package),
        }
    }

    /// Whether nothing of a workspace is meant.
    fn leaves_out(self, workspace: &str) -> bool {
        matches!(self, Self::PluginsAnd([])) && workspace != PLUGINS
    }
}

/// Runs `cargo xtask guests` with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    build_with(arguments, HELP, Scope::All)
}

/// Runs `cargo xtask plugins` with its arguments.
pub(crate) fn plugins_command(arguments: &[String]) -> Result<()> {
    build_with(arguments, HELP_PLUGINS, Scope::PluginsAnd(&[]))
}

fn build_with(arguments: &[String], help: &str, scope: Scope) -> Result<()> {
    let mut way = way()?;
    for argument in arguments {
        match argument.as_str() {
            "--rustup" => way = Some(Way::Rustup),
            "--debian" => way = Some(Way::Debian),
            "--help" | "-h" => {
                println!("{help}{HELP_WAYS}");
                return Ok(());
            }
            other => {
                return Err(
                    Usage(format!("unknown argument `{other}`\n\n{help}{HELP_WAYS}")).into(),
                );
            }
        }
    }
    build(way, scope)
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
            "granted-files",
            "html-tree",
            "text",
            "html",
            "memory",
            "sql",
            "program",
            "script",
            "script-python",
        ],
        _ => &["bfcl", "conformance", "echo"],
    }
}

/// Builds guests, by the given way or the first that works.
pub(crate) fn build(way: Option<Way>, scope: Scope) -> Result<()> {
    let root = root()?;
    let toolchain = toolchain::find(way, &root.join("target/guests-build"))?;

    let mut guests = BTreeMap::new();
    let mut failures = Vec::new();
    for workspace in WORKSPACES {
        let folder = root.join(workspace);
        if scope.leaves_out(workspace) || !folder.join("Cargo.toml").is_file() {
            continue;
        }
        let (built, is_all) = cargo::build(&toolchain, &folder, workspace, |package| {
            scope.has(workspace, package)
        })?;
        if !is_all {
            failures.push(format!(
                "cargo could not build all guests of {workspace}: see above"
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

    let mut all = Output::new(&root, "target/guests")?;
    let mut plugins = Output::new(&root, "target/plugins")?;
    for (workspace, guest) in guests.values() {
        // A guest that is broken keeps nobody from using the others.
        let provided = component::make(guest).and_then(|component| {
            if *workspace == PLUGINS {
                plugins.provide(guest, &component)?;
            }
            match scope {
                Scope::PluginsAnd(_) if *workspace == PLUGINS => Ok(()),
                _ => all.provide(guest, &component),
            }
        });
        if let Err(error) = provided {
            failures.push(format!("guest `{}`: {error:#}", guest.name));
        }
    }
    if failures.is_empty() {
        plugins.remove_others(|name| matches!(guests.get(name), Some((PLUGINS, _))))?;
        if let Scope::All = scope {
            all.remove_others(|name| guests.contains_key(name))?;
        }
    }
    for output in [plugins, all] {
        output.report();
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\nerror: "));
    }
    Ok(())
}

/// A folder of components, and what has changed in it.
struct Output {
    label: &'static str,
    folder: PathBuf,
    written: Vec<String>,
    removed: Vec<String>,
    unchanged: usize,
}

impl Output {
    fn new(root: &Path, label: &'static str) -> Result<Self> {
        let folder = root.join(label);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self {
            label,
            folder,
            written: Vec::new(),
            removed: Vec::new(),
            unchanged: 0,
        })
    }

    /// Puts a guest's component into the folder.
    fn provide(&mut self, guest: &Guest, component: &[u8]) -> Result<()> {
        let file = self.folder.join(format!("{}.wasm", guest.name));
        if fs::read(&file).is_ok_and(|former| former == component) {
            self.unchanged += 1;
            return Ok(());
        }
        component::check(guest, component)?;
        replace(&file, component)?;
        self.written
            .push(format!("{} {}", guest.name, kilobytes(component.len())));
        Ok(())
    }

    /// Removes the components of guests that are gone.
    fn remove_others(&mut self, keep: impl Fn(&str) -> bool) -> Result<()> {
        let entries = fs::read_dir(&self.folder)
            .with_context(|| format!("cannot list {}", self.folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let Some(name) = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".wasm"))
            else {
                continue;
            };
            if !keep(name) {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
                self.removed.push(name.to_owned());
            }
        }
        Ok(())
    }

    fn report(&self) {
        if self.unchanged + self.written.len() + self.removed.len() == 0 {
            return;
        }
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
        ui::say(format_args!("{}: {}", self.label, parts.join("; ")));
    }
}

/// Whoever reads the file meanwhile sees the old bytes or the new ones.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let new = file.with_extension("wasm.new");
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, file).with_context(|| format!("cannot write {}", file.display()))
}

fn kilobytes(bytes: usize) -> String {
    format!("({} KB)", bytes.div_ceil(1000))
}
