//! The command line: every command and flag, through the binary.

#[cfg(unix)]
mod build;
mod builtin;
mod call;
mod check;
mod closed_stdout;
#[cfg(unix)]
mod dev;
mod find_manifest;
mod host_options;
mod inspect;
mod interrupts;
mod list;
mod new;
mod run_input;
mod run_output;
mod summarize;
mod token;
mod usage;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::binary::Folder;

/// One call of `echo`, as JSON Lines.
const HELLO: &str = r#"{"id":"call_1","name":"echo","arguments":{"text":"hello"}}"#;

/// What answers [`HELLO`], in the format of OpenAI's chat.
fn hello() -> Value {
    json!({ "role": "tool", "tool_call_id": "call_1", "content": "hello" })
}

/// `run` with results as messages of OpenAI's chat, whatever format the calls are in.
const RUN_TO_CHAT: &[&str] = &["run", "--output-format", "openai-chat"];

fn run_to_chat<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [RUN_TO_CHAT, more].concat()
}

/// Puts a response into the folder, and gives its name.
fn response(folder: &Folder, calls: &str) -> &'static str {
    folder.write("response.jsonl", calls);
    "response.jsonl"
}

fn spawn(mut command: Command) -> std::process::Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command.spawn().unwrap()
}

/// What Ctrl-C does.
fn interrupt(process: u32) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -INT {process}")])
        .status()
        .unwrap();
    assert!(status.success());
}
