//! Responses that are cut off, or no responses.

use serde_json::{Value, json};
use toolhost::wire;
use toolhost::wire::{DecodeError, Format};

use super::Random;
use crate::common::binary::{Folder, json_lines};
use crate::common::root;

#[test]
fn a_response_without_calls_has_no_results() {
    let folder = Folder::of(&["echo"]);
    for response in [
        r#"{"choices":[{"message":{"role":"assistant","content":"Hello!"}}]}"#,
        r#"{"choices":[{"message":{"role":"assistant","content":"Hello!","tool_calls":null}}]}"#,
        r#"{"choices":[{"message":{"role":"assistant","content":"Hello!","tool_calls":[]}}]}"#,
        r#"{"choices":[]}"#,
        r#"{"role":"assistant","content":"Hello!"}"#,
        r#"{"role":"assistant","content":null,"tool_calls":null}"#,
        r#"{"tool_calls":null}"#,
        r#"{"tool_calls":[]}"#,
        "[]",
    ] {
        let ended = folder.run(&["run"], response).answered();
        assert_eq!(ended.json(), json!([]), "{response}");
        let ended = folder.run(&["run", "--stream"], response).answered();
        assert_eq!(ended.stdout, "", "{response}");
    }
}

#[test]
fn a_response_with_one_call_has_one_result() {
    let folder = Folder::of(&["echo"]);
    let call = r#"{"id":"a","type":"function","function":{"name":"echo","arguments":"{\"text\":\"hi\"}"}}"#;
    for response in [
        format!(r#"{{"choices":[{{"message":{{"tool_calls":[{call}]}}}}]}}"#),
        format!("[{call}]"),
    ] {
        let ended = folder.run(&["run"], response).answered();
        assert_eq!(
            ended.json(),
            json!([{ "role": "tool", "tool_call_id": "a", "content": "hi" }])
        );
    }
}

/// The first of the real responses, and its number of calls.
fn real_response() -> (String, usize) {
    let data = std::fs::read_to_string(root().join("tests/data/bfcl/exec_parallel.jsonl")).unwrap();
    let batch: Value = serde_json::from_str(data.lines().next().unwrap()).unwrap();
    let calls = batch["expected"].as_object().unwrap().len();
    (batch["response"].to_string(), calls)
}

#[test]
fn a_cut_response_is_an_error_that_says_so() {
    let (response, calls) = real_response();
    assert_eq!(decoded(&response).unwrap(), calls);
    for cut in 1..response.len() {
        match decoded(&response[..cut]) {
            Err(error @ DecodeError::NotJson { .. }) => {
                assert!(error.to_string().contains("cut off"), "{cut}: {error}");
            }
            other => panic!("{cut}: {other:?}"),
        }
    }
    assert!(matches!(decoded(""), Err(DecodeError::Empty)));
}

fn decoded(response: impl AsRef<[u8]>) -> Result<usize, DecodeError> {
    wire::decode(response.as_ref(), None).map(|(_, calls)| calls.len())
}

#[test]
fn through_the_binary_a_cut_response_exits_1_and_runs_nothing() {
    let folder = Folder::of(&["bfcl"]);
    let (response, _) = real_response();
    for cut in (0..response.len()).step_by(response.len() / 24) {
        folder.run(&["run"], &response[..cut]).failed("");
    }
}

#[test]
fn cut_json_lines_are_an_error_of_the_cut_line_or_whole_up_to_it() {
    let lines = json_lines(&[
        ("a", "echo", json!({ "text": "first" })),
        ("b", "echo", json!({ "text": "sécond" })),
        ("c", "echo", json!({ "text": "third" })),
    ]);
    let bytes = lines.as_bytes();
    for cut in 1..bytes.len() {
        let whole = &bytes[..cut];
        let ends = whole.iter().filter(|byte| **byte == b'\n').count();
        match decoded(whole) {
            // Cut between two lines, or after a line without its end.
            Ok(calls) => assert!(
                calls == ends && whole.ends_with(b"\n")
                    || calls == ends + 1 && whole.ends_with(b"}"),
                "{cut}"
            ),
            Err(DecodeError::Line { line, error }) => {
                assert_eq!(line, ends + 1, "{cut}");
                assert!(error.is_eof(), "{cut}: {error}");
            }
            Err(DecodeError::NotJson { error }) => assert!(ends == 0 && error.is_eof(), "{cut}"),
            Err(DecodeError::NotUtf8 { .. }) => assert!(std::str::from_utf8(whole).is_err()),
            Err(other) => panic!("{cut}: {other}"),
        }
    }
}

#[test]
fn a_cut_last_line_of_json_lines_says_that_it_was_cut() {
    let folder = Folder::of(&["echo"]);
    let lines = json_lines(&[
        ("a", "echo", json!({ "text": "first" })),
        ("b", "echo", json!({ "text": "second" })),
    ]);
    let cut = &lines[..lines.len() - 10];
    let ended = folder.run(&["run"], cut).failed("line 2");
    assert!(ended.stderr.contains("cut off"), "{}", ended.stderr);
    // The place is the response's own, not that of the line by itself.
    assert!(!ended.stderr.contains("line 1"), "{}", ended.stderr);
}

#[test]
fn garbage_decodes_to_an_error_and_never_panics() {
    let mut random = Random(42);
    for _ in 0..5000 {
        let length = random.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        decode_all_ways(&bytes);
    }
    // Closer to the real thing: a response with a few bytes changed, taken out or put in.
    let (response, _) = real_response();
    let tokens = b"{}[]\",:\\ntfu0d8\0\n\xff";
    for _ in 0..5000 {
        let mut bytes = response.clone().into_bytes();
        for _ in 0..1 + random.below(6) {
            let at = random.below(bytes.len());
            let token = tokens[random.below(tokens.len())];
            match random.below(3) {
                0 => bytes[at] = token,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, token),
            }
        }
        decode_all_ways(&bytes);
    }
}

fn decode_all_ways(bytes: &[u8]) {
    let formats = Format::ALL.map(Some);
    for format in formats.into_iter().chain([None]) {
        if let Err(error) = wire::decode(bytes, format) {
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn through_the_binary_garbage_exits_1() {
    let folder = Folder::of(&["echo"]);
    let mut random = Random(4711);
    for _ in 0..10 {
        let bytes: Vec<u8> = (0..300).map(|_| random.next() as u8).collect();
        folder.run(&["run"], bytes).failed("");
    }
    folder.run(&["run"], "\0\0\0").failed("not JSON");
    folder.run(&["run"], b"\xff\xfe{\0}\0").failed("UTF-16");
    folder.run(&["run"], b"{\xff}").failed("not UTF-8");
    folder.run(&["run"], " \n\t").failed("empty");
    folder
        .run(&["run"], "data: {\"choices\":[]}\n\n")
        .failed("an event stream: see --sse");
    folder
        .run(&["run"], "<html>502 Bad Gateway</html>")
        .failed("an HTML page");
}

#[test]
fn a_response_nested_out_of_hand_is_no_harm() {
    let folder = Folder::of(&["echo"]);
    let deep = "[".repeat(100_000);
    folder.run(&["run"], &deep).failed("");
    let closed = format!("{deep}{}", "]".repeat(100_000));
    folder.run(&["run"], &closed).failed("");
    // Where nobody looks at it, it may be as deep as it likes.
    let call = r#"{"id":"a","function":{"name":"echo","arguments":"{\"text\":\"hi\"}"}}"#;
    let message = format!(r#"{{"role":"assistant","content":{closed},"tool_calls":[{call}]}}"#);
    assert_eq!(folder.run(&["run"], message).answered().results().len(), 1);
    let objects = "{\"a\":".repeat(100_000);
    folder.run(&["run"], objects).failed("");
}
