//! Options of the host, of `run` and others.

use serde_json::{Value, json};
use toolhost_testing::Gate;

use super::{response, run_to_chat, spawn};
use crate::common::binary::{Folder, json_lines, listed};

#[test]
fn timeout_overrides_every_timeout_of_the_manifest() {
    let manifest = format!(
        "[host]\ntimeout = \"1h\"\n{}timeout = \"2h\"\n",
        listed("misbehave")
    );
    let folder = Folder::with(manifest);
    let calls = json_lines(&[("a", "sleep", json!({ "ms": 3_600_000 }))]);
    let ended = folder.run(&["run", "--timeout", "250ms"], calls).answered();
    let result = &ended.lines()[0];
    assert_eq!(result["error"]["code"], "timeout");
    assert_eq!(result["content"], "Error: sleep timed out after 250 ms");
}

#[test]
fn a_higher_max_concurrency_runs_more_at_once_than_the_manifest() {
    let gate = Gate::new();
    let folder = Folder::with(format!("[host]\nmax-concurrency = 1\n{}", gate.listed()));
    let calls = json_lines(&[
        ("a", "hold", gate.arguments()),
        ("b", "hold", gate.arguments()),
    ]);
    let arguments = run_to_chat(&["--max-concurrency", "2", response(&folder, &calls)]);
    let child = spawn(folder.command(&arguments));
    // Neither goes on before both are there.
    gate.wait_for(2);
    gate.open();
    let output = child.wait_with_output().unwrap();
    let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let contents: Vec<&Value> = results.iter().map(|result| &result["content"]).collect();
    assert_eq!(contents, ["held", "held"]);
}

#[test]
fn a_lower_max_concurrency_runs_fewer_at_once_than_the_manifest() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let calls = json_lines(&[
        ("slow", "sleep", json!({ "ms": 300 })),
        ("fast", "echo", json!({ "text": "hello" })),
    ]);
    let arguments = ["run", "--stream", "--max-concurrency", "1"];
    let lines = folder.run(&arguments, calls).answered().lines();
    // One after the other, they end in their order.
    let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, ["slow", "fast"]);
}
