//! The real batches of tests/data/bfcl through all four APIs' formats, whole and streamed.

use bytes::Bytes;
use serde_json::Value;
use toolhost::wire::{self, Format, Names};
use toolhost::{ToolCall, ToolHost, ToolResult};

use crate::bfcl::{alike, batches, is_unknown_tool};
use crate::common::responses::{APIS, Around, Pieces, Style, events, receive, sse, whole};
use crate::common::{self, error, text};

/// What a call came to: its id, the name, the text, and the error's code.
type Came = (Option<String>, String, String, Option<&'static str>);

fn came(result: ToolResult) -> Came {
    let text = result.to_text();
    let code = result.outcome.err().map(|error| error.code());
    (result.id, result.name, text, code)
}

/// The calls of a batch, as OpenAI's chat has them.
fn asked(batch: &Value) -> Vec<ToolCall> {
    let response = batch["response"].to_string();
    let (format, calls) = wire::decode(response.as_bytes(), None).unwrap();
    assert_eq!(format, Format::OpenaiChat);
    calls
}

/// The calls by way of a format.
fn decoded(format: Format, calls: &[ToolCall], is_streamed: bool) -> Vec<ToolCall> {
    if !is_streamed {
        let response = whole(format, calls, Around::Response);
        let (found, calls) = wire::decode(response.as_bytes(), None).unwrap();
        assert_eq!(found, format);
        return calls;
    }
    let halves = |call: &ToolCall| {
        let middle = call.arguments.floor_char_boundary(call.arguments.len() / 2);
        let (first, second) = call.arguments.split_at(middle);
        vec![first.to_owned(), second.to_owned()]
    };
    let pieces: Vec<Pieces> = calls
        .iter()
        .map(|call| Pieces {
            call: call.clone(),
            pieces: halves(call),
        })
        .collect();
    // All calls at once.
    let events = events(format, &pieces, |count| count - 1);
    let taken = receive([Bytes::from(sse(&events, Style::PLAIN).0)], None);
    assert_eq!((taken.format, taken.error.is_none()), (Some(format), true));
    let received = taken.received.unwrap();
    assert!(received.is_complete && received.reply.cut.is_empty());
    let mut handed = taken.handed;
    handed.sort_by_key(|(position, _)| *position);
    handed.into_iter().map(|(_, call)| call).collect()
}

async fn run(host: &ToolHost, format: Format, mut calls: Vec<ToolCall>) -> Vec<ToolResult> {
    let names = Names::new(format, host.tools().map(|tool| &*tool.name));
    names.restore(&mut calls);
    host.run_all(calls).await
}

#[tokio::test]
async fn real_batches_have_equal_results_in_all_formats() {
    let host = common::host(&["bfcl"]).await;
    let mut calls = 0;
    for batch in batches() {
        let asked = asked(&batch);
        calls += asked.len();
        let results = host.run_all(asked.clone()).await;
        for (result, call) in results.iter().zip(&asked) {
            let expected = &batch["expected"][call.id.as_deref().unwrap()];
            match expected.get("value") {
                Some(value) => {
                    let found: Value = serde_json::from_str(&text(result)).unwrap();
                    assert!(alike(&found, value), "{call:?}: {found} for {value}");
                }
                None => {
                    assert_eq!(error(result).code(), "unknown-tool");
                    is_unknown_tool(&result.to_text(), &call.name);
                }
            }
        }
        let expected: Vec<Came> = results.into_iter().map(came).collect();
        for format in APIS {
            for is_streamed in [false, true] {
                let calls = decoded(format, &asked, is_streamed);
                assert_eq!(calls, asked, "{format}, streamed: {is_streamed}");
                let results = run(&host, format, calls).await.into_iter();
                let found: Vec<Came> = results.map(came).collect();
                assert_eq!(found, expected, "{format}, streamed: {is_streamed}");
            }
        }
    }
    assert_eq!(calls, 188);
}
