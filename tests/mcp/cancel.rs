//! Calls that are cancelled stop at once: no processor time is spent on what nobody waits for.

use std::time::Duration;

use serde_json::json;
use toolhost_testing::resident::{wait_until_busy, wait_until_idle};
use toolhost_testing::wait_until;

use crate::client::{Client, New, Old, Revision};
use crate::common::binary::{Folder, listed};
use crate::http;
use crate::server::Http;

fn spinning(more: &str) -> Folder {
    Folder::with(format!(
        "[host]\nmax-concurrency = 32\n{}{}{more}",
        listed("conformance"),
        listed("echo")
    ))
}

/// Has a call spin and ends it.
#[track_caller]
fn stops(client: &mut Client, process: u32, end: impl Fn(&mut Client, u64)) {
    let id = client.start("spin", json!({}));
    wait_until_busy(process);
    end(client, id);
    wait_until_idle(process);
    // It is still there.
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
}

fn cancelled(client: &mut Client, id: u64) {
    client.notify("notifications/cancelled", json!({ "requestId": id }));
}

#[test]
fn a_cancelled_call_stops_over_stdio() {
    for revision in [Old, New] {
        let mut client = Client::inside(spinning(""), revision, json!({}));
        let process = client.process().child.id();
        stops(&mut client, process, cancelled);
    }
}

#[test]
fn a_cancelled_call_stops_over_http() {
    let server = Http::start_in(spinning(""));
    let mut client = Client::http(&server, Old, json!({}));
    stops(&mut client, server.process(), cancelled);
}

#[test]
fn a_call_stops_when_its_session_is_deleted() {
    let server = Http::start_in(spinning(""));
    let mut client = Client::http(&server, Old, json!({}));
    client.start("spin", json!({}));
    wait_until_busy(server.process());
    let headers = [
        ("Mcp-Session-Id", client.session()),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    http::ask(server.address(), "DELETE /mcp", &headers, "");
    wait_until_idle(server.process());
}

#[test]
fn a_call_without_a_session_stops_when_its_connection_is_dropped() {
    let server = Http::start_in(spinning(""));
    let mut client = Client::http(&server, New, json!({}));
    stops(&mut client, server.process(), |client, _| client.hang_up());
}

#[test]
fn calls_are_answered_beside_sixteen_that_spin() {
    let check = |client: &mut Client, process: u32| {
        let spin: Vec<u64> = (0..16).map(|_| client.start("spin", json!({}))).collect();
        wait_until_busy(process);
        for number in 0..50 {
            let text = number.to_string();
            assert_eq!(client.text("echo", json!({ "text": text })), text);
        }
        for id in spin {
            cancelled(client, id);
        }
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        wait_until_idle(process);
    };
    let mut client = Client::inside(spinning(""), Old, json!({}));
    let process = client.process().child.id();
    check(&mut client, process);
    let server = Http::start_in(spinning(""));
    check(&mut Client::http(&server, Old, json!({})), server.process());
}

#[test]
fn a_cancellation_of_what_is_not_running_changes_nothing() {
    let mut client = Client::inside(spinning(""), Old, json!({}));
    let id = client.start("echo", json!({ "text": "hi" }));
    client.answer(id);
    for request in [json!(id), json!(4711), json!("nobody"), json!(-1)] {
        client.notify("notifications/cancelled", json!({ "requestId": request }));
    }
    client.notify("notifications/cancelled", json!({}));
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
}

fn begun(revision: Revision, more: &str) -> (Client, Vec<u64>) {
    let mut client = Client::inside(spinning(more), revision, json!({}));
    let calls = (0..4).map(|_| client.start("spin", json!({}))).collect();
    let process = client.process().child.id();
    wait_until_busy(process);
    (client, calls)
}

#[test]
fn the_end_of_input_ends_a_server_whose_calls_spin() {
    for revision in [Old, New] {
        let (mut client, calls) = begun(revision, "");
        client.hang_up();
        let (status, _) = client.process().end();
        assert_eq!(status, Some(0));
        // Each has its answer: whoever only closed its end still reads.
        for call in calls {
            let answer = client.answer(call);
            let code = &answer["result"]["_meta"]["error"]["code"];
            assert_eq!(code, "cancelled", "{answer}");
        }
    }
}

#[test]
fn a_signal_ends_a_server_on_stdio_whose_calls_spin_after_the_grace() {
    const GRACE: Duration = Duration::from_millis(300);
    for signal in ["TERM", "INT"] {
        let (mut client, _) = begun(Old, "[serve]\ngrace = '300ms'\n");
        let process = client.process();
        process.signal(signal);
        let (status, took) = process.end();
        assert_eq!(status, Some(130), "{}", process.said());
        assert!(took >= GRACE, "{took:?}");
        assert!(process.said().contains("4 running calls were cancelled"));
    }
}

#[test]
fn second_signal_ends_a_server_whose_calls_spin() {
    for signal in ["TERM", "INT"] {
        let (mut client, _) = begun(Old, "[serve]\ngrace = '10m'\n");
        let process = client.process();
        process.signal(signal);
        // Signals of two kinds may come in any order: it has taken that one when it refuses calls.
        wait_until("it is to end", || {
            let echo = json!({ "name": "echo", "arguments": { "text": "late" } });
            client.ask("tools/call", echo).get("error").is_some()
        });
        let process = client.process();
        process.signal("INT");
        let (status, _) = process.end();
        assert_eq!(status, Some(130), "{}", process.said());
    }
}
