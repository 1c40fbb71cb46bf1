//! Real model responses: tests/data/bfcl, through the binary and through the library.

use serde_json::Value;
use toolhost::wire;

use crate::common::binary::Folder;
use crate::common::{self, error, root, text};

#[test]
fn every_real_batch_is_answered_as_expected() {
    let folder = Folder::of(&["bfcl"]);
    let (mut calls, mut errors) = (0, 0);
    for batch in batches() {
        let response = batch["response"].to_string();
        let ended = folder.run(&["run", "--full"], response).answered();
        let results = ended.results();
        let asked = batch["response"]["choices"][0]["message"]["tool_calls"]
            .as_array()
            .unwrap();
        assert_eq!(results.len(), asked.len(), "{}", batch["id"]);
        for (result, call) in results.iter().zip(asked) {
            calls += 1;
            let id = call["id"].as_str().unwrap();
            let name = call["function"]["name"].as_str().unwrap();
            assert_eq!(result["role"], "tool", "{id}");
            assert_eq!(result["tool_call_id"], id);
            assert_eq!(result["name"], name, "{id}");
            let content = result["content"].as_str().unwrap();
            let expected = &batch["expected"][id];
            match expected.get("value") {
                Some(value) => {
                    let content: Value = serde_json::from_str(content).unwrap();
                    assert!(alike(&content, value), "{id}: {content} for {value}");
                    assert_eq!(result.get("error"), None, "{id}");
                }
                None => {
                    errors += 1;
                    assert_eq!(expected["error"], "unknown-tool", "{id}");
                    assert_eq!(result["error"]["code"], "unknown-tool", "{id}");
                    is_unknown_tool(content, name);
                }
            }
        }
    }
    assert_eq!((calls, errors), (188, 87));
}

#[tokio::test]
async fn all_real_calls_side_by_side_each_get_their_own_result() {
    let host = common::host(&["bfcl"]).await;
    let mut calls = Vec::new();
    let mut expected = Vec::new();
    for batch in batches() {
        let (_, decoded) = wire::decode(batch["response"].to_string().as_bytes(), None).unwrap();
        for call in decoded {
            expected.push(batch["expected"][call.id.as_deref().unwrap()].clone());
            calls.push(call);
        }
    }
    let results = host.run_all(calls.clone()).await;
    assert_eq!((results.len(), calls.len()), (188, 188));
    for ((result, call), expected) in results.iter().zip(&calls).zip(&expected) {
        assert_eq!((&result.id, &result.name), (&call.id, &call.name));
        match expected.get("value") {
            Some(value) => {
                let text: Value = serde_json::from_str(&text(result)).unwrap();
                assert!(alike(&text, value), "{:?}: {text} for {value}", call.id);
            }
            None => {
                assert_eq!(error(result).code(), "unknown-tool");
                is_unknown_tool(&result.to_text(), &call.name);
            }
        }
    }
}

/// The batches of the data, a JSON object each.
pub fn batches() -> Vec<Value> {
    let data = std::fs::read_to_string(root().join("tests/data/bfcl/exec_parallel.jsonl")).unwrap();
    let batches: Vec<Value> = data
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(batches.len(), 50);
    batches
}

/// The sentence that a model gets, after which the host may name similar tools.
#[track_caller]
pub fn is_unknown_tool(text: &str, name: &str) {
    let rest = text.strip_prefix(&format!("Error: Unknown tool {name}"));
    assert!(
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(". ")),
        "{text}"
    );
}

/// Equal, numbers within a relative 1e-9.
pub fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}
