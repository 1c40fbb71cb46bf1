//! Streams whose calls cannot be read are errors, as the same answers are when they come whole; and pieces
//! that could be of several calls run none of them.

use serde_json::{Value, json};

use crate::common::binary::Folder;

fn sse(events: &[Value]) -> String {
    let events = events.iter().map(|event| format!("data: {event}\n\n"));
    events.collect()
}

#[test]
fn a_stream_that_speaks_of_calls_and_has_none_is_an_error() {
    let chunk = |delta: Value, finish: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let computer = json!({"type": "computer_call", "call_id": "c", "action": {"type": "wait"}});
    let streams = [
        vec![
            chunk(json!({"content": "hi"}), Value::Null),
            chunk(json!({}), json!("tool_calls")),
        ],
        vec![
            chunk(json!({"content": "<tool_"}), Value::Null),
            chunk(json!({"content": "call>{\"name\":\"echo\"}"}), Value::Null),
            chunk(json!({}), json!("stop")),
        ],
        vec![
            json!({"candidates": [{"content": {"role": "model", "parts": []},
            "finishReason": "MALFORMED_FUNCTION_CALL"}]}),
        ],
        vec![
            json!({"type": "response.output_item.done", "output_index": 0, "item": computer}),
            json!({"type": "response.completed", "response": {"output": [computer]}}),
        ],
        vec![
            json!({"type": "message_start", "message": {"role": "assistant", "content": []}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "hi"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
            json!({"type": "message_stop"}),
        ],
    ];
    let folder = Folder::of(&["echo"]);
    for stream in streams {
        let ended = folder.run(&["run", "--sse"], sse(&stream));
        assert_eq!(ended.status, 1, "{stream:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    }
}

#[test]
fn a_response_that_failed_runs_nothing() {
    let call = json!({"type": "function_call", "call_id": "a", "name": "echo",
        "arguments": "{\"text\":\"x\"}", "status": "completed"});
    let folder = Folder::of(&["echo"]);
    for status in ["failed", "cancelled"] {
        let response = json!({"object": "response", "status": status, "output": [call]});
        let ended = folder.run(&["run"], response.to_string());
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.stderr.contains(status), "{ended:?}");
    }
}

#[test]
fn a_piece_that_could_be_of_several_blocks_runs_none_of_them() {
    let begin = |index: u64, id: &str| {
        let block = json!({"type": "tool_use", "id": id, "name": "echo", "input": {}});
        json!({"type": "content_block_start", "index": index, "content_block": block})
    };
    let piece = |index: u64, text: &str| {
        let delta = json!({"type": "input_json_delta", "partial_json": text});
        json!({"type": "content_block_delta", "index": index, "delta": delta})
    };
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}});
    let events = [
        begin(0, "a"),
        begin(1, "b"),
        piece(0, "{\"text\":\"of a"),
        piece(1, "{\"text\":\"of b"),
        piece(5, " and whose?\"}"),
        stop(0),
        stop(1),
        end,
        json!({"type": "message_stop"}),
    ];
    let folder = Folder::of(&["echo"]);
    let ended = folder.run(&["run", "--sse", "--output-format", "json"], sse(&events));
    let results = ended.lines();
    assert_eq!(results.len(), 2, "{ended:?}");
    for result in results {
        assert_eq!(result["error"]["code"], "invalid-arguments", "{result}");
    }
    // With one alone there is nothing to guess.
    let events = [
        begin(0, "a"),
        piece(5, "{\"text\":\"x\"}"),
        stop(0),
        json!({"type": "message_stop"}),
    ];
    let ended = folder.run(&["run", "--sse", "--output-format", "json"], sse(&events));
    assert_eq!(ended.lines()[0]["content"], "x");
}

#[test]
fn of_a_conversation_no_call_is_forgotten() {
    let call = |id: &str| {
        let function = json!({"name": "echo", "arguments": "{\"text\":\"x\"}"});
        json!([{"id": id, "type": "function", "function": function}])
    };
    let called = json!({"role": "assistant", "tool_calls": call("a")});
    let folder = Folder::of(&["echo"]);
    for last in [
        json!({"role": "assistant", "content": "hm"}),
        json!({"role": "assistant", "tool_calls": call("b")}),
    ] {
        let ended = folder.run(&["run"], json!([called, last]).to_string());
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.stderr.contains("no result"), "{ended:?}");
        let result = json!({"role": "tool", "tool_call_id": "a", "content": "x"});
        folder
            .run(&["run"], json!([called, result, last]).to_string())
            .answered();
    }
}

#[test]
fn a_call_of_a_kind_that_is_not_known_is_an_error() {
    let folder = Folder::of(&["echo"]);
    for response in [
        json!({"output": [{"type": "new_fancy_call", "call_id": "a", "name": "echo", "arguments": "{}"}]}),
        json!({"role": "assistant", "type": "message", "content": [
            {"type": "new_tool_use", "id": "a", "name": "echo", "input": {}},
        ]}),
    ] {
        let ended = folder.run(&["run"], response.to_string());
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.stderr.contains("new_"), "{ended:?}");
    }
    // What the API has run by itself is none.
    let search = json!({"output": [{"type": "mcp_call", "id": "m", "name": "x", "arguments": "{}", "output": "y"}]});
    folder.run(&["run"], search.to_string()).answered();
}
