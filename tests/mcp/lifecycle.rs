//! A server's end, and its change of manifest.

use std::io::Read;

use serde_json::json;

use crate::client::{
    Pipes, begin, ended, initialize, post, post_stateless, signal_to, stateless, stateless_headers,
    text,
};
use crate::common::binary::Folder;
use crate::server::{Http, folder, token};

fn manifest(folder: &Folder) -> String {
    std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap()
}

#[test]
fn told_to_end_it_answers_what_runs_and_takes_nothing_new() {
    let folder = Folder::of(&["misbehave", "echo"]);
    let mut server = Http::in_folder(folder, &["--grace", "20s"]);
    let address = server.address().to_owned();
    let params = json!({ "name": "sleep", "arguments": { "ms": 1500 } });
    let message = stateless("tools/call", params, json!({}));
    let mut headers = stateless_headers(&message);
    headers.push(("Accept", "application/json, text/event-stream"));
    headers.push(("Content-Type", "application/json"));
    let mut running = begin(&address, "POST /mcp", &headers, &message.to_string());
    // Its head comes once it runs.
    let mut first = [0; 12];
    running.read_exact(&mut first).unwrap();
    signal_to(server.process(), "-TERM");
    let mut rest = String::new();
    running.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("\"result\"") && !rest.contains("isError\":true"),
        "{rest}"
    );
    assert_eq!(ended(server.process()).code(), Some(0));
}

#[test]
fn what_spins_is_cancelled_once_the_grace_is_over() {
    let folder = folder();
    let mut command = folder.command(&["serve", "--grace", "200ms"]);
    command.env("TOOLHOST_LOG", "warn");
    let mut pipes = Pipes::start(command, json!({}));
    pipes.request(
        "spin",
        "tools/call",
        json!({ "name": "spin", "arguments": {} }),
    );
    let reply = pipes.call("echo", "echo", json!({ "text": "it runs" }));
    assert_eq!(text(&reply), "it runs");
    pipes.signal("-TERM");
    pipes.said("1 running calls were cancelled");
    assert_eq!(ended(&mut pipes.child).code(), Some(130));
}

#[test]
fn a_changed_manifest_is_served_and_clients_are_told() {
    let folder = Folder::of(&["echo"]);
    let mut pipes = Pipes::start(folder.command(&["serve"]), json!({}));
    let names = |pipes: &mut Pipes, id: &str| {
        let reply = pipes.ask(id, "tools/list", json!({}));
        let tools = reply["result"]["tools"].as_array().unwrap().clone();
        let names: Vec<String> = tools
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect();
        names
    };
    assert_eq!(names(&mut pipes, "before"), ["echo"]);
    let before = manifest(&folder);
    folder.write(
        "toolhost.toml",
        before.replace("[plugin.echo]", "[plugin.echo]\nprefix = 'new_'"),
    );
    pipes.wait(|message| message["method"] == "notifications/tools/list_changed");
    assert_eq!(names(&mut pipes, "after"), ["new_echo"]);

    folder.write("toolhost.toml", "[plugin.echo]\npath = 'nowhere.wasm'\n");
    let why = pipes.said("stays");
    assert!(why.contains("nowhere.wasm"), "{why}");
    assert_eq!(names(&mut pipes, "still"), ["new_echo"]);

    folder.write("toolhost.toml", &before);
    pipes.signal("-HUP");
    pipes.wait(|message| message["method"] == "notifications/tools/list_changed");
    assert_eq!(names(&mut pipes, "again"), ["echo"]);
}

#[test]
fn a_call_of_before_the_change_is_answered_after_it() {
    let folder = Folder::of(&["misbehave"]);
    let mut pipes = Pipes::start(folder.command(&["serve"]), json!({}));
    let params = json!({ "name": "sleep", "arguments": { "ms": 2500 } });
    pipes.request("old", "tools/call", params);
    let changed =
        manifest(&folder).replace("[plugin.misbehave]", "[plugin.misbehave]\nprefix = 'new_'");
    folder.write("toolhost.toml", changed);
    pipes.wait(|message| message["method"] == "notifications/tools/list_changed");
    let reply = pipes.reply("old");
    assert_ne!(reply["result"]["isError"], true, "{reply}");
}

#[test]
fn tokens_come_and_go_with_the_manifest() {
    let (old, new) = (token("old", ""), token("new", ""));
    let folder = folder();
    let plugins = manifest(&folder);
    folder.write("toolhost.toml", format!("{}{plugins}", old.toml));
    let server = Http::in_folder(folder, &[]);
    let status = |token: &str| {
        let bearer = format!("Bearer {token}");
        let message = stateless("tools/list", json!({}), json!({}));
        post_stateless(server.address(), &[("Authorization", &bearer)], &message).status
    };
    assert_eq!((status(&old.token), status(&new.token)), (200, 401));
    server
        .folder
        .write("toolhost.toml", format!("{}{plugins}", new.toml));
    let until = std::time::Instant::now() + crate::client::PATIENCE;
    while status(&new.token) != 200 {
        assert!(std::time::Instant::now() < until, "{}", server.said());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(status(&old.token), 401);
}

/// Reads a stream until it has this.
fn read_until(stream: &mut impl Read, what: &str) {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&all).contains(what) {
        let read = stream.read(&mut piece).unwrap();
        assert!(
            read > 0,
            "{what:?} does not come: {}",
            String::from_utf8_lossy(&all)
        );
        all.extend(&piece[..read]);
    }
}

#[test]
fn streams_that_listen_are_told_of_a_changed_manifest() {
    const CHANGED: &str = "notifications/tools/list_changed";
    let folder = Folder::of(&["echo"]);
    let before = manifest(&folder);
    let server = Http::in_folder(folder, &[]);
    let address = server.address();

    let params = json!({ "notifications": { "toolsListChanged": true } });
    let message = stateless("subscriptions/listen", params, json!({}));
    let mut headers = stateless_headers(&message);
    headers.push(("Accept", "application/json, text/event-stream"));
    headers.push(("Content-Type", "application/json"));
    let mut new = begin(address, "POST /mcp", &headers, &message.to_string());
    read_until(&mut new, "notifications/subscriptions/acknowledged");

    let begun = post(address, &[], &initialize(1, &json!({})));
    let session = begun.header("mcp-session-id").unwrap();
    let headers = [
        ("Mcp-Session-Id", session),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(post(address, &headers, &initialized).status, 202);
    let headers = [&headers[..], &[("Accept", "text/event-stream")]].concat();
    let mut old = begin(address, "GET /mcp", &headers, "");
    read_until(&mut old, "text/event-stream");

    let changed = before.replace("[plugin.echo]", "[plugin.echo]\nprefix = 'new_'");
    server.folder.write("toolhost.toml", changed);
    read_until(&mut new, CHANGED);
    read_until(&mut old, CHANGED);
}
