//! When a stream is over, and that nothing after that matters: as servers and proxies end theirs.

use std::time::Duration;

use serde_json::{Value, json};
use toolhost_wire::wire::{DecodeError, Delta, Events, Format, Received};

use super::pieces::read;
use crate::common::responses::{APIS, chunk, finish};

const X: &str = r#"{"x":1}"#;

/// A stream that has called `f`, without its end; and what ends it, each by itself.
fn called(format: Format) -> (Vec<Value>, Vec<Value>) {
    let item = json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "f",
        "arguments": X, "status": "completed" });
    match format {
        Format::OpenaiChat => (
            vec![chunk(
                json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": X } }]),
            )],
            vec![finish("tool_calls"), finish("stop"), json!("[DONE]")],
        ),
        Format::OpenaiResponses => (
            vec![json!({ "type": "response.output_item.done", "output_index": 0, "item": item })],
            vec![
                json!({ "type": "response.completed", "response": { "output": [item] } }),
                json!({ "type": "response.completed" }),
                json!({ "type": "response.done", "response": { "usage": 5, "output": null } }),
                json!({ "type": "response.incomplete", "response": { "output": [] } }),
                json!("[DONE]"),
            ],
        ),
        Format::Anthropic => (
            vec![
                json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "tool_use", "id": "a", "name": "f", "input": {} } }),
                json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "input_json_delta", "partial_json": X } }),
                json!({ "type": "content_block_stop", "index": 0 }),
            ],
            vec![
                json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" } }),
                json!({ "type": "message_stop" }),
                json!("[DONE]"),
            ],
        ),
        _ => (
            vec![
                json!({ "candidates": [{ "content": { "parts": [{ "functionCall": { "id": "a", "name": "f", "args": { "x": 1 } } }] } }] }),
            ],
            vec![
                json!({ "candidates": [{ "finishReason": "STOP" }] }),
                json!("[DONE]"),
            ],
        ),
    }
}

fn text(data: &Value) -> String {
    match data {
        Value::String(text) => text.clone(),
        data => data.to_string(),
    }
}

fn receive(format: Format, events: &[String]) -> (Vec<Delta>, Received, Events) {
    let mut reader = Events::new(Some(format)).unwrap();
    let mut deltas = Vec::new();
    for event in events {
        deltas.extend(
            reader
                .event(event)
                .unwrap_or_else(|error| panic!("{format} {event}: {error}")),
        );
    }
    let (more, received) = reader.finish().unwrap();
    deltas.extend(more);
    (deltas, received, reader)
}

#[test]
fn after_the_end_nothing_matters() {
    for format in APIS {
        let (begun, ends) = called(format);
        for end in ends {
            let begun: Vec<String> = begun.iter().chain([&end]).map(text).collect();
            let (expected, whole, _) = receive(format, &begun);
            assert!(
                whole.is_complete && whole.reply.cut.is_empty(),
                "{format} {end}"
            );
            assert_eq!(expected.len(), 1, "{format} {end}");
            for after in [
                "[DONE]",
                "{\"choices\":[{\"del",
                "<html>502 Bad Gateway</html>",
                "{\"error\":{\"message\":\"upstream is gone\"}}",
                "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}",
                "{\"what\":\"ever\"}",
                "null",
                "[]",
            ] {
                let events = [&begun[..], &[after.to_owned()]].concat();
                let (deltas, received, _) = receive(format, &events);
                assert_eq!(deltas, expected, "{format} {end} {after}");
                assert!(received.is_complete, "{format} {end} {after}");
                assert_eq!(
                    received.reply.calls, whole.reply.calls,
                    "{format} {end} {after}"
                );
            }
        }
    }
}

#[test]
fn a_reader_is_told_how_long_to_wait() {
    for format in APIS {
        let (begun, ends) = called(format);
        for end in ends {
            let mut reader = Events::new(Some(format)).unwrap();
            for event in &begun {
                reader.event(&text(event)).unwrap();
                assert_eq!(reader.patience(), None, "{format}: nothing ends it yet");
            }
            reader.event(&text(&end)).unwrap();
            let patience = reader.patience().unwrap();
            // Only a reason may be followed by something.
            let is_reason = matches!(&end, Value::Object(end) if end.contains_key("choices")
                || end.contains_key("candidates") || end["type"] == "message_delta");
            assert_eq!(patience > Duration::ZERO, is_reason, "{format} {end}");
            assert_eq!(reader.is_over(), !is_reason, "{format} {end}");
            // The connection may break off then.
            let broken = DecodeError::Broken {
                why: "reset".to_owned(),
            };
            assert!(reader.broke(broken).is_ok(), "{format} {end}");
            let (_, received) = reader.finish().unwrap();
            assert!(received.is_complete, "{format} {end}");
        }
        let mut reader = Events::new(Some(format)).unwrap();
        reader.event(&text(&begun[0])).unwrap();
        let broken = DecodeError::Broken {
            why: "reset".to_owned(),
        };
        assert!(reader.broke(broken).is_err(), "{format}");
        assert!(!reader.finish().unwrap().1.is_complete, "{format}");
    }
    // What a chat answer took comes after its reason, and ends it.
    let mut reader = Events::new(Some(Format::OpenaiChat)).unwrap();
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": "4" } });
    for event in [
        &called(Format::OpenaiChat).0[0],
        &finish("stop"),
        &finish("stop"),
        &usage,
    ] {
        reader.event(&event.to_string()).unwrap();
    }
    assert!(reader.is_over());
}

#[test]
fn a_reason_that_comes_too_early_ends_nothing() {
    let say = |text: &str| json!({ "choices": [{ "index": 0, "delta": { "content": text } }] });
    let part = |parts: Value| json!({ "candidates": [{ "content": { "parts": parts } }] });
    let stop = |parts: Value| json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
    let code = json!([{ "executableCode": { "code": "1" } }]);
    for (what, format, events, expected) in [
        (
            "after each piece",
            Format::OpenaiChat,
            vec![
                finish("stop"),
                say("one "),
                finish("stop"),
                say("two "),
                finish("stop"),
                say("three"),
                finish("stop"),
            ],
            "one two three",
        ),
        (
            "ahead of everything, as a translating proxy has it",
            Format::Gemini,
            vec![
                stop(json!([])),
                stop(json!([])),
                part(json!([{ "text": "one " }])),
                part(json!([{ "text": "two" }])),
                stop(json!([])),
            ],
            "one two",
        ),
        (
            "with each piece, as Gemini 1.0 had it",
            Format::Gemini,
            vec![
                stop(json!([{ "text": "one " }])),
                stop(json!([{ "text": "two" }])),
            ],
            "one two",
        ),
        (
            "between what the API runs by itself",
            Format::Gemini,
            vec![
                part(code.clone()),
                stop(json!([{ "codeExecutionResult": {} }])),
                part(json!([{ "text": "done" }])),
                stop(json!([])),
            ],
            "done",
        ),
    ] {
        let taken = read(format, &events);
        assert_eq!(taken.text, expected, "{what}");
        assert!(taken.received.unwrap().is_complete, "{what}");
    }
    for (format, events) in [
        (Format::Gemini, vec![stop(json!([]))]),
        (
            Format::Gemini,
            vec![part(code), stop(json!([{ "codeExecutionResult": {} }]))],
        ),
        (Format::OpenaiChat, vec![finish("stop")]),
    ] {
        let mut reader = Events::new(Some(format)).unwrap();
        for event in &events {
            reader.event(&event.to_string()).unwrap();
        }
        assert_eq!(reader.patience(), None, "{format}: nothing was said yet");
    }
    // A connection that breaks between such pieces has cut the answer off.
    let mut reader = Events::new(Some(Format::OpenaiChat)).unwrap();
    let begun = json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "" } }]);
    for event in [chunk(begun), finish("stop")] {
        reader.event(&event.to_string()).unwrap();
    }
    let broken = DecodeError::Broken {
        why: "reset".to_owned(),
    };
    assert!(reader.broke(broken).is_err());
}

#[test]
fn stream_without_finish_reason_is_whole_if_it_has_usage() {
    let call = |arguments: &str| {
        chunk(
            json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": arguments } }]),
        )
    };
    let say = json!({ "choices": [{ "index": 0, "delta": { "content": "hi" } }] });
    let usage = json!({ "choices": [], "usage": { "completion_tokens": 1 } });
    for (what, events, is_complete, handed) in [
        ("a call", vec![call(X), usage.clone()], true, 1),
        ("`{}`", vec![call("{}"), usage.clone()], true, 1),
        ("text", vec![say.clone(), usage.clone()], true, 0),
        ("no usage", vec![call(X)], false, 1),
        (
            "torn arguments",
            vec![call("{\"x\":"), usage.clone()],
            false,
            0,
        ),
        (
            "nothing of the arguments",
            vec![call(""), usage.clone()],
            false,
            0,
        ),
        (
            "usage that is not the last",
            vec![usage.clone(), call("")],
            false,
            0,
        ),
        ("usage alone", vec![usage.clone()], false, 0),
        ("[DONE] alone", vec![call(X), json!("[DONE]")], true, 1),
        // A proxy writes it when its own upstream broke off.
        (
            "[DONE] after nothing of the arguments",
            vec![call(""), json!("[DONE]")],
            true,
            0,
        ),
        (
            "[DONE] after a part of them",
            vec![call("{\"x\":1"), json!("[DONE]")],
            true,
            0,
        ),
    ] {
        let events: Vec<String> = events.iter().map(text).collect();
        let (deltas, received, _) = receive(Format::OpenaiChat, &events);
        let calls = deltas
            .iter()
            .filter(|delta| matches!(delta, Delta::Call { .. }));
        assert_eq!(
            (received.is_complete, calls.count()),
            (is_complete, handed),
            "{what}"
        );
    }
}

#[test]
fn events_and_fields_that_decide_nothing_are_passed_over() {
    for format in APIS {
        let (begun, ends) = called(format);
        let (expected, _, _) = receive(
            format,
            &begun.iter().chain([&ends[0]]).map(text).collect::<Vec<_>>(),
        );
        let noise = [
            "ping",
            "null",
            "42",
            "\"keep-alive\"",
            "{}",
            "{\"type\":\"ping\"}",
            "{\"object\":\"keepalive\"}",
            "{\"type\":\"response.unheard_of\",\"x\":[1]}",
            "{\"type\":null,\"index\":\"x\",\"delta\":null,\"usage\":[]}",
            "{\"choices\":null,\"usage\":\"none\",\"candidates\":null,\"usageMetadata\":7,\"promptFeedback\":\"\"}",
            "{\"choices\":[],\"created\":\"now\",\"id\":5,\"model\":null,\"prompt_filter_results\":[{}]}",
        ];
        let noisy: Vec<String> = begun
            .iter()
            .flat_map(|event| {
                noise
                    .iter()
                    .map(|noise| (*noise).to_owned())
                    .chain([text(event)])
            })
            .chain([text(&ends[0])])
            .collect();
        let (deltas, received, _) = receive(format, &noisy);
        assert_eq!(deltas, expected, "{format}");
        assert!(received.is_complete, "{format}");
    }
    // Where an event has what decides, the rest of it may be anything.
    let odd = json!({ "id": 1, "created": "x", "usage": "many", "choices": [{ "index": "0", "logprobs": 5,
        "finish_reason": 7, "delta": { "role": "", "content": null, "refusal": 5, "annotations": "x", "tool_calls": {
            "index": "0", "id": "a", "type": 5, "function": { "name": "f", "arguments": { "x": 1 } } } } }] });
    let taken = read(Format::OpenaiChat, &[odd, finish("stop")]);
    assert_eq!(taken.handed.len(), 1);
    assert_eq!(taken.handed[0].1.arguments, X);
    // A server that does not stream answers with the whole of it.
    let message = json!({ "role": "assistant", "tool_calls": [{ "id": "a", "function": { "name": "f", "arguments": X } }] });
    let whole =
        json!({ "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }] });
    assert_eq!(
        read(Format::OpenaiChat, std::slice::from_ref(&whole))
            .handed
            .len(),
        1
    );
    // And one that does may say all of it again.
    let begun = called(Format::OpenaiChat).0;
    let taken = read(Format::OpenaiChat, &[begun[0].clone(), whole]);
    assert_eq!(taken.received.unwrap().reply.calls.len(), 1);
    let message = json!({ "type": "message", "content": [
        { "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } }], "stop_reason": "tool_use" });
    assert_eq!(read(Format::Anthropic, &[message]).handed.len(), 1);
}
