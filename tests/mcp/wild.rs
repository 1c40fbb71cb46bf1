//! What clients in the wild send that is not what the protocol says, each as somebody reported it of some
//! server.

use serde_json::{Value, json};

use crate::client::{Client, New, Old};
use crate::common::binary::{Folder, listed};
use crate::common::wait_until;
use crate::http::{self, Reply};
use crate::resident::{wait_until_busy, wait_until_idle};
use crate::server::{Http, folder};

const HEAD: [(&str, &str); 2] = [
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
];

fn post(server: &Http, more: &[(&str, &str)], body: &Value) -> Reply {
    let head = [&HEAD[..], more].concat();
    http::ask(server.address(), "POST /mcp", &head, &body.to_string())
}

fn initialize(params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })
}

fn whole() -> Value {
    json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    })
}

#[track_caller]
fn begun(reply: &Reply) -> Value {
    let message: Value = serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("{reply:?}"));
    assert!(message["result"]["serverInfo"].is_object(), "{reply:?}");
    assert!(reply.header("mcp-session-id").is_some(), "{reply:?}");
    message["result"].clone()
}

/// `initialize` with less than it should have.
fn poor() -> Vec<Value> {
    let mut poor = vec![json!({}), Value::Null];
    for member in ["protocolVersion", "capabilities", "clientInfo"] {
        for value in [None, Some(Value::Null)] {
            let mut params = whole();
            match value {
                Some(value) => params[member] = value,
                None => drop(params.as_object_mut().unwrap().remove(member)),
            }
            poor.push(params);
        }
    }
    let mut params = whole();
    params["clientInfo"] = json!({ "name": "curl" });
    poor.push(params);
    poor
}

#[test]
fn a_session_begins_with_whatever_its_client_says_of_itself() {
    let server = Http::start();
    for params in poor() {
        let result = begun(&post(&server, &[], &initialize(params.clone())));
        assert_eq!(result["protocolVersion"], "2025-11-25", "{params}");
        let folder = Folder::with(listed("echo"));
        let mut client = Client::stdio_raw(&folder, Old, json!({}));
        client.send(&initialize(params.clone()));
        assert!(
            client.answer(0)["result"]["serverInfo"].is_object(),
            "{params}"
        );
    }
    // What is there and wrong is said to be.
    for (member, value) in [("capabilities", json!(7)), ("clientInfo", json!("me"))] {
        let mut params = whole();
        params[member] = value;
        let reply = post(&server, &[], &initialize(params.clone()));
        assert_eq!(reply.status, 400, "{reply:?}");
        let message: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(
            (&message["error"]["code"], &message["id"]),
            (&json!(-32602), &json!(0))
        );
        let folder = Folder::with(listed("echo"));
        let mut client = Client::stdio_raw(&folder, Old, json!({}));
        client.send(&initialize(params));
        assert_eq!(client.answer(0)["error"]["code"], -32602);
        // It may begin all the same.
        client.send(&initialize(whole()));
        assert!(client.answer(0)["result"]["serverInfo"].is_object());
    }
}

#[test]
fn initialize_id_comes_back_whole_up_to_its_bound() {
    let server = Http::start();
    let id = "i".repeat(600);
    let mut message = initialize(whole());
    message["id"] = json!(id);
    let reply = post(&server, &[], &message);
    begun(&reply);
    let answer: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(answer["id"], json!(id));
    message["id"] = json!("i".repeat(2_000));
    let reply = post(&server, &[], &message);
    assert_eq!(reply.status, 400, "{reply:?}");
    let answer: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(answer["error"]["code"], json!(-32600), "{reply:?}");
    assert!(reply.header("mcp-session-id").is_none(), "{reply:?}");
}

#[test]
fn a_client_begins_anew_after_a_restart_with_the_session_of_before() {
    let server = Http::start();
    let before = [("Mcp-Session-Id", "of-the-server-before")];
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    assert_eq!(post(&server, &before, &ping).status, 404);
    begun(&post(&server, &before, &initialize(whole())));
}

#[test]
fn the_version_that_initialize_asks_for_is_its_body_s() {
    let server = Http::start();
    for version in ["2025-06-18", "2099-01-01", "2026-07-28"] {
        let header = [("MCP-Protocol-Version", version)];
        let result = begun(&post(&server, &header, &initialize(whole())));
        assert_eq!(result["protocolVersion"], "2025-11-25");
    }
    let mut params = whole();
    params["protocolVersion"] = json!("2099-01-01");
    let result = begun(&post(&server, &[], &initialize(params)));
    assert_eq!(result["protocolVersion"], "2025-11-25");
}

#[test]
fn an_event_without_data_is_for_clients_that_know_it() {
    let server = Http::start();
    for (version, is_there) in [
        ("2025-11-25", true),
        ("2025-06-18", false),
        ("2025-03-26", false),
    ] {
        let mut params = whole();
        params["protocolVersion"] = json!(version);
        let both = ("Accept", "application/json, text/event-stream");
        let kind = ("Content-Type", "application/json");
        let ask = |more: &[(&str, &str)], body: Value| {
            let head = [&[kind, both][..], more].concat();
            http::ask(server.address(), "POST /mcp", &head, &body.to_string())
        };
        let reply = ask(&[], initialize(params));
        assert!(!has_empty(&reply), "{reply:?}");
        let session = reply.header("mcp-session-id").unwrap().to_owned();
        let more = [
            ("Mcp-Session-Id", &*session),
            ("MCP-Protocol-Version", version),
        ];
        ask(
            &more,
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        );
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let reply = ask(&more, list);
        assert_eq!(has_empty(&reply), is_there, "{version}: {reply:?}");
        assert!(reply.body.contains("\"tools\""), "{reply:?}");
    }
}

fn has_empty(reply: &Reply) -> bool {
    reply.body.lines().any(|line| line.trim() == "data:")
}

/// The path of a null in JSON.
fn null(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(path.to_owned()),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(at, item)| null(item, &format!("{path}/{at}")))
        }
        Value::Object(members) => {
            let mut members = members.iter();
            members.find_map(|(name, value)| null(value, &format!("{path}/{name}")))
        }
        _ => None,
    }
}

#[test]
fn what_is_not_there_is_left_out_and_not_null() {
    let capabilities = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    for revision in [Old, New] {
        let folder = Folder::with(format!(
            "[serve]\ntask-after = \"300ms\"\nmax-result-chars = 5000\n{}{}",
            listed("conformance"),
            listed("echo")
        ));
        let mut client = Client::inside(folder, revision, capabilities.clone());
        let mut answers = Vec::new();
        for (method, params) in [
            ("tools/list", json!({})),
            ("prompts/list", json!({})),
            ("resources/list", json!({})),
            ("resources/templates/list", json!({})),
            ("resources/read", json!({ "uri": "test://static-text" })),
            ("resources/read", json!({ "uri": "test://static-binary" })),
            ("prompts/get", json!({ "name": "test_simple_prompt" })),
            ("prompts/get", json!({ "name": "nobody" })),
            ("no/such", json!({})),
        ] {
            answers.push(client.ask(method, params));
        }
        for (tool, arguments) in [
            ("echo", json!({ "text": "hi" })),
            ("echo", json!({})),
            ("none", json!({})),
            ("test_multiple_content_types", json!({})),
            ("test_error_handling", json!({})),
            ("slow_compute", json!({ "seconds": 1.0 })),
        ] {
            let params = json!({ "name": tool, "arguments": arguments });
            answers.push(client.ask("tools/call", params));
        }
        let task = answers.last().unwrap()["result"]["taskId"].clone();
        answers.push(client.ask("tasks/get", json!({ "taskId": task })));
        for answer in answers {
            // A schema may have one that means something.
            let found = null(&answer, "").filter(|path| !path.contains("Schema"));
            assert_eq!(found, None, "{answer:#}");
        }
    }
}

#[test]
fn a_call_that_is_cancelled_is_no_error_of_the_server() {
    let server = Http::start();
    let mut new = Client::http(&server, New, json!({}));
    new.start("spin", json!({}));
    wait_until_busy(server.process());
    new.hang_up();
    wait_until_idle(server.process());
    let mut old = Client::http(&server, Old, json!({}));
    let id = old.start("spin", json!({}));
    wait_until_busy(server.process());
    old.notify("notifications/cancelled", json!({ "requestId": id }));
    // Whoever logs it has done so once what came later is answered, and what is left of it is over.
    assert_eq!(old.text("echo", json!({ "text": "hi" })), "hi");
    wait_until_idle(server.process());
    let said = server.said();
    assert!(!said.contains("ERROR"), "{said}");
}

#[test]
fn a_refused_host_is_told_what_to_do_and_so_is_the_operator_once() {
    let server = Http::start();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    for host in [
        "tools.example.com",
        "other.example.com",
        "tools.example.com",
    ] {
        let reply = post(&server, &[("Host", host)], &ping);
        assert_eq!(reply.status, 403, "{reply:?}");
        assert!(
            reply.body.contains("[serve]") && reply.body.contains("hosts"),
            "{reply:?}"
        );
    }
    wait_until("the operator is told", || server.said().contains("[serve]"));
    let said = server.said();
    assert_eq!(said.matches("[serve]").count(), 1, "{said}");
    assert!(
        said.contains("tools.example.com") && said.contains("127.0.0.1"),
        "{said}"
    );
}

#[test]
fn check_says_what_clients_cut() {
    let long = "x".repeat(3000);
    let folder = Folder::with(format!(
        "[serve]\ninstructions = \"{long}\"\ntask-only = [\"nope\"]\n{}",
        listed("echo")
    ));
    let checked = folder.run(&["check"], "");
    assert_eq!(checked.status, 0, "{checked:?}");
    for warning in [
        "warning: `serve.instructions` has 3000 bytes",
        "warning: `serve.task-only` names an unknown tool: `nope`",
    ] {
        assert!(checked.stdout.contains(warning), "{checked:?}");
    }
}

/// A call as its client wrote it, with an id that no other has.
fn call(id: u64, tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    ) + "\n"
}

#[test]
fn a_request_over_stdio_that_cannot_be_read_is_answered_by_its_id() {
    let folder = Folder::with(listed("echo"));
    let mut client = Client::stdio(&folder, Old, json!({}));
    let deep = format!("{{\"text\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let bad = [r#"{"text":"a\ud83dz"}"#, r#"{"text":1e999}"#, &deep];
    for (id, arguments) in (100..).zip(bad) {
        client.write(call(id, "echo", arguments));
        let answer = client.answer(id);
        let result = &answer["result"];
        assert_eq!(result["isError"], true, "{answer}");
        let code = &result["_meta"]["error"]["code"];
        assert_eq!(code, "invalid-arguments", "{answer}");
    }
    let request = |id: u64, rest: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{rest}"#);
    let no_json = [
        r#""tools/list","params":{"cursor":"\ud83dz"}}"#,
        r#""ping","params":{"a":1e999}}"#,
        r#""ping","params":{]}}"#,
        r#""ping""#,
        r#""ping"}}"#,
    ];
    for (id, rest) in (200..).zip(no_json) {
        client.write(request(id, rest) + "\n");
        let answer = client.answer(id);
        assert_eq!(answer["error"]["code"], -32700, "{answer}");
    }
    client.write("{\"jsonrpc\":\"1.0\",\"id\":300,\"method\":\"ping\"}\n");
    assert_eq!(client.answer(300)["error"]["code"], -32600);
    client.write("{\"jsonrpc\":\"2.0\",\"id\":\"a-b\",\"method\":\"ping\",,}\n");
    let answer = client.take("answer to a-b", |message| message["id"] == "a-b");
    assert_eq!(answer["error"]["code"], -32700, "{answer}");
    // What has no id, or is an answer, may be anything.
    for silent in ["hello", "{", r#"{"method":"#, r#"{"id":5,"result":{]}"#, ""] {
        client.write(format!("{silent}\n"));
    }
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
    let more = client.try_take(std::time::Duration::from_millis(100), |_| true);
    assert_eq!(more, None);
}

#[test]
fn a_message_over_stdio_that_is_too_long_is_answered_by_its_id() {
    let folder = Folder::with(format!("[serve]\nmax-body = \"64KiB\"\n{}", listed("echo")));
    let mut client = Client::stdio(&folder, Old, json!({}));
    let long = json!({ "text": "x".repeat(100_000) });
    client.write(call(100, "echo", &long.to_string()));
    assert_eq!(client.answer(100)["error"]["code"], -32600);
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
}

#[test]
fn an_id_that_is_in_use_over_stdio_is_refused_and_free_again_later() {
    let folder = Folder::with([listed("misbehave"), listed("echo")].concat());
    let mut client = Client::stdio(&folder, Old, json!({}));
    let hi = call(100, "echo", r#"{"text":"hi"}"#);
    client.write(call(100, "spin", "{}") + &hi);
    let answer = client.answer(100);
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    client.notify("notifications/cancelled", json!({ "requestId": 100 }));
    // Once the call has ended.
    for _ in 0..2 {
        wait_until("the id is free", || {
            client.write(&hi);
            client.answer(100)["result"]["content"][0]["text"] == "hi"
        });
    }
}

#[test]
fn arguments_with_a_name_twice_are_refused_however_they_come() {
    let twice = r#"{"text":"a","text":"b"}"#;
    let refused = |answer: Value| {
        let result = &answer["result"];
        assert_eq!(result["isError"], true, "{answer}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("`text` is a duplicate key"), "{answer}");
    };
    // A client by hand writes no name twice: it is put in where the name is another.
    let put_in = |message: Value| message.to_string().replace("TWICE", "text") + "\n";
    let arguments = json!({ "TWICE": "a", "text": "b" });
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let stateless = put_in(json!({
        "jsonrpc": "2.0", "id": 100, "method": "tools/call",
        "params": { "name": "echo", "arguments": arguments, "_meta": meta },
    }));
    let folder = Folder::with(listed("echo"));
    let mut old = Client::stdio(&folder, Old, json!({}));
    old.write(call(100, "echo", twice));
    refused(old.answer(100));
    let mut new = Client::stdio(&folder, New, json!({}));
    new.write(&stateless);
    refused(new.answer(100));
    let server = Http::start();
    let head = [
        &HEAD[..],
        &[
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", "echo"),
        ],
    ];
    let reply = http::ask(server.address(), "POST /mcp", &head.concat(), &stateless);
    refused(serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("{reply:?}")));
}

/// What is in the way of a client that asks which versions there are, gives up waiting, and goes on by the old
/// protocol on the same pipes; and what comes without any beginning.
#[test]
fn what_comes_ahead_of_the_first_request_ends_no_session_over_stdio() {
    let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let answer = json!({ "jsonrpc": "2.0", "id": 5, "result": {} });
    let early = json!({ "jsonrpc": "2.0", "id": "early", "method": "tools/list" });
    let future = json!({ "jsonrpc": "2.0", "id": "future", "method": "server/discover", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    } } });
    let folder = folder();
    let mut client = Client::stdio_raw(&folder, Old, json!({}));
    for message in [
        &cancelled,
        &initialized,
        &answer,
        &early,
        &future,
        &cancelled,
    ] {
        client.send(message);
    }
    for id in ["early", "future"] {
        let answer = client.take(id, |message| message["id"] == id);
        assert!(answer.get("error").is_some(), "{answer}");
    }
    client.send(&json!({ "jsonrpc": "2.0", "id": "i", "method": "initialize", "params": whole() }));
    let begun = client.take("initialize", |message| message["id"] == "i");
    assert!(begun.get("result").is_some(), "{begun}");
    // A client need not say that it has begun.
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
    assert!(client.so_far("garbage").is_empty());
}

#[test]
fn a_session_over_http_need_not_be_said_to_have_begun() {
    let server = Http::start();
    let begun = post(&server, &[], &initialize(whole()));
    let session = begun.header("mcp-session-id").unwrap().to_owned();
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params":
        { "name": "echo", "arguments": { "text": "hi" } } });
    let reply = post(&server, &[("Mcp-Session-Id", &session)], &call);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.contains(r#""text":"hi""#), "{reply:?}");
}

/// Whoever correlates errors with requests by their ids reads none that says `null`, or something else.
#[test]
fn http_refusals_carry_the_request_id() {
    let server = Http::start();
    let client = Client::http(&server, Old, json!({}));
    let call = r#"{"jsonrpc":"2.0","id":"seven","method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}"#;
    let json = "application/json";
    let both = "application/json, text/event-stream";
    let now = ("MCP-Protocol-Version", "2025-11-25");
    let session = ("Mcp-Session-Id", client.session());
    let gone = ("Mcp-Session-Id", "gone");
    type Head<'h> = Vec<(&'h str, &'h str)>;
    let kind = |kind: &'static str| vec![("Accept", both), ("Content-Type", kind), session, now];
    let cases: Vec<(Head, &str, u16, i64, &str, bool)> = vec![
        (kind("text/plain"), call, 415, -32600, json, true),
        (
            kind("application/x-www-form-urlencoded"),
            call,
            415,
            -32600,
            json,
            true,
        ),
        (
            vec![("Accept", both), session, now],
            call,
            415,
            -32600,
            json,
            true,
        ),
        (
            vec![
                ("Accept", "text/html"),
                ("Content-Type", json),
                session,
                now,
            ],
            call,
            406,
            -32600,
            "Accept",
            true,
        ),
        (
            vec![("Accept", both), ("Content-Type", json), gone, now],
            call,
            404,
            -32600,
            "ession",
            true,
        ),
        (
            vec![("Accept", both), ("Content-Type", json), now],
            call,
            400,
            -32600,
            "ession",
            true,
        ),
        (
            kind(json),
            r#"{"jsonrpc":"2.0","id":"seven","method":"tools/call","params":{"#,
            400,
            -32700,
            "no JSON",
            true,
        ),
        (kind(json), "", 400, -32700, "no JSON", false),
        (kind(json), "hi", 400, -32700, "no JSON", false),
        (
            kind(json),
            r#"{"jsonrpc":"1.0","id":"seven","method":"ping"}"#,
            400,
            -32600,
            "`jsonrpc` is not",
            true,
        ),
        (
            kind(json),
            r#"{"id":"seven"}"#,
            400,
            -32600,
            "`jsonrpc` is missing",
            true,
        ),
        (kind(json), "[]", 400, -32600, "separately", false),
        (kind(json), " [1]", 400, -32600, "separately", false),
        (
            kind(json),
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            400,
            -32600,
            "separately",
            false,
        ),
        (
            kind(json),
            r#"[{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}},{"jsonrpc":"2.0","id":2,"method":"completion/complete","params":{}}]"#,
            400,
            -32600,
            "separately",
            false,
        ),
    ];
    for (head, body, status, code, says, has_id) in cases {
        let reply = http::ask(server.address(), "POST /mcp", &head, body);
        let case = format!("{head:?} {body}: {reply:?}");
        assert_eq!(reply.status, status, "{case}");
        assert_eq!(reply.header("content-type"), Some(json), "{case}");
        let message: Value = serde_json::from_str(&reply.body).expect(&case);
        assert_eq!(message["jsonrpc"], "2.0", "{case}");
        assert_eq!(message["error"]["code"], code, "{case}");
        let text = message["error"]["message"].as_str().unwrap();
        assert!(text.contains(says), "{case}");
        let id = has_id.then_some("seven");
        assert_eq!(message["id"].as_str(), id, "{case}");
    }
    // The session is as good as before.
    let reply = http::ask(
        server.address(),
        "POST /mcp",
        &kind("application/json;charset=UTF-8"),
        call,
    );
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn an_array_over_stdio_is_refused_and_says_why() {
    let mut client = Client::alone(Old, json!({}));
    client.write(b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]\n");
    let refused = client.take("refusal", |message| message.get("error").is_some());
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    let text = refused["error"]["message"].as_str().unwrap();
    assert!(text.contains("separately"), "{refused}");
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
}
