//! Many messages at once, and messages that are none.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::{Value, json};

use crate::client::{Pipes, text};
use crate::server::folder;

#[test]
fn of_ten_thousand_calls_at_once_each_is_answered_once() {
    const COUNT: u64 = 10_000;
    let folder = folder();
    let mut pipes = Pipes::start(folder.command(&["serve"]), json!({}));
    let mut stdin = pipes.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let mut all = String::new();
        for id in 1..=COUNT {
            let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
                "params": { "name": "echo", "arguments": { "text": id.to_string() } } });
            all += &format!("{call}\n");
        }
        stdin.write_all(all.as_bytes()).unwrap();
        stdin
    });
    let mut answered = BTreeSet::new();
    while answered.len() < COUNT as usize {
        let reply = pipes.next();
        let id = reply["id"]
            .as_u64()
            .unwrap_or_else(|| panic!("no id: {reply}"));
        assert_eq!(text(&reply), id.to_string());
        assert!(answered.insert(id), "{id} is answered twice");
    }
    pipes.stdin = Some(writer.join().unwrap());
    assert!(pipes.finish().success());
}

#[test]
fn what_is_no_message_ends_no_session() {
    let folder = folder();
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    folder.write(
        "toolhost.toml",
        format!("[serve]\nmax-body = '64KiB'\n{manifest}"),
    );
    let mut pipes = Pipes::start(folder.command(&["serve"]), json!({}));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let nested = format!(
        r#"{{"jsonrpc":"2.0","id":"deep","method":"tools/call","params":{{"name":"echo","arguments":{{"text":{deep}}}}}}}"#
    );
    let long = json!({ "jsonrpc": "2.0", "id": "long", "method": "tools/call",
        "params": { "name": "echo", "arguments": { "text": "x".repeat(100_000) } } });
    let number = r#"{"jsonrpc":"2.0","id":1e400,"method":"ping"}"#;
    for line in ["garbage", "", "[]", "{}", "null", &deep, &nested, number] {
        pipes.write(format!("{line}\n"));
    }
    pipes.write(b"\xff\xfe\x00\n");
    pipes.write(format!("{long}\n"));
    let reply = pipes.call("after", "echo", json!({ "text": "still here" }));
    assert_eq!(text(&reply), "still here");
    let ids = ["long", "deep"];
    let big = pipes.ask("x".repeat(10_000), "ping", json!({}));
    assert_eq!(big["result"], json!({}));
    drop(pipes.stdin.take());
    let mut rest = Vec::new();
    while let Some(message) = pipes.left() {
        rest.push(message);
    }
    // What is over the bound is not run.
    let is_answer = |id: &str| {
        rest.iter()
            .any(|message: &Value| message["id"] == id && message.get("result").is_some())
    };
    assert!(!ids.iter().any(|id| is_answer(id)), "{rest:?}");
    assert!(crate::client::ended(&mut pipes.child).success());
    assert!(!pipes.all_said().contains("panicked"));
}
