//! `multi_tool_use.parallel`: several calls in one, run side by side and answered as one.

use bytesize::ByteSize;
use serde_json::{Value, json};
use toolhost::manifest::AuditConfig;
use toolhost::wire::Format;
use toolhost::{CallError, ToolCall};
use toolhost_testing::Gate;

use crate::common::binary::{Folder, listed};
use crate::common::responses::{APIS, Around, Pieces, Style, events, sse, whole};
use crate::common::{self, echo, error, load, manifest, text};

const NAME: &str = "multi_tool_use.parallel";

/// The call of these tools.
fn parallel(uses: &[(&str, Value)]) -> ToolCall {
    let uses = uses.iter();
    let uses =
        uses.map(|(name, parameters)| json!({ "recipient_name": name, "parameters": parameters }));
    let arguments = json!({ "tool_uses": uses.collect::<Vec<_>>() });
    ToolCall::new("c1", NAME, arguments.to_string())
}

fn two() -> ToolCall {
    parallel(&[
        ("functions.calculate", json!({ "expression": "1+1" })),
        ("functions.calculate", json!({ "expression": "2+2" })),
    ])
}

#[test]
fn each_format_gets_one_answer_with_both_results_whole_or_streamed() {
    let folder = Folder::of(&["calculator"]);
    for format in APIS {
        let response = whole(format, &[two()], Around::Response);
        let call = two();
        let pieces = Pieces {
            pieces: vec![call.arguments.clone()],
            call,
        };
        let (stream, _) = sse(&events(format, &[pieces], |_| 0), Style::PLAIN);
        for (arguments, input) in [
            (vec!["run"], response.into_bytes()),
            (vec!["run", "--sse"], stream),
        ] {
            let ended = folder.run(&arguments, input).answered();
            let answers: Value = ended.json();
            let printed = answers.to_string();
            assert!(
                printed.contains("Result 1 of 2, functions.calculate:"),
                "{format}: {printed}"
            );
            for result in ["\\n2", "\\n4"] {
                assert_eq!(printed.matches(result).count(), 1, "{format}: {printed}");
            }
            let id = match format {
                Format::OpenaiChat => &answers[0]["tool_call_id"],
                Format::OpenaiResponses => &answers[0]["call_id"],
                Format::Anthropic => &answers[0]["content"][0]["tool_use_id"],
                _ => &answers[0]["parts"][0]["functionResponse"]["id"],
            };
            assert_eq!(id, "c1", "{format}: {printed}");
            assert_eq!(answers.as_array().unwrap().len(), 1, "{format}: {printed}");
        }
    }
}

#[tokio::test]
async fn each_of_them_has_its_result_or_its_error_inside() {
    let host = common::host(&["calculator", "misbehave"]).await;
    let calls = parallel(&[
        ("functions.calculate", json!({ "expression": 42 })),
        ("trap", json!({})),
        ("functions.no_such_tool", json!({})),
        (NAME, json!({ "tool_uses": [] })),
        ("optional", json!("{\"count\":\"5\"}")),
        ("structured", json!({ "value": "7" })),
        ("media", json!({})),
    ]);
    let result = host.call(calls).await;
    assert_eq!((result.id.as_deref(), &*result.name), (Some("c1"), NAME));
    let output = result.outcome.as_ref().unwrap();
    let structured: Value =
        serde_json::from_str(output.structured.as_ref().unwrap().get()).unwrap();
    let inside = structured["results"].as_array().unwrap();
    assert_eq!(inside[0]["content"], "42");
    assert_eq!(inside[4]["content"], r#"{"count":5}"#);
    assert_eq!(inside[5]["structured"], "7");
    let codes: Vec<&Value> = inside
        .iter()
        .map(|inside| &inside["error"]["code"])
        .collect();
    let no = &Value::Null;
    let [trap, unknown] = [json!("trap"), json!("unknown-tool")];
    // One inside of one is none.
    assert_eq!(codes, [no, &trap, &unknown, &unknown, no, no, no]);
    let said = result.to_text();
    assert!(
        said.contains("Result 3 of 7, functions.no_such_tool:\nError: Unknown tool"),
        "{said}"
    );
    assert!(
        output
            .content
            .iter()
            .any(|piece| matches!(piece, toolhost::Content::Image(_)))
    );
    let paths: Vec<&str> = result.repairs.iter().map(|repair| &*repair.path).collect();
    assert_eq!(
        paths,
        [
            "/tool_uses/0/parameters/expression",
            "/tool_uses/4/parameters",
            "/tool_uses/4/parameters/count",
        ]
    );
}

#[tokio::test]
async fn it_is_an_error_only_if_all_of_them_are() {
    let host = common::host(&["misbehave"]).await;
    let both = host
        .call(parallel(&[("trap", json!({})), ("fail", json!({}))]))
        .await;
    assert_eq!(error(&both).code(), "failed");
    let said = both.to_text();
    assert!(
        said.contains("Error: trap failed") && said.contains("Error: fail failed"),
        "{said}"
    );
    let one = host
        .call(parallel(&[("trap", json!({})), ("optional", json!({}))]))
        .await;
    assert!(one.outcome.is_ok());
}

#[tokio::test]
async fn they_run_side_by_side_each_with_a_line_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let gate = Gate::new();
    let mut manifest = manifest([gate.plugin()]);
    manifest.audit = Some(AuditConfig::new(&path));
    let host = load(manifest).await;
    let hold = ("functions.hold", gate.arguments());
    // The gate opens when both are there.
    let calls = host.run_all([parallel(&[hold.clone(), hold])]);
    let result = gate.pass(2, calls).await.remove(0);
    assert!(result.outcome.is_ok(), "{result:?}");
    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut ids: Vec<&str> = lines
        .iter()
        .map(|line| line["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["c1.0", "c1.1"]);
    assert!(lines.iter().all(|line| line["tool"] == "hold"), "{lines:?}");
}

#[tokio::test]
async fn they_stay_in_their_place_in_a_batch_and_are_cancelled_with_it() {
    let host = common::host(&["calculator", "echo", "misbehave"]).await;
    let results = host.run_all([echo("a", "x"), two(), echo("b", "y")]).await;
    let ids: Vec<_> = results.iter().map(|result| result.id.as_deref()).collect();
    assert_eq!(ids, [Some("a"), Some("c1"), Some("b")]);
    let spin = ("spin", json!({}));
    let mut batch = host.open_batch();
    batch.add(0, parallel(&[spin.clone(), spin]));
    batch.cancel();
    let (_, result) = batch.next().await.unwrap();
    assert_eq!(error(&result), &CallError::Cancelled);
}

#[tokio::test]
async fn what_is_malformed_says_what_is_expected() {
    let host = common::host(&["calculator"]).await;
    let calculate = json!({ "recipient_name": "calculate", "parameters": { "expression": "1" } });
    let many = vec![calculate.clone(); 65];
    for (arguments, pointer) in [
        (json!({}), ""),
        (json!([calculate]), ""),
        (json!({ "tool_uses": [] }), "/tool_uses"),
        (json!({ "tool_uses": many }), "/tool_uses"),
        (
            json!({ "tool_uses": [{ "parameters": {} }] }),
            "/tool_uses/0",
        ),
        (
            json!({ "tool_uses": [calculate, { "recipient_name": "calculate", "arguments": {} }] }),
            "/tool_uses/1",
        ),
        (json!({ "tool_uses": "calculate" }), "/tool_uses"),
    ] {
        let result = host
            .call(ToolCall::new("c1", NAME, arguments.to_string()))
            .await;
        let CallError::InvalidArguments { problems } = error(&result) else {
            panic!("{arguments}: {result:?}");
        };
        assert_eq!(problems[0].pointer, pointer, "{arguments}");
        assert!(
            problems[0]
                .message
                .contains("expected {\"tool_uses\": [{\"recipient_name\": NAME"),
            "{problems:?}"
        );
    }
    // As text it is meant in one way only.
    let uses = json!([calculate]).to_string();
    let result = host
        .call(ToolCall::new(
            "c1",
            "parallel",
            json!({ "tool_uses": uses }).to_string(),
        ))
        .await;
    assert!(text(&result).ends_with("\n1"), "{result:?}");
    assert_eq!(result.repairs[0].path, "/tool_uses");
}

#[test]
fn a_dry_run_shows_the_calls_inside() {
    let folder = Folder::with(format!("{}{}", listed("calculator"), listed("echo")));
    let calls = parallel(&[
        ("functions.calculate", json!({ "expression": 1 })),
        ("nothing", json!({})),
    ]);
    let response = whole(Format::OpenaiChat, &[calls], Around::Response);
    let planned = folder
        .run(&["run", "--dry-run"], response)
        .answered()
        .json();
    assert_eq!(planned[0]["id"], "c1.0");
    assert_eq!(planned[0]["plugin"], "calculator");
    assert_eq!(planned[1]["error"]["code"], "unknown-tool");
}

#[tokio::test]
async fn what_their_outputs_take_together_is_bounded() {
    let mut plugin = common::plugin("misbehave");
    plugin.limits.max_output = ByteSize::mib(9);
    let host = load(manifest([plugin])).await;
    let uses: Vec<_> = (0..10)
        .map(|_| ("huge_output", json!({ "bytes": 9_000_000 })))
        .collect();
    let text = host.call(parallel(&uses)).await.to_text();
    assert!(text.len() > 7 * 9_000_000 && text.len() < 64 << 20);
    assert_eq!(text.matches("output size").count(), 3);
}
