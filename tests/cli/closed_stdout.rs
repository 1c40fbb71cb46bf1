//! A reader that has seen enough.

use std::process::Stdio;

use serde_json::json;

use super::response;
use crate::common::binary::{Folder, json_lines};
use crate::common::guest;

#[test]
fn a_closed_stdout_ends_every_command_quietly() {
    let folder = Folder::of(&["misbehave"]);
    folder.write(
        "response.jsonl",
        r#"{"name":"huge_output","arguments":{"bytes":200000}}"#,
    );
    let plugin = guest("misbehave");
    for arguments in [
        &["list"][..],
        &["list", "--format", "json"],
        &["list", "--format", "openai"],
        &["run", "response.jsonl"],
        &["run", "--stream", "response.jsonl"],
        &["call", "huge_output", r#"{"bytes":200000}"#],
        &["call", "huge_output", r#"{"bytes":200000}"#, "--full"],
        &["check"],
        &["inspect", plugin.to_str().unwrap()],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = folder.command(arguments);
        command.stdin(Stdio::null()).stdout(writer);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*stderr),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_closed_stdout_ends_a_stream_before_its_calls_are_over() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let calls = json_lines(&[
        ("a", "sleep", json!({ "ms": 3_600_000 })),
        ("b", "echo", json!({ "text": "hello" })),
    ]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let arguments = [
        "run",
        "--stream",
        "--timeout",
        "2h",
        response(&folder, &calls),
    ];
    let status = folder.command(&arguments).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
