//! Shapes beside those that the APIs document, as they are run and answered.

use serde_json::{Value, json};

use crate::common::binary::Folder;

#[test]
fn the_function_call_of_old_is_answered_as_one() {
    let folder = Folder::of(&["echo"]);
    let response = json!({ "choices": [{ "message": {
        "role": "assistant", "tool_calls": null,
        "function_call": { "name": "echo", "arguments": "{\"text\":\"hi\"}" },
    } }] });
    let results = folder
        .run(&["run"], response.to_string())
        .answered()
        .results();
    assert_eq!(
        results,
        [json!({ "role": "function", "name": "echo", "content": "hi" })]
    );
}

#[test]
fn calls_of_vercels_sdk_are_answered_in_its_own_words() {
    let folder = Folder::of(&["echo"]);
    let run = |call: Value| {
        let response = json!({ "toolCalls": [call] }).to_string();
        folder.run(&["run"], response).answered().results()
    };
    let call = |key: &str, name: &str| json!({ "type": "tool-call", "toolCallId": "a", "toolName": name, key: { "text": "hi" } });
    let result = |name: &str, rest: Value| {
        let mut part = json!({ "type": "tool-result", "toolCallId": "a", "toolName": name });
        part.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        [json!({ "role": "tool", "content": [part] })]
    };
    let said = json!({ "output": { "type": "text", "value": "hi" } });
    assert_eq!(run(call("input", "echo")), result("echo", said));
    assert_eq!(
        run(call("args", "echo")),
        result("echo", json!({ "result": "hi" }))
    );
    let failed = json!({ "output": { "type": "error-text", "value": "Error: Unknown tool gone" } });
    assert_eq!(run(call("input", "gone")), result("gone", failed));
    let failed = json!({ "result": "Error: Unknown tool gone", "isError": true });
    assert_eq!(run(call("args", "gone")), result("gone", failed));
}

/// The calls are those of the message; how much of them there is, is not said by what stands beside.
#[test]
fn what_else_a_message_holds_says_nothing_of_its_calls() {
    let folder = Folder::of(&["echo"]);
    let call = |id: &str| json!({ "id": id, "function": { "name": "echo", "arguments": "{\"text\":\"hi\"}" } });
    let cut = json!({ "id": "z", "function": { "name": "echo", "arguments": "{\"te" } });
    let other = json!({ "choices": [{
        "message": { "tool_calls": [cut, cut, cut] }, "finish_reason": "length",
    }] });
    let message = json!({ "role": "assistant", "tool_calls": [call("a")], "response": other });
    let results = folder
        .run(&["run"], message.to_string())
        .answered()
        .results();
    assert_eq!(
        results,
        [json!({ "role": "tool", "tool_call_id": "a", "content": "hi" })]
    );
    folder
        .run(&["run", "--with-message"], message.to_string())
        .failed("--with-message");
    // Nor is the message of one candidate that of another.
    let parts = |parts: Value| json!({ "content": { "role": "model", "parts": parts }, "finishReason": "STOP" });
    let part = json!({ "functionCall": { "name": "echo", "args": { "text": "hi" } } });
    let two = json!({ "candidates": [parts(json!([{ "text": "Hm." }])), parts(json!([part]))] });
    folder.run(&["run"], two.to_string()).answered();
    folder
        .run(&["run", "--with-message"], two.to_string())
        .failed("--with-message");
}

#[test]
fn calls_that_gemini_itself_calls_malformed_are_answered_and_not_run() {
    let folder = Folder::of(&["echo"]);
    let response = json!({ "candidates": [{ "finishReason": "MALFORMED_FUNCTION_CALL", "content": { "parts": [
        { "functionCall": { "name": "echo", "args": { "text": "hi" } } },
    ] } }] });
    let lines = folder
        .run(&["run", "--output-format", "json"], response.to_string())
        .answered()
        .lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["error"]["code"], "invalid-arguments");
}

/// As a server sends it that could not read the call: its id wants a result, and its sibling is well.
#[test]
fn a_call_whose_function_was_lost_does_not_spoil_its_siblings() {
    let folder = Folder::of(&["echo"]);
    let response = json!({ "role": "assistant", "tool_calls": [
        { "id": "a", "type": "function" },
        { "id": "b", "type": "function", "function": { "name": "echo", "arguments": "{\"text\":\"hi\"}" } },
    ] });
    let lines = folder
        .run(&["run", "--output-format", "json"], response.to_string())
        .answered()
        .lines();
    assert_eq!(
        (&lines[0]["id"], &lines[0]["error"]["code"]),
        (&json!("a"), &json!("unknown-tool"))
    );
    assert_eq!(
        (&lines[1]["id"], &lines[1]["content"]),
        (&json!("b"), &json!("hi"))
    );
}
