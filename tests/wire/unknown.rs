//! Calls of kinds that nobody knows yet, beside others that run: they are answered, or the answer is an error.

use serde_json::{Value, json};
use toolhost::wire::{self, DecodeError, Format};

use crate::common::binary::Folder;
use crate::common::forms::{read, streamed};

fn chat(calls: Value) -> Value {
    json!({ "choices": [{ "message": { "role": "assistant", "content": null, "tool_calls": calls },
        "finish_reason": "tool_calls" }] })
}

fn anthropic(blocks: Value) -> Value {
    json!({ "type": "message", "role": "assistant", "content": blocks, "stop_reason": "tool_use" })
}

fn responses_answer(items: Value) -> Value {
    json!({ "object": "response", "status": "completed", "output": items })
}

fn gemini(parts: Value) -> Value {
    json!({ "candidates": [{ "content": { "role": "model", "parts": parts }, "finishReason": "STOP" }] })
}

fn bedrock(blocks: Value) -> Value {
    json!({ "output": { "message": { "role": "assistant", "content": blocks } }, "stopReason": "tool_use" })
}

/// How items make an answer.
type Answer = fn(Value) -> Value;

/// For each format the known call `a`, an unknown one of that id, and how they make an answer.
fn shapes(id: Value) -> Vec<(Format, Value, Value, Answer)> {
    let with = |mut unknown: Value, key: &str| {
        if !id.is_null() {
            unknown[key] = id.clone();
        }
        unknown
    };
    let text = json!({ "text": "hi" });
    vec![
        (
            Format::OpenaiChat,
            json!({ "id": "a", "type": "function", "function": { "name": "echo", "arguments": text.to_string() } }),
            with(
                json!({ "type": "new_call", "new_call": { "name": "echo" } }),
                "id",
            ),
            chat as Answer,
        ),
        (
            Format::OpenaiResponses,
            json!({ "type": "function_call", "call_id": "a", "name": "echo", "arguments": text.to_string() }),
            with(
                json!({ "type": "new_tool_call", "name": "echo", "arguments": "{}" }),
                "call_id",
            ),
            responses_answer as Answer,
        ),
        (
            Format::Anthropic,
            json!({ "type": "tool_use", "id": "a", "name": "echo", "input": text }),
            with(
                json!({ "type": "new_tool_use", "name": "echo", "input": {} }),
                "id",
            ),
            anthropic as Answer,
        ),
        (
            Format::Gemini,
            json!({ "functionCall": { "id": "a", "name": "echo", "args": text } }),
            json!({ "newCall": with(json!({ "name": "echo", "args": {} }), "id") }),
            gemini as Answer,
        ),
        (
            Format::Bedrock,
            json!({ "toolUse": { "toolUseId": "a", "name": "echo", "input": text } }),
            json!({ "newToolUse": with(json!({ "name": "echo", "input": {} }), "toolUseId") }),
            bedrock as Answer,
        ),
    ]
}

#[test]
fn beside_a_known_call_an_unknown_one_is_answered_with_an_error() {
    let folder = Folder::of(&["echo"]);
    for (format, known, unknown, answer) in shapes(json!("u")) {
        for items in [json!([known, unknown]), json!([unknown, known])] {
            let answer = answer(items);
            let input = answer.to_string();
            let mut results = folder
                .run(&["run", "--output-format", "json"], &input)
                .answered()
                .lines();
            results.sort_by_key(|line| line["id"].to_string());
            let ids: Vec<&Value> = results.iter().map(|line| &line["id"]).collect();
            assert_eq!(ids, ["a", "u"], "{input}");
            assert_eq!(results[0]["content"], "hi", "{input}");
            assert_eq!(results[1]["error"]["code"], "failed", "{input}");
            let why = results[1]["error"]["message"].as_str().unwrap();
            assert!(why.contains("toolhost cannot run it"), "{why}");
            // It stays in the message that goes back.
            let reply = wire::reply(input.as_bytes(), format).unwrap();
            let message: String = reply.messages.iter().map(|message| message.get()).collect();
            assert!(message.contains("\"u\""), "{message}");
            if let Some(events) = streamed(format, &answer) {
                let taken = read(format, &events);
                let reply = taken.received.unwrap().reply;
                let ids: Vec<_> = reply.calls.iter().map(|call| call.id.as_deref()).collect();
                assert_eq!(ids, [Some("a"), Some("u")], "{events:?}");
                assert_eq!(taken.calls.len(), 2, "{events:?}");
                assert!(taken.calls[1].1.void().is_some(), "{events:?}");
                let message: String = reply.messages.iter().map(|message| message.get()).collect();
                assert!(
                    message.contains("\"u\"") && message.contains("new"),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn alone_or_without_an_id_it_is_an_error() {
    let folder = Folder::of(&["echo"]);
    let answers = |id: Value, beside: bool| {
        let shapes = shapes(id).into_iter();
        shapes.map(move |(format, known, unknown, answer)| {
            let items = match beside {
                true => json!([known, unknown]),
                false => json!([unknown]),
            };
            (format, answer(items))
        })
    };
    for (format, answer) in answers(Value::Null, true).chain(answers(json!("u"), false)) {
        let ended = folder.run(&["run"], answer.to_string());
        assert_eq!(
            (ended.status, &*ended.stdout),
            (1, ""),
            "{answer}: {ended:?}"
        );
        assert!(ended.stderr.starts_with("error: "), "{ended:?}");
        if let Some(events) = streamed(format, &answer) {
            let error = read(format, &events).received.unwrap_err();
            assert!(
                matches!(error, DecodeError::Unread { .. }),
                "{error}: {events:?}"
            );
        }
    }
}

/// The kinds that a client of another sort runs have ids to answer, too.
#[test]
fn a_call_for_another_client_is_answered_in_its_own_words() {
    let folder = Folder::of(&["echo"]);
    let known = json!({ "type": "function_call", "call_id": "a", "name": "echo", "arguments": "{\"text\":\"hi\"}" });
    for (kind, output) in [
        ("local_shell_call", "local_shell_call_output"),
        ("apply_patch_call", "apply_patch_call_output"),
        ("new_tool_call", "new_tool_call_output"),
    ] {
        let other = json!({ "type": kind, "id": "i", "call_id": "u", "name": "x", "input": "" });
        let response = json!({ "output": [other, known] }).to_string();
        let results = folder.run(&["run"], response).answered().results();
        let result = results.iter().find(|result| result["call_id"] == "u");
        let result = result.unwrap_or_else(|| panic!("{results:?}"));
        assert_eq!(result["type"], output);
        assert_eq!(results.len(), 2);
    }
}

#[test]
fn what_the_api_has_run_by_itself_is_no_call_whatever_its_kind() {
    let folder = Folder::of(&["echo"]);
    let known = json!({ "type": "tool_use", "id": "a", "name": "echo", "input": { "text": "hi" } });
    let run = json!({ "type": "new_tool_use", "id": "s", "name": "search", "input": {} });
    let found = json!({ "type": "new_tool_result", "tool_use_id": "s", "content": [] });
    let answer = anthropic(json!([run, found, known]));
    assert_eq!(
        folder
            .run(&["run"], answer.to_string())
            .answered()
            .results()
            .len(),
        1
    );
    let taken = read(
        Format::Anthropic,
        &streamed(Format::Anthropic, &answer).unwrap(),
    );
    assert_eq!(taken.calls.len(), 1);
    let item = json!({ "type": "new_call", "id": "s", "name": "search", "arguments": "{}", "output": "…" });
    let known = json!({ "type": "function_call", "call_id": "a", "name": "echo", "arguments": "{\"text\":\"hi\"}" });
    let answer = json!({ "output": [item, known] });
    assert_eq!(
        folder
            .run(&["run"], answer.to_string())
            .answered()
            .results()
            .len(),
        1
    );
}

fn done(id: &str, index: u64, more: Value) -> Value {
    let mut event = json!({ "type": "response.function_call_arguments.done", "item_id": id,
        "output_index": index, "arguments": "{\"text\":\"hi\"}" });
    event
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    event
}

fn responses(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

/// Of a stream of Responses, as proxies lose events of it.
#[test]
fn orphaned_arguments_are_a_call_or_an_error() {
    let folder = Folder::of(&["echo"]);
    let run = |events: &[Value]| {
        let arguments = ["run", "--sse", "--output-format", "json"];
        folder.run(&arguments, responses(events))
    };
    let item = |id: &str, call_id: &str| {
        json!({ "type": "function_call", "id": id, "call_id": call_id,
        "name": "echo", "arguments": "{\"text\":\"hi\"}", "status": "completed" })
    };
    let end = json!({ "type": "response.completed", "response": { "output": [] } });
    let named = json!({ "name": "echo", "call_id": "a" });
    // It is all there.
    let ended = run(&[done("fc", 0, named.clone()), end.clone()]).answered();
    assert_eq!(ended.lines()[0]["content"], "hi");
    // Its item comes later, by its id, its place or in the output alone.
    let added =
        json!({ "type": "response.output_item.added", "output_index": 0, "item": item("fc", "a") });
    let item_done = json!({ "type": "response.output_item.done", "output_index": 0, "item": item("other", "a") });
    let with_output =
        json!({ "type": "response.completed", "response": { "output": [item("fc", "a")] } });
    for rest in [
        vec![added.clone(), end.clone()],
        vec![item_done, end.clone()],
        vec![with_output],
    ] {
        let events = [vec![done("fc", 0, json!({}))], rest].concat();
        let ended = run(&events).answered();
        assert_eq!(ended.lines().len(), 1, "{events:?}: {ended:?}");
        assert_eq!(ended.lines()[0]["id"], "a");
        assert_eq!(ended.lines()[0]["content"], "hi");
    }
    // It never comes, and nothing could answer the call.
    for more in [json!({}), json!({ "name": "echo" })] {
        let ended = run(&[added.clone(), done("lost", 1, more), end.clone()]);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(
            ended
                .stderr
                .contains("the arguments of item `lost` arrived"),
            "{ended:?}"
        );
    }
    // They are none of another call's.
    let other = json!({ "type": "response.output_item.added", "output_index": 0,
        "item": { "type": "function_call", "id": "fc_0", "call_id": "b", "name": "echo", "arguments": "" } });
    let own = json!({ "type": "response.function_call_arguments.done", "item_id": "fc_0", "output_index": 0,
        "arguments": "{\"text\":\"own\"}" });
    let ended = run(&[other, done("fc_1", 1, named), own, end]).answered();
    let contents: Vec<_> = ended
        .lines()
        .iter()
        .map(|line| line["content"].clone())
        .collect();
    assert_eq!(contents, ["own", "hi"]);
}

/// What began as a call is one, whatever kind it is said to be of later: the others keep their places.
#[test]
fn a_call_keeps_its_place_when_its_kind_is_said_late() {
    let piece = |call: Value| {
        let chunk = json!({ "choices": [{ "delta": { "tool_calls": [call] } }] });
        format!("data: {chunk}\n\n")
    };
    let whole = r#"{"text":"hi"}"#;
    let begun = [
        piece(json!({ "index": 0, "id": "a" })),
        piece(json!({ "index": 0, "type": "weird" })),
    ]
    .concat();
    let second = |arguments: &str| {
        let function = json!({ "name": "echo", "arguments": arguments });
        piece(json!({ "index": 1, "id": "b", "function": function }))
    };
    let folder = Folder::of(&["echo"]);
    let arguments = [
        "run",
        "--sse",
        "--format",
        "openai-chat",
        "--output-format",
        "json",
    ];
    for (stream, last) in [
        (second(whole) + "data: [DONE]\n\n", None),
        (
            second(&whole[..5]) + "data: [DONE]\n\n",
            Some("invalid-arguments"),
        ),
    ] {
        let lines = folder
            .run(&arguments, begun.clone() + &stream)
            .answered()
            .lines();
        let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
        assert_eq!(ids, ["a", "b"], "{stream}");
        assert_eq!(lines[0]["error"]["code"], "invalid-arguments");
        assert_eq!(lines[1]["error"]["code"].as_str(), last, "{stream}");
    }
}
