//! What belongs to a streamed message, and goes back with it.

use serde_json::{Value, json};
use toolhost_wire::wire::Format;

use super::pieces::read;
use crate::common::responses::finish;

fn messages(format: Format, events: &[Value]) -> Vec<Value> {
    let received = read(format, events).received.unwrap();
    let messages = received.reply.messages.iter();
    messages
        .map(|message| serde_json::from_str(message.get()).unwrap())
        .collect()
}

fn delta(delta: Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta }] })
}

#[test]
fn the_members_of_a_chat_message_are_put_together() {
    let detail = |detail: Value| delta(json!({ "reasoning_details": [detail] }));
    let events = [
        delta(
            json!({ "role": "assistant", "content": "", "reasoning": "let ", "reasoning_content": null }),
        ),
        detail(
            json!({ "type": "reasoning.text", "text": "let ", "format": "anthropic-claude-v1", "index": 0 }),
        ),
        delta(json!({ "reasoning": "me see", "reasoning_content": "a" })),
        detail(
            json!({ "type": "reasoning.text", "text": "me see", "format": "anthropic-claude-v1", "index": 0 }),
        ),
        // The signature of all of the text, in a piece without any.
        detail(
            json!({ "type": "reasoning.text", "signature": "SIG", "format": "anthropic-claude-v1", "index": 0 }),
        ),
        detail(json!({ "type": "reasoning.encrypted", "data": "AA==", "id": "a", "index": 1 })),
        detail(json!({ "type": "reasoning.encrypted", "data": "AA==", "id": "a", "index": 1 })),
        detail(json!({ "type": "reasoning.encrypted", "data": "BB==", "id": "b", "index": 1 })),
        delta(
            json!({ "reasoning_content": "b", "unheard_of": { "n": 12345678901234567890_u64 }, "phase": "one" }),
        ),
        delta(
            json!({ "phase": "two", "unheard_of": null, "annotations": [{ "type": "url_citation", "url": "x" }] }),
        ),
        delta(
            json!({ "annotations": [{ "type": "url_citation", "url": "x" }, { "type": "url_citation", "url": "y" }] }),
        ),
        delta(
            json!({ "tool_calls": [{ "index": 0, "id": "a", "type": "function", "function": { "name": "f", "arguments": "" },
            "extra_content": { "google": { "thought_signature": "S" } } }] }),
        ),
        delta(
            json!({ "tool_calls": [{ "index": 0, "unheard_of": 1, "function": { "arguments": "{\"x\":1}", "strict": true } }] }),
        ),
        finish("tool_calls"),
    ];
    let expected = json!({
        "role": "assistant",
        "content": null,
        "reasoning": "let me see",
        "reasoning_content": "ab",
        "reasoning_details": [
            { "type": "reasoning.text", "text": "let me see", "format": "anthropic-claude-v1", "index": 0, "signature": "SIG" },
            { "type": "reasoning.encrypted", "data": "AA==", "id": "a", "index": 1 },
            { "type": "reasoning.encrypted", "data": "BB==", "id": "b", "index": 1 },
        ],
        "unheard_of": { "n": 12345678901234567890_u64 },
        "phase": "two",
        "annotations": [{ "type": "url_citation", "url": "x" }, { "type": "url_citation", "url": "y" }],
        "tool_calls": [{ "id": "a", "type": "function",
            "function": { "name": "f", "arguments": "{\"x\":1}", "strict": true },
            "extra_content": { "google": { "thought_signature": "S" } }, "unheard_of": 1 }],
    });
    assert_eq!(messages(Format::OpenaiChat, &events), [expected]);
}

#[test]
fn a_content_of_parts_goes_back_as_parts() {
    let thinking = json!({ "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] });
    let events = [
        delta(json!({ "content": [thinking] })),
        delta(json!({ "content": [{ "type": "text", "text": "a" }] })),
        delta(json!({ "content": "b" })),
        finish("stop"),
    ];
    let expected =
        json!({ "role": "assistant", "content": [thinking, { "type": "text", "text": "ab" }] });
    assert_eq!(messages(Format::OpenaiChat, &events), [expected]);
    assert_eq!(read(Format::OpenaiChat, &events).text, "ab");
}

#[test]
fn calls_of_other_sorts_go_back_as_they_came() {
    let custom = |custom: Value| json!({ "tool_calls": [{ "index": 0, "id": "a", "type": "custom", "custom": custom }] });
    let events = [
        delta(custom(json!({ "name": "f", "input": "{} and " }))),
        delta(custom(json!({ "input": "more" }))),
        finish("tool_calls"),
    ];
    let message = &messages(Format::OpenaiChat, &events)[0];
    let call =
        json!({ "id": "a", "type": "custom", "custom": { "name": "f", "input": "{} and more" } });
    assert_eq!(message["tool_calls"], json!([call]));
    let taken = read(Format::OpenaiChat, &events);
    assert_eq!(taken.handed[0].1.arguments, "{} and more");

    let events = [
        delta(json!({ "function_call": { "name": "f", "arguments": "" } })),
        delta(json!({ "function_call": { "arguments": "{\"x\":" } })),
        delta(json!({ "function_call": { "arguments": "1}" } })),
        finish("function_call"),
    ];
    let message = &messages(Format::OpenaiChat, &events)[0];
    assert_eq!(
        message["function_call"],
        json!({ "name": "f", "arguments": "{\"x\":1}" })
    );
    assert!(message.get("tool_calls").is_none(), "{message}");
    assert_eq!(read(Format::OpenaiChat, &events).handed.len(), 1);
}

#[test]
fn blocks_that_nobody_knows_go_back_with_what_was_added_to_them() {
    let start = |index: usize, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let add = |index: usize, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let result = json!({ "type": "web_search_tool_result", "tool_use_id": "s", "content": [{ "url": "x" }] });
    let events = [
        start(
            0,
            json!({ "type": "thinking", "thinking": "", "signature": "" }),
        ),
        add(0, json!({ "type": "thinking_delta", "thinking": "let " })),
        add(0, json!({ "type": "thinking_delta", "thinking": "me" })),
        add(0, json!({ "type": "signature_delta", "signature": "SIG" })),
        start(
            1,
            json!({ "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} }),
        ),
        add(
            1,
            json!({ "type": "input_json_delta", "partial_json": "{\"q\":1}" }),
        ),
        start(2, result.clone()),
        start(3, json!({ "type": "compaction", "content": null })),
        add(3, json!({ "type": "compaction_delta", "content": "so " })),
        add(
            3,
            json!({ "type": "compaction_delta", "content": "far", "encrypted": true }),
        ),
        start(4, json!({ "type": "text", "text": "", "citations": null })),
        add(4, json!({ "type": "text_delta", "text": "hi" })),
        add(
            4,
            json!({ "type": "citations_delta", "citation": { "url": "x" } }),
        ),
        start(
            5,
            json!({ "type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": { "type": "direct" } }),
        ),
        add(
            5,
            json!({ "type": "input_json_delta", "partial_json": "{\"x\":12345678901234567890}" }),
        ),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" } }),
    ];
    let expected = json!([
        { "type": "thinking", "thinking": "let me", "signature": "SIG" },
        { "type": "server_tool_use", "id": "s", "name": "web_search", "input": { "q": 1 } },
        result,
        { "type": "compaction", "content": "so far", "encrypted": true },
        { "type": "text", "text": "hi", "citations": [{ "url": "x" }] },
        { "type": "tool_use", "id": "a", "name": "f", "caller": { "type": "direct" }, "input": { "x": 12345678901234567890_u64 } },
    ]);
    assert_eq!(messages(Format::Anthropic, &events)[0]["content"], expected);
}

#[test]
fn items_go_back_whole_once_each_and_in_their_order() {
    let reasoning =
        json!({ "type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "E" });
    let call = json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "{\"x\":1}",
        "status": "completed", "namespace": "n", "caller": { "type": "program", "caller_id": "p" } });
    let program = json!({ "type": "program", "id": "p", "code": "f()" });
    let said = json!({ "type": "message", "id": "m", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": "hi", "annotations": [] }] });
    let all = [reasoning, said, program, call];
    let completed = |output: &[Value]| json!({ "type": "response.completed", "response": { "status": "completed", "output": output } });
    let done: Vec<Value> = all.iter().enumerate().map(|(index, item)| {
        json!({ "type": "response.output_item.done", "output_index": index, "item": item })
    }).collect();
    for events in [
        [&done[..], &[completed(&all)]].concat(),
        [&done[..], &[completed(&[])]].concat(),
        vec![completed(&all)],
        // The same items under other ids.
        [
            &done[..],
            &[completed(&all.clone().map(|mut item| {
                item["id"] = json!(format!("other_{}", item["id"]));
                item
            }))],
        ]
        .concat(),
    ] {
        assert_eq!(
            messages(Format::OpenaiResponses, &events),
            all,
            "{events:?}"
        );
        assert_eq!(read(Format::OpenaiResponses, &events).text, "hi");
    }
    // What was said in pieces only.
    let events = [
        json!({ "type": "response.output_text.delta", "delta": "hi" }),
        completed(&[]),
    ];
    let message = json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "hi" }] });
    assert_eq!(messages(Format::OpenaiResponses, &events), [message]);
}
