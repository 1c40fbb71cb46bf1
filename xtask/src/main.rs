//! `cargo xtask`: what the project needs beside `cargo build` and `cargo test`.

mod api;
mod apt;
mod clients;
mod components;
mod demo;
mod dist;
mod fuzz;
mod guests;
mod mcp;
mod npm;
mod package;
mod python;
mod sdks;
mod test;
mod ui;
mod wit;

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const HELP: &str = "\
Development tasks besides `cargo build` and `cargo test`.

Usage: cargo xtask COMMAND [OPTIONS]

Commands:
  demo        Run a recorded model response with the plugins that ship
  test        Run every test
  dist        Pack what is released, for this system, into target/dist
  package     Build and try the Python wheel and the npm packages for this system
  api         Compare the public interface of the libraries with the one in docs/api
  fuzz        Fuzz what reads untrusted input, guided by coverage
  aimock      Install the mock of models' APIs that the agent's tests talk to
  componentize-qjs
              Install what a test makes a component of JavaScript with
  mcp         Install the clients and the conformance suite that the protocol's tests run
  components  Fetch components of other projects that tests load
  clients     Test the clients in other languages, with the binary and the frameworks that adapters are for
  sdks        Test the SDKs, and plugins in every language from `toolhost new` to a call
  wit         Compare docs/wit.md with the interface in wit/
  plugins     Build the plugins that ship into target/plugins/*.wasm
  guests      Build the plugins and every test guest into target/guests/*.wasm

See `cargo xtask COMMAND --help` for details.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    let done = match command.as_str() {
        "aimock" => npm::command(&npm::AIMOCK, rest),
        "api" => api::command(rest),
        "clients" => clients::command(rest),
        "componentize-qjs" => npm::command(&npm::COMPONENTIZE_QJS, rest),
        "components" => components::command(rest),
        "demo" => demo::command(rest),
        "dist" => dist::command(rest),
        "fuzz" => fuzz::command(rest),
        "package" => package::command(rest),
        "test" => test::command(rest),
        "plugins" => guests::plugins_command(rest),
        "guests" => guests::command(rest),
        "mcp" => mcp::command(rest),
        "sdks" => sdks::command(rest),
        "wit" => wit::command(rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(Usage(format!("unknown command `{other}`\n\n{HELP}")).into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// The command line was wrong, as opposed to the work.
#[derive(Debug)]
struct Usage(String);

impl std::error::Error for Usage {}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The repository's root folder.
fn root() -> Result<PathBuf> {
    // Cargo sets it at run time too; the value at compile time is wrong once the folder has moved.
    let manifest = std::env::var("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    match Path::new(&manifest).parent() {
        Some(root) if root.join("wit").is_dir() => Ok(root.to_owned()),
        _ => bail!("cannot find the repository's root: run this as `cargo xtask` inside of it"),
    }
}

/// For commands without options: whether help was asked for, which is then printed.
fn asks_for_help(arguments: &[String], help: &str) -> Result<bool> {
    match arguments.first().map(String::as_str) {
        None => Ok(false),
        Some("--help" | "-h") => {
            println!("{help}");
            Ok(true)
        }
        Some(other) => Err(Usage(format!("unknown argument `{other}`\n\n{help}")).into()),
    }
}

/// The crates of the library, which are published, each after those that it needs.
const CRATES: [&str; 7] = [
    "toolhost-schema",
    "toolhost-wire",
    "toolhost-core",
    "toolhost-agent",
    "toolhost-mcp",
    "toolhost-pipe",
    "toolhost",
];

/// Cargo, as somebody at a terminal would run it: ring's build script looks at what cargo tells xtask of its own package,
/// and has ring and all that depends on it built again whenever that is something else.
fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let is_own =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_own) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs a `cargo build` that builds the binary `toolhost`, and returns its path.
fn build_toolhost(cargo: &mut Command) -> Result<PathBuf> {
    // Cargo says where it puts the binary, wherever the environment has its target folder.
    let output = cargo
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo could not build toolhost ({})", output.status);
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "toolhost")
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .context("cargo named no binary")
}

/// What a command that must succeed prints, without the last line end. If it fails, that is in the error.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    said(&format!("{command:?}"), output)
}

/// What a command has printed, unless it has failed.
fn said(command: &str, output: std::process::Output) -> Result<String> {
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        bail!("{command}: {}\n{}", output.status, said.trim_end());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Makes a folder, or empties it.
fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Runs a program to its end; failing is an error.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        bail!("{program} {}: {status}", arguments.join(" "));
    }
    Ok(())
}
