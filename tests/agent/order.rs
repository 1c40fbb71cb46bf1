//! Calls of one answer that change something: in order, behind what somebody has yet to allow, and only
//! once the answer is complete.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use toolhost::agent::Approval;
use toolhost::permissions::{Access, FileGrant};
use toolhost::wire::Format;
use toolhost::{ToolHost, ToolResult};

use crate::peer::{BREAK, Peer, Say, calls, chat_call, chat_end, text};
use crate::{Seen, agent, common, config};

const CHAT: Format = Format::OpenaiChat;

async fn host_of(folder: &Path) -> ToolHost {
    let mut plugin = common::plugin("filesystem");
    plugin.permissions.files = vec![FileGrant::new(folder, "/w").with_access(Access::ReadWrite)];
    common::load(common::manifest([plugin, common::plugin("calculator")])).await
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "old").unwrap();
    folder
}

fn write(content: &str) -> Value {
    json!({"path": "a.txt", "content": content})
}

fn content(results: &[ToolResult], name: &str) -> String {
    let mut found = results.iter().filter(|result| result.name == name);
    found.next().unwrap().to_text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reads_a_file_waits_for_the_write_that_is_to_be_allowed() {
    for (approval, read) in [(Approval::Yes, "new"), (Approval::No, "old")] {
        let folder = folder();
        let answer = [
            ("w", "fs_write", write("new")),
            ("r", "fs_read", json!({"path": "a.txt"})),
            ("c", "calculate", json!({"expression": "6*7"})),
        ];
        let peer = Peer::start(vec![calls(CHAT, &answer), text(CHAT, "done")]);
        let host = host_of(folder.path()).await;
        let mut agent = agent(&host, config(CHAT, &peer.url), false).ask_first(true);
        let mut seen = Seen {
            approvals: vec![approval].into(),
            ..Seen::default()
        };
        agent.ask("?", &mut seen).await.unwrap();
        assert_eq!(seen.asked, ["fs_write"]);
        assert_eq!(content(&seen.results, "fs_read"), read);
        // What has nothing to do with it has not waited.
        let began: Vec<&str> = seen.calls.iter().map(|call| &*call.name).collect();
        assert_eq!(began, ["calculate", "fs_write", "fs_read"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequential_calls_wait_for_the_approval_before_them() {
    let folder = folder();
    let answer = [
        ("w", "fs_write", write("new")),
        ("c", "calculate", json!({"expression": "6*7"})),
    ];
    let peer = Peer::start(vec![calls(CHAT, &answer), text(CHAT, "done")]);
    let mut config = config(CHAT, &peer.url);
    config.parallel = false;
    let host = host_of(folder.path()).await;
    let mut agent = agent(&host, config, false).ask_first(true);
    let mut seen = Seen {
        approvals: vec![Approval::Yes].into(),
        ..Seen::default()
    };
    agent.ask("?", &mut seen).await.unwrap();
    let began: Vec<&str> = seen.calls.iter().map(|call| &*call.name).collect();
    assert_eq!(began, ["fs_write", "calculate"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_has_changed_nothing() {
    let folder = folder();
    let mut torn = chat_call(0, "w", "fs_write", &write("torn"));
    torn.extend(chat_call(
        1,
        "c",
        "calculate",
        &json!({"expression": "6*7"}),
    ));
    torn.extend(chat_call(2, "r", "fs_read", &json!({"path": "a.txt"})));
    torn.extend(chat_call(3, "x", "calculate", &json!({"expression": "1"})));
    torn.push(BREAK.to_owned());
    let mut whole = chat_call(0, "w2", "fs_write", &write("whole"));
    whole.extend(chat_call(
        1,
        "c2",
        "calculate",
        &json!({"expression": "6*7"}),
    ));
    whole.extend(chat_end("tool_calls"));
    let peer = Peer::start(vec![
        Say::Events(torn),
        Say::Events(whole),
        text(CHAT, "done"),
    ]);
    let host = host_of(folder.path()).await;
    let mut agent = agent(&host, config(CHAT, &peer.url), true);
    let path = folder.path().join("a.txt");
    let mut seen = Seen {
        on_retry: Some(Box::new(move || {
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        })),
        ..Seen::default()
    };
    agent.ask("?", &mut seen).await.unwrap();
    assert_eq!(seen.retries.len(), 1);
    let path = folder.path().join("a.txt");
    assert_eq!(fs::read_to_string(path).unwrap(), "whole");
    // The file was not read ahead of the write that never came, and written once.
    let began: Vec<&str> = seen.calls.iter().map(|call| &*call.name).collect();
    assert_eq!(began.iter().filter(|name| **name == "fs_write").count(), 1);
    assert!(!began.contains(&"fs_read"), "{began:?}");
    assert!(began.contains(&"calculate"), "{began:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_for_a_broken_answer_is_read_again_behind_a_write() {
    let folder = folder();
    let read = json!({"path": "a.txt"});
    let mut torn = chat_call(0, "r", "fs_read", &read);
    torn.extend(chat_call(1, "x", "calculate", &json!({"expression": "1"})));
    torn.push(BREAK.to_owned());
    let mut whole = chat_call(0, "w", "fs_write", &write("new"));
    whole.extend(chat_call(1, "r2", "fs_read", &read));
    whole.extend(chat_end("tool_calls"));
    let peer = Peer::start(vec![
        Say::Events(torn),
        Say::Events(whole),
        text(CHAT, "done"),
    ]);
    let host = host_of(folder.path()).await;
    let mut agent = agent(&host, config(CHAT, &peer.url), true);
    agent.ask("?", &mut Seen::default()).await.unwrap();
    let asked = peer.asked();
    let messages = asked.last().unwrap().body["messages"]
        .as_array()
        .unwrap()
        .clone();
    let answer = messages
        .iter()
        .find(|it| it["tool_call_id"] == "r2")
        .unwrap();
    assert_eq!(answer["content"], "new");
}
