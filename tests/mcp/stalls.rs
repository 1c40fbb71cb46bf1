//! Clients that do not read: they hold up themselves.

use std::io::{Read, Write};
use std::process::Stdio;

use serde_json::json;

use crate::client::{Client, New};
use crate::common::binary::{Folder, listed};
use crate::http::send;
use crate::server::{Http, end, folder, signal};

#[test]
fn a_client_that_does_not_read_keeps_no_permit_past_its_deadline() {
    let plugins = ["conformance", "echo"].map(listed).concat();
    let limits = "[host]\nmax-concurrency = 1\ntimeout = '1s'\n";
    let server = Http::start_in(Folder::with(format!("{limits}{plugins}")));
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": "x".repeat(200),
    });
    let params =
        json!({ "name": "many_progress", "arguments": { "n": 10_000_000 }, "_meta": meta });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let headers = [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "many_progress"),
        ("Accept", "application/json, text/event-stream"),
        ("Content-Type", "application/json"),
    ];
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let stream = send(
            server.address(),
            "POST /mcp",
            &headers,
            &message.to_string(),
        );
        stalled.push(stream.unwrap());
    }
    let mut client = Client::http(&server, New, json!({}));
    assert_eq!(client.text("echo", json!({ "text": "served" })), "served");
    drop(stalled);
}

/// A server over stdio that is asked much, and whose answers nobody reads.
fn unread(folder: &Folder) -> std::process::Child {
    let mut child = folder
        .command(&["serve", "--grace", "200ms"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut messages = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" } } })
    .to_string();
    for id in 1..60 {
        let list = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list" });
        messages += &format!("\n{list}");
    }
    messages.push('\n');
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(messages.as_bytes()).unwrap();
    // Its first byte tells that it serves.
    let mut first = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    child
}

#[test]
fn a_server_whose_answers_nobody_reads_ends_when_it_is_told_to() {
    let folder = folder();
    let mut child = unread(&folder);
    signal(child.id(), "TERM");
    let (status, _) = end(&mut child, &mut None);
    assert!(status.is_some());
}

#[test]
fn a_server_whose_answers_nobody_reads_ends_with_its_input() {
    let folder = folder();
    let mut child = unread(&folder);
    drop(child.stdin.take());
    let (status, _) = end(&mut child, &mut None);
    assert_eq!(status, Some(0));
}
