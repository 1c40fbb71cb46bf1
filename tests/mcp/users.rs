//! Folders of clients: whoever a token or an option names has one of its own.

use serde_json::{Value, json};

use crate::access::with_tokens;
use crate::client::{Client, New, Old};
use crate::common::binary::{Folder, listed};
use crate::server::Http;

const GRANT: &str = "permissions.files = [{ host = 'users/${client}', guest = '/notes', access = 'read-write', create = true }]\n";

fn write(content: &str) -> Value {
    json!({ "path": "a.txt", "content": content, "if_exists": "overwrite" })
}

fn read() -> Value {
    json!({ "path": "a.txt" })
}

/// The text of a call that did not run.
fn refusal(client: &mut Client) -> String {
    let result = client.call("fs_read", read());
    assert_eq!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn each_token_has_the_folder_of_its_name() {
    let notes = format!("{}{GRANT}", listed("filesystem"));
    let (folder, tokens) = with_tokens(&notes, [("alice", ""), ("Alice", ""), ("bob", "")]);
    folder.write("users/.keep", "");
    folder.write("users/bob/a.txt", "of bob");
    let server = Http::start_in(folder);
    let names = ["alice", "Alice"];
    for revision in [Old, New] {
        for (token, name) in tokens.iter().zip(names) {
            let mut client = Client::http_as(&server, revision, json!({}), Some(token));
            client.text("fs_write", write(&format!("of {name}")));
        }
        for (token, name) in tokens.iter().zip(["alice", "Alice", "bob"]) {
            let mut client = Client::http_as(&server, revision, json!({}), Some(token));
            assert_eq!(client.text("fs_read", read()), format!("of {name}"));
            // No path leads to another's.
            let out = client.call("fs_read", json!({ "path": "../bob/a.txt" }));
            assert_eq!(out["isError"], true, "{out}");
        }
    }
    let there = |name: &str| server.folder.path().join("users").join(name).join("a.txt");
    assert_eq!(std::fs::read_to_string(there("alice")).unwrap(), "of alice");
    assert_eq!(
        std::fs::read_to_string(there("%41lice")).unwrap(),
        "of Alice"
    );
}

#[test]
fn a_client_without_a_name_is_told_what_to_do_and_an_option_names_it() {
    let folder = || {
        let folder = Folder::with(format!("{}{GRANT}{}", listed("filesystem"), listed("echo")));
        folder.write("users/.keep", "");
        folder
    };
    let server = Http::start_in(folder());
    for revision in [Old, New] {
        let mut client = Client::http(&server, revision, json!({}));
        let told = refusal(&mut client);
        for remedy in ["--client NAME", "[serve.auth]"] {
            assert!(told.contains(remedy), "{told}");
        }
        // What has no folder of a client's is for all.
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        let mut client = Client::inside(folder(), revision, json!({}));
        assert!(refusal(&mut client).contains("--client NAME"));
        let own = folder();
        let mut client = Client::stdio_with(&own, &["--client", "carol"], revision, json!({}));
        client.text("fs_write", write("of carol"));
        assert_eq!(client.text("fs_read", read()), "of carol");
    }
}

#[cfg(unix)]
#[test]
fn a_client_whose_folder_cannot_be_opened_is_logged_once_with_what_to_do() {
    let folder = Folder::with(format!("{}{GRANT}", listed("filesystem")));
    folder.write("users/.keep", "");
    folder.write("elsewhere/a.txt", "of nobody");
    let (elsewhere, carol) = ("elsewhere", "users/carol");
    let [elsewhere, carol] = [elsewhere, carol].map(|name| folder.path().join(name));
    std::os::unix::fs::symlink(elsewhere, carol).unwrap();
    let begin = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    } });
    let begun = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let calls = (1..=5).map(|id| {
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "fs_read", "arguments": read() } })
    });
    let lines: Vec<String> = [begin, begun]
        .into_iter()
        .chain(calls)
        .map(|it| format!("{it}\n"))
        .collect();
    let ended = folder.run(&["serve", "--client", "carol"], lines.concat());
    let refused = ended.stdout.matches(r#""isError":true"#).count();
    assert_eq!(refused, 5, "{ended:?}");
    let logged = ended.stderr.matches("calls of client ").count();
    assert_eq!(logged, 1, "{ended:?}");
    let remedy =
        "is a symlink in a folder of clients, so it is not followed: mount the intended folder";
    assert!(ended.stderr.contains(remedy), "{ended:?}");
}
