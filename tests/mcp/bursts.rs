//! Too much at once, and what is no message at all: nothing is lost, nothing panics, and whoever comes
//! after it is served.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, New, Old};
use crate::common::binary::{Folder, listed};
use crate::http;
use crate::server::Http;

const REQUESTS: usize = 10_000;

fn initialize() -> Value {
    json!({ "jsonrpc": "2.0", "id": "begin", "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    } })
}

#[test]
fn ten_thousand_requests_are_each_answered_once_to_a_slow_reader() {
    let folder = crate::server::folder();
    let mut child = folder
        .command(&["serve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = child.stderr.take().unwrap();
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        stderr.read_to_string(&mut said).map(|_| said)
    });
    let mut messages = vec![
        initialize(),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
    ];
    messages.extend((0..REQUESTS).map(|id| match id % 3 {
        0 => json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }),
        1 => json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "echo", "arguments": { "text": format!("text {id}") } } }),
        _ => json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "nope" } }),
    }));
    let written = Arc::new(AtomicUsize::new(0));
    let writer = std::thread::spawn({
        let written = written.clone();
        move || {
            for message in messages {
                stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
            stdin
        }
    });
    // Nobody reads until no more is taken in, or all is.
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = written.load(Ordering::Relaxed);
        if now > 0 && now == before {
            break;
        }
        before = now;
    }
    let mut answers: BTreeMap<usize, Value> = BTreeMap::new();
    let mut line = String::new();
    while answers.len() < REQUESTS {
        line.clear();
        let length = stdout.read_line(&mut line).unwrap();
        assert!(length > 0, "{} answers, and it has gone", answers.len());
        let answer: Value = serde_json::from_str(&line).unwrap();
        if answer["id"] == "begin" {
            continue;
        }
        let id = answer["id"].as_u64().unwrap_or_else(|| panic!("{line}")) as usize;
        if let Some(first) = answers.insert(id, answer) {
            panic!("answered twice: {first} {line}");
        }
    }
    for (id, answer) in &answers {
        match id % 3 {
            0 => assert_eq!(answer["result"], json!({})),
            1 => assert_eq!(
                answer["result"]["content"][0]["text"],
                format!("text {id}"),
                "{answer}"
            ),
            _ => assert_eq!(answer["error"]["code"], -32602, "{answer}"),
        }
    }
    drop(writer.join().unwrap());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "more answers than requests");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let said = said.join().unwrap().unwrap();
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn requests_at_once_over_http_are_all_answered() {
    let server = Http::start();
    for revision in [Old, New] {
        let mut client = Client::http(&server, revision, json!({}));
        let ids: Vec<u64> = (0..200)
            .map(|n| client.start("echo", json!({ "text": n.to_string() })))
            .collect();
        for (n, id) in ids.iter().enumerate() {
            let answer = client.answer(*id);
            assert_eq!(answer["result"]["content"][0]["text"], n.to_string());
        }
    }
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

/// Lines that are no request, and what comes of each: nothing, or an error.
fn garbage() -> Vec<Vec<u8>> {
    let deep = |open: &str, times: usize, close: &str| {
        format!("{}1{}", open.repeat(times), close.repeat(times)).into_bytes()
    };
    let mut in_arguments = br#"{"jsonrpc":"2.0","id":1001,"method":"tools/call","params":{"name":"echo","arguments":{"text":"#.to_vec();
    in_arguments.extend(deep("[", 100_000, "]"));
    in_arguments.extend(b"}}}");
    vec![
        b"".to_vec(),
        b"   ".to_vec(),
        b"\r".to_vec(),
        b"garbage".to_vec(),
        b"{".to_vec(),
        b"}{".to_vec(),
        b"null".to_vec(),
        b"0".to_vec(),
        b"\"ping\"".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        br#"[{"jsonrpc":"2.0","id":1002,"method":"ping"}]"#.to_vec(),
        br#"{"jsonrpc":"1.0","id":1003,"method":"ping"}"#.to_vec(),
        br#"{"id":1004,"method":"ping"}"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":1005}"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":1006,"method":7}"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":4711,"result":{}}"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":"nobody","error":{"code":1,"message":"no"}}"#.to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":1007,\"method\":\"ping\",\"x\":\"\xff\xfe\"}".to_vec(),
        b"\xff\xfe\x00p\x00i".to_vec(),
        b"\x00".to_vec(),
        deep("[", 500_000, "]"),
        deep(r#"{"a":"#, 100_000, "}"),
        b"[".repeat(1_000_000),
        in_arguments,
    ]
}

#[test]
fn invalid_messages_get_errors_and_the_session_goes_on() {
    for revision in [Old, New] {
        let mut client = Client::alone(revision, json!({}));
        for line in garbage() {
            client.write([&line[..], b"\n"].concat());
            let shown = String::from_utf8_lossy(&line[..line.len().min(100)]).into_owned();
            // What comes before the next answer is of that line.
            assert_eq!(
                client.text("echo", json!({ "text": "hi" })),
                "hi",
                "{shown}"
            );
            while let Some(message) = client.try_take(Duration::ZERO, |_| true) {
                // A call all the same, with arguments that no tool takes.
                let is_refused = message["result"]["isError"] == true && message["id"] == 1001;
                let is_error = message.get("error").is_some() || is_refused;
                assert!(is_error, "{shown}: {message}");
                assert!(message.get("garbage").is_none(), "{shown}: {message}");
            }
        }
        let said = client.process().said();
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn ids_come_back_as_they_were() {
    let mut client = Client::alone(Old, json!({}));
    let long = "x".repeat(1_000);
    for id in [
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(""),
        json!("1"),
        json!("Ä\u{0}\n"),
        json!(long),
    ] {
        client.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }));
        let answer = client.take("an answer", |_| true);
        assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": id, "result": {} }));
    }
}

#[test]
fn a_message_over_the_bound_is_refused_and_the_session_goes_on() {
    let folder = Folder::with(format!("{}[serve]\nmax-body = '64KiB'\n", listed("echo")));
    let mut client = Client::stdio(&folder, Old, json!({}));
    for size in [65_536, 100_000, 10_000_000] {
        let text = "x".repeat(size);
        let id = client.start("echo", json!({ "text": text }));
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi", "{size}");
        // It came before, and was not called.
        let answer = client.try_take(Duration::ZERO, |message| message["id"] == id);
        assert!(answer.is_none_or(|answer| answer.get("error").is_some()));
    }
    let fits = "x".repeat(60_000);
    assert_eq!(client.text("echo", json!({ "text": fits })), fits);
    let server = Http::start_in(folder);
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
    ];
    let refused = http::ask(server.address(), "POST /mcp", &headers, &" ".repeat(65_537));
    assert_eq!(refused.status, 413, "{refused:?}");
    assert_eq!(
        Client::http(&server, Old, json!({})).text("echo", json!({ "text": fits })),
        fits
    );
}

#[test]
fn invalid_http_messages_get_a_4xx_status() {
    let server = Http::start();
    let mut client = Client::http(&server, Old, json!({}));
    let session = client.session().to_owned();
    let common = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
    ];
    let of_session = [
        &common[..],
        &[
            ("Mcp-Session-Id", &*session),
            ("MCP-Protocol-Version", "2025-11-25"),
        ],
    ]
    .concat();
    for line in garbage() {
        let Ok(body) = String::from_utf8(line) else {
            continue;
        };
        // Responses to nobody are taken, as any would be.
        if body.contains("4711") || body.contains("nobody") {
            continue;
        }
        for headers in [&common[..], &of_session] {
            let reply = http::ask(server.address(), "POST /mcp", headers, &body);
            let shown = &body[..body.len().min(100)];
            let is_of_session = headers.len() > common.len();
            if is_of_session && body.contains(r#""id":1001,"#) {
                // A call all the same, with arguments that no tool takes.
                assert!(reply.body.contains("invalid-arguments"), "{reply:?}");
                continue;
            }
            assert!((400..500).contains(&reply.status), "{shown}: {reply:?}");
        }
    }
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
    assert!(!server.said().contains("panicked"), "{}", server.said());
}
