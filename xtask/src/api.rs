//! `cargo xtask api`: the public interface of each library, as text that a review can read.

mod examples;

use crate::{CRATES, Usage, cargo, root, run, ui};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const HELP: &str = "\
Compare the public interface of each library with the one in docs/api.

Usage: cargo xtask api [--update | --examples]

Options:
  --update    Rewrite docs/api
  --examples  Also list the traits, functions, and types with methods that have no example that runs

A change of the interface is then part of the change's diff. The text comes from rustdoc's JSON, whose format differs
between versions of Rust: with a version that writes another, nothing is compared, and a line says so.";

/// The libraries of each workspace, its manifest, and where it builds below the target folder.
const WORKSPACES: [(&[&str], &str, &str); 2] = [
    (&CRATES, "Cargo.toml", ""),
    (
        &["toolhost-plugin"],
        "plugins/Cargo.toml",
        "guests-build/native",
    ),
];

/// The version of rustdoc's JSON that the crate `public-api` reads, and a Rust that writes it.
const FORMAT: u64 = 57;
const RUST: &str = "1.95";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (updates, lists_examples) = match arguments[..] {
        [] => (false, false),
        ["--update"] => (true, false),
        ["--examples"] => (false, true),
        ["--help" | "-h"] => {
            println!("{HELP}");
            return Ok(());
        }
        [other, ..] => return Err(Usage(format!("unknown argument `{other}`\n\n{HELP}")).into()),
    };
    let root = root()?;
    let target = target_dir(&root)?;
    let mut changed = Vec::new();
    let mut documented = Vec::new();
    for (libraries, workspace, below) in WORKSPACES {
        let folder = rustdoc_json(libraries, &root.join(workspace), &target.join(below))?;
        let files = libraries.iter().map(|library| {
            let name = library.replace('-', "_");
            (library, folder.join(name).with_extension("json"))
        });
        documented.extend(files);
    }
    for (library, json) in documented {
        let format = format_version(&json)?;
        if format != FORMAT {
            ui::say(format_args!(
                "the public interface was not compared: this rustdoc writes format {format} of its JSON, and format \
                 {FORMAT} is read; use Rust {RUST}, or change the version of public-api in xtask/Cargo.toml"
            ));
            return Ok(());
        }
        let interface = interface(&json)?;
        let path = root.join("docs/api").join(library).with_extension("txt");
        if updates {
            write(&path, &interface)?;
        } else if differs(&path, &interface)? {
            changed.push(*library);
        }
        if lists_examples {
            let examples = examples::count(&json)?;
            let all = examples.with + examples.without.len();
            println!(
                "{library}: {} of {all} items have an example",
                examples.with
            );
            examples.without.iter().for_each(|it| println!("  {it}"));
        }
    }
    if !changed.is_empty() {
        bail!(
            "the public interface of {} has changed\n\
             If that is meant, run `cargo xtask api --update`, and commit docs/api with the change.",
            changed.join(", ")
        );
    }
    Ok(())
}

fn target_dir(root: &Path) -> Result<PathBuf> {
    let output = cargo()
        .args(["metadata", "--format-version=1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("cannot run cargo")?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .context("cargo metadata says nothing that can be read")?;
    let target = metadata["target_directory"].as_str();
    Ok(target
        .context("cargo metadata names no target folder")?
        .into())
}

/// Has rustdoc write the JSON of libraries, and returns the folder that it is in. All of them at once: one by one they
/// would have wasmtime built with the features of each.
fn rustdoc_json(libraries: &[&str], workspace: &Path, target: &Path) -> Result<PathBuf> {
    // Only rustdoc may know that unstable options are allowed: build scripts look at this variable, and everything
    // that was built without it would be built again.
    let rustdoc = target.join("rustdoc-json");
    write(
        &rustdoc,
        "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n",
    )?;
    make_executable(&rustdoc)?;
    let mut cargo = cargo();
    cargo
        .args(["doc", "--quiet", "--no-deps", "--lib"])
        .args(libraries.iter().map(|name| format!("--package={name}")))
        .arg("--manifest-path")
        .arg(workspace)
        .arg("--target-dir")
        .arg(target)
        .env("RUSTDOC", &rustdoc)
        .env("RUSTDOCFLAGS", "-Zunstable-options --output-format=json");
    run(&mut cargo)?;
    Ok(target.join("doc"))
}

fn format_version(json: &Path) -> Result<u64> {
    let text = fs::read(json).with_context(|| format!("cannot read {}", json.display()))?;
    let value: Value =
        serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", json.display()))?;
    let version = value["format_version"].as_u64();
    version.with_context(|| format!("{} names no version of its format", json.display()))
}

/// An item a line. What a type has by itself, or is derived for it, is left out: it says little, and is half of the lines.
fn interface(json: &Path) -> Result<String> {
    let interface = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| format!("cannot read {}", json.display()))?;
    Ok(interface.to_string())
}

/// Whether the interface is another than the one in a file; says which lines have come and gone.
fn differs(path: &Path, interface: &str) -> Result<bool> {
    let kept = fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read {}; `cargo xtask api --update` writes it",
            path.display()
        )
    })?;
    let kept: BTreeSet<&str> = kept.lines().collect();
    let now: BTreeSet<&str> = interface.lines().collect();
    for gone in kept.difference(&now) {
        println!("- {gone}");
    }
    for come in now.difference(&kept) {
        println!("+ {come}");
    }
    Ok(kept != now)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    bail!("this needs a shell: run it on Linux or macOS")
}
