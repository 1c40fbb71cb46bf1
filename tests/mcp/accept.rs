//! What a client gets that does not name both kinds of answers in `Accept`, as many in the wild do not.

use serde_json::{Value, json};

use crate::client::{Client, New, Old, Revision};
use crate::http::{self, Incoming, Reply};
use crate::server::Http;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// What a message is sent with, by a client that takes such answers.
fn head<'h>(
    client: &'h Client,
    accept: Option<&'h str>,
    method: &'h str,
    name: &'h str,
) -> Vec<(&'h str, &'h str)> {
    let mut head = vec![
        ("Content-Type", JSON),
        ("MCP-Protocol-Version", client.revision.name()),
    ];
    head.extend(accept.map(|accept| ("Accept", accept)));
    match client.revision {
        Old => head.push(("Mcp-Session-Id", client.session())),
        New => head.extend([("Mcp-Method", method), ("Mcp-Name", name)]),
    }
    head
}

fn request(revision: Revision, method: &str, mut params: Value, capabilities: Value) -> String {
    if revision == New {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": revision.name(),
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": capabilities,
        });
    }
    json!({ "jsonrpc": "2.0", "id": 77, "method": method, "params": params }).to_string()
}

fn call(server: &Http, client: &Client, accept: Option<&str>, tool: &str, args: Value) -> Reply {
    let params = json!({ "name": tool, "arguments": args });
    let body = request(client.revision, "tools/call", params, json!({}));
    let head = head(client, accept, "tools/call", tool);
    http::ask(server.address(), "POST /mcp", &head, &body)
}

/// The one message of a response, whichever kind it is of.
#[track_caller]
fn message(reply: &Reply) -> Value {
    let text = match reply.header("content-type") {
        Some(JSON) => &*reply.body,
        Some(EVENTS) => {
            let mut data = reply
                .body
                .lines()
                .filter_map(|it| it.strip_prefix("data: "));
            data.next_back().unwrap_or_else(|| panic!("{reply:?}"))
        }
        other => panic!("{other:?}: {reply:?}"),
    };
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_answer_is_of_a_kind_that_the_client_takes() {
    let server = Http::start();
    for revision in [Old, New] {
        let client = Client::http(&server, revision, json!({}));
        // Quick, silent for a while, and with something to say before it answers.
        let tools = [
            ("echo", json!({ "text": "hi" })),
            ("slow_compute", json!({ "seconds": 0.3 })),
            ("test_logging_tool", json!({})),
            ("echo", json!({})),
        ];
        for (accept, kind) in [
            (None, JSON),
            (Some(""), JSON),
            (Some("*/*"), JSON),
            (Some("application/json"), JSON),
            (Some("application/*;q=0.1"), JSON),
            (Some("application/json, text/plain, */*"), JSON),
            (Some("application/json, text/event-stream;q=0"), JSON),
            (Some("application/json, text/event-stream;q=0.5"), JSON),
            (Some("text/event-stream"), EVENTS),
            (Some("text/*"), EVENTS),
            (Some("*/*, application/json;q=0"), EVENTS),
        ] {
            for (tool, arguments) in &tools {
                let reply = call(&server, &client, accept, tool, arguments.clone());
                let case = format!("{revision:?} {accept:?} {tool}: {reply:?}");
                assert_eq!(reply.status, 200, "{case}");
                assert_eq!(reply.header("content-type"), Some(kind), "{case}");
                let message = message(&reply);
                assert_eq!(message["id"], 77, "{case}");
                assert!(message["result"]["content"].is_array(), "{case}");
            }
            let body = request(revision, "tools/list", json!({}), json!({}));
            let head = head(&client, accept, "tools/list", "");
            let head: Vec<_> = head.into_iter().filter(|it| it.0 != "Mcp-Name").collect();
            let reply = http::ask(server.address(), "POST /mcp", &head, &body);
            assert_eq!(reply.header("content-type"), Some(kind), "{accept:?}");
            assert!(message(&reply)["result"]["tools"].is_array(), "{reply:?}");
        }
        for accept in ["text/html", "*/*;q=0", "application/json;q=0.000"] {
            let reply = call(
                &server,
                &client,
                Some(accept),
                "echo",
                json!({ "text": "hi" }),
            );
            assert_eq!(reply.status, 406, "{accept}: {reply:?}");
            assert!(reply.body.contains(EVENTS), "{reply:?}");
        }
    }
}

#[test]
fn a_session_begins_as_json_and_its_notifications_are_taken() {
    let server = Http::start();
    let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "curl", "version": "1" },
    } });
    let head = [("Content-Type", JSON), ("Accept", "*/*")];
    let reply = http::ask(server.address(), "POST /mcp", &head, &body.to_string());
    assert_eq!(message(&reply)["result"]["protocolVersion"], "2025-11-25");
    let session = reply.header("mcp-session-id").unwrap().to_owned();
    let head = [&head[..], &[("Mcp-Session-Id", &*session)]].concat();
    let begun = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let reply = http::ask(server.address(), "POST /mcp", &head, &begun.to_string());
    assert_eq!((reply.status, &*reply.body), (202, ""));
    let reply = http::ask(server.address(), "DELETE /mcp", &head, "");
    assert_eq!((reply.status, &*reply.body), (204, ""), "{reply:?}");
    let reply = http::ask(server.address(), "DELETE /mcp", &head, "");
    assert_eq!(reply.status, 404, "{reply:?}");
}

#[test]
fn the_stream_of_a_session_is_for_who_takes_events() {
    let server = Http::start();
    let client = Client::http(&server, Old, json!({}));
    let get = |accept: Option<&str>| {
        let head = head(&client, accept, "", "");
        let stream = http::send(server.address(), "GET /mcp", &head, "").unwrap();
        Incoming::read(stream).unwrap()
    };
    for accept in [None, Some("*/*"), Some("text/*"), Some(EVENTS)] {
        let incoming = get(accept);
        assert_eq!((incoming.status, incoming.is_stream()), (200, true));
    }
    for accept in [JSON, "*/*, text/event-stream;q=0", "text/html"] {
        assert_eq!(get(Some(accept)).status, 406, "{accept}");
    }
}

fn elicit(server: &Http, client: &Client, accept: &str) -> Incoming {
    let params = json!({ "name": "test_elicitation", "arguments": { "message": "Well?" } });
    let body = request(Old, "tools/call", params, json!({}));
    let head = head(client, Some(accept), "tools/call", "");
    let stream = http::send(server.address(), "POST /mcp", &head, &body).unwrap();
    Incoming::read(stream).unwrap()
}

#[test]
fn who_prefers_json_is_asked_by_events_all_the_same() {
    let server = Http::start();
    let mut client = Client::http(&server, Old, json!({ "elicitation": {} }));
    let incoming = elicit(&server, &client, "*/*");
    assert!(incoming.is_stream());
    let mut messages = Vec::new();
    incoming.messages(|message| {
        if message["method"] == "elicitation/create" {
            client.respond(&message, json!({ "action": "decline" }));
        }
        messages.push(message);
    });
    let answer = messages.last().unwrap();
    assert_eq!(answer["id"], 77, "{messages:?}");
    assert!(answer["result"]["content"].is_array(), "{answer}");
}

#[test]
fn json_only_client_is_asked_on_its_session_stream() {
    let server = Http::start();
    let mut client = Client::http(&server, Old, json!({ "elicitation": {} }));
    let mut messages = Vec::new();
    elicit(&server, &client, JSON).messages(|message| messages.push(message));
    let [answer] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    client.listen();
    std::thread::scope(|scope| {
        let (server, address) = (&server, client.session().to_owned());
        let asked = scope.spawn(move || {
            let head = [
                ("Content-Type", JSON),
                ("Accept", JSON),
                ("MCP-Protocol-Version", "2025-11-25"),
                ("Mcp-Session-Id", &*address),
            ];
            let params = json!({ "name": "test_elicitation", "arguments": { "message": "Well?" } });
            let body = request(Old, "tools/call", params, json!({}));
            http::ask(server.address(), "POST /mcp", &head, &body)
        });
        let question = client.told("elicitation/create");
        client.respond(&question, json!({ "action": "decline" }));
        let reply = asked.join().unwrap();
        assert_eq!(reply.header("content-type"), Some(JSON), "{reply:?}");
        assert_ne!(message(&reply)["result"]["isError"], true, "{reply:?}");
    });
}

#[test]
fn a_subscription_needs_events() {
    let server = Http::start();
    let client = Client::http(&server, New, json!({}));
    let ask = |accept: &str| {
        let params = json!({ "notifications": { "toolsListChanged": true } });
        let body = request(New, "subscriptions/listen", params, json!({}));
        let head = head(&client, Some(accept), "subscriptions/listen", "");
        let head: Vec<_> = head.into_iter().filter(|it| it.0 != "Mcp-Name").collect();
        let stream = http::send(server.address(), "POST /mcp", &head, &body).unwrap();
        let incoming = Incoming::read(stream).unwrap();
        (incoming.status, incoming.is_stream())
    };
    assert_eq!(ask(JSON).0, 406);
    assert_eq!(ask("*/*"), (200, true));
    assert_eq!(ask(EVENTS), (200, true));
}
