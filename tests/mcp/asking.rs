//! Tools that ask: by requests of the server's, or beside the call that is made again.

use serde_json::{Value, json};

use crate::client::{Answer, Pipes, post_stateless, stateless, text};
use crate::common::binary::Folder;
use crate::server::{Http, folder, token};

fn start(folder: &Folder, capabilities: Value) -> Pipes {
    Pipes::start(folder.command(&["serve"]), capabilities)
}

fn is_question(message: &Value) -> bool {
    message["method"] == "elicitation/create"
}

fn answer(pipes: &mut Pipes, result: Value) -> Value {
    let question = pipes.wait(is_question);
    pipes.send(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": result }));
    question
}

fn accepted(content: Value) -> Value {
    json!({ "action": "accept", "content": content })
}

const ASK_TWICE: fn() -> Value = || json!({ "name": "ask_twice", "arguments": {} });

#[test]
fn a_tool_asks_in_two_rounds_and_keeps_what_it_was_told() {
    let folder = folder();
    let mut pipes = start(&folder, json!({ "elicitation": {} }));
    pipes.request("ask", "tools/call", ASK_TWICE());
    let first = answer(&mut pipes, accepted(json!({ "name": "Ada" })));
    assert!(
        first["params"]["requestedSchema"]["properties"]["name"].is_object(),
        "{first}"
    );
    answer(&mut pipes, accepted(json!({ "age": 36 })));
    assert_eq!(text(&pipes.reply("ask")), "Ada is 36");
}

#[test]
fn nobody_holds_a_permit_while_somebody_is_asked() {
    let folder = folder();
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    folder.write(
        "toolhost.toml",
        format!("[host]\nmax-concurrency = 1\n{manifest}"),
    );
    let mut pipes = start(&folder, json!({ "elicitation": {} }));
    pipes.request("ask", "tools/call", ASK_TWICE());
    let question = pipes.wait(is_question);
    let reply = pipes.call("echo", "echo", json!({ "text": "meanwhile" }));
    assert_eq!(text(&reply), "meanwhile");
    let declined = json!({ "action": "decline" });
    pipes.send(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": declined }));
    let reply = pipes.reply("ask");
    assert_eq!(reply["result"]["isError"], true);
    assert!(text(&reply).contains("declined"), "{reply}");
}

#[test]
fn answers_that_are_none_fail_the_call_and_say_why() {
    let folder = folder();
    let mut pipes = start(&folder, json!({ "elicitation": {} }));
    pipes.request("misfit", "tools/call", ASK_TWICE());
    answer(&mut pipes, accepted(json!({ "name": 7 })));
    let reply = pipes.reply("misfit");
    assert_eq!(reply["result"]["isError"], true);
    assert!(text(&reply).contains("does not fit"), "{reply}");

    pipes.request("error", "tools/call", ASK_TWICE());
    let question = pipes.wait(is_question);
    let error = json!({ "code": -1, "message": "not today" });
    pipes.send(&json!({ "jsonrpc": "2.0", "id": question["id"], "error": error }));
    let reply = pipes.reply("error");
    assert_eq!(reply["result"]["isError"], true);
    assert!(text(&reply).contains("not today"), "{reply}");
}

#[test]
fn a_client_that_cannot_be_asked_is_not() {
    let folder = folder();
    let mut pipes = start(&folder, json!({}));
    let reply = pipes.ask("ask", "tools/call", ASK_TWICE());
    assert_eq!(reply["result"]["isError"], true);
    assert!(text(&reply).contains("nobody"), "{reply}");
}

#[test]
fn a_call_is_cancelled_while_somebody_is_asked() {
    let folder = folder();
    let mut pipes = start(&folder, json!({ "elicitation": {} }));
    pipes.request("ask", "tools/call", ASK_TWICE());
    pipes.wait(is_question);
    let params = json!({ "requestId": "ask" });
    pipes.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }));
    let reply = pipes.call("echo", "echo", json!({ "text": "after" }));
    assert_eq!(text(&reply), "after");
    assert!(pipes.finish().success());
}

// By the stateless protocol.

fn call(tool: &str, arguments: Value, more: Value) -> Value {
    let mut params = json!({ "name": tool, "arguments": arguments });
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    stateless("tools/call", params, json!({ "elicitation": {} }))
}

fn send(server: &Http, token: &str, message: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    post_stateless(server.address(), &[("Authorization", &bearer)], message)
}

/// A state of the tool, with who asks for it.
fn state(server: &Http, token: &str) -> String {
    let reply = send(
        server,
        token,
        &call(
            "test_input_required_result_request_state",
            json!({}),
            json!({}),
        ),
    );
    let result = &reply.message()["result"];
    assert_eq!(result["resultType"], "input_required", "{reply:?}");
    result["requestState"].as_str().unwrap().to_owned()
}

fn with(state: &str) -> Value {
    let confirm = json!({ "action": "accept", "content": { "ok": true } });
    json!({ "requestState": state, "inputResponses": { "confirm": confirm } })
}

#[test]
fn a_state_is_taken_once_and_of_nobody_else_and_for_nothing_else() {
    const TOOL: &str = "test_input_required_result_request_state";
    let (alice, bob) = (token("alice", ""), token("bob", ""));
    let folder = folder();
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    folder.write(
        "toolhost.toml",
        format!("{manifest}\n{}{}", alice.toml, bob.toml),
    );
    let server = Http::in_folder(folder, &[]);
    let refused = |token: &str, message: &Value, why: &str| {
        let reply = send(&server, token, message);
        let error = reply.message()["error"].clone();
        assert_eq!(error["code"], -32602, "{reply:?}");
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    };

    let sealed = state(&server, &alice.token);
    refused(
        &bob.token,
        &call(TOOL, json!({}), with(&sealed)),
        "integrity",
    );
    let other = "test_input_required_result_tampered_state";
    refused(
        &alice.token,
        &call(other, json!({}), with(&sealed)),
        "integrity",
    );
    refused(
        &alice.token,
        &call(TOOL, json!({ "x": 1 }), with(&sealed)),
        "integrity",
    );
    let cut = &sealed[..sealed.len() - 4];
    refused(
        &alice.token,
        &call(TOOL, json!({}), with(cut)),
        "request state",
    );
    let mut forged = sealed.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    refused(
        &alice.token,
        &call(TOOL, json!({}), with(&forged)),
        "request state",
    );
    refused(
        &alice.token,
        &call(TOOL, json!({}), with("")),
        "request state",
    );

    let reply = send(&server, &alice.token, &call(TOOL, json!({}), with(&sealed)));
    assert_eq!(
        reply.message()["result"]["resultType"],
        "complete",
        "{reply:?}"
    );
    refused(
        &alice.token,
        &call(TOOL, json!({}), with(&sealed)),
        "used before",
    );

    // Each server has a key of its own.
    let another = Http::start();
    let elsewhere = post_stateless(
        another.address(),
        &[],
        &call(TOOL, json!({}), with(&state(&server, &alice.token))),
    );
    assert_eq!(
        elsewhere.message()["error"]["code"],
        -32602,
        "{elsewhere:?}"
    );
}

#[test]
fn what_a_client_cannot_be_asked_is_an_error_that_names_it() {
    let server = Http::start();
    let params = json!({ "name": "ask_twice", "arguments": {} });
    let reply = post_stateless(
        server.address(),
        &[],
        &stateless("tools/call", params, json!({})),
    );
    assert_eq!(reply.status, 400);
    let error = &reply.message()["error"];
    assert_eq!(error["code"], -32021, "{error}");
    assert!(
        error["data"]["requiredCapabilities"]["elicitation"].is_object(),
        "{error}"
    );
}

#[test]
fn responses_of_no_kind_are_refused() {
    let server = Http::start();
    for response in [json!(7), json!({}), json!({ "action": "maybe" }), json!([])] {
        let more = json!({ "inputResponses": { "name": response } });
        let reply = post_stateless(server.address(), &[], &call("ask_twice", json!({}), more));
        assert_eq!(
            reply.message()["error"]["code"],
            -32602,
            "{response}: {reply:?}"
        );
    }
}
