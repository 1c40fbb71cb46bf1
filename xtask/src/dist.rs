//! `cargo xtask dist`: what is released, as an archive for the system it is built on.

use crate::guests::{self, Scope};
use crate::{Usage, build_toolhost, cargo, clear, output, root, run, ui};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::env::consts::EXE_SUFFIX;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const HELP: &str = "\
Build toolhost and the plugins that ship, and pack them with man pages, completions and licence into
target/dist/toolhost-VERSION-TARGET.tar.gz (.zip on Windows), with a checksum next to it. The archive is then
unpacked and tested.

Usage: cargo xtask dist [--profile NAME]

Options:
  --profile NAME  Cargo's profile for the binary [default: release]";

/// Files of the repository that go along.
const DOCUMENTS: [&str; 3] = ["README.md", "CHANGELOG.md", "LICENSE"];

/// Where completions go, and what `toolhost generate` calls them.
const COMPLETIONS: [(&str, &str); 4] = [
    ("toolhost.bash", "complete-bash"),
    ("_toolhost", "complete-zsh"),
    ("toolhost.fish", "complete-fish"),
    ("_toolhost.ps1", "complete-powershell"),
];

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let profile = match arguments {
        [] => "release",
        [option, profile] if option == "--profile" => profile,
        [option] if option == "--help" || option == "-h" => {
            println!("{HELP}");
            return Ok(());
        }
        other => {
            return Err(Usage(format!(
                "unexpected arguments `{}`\n\n{HELP}",
                other.join(" ")
            ))
            .into());
        }
    };
    let root = root()?;
    let mut steps = ui::Steps::new(4);
    steps.run("build the plugins that ship", || {
        guests::build(guests::way()?, Scope::PluginsAnd(&[]))
    })?;
    let binary = steps.run("build toolhost", || {
        let mut build = cargo();
        build.args(["build", "--locked", "--bin", "toolhost"]);
        build_toolhost(build.args(["--profile", profile]).current_dir(&root))
    })?;
    let (archive, name) = steps.run("pack the archive", || pack(&root, &binary))?;
    steps.run("test the archive", || try_out(&archive, &name))?;
    steps.report();
    println!("{}", archive.display());
    Ok(())
}

/// Packs the archive; returns its path, and the name of the folder in it.
fn pack(root: &Path, binary: &Path) -> Result<(PathBuf, String)> {
    let name = format!("toolhost-{}-{}", version(binary)?, host()?);
    let dist = root.join("target/dist");
    let folder = dist.join(&name);
    clear(&folder)?;
    copy(binary, &folder.join(format!("toolhost{EXE_SUFFIX}")))?;
    for document in DOCUMENTS {
        copy(&root.join(document), &folder.join(document))?;
    }
    let plugins = root.join("target/plugins");
    for entry in
        fs::read_dir(&plugins).with_context(|| format!("cannot list {}", plugins.display()))?
    {
        let file = entry?.path();
        if file.extension().is_some_and(|it| it == "wasm") {
            let name = file.file_name().unwrap_or_default();
            copy(&file, &folder.join("plugins").join(name))?;
        }
    }
    let mut man = Command::new(binary);
    run(man
        .args(["generate", "man", "--out-dir"])
        .arg(folder.join("man")))?;
    fs::create_dir_all(folder.join("completions"))?;
    for (file, what) in COMPLETIONS {
        let script = output(Command::new(binary).args(["generate", what]))?;
        fs::write(folder.join("completions").join(file), script)?;
    }

    // bsdtar, which Windows has, writes zip by the name of the file.
    let (extension, flags) = match cfg!(windows) {
        true => ("zip", "-acf"),
        false => ("tar.gz", "-czf"),
    };
    let file = format!("{name}.{extension}");
    let archive = dist.join(&file);
    let mut tar = Command::new("tar");
    run(tar.current_dir(&dist).args([flags, &file, &name]))?;
    let digest = Sha256::digest(fs::read(&archive)?);
    let digest = digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    fs::write(
        dist.join(format!("{file}.sha256")),
        format!("{digest}  {file}\n"),
    )?;
    Ok((archive, name))
}

/// Unpacks the archive in a folder of its own and calls one tool of each plugin that needs no permission.
fn try_out(archive: &Path, name: &str) -> Result<()> {
    let folder = archive.with_file_name("try");
    clear(&folder)?;
    let mut tar = Command::new("tar");
    run(tar.arg("-xf").arg(archive).arg("-C").arg(&folder))?;
    let inside = folder.join(name);
    fs::write(inside.join("toolhost.toml"), "plugin-dir = \"plugins\"\n")?;
    let toolhost = |arguments: &[&str]| {
        let mut command = Command::new(inside.join(format!("toolhost{EXE_SUFFIX}")));
        command.args(["--manifest", "toolhost.toml"]);
        output(command.current_dir(&inside).args(arguments))
    };
    toolhost(&["check"])?;
    let answer = toolhost(&["call", "calculate", r#"{"expression": "6 * 7"}"#])?;
    if answer.trim() != "42" {
        bail!("6 * 7 is 42, and the calculator of the archive says {answer}");
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// What the binary says of itself: `toolhost 0.1.0`.
fn version(binary: &Path) -> Result<String> {
    let said = output(Command::new(binary).arg("--version"))?;
    said.split_whitespace()
        .last()
        .map(str::to_owned)
        .context("toolhost says no version")
}

/// The system that the toolchain builds for.
fn host() -> Result<String> {
    let said = output(Command::new("rustc").arg("-vV"))?;
    said.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc says no host")
}
