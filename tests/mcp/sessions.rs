//! Sessions of the older protocols over HTTP: streams that break, that nobody reads, that are asked for
//! twice.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

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

/// What comes on a stream after an event.
fn after(server: &Http, client: &Client, event: &str) -> Vec<Value> {
    let head = head(client, &[("Last-Event-ID", event)]);
    let stream = http::send(server.address(), "GET /mcp", &head, "").unwrap();
    let incoming = Incoming::read(stream).unwrap();
    assert_eq!(incoming.status, 200);
    let mut messages = Vec::new();
    incoming.messages(|message| messages.push(message));
    messages
}

#[test]
fn a_client_whose_connection_broke_has_its_answer_when_it_comes_back() {
    let server = Http::start();
    let client = Client::http(&server, Old, json!({}));
    // Before the answer is there, and after.
    for (id, pause) in [(100, 0), (101, 2000)] {
        let params = json!({ "name": "test_reconnection", "arguments": {} });
        let stream = call(&server, &client, id, params);
        let event = first_event(&stream);
        http::hang_up(&stream);
        std::thread::sleep(Duration::from_millis(pause));
        let messages = after(&server, &client, &event);
        let [answer] = &messages[..] else {
            panic!("{messages:?}");
        };
        assert_eq!(answer["id"], id, "{answer}");
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(text, "Reconnection test completed", "{answer}");
    }
    for event in ["7/4000", "x", "0/0/0", ""] {
        assert_eq!(after(&server, &client, event), [] as [Value; 0], "{event}");
    }
}

#[test]
fn an_id_that_is_in_use_is_refused_and_free_again_later() {
    let server = Http::start();
    let mut client = Client::http(&server, Old, json!({}));
    let request = |tool: &str, arguments: Value| {
        let params = json!({ "name": tool, "arguments": arguments });
        json!({ "jsonrpc": "2.0", "id": 100, "method": "tools/call", "params": params })
    };
    client.send(&request("spin", json!({})));
    // Its connection is another: whichever comes first runs.
    std::thread::sleep(Duration::from_millis(200));
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
fn of_two_streams_for_what_is_told_one_is_told() {
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
fn the_second_of_two_streams_is_told_once_the_first_is_gone() {
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
    std::thread::sleep(Duration::from_millis(200));
    http::hang_up(&first);
    std::thread::sleep(Duration::from_millis(200));
    client.call("change_resources", json!({}));
    let (sender, told) = std::sync::mpsc::channel();
    for stream in others {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let incoming = Incoming::read(stream).unwrap();
            incoming.messages(|message| drop(sender.send(message)));
        });
    }
    let message = told.recv_timeout(http::PATIENCE).unwrap();
    assert_eq!(message["method"], "notifications/resources/list_changed");
    assert!(told.recv_timeout(Duration::from_millis(200)).is_err());
}

#[test]
fn what_was_cancelled_takes_no_place_of_an_answer_that_waits() {
    let server = Http::start();
    let [waits, cancels] = [0, 1].map(|_| Client::http(&server, Old, json!({})));
    let params = json!({ "name": "test_reconnection", "arguments": {} });
    let stream = call(&server, &waits, 100, params);
    let event = first_event(&stream);
    http::hang_up(&stream);
    std::thread::sleep(Duration::from_secs(1));
    for id in 200..300 {
        let params = json!({ "name": "spin", "arguments": {} });
        let stream = call(&server, &cancels, id, params);
        first_event(&stream);
        http::hang_up(&stream);
        std::thread::sleep(Duration::from_millis(10));
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
