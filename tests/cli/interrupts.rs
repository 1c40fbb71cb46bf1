//! Ctrl-C.

use std::io::{BufRead, BufReader, Read};

use serde_json::{Value, json};
use toolhost_testing::{Gate, wait_until};

use super::{RUN_TO_CHAT, interrupt, response, run_to_chat, spawn};
use crate::common::binary::{Folder, json_lines, listed};

#[test]
fn an_interrupt_of_a_stream_leaves_what_completed_and_exits_130() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let calls = json_lines(&[
        ("sleeps", "sleep", json!({ "ms": 600_000 })),
        ("spins", "spin", json!({})),
        ("done", "echo", json!({ "text": "hello" })),
    ]);
    let arguments = run_to_chat(&["--stream", "--timeout", "1h", response(&folder, &calls)]);
    let mut child = spawn(folder.command(&arguments));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&line).unwrap(),
        json!({ "role": "tool", "tool_call_id": "done", "content": "hello" })
    );
    interrupt(child.id());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*rest), (Some(130), ""));
}

#[test]
fn an_interrupt_prints_what_completed_and_exits_130() {
    let manifest = format!(
        "{}{}order = \"parallel\"\n[plugin.misbehave.permissions]\nfiles = [{{ host = \"marks\", guest = \"/marks\", access = \"read-write\" }}]\n",
        listed("echo"),
        listed("misbehave")
    );
    let folder = Folder::with(manifest);
    std::fs::create_dir(folder.path().join("marks")).unwrap();
    // One at a time: when the mark is there, the first call has completed.
    let calls = json_lines(&[
        ("done", "echo", json!({ "text": "hello" })),
        (
            "marks",
            "write",
            json!({ "path": "/marks/mark", "text": "x" }),
        ),
        ("sleeps", "sleep", json!({ "ms": 600_000 })),
        ("waits", "echo", json!({ "text": "never" })),
    ]);
    let response = response(&folder, &calls);
    let options = ["--timeout", "1h", "--max-concurrency", "1"];
    let child = spawn(folder.command(&[RUN_TO_CHAT, &[response], &options[..]].concat()));
    let mark = folder.path().join("marks/mark");
    wait_until("the first call has completed", || mark.exists());
    interrupt(child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        results[0],
        json!({ "role": "tool", "tool_call_id": "done", "content": "hello" })
    );
    let ids: Vec<&Value> = results
        .iter()
        .map(|result| &result["tool_call_id"])
        .collect();
    assert!(ids == ["done"] || ids == ["done", "marks"], "{ids:?}");
}

#[test]
fn an_interrupt_is_heard_while_results_are_printed() {
    let folder = Folder::of(&["echo"]);
    // Far more than a pipe holds: until somebody reads on, the binary is busy printing.
    let text = "x".repeat(10_000);
    let lines = format!(
        "{}\n",
        json!({ "name": "echo", "arguments": { "text": text } })
    );
    let calls = 2_000;
    let arguments = ["run", "--stream", response(&folder, &lines.repeat(calls))];
    let mut child = spawn(folder.command(&arguments));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    interrupt(child.id());
    let rest = stdout.lines().map_while(Result::ok).count();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest < calls - 1, "all {rest} results were printed");
}

#[test]
fn an_interrupted_single_call_prints_nothing_and_exits_130() {
    let gate = Gate::new();
    let folder = Folder::with(gate.listed());
    let arguments = gate.arguments().to_string();
    let child = spawn(folder.command(&["call", "hold", &arguments, "--timeout", "1h"]));
    gate.wait_for(1);
    interrupt(child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}
