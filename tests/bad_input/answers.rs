//! Bad answers, and guests that misbehave.

use serde_json::{Value, json};
use toolhost::error::Limit;
use toolhost::limits::ByteSize;
use toolhost::{CallError, ToolCall};

use super::between_siblings;
use crate::common;
use crate::common::binary::{Folder, json_lines, listed};
use crate::common::error;

#[tokio::test]
async fn bad_answers_are_their_calls_own_error() {
    let host = common::host(&["echo", "misbehave"]).await;
    let call = |name: &str, arguments: Value| ToolCall::new("bad", name, arguments.to_string());
    let over = ByteSize::mib(1).as_u64() + 1;
    let calls = vec![
        call("bad_structured", json!({})),
        call("huge_output", json!({ "bytes": over })),
        call("huge_output", json!({ "bytes": 48 << 20 })),
        call("many_contents", json!({ "count": 3, "bytes": 400_000 })),
        call("many_contents", json!({ "count": 100_000, "bytes": 0 })),
    ];
    let results = between_siblings(&host, calls).await;
    let CallError::Failed { message } = error(&results[0]) else {
        panic!("{:?}", results[0]);
    };
    assert!(
        message.contains("structured output is not JSON"),
        "{message}"
    );
    for result in &results[1..] {
        let expected = CallError::Limit {
            limit: Limit::Output,
            bound: ByteSize::mib(1).into(),
        };
        assert_eq!(*error(result), expected);
        assert_eq!(result.usage.output_bytes, 0);
    }
}

#[test]
fn guests_that_misbehave_cost_their_own_call_only() {
    // The two that have to be stopped by the clock, in a plugin of their own: all others, and the
    // healthy calls, have all the time they need.
    let slow = listed("misbehave").replace("[plugin.misbehave]", "[plugin.slow]");
    let folder = Folder::with(format!(
        "{}{}{slow}prefix = \"slow_\"\ntimeout = \"300ms\"\ntools = [\"spin\", \"sleep\"]\n",
        listed("echo"),
        listed("misbehave"),
    ));
    let bad = [
        ("recurse", json!({}), "limit"),
        ("allocate", json!({}), "limit"),
        ("print", json!({}), "limit"),
        ("print_error", json!({}), "limit"),
        ("log_flood", json!({}), "limit"),
        ("huge_output", json!({ "bytes": 40 << 20 }), "limit"),
        ("trap", json!({}), "trap"),
        ("panic", json!({ "message": "oh no" }), "trap"),
        ("exit", json!({ "code": 0 }), "trap"),
        ("exit", json!({ "code": 1 }), "trap"),
        ("slow_spin", json!({}), "timeout"),
        ("slow_sleep", json!({ "ms": 3_600_000 }), "timeout"),
        ("fail", json!({ "message": "no" }), "failed"),
        ("refuse", json!({ "message": "no" }), "invalid-arguments"),
        ("deny", json!({ "what": "it" }), "denied"),
        ("read", json!({ "path": "/etc/passwd" }), "failed"),
    ];
    let mut calls = Vec::new();
    for (name, arguments, _) in &bad {
        calls.push(("bad", *name, arguments.clone()));
        calls.push(("good", "echo", json!({ "text": "hello" })));
    }
    let results = folder.run(&["run"], json_lines(&calls)).answered().lines();
    assert_eq!(results.len(), 2 * bad.len());
    for (pair, (name, _, code)) in results.chunks(2).zip(bad) {
        assert_eq!(pair[0]["error"]["code"], code, "{name}: {}", pair[0]);
        let content = pair[0]["content"].as_str().unwrap();
        assert!(content.starts_with(&format!("Error: {name} ")), "{content}");
        assert!(pair[0]["usage"]["run_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(pair[1]["content"], "hello", "beside {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_serves_on_after_every_kind_of_end() {
    let host = common::host(&["echo", "misbehave"]).await;
    for (name, code) in [
        ("trap", "trap"),
        ("recurse", "limit"),
        ("allocate", "limit"),
        ("print", "limit"),
    ] {
        // More often than the pool has instances.
        let calls = (0..24).map(|_| ToolCall::new("bad", name, "{}")).collect();
        for result in between_siblings(&host, calls).await {
            assert_eq!(error(&result).code(), code);
        }
    }
}
