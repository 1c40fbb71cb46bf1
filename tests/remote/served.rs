//! Tools of other servers, offered to clients of our own.

use serde_json::{Value, json};

use crate::common::binary::Folder;
use crate::common::root;
use toolhost_testing::needs;

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
    needs!(python);
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
    needs!(python);
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

/// What `odd.py annotated` says that is the protocol's, and not between a client and its own server.
fn annotated() -> Value {
    json!([
        { "type": "text", "text": "a", "_meta": { "x/k": [1] },
          "annotations": { "audience": ["user"], "priority": 0.9, "lastModified": "2026-01-01T00:00:00Z" } },
        { "type": "image", "data": "aGk=", "mimeType": "image/png",
          "annotations": { "audience": ["assistant", "user"] } },
        { "type": "audio", "data": "aGk=", "mimeType": "audio/wav", "_meta": { "x/k": 3 } },
        { "type": "resource_link", "uri": "file:///a", "name": "a", "title": "A", "size": 3,
          "icons": [{ "src": "https://example.com/a.png" }], "annotations": { "priority": 0.1 } },
        { "type": "resource", "resource": { "uri": "ui://x", "text": "t", "_meta": { "ui": { "w": 1 } } },
          "annotations": { "priority": 1.0 }, "_meta": { "x/k": 4 } },
        { "type": "text", "text": "b" },
        { "type": "resource_link", "uri": "file:///b", "name": "b" },
    ])
}

#[test]
fn what_a_server_says_of_its_content_passes_through() {
    needs!(python);
    let call = request(1, "tools/call", json!({ "name": "t" }));
    let [result] = &answers(&["odd.py", "STATE", "annotated"], &[call])[..] else {
        panic!();
    };
    assert_eq!(result["result"]["content"], annotated(), "{result:#}");
    // Inside of another call each piece keeps its own.
    let twice = json!({ "tool_uses": [{ "recipient_name": "t" }, { "recipient_name": "t" }] });
    let call = json!({ "name": "multi_tool_use.parallel", "arguments": twice });
    let call = request(1, "tools/call", call);
    let [result] = &answers(&["odd.py", "STATE", "annotated"], &[call])[..] else {
        panic!();
    };
    let content = result["result"]["content"].as_array().unwrap();
    let expected = annotated();
    let expected = expected.as_array().unwrap();
    assert_eq!(content.len(), 2 * (expected.len() + 1), "{result:#}");
    for inside in content.chunks(expected.len() + 1) {
        assert_eq!(&inside[1..], &expected[..], "{result:#}");
    }
}

#[test]
fn it_is_in_an_answer_of_the_wire_format_too() {
    needs!(python);
    let folder = Folder::empty();
    let script = root().join("tests/remote/odd.py");
    let state = folder.path().join("state").display().to_string();
    let args = [script.to_str().unwrap(), &state, "annotated"];
    let manifest = format!("[mcp.x]\ncommand = 'python3'\nargs = {args:?}\n");
    folder.write("toolhost.toml", manifest);
    let call = request(1, "tools/call", json!({ "name": "t", "arguments": {} }));
    let answer = folder.run(&["run"], call.to_string()).answered().json();
    assert_eq!(answer["result"]["content"], annotated(), "{answer:#}");
}

#[test]
fn schemas_are_of_objects_with_properties_that_strict_clients_read() {
    needs!(python);
    let calls = [request(1, "tools/list", json!({}))];
    let [listed] = &answers(&["odd.py", "STATE", "schemas"], &calls)[..] else {
        panic!();
    };
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert!(tools.len() > 5, "{listed:#}");
    for tool in tools {
        let schema = &tool["inputSchema"];
        assert_eq!(schema["type"], "object", "{tool}");
        let properties = schema["properties"].as_object().unwrap();
        assert!(properties.values().all(Value::is_object), "{tool}");
    }
}
