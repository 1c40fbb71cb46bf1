//! Cargo, as a program: which packages of a workspace are guests, and building them with progress.

use super::toolchain::{Toolchain, Way};
use crate::ui::Progress;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A guest as cargo built it.
pub(crate) struct Guest {
    /// The package's name.
    pub(crate) name: String,
    /// What cargo built: a component, or the core module of one.
    pub(crate) file: PathBuf,
    pub(crate) is_component: bool,
    /// Whether it must export the plugin interface: unless its manifest has
    /// `[package.metadata.toolhost] world = false`.
    pub(crate) is_plugin: bool,
}

/// Builds the guests of a workspace whose packages are wanted; `label` names the workspace to people. Returns the guests
/// that could be built, and whether that is all of them: what was wrong with the others has then been printed.
pub(crate) fn build(
    toolchain: &Toolchain,
    workspace: &Path,
    label: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<Guest>, bool)> {
    let metadata =
        metadata(toolchain, workspace).with_context(|| format!("cargo metadata in {label}"))?;
    let plan = Plan::new(&metadata, is_wanted);
    let progress = Progress::start(
        format!(
            "building {} of {label} for {}",
            match plan.guests.len() {
                1 => "1 guest".to_owned(),
                many => format!("{many} guests"),
            },
            toolchain.triple()
        ),
        plan.crates.len(),
    );
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--release",
            "--message-format=json-render-diagnostics",
        ])
        .args(
            plan.guests
                .values()
                .flat_map(|guest| ["--package", guest.name.as_str()]),
        )
        .args(toolchain.build_arguments())
        .env(
            "CARGO_TERM_COLOR",
            if std::io::stderr().is_terminal() {
                "always"
            } else {
                "never"
            },
        )
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = cargo
        .spawn()
        .with_context(|| format!("cannot run {:?}", cargo.get_program()))?;
    let (files, log) = follow(&mut child, &plan, &progress)?;
    let status = child.wait()?;
    drop(progress);
    if !status.success() {
        eprintln!("{}", log.trim_end());
    }

    let mut guests = Vec::new();
    for (id, guest) in plan.guests {
        let Some(file) = files.get(&id) else {
            if status.success() {
                bail!(
                    "cargo built no .wasm of package `{}` in {label}",
                    guest.name
                );
            }
            continue;
        };
        guests.push(Guest {
            name: guest.name,
            file: file.clone(),
            is_component: toolchain.way == Way::Rustup,
            is_plugin: guest.is_plugin,
        });
    }
    Ok((guests, status.success()))
}

fn metadata(toolchain: &Toolchain, workspace: &Path) -> Result<Value> {
    let mut cargo = toolchain.cargo();
    let output = cargo
        .current_dir(workspace)
        .args([
            "metadata",
            "--format-version=1",
            "--filter-platform",
            toolchain.triple(),
        ])
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot run {:?}", cargo.get_program()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What is to be built, by package id.
struct Plan {
    guests: BTreeMap<String, PlannedGuest>,
    /// The guests and all that they need.
    crates: BTreeSet<String>,
}

struct PlannedGuest {
    name: String,
    is_plugin: bool,
}

impl Plan {
    fn new(metadata: &Value, is_wanted: impl Fn(&str) -> bool) -> Self {
        let members: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
        let mut guests = BTreeMap::new();
        for package in array(&metadata["packages"]) {
            let (Some(id), Some(name)) = (package["id"].as_str(), package["name"].as_str()) else {
                continue;
            };
            if members.contains(id) && is_wanted(name) && array(&package["targets"]).any(is_cdylib)
            {
                let is_plugin = package["metadata"]["toolhost"]["world"] != Value::Bool(false);
                guests.insert(
                    id.to_owned(),
                    PlannedGuest {
                        name: name.to_owned(),
                        is_plugin,
                    },
                );
            }
        }

        let nodes: BTreeMap<&str, &Value> = array(&metadata["resolve"]["nodes"])
            .filter_map(|node| Some((node["id"].as_str()?, node)))
            .collect();
        let mut crates = BTreeSet::new();
        let mut todo: Vec<&str> = guests.keys().map(String::as_str).collect();
        while let Some(id) = todo.pop() {
            if !crates.insert(id.to_owned()) {
                continue;
            }
            let needs = nodes
                .get(id)
                .map(|node| &node["deps"])
                .into_iter()
                .flat_map(array);
            // A package's tests are not built here.
            let is_built =
                |need: &&Value| array(&need["dep_kinds"]).any(|kind| kind["kind"] != "dev");
            todo.extend(
                needs
                    .filter(is_built)
                    .filter_map(|need| need["pkg"].as_str()),
            );
        }
        Self { guests, crates }
    }
}

/// Reads what cargo says until it ends: the .wasm file of each guest, by package id, and everything it said to people.
fn follow(
    child: &mut Child,
    plan: &Plan,
    progress: &Progress,
) -> Result<(BTreeMap<String, PathBuf>, String)> {
    let stdout = child.stdout.take().context("cargo's output is not piped")?;
    let mut stderr = child
        .stderr
        .take()
        .context("cargo's errors are not piped")?;
    std::thread::scope(|scope| {
        // On its own thread: whichever pipe is not read fills up, and cargo waits.
        let log = scope.spawn(move || {
            let mut log = Vec::new();
            let _ = stderr.read_to_end(&mut log);
            String::from_utf8_lossy(&log).into_owned()
        });
        let mut files = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for line in BufReader::new(stdout).lines() {
            let Ok(message) = serde_json::from_str::<Value>(&line?) else {
                continue;
            };
            if message["reason"] != "compiler-artifact" {
                continue;
            }
            let Some(id) = message["package_id"].as_str() else {
                continue;
            };
            if plan.crates.contains(id) && seen.insert(id.to_owned()) {
                progress.step();
            }
            if let Some(name) = message["target"]["name"].as_str() {
                progress.doing(name.to_owned());
            }
            if plan.guests.contains_key(id) && is_cdylib(&message["target"]) {
                let wasm = strings(&message["filenames"]).find(|file| file.ends_with(".wasm"));
                files.extend(wasm.map(|file| (id.to_owned(), PathBuf::from(file))));
            }
        }
        let log = log.join().unwrap_or_default();
        Ok((files, log))
    })
}

fn is_cdylib(target: &Value) -> bool {
    strings(&target["kind"]).any(|kind| kind == "cdylib")
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    array(value).filter_map(Value::as_str)
}
