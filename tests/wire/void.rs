//! What must not run though it looks whole: of answers that ended in an error, and what an API itself says is not.

use serde_json::{Value, json};
use toolhost::Void;
use toolhost::wire::{self, DecodeError, Format};

use crate::common::binary::{Ended, Folder, listed};
use crate::common::forms::{read, streamed};
use crate::common::responses::{chunk, finish};

const X: &str = r#"{"text":"x"}"#;

fn sse(events: &[Value]) -> String {
    let events = events.iter().map(|event| format!("data: {event}\n\n"));
    events.collect()
}

fn run(folder: &Folder, arguments: &[&str], input: &str) -> Ended {
    let arguments = [&["run", "--output-format", "json"], arguments].concat();
    folder.run(&arguments, input)
}

fn item(status: &str) -> Value {
    json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "echo",
        "arguments": X, "status": status })
}

#[test]
fn incomplete_item_does_not_run_even_with_valid_arguments() {
    let folder = Folder::of(&["echo"]);
    let response = json!({ "status": "incomplete", "output": [item("incomplete")],
        "incomplete_details": { "reason": "max_output_tokens" } });
    let odd = json!({ "status": "completed", "output": [item("incomplete")] });
    let list = json!([item("incomplete")]);
    let added = json!({ "type": "response.output_item.added", "output_index": 0, "item": item("in_progress") });
    let done = json!({ "type": "response.output_item.done", "output_index": 0, "item": item("incomplete") });
    let end = |kind: &str, response: &Value| json!({ "type": kind, "response": response });
    let streams = [
        sse(&[done.clone(), end("response.incomplete", &response)]),
        sse(&[done.clone(), end("response.completed", &odd)]),
        sse(&[added, done]) + "data: [DONE]\n\n",
        // Said nowhere but at the end.
        sse(&[end("response.incomplete", &response)]),
    ];
    let whole = [response, odd, list, item("incomplete")].map(|input| input.to_string());
    let inputs = whole.map(|input| (&[][..], input)).into_iter();
    for (arguments, input) in inputs.chain(streams.map(|input| (&["--sse"][..], input))) {
        let ended = run(&folder, arguments, &input).answered();
        let lines = ended.lines();
        assert_eq!(lines.len(), 1, "{input}: {ended:?}");
        assert_eq!(lines[0]["error"]["code"], "invalid-arguments", "{input}");
        let content = lines[0]["content"].as_str().unwrap();
        assert!(
            content.contains("ended before the arguments were complete"),
            "{input}: {content}"
        );
    }
    // Who decodes by himself is told, too, and the host would not run it.
    let text = json!([item("incomplete")]).to_string();
    let (_, calls) = wire::decode(text.as_bytes(), None).unwrap();
    assert_eq!(calls[0].void(), Some(&Void::Cut));
    let text = json!([item("completed")]).to_string();
    assert_eq!(
        run(&folder, &[], &text).answered().lines()[0]["content"],
        "x"
    );
}

/// As vLLM, SGLang, OpenRouter, Mistral, DeepSeek and Zhipu say that they lost an answer.
#[test]
fn an_answer_that_ended_in_an_error_runs_nothing() {
    let folder = Folder::of(&["echo"]);
    let call = json!({ "index": 0, "id": "a", "type": "function", "function": { "name": "echo", "arguments": X } });
    for reason in [
        "error",
        "abort",
        "network_error",
        "insufficient_system_resource",
    ] {
        let message = json!({ "role": "assistant", "tool_calls": [call] });
        let whole = json!({ "choices": [{ "message": message, "finish_reason": reason }] });
        let ended = run(&folder, &[], &whole.to_string());
        ended.failed(&format!("ended with `finish_reason` `{reason}`"));
        let taken = read(
            Format::OpenaiChat,
            &streamed(Format::OpenaiChat, &whole).unwrap(),
        );
        let error = taken.received.unwrap_err();
        assert!(
            matches!(&error, DecodeError::Api { kind, .. } if kind == reason),
            "{error}"
        );
        let stream = sse(&[chunk(json!([call])), finish(reason)]);
        let ended = run(&folder, &["--sse"], &stream);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(
            ended
                .stderr
                .contains(&format!("ended with `finish_reason` `{reason}`")),
            "{ended:?}"
        );
    }
    // What the gateway says of it is told.
    let said = json!({ "code": 502, "message": "Provider disconnected" });
    let message = json!({ "role": "assistant", "tool_calls": [call] });
    for whole in [
        json!({ "choices": [{ "message": message, "finish_reason": "error", "error": said }] }),
        json!({ "choices": [{ "message": message, "finish_reason": "tool_calls" }], "error": said }),
    ] {
        run(&folder, &[], &whole.to_string()).failed("502: Provider disconnected");
    }
    let chunks = [
        json!({ "error": said, "choices": [{ "index": 0, "delta": { "content": "" }, "finish_reason": "error" }] }),
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "error", "error": said }] }),
        json!({ "error": said, "choices": [] }),
    ];
    for last in chunks {
        let ended = run(&folder, &["--sse"], &sse(&[chunk(json!([call])), last]));
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(
            ended.stderr.contains("502: Provider disconnected"),
            "{ended:?}"
        );
    }
    // No error, whatever it says where others have nothing.
    for nothing in [json!(null), json!({}), json!(""), json!(false)] {
        let choice = json!({ "message": message, "finish_reason": "tool_calls", "error": nothing });
        let whole = json!({ "choices": [choice], "error": nothing });
        assert_eq!(
            run(&folder, &[], &whole.to_string())
                .answered()
                .lines()
                .len(),
            1
        );
    }
}

/// A folder that `fs_write` may write in, and a call of that.
fn writing() -> (Folder, Value) {
    let folder = Folder::with(format!(
        "{}permissions.files = [{{ host = 'w', guest = '/w', access = 'read-write' }}]\n",
        listed("filesystem")
    ));
    std::fs::create_dir(folder.path().join("w")).unwrap();
    (folder, json!({ "path": "/w/new.txt", "content": "x" }))
}

#[track_caller]
fn has_written(folder: &Folder, expected: bool) {
    assert_eq!(folder.path().join("w/new.txt").exists(), expected);
}

/// A call that changes something waits for the end, and the end says that it is void.
#[test]
fn an_answer_that_failed_in_the_middle_changes_nothing() {
    let (folder, arguments) = writing();
    let arguments = arguments.to_string();
    let call = chunk(
        json!([{ "index": 0, "id": "a", "function": { "name": "fs_write", "arguments": arguments } }]),
    );
    let item = json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "fs_write",
        "arguments": arguments, "status": "completed" });
    let done = json!({ "type": "response.output_item.done", "output_index": 0, "item": item });
    let failed =
        |kind: &str| json!({ "type": format!("response.{kind}"), "response": { "status": kind } });
    let error = json!({ "type": "response.error", "error": { "message": "gone" } });
    let lost = json!({ "type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 1,
        "arguments": arguments });
    let completed = json!({ "type": "response.completed", "response": { "output": [] } });
    for (stream, why) in [
        (
            vec![call.clone(), finish("error")],
            "`finish_reason` `error`",
        ),
        (vec![done.clone(), failed("failed")], "the response failed"),
        (
            vec![done.clone(), failed("cancelled")],
            "the response cancelled",
        ),
        (vec![done.clone(), error], "gone"),
        (
            vec![done.clone(), lost, completed.clone()],
            "the arguments of item",
        ),
    ] {
        let ended = run(&folder, &["--sse"], &sse(&stream));
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.stderr.contains(why), "{ended:?}");
        let lines = ended.lines();
        assert_eq!(lines.len(), 1, "{ended:?}");
        assert_eq!(lines[0]["error"]["code"], "failed", "{ended:?}");
        has_written(&folder, false);
    }
    run(&folder, &["--sse"], &sse(&[done, completed])).answered();
    has_written(&folder, true);
}

#[test]
fn calls_that_the_api_calls_malformed_do_not_run_however_they_come() {
    let folder = Folder::of(&["echo"]);
    let call = json!({ "id": "a", "type": "function", "function": { "name": "no_such_tool", "arguments": X } });
    let message = json!({ "role": "assistant", "tool_calls": [call] });
    let part =
        json!({ "functionCall": { "id": "a", "name": "no_such_tool", "args": { "text": "x" } } });
    let block = json!({ "toolUse": { "toolUseId": "a", "name": "no_such_tool", "input": { "text": "x" } } });
    let content = |part: &Value| json!({ "role": "model", "parts": [part] });
    for (format, answer) in [
        (
            Format::Gemini,
            json!({ "candidates": [{ "content": content(&part), "finishReason": "MALFORMED_FUNCTION_CALL" }] }),
        ),
        (
            Format::Gemini,
            json!({ "candidates": [{ "content": content(&part), "finishReason": "UNEXPECTED_TOOL_CALL" }] }),
        ),
        (
            Format::Bedrock,
            json!({ "output": { "message": { "role": "assistant", "content": [block, block] } },
                "stopReason": "malformed_tool_use" }),
        ),
        // Of Gemini through its own chat API, and through a gateway.
        (
            Format::OpenaiChat,
            json!({ "choices": [{ "message": message, "finish_reason": "function_call_filter: MALFORMED_FUNCTION_CALL" }] }),
        ),
        (
            Format::OpenaiChat,
            json!({ "choices": [{ "message": message, "finish_reason": "tool_calls",
                "native_finish_reason": "MALFORMED_FUNCTION_CALL" }] }),
        ),
    ] {
        let reply = wire::reply(answer.to_string().as_bytes(), format).unwrap();
        assert_eq!(
            (reply.calls.len(), &reply.cut[..]),
            (1, &[0][..]),
            "{answer}"
        );
        let lines = run(&folder, &[], &answer.to_string()).answered().lines();
        assert_eq!(lines.len(), 1, "{answer}");
        assert_eq!(lines[0]["error"]["code"], "invalid-arguments", "{answer}");
        if let Some(events) = streamed(format, &answer) {
            let received = read(format, &events).received.unwrap();
            assert_eq!(received.reply.cut, [0], "{events:?}");
        }
    }
    // A text that is the rest of such a call is no answer.
    let rest = json!({ "choices": [{ "message": { "role": "assistant", "content": "patch:true}]}}" },
        "finish_reason": "stop", "native_finish_reason": "MALFORMED_FUNCTION_CALL" }] });
    run(&folder, &[], &rest.to_string()).failed("MALFORMED_FUNCTION_CALL");
    let taken = read(
        Format::OpenaiChat,
        &streamed(Format::OpenaiChat, &rest).unwrap(),
    );
    assert!(
        matches!(taken.received, Err(DecodeError::Api { .. })),
        "{taken:?}"
    );
}

/// A call that could change something is known before its answer says that it is malformed.
#[test]
fn a_malformed_call_that_waits_for_the_end_is_answered_and_not_run() {
    let (folder, arguments) = writing();
    let part = json!({ "functionCall": { "id": "a", "name": "fs_write", "args": arguments } });
    let part = json!({ "candidates": [{ "content": { "role": "model", "parts": [part] } }] });
    let end = |reason: &str| json!({ "candidates": [{ "finishReason": reason }] });
    let stream = sse(&[part.clone(), end("MALFORMED_FUNCTION_CALL")]);
    let lines = run(&folder, &["--sse"], &stream).answered().lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["error"]["code"], "invalid-arguments");
    has_written(&folder, false);
    run(&folder, &["--sse"], &sse(&[part, end("STOP")])).answered();
    has_written(&folder, true);
}
