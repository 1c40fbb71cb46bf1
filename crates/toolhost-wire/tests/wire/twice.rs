//! Calls that an answer has twice: a second copy, with the id, the name and the arguments of the first, is that call.

use serde_json::{Value, json};
use toolhost_wire::ToolCall;
use toolhost_wire::wire::{self, Format};

use crate::common::forms::{read, streamed};
use crate::common::responses::{APIS, Around, MODELS, Pieces, events, whole};

const X: &str = r#"{"text":"x","n":1}"#;
/// The same object, serialized again by somebody else.
const X_AGAIN: &str = r#"{"n": 1, "text": "x"}"#;
const Y: &str = r#"{"text":"y"}"#;

fn calls(given: &[(&str, &str, &str)]) -> Vec<ToolCall> {
    let calls = given.iter();
    calls
        .map(|(id, name, arguments)| ToolCall::new(*id, *name, *arguments))
        .collect()
}

/// The ids and arguments of calls.
fn seen<'c>(calls: impl IntoIterator<Item = &'c ToolCall>) -> Vec<(Option<&'c str>, &'c str)> {
    let calls = calls.into_iter();
    calls
        .map(|call| (call.id.as_deref(), &*call.arguments))
        .collect()
}

/// Calls, of which the second copies of the first stand beside it and behind another.
fn copied() -> Vec<ToolCall> {
    calls(&[
        ("a", "echo", X),
        ("a", "echo", X),
        ("b", "echo", Y),
        ("a", "echo", X_AGAIN),
    ])
}

#[test]
fn of_a_whole_answer_a_copy_is_no_other_call_and_does_not_go_back() {
    for format in MODELS {
        for around in [Around::Response, Around::Message, Around::Calls] {
            let text = whole(format, &copied(), around);
            let (_, calls) = wire::decode(text.as_bytes(), Some(format)).unwrap();
            assert_eq!(
                seen(&calls),
                [(Some("a"), X), (Some("b"), Y)],
                "{format} {around:?}"
            );
        }
        let text = whole(format, &copied(), Around::Response);
        let reply = wire::reply(text.as_bytes(), format).unwrap();
        assert_eq!(
            seen(&reply.calls),
            [(Some("a"), X), (Some("b"), Y)],
            "{format}"
        );
        let message: String = reply.messages.iter().map(|message| message.get()).collect();
        assert_eq!(message.matches("\"a\"").count(), 1, "{format}: {message}");
        assert_eq!(message.matches("\"b\"").count(), 1, "{format}: {message}");
    }
}

#[test]
fn of_a_stream_a_copy_is_no_other_call_and_does_not_go_back() {
    for format in APIS {
        let pieces = copied().into_iter().map(|call| Pieces {
            pieces: vec![
                call.arguments[..5].to_owned(),
                call.arguments[5..].to_owned(),
            ],
            call,
        });
        let pieces: Vec<Pieces> = pieces.collect();
        let mut turn = 0;
        let around = |count: usize| {
            turn += 1;
            (turn * 5) % count
        };
        let orders = [
            events(format, &pieces, |_| 0),
            // All begin before any of them ends.
            events(format, &pieces, |count| count - 1),
            events(format, &pieces, around),
        ];
        for events in orders {
            let data: Vec<String> = events.into_iter().map(|event| event.data).collect();
            let taken = read(format, &data);
            let received = taken.received.unwrap();
            let expected = [(0, Some("a"), X), (1, Some("b"), Y)];
            let handed: Vec<_> = taken
                .calls
                .iter()
                .map(|(at, call)| (*at, call.id.as_deref(), &*call.arguments))
                .collect();
            assert_eq!(handed, expected, "{format} {data:?}");
            assert!(
                received.is_complete && received.reply.cut.is_empty(),
                "{format}"
            );
            assert_eq!(
                seen(&received.reply.calls),
                [(Some("a"), X), (Some("b"), Y)]
            );
            let messages = received.reply.messages.iter();
            let message: String = messages.map(|message| message.get()).collect();
            assert_eq!(message.matches("\"a\"").count(), 1, "{format}: {message}");
        }
    }
}

#[test]
fn ollamas_lines_have_each_call_once() {
    let line = |id: &str, arguments: &str| {
        let text = whole(
            Format::Ollama,
            &calls(&[(id, "echo", arguments)]),
            Around::Response,
        );
        text.replace("\"done\":true", "\"done\":false")
    };
    let end = json!({ "message": { "role": "assistant", "content": "" }, "done": true });
    let lines = [
        line("a", X),
        line("a", X_AGAIN),
        line("b", Y),
        end.to_string(),
    ];
    let taken = read(Format::Ollama, &lines);
    let handed = taken.calls.iter().map(|(_, call)| call);
    assert_eq!(seen(handed), [(Some("a"), X), (Some("b"), Y)]);
    let reply = taken.received.unwrap().reply;
    assert_eq!(reply.messages[0].get().matches("\"a\"").count(), 1);
}

/// Servers give ids that are none, such as the tool's name; and a model may want two calls that are alike.
#[test]
fn what_differs_or_has_no_id_is_a_call_of_its_own() {
    let differ = calls(&[("a", "echo", X), ("a", "echo", Y), ("a", "other", X)]);
    let mut alike = calls(&[("", "echo", X), ("", "echo", X)]);
    for call in &mut alike {
        call.id = None;
    }
    for (given, count) in [(differ, 3), (alike, 2)] {
        for format in MODELS {
            let text = whole(format, &given, Around::Response);
            let (_, calls) = wire::decode(text.as_bytes(), Some(format)).unwrap();
            assert_eq!(seen(&calls), seen(&given), "{format}");
            let reply = wire::reply(text.as_bytes(), format).unwrap();
            assert_eq!(reply.calls.len(), count, "{format}");
            let answer: Value = serde_json::from_str(&text).unwrap();
            if let Some(events) = streamed(format, &answer) {
                let taken = read(format, &events);
                let handed = taken.calls.iter().map(|(_, call)| call);
                assert_eq!(seen(handed), seen(&given), "{format}: {events:?}");
            }
        }
    }
}

/// Its name decides, not its beginning.
#[test]
fn what_has_no_arguments_is_no_copy_of_a_call_of_another_tool() {
    let given = calls(&[("a", "echo", X), ("b", "echo", Y), ("a", "clock", "")]);
    let pieces = given.iter().map(|call| Pieces {
        pieces: vec![call.arguments.clone()],
        call: call.clone(),
    });
    let pieces: Vec<Pieces> = pieces.collect();
    for format in APIS.into_iter().filter(|format| *format != Format::Gemini) {
        let in_order = |_: usize| 0;
        let together = |count: usize| count - 1;
        for events in [
            events(format, &pieces, in_order),
            events(format, &pieces, together),
        ] {
            let data: Vec<String> = events.into_iter().map(|event| event.data).collect();
            let taken = read(format, &data);
            let handed = taken.calls.iter().map(|(_, call)| &*call.name);
            assert!(handed.eq(["echo", "echo", "clock"]), "{format} {data:?}");
        }
    }
}

#[test]
fn ids_that_come_again_in_another_answer_are_of_other_calls() {
    let call = json!({ "type": "function_call", "call_id": "a", "name": "echo", "arguments": X });
    let output = json!({ "type": "function_call_output", "call_id": "a", "output": "x" });
    let items = json!([call, call, output, call]).to_string();
    let (_, calls) = wire::decode(items.as_bytes(), None).unwrap();
    assert_eq!(seen(&calls), [(Some("a"), X)]);
    // All of the copies have their result.
    let items = json!([call, call, output]).to_string();
    let (_, calls) = wire::decode(items.as_bytes(), None).unwrap();
    assert_eq!(calls, []);
    let chat =
        json!([{ "id": "a", "type": "function", "function": { "name": "echo", "arguments": X } }]);
    let called = json!({ "role": "assistant", "tool_calls": chat });
    let result = json!({ "role": "tool", "tool_call_id": "a", "content": "x" });
    let messages = json!([called, result, called]).to_string();
    let (_, calls) = wire::decode(messages.as_bytes(), None).unwrap();
    assert_eq!(seen(&calls), [(Some("a"), X)]);
}

/// What a stream of these calls delivers, and the calls of a whole answer.
fn counted(format: Format, given: &[ToolCall]) -> (usize, Option<usize>) {
    let text = whole(format, given, Around::Response);
    let (_, calls) = wire::decode(text.as_bytes(), Some(format)).unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let handed = streamed(format, &answer).map(|events| read(format, &events).calls.len());
    (calls.len(), handed)
}

/// As of servers that give the tool's name for an id, or the same one to every call.
#[test]
fn where_ids_are_not_unique_no_call_is_a_copy() {
    let named = calls(&[("echo", "echo", X), ("echo", "echo", X)]);
    let same = calls(&[("0", "echo", X), ("0", "echo", X), ("0", "echo", Y)]);
    let digits = calls(&[
        ("a", "echo", r#"{"n":123456789012345678901}"#),
        ("a", "echo", r#"{"n":123456789012345678902}"#),
    ]);
    for format in MODELS {
        for given in [&named, &same] {
            let (whole, handed) = counted(format, given);
            assert_eq!(whole, given.len(), "{format} {given:?}");
            // A repeated call in a stream of chat completions is recognized at once.
            let is_read_at_once = format == Format::OpenaiChat && *given == same;
            let expected = given.len() - usize::from(is_read_at_once);
            assert_eq!(handed.unwrap_or(whole), expected, "{format} {given:?}");
        }
        let text = whole(format, &digits, Around::Response);
        let (_, calls) = wire::decode(text.as_bytes(), Some(format)).unwrap();
        assert_eq!(seen(&calls), seen(&digits), "{format}");
    }
}
