//! The scripts in `clients/`: every check of theirs, by each SDK, transport and revision.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command;

use crate::common::binary::run;
use crate::common::{code_cache, root};
use crate::server::{Http, folder, stdio};
use crate::{installed, node};
use toolhost_testing::needs;

/// What each script checks, apart from how the SDK itself behaves.
const CHECKS: [&str; 30] = [
    "initialize",
    "tools-list",
    "simple-call",
    "parallel",
    "image",
    "audio",
    "embedded-resource",
    "multiple-contents",
    "tool-error",
    "progress",
    "logging",
    "cancel",
    "elicitation-accept",
    "elicitation-decline",
    "elicitation-twice",
    "sampling",
    "unknown-tool",
    "bad-arguments",
    "resources-list",
    "resource-text",
    "resource-binary",
    "resource-template",
    "resource-missing",
    "resource-updated",
    "prompts-list",
    "prompt",
    "prompt-with-arguments",
    "completion",
    "ping",
    "close",
];

const OLD: &str = "2025-11-25";
const NEW: &str = "2026-07-28";

fn typescript() -> Command {
    installed("node_modules/@modelcontextprotocol/sdk");
    installed("node_modules/@modelcontextprotocol/client");
    node(&root().join("tests/mcp/clients/client.mjs"))
}

fn python() -> Command {
    let mut python = Command::new(installed("venv/bin/python"));
    python.arg(root().join("tests/mcp/clients/client.py"));
    python
}

#[track_caller]
fn check(mut client: Command, revision: &str, transport: &str, server: Vec<OsString>) {
    client
        .args(["--revision", revision, transport])
        .args(server)
        // For the server that it starts.
        .env("TOOLHOST_CODE_CACHE", code_cache())
        .env_remove("TOOLHOST_MANIFEST")
        .env_remove("TOOLHOST_LOG");
    let ended = run(client, "");
    let (good, bad): (Vec<_>, Vec<_>) = ended
        .lines()
        .into_iter()
        .partition(|line| line["ok"] == true);
    let told: Vec<String> = bad
        .iter()
        .map(|line| {
            let detail = line["detail"].as_str().unwrap_or_default();
            format!("{}: {detail}", line["check"])
        })
        .collect();
    assert!(told.is_empty(), "{}\n{}", told.join("\n"), ended.stderr);
    let ran: BTreeSet<&str> = good
        .iter()
        .filter_map(|line| line["check"].as_str())
        .collect();
    let left_out: Vec<_> = CHECKS.iter().filter(|name| !ran.contains(*name)).collect();
    assert!(left_out.is_empty(), "{left_out:?} did not run: {ended:?}");
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[track_caller]
fn over_stdio(client: Command, revision: &str) {
    let folder = folder();
    check(client, revision, "stdio", stdio(&folder));
}

#[track_caller]
fn over_http(client: Command, revision: &str) {
    let server = Http::start();
    check(client, revision, "http", vec![server.url.clone().into()]);
}

#[test]
fn typescript_over_stdio() {
    needs!(mcp_peers);
    over_stdio(typescript(), OLD);
}

#[test]
fn typescript_over_http() {
    needs!(mcp_peers);
    over_http(typescript(), OLD);
}

#[test]
fn typescript_of_2026_over_stdio() {
    needs!(mcp_peers);
    over_stdio(typescript(), NEW);
}

#[test]
fn typescript_of_2026_over_http() {
    needs!(mcp_peers);
    over_http(typescript(), NEW);
}

#[test]
fn python_over_stdio() {
    needs!(mcp_peers);
    over_stdio(python(), OLD);
}

#[test]
fn python_over_http() {
    needs!(mcp_peers);
    over_http(python(), OLD);
}

#[test]
fn python_of_2026_over_stdio() {
    needs!(mcp_peers);
    over_stdio(python(), NEW);
}

#[test]
fn python_of_2026_over_http() {
    needs!(mcp_peers);
    over_http(python(), NEW);
}

#[test]
fn clients_share_a_server() {
    needs!(mcp_peers);
    let server = Http::start();
    let url = || vec![server.url.clone().into()];
    std::thread::scope(|scope| {
        scope.spawn(|| check(typescript(), OLD, "http", url()));
        scope.spawn(|| check(typescript(), NEW, "http", url()));
        scope.spawn(|| check(python(), OLD, "http", url()));
    });
}
