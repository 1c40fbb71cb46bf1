//! `toolhost run`: what comes out.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};
use toolhost_testing::Gate;

use super::{HELLO, RUN_TO_CHAT, hello, response, run_to_chat, spawn};
use crate::common::binary::{Folder, json_lines, listed};

#[test]
fn results_are_in_the_format_of_the_calls_unless_told_otherwise() {
    let folder = Folder::of(&["echo"]);
    let chat = json!([{
        "id": "call_1",
        "type": "function",
        "function": { "name": "echo", "arguments": r#"{"text":"hello"}"# },
    }]);
    let ended = folder.run(&["run"], chat.to_string()).answered();
    assert_eq!(ended.json(), json!([hello()]));
    let own = folder.run(&["run"], HELLO).answered();
    let [line] = &own.lines()[..] else {
        panic!("{own:?}");
    };
    assert_eq!(line["id"], "call_1");
    assert_eq!(
        (&line["content"], &line["name"]),
        (&json!("hello"), &json!("echo"))
    );
    assert!(line["usage"]["run_ms"].is_f64(), "{line}");
    assert_eq!(line.get("role"), None);
    let other = ["run", "--output-format", "json"];
    let lines = folder.run(&other, chat.to_string()).answered().lines();
    assert_eq!(lines[0]["id"], "call_1");
    assert_eq!(
        folder.run(&["run", "--output-format", "xml"], HELLO).status,
        2
    );
}

#[test]
fn stream_prints_each_result_when_it_completes() {
    let gate = Gate::new();
    let folder = Folder::with(listed("echo") + &gate.listed());
    let calls = json_lines(&[
        ("slow", "hold", gate.arguments()),
        ("fast", "echo", json!({ "text": "hello" })),
    ]);
    let arguments = run_to_chat(&["--stream", response(&folder, &calls)]);
    let mut child = spawn(folder.command(&arguments));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        next(),
        json!({ "role": "tool", "tool_call_id": "fast", "content": "hello" })
    );
    gate.open();
    assert_eq!(
        next(),
        json!({ "role": "tool", "tool_call_id": "slow", "content": "held" })
    );
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn full_adds_code_structured_output_usage_and_log() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let calls = json_lines(&[
        ("good", "structured", json!({ "value": { "n": 1 } })),
        ("bad", "fail", json!({ "message": "out of stock" })),
        ("unknown", "ecko", json!({})),
        ("printed", "print_some", json!({ "lines": 1 })),
    ]);
    for (arguments, id_key) in [
        (run_to_chat(&["--full"]), "tool_call_id"),
        (run_to_chat(&["--full", "--stream"]), "tool_call_id"),
        // toolhost's own format has all of it in any case.
        (vec!["run"], "id"),
        (vec!["run", "--full"], "id"),
        (vec!["run", "--stream"], "id"),
    ] {
        let ended = folder.run(&arguments, &calls).answered();
        let results = match arguments[..] {
            [.., "--full"] if id_key == "tool_call_id" => ended.results(),
            _ => ended.lines(),
        };
        assert_eq!(results.len(), 4);
        let find = |id: &str| results.iter().find(|r| r[id_key] == id).unwrap();
        let good = find("good");
        assert_eq!(good["structured"], json!({ "n": 1 }));
        assert_eq!(good["name"], "structured");
        assert_eq!((good.get("error"), good.get("log")), (None, None));
        assert!(good["usage"]["run_ms"].as_f64().unwrap() > 0.0);
        assert!(good["usage"]["queue_ms"].as_f64().unwrap() >= 0.0);
        assert!(good["usage"]["peak_memory_bytes"].as_u64().unwrap() >= 64 << 10);
        // The text and the structured document.
        assert_eq!(good["usage"]["output_bytes"], 2 * r#"{"n":1}"#.len());
        let bad = find("bad");
        assert_eq!(
            bad["error"],
            json!({ "code": "failed", "message": "out of stock" })
        );
        assert_eq!(bad["content"], "Error: fail failed - out of stock");
        assert!(bad["usage"]["run_ms"].as_f64().unwrap() > 0.0);
        let unknown = find("unknown");
        assert_eq!(unknown["error"]["code"], "unknown-tool");
        assert_eq!(
            unknown["content"],
            "Error: Unknown tool ecko. Similar tools: echo"
        );
        assert_eq!(unknown["usage"]["output_bytes"], 0);
        let mut log = find("printed")["log"].as_array().unwrap().clone();
        log.sort_by_key(|line| line["source"].as_str().unwrap().to_owned());
        assert_eq!(
            log,
            [
                json!({ "source": "info", "text": "logged" }),
                json!({ "source": "stderr", "text": "err 1" }),
                json!({ "source": "stdout", "text": "out 1" }),
            ]
        );
    }
}

#[test]
fn without_full_a_message_has_what_the_api_takes_and_no_more() {
    let folder = Folder::of(&["misbehave"]);
    let calls = json_lines(&[
        ("good", "structured", json!({ "value": 1 })),
        ("bad", "fail", json!({ "message": "no" })),
    ]);
    let results = folder.run(RUN_TO_CHAT, calls).answered().results();
    assert_eq!(results.len(), 2);
    for result in results {
        let keys: Vec<&String> = result.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["role", "tool_call_id", "content"]);
    }
}

#[test]
fn an_error_result_is_an_answer_unless_fail_on_error() {
    let folder = Folder::of(&["echo"]);
    let mixed = format!("{HELLO}\n{{\"id\":\"x\",\"name\":\"nothing\"}}");
    let plain = folder.run(RUN_TO_CHAT, &mixed).answered();
    for more in [
        &["--fail-on-error"][..],
        &["--fail-on-error", "--stream"],
        &["--fail-on-error", "--format", "json"],
    ] {
        let arguments = run_to_chat(more);
        let strict = folder.run(&arguments, &mixed);
        assert_eq!((strict.status, &*strict.stderr), (3, ""));
        assert!(strict.stdout.contains("Unknown tool nothing"));
        let good = folder.run(&arguments, HELLO).answered();
        assert!(good.stdout.contains("hello"));
    }
    let strict = folder.run(&run_to_chat(&["--fail-on-error"]), &mixed);
    assert_eq!(strict.stdout, plain.stdout);
}

#[test]
fn timeline_draws_on_stderr_and_leaves_stdout_to_the_results() {
    let folder = Folder::of(&["echo"]);
    let ended = folder.run(&run_to_chat(&["--timeline"]), HELLO);
    assert_eq!(ended.status, 0);
    assert_eq!(ended.json(), json!([hello()]));
    assert!(ended.stderr.starts_with("echo |"), "{}", ended.stderr);
    let none = folder.run(&["run", "--timeline"], "[]");
    assert_eq!((none.status, none.json()), (0, json!([])));
}

#[test]
fn what_is_denied_is_said_on_stderr_with_verbose_and_not_on_stdout() {
    let folder = Folder::of(&["misbehave"]);
    let calls = json_lines(&[("a", "http_get", json!({ "url": "http://127.0.0.1:9/x" }))]);
    let quiet = folder.run(&["run"], &calls).answered();
    assert_eq!(quiet.lines()[0]["error"]["code"], "denied");
    let loud = folder.run(&["run", "-v"], &calls);
    assert_eq!((loud.status, loud.lines().len()), (0, 1));
    assert!(loud.stderr.contains("127.0.0.1:9"), "{}", loud.stderr);
}
