//! Whole responses, through the binary: what a bound cut off is not run.

use serde_json::{Value, json};
use toolhost::wire::Format;

use crate::common::binary::Folder;

/// A response that came to its bound in the last of its calls; with these arguments, which are text
/// where the API has text.
fn bounded(format: Format, last: &str) -> Value {
    let whole = json!({ "text": "hello" });
    let text = whole.to_string();
    match format {
        Format::OpenaiChat => {
            let call = |id: &str, arguments: &str| {
                let function = json!({ "name": "echo", "arguments": arguments });
                json!({ "id": id, "type": "function", "function": function })
            };
            let message =
                json!({ "role": "assistant", "tool_calls": [call("a", &text), call("b", last)] });
            json!({ "choices": [{ "index": 0, "message": message, "finish_reason": "length" }] })
        }
        Format::OpenaiResponses => {
            let item = |id: &str, arguments: &str, status: &str| {
                json!({
                    "type": "function_call", "call_id": id, "name": "echo",
                    "arguments": arguments, "status": status,
                })
            };
            json!({
                "status": "incomplete",
                "incomplete_details": { "reason": "max_output_tokens" },
                "output": [item("a", &text, "completed"), item("b", last, "incomplete")],
            })
        }
        _ => {
            let block = |id: &str, input: &Value| json!({ "type": "tool_use", "id": id, "name": "echo", "input": input });
            json!({
                "type": "message", "role": "assistant", "stop_reason": "max_tokens",
                "content": [block("a", &whole), block("b", &json!({}))],
            })
        }
    }
}

#[test]
fn the_call_that_a_bound_cut_off_is_refused_and_those_before_it_run() {
    let folder = Folder::of(&["echo"]);
    let formats = [
        Format::OpenaiChat,
        Format::OpenaiResponses,
        Format::Anthropic,
    ];
    for format in formats {
        // Nothing would be taken for no arguments.
        for last in ["{\"text\":\"he", ""] {
            for more in [&[][..], &["--stream"]] {
                let arguments = [&["run", "--output-format", "json"], more].concat();
                let response = bounded(format, last).to_string();
                let lines = folder.run(&arguments, response).answered().lines();
                assert_eq!(lines.len(), 2, "{format}");
                assert_eq!(lines[0]["content"], "hello", "{format}");
                assert_eq!(lines[1]["id"], "b", "{format}");
                assert_eq!(lines[1]["error"]["code"], "invalid-arguments", "{format}");
                let content = lines[1]["content"].as_str().unwrap();
                assert!(
                    content.contains("ended before the arguments were complete"),
                    "{content}"
                );
            }
        }
    }
}

#[test]
fn an_error_of_the_api_is_told_as_it_says_it() {
    let folder = Folder::of(&["echo"]);
    for error in [
        json!({ "error": { "message": "Slow down.", "type": "rate_limit_error", "code": null } }),
        json!({ "type": "error", "error": { "type": "rate_limit_error", "message": "Slow down." } }),
        json!({ "error": { "code": 429, "message": "Slow down.", "status": "rate_limit_error" } }),
    ] {
        let why = "the API answered with an error: rate_limit_error: Slow down.";
        folder.run(&["run"], error.to_string()).failed(why);
    }
}

/// A broken character in what an API says is no reason to hide the rest of it.
#[test]
fn an_error_of_the_api_with_a_broken_byte_is_told() {
    let folder = Folder::of(&["echo"]);
    let broken =
        b"{\"error\":{\"message\":\"Bad \xff request.\",\"type\":\"invalid_request_error\"}}";
    for arguments in [&["run"][..], &["run", "--sse"]] {
        let ended = folder
            .run(arguments, broken)
            .failed("invalid_request_error: Bad ");
        assert!(ended.stderr.contains(" request."), "{ended:?}");
    }
    // What is no error stays what it is.
    folder
        .run(
            &["run"],
            b"{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}",
        )
        .failed("invalid byte at offset 35");
}

#[test]
fn an_event_stream_that_is_not_said_to_be_one_is_told_from_no_json() {
    let folder = Folder::of(&["echo"]);
    for stream in [
        "data: {\"choices\":[]}\n\n",
        "event: message_start\ndata: {}\n\n",
        "\ndata: {}\n\n",
    ] {
        folder.run(&["run"], stream).failed("--sse");
    }
}
