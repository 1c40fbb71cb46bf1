//! What goes over the wire, to the letter.

use serde_json::{Value, json};
use toolhost::Approval;
use toolhost::agent::Agent;
use toolhost::manifest::AgentConfig;
use toolhost::permissions::SecretSource;
use toolhost::wire::{Format, ToolChoice};

use crate::peer::{Peer, Say, calls, chat_call, chat_end, event, text};
use crate::{Approver, Seen, agent, apis, config, guests, host};

/// Two calls and an answer, asked for whole; returns the requests.
async fn two_turns(
    format: Format,
    change: impl FnOnce(&mut AgentConfig),
) -> Vec<crate::peer::Asked> {
    let peer = Peer::start(vec![
        calls(
            format,
            &[
                ("a", "echo", json!({ "text": "hi" })),
                ("b", "fail", json!({ "message": "no" })),
            ],
        ),
        text(format, "done"),
    ]);
    let mut config = config(format, &peer.url);
    change(&mut config);
    let mut agent = agent(&host().await, config, false);
    let answer = agent.ask("question", &mut Seen::default()).await.unwrap();
    assert_eq!(answer.text, "done");
    peer.asked()
}

#[tokio::test]
async fn requests_and_results_are_as_each_api_documents_them() {
    for format in apis() {
        let asked = two_turns(format, |config| {
            config.system_prompt = Some("Be brief.".to_owned());
            config.temperature = Some(0.5);
            config.max_tokens = Some(100);
        })
        .await;
        let [first, second] = &asked[..] else {
            panic!("{asked:?}")
        };
        let (path, messages, results) = match format {
            Format::OpenaiChat => {
                assert_eq!(
                    first.body["messages"][0],
                    json!({ "role": "system", "content": "Be brief." })
                );
                assert_eq!(first.body["max_tokens"], 100);
                (
                    "/v1/chat/completions",
                    "messages",
                    json!([
                        { "role": "tool", "tool_call_id": "a", "content": "hi" },
                        { "role": "tool", "tool_call_id": "b", "content": "Error: fail failed - no" },
                    ]),
                )
            }
            Format::OpenaiResponses => {
                assert_eq!(first.body["instructions"], "Be brief.");
                assert_eq!(first.body["max_output_tokens"], 100);
                (
                    "/v1/responses",
                    "input",
                    json!([
                        { "type": "function_call_output", "call_id": "a", "output": "hi" },
                        { "type": "function_call_output", "call_id": "b",
                          "output": "Error: fail failed - no" },
                    ]),
                )
            }
            Format::Anthropic => {
                assert_eq!(first.body["system"], "Be brief.");
                assert_eq!(first.body["max_tokens"], 100);
                assert!(first.headers.contains("anthropic-version: 2023-06-01"));
                (
                    "/v1/messages",
                    "messages",
                    json!([{ "role": "user", "content": [
                        { "type": "tool_result", "tool_use_id": "a", "content": "hi" },
                        { "type": "tool_result", "tool_use_id": "b",
                          "content": "Error: fail failed - no", "is_error": true },
                    ] }]),
                )
            }
            _ => {
                assert_eq!(
                    first.body["systemInstruction"],
                    json!({ "parts": [{ "text": "Be brief." }] })
                );
                assert_eq!(
                    first.body["generationConfig"],
                    json!({ "temperature": 0.5, "maxOutputTokens": 100 })
                );
                (
                    "/v1beta/models/model:generateContent",
                    "contents",
                    json!([{ "role": "user", "parts": [
                        { "functionResponse": { "name": "echo", "response": { "output": "hi" } } },
                        { "functionResponse": { "name": "fail",
                          "response": { "error": "Error: fail failed - no" } } },
                    ] }]),
                )
            }
        };
        assert_eq!(first.path, path);
        if format != Format::Gemini {
            assert_eq!(first.body["model"], "model");
            assert_eq!(first.body["temperature"], 0.5);
        }
        // The conversation only grows, and the results come last.
        let before = first.body[messages].as_array().unwrap();
        let after = second.body[messages].as_array().unwrap();
        assert_eq!(&after[..before.len()], &before[..]);
        let results = results.as_array().unwrap();
        assert_eq!(&after[after.len() - results.len()..], &results[..]);
        // What is the same in every request can be cached.
        for key in ["tools", "system", "instructions", "systemInstruction"] {
            assert_eq!(first.body.get(key), second.body.get(key));
        }
        declares(format, &first.body["tools"]);
        // Nobody gave a key for this address.
        for header in ["authorization", "x-api-key", "x-goog-api-key"] {
            assert!(
                !first.headers.contains(&format!("\n{header}:")),
                "{}",
                first.headers
            );
        }
    }
}

/// The tools are the host's and the agent's own.
fn declares(format: Format, tools: &Value) {
    let tools = match format {
        Format::Gemini => tools[0]["functionDeclarations"].as_array().unwrap(),
        _ => tools.as_array().unwrap(),
    };
    let names: Vec<&str> = tools
        .iter()
        .map(|tool| {
            let function = tool.get("function").unwrap_or(tool);
            let schema = ["parameters", "input_schema", "parametersJsonSchema"]
                .into_iter()
                .find_map(|key| function.get(key))
                .unwrap();
            assert_eq!(schema["type"], "object", "{tool}");
            assert!(function["description"].is_string(), "{tool}");
            function["name"].as_str().unwrap()
        })
        .collect();
    assert!(
        names.contains(&"echo") && names.contains(&"read_result"),
        "{names:?}"
    );
}

#[tokio::test]
async fn parallel_calls_are_switched_off_in_the_way_each_api_has() {
    for format in apis() {
        let on = two_turns(format, |_| {}).await[0].body.clone();
        let off = two_turns(format, |config| config.parallel = false).await[0]
            .body
            .clone();
        let mut expected = on.clone();
        match format {
            Format::OpenaiChat | Format::OpenaiResponses => {
                expected["parallel_tool_calls"] = json!(false);
            }
            Format::Anthropic => {
                expected["tool_choice"] =
                    json!({ "type": "auto", "disable_parallel_tool_use": true });
            }
            // It has none.
            _ => {}
        }
        assert_eq!(off, expected);
    }
}

#[tokio::test]
async fn parallel_off_runs_calls_one_after_another() {
    for format in apis() {
        let script = vec![
            calls(
                format,
                &[
                    ("a", "sleep", json!({ "ms": 60 })),
                    ("b", "sleep", json!({ "ms": 50 })),
                    ("c", "echo", json!({ "text": "last" })),
                ],
            ),
            text(format, "done"),
        ];
        let peer = Peer::start(script);
        let mut config = config(format, &peer.url);
        config.parallel = false;
        let mut agent = agent(&host().await, config, false);
        let mut seen = Seen::default();
        agent.ask("question", &mut seen).await.unwrap();
        let order: Vec<String> = seen.results.iter().map(|result| result.to_text()).collect();
        assert_eq!(order, ["slept for 60 ms", "slept for 50 ms", "last"]);
        assert!(agent.summary().wall.as_millis() >= 110);
    }
}

#[tokio::test]
async fn the_tool_choice_is_for_the_first_request_of_a_question() {
    for (choice, expected) in [
        (
            ToolChoice::Required,
            [
                json!("required"),
                json!("required"),
                json!({ "type": "any" }),
                json!({ "functionCallingConfig": { "mode": "ANY" } }),
            ],
        ),
        (
            ToolChoice::Tool("echo".to_owned()),
            [
                json!({ "type": "function", "function": { "name": "echo" } }),
                json!({ "type": "function", "name": "echo" }),
                json!({ "type": "tool", "name": "echo" }),
                json!({ "functionCallingConfig": { "mode": "ANY", "allowedFunctionNames": ["echo"] } }),
            ],
        ),
        (
            ToolChoice::None,
            [
                json!("none"),
                json!("none"),
                json!({ "type": "none" }),
                json!({ "functionCallingConfig": { "mode": "NONE" } }),
            ],
        ),
    ] {
        for (format, expected) in apis().into_iter().zip(expected) {
            let key = match format {
                Format::Gemini => "toolConfig",
                _ => "tool_choice",
            };
            let asked = two_turns(format, |config| config.tool_choice = choice.clone()).await;
            assert_eq!(asked[0].body[key], expected);
            let second = asked[1].body.get(key);
            match choice {
                ToolChoice::None => assert_eq!(second, Some(&expected)),
                _ => assert_eq!(second, None),
            }
        }
    }
}

#[tokio::test]
async fn parameters_of_the_apis_own_replace_ours() {
    let asked = two_turns(Format::OpenaiChat, |config| {
        config.temperature = Some(1.0);
        config.request.insert("temperature".to_owned(), json!(0));
        config
            .request
            .insert("reasoning_effort".to_owned(), json!("low"));
    })
    .await;
    assert_eq!(asked[0].text.matches("\"temperature\"").count(), 1);
    assert_eq!(asked[0].body["temperature"], 0);
    assert_eq!(asked[0].body["reasoning_effort"], "low");
}

#[tokio::test]
async fn the_key_goes_in_the_header_of_each_api_and_nowhere_else() {
    for (format, header) in [
        (Format::OpenaiChat, "authorization: bearer sesame-1234"),
        (Format::OpenaiResponses, "authorization: bearer sesame-1234"),
        (Format::Anthropic, "x-api-key: sesame-1234"),
        (Format::Gemini, "x-goog-api-key: sesame-1234"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.txt");
        std::fs::write(&file, "sesame-1234\n").unwrap();
        let asked = two_turns(format, |config| config.key = Some(SecretSource::File(file))).await;
        for asked in asked {
            assert!(asked.headers.contains(header), "{}", asked.headers);
            assert_eq!(asked.headers.matches("sesame").count(), 1);
            assert!(!asked.path.contains("sesame") && !asked.text.contains("sesame"));
        }
    }
}

#[tokio::test]
async fn a_key_is_hidden_in_what_an_api_says_and_never_sent_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.txt");
    std::fs::write(&file, "sesame-1234").unwrap();
    let said = json!({ "error": { "message": "Incorrect API key: sesame-1234.\u{1b}[2J" } });
    let peer = Peer::start(vec![Say::Whole(401, "", said.to_string())]);
    let mut told = config(Format::OpenaiChat, &peer.url);
    told.key = Some(SecretSource::File(file));
    let mut agent = agent(&host().await, told.clone(), true);
    let error = agent
        .ask("?", &mut Seen::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("401: Incorrect API key: ***."), "{error}");
    assert!(!error.contains('\u{1b}'), "{error:?}");
    told.base_url = Some("http://models.example/v1".parse().unwrap());
    let error = Agent::new(host().await, told).err().unwrap().to_string();
    assert!(error.contains("unencrypted"), "{error}");
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_asked() {
    let host = host().await;
    let fails = |change: &dyn Fn(&mut AgentConfig)| {
        let mut config = config(Format::Anthropic, "http://127.0.0.1:9");
        change(&mut config);
        Agent::new(host.clone(), config).err().unwrap().to_string()
    };
    assert!(fails(&|config| config.provider = None).contains("no provider"));
    assert!(fails(&|config| config.provider = Some(Format::Mcp)).contains("no provider"));
    assert!(fails(&|config| config.model = None).contains("no model"));
    let missing = || Some(SecretSource::Env("TOOLHOST_TEST_NO_SUCH_KEY".to_owned()));
    assert!(fails(&|config| config.key = missing()).contains("TOOLHOST_TEST_NO_SUCH_KEY"));
    let choice = || ToolChoice::Tool("eccho".to_owned());
    assert!(
        fails(&|config| config.tool_choice = choice()).contains("unknown tool in `tool-choice`")
    );
}

#[tokio::test]
async fn a_base_url_may_have_its_version_or_not() {
    for (format, base, path) in [
        (Format::OpenaiChat, "/api/v3/", "/api/v3/chat/completions"),
        (Format::OpenaiResponses, "", "/responses"),
        (Format::Anthropic, "/v1", "/v1/messages"),
        (Format::Anthropic, "/proxy/", "/proxy/v1/messages"),
        (
            Format::Gemini,
            "/v1beta/",
            "/v1beta/models/tuned-1.0:generateContent",
        ),
    ] {
        let peer = Peer::start(vec![text(format, "done")]);
        let mut config = config(format, &peer.url);
        config.model = Some("tuned-1.0".to_owned());
        config.base_url = Some(format!("{}{base}", peer.url).parse().unwrap());
        let mut agent = agent(&host().await, config, false);
        agent.ask("?", &mut Seen::default()).await.unwrap();
        assert_eq!(peer.asked()[0].path, path);
    }
}

#[tokio::test]
async fn geminis_parts_go_back_to_the_letter() {
    // Numbers that no double holds, a signature, a thought, and keys that nobody knows.
    let parts = [
        r#"{"text":"hm","thought":true,"thoughtSignature":"c2ln"}"#,
        r#"{"functionCall":{"name":"echo","args":{"text":"hi"}},"thoughtSignature":"AbC/+==","new":12345678901234567890123}"#,
        r#"{"functionCall":{"id":"two","name":"calculate","args":{"expression":"1+1"}}}"#,
    ];
    let response = |parts: &str, end: &str| {
        format!(r#"{{"candidates":[{{"content":{{"role":"model","parts":[{parts}]}}{end}}}]}}"#)
    };
    let end = r#","finishReason":"STOP""#;
    let whole = response(&parts.join(","), end);
    let events = vec![
        format!("data: {}\r\n\r\n", response(parts[0], "")),
        format!("data: {}\r\n\r\n", response(&parts[1..].join(","), "")),
        format!("data: {}\r\n\r\n", response("", end)),
    ];
    for (stream, say) in [
        (false, Say::Whole(200, "", whole)),
        (true, Say::Events(events)),
    ] {
        let peer = Peer::start(vec![say, text(Format::Gemini, "done")]);
        let mut agent = agent(&host().await, config(Format::Gemini, &peer.url), stream);
        agent.ask("?", &mut Seen::default()).await.unwrap();
        let second = &peer.asked()[1];
        let model = format!(r#"{{"role":"model","parts":[{}]}}"#, parts.join(","));
        assert!(second.text.contains(&model), "{}", second.text);
        assert_eq!(
            second.body["contents"][2],
            json!({ "role": "user", "parts": [
                { "functionResponse": { "name": "echo", "response": { "output": "hi" } } },
                { "functionResponse": { "id": "two", "name": "calculate",
                  "response": { "output": "2" } } },
            ] })
        );
    }
}

#[tokio::test]
async fn anthropics_thinking_goes_back_with_its_signature() {
    let start = |index: usize, block: Value| {
        let data = json!({ "type": "content_block_start", "index": index, "content_block": block });
        format!("event: content_block_start\ndata: {data}\n\n")
    };
    let delta = |index: usize, delta: Value| {
        event(json!({ "type": "content_block_delta", "index": index, "delta": delta }))
    };
    let stop = |index: usize| event(json!({ "type": "content_block_stop", "index": index }));
    let events = vec![
        event(
            json!({ "type": "message_start", "message": { "role": "assistant", "content": [],
            "usage": { "input_tokens": 7, "output_tokens": 1 } } }),
        ),
        start(
            0,
            json!({ "type": "thinking", "thinking": "", "signature": "" }),
        ),
        delta(
            0,
            json!({ "type": "thinking_delta", "thinking": "Let me " }),
        ),
        delta(0, json!({ "type": "thinking_delta", "thinking": "think" })),
        delta(0, json!({ "type": "signature_delta", "signature": "c2ln" })),
        stop(0),
        event(json!({ "type": "ping" })),
        start(1, json!({ "type": "redacted_thinking", "data": "xyz" })),
        stop(1),
        start(2, json!({ "type": "text", "text": "" })),
        delta(2, json!({ "type": "text_delta", "text": "Now." })),
        stop(2),
        start(
            3,
            json!({ "type": "tool_use", "id": "a", "name": "echo", "input": {} }),
        ),
        delta(
            3,
            json!({ "type": "input_json_delta", "partial_json": "{\"text\": 1" }),
        ),
        delta(
            3,
            json!({ "type": "input_json_delta", "partial_json": "2345678901234567890123}" }),
        ),
        stop(3),
        start(
            4,
            json!({ "type": "tool_use", "id": "b", "name": "echo", "input": {} }),
        ),
        delta(
            4,
            json!({ "type": "input_json_delta", "partial_json": "{\"text\": nonsense" }),
        ),
        stop(4),
        event(
            json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" },
            "usage": { "output_tokens": 42 } }),
        ),
        event(json!({ "type": "message_stop" })),
    ];
    let peer = Peer::start(vec![Say::Events(events), text(Format::Anthropic, "done")]);
    let mut agent = agent(&host().await, config(Format::Anthropic, &peer.url), true);
    let mut seen = Seen::default();
    agent.ask("?", &mut seen).await.unwrap();
    let tokens = agent.summary().tokens;
    assert_eq!((tokens.input, tokens.output), (7, 42));
    let second = &peer.asked()[1];
    assert!(
        second.text.contains("12345678901234567890123"),
        "{}",
        second.text
    );
    let mut blocks = second.body["messages"][1]["content"].clone();
    blocks[3]["input"].take();
    assert_eq!(
        blocks,
        json!([
            { "type": "thinking", "thinking": "Let me think", "signature": "c2ln" },
            { "type": "redacted_thinking", "data": "xyz" },
            { "type": "text", "text": "Now." },
            { "type": "tool_use", "id": "a", "name": "echo", "input": null },
            { "type": "tool_use", "id": "b", "name": "echo",
              "input": { "INVALID_JSON": "{\"text\": nonsense" } },
        ])
    );
}

#[tokio::test]
async fn responses_items_go_back_unchanged_reasoning_included() {
    let items = json!([
        { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA" },
        { "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
          "content": [{ "type": "output_text", "text": "Hm.", "annotations": [] }] },
        { "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "echo",
          "arguments": "{\"text\":\"hi\"}", "status": "completed" },
    ]);
    let whole = json!({ "object": "response", "status": "completed", "output": items });
    let mut events = vec![event(json!({ "type": "response.created", "response": {} }))];
    for (index, item) in items.as_array().unwrap().iter().enumerate() {
        let kinds = ["response.output_item.added", "response.output_item.done"];
        events.extend(kinds.map(|kind| {
            let mut item = item.clone();
            if kind.ends_with("added") && item["type"] == "function_call" {
                item["arguments"] = json!("");
            }
            event(json!({ "type": kind, "output_index": index, "item": item }))
        }));
    }
    events.push(event(json!({ "type": "response.completed", "response": {
        "status": "completed", "output": items, "usage": { "input_tokens": 3, "output_tokens": 4 } } })));
    for (stream, say) in [
        (false, Say::Whole(200, "", whole.to_string())),
        (true, Say::Events(events)),
    ] {
        let peer = Peer::start(vec![say, text(Format::OpenaiResponses, "done")]);
        let mut agent = agent(
            &host().await,
            config(Format::OpenaiResponses, &peer.url),
            stream,
        );
        let mut seen = Seen::default();
        agent.ask("?", &mut seen).await.unwrap();
        assert_eq!(seen.text, "Hm.done");
        let input = peer.asked()[1].body["input"].clone();
        assert_eq!(
            input.as_array().unwrap()[1..4],
            items.as_array().unwrap()[..]
        );
        assert_eq!(
            input[4],
            json!({ "type": "function_call_output", "call_id": "call_1", "output": "hi" })
        );
    }
}

#[tokio::test]
async fn calls_that_come_without_ids_get_some_where_the_api_needs_them() {
    let mut whole = crate::peer::calls_body(
        Format::OpenaiChat,
        &[
            ("", "echo", json!({ "text": "1" })),
            ("", "echo", json!({ "text": "2" })),
        ],
    );
    for call in whole["choices"][0]["message"]["tool_calls"]
        .as_array_mut()
        .unwrap()
    {
        call.as_object_mut().unwrap().remove("id");
    }
    let without_id = |index: usize, text: &str| {
        let mut events = chat_call(index, "x", "echo", &json!({ "text": text }));
        events[0] = events[0].replace(r#""id":"x","#, "");
        events
    };
    let events = [
        without_id(0, "1"),
        without_id(1, "2"),
        chat_end("tool_calls"),
    ]
    .concat();
    let whole = || Say::Whole(200, "", whole.to_string());
    for (stream, ask_first, say) in [
        (false, false, whole()),
        (false, true, whole()),
        (true, false, Say::Events(events)),
    ] {
        let peer = Peer::start(vec![say, text(Format::OpenaiChat, "done")]);
        let host = match ask_first {
            true => Approver::new([Approval::Yes; 2]).host(guests()).await,
            false => host().await,
        };
        let mut agent = agent(&host, config(Format::OpenaiChat, &peer.url), stream);
        agent.ask("?", &mut Seen::default()).await.unwrap();
        let messages = peer.asked()[1].body["messages"].clone();
        for number in 0..2 {
            let call = &messages[1]["tool_calls"][number];
            let result = &messages[2 + number];
            assert!(call["id"].is_string(), "{messages}");
            assert_eq!(call["id"], result["tool_call_id"]);
            assert_eq!(result["content"], (number + 1).to_string());
        }
        assert_ne!(messages[2]["tool_call_id"], messages[3]["tool_call_id"]);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_runs_no_call_that_it_cut() {
    let cut = [
        chat_call(0, "a", "echo", &json!({ "text": "whole" })),
        chat_call(1, "b", "echo", &json!({ "text": "half" }))[..2].to_vec(),
        chat_call(2, "c", "echo", &json!({}))[..1].to_vec(),
        chat_end("length"),
    ]
    .concat();
    let mut whole = crate::peer::calls_body(
        Format::Anthropic,
        &[
            ("a", "echo", json!({ "text": "whole" })),
            ("b", "echo", json!({ "text": "ha" })),
        ],
    );
    whole["stop_reason"] = json!("max_tokens");
    for (format, say, expected) in [
        (Format::OpenaiChat, Say::Events(cut), 3),
        (Format::Anthropic, Say::Whole(200, "", whole.to_string()), 2),
    ] {
        let peer = Peer::start(vec![say, text(format, "done")]);
        let mut agent = agent(&host().await, config(format, &peer.url), true);
        let mut seen = Seen::default();
        agent.ask("?", &mut seen).await.unwrap();
        seen.results.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(seen.results.len(), expected);
        assert_eq!(seen.results[0].to_text(), "whole");
        for result in &seen.results[1..] {
            assert_eq!(
                result.to_text(),
                "Error: echo failed - invalid arguments: the response ended before the arguments were complete"
            );
        }
    }
}

/// `examples/openai.rs`: the loop by hand.
#[test]
fn openai_example_answers_each_call_behind_its_message() {
    toolhost_testing::needs!(examples);
    let format = Format::OpenaiChat;
    let arguments = [
        json!({ "a": 17, "b": 23 }),
        json!({ "a": i64::MAX, "b": 2 }),
    ];
    let peer = Peer::start(vec![
        calls(
            format,
            &[
                ("x", "multiply", arguments[0].clone()),
                ("y", "multiply", arguments[1].clone()),
            ],
        ),
        text(format, "391"),
    ]);
    let mut command = crate::common::example("openai");
    command
        .arg("What is 17 times 23?")
        .env("OPENAI_BASE_URL", &peer.url);
    command
        .env("OPENAI_MODEL", "any")
        .env_remove("OPENAI_API_KEY");
    let ended = crate::common::binary::run(command, "").answered();
    let said: Vec<&str> = ended.stdout.lines().collect();
    let failed = "multiply: Error: multiply failed - the product is too large";
    assert_eq!(said, ["multiply: 391", failed, "391"]);

    let asked = peer.asked();
    let messages = asked[1].body["messages"].as_array().unwrap();
    let ids = messages.iter().map(|message| &message["tool_call_id"]);
    assert!(ids.eq([&Value::Null, &Value::Null, &json!("x"), &json!("y")]));
    assert_eq!(asked[0].body["tools"][0]["function"]["name"], "multiply");
}
