//! Calls of one answer that change something: in order, behind what somebody has yet to allow, and only
//! once the answer is complete.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use toolhost::manifest::Manifest;
use toolhost::permissions::{Access, FileGrant};
use toolhost::wire::Format;
use toolhost::{Approval, AskFirst, Hook, Tool, ToolCall, ToolHost, ToolResult};

use crate::peer::{BREAK, Peer, Say, calls, chat_call, chat_end, text};
use crate::{Approver, Seen, agent, common, config};

const CHAT: Format = Format::OpenaiChat;

fn with_folder(folder: &Path) -> Manifest {
    let mut plugin = common::plugin("filesystem");
    plugin.permissions.files = vec![FileGrant::new(folder, "/w").with_access(Access::ReadWrite)];
    common::manifest([plugin, common::plugin("calculator")])
}

async fn host_of(folder: &Path) -> ToolHost {
    common::load(with_folder(folder)).await
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
        // Whoever is asked answers once the calculation is done.
        let calculated = Arc::new(Notify::new());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (wait, note) = (calculated.clone(), asked.clone());
        let ask = AskFirst::new(move |tool, _| {
            note.lock().unwrap().push(tool.name.clone());
            let wait = wait.clone();
            Box::pin(async move {
                wait.notified().await;
                approval
            })
        });
        let loader = common::loader(with_folder(folder.path())).hook(ask);
        let host = loader.hook(Calculated(calculated)).load().await.unwrap();
        let mut agent = agent(&host, config(CHAT, &peer.url), false);
        let mut seen = Seen::default();
        agent.ask("?", &mut seen).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), ["fs_write"]);
        assert_eq!(content(&seen.results, "fs_read"), read);
    }
}

/// Notes that a calculation is done.
struct Calculated(Arc<Notify>);

impl Hook for Calculated {
    fn after(&self, call: &ToolCall, _: Option<&Tool>, _: &ToolResult) {
        if call.name == "calculate" {
            self.0.notify_one();
        }
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
    let approver = Approver::new([Approval::Yes]);
    let host = approver.host(with_folder(folder.path())).await;
    let mut agent = agent(&host, config, false);
    let mut seen = Seen::default();
    agent.ask("?", &mut seen).await.unwrap();
    let ended: Vec<&str> = seen.results.iter().map(|result| &*result.name).collect();
    assert_eq!(ended, ["fs_write", "calculate"]);
}

/// An answer that breaks off is asked for again: nobody is asked about its calls, whose tools say nothing of themselves
/// and could start at once.
#[tokio::test]
async fn nobody_is_asked_before_the_answer_is_complete() {
    let optional = |id: &str, count| chat_call(0, id, "optional", &json!({ "count": count }));
    let torn = [
        optional("a", 1),
        chat_call(1, "b", "calculate", &json!({"expression": "1"})),
        vec![BREAK.to_owned()],
    ];
    let whole = [optional("c", 2), chat_end("tool_calls")];
    let script = [Say::Events(torn.concat()), Say::Events(whole.concat())];
    let peer = Peer::start(script.into_iter().chain([text(CHAT, "done")]).collect());
    let approver = Approver::new([Approval::Yes]);
    let host = approver.host(crate::guests()).await;
    let mut agent = agent(&host, config(CHAT, &peer.url), true);
    let mut seen = Seen::default();
    agent.ask("?", &mut seen).await.unwrap();
    assert_eq!(seen.retries.len(), 1);
    let asked = [["optional".to_owned(), r#"{"count":2}"#.to_owned()]];
    assert_eq!(approver.asked(), asked);
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
