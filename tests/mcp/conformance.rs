//! The protocol's own conformance suite, npm `@modelcontextprotocol/conformance`.

use std::path::Path;

use crate::common::binary::{Folder, listed, run};
use crate::server::Http;
use crate::summary::Summary;
use crate::{installed, node};
use toolhost_testing::needs;

/// The guest that the suite asks for. It calls tools that may only run as tasks by these names, and has
/// the others that do take a second.
fn served() -> Folder {
    Folder::with(format!(
        "[serve]\ntask-after = \"300ms\"\ntask-only = [\"failing_job\", \"test_tool_with_task\"]\n{}{}",
        listed("conformance"),
        listed("echo")
    ))
}

/// Runs what a revision requires: so many scenarios, and those beside them that we hold to.
#[track_caller]
fn passes(revision: &str, scored: usize, others: &[&str]) {
    let suite = installed("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let server = Http::start_in(served());
    let folder = server.folder.path().join("conformance");
    let mut suite = node(&suite);
    suite
        .args(["server", "--url", &server.url])
        .args(["--requirements", revision, "-o"])
        .arg(&folder)
        .current_dir(server.folder.path());
    let ended = run(suite, "");
    let Some(summary) = Summary::read(&ended.stdout) else {
        panic!("no summary: {ended:?}");
    };
    let bad = summary.bad(others);
    assert!(
        bad.is_empty(),
        "{}\n{}",
        bad.join("\n"),
        failures(&folder).join("\n")
    );
    let names: Vec<_> = summary.scored.keys().collect();
    assert_eq!(names.len(), scored, "{names:?}");
}

/// The checks that failed, as the suite keeps them.
fn failures(folder: &Path) -> Vec<String> {
    let scenarios = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let checks = scenarios.filter_map(|scenario| {
        let text = std::fs::read(scenario.path().join("checks.json")).ok()?;
        serde_json::from_slice::<Vec<serde_json::Value>>(&text).ok()
    });
    checks
        .flatten()
        .filter(|check| check["status"] == "FAILURE" || check["status"] == "WARNING")
        .map(|check| format!("{check:#}"))
        .collect()
}

#[test]
fn conforms_to_2025_11_25() {
    needs!(mcp_peers);
    passes(
        "2025-11-25",
        30,
        &["json-schema-2020-12", "server-sse-polling"],
    );
}

#[test]
fn conforms_to_2026_07_28() {
    needs!(mcp_peers);
    passes(
        "2026-07-28",
        37,
        &[
            "json-schema-2020-12",
            "http-header-validation",
            "http-custom-header-server-validation",
            "tasks-lifecycle",
            "tasks-capability-negotiation",
            "tasks-wire-fields",
            "tasks-request-state-removal",
            "tasks-mrtr-input",
            "tasks-request-headers",
            "tasks-dispatch-and-envelope",
            "tasks-required-task-error",
            "tasks-mrtr-composition",
        ],
    );
}
