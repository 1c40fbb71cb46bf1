//! Calls of Gemini whose arguments stream as values at paths.

use serde_json::{Value, json};
use toolhost_wire::wire::Format;

use super::pieces::read;
use crate::common::responses::Taken;

fn parts(parts: Value) -> Value {
    json!({ "candidates": [{ "content": { "role": "model", "parts": parts } }] })
}

fn call(call: Value) -> Value {
    parts(json!([{ "functionCall": call }]))
}

fn begun() -> Value {
    call(json!({ "name": "f", "id": "g", "willContinue": true }))
}

fn stop(reason: &str) -> Value {
    json!({ "candidates": [{ "content": { "parts": [{ "text": "" }] }, "finishReason": reason }] })
}

/// A call with these values, each in an event of its own.
fn with(values: &[Value]) -> Taken {
    let mut events = vec![begun()];
    for value in values {
        events.push(call(
            json!({ "partialArgs": [value], "willContinue": true }),
        ));
    }
    events.extend([call(json!({})), stop("STOP")]);
    read(Format::Gemini, &events)
}

fn at(path: &str, key: &str, value: Value) -> Value {
    json!({ "jsonPath": path, key: value })
}

#[test]
fn values_at_paths_make_the_arguments() {
    let goes_on = |path: &str, text: &str| json!({ "jsonPath": path, "stringValue": text, "willContinue": true });
    let text = |path: &str, text: &str| at(path, "stringValue", json!(text));
    for (values, expected) in [
        (
            vec![goes_on("$.a", "6*"), text("$.a", "7")],
            r#"{"a":"6*7"}"#,
        ),
        (
            vec![goes_on("$.a", ""), goes_on("$.a", "é"), text("$.a", "")],
            r#"{"a":"é"}"#,
        ),
        (
            vec![
                at("$.n", "numberValue", json!(0.5)),
                at("$.b", "boolValue", json!(false)),
            ],
            r#"{"n":0.5,"b":false}"#,
        ),
        (
            vec![
                at("$.z", "nullValue", NULL),
                at("$.y", "nullValue", json!("NULL_VALUE")),
            ],
            r#"{"z":null,"y":null}"#,
        ),
        (
            vec![
                text("$.a.b[0]['c d']", "1"),
                at("$.a.b[0].e", "numberValue", json!(2)),
                text("$.a.b[1]['c d']", "3"),
            ],
            r#"{"a":{"b":[{"c d":"1","e":2},{"c d":"3"}]}}"#,
        ),
        (
            vec![
                text("$.m[0][0]", "a"),
                text("$.m[0][1]", "b"),
                text("$.m[1][0]", "c"),
            ],
            r#"{"m":[["a","b"],["c"]]}"#,
        ),
        // As an SDK prints it.
        (
            vec![
                json!({ "json_path": "$.a", "string_value": "x", "number_value": null, "bool_value": null, "null_value": null, "will_continue": null }),
            ],
            r#"{"a":"x"}"#,
        ),
        (
            vec![at("$.l", "listValue", json!([1, { "a": 2 }]))],
            r#"{"l":[1,{"a":2}]}"#,
        ),
        // Interleaved texts, and one that was announced.
        (
            vec![
                json!({ "jsonPath": "$.a", "willContinue": true }),
                goes_on("$.a", "1"),
                goes_on("$.b", "3"),
                text("$.a", "2"),
                text("$.b", "4"),
            ],
            r#"{"a":"12","b":"34"}"#,
        ),
        (vec![], "{}"),
    ] {
        let taken = with(&values);
        let received = taken.received.unwrap();
        assert!(
            received.is_complete && received.reply.cut.is_empty(),
            "{values:?}"
        );
        let arguments = &*taken.handed[0].1.arguments;
        let same: Value = serde_json::from_str(expected).unwrap();
        let is_empty = arguments.is_empty() && expected == "{}";
        assert!(is_empty || arguments == expected, "{values:?}: {arguments}");
        // One part goes back, as if it had come whole.
        let message: Value = serde_json::from_str(received.reply.messages[0].get()).unwrap();
        let part = &message["parts"][0]["functionCall"];
        assert_eq!(
            *part,
            json!({ "id": "g", "name": "f", "args": same }),
            "{values:?}"
        );
    }
}

const NULL: Value = Value::Null;

#[test]
fn what_makes_no_arguments_is_that_calls_error_and_not_the_responses() {
    let deep = format!("${}", ".a".repeat(5000));
    for values in [
        vec![at("$.a[1]", "stringValue", json!("x"))],
        vec![at("$.a[18446744073709551616]", "stringValue", json!("x"))],
        vec![at("$.a[-1]", "stringValue", json!("x"))],
        vec![at("$.a[*]", "stringValue", json!("x"))],
        vec![at("$..a", "stringValue", json!("x"))],
        vec![at("a", "stringValue", json!("x"))],
        vec![at("$", "stringValue", json!("x"))],
        vec![at(&deep, "stringValue", json!("x"))],
        vec![at("$.a", "stringValue", json!(5))],
        vec![
            at("$.a", "stringValue", json!("x")),
            at("$.a", "stringValue", json!("y")),
        ],
        vec![
            at("$.a", "stringValue", json!("x")),
            at("$.a.b", "stringValue", json!("y")),
        ],
        vec![
            at("$.a[0]", "stringValue", json!("x")),
            at("$.a.b", "stringValue", json!("y")),
        ],
        vec![json!({ "jsonPath": "$.a", "stringValue": "x", "numberValue": 1 })],
        vec![json!({ "jsonPath": "$.a" })],
        vec![json!({ "stringValue": "x" })],
        vec![json!("x")],
    ] {
        let mut events = vec![begun()];
        events.push(call(json!({ "partialArgs": values })));
        events.push(call(json!({ "name": "g", "args": { "x": 1 } })));
        events.push(stop("STOP"));
        let taken = read(Format::Gemini, &events);
        assert!(taken.error.is_none(), "{values:?}");
        let calls: Vec<_> = taken.handed.iter().map(|(_, call)| call).collect();
        assert_eq!(calls.len(), 2, "{values:?}");
        // No object, so that nothing can take it for arguments.
        assert!(
            calls[0].arguments.starts_with('['),
            "{values:?}: {}",
            calls[0].arguments
        );
        assert_eq!(calls[1].arguments, r#"{"x":1}"#);
        let message = taken.received.unwrap().reply.messages[0].get().to_owned();
        let message: Value = serde_json::from_str(&message).unwrap();
        assert_eq!(
            message["parts"][0]["functionCall"]["args"],
            json!({}),
            "{values:?}"
        );
    }
}

#[test]
fn a_call_is_complete_when_nothing_says_that_it_goes_on() {
    let value = |goes_on: bool| {
        let mut call = json!({ "partialArgs": [at("$.a[0].b", "numberValue", json!(1))] });
        if goes_on {
            call["willContinue"] = json!(true);
        }
        call
    };
    let text = json!({ "partialArgs": [{ "jsonPath": "$.a", "stringValue": "x", "willContinue": true }], "willContinue": true });
    for (what, events, handed, cut) in [
        (
            "the last value ends it",
            vec![begun(), call(value(false))],
            1,
            0,
        ),
        (
            "an empty call ends it",
            vec![
                begun(),
                call(value(true)),
                call(json!({ "willContinue": true })),
                call(json!({})),
            ],
            1,
            0,
        ),
        (
            "nothing ends it yet",
            vec![begun(), call(value(true))],
            0,
            1,
        ),
        (
            "the message does",
            vec![begun(), call(value(true)), stop("STOP")],
            1,
            0,
        ),
        (
            "not within a text",
            vec![begun(), call(text.clone()), stop("STOP")],
            0,
            1,
        ),
        (
            "nor does its bound",
            vec![begun(), call(value(true)), stop("MAX_TOKENS")],
            0,
            1,
        ),
        (
            "no arguments",
            vec![call(json!({ "name": "f" })), stop("STOP")],
            1,
            0,
        ),
        (
            "no arguments, cut off",
            vec![call(json!({ "name": "f" }))],
            0,
            1,
        ),
        (
            "empty ones",
            vec![call(json!({ "name": "f", "args": {} }))],
            1,
            0,
        ),
        (
            "two without any",
            vec![
                call(json!({ "name": "f" })),
                call(json!({ "name": "f" })),
                stop("STOP"),
            ],
            2,
            0,
        ),
        (
            "pieces that were not announced",
            vec![call(json!({ "name": "f" })), call(value(false))],
            0,
            1,
        ),
        (
            "their own name again",
            vec![
                begun(),
                call(
                    json!({ "name": "f", "id": "g", "partialArgs": [at("$.a", "boolValue", json!(true))] }),
                ),
            ],
            1,
            0,
        ),
        (
            "another call within",
            vec![
                begun(),
                call(value(true)),
                call(json!({ "name": "g", "args": {} })),
                stop("STOP"),
            ],
            2,
            0,
        ),
        (
            "pieces of nothing",
            vec![call(value(false)), stop("STOP")],
            1,
            0,
        ),
    ] {
        let taken = read(Format::Gemini, &events);
        let reply = taken.received.unwrap().reply;
        assert_eq!(
            (taken.handed.len(), reply.cut.len()),
            (handed, cut),
            "{what}: {:?}",
            taken.handed
        );
    }
}

#[test]
fn the_signature_of_any_piece_goes_back() {
    let events = [
        parts(
            json!([{ "functionCall": { "name": "f", "willContinue": true }, "thoughtSignature": "one" }]),
        ),
        parts(
            json!([{ "functionCall": { "partialArgs": [at("$.a", "numberValue", json!(12345678901234567890_u64))] }, "unheardOf": [1] }]),
        ),
        parts(json!([{ "functionCall": { "name": "g" }, "thoughtSignature": "two" }])),
        stop("STOP"),
    ];
    let reply = read(Format::Gemini, &events).received.unwrap().reply;
    let message: Value = serde_json::from_str(reply.messages[0].get()).unwrap();
    let expected = json!({ "functionCall": { "name": "f", "args": { "a": 12345678901234567890_u64 } }, "thoughtSignature": "one", "unheardOf": [1] });
    assert_eq!(message["parts"][0], expected);
    assert_eq!(
        message["parts"][1],
        json!({ "functionCall": { "name": "g" }, "thoughtSignature": "two" })
    );
}
