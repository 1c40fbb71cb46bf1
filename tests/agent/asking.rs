//! Tools that ask, while a model calls them.

use serde_json::json;

use crate::common;
use crate::peer::{Peer, calls, text};
use crate::{Seen, agent, apis, config};

#[tokio::test]
async fn what_a_tool_asks_of_a_model_the_agents_own_answers() {
    let host = common::host(&["conformance"]).await;
    for format in apis() {
        let question = json!({ "prompt": "What is the capital of France?" });
        let peer = Peer::start(vec![
            calls(format, &[("a", "test_sampling", question)]),
            text(format, "Paris, says the model"),
            text(format, "done"),
        ]);
        let mut agent = agent(&host, config(format, &peer.url), false);
        let mut seen = Seen::default();
        let answer = agent.ask("?", &mut seen).await.unwrap();
        assert_eq!(answer.text, "done");
        let result = seen.results[0].to_text();
        assert!(
            result.contains("Paris, says the model"),
            "{format}: {result}"
        );
        let asked = peer.asked();
        assert_eq!(asked.len(), 3);
        let sampling = asked[1].body.to_string();
        assert!(
            sampling.contains("capital of France"),
            "{format}: {sampling}"
        );
        // It is asked for words, and for nothing that the conversation had.
        assert!(!sampling.contains("test_sampling"), "{format}: {sampling}");
    }
}

#[tokio::test]
async fn what_a_tool_asks_of_people_fails_where_there_are_none() {
    let format = apis()[0];
    let host = common::host(&["conformance"]).await;
    let peer = Peer::start(vec![
        calls(format, &[("a", "ask_twice", json!({}))]),
        text(format, "done"),
    ]);
    let mut agent = agent(&host, config(format, &peer.url), false);
    let mut seen = Seen::default();
    agent.ask("?", &mut seen).await.unwrap();
    let result = seen.results[0].to_text();
    assert!(
        result.starts_with("Error: ask_twice failed - nobody"),
        "{result}"
    );
}
