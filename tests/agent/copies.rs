//! What the agent makes of answers whose calls come twice, or that only look whole.

use serde_json::{Value, json};
use toolhost::wire::Format;

use crate::peer::{Peer, Say, calls_body, text};
use crate::{Seen, agent, apis, config, host};

/// An answer as a stream, of which each call comes at once.
fn streamed(format: Format, answer: &Value) -> Say {
    let events = crate::common::forms::streamed(format, answer).expect("an answer");
    Say::Events(
        events
            .iter()
            .map(|data| format!("data: {data}\n\n"))
            .collect(),
    )
}

#[tokio::test]
async fn a_second_copy_of_a_call_is_run_answered_and_sent_back_once() {
    let host = host().await;
    for format in apis() {
        let call = ("call-a", "echo", json!({ "text": "x" }));
        let other = ("call-b", "echo", json!({ "text": "y" }));
        let mut answer = calls_body(format, &[call.clone(), call, other]);
        if format == Format::Gemini {
            // Its calls have ids here.
            for (part, id) in [(0, "call-a"), (1, "call-a"), (2, "call-b")] {
                let parts = &mut answer["candidates"][0]["content"]["parts"];
                parts[part]["functionCall"]["id"] = json!(id);
            }
        }
        let whole = Say::Whole(200, "", answer.to_string());
        for (say, stream) in [(whole, false), (streamed(format, &answer), true)] {
            let peer = Peer::start(vec![say, text(format, "done")]);
            let mut agent = agent(&host, config(format, &peer.url), stream);
            let mut seen = Seen::default();
            agent.ask("?", &mut seen).await.unwrap();
            assert_eq!(seen.results.len(), 2, "{format} {stream}");
            // A call and its result for each id.
            let sent = &peer.asked()[1].text;
            for id in ["call-a", "call-b"] {
                let count = sent.matches(&format!("\"{id}\"")).count();
                assert_eq!(count, 2, "{format} {stream}: {sent}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_ended_in_an_error_is_asked_for_again() {
    let host = host().await;
    let format = Format::OpenaiChat;
    let mut answer = calls_body(format, &[("a", "echo", json!({ "text": "x" }))]);
    answer["choices"][0]["finish_reason"] = json!("error");
    let whole = Say::Whole(200, "", answer.to_string());
    for (say, stream) in [(whole, false), (streamed(format, &answer), true)] {
        let peer = Peer::start(vec![say, text(format, "done")]);
        let mut agent = agent(&host, config(format, &peer.url), stream);
        let mut seen = Seen::default();
        let answer = agent.ask("?", &mut seen).await.unwrap();
        assert_eq!(answer.text, "done");
        assert_eq!(seen.retries.len(), 1, "{stream}");
        assert!(
            seen.retries[0].contains("`finish_reason` `error`"),
            "{:?}",
            seen.retries
        );
        assert_eq!(peer.asked()[0].text, peer.asked()[1].text);
    }
}

#[tokio::test]
async fn an_unknown_call_beside_a_known_one_is_answered_with_an_error() {
    let host = host().await;
    let format = Format::Anthropic;
    let mut answer = calls_body(format, &[("a", "echo", json!({ "text": "x" }))]);
    let unknown = json!({ "type": "new_tool_use", "id": "u", "name": "new", "input": {} });
    answer["content"].as_array_mut().unwrap().push(unknown);
    let whole = Say::Whole(200, "", answer.to_string());
    for (say, stream) in [(whole, false), (streamed(format, &answer), true)] {
        let peer = Peer::start(vec![say, text(format, "done")]);
        let mut agent = agent(&host, config(format, &peer.url), stream);
        agent.ask("?", &mut Seen::default()).await.unwrap();
        let messages = &peer.asked()[1].body["messages"];
        let results = messages[2]["content"].as_array().unwrap();
        assert_eq!(results.len(), 2, "{messages}");
        assert_eq!(results[1]["tool_use_id"], "u");
        assert_eq!(results[1]["is_error"], true);
    }
}

/// A server that does not stream, behind something that says it does.
#[tokio::test]
async fn a_whole_answer_that_is_called_a_stream_is_read() {
    let host = host().await;
    for format in apis() {
        let answer = calls_body(format, &[("a", "echo", json!({ "text": "x" }))]);
        let whole = Say::Events(vec![answer.to_string()]);
        let peer = Peer::start(vec![whole, text(format, "done")]);
        let mut agent = agent(&host, config(format, &peer.url), true);
        let mut seen = Seen::default();
        let answer = agent.ask("?", &mut seen).await;
        answer.unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(seen.results.len(), 1, "{format}");
    }
}

#[tokio::test]
async fn an_error_with_a_broken_byte_is_told() {
    let host = host().await;
    let peer = Peer::start(vec![Say::Broken(
        400,
        b"{\"error\":{\"message\":\"no \xff model\"}}".to_vec(),
    )]);
    let mut agent = agent(&host, config(Format::OpenaiChat, &peer.url), true);
    let error = agent.ask("?", &mut Seen::default()).await.unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("answered 400: no ") && error.contains(" model"),
        "{error}"
    );
}
