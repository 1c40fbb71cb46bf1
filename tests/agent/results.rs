//! What the model gets to see of results: long ones compacted, and read on; failures that repeat.

use serde_json::json;
use toolhost::Manifest;
use toolhost::agent::Agent;
use toolhost::wire::Format;

use crate::common::{self, plugin};
use crate::peer::{Peer, Say, calls, text};
use crate::{Seen, agent, apis, config, host};

/// The texts of a chat's tool messages in the last request.
fn tool_texts(peer: &Peer) -> Vec<String> {
    let asked = peer.asked();
    let messages = asked.last().unwrap().body["messages"]
        .as_array()
        .unwrap()
        .clone();
    let tools = messages.iter().filter(|message| message["role"] == "tool");
    tools
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_long_result_is_compacted_and_can_be_read_to_its_end() {
    let long: String = (0..1000)
        .map(|number| format!("line {number} é\n"))
        .collect();
    let total = long.chars().count();
    let read = |arguments| ("r", "read_result", arguments);
    let chat = Format::OpenaiChat;
    let peer = Peer::start(vec![
        calls(chat, &[("a", "echo", json!({ "text": long }))]),
        calls(
            chat,
            &[
                read(json!({ "id": "r1" })),
                read(json!({ "id": "r1", "offset": 500, "limit": 20 })),
                read(json!({ "id": "r1", "offset": total - 10, "limit": 1_000_000 })),
                read(json!({ "id": "r1", "offset": 1e12 })),
                read(json!({ "id": "r2" })),
                read(json!({ "id": "r1", "offset": -1 })),
                read(json!({})),
            ],
        ),
        text(chat, "done"),
    ]);
    let mut config = config(chat, &peer.url);
    config.max_result_chars = 400;
    let mut agent = agent(&host().await, config, false);
    let mut seen = Seen::default();
    agent.ask("?", &mut seen).await.unwrap();
    let texts = tool_texts(&peer);
    let [
        compacted,
        first,
        middle,
        last,
        beyond,
        unknown,
        negative,
        nothing,
    ] = &texts[..]
    else {
        panic!("{texts:?}")
    };
    assert!(
        compacted.starts_with("Results from echo:\nline 0 é\n"),
        "{compacted}"
    );
    assert!(
        compacted.ends_with(&format!(
            "\n[compacted: the whole result has {total} characters; read_result with the id \"r1\" reads it from any offset]"
        )),
        "{compacted}"
    );
    assert!(compacted.chars().count() < 600, "{compacted}");
    let part =
        |from: usize, count: usize| -> String { long.chars().skip(from).take(count).collect() };
    assert_eq!(
        *first,
        format!("{}\n[characters 0 to 400 of {total}]", part(0, 400))
    );
    assert_eq!(
        *middle,
        format!("{}\n[characters 500 to 520 of {total}]", part(500, 20))
    );
    let end = total - 10;
    assert_eq!(
        *last,
        format!(
            "{}\n[characters {end} to {total}: the end of the result]",
            part(end, 10)
        )
    );
    assert_eq!(
        *beyond,
        format!("\n[characters {total} to {total}: the end of the result]")
    );
    assert_eq!(
        *unknown,
        "Error: read_result failed - invalid arguments: /id: no result has the id \"r2\"; there are r1"
    );
    assert!(
        negative.contains("invalid arguments: /offset"),
        "{negative}"
    );
    assert!(
        nothing.contains("\"id\" is a required property"),
        "{nothing}"
    );
    // Whoever looks on sees the result whole.
    assert_eq!(seen.results[0].to_text(), long);
}

#[tokio::test]
async fn a_short_result_is_as_the_tool_gave_it() {
    let peer = Peer::start(vec![
        calls(
            Format::OpenaiChat,
            &[("a", "echo", json!({ "text": "x".repeat(400) }))],
        ),
        text(Format::OpenaiChat, "done"),
    ]);
    let mut config = config(Format::OpenaiChat, &peer.url);
    config.max_result_chars = 400;
    let mut agent = agent(&host().await, config, false);
    agent.ask("?", &mut Seen::default()).await.unwrap();
    assert_eq!(tool_texts(&peer), ["x".repeat(400)]);
}

#[tokio::test]
async fn items_that_are_long_by_themselves_do_not_fill_the_context() {
    let items = json!(["y".repeat(5000), "z".repeat(5000)]).to_string();
    let peer = Peer::start(vec![
        calls(
            Format::OpenaiChat,
            &[("a", "echo", json!({ "text": items }))],
        ),
        text(Format::OpenaiChat, "done"),
    ]);
    let mut config = config(Format::OpenaiChat, &peer.url);
    config.max_result_chars = 1000;
    let mut agent = agent(&host().await, config, false);
    agent.ask("?", &mut Seen::default()).await.unwrap();
    let text = &tool_texts(&peer)[0];
    assert!(
        text.starts_with("Results from echo:\nFound 2 items."),
        "{text}"
    );
    assert!(text.chars().count() < 1200, "{}", text.chars().count());
}

#[tokio::test]
async fn a_call_that_fails_three_times_is_answered_with_a_word_on_it() {
    const NOTE: &str = "has now failed";
    for format in apis() {
        let failing = |text: &str| calls(format, &[("a", "fail", json!({ "message": text }))]);
        let peer = Peer::start(vec![
            failing("same"),
            // Another in between changes nothing.
            failing("other"),
            failing("same"),
            calls(
                format,
                &[
                    ("b", "fail", json!({ "message": "same" })),
                    ("c", "echo", json!({ "text": "hi" })),
                ],
            ),
            failing("same"),
            text(format, "done"),
        ]);
        let mut agent = agent(&host().await, config(format, &peer.url), false);
        agent.ask("?", &mut Seen::default()).await.unwrap();
        let asked = peer.asked();
        let notes: Vec<usize> = asked
            .iter()
            .map(|asked| asked.text.matches(NOTE).count())
            .collect();
        assert_eq!(notes, [0, 0, 0, 0, 1, 2], "{format}");
        assert!(
            asked[4].text.contains("has now failed 3 times"),
            "{}",
            asked[4].text
        );
        assert!(
            asked[5].text.contains("has now failed 4 times"),
            "{}",
            asked[5].text
        );
    }
}

#[tokio::test]
async fn the_media_of_a_result_reach_the_model_in_its_apis_own_form() {
    let host = host().await;
    for format in apis() {
        let peer = Peer::start(vec![
            calls(format, &[("a", "media", json!({}))]),
            text(format, "done"),
        ]);
        let mut agent = agent(&host, config(format, &peer.url), false);
        agent.ask("?", &mut Seen::default()).await.unwrap();
        let sent = &peer.asked()[1].text;
        let image = match format {
            Format::OpenaiChat => "[image: image/png, ",
            Format::OpenaiResponses => {
                r#""type":"input_image","image_url":"data:image/png;base64,"#
            }
            Format::Anthropic => {
                r#""type":"image","source":{"type":"base64","media_type":"image/png""#
            }
            _ => r#""parts":[{"inlineData":{"mimeType":"image/png","data":""#,
        };
        assert!(sent.contains(image), "{format}: {sent}");
        assert!(sent.contains("[audio: audio/"), "{format}: {sent}");
    }
}

#[tokio::test]
async fn a_plugin_cannot_take_the_place_of_the_agents_own_tool() {
    let mut own = plugin("echo");
    own.prefix = "read_".to_owned();
    let mut manifest: Manifest = common::manifest([own]);
    let host = common::load(manifest.clone()).await;
    // `read_echo` is another name; only the very same is in the way.
    assert!(Agent::new(host, config(Format::Anthropic, "http://127.0.0.1:9")).is_ok());
    manifest.plugins.clear();
    let host = common::load(manifest).await;
    let peer = Peer::start(vec![text(Format::Anthropic, "no tools, no matter")]);
    let mut agent = agent(&host, config(Format::Anthropic, &peer.url), false);
    agent.ask("?", &mut Seen::default()).await.unwrap();
    // Without tools there is nothing to read on in.
    assert_eq!(peer.asked()[0].body.get("tools"), None);
}

#[tokio::test]
async fn an_answer_without_a_word_is_an_error_that_says_why() {
    let host = host().await;
    let body = json!({ "candidates": [{ "finishReason": "MALFORMED_FUNCTION_CALL" }] });
    let blocked = json!({ "promptFeedback": { "blockReason": "SAFETY" } });
    for (body, why) in [(body, "MALFORMED_FUNCTION_CALL"), (blocked, "SAFETY")] {
        let peer = Peer::start(vec![Say::Whole(200, "", body.to_string())]);
        let mut agent = agent(&host, config(Format::Gemini, &peer.url), false);
        let error = agent.ask("?", &mut Seen::default()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the model returned an empty answer: {why}")
        );
    }
}
