//! Which pieces of a stream are of one call, and when that is complete: as servers send them.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use toolhost_wire::wire::{Delta, Events, Format};

use crate::common::arbitrary;
use crate::common::responses::{Taken, chunk, finish, receive};

/// Reads events of that data.
pub(super) fn read(format: Format, events: &[Value]) -> Taken {
    let text: String = events
        .iter()
        .map(|data| format!("data: {data}\n\n"))
        .collect();
    receive([Bytes::from(text)], Some(format))
}

/// A piece without its null members.
fn piece(index: Value, id: Value, name: Value, arguments: &str) -> Value {
    let mut piece = json!({ "function": { "arguments": arguments } });
    for (key, value) in [("index", index), ("id", id)] {
        if !value.is_null() {
            piece[key] = value;
        }
    }
    if !name.is_null() {
        piece["function"]["name"] = name;
    }
    piece
}

/// The calls that were handed on, and whether each that began was.
#[track_caller]
fn is(what: &str, taken: &Taken, expected: &[(Option<&str>, &str, &str)], cut: &[usize]) {
    assert!(taken.error.is_none(), "{what}: {:?}", taken.error);
    let received = taken.received.as_ref().unwrap();
    assert!(received.is_complete, "{what}");
    assert_eq!(
        received.reply.cut, cut,
        "{what}: {:?}",
        received.reply.calls
    );
    let mut handed: Vec<_> = taken.handed.iter().collect();
    handed.sort_by_key(|(position, _)| *position);
    let handed: Vec<_> = handed
        .iter()
        .map(|(_, call)| (call.id.as_deref(), &*call.name, &*call.arguments))
        .collect();
    assert_eq!(handed, expected, "{what}");
    // Sent back, it names the same calls.
    for (position, call) in &taken.handed {
        assert_eq!(
            received.reply.calls[*position].arguments, call.arguments,
            "{what}"
        );
    }
}

const NULL: Value = Value::Null;

#[test]
fn pieces_of_a_chat_call_are_told_by_all_they_have() {
    let (zero, one) = (json!(0), json!(1));
    let (a, b, f, g) = (json!("a"), json!("b"), json!("f"), json!("g"));
    let one_call: &[(Option<&str>, &str, &str)] = &[(Some("a"), "f", r#"{"x":1}"#)];
    let two_calls: &[(Option<&str>, &str, &str)] = &[
        (Some("a"), "f", r#"{"x":1}"#),
        (Some("b"), "f", r#"{"x":2}"#),
    ];
    let whole = |index: &Value, id: &Value, name: &Value, x: usize| {
        piece(
            index.clone(),
            id.clone(),
            name.clone(),
            &format!("{{\"x\":{x}}}"),
        )
    };
    let begun = |index: &Value, id: &Value, name: &Value| {
        piece(index.clone(), id.clone(), name.clone(), "")
    };
    for (what, chunks, expected, cut) in [
        (
            "one index, another id and the name in each piece, as vLLM's named tool choice had it",
            vec![
                piece(zero.clone(), a.clone(), f.clone(), "{\"x"),
                piece(zero.clone(), json!("u2"), f.clone(), "\":"),
                piece(zero.clone(), json!("u3"), f.clone(), "1}"),
            ],
            one_call,
            &[][..],
        ),
        (
            "the same id in each piece, without an index",
            vec![
                begun(&NULL, &a, &f),
                piece(NULL, a.clone(), NULL, "{\"x\":"),
                piece(NULL, a.clone(), NULL, "1}"),
                whole(&NULL, &b, &f, 2),
            ],
            two_calls,
            &[],
        ),
        (
            "index 0 throughout, and ids that interleave",
            vec![
                begun(&zero, &a, &f),
                begun(&zero, &b, &g),
                piece(zero.clone(), a.clone(), NULL, "{\"x\":1"),
                piece(zero.clone(), b.clone(), NULL, "{\"x\":2"),
                piece(zero.clone(), a.clone(), NULL, "}"),
                piece(zero.clone(), b.clone(), NULL, "}"),
            ],
            &[
                (Some("a"), "f", r#"{"x":1}"#),
                (Some("b"), "g", r#"{"x":2}"#),
            ],
            &[],
        ),
        (
            "an index that counts pieces and not calls",
            vec![
                begun(&zero, &a, &f),
                piece(one.clone(), NULL, NULL, "{\"x\":"),
                piece(json!(2), NULL, NULL, "1}"),
            ],
            one_call,
            &[],
        ),
        (
            "an index as a string, a number for an id",
            vec![
                piece(json!("0"), json!(7), f.clone(), "{\"x\""),
                piece(json!("0"), NULL, NULL, ":1}"),
            ],
            &[(Some("7"), "f", r#"{"x":1}"#)],
            &[],
        ),
        (
            "ids that are null or empty, and one that comes last",
            vec![
                piece(zero.clone(), json!(""), f.clone(), "{\"x\":"),
                piece(zero.clone(), NULL, NULL, "1}"),
                piece(zero.clone(), a.clone(), json!(""), ""),
            ],
            one_call,
            &[],
        ),
        (
            "the arguments ahead of the name",
            vec![
                piece(zero.clone(), a.clone(), NULL, r#"{"x":1}"#),
                begun(&zero, &NULL, &f),
            ],
            one_call,
            &[],
        ),
        (
            "no ids at all: a piece with a name after a closed object is a new call",
            vec![whole(&zero, &NULL, &f, 1), whole(&zero, &NULL, &f, 2)],
            &[(None, "f", r#"{"x":1}"#), (None, "f", r#"{"x":2}"#)],
            &[],
        ),
        (
            "one id for all calls, one index: other arguments are another call",
            vec![whole(&zero, &a, &f, 1), whole(&zero, &a, &f, 2)],
            &[
                (Some("a"), "f", r#"{"x":1}"#),
                (Some("a"), "f", r#"{"x":2}"#),
            ],
            &[],
        ),
        (
            "a name in pieces",
            vec![
                piece(zero.clone(), a.clone(), json!("calc"), ""),
                piece(zero.clone(), NULL, json!("ulate"), ""),
                piece(zero.clone(), NULL, NULL, r#"{"x":1}"#),
            ],
            &[(Some("a"), "calculate", r#"{"x":1}"#)],
            &[],
        ),
        (
            "a name that grows",
            vec![
                piece(zero.clone(), a.clone(), json!("calc"), ""),
                piece(zero.clone(), a.clone(), json!("calculate"), r#"{"x":1}"#),
            ],
            &[(Some("a"), "calculate", r#"{"x":1}"#)],
            &[],
        ),
        (
            "the name again after the end",
            vec![
                whole(&zero, &a, &f, 1),
                begun(&zero, &NULL, &f),
                begun(&zero, &a, &f),
            ],
            one_call,
            &[],
        ),
        (
            "the call once more at another index, as LocalAI and new-api send it",
            vec![
                begun(&zero, &a, &f),
                piece(zero.clone(), NULL, NULL, r#"{"x":1}"#),
                piece(one.clone(), a.clone(), f.clone(), "{\"x\""),
                piece(one.clone(), NULL, NULL, ": 1}"),
            ],
            one_call,
            &[],
        ),
        (
            "a summary with the arguments as a text in a text, as LiteLLM appends it",
            vec![
                whole(&zero, &a, &f, 1),
                piece(zero.clone(), a.clone(), f.clone(), r#""{\"x\":1}""#),
            ],
            one_call,
            &[],
        ),
        (
            "two ids under one index, the first without arguments: it may have been the same call",
            vec![begun(&zero, &a, &f), whole(&zero, &b, &f, 2)],
            &[(Some("b"), "f", r#"{"x":2}"#)],
            &[0],
        ),
        (
            "the same for two tools: those are two calls",
            vec![begun(&zero, &a, &g), whole(&zero, &b, &f, 2)],
            &[(Some("a"), "g", ""), (Some("b"), "f", r#"{"x":2}"#)],
            &[],
        ),
        (
            "pieces of nothing",
            vec![
                json!({ "index": 5 }),
                json!({}),
                NULL,
                whole(&zero, &a, &f, 1),
            ],
            one_call,
            &[],
        ),
    ] {
        let separate: Vec<Value> = chunks.iter().map(|piece| chunk(json!([piece]))).collect();
        let end = [finish("tool_calls"), json!("[DONE]")];
        let taken = read(Format::OpenaiChat, &[&separate[..], &end[..1]].concat());
        is(what, &taken, expected, cut);
        // All in one chunk, too.
        let together = [chunk(json!(chunks)), finish("tool_calls")];
        is(what, &read(Format::OpenaiChat, &together), expected, cut);
    }
}

/// When each call is handed on: the number of the event.
fn when(format: Format, events: &[Value]) -> Vec<(usize, String)> {
    let mut reader = Events::new(Some(format)).unwrap();
    let mut handed = Vec::new();
    for (number, event) in events.iter().enumerate() {
        for delta in reader.event(&event.to_string()).unwrap() {
            if let Delta::Call { call, .. } = delta {
                handed.push((number, call.arguments));
            }
        }
    }
    let (deltas, _) = reader.finish().unwrap();
    for delta in deltas {
        if let Delta::Call { call, .. } = delta {
            handed.push((events.len(), call.arguments));
        }
    }
    handed
}

#[test]
fn braces_alone_complete_no_chat_call_and_what_is_certain_does() {
    let start = |index: usize, arguments: &str| {
        chunk(json!([piece(
            json!(index),
            json!(index.to_string()),
            json!("f"),
            arguments
        )]))
    };
    let more = |arguments: &str| chunk(json!([piece(json!(0), NULL, NULL, arguments)]));
    let x = r#"{"x":1}"#.to_owned();
    let usage = json!({ "choices": [], "usage": { "completion_tokens": 1 } });
    for (what, events, expected) in [
        ("at once", vec![start(0, &x)], vec![(0, x.clone())]),
        (
            "`{}` first",
            vec![start(0, "{}"), more("{\"x\":"), more("1}")],
            vec![(2, x.clone())],
        ),
        (
            "`{` first",
            vec![start(0, "{"), more(&x)],
            vec![(1, x.clone())],
        ),
        (
            "`{ }` in pieces",
            vec![start(0, " {"), more(" } "), more(&x)],
            vec![(2, x.clone())],
        ),
        (
            "`{}`, and then the end",
            vec![start(0, "{}"), finish("stop"), usage.clone()],
            vec![(2, "{}".to_owned())],
        ),
        (
            "`{}`, and then another call",
            vec![start(0, "{}"), start(1, &x)],
            vec![(1, "{}".to_owned()), (1, x.clone())],
        ),
        (
            "a reason after each piece, as some proxies have it",
            vec![
                start(0, ""),
                finish("stop"),
                more("{\"x\""),
                finish("stop"),
                more(":1}"),
                finish("stop"),
            ],
            vec![(4, x.clone())],
        ),
        (
            "no reason, if a word",
            [start(0, ""), more("{\"x\":"), more("1}")]
                .into_iter()
                .flat_map(|event| {
                    ["", "null"].map(|reason| {
                        let mut event = event.clone();
                        event["choices"][0]["finish_reason"] = json!(reason);
                        if reason == "null" {
                            event["choices"][0]["delta"] = json!({});
                        }
                        event
                    })
                })
                .collect(),
            vec![(4, x.clone())],
        ),
        (
            "nothing but a beginning",
            vec![start(0, ""), finish("stop")],
            vec![(2, String::new())],
        ),
        (
            "cut to the bound",
            vec![start(0, "{}"), finish("length"), usage.clone()],
            vec![],
        ),
        (
            "cut to the bound, in Gemini's words",
            vec![start(0, ""), finish("MAX_TOKENS"), usage.clone()],
            vec![],
        ),
        (
            "a reason that nobody knows",
            vec![start(0, ""), finish("weird"), usage],
            vec![],
        ),
    ] {
        assert_eq!(when(Format::OpenaiChat, &events), expected, "{what}");
    }
}

#[test]
fn repeated_arguments_count_once_in_every_format() {
    let x = r#"{"x":1}"#;
    let message = |index: usize, data: Value| {
        let mut event = json!({ "type": "content_block_delta", "index": index });
        event["delta"] = data;
        event
    };
    let block = |input: Value| {
        json!({ "type": "content_block_start", "index": 0,
        "content_block": { "type": "tool_use", "id": "a", "name": "f", "input": input } })
    };
    let json = |text: &str| {
        message(
            0,
            json!({ "type": "input_json_delta", "partial_json": text }),
        )
    };
    let ends = [
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" } }),
    ];
    let item = |arguments: &str| {
        json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "f",
        "arguments": arguments, "status": "completed" })
    };
    let item_event = |kind: &str, arguments: &str| {
        json!({ "type": format!("response.output_item.{kind}"),
        "output_index": 0, "item": item(arguments) })
    };
    let arguments = |kind: &str, key: &str, text: Value| {
        let mut event = json!({ "type": format!("response.function_call_arguments.{kind}"),
            "output_index": 0, "item_id": "fc" });
        event[key] = text;
        event
    };
    let completed = json!({ "type": "response.completed", "response": { "output": [] } });
    for (format, events) in [
        (
            Format::OpenaiChat,
            vec![
                chunk(json!([piece(json!(0), json!("a"), json!("f"), x)])),
                chunk(json!([piece(json!(0), NULL, NULL, x)])),
                finish("tool_calls"),
            ],
        ),
        (
            Format::OpenaiChat,
            vec![
                chunk(json!([piece(json!(0), json!("a"), json!("f"), x)])),
                chunk(json!([piece(
                    json!(0),
                    json!("a"),
                    json!("f"),
                    r#"{ "x": 1 }"#
                )])),
                finish("tool_calls"),
            ],
        ),
        // As an object.
        (
            Format::OpenaiChat,
            vec![
                chunk(
                    json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": { "x": 1 } } }]),
                ),
                finish("tool_calls"),
            ],
        ),
        (
            Format::Anthropic,
            [&[block(json!({ "x": 1 })), json(x), json(x)], &ends[..]].concat(),
        ),
        (
            Format::Anthropic,
            [&[block(json!({ "x": 1 })), json("{}")], &ends[..]].concat(),
        ),
        (
            Format::Anthropic,
            [
                &[block(json!({})), json("{}"), json("{\"x\":"), json("1}")],
                &ends[..],
            ]
            .concat(),
        ),
        // As an object, and without an end of the block.
        (
            Format::Anthropic,
            vec![
                block(NULL),
                message(
                    0,
                    json!({ "type": "input_json_delta", "partial_json": { "x": 1 } }),
                ),
                ends[1].clone(),
            ],
        ),
        // A block that begins with each piece.
        (
            Format::Anthropic,
            [
                &[
                    block(json!({})),
                    json("{\"x\":"),
                    block(json!({})),
                    json("1}"),
                ],
                &ends[..],
            ]
            .concat(),
        ),
        (
            Format::OpenaiResponses,
            vec![
                item_event("added", x),
                arguments("delta", "delta", json!(x)),
                arguments("done", "arguments", json!(x)),
                item_event("done", x),
                completed.clone(),
            ],
        ),
        // The pieces contain them, and the final event does not.
        (
            Format::OpenaiResponses,
            vec![
                item_event("added", "{}"),
                arguments("delta", "delta", json!(x)),
                arguments("done", "arguments", json!("")),
                item_event("done", "{}"),
                completed.clone(),
            ],
        ),
        // `{}` and the arguments with the item.
        (
            Format::OpenaiResponses,
            vec![
                item_event("added", ""),
                arguments("done", "arguments", json!("{}")),
                item_event("done", x),
                completed.clone(),
            ],
        ),
        (
            Format::OpenaiResponses,
            vec![
                item_event("added", ""),
                arguments("delta", "delta", json!({ "x": 1 })),
                completed,
            ],
        ),
    ] {
        let what = format!("{format} {events:?}");
        is(&what, &read(format, &events), &[(Some("a"), "f", x)], &[]);
    }
}

#[test]
fn response_items_match_by_id_and_place() {
    let item = |id: &str, call_id: &str, arguments: &str| {
        json!({ "type": "function_call", "id": id,
        "call_id": call_id, "name": "f", "arguments": arguments })
    };
    let event = |kind: &str, index: Value, rest: Value| {
        let mut event = rest;
        event["type"] = json!(format!("response.{kind}"));
        event["output_index"] = index;
        event
    };
    let added =
        |index: Value, item: Value| event("output_item.added", index, json!({ "item": item }));
    let done =
        |index: Value, item: Value| event("output_item.done", index, json!({ "item": item }));
    let delta = |index: Value, id: &str, text: &str| {
        event(
            "function_call_arguments.delta",
            index,
            json!({ "item_id": id, "delta": text }),
        )
    };
    let completed = |output: Value| json!({ "type": "response.completed", "response": { "status": "completed", "output": output } });
    let (x, y) = (r#"{"x":1}"#, r#"{"x":2}"#);
    let both: &[(Option<&str>, &str, &str)] = &[(Some("a"), "f", x), (Some("b"), "f", y)];
    for (what, events) in [
        (
            "index 0 throughout, interleaved",
            vec![
                added(json!(0), item("1", "a", "")),
                added(json!(0), item("2", "b", "")),
                delta(json!(0), "1", "{\"x\":"),
                delta(json!(0), "2", "{\"x\":2"),
                delta(json!(0), "1", "1}"),
                delta(json!(0), "2", "}"),
                done(json!(0), item("1", "a", x)),
                done(json!(0), item("2", "b", y)),
                completed(json!([])),
            ],
        ),
        (
            "another id in each event, as Copilot's proxy has it",
            vec![
                added(json!(0), item("r1", "a", "")),
                added(json!(1), item("r2", "b", "")),
                delta(json!(1), "r3", "{\"x\":2}"),
                delta(json!(0), "r4", "{\"x\":1}"),
                done(json!(1), item("r5", "b", y)),
                done(json!(0), item("r6", "a", x)),
                completed(json!([item("r7", "a", x), item("r8", "b", y)])),
            ],
        ),
        (
            "no index, and the index as a text",
            vec![
                added(NULL, item("1", "a", "")),
                delta(NULL, "1", x),
                done(NULL, item("1", "a", x)),
                added(json!("1"), item("2", "b", "")),
                delta(json!("1"), "2", y),
                done(json!("1"), item("2", "b", y)),
                completed(NULL),
            ],
        ),
        (
            "only what ends the response",
            vec![completed(json!([item("1", "a", x), item("2", "b", y)]))],
        ),
        (
            "no end of an item, and another output at the end, as SGLang's router has it",
            vec![
                added(json!(0), item("1", "a", "")),
                event(
                    "function_call_arguments.done",
                    json!(0),
                    json!({ "item_id": "1", "arguments": x }),
                ),
                added(json!(1), item("2", "b", "")),
                event(
                    "function_call_arguments.done",
                    json!(1),
                    json!({ "item_id": "2", "arguments": y }),
                ),
                completed(
                    json!([{ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "" }] }]),
                ),
            ],
        ),
        (
            "an end without the name",
            vec![
                added(json!(0), item("1", "a", "")),
                done(
                    json!(0),
                    json!({ "type": "function_call", "id": "1", "call_id": "a", "name": "", "arguments": x }),
                ),
                done(json!(1), item("2", "b", y)),
                completed(json!([])),
            ],
        ),
    ] {
        let taken = read(Format::OpenaiResponses, &events);
        is(what, &taken, both, &[]);
        let messages = &taken.received.unwrap().reply.messages;
        let items: Vec<Value> = messages
            .iter()
            .map(|item| serde_json::from_str(item.get()).unwrap())
            .collect();
        let ids: Vec<_> = items
            .iter()
            .map(|item| (&item["call_id"], &item["name"]))
            .collect();
        assert_eq!(
            ids,
            [(&json!("a"), &json!("f")), (&json!("b"), &json!("f"))],
            "{what}: {items:?}"
        );
    }
}

#[test]
fn blocks_that_are_counted_wrong_keep_their_order_and_their_kind() {
    let start = |index: Value, id: &str| {
        let block = json!({ "type": "tool_use", "id": id, "name": "f" });
        json!({ "type": "content_block_start", "index": index, "content_block": block })
    };
    let json = |index: Value, text: &str| {
        json!({ "type": "content_block_delta", "index": index,
        "delta": { "type": "input_json_delta", "partial_json": text } })
    };
    let text = |index: Value, text: &str| {
        json!({ "type": "content_block_delta", "index": index,
        "delta": { "type": "text_delta", "text": text } })
    };
    let end = json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" } });
    let expected: &[(Option<&str>, &str, &str)] = &[
        (Some("a"), "f", r#"{"x":1}"#),
        (Some("b"), "f", r#"{"x":2}"#),
    ];
    for (what, events) in [
        (
            "all 0",
            vec![
                text(json!(0), "hello"),
                start(json!(0), "a"),
                json(json!(0), "{\"x\":1}"),
                start(json!(0), "b"),
                json(json!(0), "{\"x\":2}"),
                end.clone(),
            ],
        ),
        (
            "none",
            vec![
                text(NULL, "hello"),
                start(NULL, "a"),
                json(NULL, "{\"x\":"),
                json(NULL, "1}"),
                start(NULL, "b"),
                json(NULL, "{\"x\":2}"),
                end.clone(),
            ],
        ),
        (
            "text on the block of a call, as SGLang had it",
            vec![
                text(json!(0), "hello"),
                start(json!(1), "a"),
                json(json!(1), "{\"x\":"),
                text(json!(1), "\n"),
                json(json!(1), "1}"),
                start(json!(2), "b"),
                json(json!(2), "{\"x\":2}"),
                end,
            ],
        ),
    ] {
        let taken = read(Format::Anthropic, &events);
        is(what, &taken, expected, &[]);
        let reply = taken.received.unwrap().reply;
        let message: Value = serde_json::from_str(reply.messages[0].get()).unwrap();
        let called = |id: &str, x: usize| json!({ "type": "tool_use", "id": id, "name": "f", "input": { "x": x } });
        let content = json!([{ "type": "text", "text": "hello" }, called("a", 1), called("b", 2)]);
        assert_eq!(message["content"], content, "{what}");
    }
}

#[test]
fn calls_of_responses_with_one_id_are_as_many_as_there_are() {
    let (x, y) = (r#"{"x":1}"#, r#"{"x":2}"#);
    let item = |id: &str, arguments: &str| json!({ "type": "function_call", "id": id, "call_id": "f", "name": "f", "arguments": arguments });
    let event = |kind: &str, index: usize, item: Value| json!({ "type": format!("response.output_item.{kind}"), "output_index": index, "item": item });
    let completed =
        |output: Value| json!({ "type": "response.completed", "response": { "output": output } });
    let expected: &[(Option<&str>, &str, &str)] = &[(Some("f"), "f", x), (Some("f"), "f", y)];
    for (what, events) in [
        (
            "interleaved, and other ids at the end",
            vec![
                event("added", 0, item("1", "")),
                event("added", 1, item("2", "")),
                event("done", 1, item("2", y)),
                event("done", 0, item("1", x)),
                completed(json!([item("3", x), item("4", y)])),
            ],
        ),
        (
            "at one place",
            vec![
                event("done", 0, item("1", x)),
                event("done", 0, item("2", y)),
                completed(json!([item("1", x), item("2", y)])),
            ],
        ),
        (
            "at the end only",
            vec![completed(json!([item("1", x), item("2", y)]))],
        ),
        (
            "one of them at the end only",
            vec![
                event("done", 0, item("1", x)),
                completed(json!([item("9", x), item("8", y)])),
            ],
        ),
    ] {
        is(what, &read(Format::OpenaiResponses, &events), expected, &[]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// However the pieces are cut, what stands ahead of the arguments or comes again behind them changes
    /// nothing.
    #[test]
    fn placeholders_and_copies_change_no_arguments(
        pieces in arbitrary::calls("[a-z]{1,8}".prop_map(Some), 3).prop_flat_map(arbitrary::in_pieces),
        ahead in proptest::sample::select(vec!["", "{}", " { } ", "{"]),
        is_again: bool,
    ) {
        let mut events = Vec::new();
        for (index, given) in pieces.iter().enumerate() {
            let is_empty = given.call.arguments == "{}";
            // `{` and `{}` would be ambiguous.
            let ahead = if is_empty && ahead == "{" { "" } else { ahead };
            let begun = piece(json!(index), json!(format!("id{index}")), json!("f"), ahead);
            events.push(chunk(json!([begun])));
            let again = is_again.then_some(&given.call.arguments);
            for text in given.pieces.iter().chain(again) {
                events.push(chunk(json!([piece(json!(index), NULL, NULL, text)])));
            }
        }
        events.push(finish("tool_calls"));
        let taken = read(Format::OpenaiChat, &events);
        let mut handed = taken.handed;
        handed.sort_by_key(|(position, _)| *position);
        let handed: Vec<&str> = handed.iter().map(|(_, call)| call.arguments.trim()).collect();
        let expected: Vec<&str> = pieces.iter().map(|given| &*given.call.arguments).collect();
        prop_assert_eq!(handed, expected);
    }
}

#[test]
fn other_servers_streams_come_to_their_calls() {
    let x = r#"{"x":1}"#;
    let one = |index: usize, id: &str, name: &str, arguments: &str| {
        json!([piece(json!(index), json!(id), json!(name), arguments)])
    };
    let with_reason = |mut chunk: Value| {
        chunk["choices"][0]["finish_reason"] = json!("stop");
        chunk
    };
    let block = |index: usize, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let add = |index: usize, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let end = |reason: &str| json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 1 } });
    for (what, format, events) in [
        (
            "Oracle's: an id in each piece, the last with the reason",
            Format::OpenaiChat,
            vec![
                chunk(one(0, "a", "f", "")),
                chunk(one(0, "b", "", "{\"x\":")),
                chunk(one(0, "c", "", "1}")),
                with_reason(chunk(one(0, "d", "", ""))),
            ],
        ),
        (
            "named events of a server's own between the chunks",
            Format::OpenaiChat,
            vec![
                json!({ "tool": "web_search", "label": "…", "toolCallId": "call_9", "status": "running" }),
                chunk(one(0, "a", "f", x)),
                json!({ "tool": "web_search", "status": "completed" }),
                finish("tool_calls"),
            ],
        ),
        (
            "a reason for calls, then one for text",
            Format::OpenaiChat,
            vec![
                chunk(one(0, "a", "f", x)),
                finish("tool_calls"),
                finish("stop"),
            ],
        ),
        (
            "no object for arguments in what begins a block, pieces of nothing, and the wrong reason",
            Format::Anthropic,
            vec![
                block(0, json!({ "type": "text", "text": "" })),
                block(1, json!({ "type": "tool_use", "id": "a", "name": "f" })),
                add(1, json!({ "type": "input_json_delta", "partial_json": "" })),
                add(1, json!({ "type": "thinking_delta", "thinking": "" })),
                add(1, json!({ "type": "input_json_delta", "partial_json": x })),
                end("end_turn"),
                end("end_turn"),
            ],
        ),
        (
            "the end of a block that never began",
            Format::Anthropic,
            vec![
                block(
                    0,
                    json!({ "type": "tool_use", "id": "a", "name": "f", "input": {} }),
                ),
                add(
                    0,
                    json!({ "type": "input_json_delta", "partial_json": "{\"x\":" }),
                ),
                json!({ "type": "content_block_stop", "index": 7 }),
                add(
                    0,
                    json!({ "type": "input_json_delta", "partial_json": "1}" }),
                ),
                json!({ "type": "content_block_stop", "index": 0 }),
                end("tool_use"),
            ],
        ),
    ] {
        is(what, &read(format, &events), &[(Some("a"), "f", x)], &[]);
    }
    // Text that a block begins with, and once more in its first piece.
    let events = [
        block(0, json!({ "type": "text", "text": "hello" })),
        add(0, json!({ "type": "text_delta", "text": "hello" })),
        add(0, json!({ "type": "text_delta", "text": " you" })),
        end("end_turn"),
    ];
    assert_eq!(read(Format::Anthropic, &events).text, "hello you");
}
