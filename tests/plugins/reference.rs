//! Libraries of others that the plugins are compared with, by `reference.py`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::root;

/// The answers of a function of `reference.py` to these arguments, one by one.
pub(super) fn reference(function: &str, arguments: &[Value]) -> Vec<Value> {
    let mut python = Command::new(root().join("target/mcp/venv/bin/python"))
        .arg(root().join("tests/plugins/reference.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let request = json!({ "function": function, "arguments": arguments });
    let mut stdin = python.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(request.to_string().as_bytes()));
    let ended = python.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(ended.status.success(), "{function} of reference.py failed");
    let answers: Vec<Value> = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(answers.len(), arguments.len());
    answers
}
