//! Long results, where `[serve] max-result-chars` bounds them.

use serde_json::{Value, json};

use crate::client::{Client, New, Old, Revision, text};
use crate::common::binary::{Folder, listed};
use crate::common::root;
use crate::server::Http;
use toolhost_testing::needs;

fn folder(serve: &str) -> Folder {
    Folder::with(format!(
        "[serve]\nmax-result-chars = 100\n{serve}\n{}{}",
        listed("conformance"),
        listed("echo")
    ))
}

fn long() -> String {
    (0..100).map(|number| format!("line {number}\n")).collect()
}

/// The id that a compacted result says.
#[track_caller]
fn id(result: &Value) -> String {
    let text = text(result);
    let (_, rest) = text
        .split_once("with the id \"")
        .unwrap_or_else(|| panic!("{text}"));
    rest.split_once('"').unwrap().0.to_owned()
}

/// All of a result, read piece by piece.
#[track_caller]
fn read(client: &mut Client, id: &str) -> String {
    let mut whole = String::new();
    loop {
        let offset = whole.chars().count();
        let arguments = json!({ "id": id, "offset": offset });
        let text = client.text("read_result", arguments);
        let (part, rest) = text.rsplit_once("\n[characters ").unwrap();
        whole += part;
        if rest.contains("the end") {
            return whole;
        }
    }
}

fn check(client: &mut Client) {
    let short = "x".repeat(100);
    assert_eq!(client.text("echo", json!({ "text": short })), short);
    let result = client.call("echo", json!({ "text": long() }));
    let shown = text(&result);
    assert!(shown.chars().count() < 400, "{shown}");
    assert!(shown.contains("line 0\n"), "{shown}");
    assert!(
        shown.contains("the whole result has 790 characters"),
        "{shown}"
    );
    let id = id(&result);
    assert_eq!(read(client, &id), long());
    let part = client.text("read_result", json!({ "id": id, "offset": 5, "limit": 1 }));
    assert!(part.starts_with("0\n[characters 5 to 6 of 790]"), "{part}");
    for wrong in [
        json!({ "id": "r1" }),
        json!({}),
        json!({ "id": id, "offset": -1 }),
    ] {
        let result = client.call("read_result", wrong);
        assert_eq!(result["isError"], true, "{result}");
        assert_eq!(result["_meta"]["error"]["code"], "invalid-arguments");
    }
}

#[test]
fn a_long_result_is_compacted_and_read_on_in() {
    for revision in [Old, New] {
        check(&mut Client::inside(folder(""), revision, json!({})));
        let server = Http::start_in(folder(""));
        check(&mut Client::http(&server, revision, json!({})));
    }
}

#[test]
fn what_is_kept_for_one_client_no_other_reads() {
    let server = Http::start_in(folder(""));
    let mut alice = Client::http(&server, Old, json!({}));
    let id = id(&alice.call("echo", json!({ "text": long() })));
    assert!(id.len() >= 22, "{id}");
    for revision in [Old, New] {
        let mut bob = Client::http(&server, revision, json!({}));
        let result = bob.call("read_result", json!({ "id": id }));
        assert_eq!(result["isError"], true, "{result}");
        assert!(!result.to_string().contains("line"), "{result}");
    }
    assert_eq!(read(&mut alice, &id), long());
}

#[test]
fn a_token_without_a_session_reads_its_own_in_the_next_request() {
    let folder = folder("");
    let mut manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let tokens = ["alice", "bob"].map(|name| {
        let made = folder.run(&["token", "new", "--name", name], "");
        let (_, table) = made.stderr.split_once("\n\n").unwrap();
        manifest += &format!("{}\ntools = [\"echo\"]\n", table.trim_end());
        made.stdout.trim().to_owned()
    });
    folder.write("toolhost.toml", manifest);
    let server = Http::start_in(folder);
    let [mut alice, mut bob] =
        tokens.map(|token| Client::http_as(&server, New, json!({}), Some(&token)));
    let id = id(&alice.call("echo", json!({ "text": long() })));
    assert_eq!(read(&mut alice, &id), long());
    let result = bob.call("read_result", json!({ "id": id }));
    assert_eq!(result["isError"], true, "{result}");
    // Whoever may call one tool may read what it said.
    let listed = alice.result("tools/list", json!({}));
    let names: Vec<&str> = listed["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["echo", "read_result"]);
}

#[test]
fn server_cannot_take_the_name_read_result() {
    needs!(python);
    for revision in [Old, New] {
        let folder = Folder::empty();
        let script = root().join("tests/remote/server.py");
        let args = [script.to_str().unwrap(), "takes-a-name"];
        let manifest = format!(
            "[serve]\nmax-result-chars = 100\n[mcp.x]\ncommand = 'python3'\nargs = {args:?}\n"
        );
        folder.write("toolhost.toml", manifest);
        let mut client = Client::stdio(&folder, revision, json!({}));
        crate::lifecycle::listen(&mut client);
        let id = id(&client.call("echo", json!({ "text": long() })));
        client.told("notifications/tools/list_changed");
        let names = crate::lifecycle::names(&mut client);
        let offers = |name: &str| names.iter().filter(|it| *it == name).count();
        assert_eq!(
            (offers("grown"), offers("read_result")),
            (1, 1),
            "{names:?}"
        );
        assert!(!names.iter().any(|it| it == "read_result_2"), "{names:?}");
        // It is still the one that the result names.
        assert_eq!(read(&mut client, &id), long());
        let warning = "skipped the tool `read_result` of the MCP server `x`: the server has one with that name";
        client.process().until_said(warning);
    }
}

fn tools(revision: Revision, folder: Folder) -> Vec<Value> {
    let mut client = Client::inside(folder, revision, json!({}));
    let listed = client.result("tools/list", json!({}));
    listed["tools"].as_array().unwrap().clone()
}

#[test]
fn tools_say_how_long_their_results_are_only_where_that_is_bounded() {
    for revision in [Old, New] {
        let bounded = tools(revision, folder(""));
        assert!(bounded.iter().any(|tool| tool["name"] == "read_result"));
        for tool in bounded.iter().filter(|tool| tool["name"] != "read_result") {
            let meta = &tool["_meta"];
            assert_eq!(meta["anthropic/maxResultSizeChars"], 100, "{tool}");
            // A compacted result is none of its schema.
            assert!(tool.get("outputSchema").is_none(), "{tool}");
        }
        let free = tools(revision, Folder::of(&["conformance", "echo"]));
        assert!(free.iter().all(|tool| tool.get("_meta").is_none()));
        assert!(free.iter().all(|tool| tool["name"] != "read_result"));
        assert!(free.iter().any(|tool| tool["outputSchema"].is_object()));
    }
}
