//! How a server ends, and how it takes a manifest that changes.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{Client, New, Old, text};
use crate::common::binary::{Folder, listed};
use crate::common::{Gate, wait_for, wait_until};
use crate::http::{self, Incoming, PATIENCE};
use crate::server::{Http, until_said};

fn served(more: &str) -> Folder {
    Folder::with(manifest(&["conformance", "echo"], more))
}

fn manifest(guests: &[&str], more: &str) -> String {
    let plugins: Vec<String> = guests.iter().map(|name| listed(name)).collect();
    plugins.concat() + more
}

/// The same, with calls that can be held.
fn held(gate: &Gate, more: &str) -> Folder {
    served(&format!("{}tools = ['hold']\n{more}", gate.listed()))
}

/// A call that is held, and runs when this returns.
#[track_caller]
fn running(client: &mut Client, gate: &Gate) -> u64 {
    let id = client.start("hold", gate.arguments());
    gate.wait_for(1);
    id
}

#[track_caller]
fn is_answered(client: &mut Client, id: u64, gate: &Gate) {
    gate.open();
    let answer = client.answer(id);
    assert_eq!(text(&answer["result"]), "held");
}

/// Waits until nobody can connect any more.
#[track_caller]
fn until_it_drains(server: &Http) {
    wait_until("it takes no connections", || {
        TcpStream::connect(server.address()).is_err()
    });
}

#[test]
fn draining_http_server_answers_running_calls_only() {
    for revision in [Old, New] {
        let gate = Gate::new();
        let mut server = Http::start_in(held(&gate, "[serve]\ngrace = '60s'\n"));
        let ready = http::ask(server.address(), "GET /readyz", &[], "");
        assert_eq!((ready.status, &*ready.body), (200, "ok\n"));
        let mut client = Client::http(&server, revision, json!({}));
        let id = running(&mut client, &gate);
        // Requests that have begun to come, and are not whole.
        let mut late = ["POST /mcp", "GET /readyz"].map(|request| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let head = format!("{request} HTTP/1.1\r\nHost: {}\r\n", server.address());
            stream.write_all(head.as_bytes()).unwrap();
            stream
        });
        // It has read them once it answers what came later.
        assert_eq!(
            http::ask(server.address(), "GET /healthz", &[], "").status,
            200
        );
        server.signal("TERM");
        until_it_drains(&server);
        for stream in &mut late {
            stream.write_all(b"Content-Length: 0\r\n\r\n").unwrap();
            let reply = Incoming::read(stream.try_clone().unwrap()).unwrap();
            assert_eq!(reply.status, 503);
        }
        is_answered(&mut client, id, &gate);
        let (status, _) = server.end();
        assert_eq!(status, Some(0), "{}", server.said());
    }
}

#[test]
fn call_over_the_grace_is_cancelled_and_the_status_says_so() {
    for revision in [Old, New] {
        let gate = Gate::new();
        let mut server = Http::start_in(held(&gate, "[serve]\ngrace = '300ms'\n"));
        let mut client = Client::http(&server, revision, json!({}));
        // They are taken in order: both run once the last one does.
        let ids = [0, 1].map(|_| client.start("spin", json!({})));
        running(&mut client, &gate);
        server.signal("TERM");
        let (status, took) = server.end();
        assert_eq!(status, Some(130), "{}", server.said());
        assert!(took < Duration::from_secs(15), "{took:?}");
        assert!(
            server.said().contains("were cancelled"),
            "{}",
            server.said()
        );
        for id in ids {
            let answer = client.answer(id);
            assert_eq!(
                answer["result"]["_meta"]["error"]["code"], "cancelled",
                "{answer}"
            );
        }
    }
}

#[test]
fn draining_stdio_server_answers_running_calls_only() {
    for revision in [Old, New] {
        let gate = Gate::new();
        let folder = held(&gate, "[serve]\ngrace = '60s'\n");
        let mut client = Client::inside(folder, revision, json!({}));
        let id = running(&mut client, &gate);
        client.process().signal("TERM");
        // From when it has the signal on, calls are refused.
        let start = Instant::now();
        let refused = loop {
            let late = client.start("echo", json!({ "text": "late" }));
            let answer = client.answer(late);
            if let Some(error) = answer.get("error") {
                break error.clone();
            }
            assert!(start.elapsed() < PATIENCE, "it goes on");
        };
        assert!(
            refused["message"]
                .as_str()
                .unwrap()
                .contains("shutting down"),
            "{refused}"
        );
        is_answered(&mut client, id, &gate);
        let (status, _) = client.process().end();
        assert_eq!(status, Some(0), "{}", client.process().said());
    }
}

#[test]
fn an_idle_server_ends_at_once_though_sessions_and_streams_are_open() {
    let mut server = Http::start_in(served("[serve]\ngrace = '60s'\n"));
    let mut session = Client::http(&server, Old, json!({}));
    session.listen();
    let mut stream = Client::http(&server, New, json!({}));
    listen(&mut stream);
    server.signal("TERM");
    let (status, took) = server.end();
    assert_eq!(status, Some(0), "{}", server.said());
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Has a client told of changed lists, however that is done.
#[track_caller]
pub fn listen(client: &mut Client) {
    match client.revision {
        Old => client.listen(),
        New => {
            let filter = json!({ "toolsListChanged": true, "promptsListChanged": true });
            client.request("subscriptions/listen", json!({ "notifications": filter }));
            client.told("notifications/subscriptions/acknowledged");
        }
    }
}

pub fn names(client: &mut Client) -> Vec<String> {
    let tools = client.result("tools/list", json!({}))["tools"].take();
    let tools = tools.as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

pub const CHANGED: &str = "notifications/tools/list_changed";

/// Both transports by both kinds of protocol: the client, where its manifest is, and how the server is
/// told to look.
fn everywhere(check: impl Fn(&mut Client, &Folder, &Gate, &dyn Fn(), &dyn Fn() -> String)) {
    for revision in [Old, New] {
        let gate = Gate::new();
        let folder = held(&gate, "");
        let mut client = Client::stdio(&folder, revision, json!({}));
        listen(&mut client);
        let (process, said) = client.process().handle();
        check(
            &mut client,
            &folder,
            &gate,
            &|| crate::server::signal(process, "HUP"),
            &|| crate::server::said(&said),
        );
        let gate = Gate::new();
        let server = Http::start_in(held(&gate, ""));
        let mut client = Client::http(&server, revision, json!({}));
        listen(&mut client);
        check(
            &mut client,
            &server.folder,
            &gate,
            &|| server.signal("HUP"),
            &|| server.said(),
        );
    }
}

#[test]
fn reload_announces_tools_and_finishes_calls_of_removed_ones() {
    everywhere(|client, folder, gate, reload, _| {
        let before = names(client);
        assert!(!before.contains(&"calculate".to_owned()));
        let id = running(client, gate);
        folder.write("toolhost.toml", manifest(&["calculator", "echo"], ""));
        reload();
        client.told(CHANGED);
        let after = names(client);
        assert!(after.contains(&"calculate".to_owned()), "{after:?}");
        assert!(!after.contains(&"hold".to_owned()), "{after:?}");
        let params = json!({ "name": "hold", "arguments": gate.arguments() });
        assert_eq!(client.error("tools/call", params)["code"], -32602);
        // Of the host that it was begun with.
        is_answered(client, id, gate);
        let result = client.text("calculate", json!({ "expression": "6 * 7" }));
        assert!(result.contains("42"), "{result}");
    });
}

#[test]
fn failed_reload_changes_nothing_and_is_logged() {
    everywhere(|client, folder, _, reload, said| {
        let before = names(client);
        for (broken, why) in [
            ("[plugin.echo\n", "toolhost.toml"),
            ("[plugin.gone]\npath = 'gone.wasm'\n", "gone.wasm"),
            ("[serve]\npage-sise = 7\n", "page-sise"),
        ] {
            // Whole at once: what is empty for as long as a change has to settle is a manifest without plugins.
            let whole = folder.write("whole.toml", broken);
            std::fs::rename(whole, folder.path().join("toolhost.toml")).unwrap();
            reload();
            until_said(said, why);
            assert_eq!(names(client), before);
            assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        }
        assert_eq!(client.so_far(CHANGED), [Value::Null; 0]);
        assert!(
            said().contains("still serving the previous manifest"),
            "{}",
            said()
        );
        // It recovers.
        folder.write("toolhost.toml", manifest(&["calculator"], ""));
        reload();
        client.told(CHANGED);
        assert!(names(client).contains(&"calculate".to_owned()));
    });
}

#[test]
fn a_manifest_that_changes_is_loaded_without_a_signal() {
    let folder = served("");
    let mut client = Client::stdio(&folder, Old, json!({}));
    folder.write(
        "toolhost.toml",
        manifest(&["calculator", "echo"], "[prompt.p]\ntext = 'x'\n"),
    );
    client.told(CHANGED);
    client.told("notifications/prompts/list_changed");
    assert!(names(&mut client).contains(&"calculate".to_owned()));
    let prompts = client.result("prompts/list", json!({}));
    assert_eq!(prompts["prompts"], json!([{ "name": "p" }]));
}

#[test]
fn tokens_are_those_of_the_manifest_that_was_loaded_last() {
    let tokens = |names: &[&str]| {
        let tables = names.iter().map(|name| {
            let digest = Sha256::digest(format!("th_{name}"));
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("[serve.auth.tokens.{name}]\nsha256 = '{digest}'\n")
        });
        manifest(&["echo"], &tables.collect::<String>())
    };
    let server = Http::start_in(Folder::with(tokens(&["stays", "goes"])));
    let status = |token: &str, session: Option<&str>| {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![
            ("Authorization", &*bearer),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2025-11-25"),
        ];
        headers.extend(session.map(|session| ("Mcp-Session-Id", session)));
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
        http::ask(server.address(), "POST /mcp", &headers, &ping).status
    };
    let mut stays = Client::http_as(&server, Old, json!({}), Some("th_stays"));
    let goes = Client::http_as(&server, Old, json!({}), Some("th_goes"));
    assert_eq!(status("th_comes", None), 401);
    assert_eq!(status("th_goes", Some(goes.session())), 200);
    server
        .folder
        .write("toolhost.toml", tokens(&["stays", "comes"]));
    server.signal("HUP");
    wait_until("its token is refused", || {
        status("th_goes", Some(goes.session())) == 401
    });
    assert_eq!(stays.text("echo", json!({ "text": "hi" })), "hi");
    let mut comes = Client::http_as(&server, Old, json!({}), Some("th_comes"));
    assert_eq!(comes.text("echo", json!({ "text": "hi" })), "hi");
}

#[test]
fn a_reload_takes_no_protection_away() {
    let server = Http::start_in(served(""));
    let tls = "[serve.tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\n";
    server
        .folder
        .write("toolhost.toml", manifest(&["echo"], tls));
    server.until_said("requires a restart");
    let mut client = Client::http(&server, New, json!({}));
    // The old one still: it had this tool.
    client.call("test_simple_text", json!({}));
}

#[test]
fn no_half_of_a_manifest_lets_anybody_in() {
    let digest = |token: &str| -> String {
        let digest = Sha256::digest(token);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let auth = format!(
        "[audit]\npath = 'audit.jsonl'\n[serve]\nrate-limit = 100000\n[serve.auth.tokens.one]\nsha256 = '{}'\ntools = ['test_simple_text']\n",
        digest("th_one")
    );
    let whole = manifest(&["conformance", "echo"], &auth);
    let server = Http::start_in(Folder::with(&whole));
    let status = || {
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ];
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
        http::ask(server.address(), "POST /mcp", &headers, &ping).status
    };
    let refusals = || server.said().matches("requires a restart").count();
    assert_eq!(status(), 401);
    let mut client = Client::http_as(&server, Old, json!({}), Some("th_one"));
    let ends = whole.match_indices('\n').map(|(at, _)| at + 1);
    let ends: Vec<usize> = ends
        .filter(|at| *at >= whole.find("[serve]").unwrap())
        .collect();
    // Each breaks off after another line: without the server's table, its clients, and the tools of one.
    let mut refused = 0;
    for end in [&[0][..], &ends[..ends.len() - 1]].concat() {
        let part = &whole[..end];
        server.folder.write("toolhost.toml", part);
        server.signal("HUP");
        let complaints = || server.said().matches("error: reload failed").count();
        wait_for(part, || match complaints() > refused {
            true => Ok(()),
            false => Err(server.said()),
        });
        refused = complaints();
        assert_eq!(status(), 401, "{part}");
        assert_eq!(names(&mut client), ["test_simple_text"], "{part}");
    }
    assert!(refusals() >= 3, "{}", server.said());
    // A client more, for one tool, is taken.
    let more = format!(
        "{whole}[serve.auth.tokens.two]\nsha256 = '{}'\ntools = ['echo']\n",
        digest("th_two")
    );
    server.folder.write("toolhost.toml", more);
    server.signal("HUP");
    server.until_said("reloaded");
    let mut two = Client::http_as(&server, Old, json!({}), Some("th_two"));
    assert_eq!(names(&mut two), ["echo"]);
}

/// Whenever it is told to look, it reads no part of a file that is being written.
#[test]
fn a_manifest_that_is_being_written_is_read_when_it_is_whole() {
    let server = Http::start_in(served(""));
    let path = server.folder.path().join("toolhost.toml");
    let mut client = Client::http(&server, Old, json!({}));
    listen(&mut client);
    for plugin in ["calculator", "conformance"].iter().cycle() {
        let complaints = || server.said().matches("error:").count();
        let before = complaints();
        let whole = manifest(&[plugin, "echo"], "");
        let (half, rest) = whole.split_at(whole.len() / 2);
        let mut file = std::fs::File::create(&path).unwrap();
        let start = Instant::now();
        file.write_all(half.as_bytes()).unwrap();
        server.signal("HUP");
        file.write_all(rest.as_bytes()).unwrap();
        let took = start.elapsed();
        client.told(CHANGED);
        // Who writes with long breaks is taken to be done.
        if took < Duration::from_millis(100) {
            assert_eq!(complaints(), before, "{}", server.said());
            break;
        }
    }
}

#[test]
fn a_reload_follows_no_link_that_a_plugin_may_have_planted() {
    everywhere(|client, folder, _, reload, said| {
        let grants = "permissions.files = [\n\
             { host = 'work', guest = '/w', access = 'read-write' },\n\
             { host = 'work/sub', guest = '/s' },\n]\n";
        let granted = manifest(&["echo", "hostile"], grants);
        let place = folder.path().join("work/sub");
        folder.write("work/sub/x.txt", "x");
        folder.write("outside/id_rsa", "a private key");
        folder.write("toolhost.toml", &granted);
        reload();
        client.told(CHANGED);
        let before = names(client);
        // The plugin cannot do it.
        let swap = json!({ "guest": "/w", "path": "sub", "target": "../outside" });
        let result = client.call("replace_by_link", swap).to_string();
        assert!(result.contains("not permitted"), "{result}");
        // Somebody did.
        std::fs::remove_dir_all(&place).unwrap();
        std::os::unix::fs::symlink("../outside", &place).unwrap();
        let complained = |count: usize| {
            let why = "is a symlink in a folder that plugins can write to";
            wait_for(why, || match said() {
                said if said.matches(why).count() >= count => Ok(()),
                said => Err(said),
            });
        };
        reload();
        complained(1);
        folder.write("toolhost.toml", granted + "# changed\n");
        complained(2);
        assert_eq!(names(client), before);
        // What was granted is held, and is what it was.
        let read = json!({ "guest": "/s", "path": "id_rsa" });
        let result = client.call("read", read).to_string();
        assert!(!result.contains("private key"), "{result}");
    });
}
