//! Schemas and names that APIs refuse, as the commands deal with them.

use serde_json::{Value, json};

use crate::common::binary::Folder;
use toolhost_testing::needs;

/// A server with one tool that is like any other, one that takes no object, and one of an older draft.
const SERVER: &str = r#"
import json, sys
def tool(name, schema): return {"name": name, "description": "x", "inputSchema": schema}
tools = [
    tool("ok", {"type": "object", "properties": {}}),
    tool("not_object", {"type": "string"}),
    tool("odd_key", {"type": "object", "properties": {"a b": {"type": "string"}}, "patternProperties": {"^a": {}}}),
    tool("filters", {"type": "object", "properties": {"filter[id]": {"type": "string"}}, "required": ["filter[id]"]}),
    tool("draft4", {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object",
                    "properties": {"n": {"type": "number", "minimum": 0, "exclusiveMinimum": True}}}),
]
for line in sys.stdin:
    m = json.loads(line)
    if "id" not in m: continue
    arguments = json.dumps(m.get("params", {}).get("arguments"))
    results = {"tools/call": {"content": [{"type": "text", "text": "got " + arguments}]}, "tools/list": {"tools": tools}, "initialize": {
        "protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "0"}}}
    answer = {"result": results[m["method"]]} if m.get("method") in results else {"error": {"code": -32601, "message": "no"}}
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], **answer}), flush=True)
"#;

#[test]
fn what_is_left_out_is_named_by_check_and_list() {
    needs!(python);
    let folder = Folder::with("[mcp.s]\ncommand = 'python3'\nargs = ['server.py']\n");
    folder.write("server.py", SERVER);
    let check = folder.run(&["check", "--start-servers"], "");
    assert_eq!(check.status, 0, "{check:?}");
    // No API has it: nothing could call it.
    let line = check
        .stdout
        .lines()
        .find(|line| line.contains("\"not_object\" is skipped"));
    assert!(line.is_some(), "{check:?}");
    let line = check
        .stdout
        .lines()
        .find(|line| line.contains("`odd_key`"))
        .unwrap();
    assert!(
        line.starts_with("warning: `odd_key` is omitted for anthropic"),
        "{line}"
    );
    let list = folder.run(&["list", "--start-servers", "--format", "anthropic"], "");
    assert_eq!(list.status, 0, "{list:?}");
    assert!(
        list.stderr.contains("`odd_key`") && !list.stdout.contains("a b"),
        "{list:?}"
    );
    let names: Vec<Value> = list
        .results()
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert_eq!(names, ["ok", "filters", "draft4"]);
    assert_eq!(
        list.results()[2]["input_schema"],
        json!({"type": "object", "properties": {"n": {"type": "number", "exclusiveMinimum": 0}}})
    );
}

#[test]
fn a_call_reaches_its_tool_with_the_tools_own_names() {
    needs!(python);
    let folder = Folder::with("[mcp.s]\ncommand = 'python3'\nargs = ['server.py']\n");
    folder.write("server.py", SERVER);
    let list = folder
        .run(&["list", "--start-servers", "--format", "anthropic"], "")
        .results();
    let name = list[1]["input_schema"]["required"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(name.starts_with("filter_id_"), "{name}");
    let message = json!({"role": "assistant", "content": [
        {"type": "tool_use", "id": "1", "name": "filters", "input": {(name): "x"}},
    ]});
    let ended = folder.run(&["run", "--format", "anthropic"], message.to_string());
    assert!(
        ended.stdout.contains(r#"got {\"filter[id]\": \"x\"}"#),
        "{ended:?}"
    );
}
