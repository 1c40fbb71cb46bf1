//! Ollama's stream, a document a line, through the library and the binary.

use bytes::Bytes;
use serde_json::{Value, json};
use toolhost::wire::{Format, Stop};

use crate::common::binary::Folder;
use crate::common::responses::{chunked, receive};

fn line(message: Value, done: bool) -> String {
    json!({ "model": "m", "message": message, "done": done }).to_string()
}

fn call(name: &str, text: &str) -> Value {
    json!({ "function": { "name": name, "arguments": { "text": text } } })
}

fn streamed() -> String {
    let lines = [
        line(
            json!({ "role": "assistant", "content": "", "thinking": "Let me " }),
            false,
        ),
        line(
            json!({ "role": "assistant", "content": "", "thinking": "see." }),
            false,
        ),
        line(json!({ "role": "assistant", "content": "I " }), false),
        line(json!({ "role": "assistant", "content": "will. é" }), false),
        line(
            json!({ "role": "assistant", "content": "", "tool_calls": [call("echo", "one")] }),
            false,
        ),
        line(
            json!({
                "role": "assistant", "content": "", "new": [1],
                "tool_calls": [call("echo", "two"), call("gone", "three")],
            }),
            false,
        ),
        json!({
            "model": "m", "message": { "role": "assistant", "content": "" }, "done": true,
            "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 7,
        })
        .to_string(),
    ];
    lines.join("\n") + "\n"
}

#[test]
fn lines_are_read_as_they_come_and_the_message_goes_back_whole() {
    let text = streamed();
    for size in [1, 7, 64, text.len()] {
        for format in [None, Some(Format::Ollama)] {
            let taken = receive(chunked(text.as_bytes(), size), format);
            assert!(taken.error.is_none(), "{:?}", taken.error);
            assert_eq!(taken.format, Some(Format::Ollama));
            assert_eq!(taken.text, "I will. é");
            assert_eq!(taken.handed.len(), 3);
            let received = taken.received.unwrap();
            assert!(received.is_complete);
            let reply = received.reply;
            assert_eq!((reply.tokens.input, reply.tokens.output), (9, 7));
            assert_eq!((reply.stop, &reply.cut[..]), (Stop::Calls, &[][..]));
            let message: Value = serde_json::from_str(reply.messages[0].get()).unwrap();
            assert_eq!(
                message,
                json!({
                    "role": "assistant", "content": "I will. é", "thinking": "Let me see.",
                    "tool_calls": [call("echo", "one"), call("echo", "two"), call("gone", "three")],
                    "new": [1],
                })
            );
            // The same stream, kept in a file.
            let kept = Format::Ollama.wire().reply(&text).unwrap();
            assert_eq!(kept.messages[0].get(), reply.messages[0].get());
        }
    }
}

#[test]
fn a_stream_that_ends_early_or_in_an_error_is_not_complete() {
    let text = streamed();
    let lines: Vec<&str> = text.lines().collect();
    let taken = receive([Bytes::from(lines[..5].join("\n"))], None);
    assert!(!taken.received.unwrap().is_complete);
    for error in [
        "{\"error\":\"model 'm' not found\"}\n",
        "{\"error\":{\"message\":\"model 'm' not found\"}}",
    ] {
        for before in [&lines[..0], &lines[..5]] {
            let text = [before.join("\n"), error.to_owned()].join("\n");
            let taken = receive([Bytes::from(text)], None);
            let error = taken.error.unwrap().to_string();
            assert!(error.contains("model 'm' not found"), "{error}");
        }
    }
}

#[test]
fn the_binary_runs_the_calls_of_lines_and_answers_by_the_tools_names() {
    let folder = Folder::of(&["echo"]);
    let said = |results: &[Value]| {
        assert_eq!(
            results[results.len() - 3..],
            [
                json!({ "role": "tool", "tool_name": "echo", "content": "one" }),
                json!({ "role": "tool", "tool_name": "echo", "content": "two" }),
                json!({ "role": "tool", "tool_name": "gone", "content": "Error: Unknown tool gone" }),
            ]
        );
    };
    for arguments in [
        &["run", "--sse"][..],
        &["run"],
        &["run", "--format", "ollama"],
    ] {
        said(&folder.run(arguments, streamed()).answered().results());
    }
    let whole = folder
        .run(&["run", "--with-message"], streamed())
        .answered()
        .results();
    said(&whole);
    assert_eq!(
        (whole.len(), &whole[0]["thinking"]),
        (4, &json!("Let me see."))
    );
    let tools = folder
        .run(&["list", "--format", "ollama"], "")
        .answered()
        .json();
    assert_eq!(tools[0]["type"], "function");
    let function = &tools[0]["function"];
    assert_eq!(
        (&function["name"], function.get("strict")),
        (&json!("echo"), None)
    );
}

#[test]
fn a_whole_response_that_is_said_to_be_a_stream_is_one_line_of_it() {
    let folder = Folder::of(&["echo"]);
    let message =
        json!({ "role": "assistant", "content": "", "tool_calls": [call("echo", "one")] });
    let ended = folder
        .run(&["run", "--sse"], line(message, true))
        .answered();
    assert_eq!(ended.results()[0]["content"], "one");
}
