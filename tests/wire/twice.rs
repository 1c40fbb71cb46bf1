//! Calls that an answer has twice, as they are run.

use serde_json::{Value, json};
use toolhost::ToolCall;
use toolhost::wire::Format;

use crate::common::binary::{Folder, json_lines};
use crate::common::forms::streamed;
use crate::common::responses::{Around, MODELS, whole};

/// What a script writes is what it means: each line is answered.
#[test]
fn scripts_get_a_result_for_each_line() {
    let folder = Folder::of(&["echo"]);
    let line = ("a", "echo", json!({ "text": "x" }));
    let ended = folder
        .run(&["run"], json_lines(&[line.clone(), line]))
        .answered();
    assert_eq!(ended.lines().len(), 2);
}

#[test]
fn a_copy_is_run_and_answered_once() {
    let folder = Folder::of(&["echo"]);
    let calls = [
        ("a", "echo", "{\"text\":\"first\"}"),
        ("a", "echo", "{\"text\":\"first\"}"),
        ("b", "echo", "{\"text\":\"second\"}"),
    ];
    let given = calls.map(|(id, name, arguments)| ToolCall::new(id, name, arguments));
    for format in MODELS {
        let text = whole(format, &given, Around::Response);
        let answer: Value = serde_json::from_str(&text).unwrap();
        let as_json = ["run", "--output-format", "json"];
        let mut inputs = vec![(as_json.to_vec(), text)];
        if let Some(events) = streamed(format, &answer) {
            let lines = match format {
                Format::Ollama => events.join("\n"),
                _ => events
                    .iter()
                    .map(|data| format!("data: {data}\n\n"))
                    .collect(),
            };
            inputs.push(([&as_json[..], &["--sse"]].concat(), lines));
        }
        for (arguments, input) in inputs {
            let lines = folder.run(&arguments, input).answered().lines();
            let contents: Vec<&Value> = lines.iter().map(|line| &line["content"]).collect();
            assert_eq!(contents, ["first", "second"], "{format} {arguments:?}");
        }
    }
}
