//! Tools of other servers, offered to clients of our own.

use serde_json::{Value, json};

use crate::common::binary::Folder;
use crate::common::root;

/// What `toolhost serve` answers over stdio to requests of a session with that server behind it.
fn answers(args: &[&str], calls: &[Value]) -> Vec<Value> {
    let folder = Folder::empty();
    let script = root().join("tests/remote").join(args[0]);
    let state = folder.path().join("state").display().to_string();
    let mut all = vec![script.to_str().unwrap()];
    all.extend(args[1..].iter().map(|it| match *it {
        "STATE" => &*state,
        other => other,
    }));
    let manifest = format!("[mcp.x]\ncommand = 'python3'\nargs = {all:?}\n");
    folder.write("toolhost.toml", manifest);
    let client = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "a", "version": "1" } });
    let mut lines = vec![
        json!({ "jsonrpc": "2.0", "id": "i", "method": "initialize", "params": client }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
    ];
    lines.extend(calls.iter().cloned());
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let ended = folder.run(&["serve"], lines.join("\n") + "\n");
    let mut answers: Vec<Value> = ended.lines();
    answers.retain(|it| it["id"].is_number());
    answers.sort_by_key(|it| it["id"].as_u64());
    answers
}

fn request(id: u32, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

#[test]
fn meta_passes_through_in_both_directions() {
    let meta = json!({ "progressToken": 1, "traceparent": "00-1", "mine/x": [1] });
    let calls = [request(
        1,
        "tools/call",
        json!({ "name": "t", "_meta": meta }),
    )];
    let [result] = &answers(&["odd.py", "STATE", "meta"], &calls)[..] else {
        panic!();
    };
    let text = result["result"]["content"][0]["text"].as_str().unwrap();
    let got: Value = serde_json::from_str(text).unwrap();
    assert_eq!(got["traceparent"], "00-1", "{result}");
    assert_eq!(got["mine/x"], json!([1]), "{result}");
    assert_eq!(result["result"]["_meta"], json!({ "trace": "t1" }));

    let calls = [request(1, "tools/list", json!({}))];
    let [listed] = &answers(&["mcp_stub.py", "meta"], &calls)[..] else {
        panic!();
    };
    let meta = &listed["result"]["tools"][0]["_meta"];
    let expected =
        json!({ "ui": { "resourceUri": "ui://x" }, "anthropic/maxResultSizeChars": 500_000 });
    assert_eq!(meta, &expected, "{listed}");
}

#[test]
fn an_output_that_misses_its_schema_reaches_strict_clients() {
    let calls = [request(1, "tools/call", json!({ "name": "t" }))];
    let [result] = &answers(&["mcp_stub.py", "mismatch"], &calls)[..] else {
        panic!();
    };
    let result = &result["result"];
    assert_eq!(result["content"][0]["text"], "the useful part", "{result}");
    // A client that holds successes against the schema would throw it away otherwise.
    assert_eq!(result["isError"], true, "{result}");
    assert!(result["structuredContent"].is_null(), "{result}");
    assert!(
        result["_meta"]["toolhost/output-mismatch"].is_string(),
        "{result}"
    );
}
