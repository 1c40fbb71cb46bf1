//! Whole loops with aimock, which has one set of fixtures for all four APIs.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::aimock::Aimock;
use crate::{Seen, agent, apis, config, host};
use toolhost_testing::needs;

/// An answer with so many calls, of all kinds of outcomes: they work, fail, do not exist, or are
/// asked for wrongly.
fn mixed(turn: usize, count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| {
            let (name, arguments) = match number % 5 {
                0 => ("echo", json!({ "text": format!("{turn}/{number}") })),
                1 => (
                    "calculate",
                    json!({ "expression": format!("{turn} * 100 + {number}") }),
                ),
                // Never twice the same: that would be noted.
                2 => ("no_such_tool", json!({ "n": turn * 100 + number })),
                3 => ("fail", json!({ "message": format!("not {turn}/{number}") })),
                _ => ("echo", json!({ "wrong": turn * 100 + number })),
            };
            json!({ "id": format!("call_{turn}_{number}"), "name": name, "arguments": arguments })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_with_1_2_5_and_20_calls_end_in_all_formats() {
    needs!(aimock);
    let mut fixtures = Vec::new();
    for count in [1, 2, 5, 20] {
        let question = format!("{count} calls");
        // Each turn is known by the result that comes last.
        let after = |turn: usize| match turn {
            0 => json!({ "userMessage": question, "hasToolResult": false }),
            _ => {
                let last = format!("call_{}_{}", turn - 1, count - 1);
                json!({ "userMessage": question, "toolCallId": last })
            }
        };
        for turn in 0..3 {
            fixtures.push(json!({
                "match": after(turn),
                "response": { "content": "Let me see.", "toolCalls": mixed(turn, count) },
            }));
        }
        fixtures.push(json!({
            "match": after(3),
            "response": { "content": format!("Done with {count}: naïve ✓") },
        }));
    }
    let aimock = Aimock::start(json!(fixtures));
    let host = host().await;
    let mut asked = HashSet::new();
    for format in apis() {
        for stream in [true, false] {
            for count in [1, 2, 5, 20] {
                let mut agent = agent(&host, config(format, &aimock.url), stream);
                let mut seen = Seen::default();
                let answer = agent
                    .ask(&format!("{count} calls"), &mut seen)
                    .await
                    .unwrap();
                assert_eq!(answer.text, format!("Done with {count}: naïve ✓"));
                assert_eq!((seen.turns, seen.results.len()), (4, 3 * count), "{format}");
                let summary = agent.summary();
                assert_eq!((summary.turns, summary.calls), (4, 3 * count));
                for turn in 0..3 {
                    for call in mixed(turn, count) {
                        let id = call["id"].as_str().unwrap().to_owned();
                        let found =
                            |result: &&toolhost::ToolResult| result.id.as_deref() == Some(&id);
                        let result = seen.results.iter().find(found).unwrap();
                        assert_eq!(result.to_text(), expected(&call), "{format} {id}");
                        asked.insert(id);
                    }
                }
            }
        }
    }
    every_result_was_asked_for(&aimock, &asked);
}

fn expected(call: &Value) -> String {
    let arguments = &call["arguments"];
    match call["name"].as_str().unwrap() {
        "echo" if arguments.get("text").is_some() => arguments["text"].as_str().unwrap().to_owned(),
        "echo" => {
            "Error: echo failed - invalid arguments: \"text\" is a required property".to_owned()
        }
        "calculate" => {
            let expression = arguments["expression"].as_str().unwrap();
            let (turn, number) = expression.split_once(" * 100 + ").unwrap();
            let (turn, number): (u32, u32) = (turn.parse().unwrap(), number.parse().unwrap());
            (turn * 100 + number).to_string()
        }
        "fail" => format!(
            "Error: fail failed - {}",
            arguments["message"].as_str().unwrap()
        ),
        name => format!("Error: Unknown tool {name}"),
    }
}

/// aimock takes any id for that of a call, so its journal is held against what was asked: each result
/// answers a call of the same conversation, each call has one result, and its text is the call's.
fn every_result_was_asked_for(aimock: &Aimock, asked: &HashSet<String>) {
    let journal = aimock.journal();
    assert_eq!(journal.len(), 4 * 2 * 4 * 4);
    let mut answered = 0;
    for entry in &journal {
        assert_eq!(entry["response"]["status"], 200, "{entry}");
        let messages = entry["body"]["messages"].as_array().unwrap();
        let mut open: Vec<(String, Value)> = Vec::new();
        let mut before = "";
        for message in messages {
            match message["role"].as_str().unwrap() {
                // Of Responses, each item is a message by itself.
                "assistant" => {
                    assert!(before != "tool" || open.is_empty(), "no result of {open:?}");
                    for call in message["tool_calls"].as_array().into_iter().flatten() {
                        let id = call["id"].as_str().unwrap().to_owned();
                        assert!(asked.contains(&id), "{id} was never asked");
                        let arguments = call["function"]["arguments"].as_str().unwrap();
                        let arguments: Value = serde_json::from_str(arguments).unwrap();
                        let call =
                            json!({ "name": call["function"]["name"], "arguments": arguments });
                        open.push((id, call));
                    }
                }
                "tool" => {
                    let id = message["tool_call_id"].as_str().unwrap();
                    let place = open.iter().position(|(call, _)| call == id);
                    let place = place.unwrap_or_else(|| panic!("{id} answers no call: {entry}"));
                    let (_, call) = open.remove(place);
                    let content = message["content"].as_str().unwrap();
                    // Gemini's are objects, which aimock keeps as text.
                    let wrapped: Option<Value> = serde_json::from_str(content).ok();
                    let unwrapped = wrapped.as_ref().and_then(|content| {
                        content.get("output").or(content.get("error"))?.as_str()
                    });
                    assert_eq!(unwrapped.unwrap_or(content), expected(&call));
                    answered += 1;
                }
                _ => {}
            }
            before = message["role"].as_str().unwrap();
        }
        assert!(open.is_empty(), "no result of {open:?}");
    }
    // After the turns 1, 2 and 3 there were one, two and three times as many.
    assert_eq!(answered, 4 * 2 * (1 + 2 + 5 + 20) * (1 + 2 + 3));
}

#[tokio::test]
async fn malformed_arguments_are_answered_and_the_loop_goes_on() {
    needs!(aimock);
    let aimock = Aimock::start(json!([
        { "match": { "userMessage": "broken", "hasToolResult": false },
          "response": { "toolCalls": [
            { "id": "a", "name": "echo", "arguments": "{\"text\": \"cut o" },
            { "id": "b", "name": "echo", "arguments": "[1]" },
            { "id": "c", "name": "echo", "arguments": { "text": "fine" } } ] } },
        { "match": { "userMessage": "broken", "hasToolResult": true },
          "response": { "content": "so it goes" } },
    ]));
    let host = host().await;
    for format in apis() {
        for stream in [true, false] {
            let mut agent = agent(&host, config(format, &aimock.url), stream);
            let mut seen = Seen::default();
            let answer = agent.ask("broken", &mut seen).await.unwrap();
            assert_eq!(answer.text, "so it goes", "{format}");
            seen.results.sort_by(|a, b| a.id.cmp(&b.id));
            let codes: Vec<&str> = seen
                .results
                .iter()
                .map(|result| {
                    result
                        .outcome
                        .as_ref()
                        .err()
                        .map_or("ok", |error| error.code())
                })
                .collect();
            assert_eq!(
                codes,
                ["invalid-arguments", "invalid-arguments", "ok"],
                "{format}"
            );
        }
    }
}

#[tokio::test]
async fn who_never_stops_calling_is_stopped_after_max_iterations() {
    needs!(aimock);
    let aimock = Aimock::start(json!([
        { "match": {}, "response": { "toolCalls": [
            { "id": "again", "name": "echo", "arguments": { "text": "again" } }] } },
    ]));
    let host = host().await;
    for format in apis() {
        let mut config = config(format, &aimock.url);
        config.max_iterations = 3;
        let mut agent = agent(&host, config, true);
        let mut seen = Seen::default();
        let error = agent.ask("again", &mut seen).await.unwrap_err();
        assert_eq!(error.to_string(), "Agent exceeded maximum iterations");
        assert_eq!((seen.turns, seen.results.len()), (3, 3));
    }
}

#[tokio::test]
async fn a_conversation_goes_on_with_all_that_was_said() {
    needs!(aimock);
    let aimock = Aimock::start(json!([
        { "match": { "userMessage": "first", "hasToolResult": false }, "response": { "toolCalls": [
            { "id": "a", "name": "echo", "arguments": { "text": "hi" } }] } },
        { "match": { "userMessage": "first" }, "response": { "content": "one" } },
        { "match": { "userMessage": "second", "turnIndex": 2 }, "response": { "content": "two" } },
    ]));
    let host = host().await;
    for format in apis() {
        let mut agent = agent(&host, config(format, &aimock.url), true);
        assert_eq!(
            agent.ask("first", &mut Seen::default()).await.unwrap().text,
            "one"
        );
        let mut seen = Seen {
            turns: 2,
            ..Seen::default()
        };
        assert_eq!(agent.ask("second", &mut seen).await.unwrap().text, "two");
        assert_eq!(seen.text, "two");
    }
}
