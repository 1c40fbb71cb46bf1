//! Streams as their users reported them in 2026: each is run as it was meant.

use serde_json::{Value, json};

use crate::common::binary::{Ended, Folder};
use crate::common::responses::{chunk, finish};

fn run(events: &[Value]) -> Ended {
    let folder = Folder::of(&["echo"]);
    let stream: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    folder.run(&["run", "--sse", "--output-format", "json"], stream)
}

#[track_caller]
fn said(events: &[Value], expected: &[&str]) {
    let ended = run(events).answered();
    let lines = ended.lines();
    let contents: Vec<&Value> = lines.iter().map(|line| &line["content"]).collect();
    assert_eq!(contents, expected, "{events:?}");
}

fn piece(index: u64, id: &str, name: Value, arguments: &str) -> Value {
    json!([{ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }])
}

/// BerriAI/litellm#20480: the id in each chunk, and all of it once more at the end, encoded twice.
#[test]
fn a_summary_at_the_end_is_no_other_call() {
    let twice = json!("{\"text\":\"x\"}").to_string();
    said(
        &[
            chunk(piece(0, "a", json!("echo"), "{\"te")),
            chunk(piece(0, "a", Value::Null, "xt\":\"x\"}")),
            chunk(piece(0, "a", json!("echo"), &twice)),
            finish("tool_calls"),
        ],
        &["x"],
    );
}

/// BerriAI/litellm#37273: two ends for one block.
#[test]
fn a_block_that_ends_twice_is_one_call() {
    let start = json!({ "type": "content_block_start", "index": 1,
        "content_block": { "type": "tool_use", "id": "a", "name": "echo", "input": {} } });
    let delta = json!({ "type": "content_block_delta", "index": 1,
        "delta": { "type": "input_json_delta", "partial_json": "{\"text\":\"x\"}" } });
    let stop = json!({ "type": "content_block_stop", "index": 1 });
    let end = json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" } });
    said(
        &[
            start,
            delta,
            stop.clone(),
            stop,
            end,
            json!({ "type": "message_stop" }),
        ],
        &["x"],
    );
}

/// vllm-project/vllm#44098: the last chunk has id, name, the rest of the arguments and the reason.
#[test]
fn what_is_left_may_come_with_the_name_again_and_the_end() {
    let mut last = chunk(piece(0, "a", json!("echo"), "xt\":\"x\"}"));
    last["choices"][0]["finish_reason"] = json!("tool_calls");
    said(
        &[chunk(piece(0, "a", json!("echo"), "{\"te")), last],
        &["x"],
    );
}

/// vllm-project/vllm#51697: all of the arguments again at the end, or a `{` ahead of them.
#[test]
fn arguments_that_are_flushed_again_are_taken_once() {
    let begin = chunk(piece(0, "a", json!("echo"), ""));
    let rest =
        |arguments: &str| chunk(json!([{ "index": 0, "function": { "arguments": arguments } }]));
    let all = "{\"text\":\"x\"}";
    for pieces in [[all, all], ["{", all]] {
        let events = [
            begin.clone(),
            rest(pieces[0]),
            rest(pieces[1]),
            finish("tool_calls"),
        ];
        said(&events, &["x"]);
    }
}

/// router-for-me/CLIProxyAPI#1004: the item ends without its name.
#[test]
fn an_item_keeps_the_name_that_it_began_with() {
    let item = |name: &str, arguments: &str| {
        json!({ "type": "function_call", "id": "fc", "call_id": "a",
        "name": name, "arguments": arguments })
    };
    let event = |kind: &str, item: Value| json!({ "type": kind, "output_index": 0, "item": item });
    said(
        &[
            event("response.output_item.added", item("echo", "")),
            event("response.output_item.done", item("", "{\"text\":\"x\"}")),
            json!({ "type": "response.completed", "response": { "output": [] } }),
        ],
        &["x"],
    );
}

/// NousResearch/hermes-agent#92764: a response that is completed without the end of its item.
#[test]
fn an_item_without_its_end_is_a_call_all_the_same() {
    let item = json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "echo", "arguments": "" });
    let delta = |delta: &str| {
        json!({ "type": "response.function_call_arguments.delta", "item_id": "fc",
        "output_index": 0, "delta": delta })
    };
    said(
        &[
            json!({ "type": "response.output_item.added", "output_index": 0, "item": item }),
            delta("{\"text\":"),
            delta("\"x\"}"),
            json!({ "type": "response.completed", "response": { "output": [] } }),
        ],
        &["x"],
    );
}

/// ggml-org/llama.cpp#18591: each call has index 0, and a reason of its own.
#[test]
fn calls_of_one_index_and_several_ends_are_told_by_their_ids() {
    let mut events = Vec::new();
    for (id, text) in [("a", "one"), ("b", "two"), ("c", "three")] {
        let arguments = json!({ "text": text }).to_string();
        events.push(chunk(piece(0, id, json!("echo"), &arguments)));
        events.push(finish("tool_calls"));
    }
    said(&events, &["one", "two", "three"]);
}

/// BerriAI/litellm#40040: another id for the chunk, and a name without a letter.
#[test]
fn an_empty_name_says_nothing() {
    said(
        &[
            chunk(piece(0, "a", json!("echo"), "")),
            chunk(
                json!([{ "index": 0, "type": "function", "function": { "name": "", "arguments": "{\"text\": \"" } }]),
            ),
            chunk(
                json!([{ "index": 0, "type": "function", "function": { "name": "", "arguments": "x\"}" } }]),
            ),
            finish("tool_calls"),
        ],
        &["x"],
    );
}

/// run-llama/llama_index#22464: Ollama's calls that are alike are two.
#[test]
fn calls_without_ids_that_are_alike_both_run() {
    let folder = Folder::of(&["echo"]);
    let call = json!({ "function": { "name": "echo", "arguments": { "text": "x" } } });
    let line = |calls: Value, done: bool| {
        json!({ "model": "m", "done": done,
        "message": { "role": "assistant", "content": "", "tool_calls": calls } })
    };
    let lines = [
        line(json!([call]), false),
        line(json!([call]), false),
        line(json!([]), true),
    ];
    let lines = lines.map(|line| line.to_string()).join("\n");
    let ended = folder
        .run(&["run", "--sse", "--output-format", "json"], lines)
        .answered();
    assert_eq!(ended.lines().len(), 2);
}

/// coder/coder#28470: Gemini's chat API rejected the call, and nothing of it came.
#[test]
fn a_call_that_was_filtered_away_is_an_error() {
    let thought = json!({ "choices": [{ "index": 0, "delta": { "content": "</thought>" } }] });
    let ended = run(&[
        thought,
        finish("function_call_filter: MALFORMED_FUNCTION_CALL"),
    ]);
    ended.failed("MALFORMED_FUNCTION_CALL");
}

/// diegosouzapw/OmniRoute#8210: an error beside no choices is not the usage that comes last.
#[test]
fn an_error_without_choices_is_no_end() {
    let error = json!({ "choices": [], "usage": { "total_tokens": 0 },
        "error": { "code": 502, "message": "Worker local total request limit reached (33/32)" } });
    run(&[error]).failed("request limit reached");
}

/// open-webui#29630: a result's item has the id of its call, and is another.
#[test]
fn an_item_of_another_kind_with_the_same_id_swallows_no_call() {
    let call = json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "echo",
        "arguments": "{\"text\":\"x\"}", "status": "completed" });
    let search =
        json!({ "type": "web_search_call", "id": "fc", "call_id": "a", "status": "completed" });
    let done = |index: u64, item: &Value| json!({ "type": "response.output_item.done", "output_index": index, "item": item });
    said(
        &[
            done(0, &search),
            done(1, &call),
            json!({ "type": "response.completed", "response": { "output": [search, call] } }),
        ],
        &["x"],
    );
}
