//! Real batches, as fixtures of aimock: through all four formats, streamed and whole, with equal results.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::aimock::Aimock;
use crate::common::{self, root};
use crate::{Seen, agent, apis, config};
use toolhost_testing::needs;

#[tokio::test(flavor = "multi_thread")]
async fn every_real_batch_ends_the_same_in_all_formats_streamed_and_whole() {
    needs!(aimock);
    let data = std::fs::read_to_string(root().join("tests/data/bfcl/exec_parallel.jsonl")).unwrap();
    let batches: Vec<Value> = data
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(batches.len(), 50);
    let mut fixtures = Vec::new();
    for batch in &batches {
        let asked = batch["response"]["choices"][0]["message"]["tool_calls"]
            .as_array()
            .unwrap();
        let calls: Vec<Value> = asked
            .iter()
            .map(|call| {
                json!({ "id": call["id"], "name": call["function"]["name"],
                    "arguments": call["function"]["arguments"] })
            })
            .collect();
        // Each question ends its own, or `batch 1` would be found in `batch 10`.
        let question = format!("{}.", batch["id"].as_str().unwrap());
        fixtures.push(
            json!({ "match": { "userMessage": question, "hasToolResult": false },
            "response": { "toolCalls": calls } }),
        );
        fixtures.push(
            json!({ "match": { "userMessage": question, "hasToolResult": true },
            "response": { "content": format!("done with {question}") } }),
        );
    }
    let aimock = Aimock::start(json!(fixtures));
    let host = common::host(&["bfcl"]).await;
    let mut calls = 0;
    for batch in &batches {
        let question = format!("{}.", batch["id"].as_str().unwrap());
        let mut first: Option<BTreeMap<String, String>> = None;
        for format in apis() {
            for stream in [true, false] {
                let mut agent = agent(&host, config(format, &aimock.url), stream);
                let mut seen = Seen::default();
                let answer = agent.ask(&question, &mut seen).await.unwrap();
                assert_eq!(answer.text, format!("done with {question}"));
                let results: BTreeMap<String, String> = seen
                    .results
                    .iter()
                    .map(|result| (result.id.clone().unwrap(), result.to_text()))
                    .collect();
                assert_eq!(results.len(), seen.results.len());
                calls += results.len();
                let expected = batch["expected"].as_object().unwrap();
                assert!(
                    results
                        .keys()
                        .eq(expected.keys().collect::<std::collections::BTreeSet<_>>())
                );
                for (id, result) in &results {
                    let is_error = result.starts_with("Error: Unknown tool ");
                    assert_eq!(
                        is_error,
                        expected[id].get("error").is_some(),
                        "{id}: {result}"
                    );
                }
                assert_eq!(
                    *first.get_or_insert_with(|| results.clone()),
                    results,
                    "{format}"
                );
            }
        }
    }
    assert_eq!(calls, 188 * 8);
}
