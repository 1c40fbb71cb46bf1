//! Event streams: however they are written and wherever they are cut, no call is lost or made up.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::json;
use toolhost_wire::ToolCall;
use toolhost_wire::wire::{DecodeError, Events, Format, Stop, event_data};

use crate::common::responses::{
    APIS, Event, Pieces, Style, TEXT, Taken, chunked, events, receive, sse,
};

/// The bytes in two chunks.
fn split(bytes: &[u8], at: usize) -> [Bytes; 2] {
    let (first, second) = bytes.split_at(at);
    [
        Bytes::copy_from_slice(first),
        Bytes::copy_from_slice(second),
    ]
}

/// Calls with what is hard about arguments: many bytes to a character, braces in strings, digits
/// that no float holds, nothing between braces, and for the APIs that send that nothing at all.
fn hard(format: Format) -> Vec<Pieces> {
    let given: [(&str, &[&str]); 4] = [
        (
            "call_a",
            &[
                "{\"te",
                "xt\":\"é😀",
                "}\\\"\", \"n\":123456",
                "78901234567890123}",
            ],
        ),
        ("call_b", &["", "{}", ""]),
        ("call_c", &["{\"a\":[{", "}],\"b\":\"{\"}"]),
        ("call_d", &[]),
    ];
    let calls = given.map(|(id, pieces)| Pieces {
        call: ToolCall::new(id, "echo", pieces.concat()),
        pieces: pieces.iter().map(|piece| (*piece).to_owned()).collect(),
    });
    // Gemini's come whole.
    let count = if format == Format::Gemini { 3 } else { 4 };
    calls.into_iter().take(count).collect()
}

/// The calls one after the other, or all at once.
fn both_orders(format: Format) -> [Vec<Event>; 2] {
    let mut turn = 0;
    let around = |count: usize| {
        turn += 1;
        (turn * 7) % count
    };
    [
        events(format, &hard(format), |_| 0),
        events(format, &hard(format), around),
    ]
}

fn expected(format: Format) -> Vec<(usize, ToolCall)> {
    let calls = hard(format).into_iter().map(|pieces| pieces.call);
    calls.enumerate().collect()
}

fn sorted(mut handed: Vec<(usize, ToolCall)>) -> Vec<(usize, ToolCall)> {
    handed.sort_by_key(|(position, _)| *position);
    handed
}

#[track_caller]
fn is_whole(format: Format, taken: Taken, what: &str) {
    assert!(taken.error.is_none(), "{what}: {:?}", taken.error);
    assert_eq!(taken.format, Some(format), "{what}");
    assert_eq!(sorted(taken.handed), expected(format), "{what}");
    assert_eq!(taken.text, TEXT, "{what}");
    let received = taken.received.unwrap();
    assert!(received.is_complete, "{what}");
    assert!(
        received.reply.cut.is_empty(),
        "{what}: {:?}",
        received.reply.cut
    );
}

const STYLES: [Style; 3] = [
    Style::PLAIN,
    Style {
        line_end: "\r\n",
        chatty: true,
        many_lines: true,
        bom: true,
        closed: true,
    },
    Style {
        line_end: "\r",
        chatty: true,
        many_lines: false,
        bom: true,
        closed: false,
    },
];

#[test]
fn a_stream_split_at_any_byte_is_the_same_stream() {
    for format in APIS {
        for (style, events) in STYLES[1..].iter().zip(both_orders(format).iter().cycle()) {
            let (bytes, _) = sse(events, *style);
            for at in 0..=bytes.len() {
                let what = format!("{format} {style:?} at {at}");
                is_whole(format, receive(split(&bytes, at), None), &what);
            }
        }
    }
}

#[test]
fn a_stream_that_comes_byte_by_byte_is_the_same_stream() {
    for format in APIS {
        for events in both_orders(format) {
            for style in STYLES {
                let (bytes, _) = sse(&events, style);
                for size in [1, 2, 3, 64] {
                    let what = format!("{format} {style:?} in {size}s");
                    is_whole(format, receive(chunked(&bytes, size), None), &what);
                }
            }
        }
    }
}

#[test]
fn stream_cut_at_any_byte_keeps_complete_calls() {
    for format in APIS {
        for (style, events) in STYLES[..2].iter().zip(both_orders(format).iter().cycle()) {
            let (bytes, ends) = sse(events, *style);
            for at in 0..bytes.len() {
                let what = format!("{format} {style:?} at {at}");
                let seen: Vec<&Event> = events
                    .iter()
                    .zip(&ends)
                    .filter(|(_, end)| **end <= at)
                    .map(|(event, _)| event)
                    .collect();
                let begun = seen.iter().flat_map(|event| &event.begins).count();
                let mut complete: Vec<usize> = seen
                    .iter()
                    .flat_map(|event| event.completes.clone())
                    .collect();
                let ended = seen.iter().any(|event| event.ends);
                if ended {
                    complete = (0..begun).collect();
                }
                complete.sort_unstable();
                complete.dedup();

                let taken = receive([Bytes::copy_from_slice(&bytes[..at])], Some(format));
                let handed = sorted(taken.handed);
                let should: Vec<_> = expected(format)
                    .into_iter()
                    .filter(|(position, _)| complete.contains(position))
                    .collect();
                assert_eq!(handed, should, "{what}");
                let received = taken.received.unwrap();
                assert_eq!(received.reply.calls.len(), begun, "{what}");
                let cut: Vec<usize> = (0..begun)
                    .filter(|position| !complete.contains(position))
                    .collect();
                assert_eq!(received.reply.cut, cut, "{what}");
                assert_eq!(received.is_complete, ended, "{what}");
                assert!(TEXT.starts_with(&taken.text), "{what}: {}", taken.text);

                // Whoever does not know the format learns the same, once there is an event.
                if at % 5 != 0 {
                    continue;
                }
                let untold = receive([Bytes::copy_from_slice(&bytes[..at])], None);
                assert_eq!(sorted(untold.handed), should, "{what}");
                assert_eq!(untold.received.is_ok(), !seen.is_empty(), "{what}");
            }
        }
    }
}

#[test]
fn a_call_is_handed_on_with_the_event_that_completes_it() {
    for format in APIS {
        for events in both_orders(format) {
            let mut reader = Events::new(Some(format)).unwrap();
            let mut complete = Vec::new();
            for event in &events {
                let deltas = reader.event(&event.data).unwrap();
                let mut handed = Vec::new();
                for delta in deltas {
                    if let toolhost_wire::wire::Delta::Call { position, .. } = delta {
                        handed.push(position);
                    }
                }
                let mut should = event.completes.clone();
                should.retain(|position| !complete.contains(position));
                assert_eq!(handed, should, "{format}: {}", event.data);
                complete.extend(should);
            }
            assert_eq!(complete.len(), hard(format).len());
            let (more, _) = reader.finish().unwrap();
            assert_eq!(more, []);
        }
    }
}

/// The data of the events of a text.
fn data(text: impl AsRef<[u8]>) -> Vec<Result<String, String>> {
    let chunk = Bytes::copy_from_slice(text.as_ref());
    let events = event_data(stream::iter([Ok(chunk)])).collect::<Vec<_>>();
    let events = events.now_or_never().unwrap().into_iter();
    events
        .map(|event| event.map_err(|error| error.to_string()))
        .collect()
}

#[test]
fn lines_are_read_as_the_standard_has_them() {
    for (text, expected) in [
        ("data: a\n\n", &["a"][..]),
        ("data:a\n\n", &["a"]),
        ("data:  a \n\n", &[" a "]),
        ("data: a\ndata: b\n\n", &["a\nb"]),
        ("data: a\ndata:\ndata: b\n\n", &["a\n\nb"]),
        ("data: a\r\rdata: b\r\n\r\ndata: c\n\n", &["a", "b", "c"]),
        ("\u{feff}data: a\n\n", &["a"]),
        (": ping\n\n:\n\ndata: a\n: within\ndata: b\n\n", &["a\nb"]),
        (
            "event: x\nid: 1\nretry: 5\nretry: soon\nwhat: ever\ndata: a\n\n",
            &["a"],
        ),
        // An event without data is none.
        ("event: x\n\ndata\n\ndata: a\n\n", &["a"]),
        ("\n\n\ndata: a\n\n\n\n", &["a"]),
        ("datum: a\n\nDATA: b\n\n data: c\n\n", &[]),
        // Unlike in a browser, what the end cuts off is told.
        ("data: a\n\ndata: b", &["a", "b"]),
        ("data: a\n\ndata: b\ndata", &["a", "b\n"]),
        ("", &[]),
    ] {
        let found: Vec<String> = data(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, expected, "{text:?}");
    }
}

#[test]
fn what_is_no_text_ends_the_stream_with_an_error() {
    let found = data(b"data: a\n\ndata: \xff\n\ndata: b\n\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].as_deref(), Ok("a"));
    assert!(found[1].is_err());
}

#[test]
fn a_stream_whose_connection_breaks_says_why() {
    let broken = std::io::Error::other("reset by peer");
    let chunks = [Ok(Bytes::from_static(b"data: a\n\ndata: b")), Err(broken)];
    let events = event_data(stream::iter(chunks)).collect::<Vec<_>>();
    let events = events.now_or_never().unwrap();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0].as_deref().unwrap(), "a");
    match &events[1] {
        Err(error @ DecodeError::Broken { .. }) => {
            assert!(error.to_string().contains("reset by peer"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// Reads the data of these events.
fn read(format: Option<Format>, events: &[serde_json::Value]) -> Taken {
    let events: Vec<Event> = events.iter().map(event).collect();
    receive([Bytes::from(sse(&events, Style::PLAIN).0)], format)
}

fn event(data: &serde_json::Value) -> Event {
    Event {
        name: None,
        data: data.to_string(),
        begins: Vec::new(),
        completes: Vec::new(),
        ends: false,
    }
}

fn chat_delta(calls: serde_json::Value) -> serde_json::Value {
    json!({ "choices": [{ "index": 0, "delta": { "tool_calls": calls } }] })
}

fn chat_end(reason: &str) -> serde_json::Value {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
}

/// llama.cpp, vLLM, Ollama and others: calls whole in a chunk, without an index, or all of them with
/// the same; arguments as an object; `stop` for a reason.
#[test]
fn servers_that_follow_openai_loosely_are_understood() {
    let function =
        |text: &str| json!({ "name": "echo", "arguments": format!("{{\"text\":\"{text}\"}}") });
    let whole =
        |id: &str, text: &str| json!({ "id": id, "type": "function", "function": function(text) });
    let with_index = |index: usize, id: &str, text: &str| {
        let mut call = whole(id, text);
        call["index"] = json!(index);
        call
    };
    let object = json!({ "index": 0, "id": "a", "function": { "name": "echo", "arguments": { "text": "1" } } });
    let object_2 = json!({ "index": 1, "id": "b", "function": { "name": "echo", "arguments": { "text": "2" } } });
    let half = |text: &str| json!({ "function": { "arguments": text } });
    for chunks in [
        // All in one chunk, without indices.
        vec![chat_delta(json!([whole("a", "1"), whole("b", "2")]))],
        // A chunk each, without.
        vec![
            chat_delta(json!([whole("a", "1")])),
            chat_delta(json!([whole("b", "2")])),
        ],
        // A chunk each, with the same one.
        vec![
            chat_delta(json!([with_index(0, "a", "1")])),
            chat_delta(json!([with_index(0, "b", "2")])),
        ],
        // From one on, not from zero.
        vec![chat_delta(json!([
            with_index(1, "a", "1"),
            with_index(2, "b", "2")
        ]))],
        vec![chat_delta(json!([object, object_2]))],
        // In pieces, without indices: what has no id belongs to the call before.
        vec![
            chat_delta(json!([{ "id": "a", "function": { "name": "echo", "arguments": "" } }])),
            chat_delta(json!([half("{\"text\":")])),
            chat_delta(json!([half("\"1\"}")])),
            chat_delta(json!([{ "id": "b", "function": { "name": "echo" } }])),
            chat_delta(json!([half("{\"text\":\"2\"}")])),
        ],
        // The id again in every piece.
        vec![
            chat_delta(
                json!([{ "index": 0, "id": "a", "function": { "name": "echo", "arguments": "{\"text\":" } }]),
            ),
            chat_delta(
                json!([{ "index": 0, "id": "a", "function": { "name": null, "arguments": "\"1\"}" } }]),
            ),
            chat_delta(
                json!([{ "index": 1, "id": "b", "function": { "name": "echo", "arguments": "{\"text\":" } }]),
            ),
            chat_delta(
                json!([{ "index": 1, "id": "", "function": { "name": "", "arguments": "\"2\"}" } }]),
            ),
        ],
    ] {
        for end in [chat_end("tool_calls"), chat_end("stop")] {
            let taken = read(None, &[&chunks[..], &[end]].concat());
            assert!(taken.error.is_none(), "{:?}", taken.error);
            let calls: Vec<_> = taken
                .handed
                .iter()
                .map(|(position, call)| {
                    let arguments: serde_json::Value =
                        serde_json::from_str(&call.arguments).unwrap();
                    (
                        *position,
                        call.id.as_deref().unwrap(),
                        &*call.name,
                        arguments,
                    )
                })
                .collect();
            let expected = [
                (0, "a", "echo", json!({ "text": "1" })),
                (1, "b", "echo", json!({ "text": "2" })),
            ];
            assert_eq!(calls, expected, "{chunks:?}");
            let received = taken.received.unwrap();
            assert!(received.is_complete && received.reply.cut.is_empty());
            assert_eq!(received.reply.stop, Stop::Calls);
        }
    }
}

#[test]
fn a_response_that_came_to_its_bound_has_its_open_call_cut() {
    let begun = |index: usize, arguments: &str| json!({ "index": index, "id": "x", "function": { "name": "echo", "arguments": arguments } });
    for open in ["", "{", "{\"a\":1"] {
        let taken = read(
            None,
            &[
                chat_delta(json!([begun(0, "{}")])),
                chat_delta(json!([begun(1, open)])),
                chat_end("length"),
                json!({ "choices": [], "usage": { "prompt_tokens": 1 } }),
            ],
        );
        assert_eq!(taken.handed.len(), 1, "{open}");
        let received = taken.received.unwrap();
        assert_eq!(
            (&received.reply.cut[..], received.is_complete),
            (&[1][..], true)
        );
        assert_eq!(received.reply.stop, Stop::Length);
    }
    // Its block ends all the same; one that has arguments is answered for what they are.
    let block = json!({ "type": "tool_use", "id": "x", "name": "echo", "input": {} });
    let bound = |reason: &str| {
        let delta = json!({ "stop_reason": reason });
        read(
            None,
            &[
                json!({ "type": "message_start", "message": {} }),
                json!({ "type": "content_block_start", "index": 0, "content_block": block }),
                json!({ "type": "content_block_stop", "index": 0 }),
                json!({ "type": "message_delta", "delta": delta }),
                json!({ "type": "message_stop" }),
            ],
        )
    };
    let taken = bound("max_tokens");
    assert_eq!(taken.handed, []);
    let received = taken.received.unwrap();
    assert_eq!(
        (&received.reply.cut[..], received.is_complete),
        (&[0][..], true)
    );
    assert_eq!(received.reply.stop, Stop::Length);
    let taken = bound("tool_use");
    assert_eq!(taken.handed.len(), 1);
    assert!(taken.received.unwrap().reply.cut.is_empty());
    let item = |arguments: &str, status: &str| json!({ "type": "function_call", "call_id": "x", "name": "echo", "arguments": arguments, "status": status });
    for open in ["", "{\"a\":1"] {
        let taken = read(
            None,
            &[
                json!({ "type": "response.output_item.added", "output_index": 0, "item": item("", "in_progress") }),
                json!({ "type": "response.function_call_arguments.delta", "output_index": 0, "delta": open }),
                json!({ "type": "response.output_item.done", "output_index": 0, "item": item(open, "incomplete") }),
                json!({ "type": "response.incomplete", "response": {
                    "status": "incomplete", "incomplete_details": { "reason": "max_output_tokens" },
                } }),
            ],
        );
        assert_eq!(taken.handed, [], "{open}");
        let received = taken.received.unwrap();
        assert_eq!(
            (&received.reply.cut[..], received.is_complete),
            (&[0][..], true)
        );
        assert_eq!(received.reply.stop, Stop::Length);
    }
}

#[test]
fn an_error_in_a_stream_is_the_apis_own_and_what_came_before_stays() {
    let overloaded = json!({ "type": "overloaded_error", "message": "Overloaded" });
    let chat = chat_delta(
        json!([{ "index": 0, "id": "a", "function": { "name": "echo", "arguments": "{\"a\":1}" } }]),
    );
    let item =
        json!({ "type": "function_call", "call_id": "a", "name": "echo", "arguments": "{}" });
    let responses = json!({ "type": "response.output_item.done", "output_index": 0, "item": item });
    let block = json!({ "type": "tool_use", "id": "a", "name": "echo", "input": {} });
    let piece = json!({ "type": "input_json_delta", "partial_json": "{}" });
    let anthropic = [
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": piece }),
        json!({ "type": "content_block_stop", "index": 0 }),
    ];
    let call = json!({ "functionCall": { "id": "a", "name": "echo", "args": {} } });
    let gemini = json!({ "candidates": [{ "content": { "parts": [call] } }] });
    let failed =
        json!({ "status": "failed", "error": { "code": "server_error", "message": "Overloaded" } });
    for (format, before, error) in [
        (
            Format::OpenaiChat,
            &[chat][..],
            json!({ "error": { "message": "Overloaded", "type": "server_error" } }),
        ),
        (
            Format::OpenaiResponses,
            std::slice::from_ref(&responses),
            json!({ "type": "error", "code": "server_error", "message": "Overloaded" }),
        ),
        (
            Format::OpenaiResponses,
            std::slice::from_ref(&responses),
            json!({ "type": "response.failed", "response": failed }),
        ),
        (
            Format::Anthropic,
            &anthropic,
            json!({ "type": "error", "error": overloaded }),
        ),
        (
            Format::Gemini,
            &[gemini],
            json!({ "error": { "code": 503, "message": "Overloaded", "status": "UNAVAILABLE" } }),
        ),
    ] {
        let after = json!({ "type": "ping" });
        let taken = read(None, &[before, &[error.clone(), after]].concat());
        assert_eq!(taken.format, Some(format));
        match taken.error {
            Some(DecodeError::Api { kind, message }) => {
                assert_eq!(message, "Overloaded");
                let kinds = ["server_error", "overloaded_error", "UNAVAILABLE"];
                assert!(kinds.contains(&&*kind), "{kind}");
            }
            other => panic!("{format}: {other:?}"),
        }
        assert_eq!(taken.handed.len(), 1, "{format}");
        let received = taken.received.unwrap();
        assert_eq!((received.is_complete, received.reply.cut.len()), (false, 0));
        // Told the format, it may be all that comes.
        let alone = read(Some(format), std::slice::from_ref(&error));
        assert!(
            matches!(alone.error, Some(DecodeError::Api { .. })),
            "{format}"
        );
    }
}

#[test]
fn what_is_not_of_any_api_is_no_stream() {
    for (text, why) in [
        ("", "it has no events"),
        (": ping\n\n", "it has no events"),
        ("<html>502 Bad Gateway</html>", "it has no events"),
        ("{\"choices\":[]}", "it has no events"),
        ("data: {}\n\n", "match no known format"),
        ("data: {\"hello\":1}\n\n", "match no known format"),
        ("data: {\"type\":\"hello\"}\n\n", "match no known format"),
    ] {
        let taken = receive([Bytes::copy_from_slice(text.as_bytes())], None);
        match taken.received {
            Err(error @ DecodeError::NotEvents { .. }) => {
                assert!(error.to_string().contains(why), "{text}: {error}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in ["hello", "[1]", "1", "{", "[DONE]"] {
        let taken = receive([Bytes::from(format!("data: {text}\n\n"))], None);
        assert!(
            matches!(taken.error, Some(DecodeError::Event { number: 1, .. })),
            "{text}: {:?}",
            taken.error
        );
    }
    let both = json!({ "choices": [], "candidates": [] });
    assert!(matches!(
        read(None, &[both]).error,
        Some(DecodeError::Ambiguous { .. })
    ));
    for format in [Format::Mcp, Format::Json] {
        assert!(Events::new(Some(format)).is_err(), "{format}");
    }
}

#[test]
fn calls_of_two_choices_of_a_stream_are_not_both_run() {
    let choice = |index: usize| {
        let call = json!({ "index": 0, "id": index.to_string(), "function": { "name": "echo", "arguments": "{\"a\":1}" } });
        json!({ "choices": [{ "index": index, "delta": { "tool_calls": [call] } }] })
    };
    let taken = read(None, &[choice(0), choice(1)]);
    assert_eq!(taken.handed.len(), 1);
    assert!(taken.error.is_some());
}

/// Models do write two objects for one; where the pieces are cut is chance.
#[test]
fn chat_arguments_end_with_their_first_object() {
    let arguments = r#"{"text":"1"} {"text":"2"}"#;
    let piece = |call: serde_json::Value| json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] });
    for at in 0..=arguments.len() {
        let (first, second) = arguments.split_at(at);
        let end =
            json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
        let taken = read(
            None,
            &[
                piece(
                    json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": first } }),
                ),
                piece(json!({ "index": 0, "function": { "arguments": second } })),
                end,
            ],
        );
        let call = ToolCall::new("a", "f", r#"{"text":"1"}"#);
        assert_eq!(taken.handed, [(0, call.clone())], "{at}");
        assert_eq!(taken.received.unwrap().reply.calls, [call], "{at}");
    }
}

#[test]
fn an_error_that_comes_first_is_told_in_its_own_words() {
    for error in [
        json!({ "type": "error", "code": "server_error", "message": "no quota" }),
        json!({ "type": "error", "error": { "type": "server_error", "message": "no quota" } }),
        json!({ "error": { "code": "server_error", "message": "no quota" } }),
    ] {
        let taken = read(None, std::slice::from_ref(&error));
        match taken.error {
            Some(DecodeError::Api { kind, message }) => {
                assert_eq!((&*kind, &*message), ("server_error", "no quota"), "{error}");
            }
            other => panic!("{error}: {other:?}"),
        }
    }
}

#[test]
fn a_stream_that_ends_within_a_character_broke() {
    let bytes = Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"\xc3");
    let taken = receive([bytes], None);
    assert!(
        matches!(&taken.error, Some(DecodeError::Broken { why }) if why.contains("character")),
        "{:?}",
        taken.error
    );
}
