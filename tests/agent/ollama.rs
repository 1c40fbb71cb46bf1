//! Ollama as a provider; and what an answer has for the next request.

use serde_json::{Value, json};
use toolhost::wire::{Format, ToolChoice};

use crate::peer::{Peer, Say, text};
use crate::{Seen, agent, config, host};

fn line(message: Value, done: bool) -> String {
    json!({ "model": "m", "message": message, "done": done }).to_string() + "\n"
}

#[tokio::test]
async fn the_agent_speaks_ollamas_own_api_streamed_and_whole() {
    let call =
        |text: &str| json!({ "function": { "name": "echo", "arguments": { "text": text } } });
    let asked = json!({ "role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [call("one"), call("two")] });
    let said = json!({ "role": "assistant", "content": "done" });
    let host = host().await;
    for stream in [true, false] {
        let script = match stream {
            true => vec![
                Say::Lines(vec![
                    line(
                        json!({ "role": "assistant", "content": "", "thinking": "Hm." }),
                        false,
                    ),
                    line(
                        json!({ "role": "assistant", "content": "", "tool_calls": [call("one")] }),
                        false,
                    ),
                    line(
                        json!({ "role": "assistant", "content": "", "tool_calls": [call("two")] }),
                        false,
                    ),
                    line(json!({ "role": "assistant", "content": "" }), true),
                ]),
                Say::Lines(vec![line(said.clone(), true)]),
            ],
            false => vec![
                Say::Whole(200, "", line(asked.clone(), true)),
                Say::Whole(200, "", line(said.clone(), true)),
            ],
        };
        let peer = Peer::start(script);
        let mut config = config(Format::Ollama, &peer.url);
        config.system_prompt = Some("Be brief.".to_owned());
        config.temperature = Some(0.5);
        config.max_tokens = Some(100);
        let mut agent = agent(&host, config, stream);
        let answer = agent.ask("question", &mut Seen::default()).await.unwrap();
        assert_eq!(answer.text, "done");
        let requests = peer.asked();
        let [first, second] = &requests[..] else {
            panic!("{requests:?}")
        };
        assert_eq!(first.path, "/api/chat");
        assert!(
            !first.headers.contains("authorization"),
            "{}",
            first.headers
        );
        let body = &first.body;
        assert_eq!(
            (&body["model"], &body["stream"]),
            (&json!("model"), &json!(stream))
        );
        assert_eq!(
            body["options"],
            json!({ "temperature": 0.5, "num_predict": 100 })
        );
        assert_eq!(body["tools"][0]["type"], "function");
        let user = json!({ "role": "user", "content": "question" });
        let system = json!({ "role": "system", "content": "Be brief." });
        assert_eq!(body["messages"], json!([system, user]));
        let result = |text: &str| json!({ "role": "tool", "tool_name": "echo", "content": text });
        assert_eq!(
            second.body["messages"],
            json!([system, user, asked, result("one"), result("two")])
        );
    }
}

#[tokio::test]
async fn an_error_of_ollama_is_told_and_without_tools_there_are_no_calls() {
    let host = host().await;
    let error = "{\"error\":\"model 'model' not found\"}";
    let peer = Peer::start(vec![Say::Whole(404, "", error.to_owned())]);
    let mut asker = agent(&host, config(Format::Ollama, &peer.url), true);
    let error = asker
        .ask("question", &mut Seen::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
    let said = json!({ "role": "assistant", "content": "done" });
    let peer = Peer::start(vec![Say::Lines(vec![line(said, true)])]);
    let mut config = config(Format::Ollama, &peer.url);
    config.tool_choice = ToolChoice::None;
    let mut asker = agent(&host, config, true);
    asker.ask("question", &mut Seen::default()).await.unwrap();
    assert_eq!(peer.asked()[0].body.get("tools"), None);
}

#[tokio::test]
async fn a_function_call_of_old_is_answered_by_the_agent_by_its_name() {
    let message = json!({
        "role": "assistant", "content": null,
        "function_call": { "name": "echo", "arguments": "{\"text\":\"hi\"}" },
    });
    let calls = json!({ "choices": [{ "message": message, "finish_reason": "function_call" }] });
    let peer = Peer::start(vec![
        Say::Whole(200, "", calls.to_string()),
        text(Format::OpenaiChat, "done"),
    ]);
    let mut agent = agent(&host().await, config(Format::OpenaiChat, &peer.url), false);
    agent.ask("question", &mut Seen::default()).await.unwrap();
    let messages = &peer.asked()[1].body["messages"];
    assert_eq!(messages[1], message);
    assert_eq!(
        messages[2],
        json!({ "role": "function", "name": "echo", "content": "hi" })
    );
}

#[tokio::test]
async fn the_container_of_an_answer_goes_into_the_next_request() {
    let block = json!({ "type": "tool_use", "id": "a", "name": "echo", "input": { "text": "hi" } });
    let calls = json!({
        "type": "message", "role": "assistant", "stop_reason": "tool_use", "content": [block],
        "container": { "id": "container_1", "expires_at": "2026-12-01T00:00:00Z" },
    });
    let peer = Peer::start(vec![
        Say::Whole(200, "", calls.to_string()),
        text(Format::Anthropic, "done"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.jsonl");
    let host = host().await;
    let mut asker = agent(&host, config(Format::Anthropic, &peer.url), false);
    asker.keep_transcript(&file).unwrap();
    asker.ask("question", &mut Seen::default()).await.unwrap();
    let asked = peer.asked();
    assert_eq!(asked[0].body.get("container"), None);
    assert_eq!(asked[1].body["container"], "container_1");
    // And of a conversation that is taken up again.
    let peer = Peer::start(vec![text(Format::Anthropic, "more")]);
    let mut asker = agent(&host, config(Format::Anthropic, &peer.url), false);
    asker.resume(&file).unwrap();
    asker.ask("And then?", &mut Seen::default()).await.unwrap();
    assert_eq!(peer.asked()[0].body["container"], "container_1");
}
