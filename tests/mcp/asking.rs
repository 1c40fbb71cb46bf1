//! Tools that ask: by requests of the server's, or by results that are answered with the next call.

use std::time::Duration;

use serde_json::{Value, json};
use toolhost_testing::wait_until;

use crate::client::{Client, New, Old, text};
use crate::common::binary::{Folder, listed};
use crate::common::guest;
use crate::server::{Http, folder};

fn forms() -> Value {
    json!({ "elicitation": { "form": {} } })
}

/// Both ways that a session can be connected.
fn sessions(capabilities: Value, check: impl Fn(&mut Client)) {
    check(&mut Client::alone(Old, capabilities.clone()));
    let server = Http::start();
    let mut client = Client::http(&server, Old, capabilities);
    client.listen();
    check(&mut client);
}

fn accept(content: Value) -> Value {
    json!({ "action": "accept", "content": content })
}

/// The text of a call that failed.
#[track_caller]
fn failure(result: &Value) -> &str {
    assert_eq!(result["isError"], true, "{result:#}");
    result["content"][0]["text"].as_str().unwrap()
}

#[test]
fn a_tool_asks_twice_and_goes_on_with_both_answers() {
    sessions(forms(), |client| {
        let id = client.start("ask_twice", json!({}));
        let first = client.told("elicitation/create");
        let params = &first["params"];
        assert_eq!(params["message"], "What is your name?");
        assert_eq!(
            params["requestedSchema"]["properties"]["name"]["type"],
            "string"
        );
        client.respond(&first, accept(json!({ "name": "Ada" })));
        let second = client.told("elicitation/create");
        assert_eq!(second["params"]["message"], "How old are you, Ada?");
        assert_ne!(second["id"], first["id"]);
        client.respond(&second, accept(json!({ "age": 36 })));
        assert_eq!(text(&client.answer(id)["result"]), "Ada is 36");
    });
}

#[test]
fn two_calls_that_ask_at_once_get_their_own_answers() {
    sessions(forms(), |client| {
        let calls = [0, 1].map(|_| client.start("ask_twice", json!({})));
        let asked = [0, 1].map(|_| client.told("elicitation/create"));
        // In the other order.
        client.respond(&asked[1], accept(json!({ "name": "Bob" })));
        client.respond(&asked[0], accept(json!({ "name": "Ada" })));
        for _ in 0..2 {
            let asked = client.told("elicitation/create");
            let is_ada = asked["params"]["message"] == "How old are you, Ada?";
            let age = if is_ada { 36 } else { 40 };
            client.respond(&asked, accept(json!({ "age": age })));
        }
        let mut said = calls.map(|id| text(&client.answer(id)["result"]).to_owned());
        said.sort();
        assert_eq!(said, ["Ada is 36", "Bob is 40"]);
    });
}

#[test]
fn a_no_reaches_the_tool_as_what_it_is() {
    sessions(forms(), |client| {
        for (action, said) in [("decline", "declined"), ("cancel", "dismissed")] {
            let id = client.start("ask_typed", json!({}));
            let asked = client.told("elicitation/create");
            client.respond(&asked, json!({ "action": action }));
            assert_eq!(text(&client.answer(id)["result"]), said);
            // A tool that needs an answer fails.
            let id = client.start("ask_twice", json!({}));
            let asked = client.told("elicitation/create");
            client.respond(&asked, json!({ "action": action }));
            let result = client.answer(id)["result"].take();
            assert!(failure(&result).contains("ask_twice failed"), "{result}");
            assert_eq!(result["_meta"]["error"]["code"], "failed");
        }
    });
}

#[test]
fn a_page_is_visited_by_clients_that_can() {
    let pages = json!({ "elicitation": { "url": {} } });
    sessions(pages, |client| {
        let id = client.start("ask_page", json!({ "url": "https://example.com/a?b=c" }));
        let asked = client.told("elicitation/create");
        let params = &asked["params"];
        assert_eq!(params["mode"], "url");
        assert_eq!(params["url"], "https://example.com/a?b=c");
        assert_eq!(params["elicitationId"], "visit-1");
        client.respond(&asked, json!({ "action": "accept" }));
        assert_eq!(text(&client.answer(id)["result"]), "visited");
        // No form for who can only visit pages.
        let result = client.call("ask_twice", json!({}));
        assert!(
            failure(&result).contains("no one is available to answer"),
            "{result}"
        );
    });
}

#[test]
fn a_client_that_cannot_be_asked_is_not() {
    for capabilities in [json!({}), json!({ "sampling": {}, "roots": {} })] {
        sessions(capabilities, |client| {
            let result = client.call("ask_twice", json!({}));
            assert_eq!(
                failure(&result),
                "Error: ask_twice failed - no one is available to answer: What is your name?"
            );
            assert_eq!(client.so_far("elicitation/create"), [Value::Null; 0]);
        });
    }
}

#[test]
fn an_answer_that_is_none_fails_the_call_and_not_the_session() {
    sessions(forms(), |client| {
        for (answer, why) in [
            (json!({ "result": accept(json!({ "name": 5 })) }), "answer"),
            (json!({ "result": accept(json!({})) }), "answer"),
            (json!({ "result": { "action": "accept" } }), "answer"),
            (
                json!({ "error": { "code": -32000, "message": "no hands free" } }),
                "no hands free",
            ),
            (json!({ "result": { "roots": [] } }), "answer"),
            (json!({ "result": {} }), "answer"),
            (json!({ "result": { "action": "maybe" } }), "answer"),
        ] {
            let id = client.start("ask_twice", json!({}));
            let asked = client.told("elicitation/create");
            let mut message = json!({ "jsonrpc": "2.0", "id": asked["id"] });
            message
                .as_object_mut()
                .unwrap()
                .extend(answer.as_object().unwrap().clone());
            client.send(&message);
            let result = client.answer(id)["result"].take();
            assert!(failure(&result).contains(why), "{answer}: {result}");
        }
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
    });
}

#[test]
fn a_tool_runs_anew_for_every_answer() {
    sessions(forms(), |client| {
        let id = client.start("ask_and_count", json!({ "questions": 3 }));
        for n in 1..=3 {
            let asked = client.told("elicitation/create");
            assert_eq!(asked["params"]["message"], format!("Number {n}?"));
            client.respond(&asked, accept(json!({ "n": 10 * n })));
        }
        assert_eq!(text(&client.answer(id)["result"]), "sum 60");
        client.call("change_resources", json!({}));
        client.told("notifications/resources/list_changed");
        let runs = client.so_far("notifications/message");
        let runs: Vec<&Value> = runs.iter().map(|told| &told["params"]["data"]).collect();
        assert_eq!(runs, ["run"; 4]);
    });
}

#[test]
fn nobody_is_asked_without_end() {
    let mut client = Client::alone(Old, forms());
    let id = client.start("ask_and_count", json!({ "questions": 1000 }));
    let mut asked = 0;
    let result = loop {
        let message = client.take("a question or an answer", |message| {
            message["method"] == "elicitation/create"
                || message["id"] == id && message.get("result").is_some()
        });
        if message.get("result").is_some() {
            break message["result"].clone();
        }
        asked += 1;
        client.respond(&message, accept(json!({ "n": 1 })));
    };
    assert!((2..100).contains(&asked), "{asked}");
    assert!(failure(&result).contains("asked for input"), "{result}");
}

fn one_at_a_time() -> Folder {
    Folder::with(format!(
        "[host]\nmax-concurrency = 1\n{}{}",
        listed("conformance"),
        listed("echo")
    ))
}

#[test]
fn call_that_waits_for_its_user_blocks_nobody() {
    let check = |client: &mut Client| {
        let waiting: Vec<u64> = (0..3)
            .map(|_| client.start("ask_twice", json!({})))
            .collect();
        let asked: Vec<Value> = (0..3).map(|_| client.told("elicitation/create")).collect();
        // All are waiting, and there is one permit.
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        for id in &waiting {
            client.notify(
                "notifications/cancelled",
                json!({ "requestId": id, "reason": "tired" }),
            );
        }
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        // Answers that come too late are for nobody.
        for asked in &asked {
            client.respond(asked, accept(json!({ "name": "Ada" })));
        }
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        assert_eq!(client.so_far("elicitation/create"), [Value::Null; 0]);
    };
    check(&mut Client::inside(one_at_a_time(), Old, forms()));
    let server = Http::start_in(one_at_a_time());
    check(&mut Client::http(&server, Old, forms()));
}

#[test]
fn a_server_ends_while_calls_wait_for_their_users() {
    let folder = folder();
    let mut client = Client::stdio(&folder, Old, forms());
    client.start("ask_twice", json!({}));
    client.told("elicitation/create");
    client.hang_up();
    let (status, took) = client.process().end();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(15), "{took:?}");
}

// From here on: the protocol without sessions.

/// Asks for a call, with what it is to go on with.
fn call(tool: &str, arguments: Value, state: Option<&Value>, responses: Value) -> Value {
    let mut params = json!({ "name": tool, "arguments": arguments });
    if !responses.is_null() {
        params["inputResponses"] = responses;
    }
    if let Some(state) = state {
        params["requestState"] = state.clone();
    }
    params
}

fn name() -> Value {
    json!({ "name": accept(json!({ "name": "Ada" })) })
}

fn age() -> Value {
    json!({ "age": accept(json!({ "age": 36 })) })
}

/// The state after the first answer.
#[track_caller]
fn state(client: &mut Client) -> Value {
    let result = client.result("tools/call", call("ask_twice", json!({}), None, name()));
    assert_eq!(result["resultType"], "input_required", "{result:#}");
    assert!(result["requestState"].is_string(), "{result:#}");
    result["requestState"].clone()
}

/// Both ways that a client without a session can be connected.
fn stateless(capabilities: Value, check: impl Fn(&mut Client)) {
    check(&mut Client::alone(New, capabilities.clone()));
    let server = Http::start();
    check(&mut Client::http(&server, New, capabilities));
}

#[test]
fn questions_are_results_and_the_state_leads_to_the_end() {
    stateless(forms(), |client| {
        let first = client.result(
            "tools/call",
            call("ask_twice", json!({}), None, Value::Null),
        );
        assert_eq!(first["resultType"], "input_required", "{first:#}");
        let asked = &first["inputRequests"]["name"];
        assert_eq!(asked["method"], "elicitation/create");
        assert_eq!(asked["params"]["message"], "What is your name?");
        assert!(first.get("content").is_none(), "{first:#}");
        let second = client.result(
            "tools/call",
            call("ask_twice", json!({}), first.get("requestState"), name()),
        );
        let requests = second["inputRequests"].as_object().unwrap();
        assert_eq!(requests.keys().collect::<Vec<_>>(), ["age"]);
        assert_eq!(
            requests["age"]["params"]["message"],
            "How old are you, Ada?"
        );
        let last = client.result(
            "tools/call",
            call("ask_twice", json!({}), second.get("requestState"), age()),
        );
        assert_eq!(text(&last), "Ada is 36");
        assert_eq!(last["resultType"], "complete");
        assert_eq!(client.so_far("elicitation/create"), [Value::Null; 0]);
    });
}

#[track_caller]
fn refused(client: &mut Client, params: Value) {
    let error = client.error("tools/call", params.clone());
    assert_eq!(error["code"], -32602, "{params}: {error}");
}

#[test]
fn a_state_that_was_made_or_changed_by_somebody_else_is_refused() {
    stateless(forms(), |client| {
        let good = state(client);
        let good = good.as_str().unwrap();
        let mut bad: Vec<String> = ["", "x", "rs1", "rs1..", "rs1.AAAA.BBBB", "\u{0}"]
            .map(str::to_owned)
            .into();
        bad.push(good[..good.len() - 1].to_owned());
        bad.push(good[..good.len() / 2].to_owned());
        bad.push(format!("{good}A"));
        bad.push("A".repeat(1 << 20));
        // One character after the other.
        for at in (0..good.len()).step_by(7) {
            let mut changed = good.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            bad.push(String::from_utf8(changed).unwrap());
        }
        for bad in bad {
            refused(
                client,
                call("ask_twice", json!({}), Some(&json!(bad)), age()),
            );
        }
        // None of that has used it up.
        let last = client.result(
            "tools/call",
            call("ask_twice", json!({}), Some(&json!(good)), age()),
        );
        assert_eq!(text(&last), "Ada is 36");
    });
}

#[test]
fn a_state_is_for_its_own_call_and_for_once() {
    stateless(forms(), |client| {
        let good = state(client);
        let confirm = json!({ "confirm": accept(json!({ "ok": true })) });
        let other_tool = "test_input_required_result_request_state";
        refused(client, call(other_tool, json!({}), Some(&good), confirm));
        refused(
            client,
            call("ask_twice", json!({ "more": 1 }), Some(&good), age()),
        );
        let prompt = "test_input_required_result_prompt";
        let params = json!({ "name": prompt, "requestState": good, "inputResponses": {} });
        assert_eq!(client.error("prompts/get", params)["code"], -32602);
        let uri = "test://asking-resource";
        let params = json!({ "uri": uri, "requestState": good, "inputResponses": {} });
        assert_eq!(client.error("resources/read", params)["code"], -32602);
        let again = || call("ask_twice", json!({}), Some(&good), age());
        assert_eq!(text(&client.result("tools/call", again())), "Ada is 36");
        refused(client, again());
    });
}

#[test]
fn a_state_of_another_process_is_refused() {
    let mut one = Client::alone(New, forms());
    let mut other = Client::alone(New, forms());
    let good = state(&mut one);
    refused(&mut other, call("ask_twice", json!({}), Some(&good), age()));
    let last = one.result(
        "tools/call",
        call("ask_twice", json!({}), Some(&good), age()),
    );
    assert_eq!(text(&last), "Ada is 36");
}

#[test]
fn a_state_of_another_token_is_refused() {
    use sha2::{Digest, Sha256};
    let digest = |token: &str| {
        let digest = Sha256::digest(token);
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let folder = Folder::with(format!(
        "{}[serve.auth.tokens.a]\nsha256 = '{}'\n[serve.auth.tokens.b]\nsha256 = '{}'\n",
        listed("conformance"),
        digest("th_a"),
        digest("th_b")
    ));
    let server = Http::start_in(folder);
    let mut a = Client::http_as(&server, New, forms(), Some("th_a"));
    let mut b = Client::http_as(&server, New, forms(), Some("th_b"));
    let good = state(&mut a);
    refused(&mut b, call("ask_twice", json!({}), Some(&good), age()));
    let last = a.result(
        "tools/call",
        call("ask_twice", json!({}), Some(&good), age()),
    );
    assert_eq!(text(&last), "Ada is 36");
}

#[test]
fn request_state_outlives_a_reload_of_the_same_plugin() {
    let folder = Folder::empty();
    let file = guest("conformance");
    folder.write("plugin.wasm", std::fs::read(&file).unwrap());
    let manifest = "[plugin.conformance]\npath = 'plugin.wasm'\n";
    folder.write("toolhost.toml", manifest);
    let server = Http::start_in(folder);
    let mut client = Client::http(&server, New, forms());
    let mut reloads = 0;
    let mut reload = || {
        reloads += 1;
        server.signal("HUP");
        wait_until("it is reloaded", || {
            server.said().matches("reloaded").count() == reloads
        });
    };
    let (before, other) = (state(&mut client), state(&mut client));
    let changed = format!("{manifest}timeout = '20s'\n");
    server.folder.write("toolhost.toml", changed);
    reload();
    let resumed = call("ask_twice", json!({}), Some(&before), age());
    assert_eq!(text(&client.result("tools/call", resumed)), "Ada is 36");

    // The same but for a custom section, which nothing of it looks at.
    let mut component = std::fs::read(&file).unwrap();
    component.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    server.folder.write("plugin.wasm", component);
    reload();
    refused(
        &mut client,
        call("ask_twice", json!({}), Some(&other), age()),
    );
    let now = state(&mut client);
    let resumed = call("ask_twice", json!({}), Some(&now), age());
    assert_eq!(text(&client.result("tools/call", resumed)), "Ada is 36");
}

#[test]
fn what_a_client_cannot_be_asked_is_named() {
    stateless(json!({}), |client| {
        for (tool, arguments, needed) in [
            (
                "ask_twice",
                json!({}),
                json!({ "elicitation": { "form": {} } }),
            ),
            (
                "ask_page",
                json!({}),
                json!({ "elicitation": { "url": {} } }),
            ),
            (
                "test_sampling",
                json!({ "prompt": "hi" }),
                json!({ "sampling": {} }),
            ),
            (
                "test_input_required_result_list_roots",
                json!({}),
                json!({ "roots": {} }),
            ),
        ] {
            let error = client.error("tools/call", call(tool, arguments, None, Value::Null));
            assert_eq!(error["code"], -32021, "{tool}: {error}");
            assert_eq!(error["data"]["requiredCapabilities"], needed, "{tool}");
        }
    });
}

#[test]
fn input_responses_of_no_shape_are_refused() {
    stateless(forms(), |client| {
        for responses in [
            json!({ "name": {} }),
            json!({ "name": 1 }),
            json!({ "name": null }),
            json!({ "name": { "action": "maybe" } }),
            json!({ "name": { "content": [] } }),
            json!({ "name": { "roots": 1 } }),
            json!([]),
            json!("name"),
        ] {
            refused(client, call("ask_twice", json!({}), None, responses));
        }
        // Of the right shape, and not what the form asks for: it asks again, or fails; it does not go on.
        let wrong = json!({ "name": accept(json!({ "name": 5 })) });
        let again = client.result("tools/call", call("ask_twice", json!({}), None, wrong));
        assert!(
            again["inputRequests"].get("name").is_some() || again["isError"] == true,
            "{again:#}"
        );
        // Answers that nobody asked for are for nobody.
        let others = json!({ "nope": accept(json!({})), "age": accept(json!({ "age": 36 })) });
        let asked = client.result("tools/call", call("ask_twice", json!({}), None, others));
        assert!(asked["inputRequests"].get("name").is_some(), "{asked:#}");
    });
}

#[test]
fn prompts_and_resources_ask_as_tools_do() {
    stateless(forms(), |client| {
        let prompt = "test_input_required_result_prompt";
        let asked = client.result("prompts/get", json!({ "name": prompt }));
        assert!(
            asked["inputRequests"].get("user_context").is_some(),
            "{asked:#}"
        );
        let mut params = json!({ "name": prompt, "inputResponses":
            { "user_context": accept(json!({ "context": "work" })) } });
        if let Some(state) = asked.get("requestState") {
            params["requestState"] = state.clone();
        }
        let filled = client.result("prompts/get", params);
        assert_eq!(
            filled["messages"][0]["content"]["text"],
            "Prompt with elicited context: work"
        );
        let uri = "test://asking-resource";
        let asked = client.result("resources/read", json!({ "uri": uri }));
        assert!(asked["inputRequests"].get("name").is_some(), "{asked:#}");
        let mut params = json!({ "uri": uri, "inputResponses": name() });
        if let Some(state) = asked.get("requestState") {
            params["requestState"] = state.clone();
        }
        let read = client.result("resources/read", params);
        assert_eq!(read["contents"][0]["text"], "Hello, Ada!");
    });
}

#[test]
fn prompts_and_resources_ask_clients_with_sessions() {
    let mut client = Client::alone(Old, forms());
    let prompt = "test_input_required_result_prompt";
    let id = client.request("prompts/get", json!({ "name": prompt }));
    let asked = client.told("elicitation/create");
    client.respond(&asked, accept(json!({ "context": "work" })));
    let filled = client.answer(id);
    assert_eq!(
        filled["result"]["messages"][0]["content"]["text"],
        "Prompt with elicited context: work"
    );
    let id = client.request("resources/read", json!({ "uri": "test://asking-resource" }));
    let asked = client.told("elicitation/create");
    client.respond(&asked, accept(json!({ "name": "Ada" })));
    let read = client.answer(id);
    assert_eq!(read["result"]["contents"][0]["text"], "Hello, Ada!");
}
