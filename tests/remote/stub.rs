//! The modes of `mcp_stub.py`: servers as users of other hosts reported them.

use std::time::Duration;

use serde_json::json;
use toolhost::tool::{Content, OUTPUT_MISMATCH};
use toolhost::{CallError, Manifest, ToolCall, ToolHost};

use crate::common::binary::Folder;
use crate::common::{call, error, in_time, root, text, try_load};
use toolhost_testing::needs;

/// A host with `mcp_stub.py` in that mode behind `[mcp.x]`.
struct Stub {
    host: ToolHost,
    _folder: Folder,
}

impl Stub {
    async fn new(mode: &str, more: &str) -> Stub {
        let folder = Folder::empty();
        let stub = root().join("tests/remote/mcp_stub.py");
        let stub = stub.display();
        let manifest = format!("[mcp.x]\ncommand = 'python3'\nargs = ['{stub}', '{mode}']\n{more}");
        let manifest = Manifest::read(folder.write("toolhost.toml", manifest)).unwrap();
        let host = try_load(manifest).await;
        Stub {
            host: host.unwrap_or_else(|error| panic!("{mode}: {error}")),
            _folder: folder,
        }
    }

    async fn call(&self) -> toolhost::ToolResult {
        self.host.call(call("t", json!({}))).await
    }
}

#[tokio::test]
async fn servers_work_however_they_take_discovery() {
    needs!(python);
    for mode in [
        "exit-on-discover",
        "silent-discover",
        "error-id-null",
        "string-ids",
        "batch",
        "banner",
    ] {
        let stub = in_time(Stub::new(mode, "")).await;
        assert_eq!(text(&stub.call().await), "fine", "{mode}");
    }
}

#[tokio::test]
async fn names_that_no_api_takes_are_mapped_and_lead_back() {
    needs!(python);
    let stub = Stub::new("names", "").await;
    let tools: Vec<_> = stub.host.tools().collect();
    let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names[..2], ["a_b_c_845e3044", "ns_x_30170d53"]);
    assert_eq!(names[3], "ok");
    for tool in &tools {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        assert!(tool.name.len() <= 64 && tool.name.chars().all(plain));
        let result = stub.host.call(call(&tool.name, json!({}))).await;
        assert_eq!(text(&result), "fine", "{}", tool.name);
    }
    assert_eq!(tools[0].title.as_deref(), Some("a.b.c"));
    assert_eq!(stub.host.left_out().count(), 0);
    let chosen = Stub::new("names", "tools = ['ns/x', 'ok']").await;
    let names: Vec<_> = chosen.host.tools().map(|tool| tool.name.clone()).collect();
    assert_eq!(names, ["ns_x_30170d53", "ok"]);
}

#[tokio::test]
async fn a_tool_that_can_never_be_called_is_named_and_breaks_no_other() {
    needs!(python);
    let stub = Stub::new("schemas", "").await;
    let left_out: Vec<_> = stub.host.left_out().map(|(_, it)| it).collect();
    let [not_object] = &left_out[..] else {
        panic!("{left_out:?}");
    };
    assert_eq!(not_object.tool, "not_object");
    assert!(not_object.why.contains("\"string\""), "{not_object:?}");
    for (name, arguments) in [
        ("top_any_of", r#"{"a": 1}"#),
        ("bare_object", r#"{"whatever": 1}"#),
        ("array_no_items", r#"{"l": [1, "a"]}"#),
        ("draft4", r#"{"n": 0.5}"#),
        ("odd_key", r#"{"a b": "c"}"#),
        ("refs", r#"{"a": "b"}"#),
        ("bools", r#"{"a": null}"#),
        ("ok", "{}"),
    ] {
        let result = stub.host.call(ToolCall::new("1", name, arguments)).await;
        assert_eq!(text(&result), "fine", "{name}");
    }
    for (name, arguments) in [
        ("top_any_of", r#"{"c": 1}"#),
        ("draft4", r#"{"n": 0}"#),
        ("refs", r#"{"a": [5]}"#),
    ] {
        let result = stub.host.call(ToolCall::new("1", name, arguments)).await;
        let error = error(&result);
        assert!(
            matches!(error, CallError::InvalidArguments { .. }),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_can_be_shown_of_a_result_is_never_lost() {
    needs!(python);
    let stub = Stub::new("no-content", "").await;
    let result = stub.call().await;
    let output = result.outcome.as_ref().unwrap();
    assert_eq!(output.structured.as_ref().unwrap().get(), r#"{"n": 1}"#);

    let stub = Stub::new("mismatch", "").await;
    let result = stub.call().await;
    let output = result.outcome.as_ref().unwrap();
    assert!(output.structured.is_none());
    assert_eq!(output.content[0], Content::Text("the useful part".into()));
    let why = output.meta.as_ref().unwrap()[OUTPUT_MISMATCH].to_string();
    assert!(why.contains("'extra' was unexpected"), "{why}");
    assert!(
        text(&result).contains("'extra' was unexpected"),
        "{result:?}"
    );

    let stub = Stub::new("error-structured", "").await;
    let message = "quota exceeded, try tomorrow".to_owned();
    assert_eq!(error(&stub.call().await), &CallError::Failed { message });
}

#[tokio::test]
async fn progress_moves_the_idle_timeout_and_not_the_timeout() {
    needs!(python);
    let stub = Stub::new("progress", "idle-timeout = '2s'").await;
    assert_eq!(text(&stub.call().await), "done after 2.4 s");
    let stub = Stub::new("progress", "idle-timeout = '2s'\ntimeout = '1s'").await;
    let after = Duration::from_secs(1);
    assert_eq!(error(&stub.call().await), &CallError::Timeout { after });
}

#[tokio::test]
async fn what_a_server_asks_of_the_user_is_declined_and_the_log_says_so() {
    needs!(python);
    let stub = Stub::new("elicit", "").await;
    let result = stub.call().await;
    assert!(
        text(&result).contains(r#""action":"decline""#),
        "{result:?}"
    );
    let lines: Vec<&str> = result.log.iter().map(|line| &*line.text).collect();
    assert_eq!(
        lines,
        ["declined a question for the user, as no one is available to answer: sure?"]
    );
}

#[tokio::test]
async fn a_task_that_cannot_be_asked_for_fails_clearly() {
    needs!(python);
    let stub = Stub::new("task", "").await;
    let message = "it runs as a task, which cannot be polled: Method not found".to_owned();
    assert_eq!(error(&stub.call().await), &CallError::Failed { message });
}

#[tokio::test]
async fn meta_of_tools_and_results_is_handed_on() {
    needs!(python);
    let stub = Stub::new("meta", "").await;
    let tool = stub.host.tools().next().unwrap();
    let meta = tool.meta.as_ref().unwrap();
    assert_eq!(meta["ui"]["resourceUri"], "ui://x");
    assert_eq!(meta["anthropic/maxResultSizeChars"], 500_000);
    let result = stub.call().await;
    let output = result.outcome.as_ref().unwrap();
    assert_eq!(output.meta.as_ref().unwrap()["k"], 1);
    assert_eq!(text(&result).len(), 400_000);
}
