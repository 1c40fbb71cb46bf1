//! `json`: jq programs on documents.

use serde_json::{Value, json};
use toolhost::{ToolCall, ToolResult};

use super::{assert_error, hasty, texts};
use crate::common::{self, call, load, manifest, plugin, text};

async fn answer(arguments: Value) -> ToolResult {
    let host = common::host(&["json"]).await;
    host.call(call("json_query", arguments)).await
}

#[tokio::test]
async fn each_result_is_a_line_of_compact_json() {
    let items = json!({"items": [
        {"name": "a", "price": 5}, {"name": "b", "price": 20}, {"name": "c", "price": 1.5},
    ]});
    for (document, program, lines) in [
        (json!("[3,1,2]"), "sort, length", "[1,2,3]\n3"),
        (json!([3, 1, 2]), "sort, length", "[1,2,3]\n3"),
        (
            items,
            "(.items[] | select(.price < 10) | .name), ([.items[].price] | add)",
            "\"a\"\n\"c\"\n26.5",
        ),
        (json!("1\n2"), ". + 1", "2\n3"),
        (json!(null), ".", "null"),
        (json!([]), ".[]", "No results."),
    ] {
        let result = answer(json!({"document": document, "program": program})).await;
        assert_eq!(text(&result), lines, "{program}");
    }
}

#[tokio::test]
async fn numbers_and_the_order_of_keys_are_kept() {
    let host = common::host(&["json"]).await;
    let document = r#"{"b":12345678901234567890123,"a":1.10}"#;
    let arguments = format!(r#"{{"document":{document},"program":"."}}"#);
    let result = host.call(ToolCall::new("1", "json_query", arguments)).await;
    assert_eq!(text(&result), document);
}

#[tokio::test]
async fn raw_strings_have_no_quotes() {
    let document = json!(["x \"y\"", 1]);
    let query = |raw| json!({"document": document, "program": ".[]", "raw": raw});
    assert_eq!(text(&answer(query(true)).await), "x \"y\"\n1");
    assert_eq!(text(&answer(query(false)).await), "\"x \\\"y\\\"\"\n1");
}

#[tokio::test]
async fn more_results_than_the_limit_are_cut_with_a_note() {
    let query =
        |program: &str, limit| json!({"document": [1, 2, 3], "program": program, "limit": limit});
    let result = answer(query(".[]", 2)).await;
    let note = "Stopped after 2 results (`limit`): there are more.";
    assert_eq!(texts(&result), ["1\n2", note]);
    assert_eq!(texts(&answer(query(".[]", 3)).await), ["1\n2\n3"]);
    let result = answer(query("repeat(0)", 3)).await;
    assert_eq!(texts(&result)[0], "0\n0\n0");
    let result = answer(query("(\"a\" * 150000), (\"b\" * 150000)", 9)).await;
    assert_eq!(texts(&result)[0].len(), 150_002);
    assert!(texts(&result)[1].starts_with("Stopped after 1 results"));
    assert_error(&answer(query(".", 0)).await, "invalid-arguments", "/limit");
}

#[tokio::test]
async fn a_wrong_program_or_document_is_an_invalid_argument() {
    for (document, program, words) in [
        (json!(1), ". | ", "expected term at the end"),
        (json!(1), "1 2", "column 3"),
        (json!(1), "foo(1) +\n$x", "`foo` is not defined, at line 1"),
        (json!(1), "$ENV", "not defined"),
        (json!(1), "import \"a\" as a; 1", "cannot load"),
        (json!("{\"a\":"), ".", "byte offset 5"),
        (json!("text"), "1", "a string that is not JSON"),
        (json!("[".repeat(100_000)), ".", "nested"),
        (json!(1), &"[".repeat(10_000), "nested"),
    ] {
        let result = answer(json!({"document": document, "program": program})).await;
        assert_error(&result, "invalid-arguments", words);
    }
    let result = answer(json!({"document": 1})).await;
    assert_error(&result, "invalid-arguments", "program");
}

#[tokio::test]
async fn a_program_that_fails_on_its_document_fails_in_jqs_words() {
    for (program, words) in [
        (".a", "cannot index [1] with \"a\""),
        ("error(\"no such order\")", "no such order"),
        ("1, 2, error(\"x\")", "results before it: 2"),
    ] {
        let result = answer(json!({"document": [1], "program": program})).await;
        assert_error(&result, "failed", words);
    }
}

#[tokio::test]
async fn an_endless_program_meets_a_bound_and_its_siblings_answer() {
    let host = load(manifest([plugin("json"), hasty("json")])).await;
    let programs = [
        ("json_query", "1 + 1", "ok"),
        ("hasty_json_query", "last(repeat(.))", "timeout"),
        ("hasty_json_query", "def f: f; f", "timeout"),
        ("json_query", "[range(infinite)]", "limit"),
        ("json_query", "def f: 1 + f; f", "trap"),
        ("json_query", "2 + 2", "ok"),
    ];
    let calls =
        programs.map(|(tool, program, _)| call(tool, json!({"document": 0, "program": program})));
    for (result, (_, program, code)) in host.run_all(calls).await.iter().zip(programs) {
        let ended = result
            .outcome
            .as_ref()
            .map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(ended, code, "{program}");
    }
}
