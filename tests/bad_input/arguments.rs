//! Bad arguments, names and ids of calls.

use std::time::Duration;

use serde_json::{Value, json};
use toolhost::error::Limit;
use toolhost::limits::ByteSize;
use toolhost::{CallError, ToolCall};

use super::{between_siblings, echo_with};
use crate::common;
use crate::common::binary::{Folder, json_lines};
use crate::common::{error, load, manifest, text};

#[tokio::test]
async fn arguments_that_are_no_object_of_json_are_their_calls_own_error() {
    let host = common::host(&["echo"]).await;
    let arguments = [
        "not json",
        "{",
        r#"{"text":"#,
        r#"{"text":"a"}}"#,
        r#"{"text":"a"} {"text":"b"}"#,
        r#"{'text':'a'}"#,
        r#"{"text":"a",}"#,
        r#"{"text":NaN}"#,
        "null",
        "[]",
        "42",
        r#""text""#,
        "true",
        "\u{feff}{}",
        // NUL as it is, in and around the text.
        "{\"text\":\"a\0b\"}",
        "\0",
        "{\"text\":\"a\"}\0",
        // Half of a surrogate pair.
        r#"{"text":"\ud800"}"#,
        r#"{"text":"\udc00\ud800"}"#,
        r#"{"\ud800":1,"text":"a"}"#,
    ];
    let calls = arguments.iter().copied().map(echo_with).collect();
    for (result, arguments) in between_siblings(&host, calls).await.iter().zip(arguments) {
        let CallError::InvalidArguments { problems } = error(result) else {
            panic!("{arguments:?}: {result:?}");
        };
        assert_eq!(problems.len(), 1, "{arguments:?}");
        assert_eq!(problems[0].pointer, "", "{arguments:?}");
        assert_eq!(result.usage.peak_memory, 0, "{arguments:?}");
    }
}

#[tokio::test]
async fn escaped_nul_and_whole_surrogate_pairs_are_text_like_any_other() {
    let host = common::host(&["echo"]).await;
    let calls = vec![
        echo_with(r#"{"text":"a\u0000b"}"#),
        echo_with(r#"{"text":"\ud83d\ude00"}"#),
        echo_with("\t {\"text\":\"a\"}\r\n"),
    ];
    let results = between_siblings(&host, calls).await;
    let texts: Vec<String> = results.iter().map(text).collect();
    assert_eq!(texts, ["a\0b", "😀", "a"]);
}

#[tokio::test]
async fn arguments_of_50_megabytes_are_over_a_limit() {
    let huge = || echo_with(json!({ "text": "x".repeat(50_000_000) }).to_string());
    let host = common::host(&["echo"]).await;
    let results = between_siblings(&host, vec![huge()]).await;
    let CallError::Limit { limit, bound } = error(&results[0]) else {
        panic!("{:?}", error(&results[0]));
    };
    assert_eq!((*limit, *bound), (Limit::Input, ByteSize::mib(4).into()));
    // Where the manifest lets them in, the sandbox still holds.
    let mut plugin = common::plugin("echo");
    plugin.limits.max_input = ByteSize::mib(64);
    plugin.limits.memory = ByteSize::mib(32);
    plugin.limits.timeout = Duration::from_secs(300);
    let host = load(manifest([plugin])).await;
    let results = between_siblings(&host, vec![huge()]).await;
    let CallError::Limit { limit, .. } = error(&results[0]) else {
        panic!("{:?}", error(&results[0]));
    };
    assert_eq!(*limit, Limit::Memory);
}

#[tokio::test]
async fn arguments_nested_100_000_deep_are_their_calls_own_error() {
    let host = common::host(&["echo", "misbehave"]).await;
    let mut calls = Vec::new();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        for arguments in [
            format!("{{\"text\":{open}1{close}}}"),
            format!("{open}1{close}"),
            format!("{{\"text\":{open}"),
        ] {
            calls.push(echo_with(&*arguments));
            calls.push(ToolCall::new("bad", "raw_arguments", arguments));
        }
    }
    for result in between_siblings(&host, calls).await {
        assert_eq!(error(&result).code(), "invalid-arguments");
    }
}

#[test]
fn through_the_binary_bad_arguments_cost_their_own_call_only() {
    let folder = Folder::of(&["echo"]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_text = json!(format!("{{\"text\":{deep}}}")).to_string();
    let arguments = [
        // As the API has them: JSON in a string.
        (r#""not json""#, Some("invalid-arguments")),
        (r#""[1]""#, Some("invalid-arguments")),
        (r#""{\"text\":\"a\u0000b\"}""#, Some("invalid-arguments")),
        (r#""{\"text\":\"a\\u0000b\"}""#, None),
        (r#""{\"text\":\"\\ud800\"}""#, Some("invalid-arguments")),
        // Half a pair in the response itself, which no decoder takes.
        (r#""{\"text\":\"\ud800\"}""#, Some("invalid-arguments")),
        (r#""""#, Some("invalid-arguments")),
        ("null", Some("invalid-arguments")),
        ("5", Some("invalid-arguments")),
        (&deep, Some("invalid-arguments")),
        (&deep_text, Some("invalid-arguments")),
        (r#"{"text":[5]}"#, Some("invalid-arguments")),
        (r#"{"text":"fine"}"#, None),
    ];
    let calls: Vec<String> = arguments
        .iter()
        .map(|(arguments, _)| {
            format!(r#"{{"id":"x","function":{{"name":"echo","arguments":{arguments}}}}}"#)
        })
        .collect();
    let response = format!(
        r#"{{"role":"assistant","tool_calls":[{}]}}"#,
        calls.join(",")
    );
    let results = folder
        .run(&["run", "--full"], response)
        .answered()
        .results();
    assert_eq!(results.len(), arguments.len());
    for (result, (arguments, code)) in results.iter().zip(arguments) {
        let code = code.map_or(Value::Null, Value::from);
        assert_eq!(result["error"]["code"], code, "{:.80}: {result}", arguments);
    }
    assert_eq!(results[3]["content"], "a\0b");
}

#[test]
fn through_the_binary_50_megabytes_of_arguments_are_answered() {
    let folder = Folder::of(&["echo"]);
    let calls = json_lines(&[
        ("huge", "echo", json!({ "text": "x".repeat(50_000_000) })),
        ("fine", "echo", json!({ "text": "hello" })),
    ]);
    let results = folder.run(&["run"], calls).answered().lines();
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["error"]["code"], "limit");
    assert_eq!(results[1]["content"], "hello");
    assert!(results[0].to_string().len() < 1000);
}

#[tokio::test]
async fn strange_names_and_ids_cost_their_own_call_only() {
    let host = common::host(&["echo"]).await;
    let long = "n".repeat(1_000_000);
    let names = ["", " ", "ECHO", "echo\0", "\u{202e}ohce", "../echo", &long];
    let calls = names
        .iter()
        .map(|name| ToolCall::new(&*long, *name, "{}"))
        .collect();
    for (result, name) in between_siblings(&host, calls).await.iter().zip(names) {
        assert_eq!(error(result).code(), "unknown-tool");
        assert_eq!(
            (result.name.as_str(), result.id.as_deref()),
            (name, Some(&*long))
        );
    }
}
