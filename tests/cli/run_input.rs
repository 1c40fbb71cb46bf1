//! `toolhost run`: what goes in.

use serde_json::json;

use super::{HELLO, RUN_TO_CHAT, hello, run_to_chat};
use crate::common::binary::{Folder, json_lines};

#[test]
fn run_reads_a_file_stdin_or_a_dash() {
    let folder = Folder::of(&["echo"]);
    folder.write("response.json", HELLO);
    let from_file = folder.run(&run_to_chat(&["response.json"]), "").answered();
    let from_stdin = folder.run(RUN_TO_CHAT, HELLO).answered();
    let from_dash = folder.run(&run_to_chat(&["-"]), HELLO).answered();
    assert_eq!(from_file.json(), json!([hello()]));
    assert_eq!(from_stdin.stdout, from_file.stdout);
    assert_eq!(from_dash.stdout, from_file.stdout);
}

#[test]
fn every_shape_of_a_response_gives_the_same_results() {
    let folder = Folder::of(&["echo"]);
    let tool_call = |id: &str, text: &str| {
        let arguments = json!({ "text": text }).to_string();
        let function = json!({ "name": "echo", "arguments": arguments });
        json!({ "id": id, "type": "function", "function": function })
    };
    let tool_calls = json!([tool_call("a", "first"), tool_call("b", "second")]);
    let message = json!({ "role": "assistant", "content": null, "tool_calls": tool_calls });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "tool_calls" });
    let completion =
        json!({ "id": "chatcmpl-1", "object": "chat.completion", "choices": [choice] });
    let lines = json_lines(&[
        ("a", "echo", json!({ "text": "first" })),
        ("b", "echo", json!({ "text": "second" })),
    ]);
    let array = format!("[{}]", lines.trim_end().replace('\n', ","));
    let expected = json!([
        { "role": "tool", "tool_call_id": "a", "content": "first" },
        { "role": "tool", "tool_call_id": "b", "content": "second" },
    ]);
    for response in [
        completion.to_string(),
        format!("{completion:#}"),
        message.to_string(),
        tool_calls.to_string(),
        lines.clone(),
        lines.replace('\n', "\r\n\r\n"),
        array,
        format!("\u{feff}{completion}"),
    ] {
        let ended = folder.run(RUN_TO_CHAT, &response).answered();
        assert_eq!(ended.json(), expected, "{response}");
    }
}

#[test]
fn results_are_printed_in_the_order_of_the_calls_whatever_their_ids() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let lines = [
        r#"{"id":"same","name":"sleep","arguments":{"ms":100}}"#,
        r#"{"id":"same","name":"echo","arguments":{"text":"second"}}"#,
        r#"{"name":"echo","arguments":{"text":"third"}}"#,
    ];
    let ended = folder.run(RUN_TO_CHAT, lines.join("\n")).answered();
    assert_eq!(
        ended.json(),
        json!([
            { "role": "tool", "tool_call_id": "same", "content": "slept for 100 ms" },
            { "role": "tool", "tool_call_id": "same", "content": "second" },
            { "role": "tool", "content": "third" },
        ])
    );
}

#[test]
fn format_overrides_what_the_shape_says() {
    let folder = Folder::of(&["echo"]);
    // By its `role` a message without calls; as toolhost's own format a call.
    let both = r#"{"role":"x","id":"call_1","name":"echo","arguments":{"text":"hello"}}"#;
    let guessed = folder.run(&["run"], both).failed("openai-chat, json");
    assert!(
        guessed.stderr.contains("choose one with --format"),
        "{}",
        guessed.stderr
    );
    let as_json = folder
        .run(&run_to_chat(&["--format", "json"]), both)
        .answered();
    assert_eq!(as_json.json(), json!([hello()]));
    for openai in ["openai-chat", "openai"] {
        let as_chat = folder.run(&["run", "--format", openai], both).answered();
        assert_eq!(as_chat.json(), json!([]));
    }
    for wrong in ["anthropic", "gemini", "mcp", "openai-responses"] {
        let ended = folder.run(&["run", "--format", wrong], HELLO);
        assert!(!ended.stdout.contains("hello"), "{wrong}: {ended:?}");
    }
    assert_eq!(folder.run(&["run", "--format", "xml"], HELLO).status, 2);
}

#[test]
fn calls_without_a_function_around_them_are_toolhosts_own() {
    let folder = Folder::of(&["echo"]);
    let array = format!("[{HELLO}]");
    let ended = folder.run(RUN_TO_CHAT, &array).answered();
    assert_eq!(ended.json(), json!([hello()]));
    let told = run_to_chat(&["--format", "json"]);
    assert_eq!(
        folder.run(&told, &array).answered().json(),
        json!([hello()])
    );
    // Others have their calls so, and it is told that this is one of those.
    let told = folder.run(&["run", "--format", "openai-chat"], &array);
    assert_eq!(told.answered().json(), json!([hello()]));
}

#[test]
fn an_array_is_not_taken_for_a_call_whose_members_are_in_order() {
    let folder = Folder::of(&["echo"]);
    let call = r#"["call_1","echo",{"text":"hello"}]"#;
    for response in [call.to_owned(), format!("[{call}]")] {
        folder.run(&["run"], &response).failed("");
        for format in ["json", "openai-chat", "mcp"] {
            folder
                .run(&["run", "--format", format], &response)
                .failed("");
        }
    }
}

#[test]
fn a_response_that_cannot_be_read_is_the_jobs_failure() {
    let folder = Folder::of(&["echo"]);
    folder
        .run(&["run", "nowhere.json"], "")
        .failed("nowhere.json");
    folder.run(&["run"], "").failed("empty");
    folder
        .run(&["run"], "I would call echo.")
        .failed("not JSON");
    folder
        .run(&["run"], "42")
        .failed("neither an object nor an array");
    let error = r#"{"error":{"message":"overloaded"}}"#;
    folder.run(&["run"], error).failed("overloaded");
    folder.run(&["run"], "{}").failed("an unknown shape");
}

#[test]
fn json_of_a_wrong_shape_is_not_called_no_json() {
    let folder = Folder::of(&["echo"]);
    for response in [
        "[1]",
        r#"{"tool_calls":5}"#,
        r#"{"choices":[{"message":"hi"}]}"#,
        r#"{"choices":5}"#,
    ] {
        let ended = folder.run(&["run"], response).failed("");
        assert!(!ended.stderr.contains("not JSON"), "{}", ended.stderr);
    }
}
