//! Sessions of the older protocols over HTTP: streams that break, that nobody reads, that are asked for
//! twice.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use toolhost_testing::{Gate, wait_until};

use crate::client::{Client, Old};
use crate::common::binary::{Folder, listed};
use crate::http::{self, Incoming};
use crate::server::Http;

/// The head of a request that `client` could make.
fn head<'c>(client: &'c Client, more: &[(&'c str, &'c str)]) -> Vec<(&'c str, &'c str)> {
    let mut head = vec![
        ("Mcp-Session-Id", client.session()),
        ("MCP-Protocol-Version", "2025-11-25"),
        ("Accept", "application/json, text/event-stream"),
        ("Content-Type", "application/json"),
    ];
    head.extend(more);
    head
}

/// A server of guests whose calls can be held, among others.
fn held(gate: &Gate) -> Http {
    let others = ["conformance", "echo"].map(listed).concat();
    Http::start_in(Folder::with(gate.listed() + "tools = ['hold']\n" + &others))
}

/// Asks for a call, and does not read what comes.
fn call(server: &Http, client: &Client, id: u64, params: Value) -> TcpStream {
    let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    let head = head(client, &[]);
    http::send(server.address(), "POST /mcp", &head, &message.to_string()).unwrap()
}

/// The name of the event that a stream begins with.
fn first_event(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0] as char);
        if let Some((_, rest)) = text.split_once("\nid:")
            && let Some((name, _)) = rest.split_once('\n')
        {
            return name.trim().to_owned();
        }
    }
}

/// Asks for what comes on a stream after an event.
fn resume(server: &Http, client: &Client, event: &str) -> TcpStream {
    let head = head(client, &[("Last-Event-ID", event)]);
    http::send(server.address(), "GET /mcp", &head, "").unwrap()
}

/// What comes on a stream after an event.
fn after(server: &Http, client: &Client, event: &str) -> Vec<Value> {
    all(resume(server, client, event))
}

/// All messages of a stream.
fn all(stream: TcpStream) -> Vec<Value> {
    let incoming = Incoming::read(stream).unwrap();
    assert_eq!(incoming.status, 200);
    let mut messages = Vec::new();
    incoming.messages(|message| messages.push(message));
    messages
}

#[test]
fn a_client_whose_connection_broke_has_its_answer_when_it_comes_back() {
    let gate = Gate::new();
    let server = held(&gate);
    let mut client = Client::http(&server, Old, json!({}));
    // Before the answer is there, and after.
    for (id, is_there) in [(100, false), (101, true)] {
        gate.close();
        let params = json!({ "name": "hold", "arguments": gate.arguments() });
        let stream = call(&server, &client, id, params);
        let event = first_event(&stream);
        http::hang_up(&stream);
        if is_there {
            gate.open();
            assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        }
        // It comes back before the answer is there, if that is not there already.
        let stream = resume(&server, &client, &event);
        gate.open();
        let messages = all(stream);
        let [answer] = &messages[..] else {
            panic!("{messages:?}");
        };
        assert_eq!(answer["id"], id, "{answer}");
        assert_eq!(answer["result"]["content"][0]["text"], "held", "{answer}");
    }
    for event in ["7/4000", "x", "0/0/0", ""] {
        assert_eq!(after(&server, &client, event), [] as [Value; 0], "{event}");
    }
}

#[test]
fn an_id_that_is_in_use_is_refused_and_free_again_later() {
    let gate = Gate::new();
    let server = held(&gate);
    let mut client = Client::http(&server, Old, json!({}));
    let request = |tool: &str, arguments: Value| {
        let params = json!({ "name": tool, "arguments": arguments });
        json!({ "jsonrpc": "2.0", "id": 100, "method": "tools/call", "params": params })
    };
    client.send(&request("hold", gate.arguments()));
    // The connection of the next is another: whichever comes first runs.
    gate.wait_for(1);
    client.send(&request("echo", json!({ "text": "hi" })));
    let answer = client.answer(100);
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("100"), "{message}");
    client.notify("notifications/cancelled", json!({ "requestId": 100 }));
    client.send(&request("echo", json!({ "text": "hi" })));
    let answer = client.answer(100);
    assert_eq!(answer["result"]["content"][0]["text"], "hi", "{answer}");
}

#[test]
fn a_stream_that_nobody_reads_holds_up_no_other_of_its_session() {
    let server = Http::start();
    let mut client = Client::http(&server, Old, json!({}));
    let meta = json!({ "progressToken": "x".repeat(200) });
    let arguments = json!({ "n": 10_000_000 });
    let params = json!({ "name": "many_progress", "arguments": arguments, "_meta": meta });
    let unread = call(&server, &client, 10_000, params);
    for number in 0..200 {
        let text = number.to_string();
        assert_eq!(client.text("echo", json!({ "text": text })), text);
    }
    drop(unread);
}

#[test]
fn a_session_is_not_over_while_a_call_of_it_runs() {
    let plugins = [listed("misbehave"), listed("echo")].concat();
    let manifest = format!("[serve]\nsession-timeout = '300ms'\n{plugins}");
    let server = Http::start_in(Folder::with(manifest));
    let mut client = Client::http(&server, Old, json!({}));
    let slept = client.call("sleep", json!({ "ms": 1500 }));
    assert_ne!(slept["isError"], true, "{slept}");
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
}

#[test]
fn second_get_stream_is_silent_while_first_is_open() {
    let server = Http::start();
    let mut client = Client::http(&server, Old, json!({}));
    client.listen();
    client.listen();
    for _ in 0..3 {
        client.call("change_resources", json!({}));
        client.told("notifications/resources/list_changed");
    }
    let more = |message: &Value| message["method"] == "notifications/resources/list_changed";
    let more = client.try_take(Duration::from_millis(200), more);
    assert_eq!(more, None);
}

#[test]
fn second_get_stream_takes_over_when_the_first_is_gone() {
    let server = Http::start();
    let mut client = Client::http(&server, Old, json!({}));
    let listen = |more: &[(&str, &str)]| {
        let head = head(&client, more);
        http::send(server.address(), "GET /mcp", &head, "").unwrap()
    };
    let first = listen(&[]);
    first_event(&first);
    // One that comes back with nothing is no other than one that comes.
    let others = [listen(&[]), listen(&[("Last-Event-ID", "0")])];
    // The server has them when they are answered.
    let others = others.map(|stream| Incoming::read(stream).unwrap());
    http::hang_up(&first);
    let (sender, told) = std::sync::mpsc::channel();
    for (number, incoming) in others.into_iter().enumerate() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            incoming.messages(|message| drop(sender.send((number, message))));
        });
    }
    // What is told before the first is known to be gone is told to it.
    let mut who = None;
    wait_until("another is told", || {
        client.call("change_resources", json!({}));
        who = told.recv_timeout(Duration::from_millis(200)).ok();
        who.is_some()
    });
    let (who, message) = who.unwrap();
    assert_eq!(message["method"], "notifications/resources/list_changed");
    // From then on it alone.
    client.call("change_resources", json!({}));
    assert_eq!(told.recv_timeout(http::PATIENCE).unwrap().0, who);
    while let Ok((other, _)) = told.recv_timeout(Duration::from_millis(200)) {
        assert_eq!(other, who);
    }
}

#[test]
fn cancelled_calls_evict_no_undelivered_answer() {
    let gate = Gate::new();
    let server = held(&gate);
    let [waits, cancels] = [0, 1].map(|_| Client::http(&server, Old, json!({})));
    let params = json!({ "name": "hold", "arguments": gate.arguments() });
    let stream = call(&server, &waits, 100, params);
    let event = first_event(&stream);
    http::hang_up(&stream);
    gate.open();
    for id in 200..300 {
        let params = json!({ "name": "spin", "arguments": {} });
        let stream = call(&server, &cancels, id, params);
        first_event(&stream);
        http::hang_up(&stream);
        let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": { "requestId": id } });
        let head = head(&cancels, &[]);
        let reply = http::ask(server.address(), "POST /mcp", &head, &cancel.to_string());
        assert_eq!(reply.status, 202, "{reply:?}");
    }
    let messages = after(&server, &waits, &event);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["id"], 100);
}

/// What a reply has: its answer, and what was said before it.
fn answer(reply: &http::Reply) -> (Value, Vec<Value>) {
    if reply.header("content-type") == Some("application/json") {
        return (serde_json::from_str(&reply.body).unwrap(), Vec::new());
    }
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert!(reply.body.starts_with("data: \nid: 0/"), "{}", reply.body);
    let events = reply.body.lines();
    let events = events.filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok());
    let mut events: Vec<Value> = events.collect();
    (events.pop().unwrap(), events)
}

fn message(tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}

#[test]
fn quick_call_is_answered_as_json_and_slow_call_as_events() {
    let server = Http::start();
    let client = Client::http(&server, Old, json!({}));
    let ask = |tool: &str, arguments: &str| {
        let body = message(tool, arguments);
        http::ask(server.address(), "POST /mcp", &head(&client, &[]), &body)
    };
    for (tool, arguments) in [("echo", r#"{"text":"hi"}"#), ("echo", "{}"), ("none", "{}")] {
        // Now and then a call is looked at just when guests have to give way.
        let is_json = (0..20).any(|_| {
            let reply = ask(tool, arguments);
            let (answer, told) = answer(&reply);
            assert_eq!((&answer["id"], told.len()), (&json!(7), 0), "{answer}");
            reply.header("content-type") == Some("application/json")
        });
        assert!(is_json, "{tool}");
    }
    for (tool, arguments, before) in [
        ("test_reconnection", "{}", 0),
        ("test_logging_tool", "{}", 4),
        ("test_tool_with_logging", "{}", 3),
    ] {
        let reply = ask(tool, arguments);
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        let (answer, told) = answer(&reply);
        assert_eq!(answer["id"], 7, "{answer}");
        assert!(answer["result"].is_object(), "{answer}");
        assert_eq!(told.len(), before, "{told:?}");
        let is_log = |event: &Value| event["method"] == "notifications/message";
        assert!(told.iter().all(is_log), "{told:?}");
    }
}

#[test]
fn fast_path_takes_any_head_spelling_and_refuses_invalid_ones() {
    let server = Http::start();
    let client = Client::http(&server, Old, json!({}));
    let (json, both) = ("application/json", "application/json, text/event-stream");
    let body = message("echo", r#"{"text":"hi"}"#);
    let now = "2025-11-25";
    for (accept, kind, version, status) in [
        (both, json, now, 200),
        (both, json, "2024-11-05", 200),
        (
            "text/event-stream,application/json",
            json,
            "2025-06-18",
            200,
        ),
        ("application/json;q=0.9, text/event-stream", json, now, 200),
        ("Application/JSON, Text/Event-Stream", json, now, 200),
        (both, "application/json; charset=utf-8", now, 200),
        (both, "Application/Json", now, 200),
        ("text/html", json, now, 406),
        (both, "text/plain", now, 415),
        (both, "application/jsonx", now, 415),
        (both, json, "2025-11-26", 400),
        (both, json, "", 400),
        // It says how each request of it has to be, which this one is not.
        (both, json, "2026-07-28", 400),
    ] {
        let head = [
            ("Mcp-Session-Id", client.session()),
            ("Accept", accept),
            ("Content-Type", kind),
            ("MCP-Protocol-Version", version),
        ];
        let reply = http::ask(server.address(), "POST /mcp", &head, &body);
        let case = format!("{accept} {kind} {version}: {reply:?}");
        assert_eq!(reply.status, status, "{case}");
        assert_eq!(
            reply.body.contains(r#""text":"hi""#),
            status == 200,
            "{case}"
        );
    }
}

#[test]
fn arguments_arrive_as_they_were_written() {
    let server = Http::start_in(Folder::with(listed("misbehave")));
    let client = Client::http(&server, Old, json!({}));
    let written = r#"{ "big": 12345678901234567890123, "b": 1.0, "a": "\u0041" }"#;
    let body = message("raw_arguments", written);
    let reply = http::ask(server.address(), "POST /mcp", &head(&client, &[]), &body);
    let (answer, _) = answer(&reply);
    assert_eq!(answer["result"]["content"][0]["text"], written);
}

#[test]
fn what_is_like_a_call_is_no_call() {
    let server = Http::start();
    let client = Client::http(&server, Old, json!({}));
    let ask = |body: &str| http::ask(server.address(), "POST /mcp", &head(&client, &[]), body);
    for body in [
        r#"["2.0",7,"tools/call",{"name":"echo","arguments":{"text":"hi"}}]"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":["echo",{"text":"hi"},null]}"#,
        r#"["2.0",7,"tools/call",["echo",{"text":"hi"},null]]"#,
    ] {
        let reply = ask(body);
        assert!(!reply.body.contains(r#""text":"hi""#), "{body}: {reply:?}");
    }
    // Two readers could each see another text.
    let twice = answer(&ask(&message("echo", r#"{"text":7,"text":"hi"}"#))).0;
    let error = &twice["result"]["_meta"]["error"];
    assert_eq!(error["code"], "invalid-arguments", "{twice}");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("`text` is a duplicate key")
    );
}

#[test]
fn a_state_that_the_server_did_not_give_is_refused_in_a_session_too() {
    let server = Http::start();
    let mut over_http = Client::http(&server, Old, json!({}));
    let folder = Folder::with(listed("echo"));
    let mut over_stdio = Client::stdio(&folder, Old, json!({}));
    for client in [&mut over_http, &mut over_stdio] {
        for (member, value) in [
            ("requestState", json!("forged")),
            ("inputResponses", json!({ "k": 5 })),
        ] {
            let mut params = json!({ "name": "echo", "arguments": { "text": "hi" } });
            params[member] = value;
            let error = client.error("tools/call", params);
            assert_eq!(error["code"], -32602, "{error}");
        }
    }
}

#[test]
fn a_session_begins_once() {
    let server = Http::start();
    let mut client = Client::http(&server, Old, json!({}));
    let begin = json!({ "jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} },
        "clientInfo": { "name": "again", "version": "1" },
    } });
    let head = head(&client, &[]);
    let reply = http::ask(server.address(), "POST /mcp", &head, &begin.to_string());
    let error = answer(&reply).0["error"].take();
    assert_eq!(error["code"], -32600, "{error}");
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
}

#[test]
fn a_call_of_a_session_that_is_not_or_no_more_is_not_found() {
    let server = Http::start();
    let client = Client::http(&server, Old, json!({}));
    let ask = |request: &str, session: &str| {
        let mut head = head(&client, &[]);
        head[0].1 = session;
        let body = message("echo", r#"{"text":"hi"}"#);
        http::ask(server.address(), request, &head, &body).status
    };
    assert_eq!(ask("POST /mcp", client.session()), 200);
    assert_eq!(ask("POST /mcp", "nobody"), 404);
    assert!(ask("DELETE /mcp", client.session()) < 300);
    assert_eq!(ask("POST /mcp", client.session()), 404);
}
