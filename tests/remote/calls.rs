//! Calls: results, errors, limits, deadlines, and what is told while they run.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolhost::error::{Bound, Limit};
use toolhost::tool::{Content, LogLine, LogSource, ResourceBody};
use toolhost::{CallError, CallOptions, CancellationToken, Progress, ToolCall, Watcher};

use super::Stage;
use crate::common::binary::listed;
use crate::common::{call, error, in_time, text};
use toolhost_testing::needs;

fn numbered(id: usize, name: &str, arguments: Value) -> ToolCall {
    ToolCall::new(id.to_string(), name, arguments.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_run_side_by_side_and_their_results_have_their_ids() {
    needs!(python);
    let mut stage = Stage::new(&[], "");
    stage.add("other", &[], "prefix = 'o_'");
    let host = stage.load().await;
    let names = ["echo", "o_echo"];
    let calls = (0..40).map(|n| numbered(n, names[n % 2], json!({ "text": format!("text {n}") })));
    let results = host.run_all(calls).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.id.as_deref(), Some(&*n.to_string()));
        assert_eq!(text(result), format!("text {n}"));
        assert_eq!(result.usage.output_bytes, text(result).len() as u64);
    }
    let calls = (0..8).map(|n| numbered(n, "meet", json!({ "calls": 8 })));
    let results = in_time(host.run_all(calls)).await;
    assert!(results.iter().all(|result| text(result) == "met"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_of_plugins_and_of_servers_are_listed_and_run_side_by_side() {
    needs!(python);
    let mut stage = Stage::new(&[], "prefix = 'm_'\ntools = ['echo']");
    stage.manifest += &listed("echo");
    let host = stage.load().await;
    let tools: Vec<_> = host.tools().collect();
    let tools = tools.iter().map(|tool| (&*tool.name, tool.sandboxed));
    assert_eq!(
        tools.collect::<Vec<_>>(),
        [("echo", true), ("m_echo", false)]
    );
    assert_eq!(host.plugins().count(), 1);
    let names = ["echo", "m_echo"];
    let calls = (0..20).map(|n| numbered(n, names[n % 2], json!({ "text": n.to_string() })));
    let results = host.run_all(calls).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.id.as_deref(), Some(&*n.to_string()));
        assert_eq!(text(result), n.to_string());
    }
}

#[tokio::test]
async fn a_cap_of_the_server_holds() {
    needs!(python);
    let stage = Stage::new(&[], "max-concurrency = 1");
    let host = stage.load().await;
    let start = Instant::now();
    let calls = (0..3).map(|n| numbered(n, "sleep", json!({ "seconds": 0.3 })));
    let results = host.run_all(calls).await;
    assert!(results.iter().all(|result| text(result) == "awake"));
    assert!(start.elapsed() > Duration::from_millis(900));
}

#[tokio::test]
async fn every_kind_of_content_is_taken_over() {
    needs!(python);
    let host = Stage::new(&[], "").load().await;
    let result = host.call(call("contents", json!({}))).await;
    let output = result.outcome.unwrap();
    let [one, image, sound, link, embedded, blob] = &output.content[..] else {
        panic!("{output:?}");
    };
    assert_eq!(one, &Content::Text("one".to_owned()));
    assert!(
        matches!(image, Content::Image(it) if it.data == b"\x89PNG" && it.mime_type == "image/png")
    );
    assert!(matches!(sound, Content::Audio(it) if it.data == b"\x89PNG"));
    assert!(matches!(link, Content::Link(it) if it.uri == "file:///a" && it.description.is_some()));
    assert!(
        matches!(embedded, Content::Embedded(it) if it.body == ResourceBody::Text("b".to_owned()))
    );
    assert!(
        matches!(blob, Content::Embedded(it) if it.body == ResourceBody::Blob(b"\x89PNG".to_vec()))
    );
}

#[tokio::test]
async fn content_of_an_unknown_kind_is_shown_as_it_is() {
    needs!(python);
    let host = Stage::new(&[], "").load().await;
    let result = host.call(call("strange", json!({}))).await;
    assert_eq!(text(&result), "one\n{\"type\":\"hologram\",\"depth\":3}");
    let result = host.call(call("nonsense", json!({}))).await;
    assert!(
        error(&result).to_string().contains("not a result"),
        "{result:?}"
    );
}

#[tokio::test]
async fn structured_output_is_held_against_its_schema() {
    needs!(python);
    let host = Stage::new(&[], "").load().await;
    let result = host
        .call(call("structured", json!({ "value": 9007199254740993u64 })))
        .await;
    let output = result.outcome.unwrap();
    assert_eq!(
        output.structured.unwrap().get(),
        r#"{"value": 9007199254740993}"#
    );
    let result = host
        .call(call("structured", json!({ "value": "text" })))
        .await;
    let output = result.outcome.unwrap();
    assert!(output.structured.is_none(), "{output:?}");
    // There was no text, and so it is the text.
    let [Content::Text(text), Content::Text(note)] = &output.content[..] else {
        panic!("{output:?}");
    };
    assert_eq!(text, r#"{"value": "text"}"#);
    assert!(
        note.starts_with("[toolhost: no structured output: "),
        "{note}"
    );
    let why = &output.meta.unwrap()[toolhost::tool::OUTPUT_MISMATCH];
    assert!(
        why.as_str().unwrap().contains("does not fit its schema"),
        "{why}"
    );
}

#[tokio::test]
async fn a_tool_that_fails_fails_its_call_with_its_message() {
    needs!(python);
    let host = Stage::new(&[], "").load().await;
    let result = host
        .call(call("fail", json!({ "message": "out of paper" })))
        .await;
    let message = "out of paper".to_owned();
    assert_eq!(error(&result), &CallError::Failed { message });
    let result = host.call(call("rpc_error", json!({}))).await;
    let message = "no such luck".to_owned();
    assert_eq!(error(&result), &CallError::Failed { message });
}

#[tokio::test]
async fn wrong_arguments_never_reach_the_server() {
    needs!(python);
    let stage = Stage::new(&[], "max-input = '1KiB'");
    let host = stage.load().await;
    for arguments in ["{\"text\": [5]}", "{}", "[]", "{\"text\": "] {
        let result = host.call(ToolCall::new("id", "echo", arguments)).await;
        assert!(
            matches!(error(&result), CallError::InvalidArguments { .. }),
            "{arguments}"
        );
    }
    let result = host
        .call(call("echo", json!({ "text": "x".repeat(2000) })))
        .await;
    assert!(matches!(
        error(&result),
        CallError::Limit {
            limit: Limit::Input,
            ..
        }
    ));
    assert!(!stage.events().iter().any(|event| event.starts_with("call")));
}

#[tokio::test]
async fn an_output_over_its_limit_is_no_result_however_long_it_is() {
    needs!(python);
    let host = Stage::new(&[], "max-output = '10KiB'").load().await;
    let over = |bytes: u64| {
        let host = host.clone();
        async move { host.call(call("big", json!({ "bytes": bytes }))).await }
    };
    assert_eq!(text(&over(10 << 10).await).len(), 10 << 10);
    // The last is longer than any message that is taken from the server.
    for bytes in [(10 << 10) + 1, 1 << 20, 20 << 20] {
        let result = over(bytes).await;
        let CallError::Limit {
            limit: Limit::Output,
            bound,
        } = error(&result)
        else {
            panic!("{bytes}: {result:?}");
        };
        assert_eq!(*bound, Bound::Size("10KiB".parse().unwrap()));
    }
    assert_eq!(text(&over(5).await), "xxxxx");
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_the_server_is_told() {
    needs!(python);
    let stage = Stage::new(&[], "timeout = '300ms'");
    let host = stage.load().await;
    let sleeps = host.call(call("sleep", json!({ "seconds": 600 })));
    let result = in_time(sleeps).await;
    let after = Duration::from_millis(300);
    assert_eq!(error(&result), &CallError::Timeout { after });
    stage.event("cancelled").await;
    assert_eq!(
        text(&host.call(call("echo", json!({ "text": "on" }))).await),
        "on"
    );
}

#[tokio::test]
async fn a_cancelled_call_and_a_dropped_one_are_told_to_the_server() {
    needs!(python);
    let stage = Stage::new(&[], "");
    let host = stage.load().await;
    let token = CancellationToken::new();
    let options = CallOptions::new().cancellation(token.clone());
    let sleeps = host.call_with(call("sleep", json!({ "seconds": 600 })), &options);
    let cancels = async {
        stage.event("call sleep").await;
        token.cancel();
    };
    let (result, ()) = tokio::join!(sleeps, cancels);
    assert_eq!(error(&result), &CallError::Cancelled);
    stage.event("cancelled").await;

    tokio::select! {
        result = host.call(call("sleep", json!({ "seconds": 600 }))) => panic!("{result:?}"),
        _ = stage.last_event("call sleep", 2) => {}
    }
    stage.last_event("cancelled", 2).await;
}

#[derive(Default)]
struct Seen {
    lines: Mutex<Vec<String>>,
    progress: Mutex<Vec<Progress>>,
}

impl Watcher for Seen {
    fn logged(&self, line: &LogLine) {
        self.lines.lock().unwrap().push(line.text.clone());
    }

    fn progressed(&self, progress: &Progress) {
        self.progress.lock().unwrap().push(progress.clone());
    }
}

#[tokio::test]
async fn progress_and_log_lines_are_the_calls_own_and_in_order() {
    needs!(python);
    let host = Stage::new(&[], "").load().await;
    let seen = Arc::new(Seen::default());
    let options = CallOptions::new().watcher(seen.clone());
    let result = host.call_with(call("progress", json!({})), &options).await;
    assert_eq!(text(&result), "done");
    let progress = std::mem::take(&mut *seen.progress.lock().unwrap());
    let done: Vec<f64> = progress.iter().map(|progress| progress.done).collect();
    assert_eq!(done, [0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(progress[4].total, Some(5.0));
    assert_eq!(progress[4].message.as_deref(), Some("step 4"));

    let result = host
        .call_with(call("log", json!({ "lines": 3 })), &options)
        .await;
    assert_eq!(text(&result), "logged");
    let lines: Vec<_> = result
        .log
        .iter()
        .map(|line| (line.source, &*line.text))
        .collect();
    let warning = LogSource::Warning;
    assert_eq!(
        lines,
        [
            (warning, "line 0"),
            (warning, "line 1"),
            (warning, "line 2")
        ]
    );
    assert_eq!(*seen.lines.lock().unwrap(), ["line 0", "line 1", "line 2"]);
}

#[tokio::test]
async fn a_log_over_its_limit_ends_the_call() {
    needs!(python);
    let host = Stage::new(&[], "max-log = '4KiB'").load().await;
    let result = host.call(call("log", json!({ "lines": 100_000 }))).await;
    assert!(
        matches!(
            error(&result),
            CallError::Limit {
                limit: Limit::Log,
                ..
            }
        ),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_server_that_may_ask_nothing_can_ask_for_a_sign_of_life() {
    needs!(python);
    let stage = Stage::new(&[], "may-ask = []");
    let host = stage.load().await;
    let result = host.call(call("ask", json!({}))).await;
    let asked: Value = serde_json::from_str(&text(&result)).unwrap();
    assert_eq!(asked["ping"]["result"], json!({}), "{asked}");
    assert_eq!(asked["roots"]["result"]["roots"], json!([]), "{asked}");
    assert!(asked["sampling"]["error"].is_object(), "{asked}");
    assert!(
        asked["elicitation"]["result"]["action"] == "decline",
        "{asked}"
    );
    assert_eq!(stage.event("capabilities").await, "{}");
}

#[tokio::test]
async fn secrets_are_masked_and_nothing_else_of_our_environment_is_given() {
    needs!(python);
    let mut stage = Stage::new(
        &[],
        "env = { LOG = 'on' }\nsecrets = { KEY = { file = 'key' } }\n[audit]\npath = 'audit.jsonl'\narguments = true",
    );
    // Whoever is given nothing knows nothing.
    stage.folder.write("key", "sesame-opens-it\n");
    stage.manifest = stage.manifest.clone();
    let host = stage.load().await;
    let result = host.call(call("env", json!({}))).await;
    let env: Value = serde_json::from_str(&text(&result)).unwrap();
    assert_eq!(env["KEY"], "***");
    assert_eq!(env["LOG"], "on");
    assert!(env["PATH"].is_string());
    // cargo sets it for every test.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert_eq!(env["CARGO_MANIFEST_DIR"], Value::Null);

    let result = host
        .call(call("echo", json!({ "text": "say sesame-opens-it" })))
        .await;
    assert_eq!(text(&result), "say ***");
    let audit = std::fs::read_to_string(stage.folder.path().join("audit.jsonl")).unwrap();
    assert!(!audit.contains("sesame"), "{audit}");
    let line: Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
    assert_eq!(line["tool"], "echo");
    assert_eq!(line["plugin"], "test");
    assert_eq!(line["plugin_sha256"], Value::Null);
    assert_eq!(line["outcome"], "ok");
}
