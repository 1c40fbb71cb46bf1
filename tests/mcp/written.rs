//! Calls as models write them: the arguments as a string, several calls in one, names with leaks. Whichever way
//! a call comes, it is repaired alike.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Client, New, Old, text};
use crate::common::binary::{Folder, listed};
use crate::http::{self, Incoming};
use crate::server::Http;

const PARALLEL: &str = "multi_tool_use.parallel";

fn tasks() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

/// Runs `check` with a client on each way that a call can take.
#[track_caller]
fn on_every_way(folder: impl Fn() -> Folder, check: impl Fn(&mut Client, &str)) {
    for revision in [Old, New] {
        for (capabilities, kind) in [(json!({}), "plain"), (tasks(), "tasks")] {
            let mut client = Client::inside(folder(), revision, capabilities.clone());
            check(&mut client, &format!("stdio {revision:?} {kind}"));
            let server = Http::start_in(folder());
            let mut client = Client::http(&server, revision, capabilities);
            check(&mut client, &format!("http {revision:?} {kind}"));
            // What is unusual of a call makes it rmcp's to read.
            client.meta = json!({ "io.modelcontextprotocol/clientCapabilities": {} });
            if revision == Old {
                check(&mut client, &format!("http {revision:?} {kind} by rmcp"));
            }
        }
    }
}

fn usual() -> Folder {
    Folder::of(&["conformance", "echo"])
}

#[test]
fn stringified_arguments_are_repaired_on_all_transports() {
    on_every_way(usual, |client, way| {
        for written in [
            r#"{"text":"hi"}"#,
            "\n{ \"text\" : \"hi\" }\n",
            "```json\n{\"text\":\"hi\"}\n```",
            "\u{feff}{\"text\":\"hi\"}",
            r#""{\"text\":\"hi\"}""#,
        ] {
            let result = client.call("echo", json!(written));
            assert_eq!(text(&result), "hi", "{way}: {written}");
        }
        for written in ["", "   "] {
            let result = client.call("test_simple_text", json!(written));
            assert_ne!(result["isError"], true, "{way}: {result}");
        }
        // What holds no object is the model's to mend.
        for written in [
            "hi",
            "[1]",
            "{\"text\":",
            "{\"text\":\"hi\",}",
            "{\"text\":7} {}",
        ] {
            let result = client.call("echo", json!(written));
            assert_eq!(result["isError"], true, "{way}: {result}");
            let error = &result["_meta"]["error"];
            assert_eq!(error["code"], "invalid-arguments", "{way}: {result}");
        }
        for wrong in [json!([]), json!([{ "text": "hi" }]), json!(7), json!(true)] {
            let params = json!({ "name": "echo", "arguments": wrong });
            let error = client.error("tools/call", params);
            assert_eq!(error["code"], -32602, "{way}: {error}");
        }
    });
}

#[test]
fn stringified_arguments_stay_without_repair() {
    let folder = || {
        let guests = [listed("echo"), listed("conformance")].concat();
        Folder::with(format!("[host]\nrepair-arguments = false\n{guests}"))
    };
    on_every_way(folder, |client, way| {
        let result = client.call("echo", json!(r#"{"text":"hi"}"#));
        assert_eq!(result["isError"], true, "{way}: {result}");
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi", "{way}");
    });
}

fn parallel(uses: &[(&str, Value)]) -> Value {
    let uses = uses.iter();
    let uses =
        uses.map(|(name, parameters)| json!({ "recipient_name": name, "parameters": parameters }));
    json!({ "tool_uses": uses.collect::<Vec<_>>() })
}

#[test]
fn several_calls_in_one_are_run_on_every_way() {
    on_every_way(usual, |client, way| {
        let uses = parallel(&[
            ("functions.echo", json!({ "text": "one" })),
            ("echo", json!(r#"{"text":"two"}"#)),
            ("functions.ecko", json!({})),
        ]);
        let in_string = json!(uses.to_string());
        for (name, uses) in [
            (PARALLEL, &uses),
            ("parallel", &uses),
            (PARALLEL, &in_string),
        ] {
            let result = client.call(name, uses.clone());
            assert_ne!(result["isError"], true, "{way}: {result}");
            let inside = &result["structuredContent"]["results"];
            assert_eq!(inside[0]["content"], "one", "{way}: {result}");
            assert_eq!(inside[1]["content"], "two", "{way}: {result}");
            assert_eq!(
                inside[2]["error"]["code"], "unknown-tool",
                "{way}: {result}"
            );
        }
        let wrong = client.call(PARALLEL, json!({ "uses": [] }));
        assert_eq!(wrong["isError"], true, "{way}: {wrong}");
        assert!(wrong.to_string().contains("tool_uses"), "{way}: {wrong}");
        let failed = client.call(PARALLEL, parallel(&[("echo", json!({ "text": 7.5 }))]));
        assert_ne!(failed["isError"], true, "a number is text: {way}: {failed}");
        let failed = client.call(PARALLEL, parallel(&[("echo", json!({}))]));
        assert_eq!(failed["isError"], true, "{way}: {failed}");
    });
}

/// A folder whose tokens may call `echo` alone, and one of them.
fn with_token(serve: &str) -> (Folder, String) {
    let folder = Folder::with(format!(
        "[audit]\npath = 'audit.jsonl'\n[serve]\n{serve}\n{}{}",
        listed("conformance"),
        listed("echo")
    ));
    let made = folder.run(&["token", "new", "--name", "alice"], "");
    let (_, table) = made.stderr.split_once("\n\n").unwrap();
    let mut manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    manifest += &format!("{}\ntools = [\"echo\"]\n", table.trim_end());
    folder.write("toolhost.toml", manifest);
    (folder, made.stdout.trim().to_owned())
}

#[test]
fn what_a_token_may_not_call_it_may_not_call_inside_of_another_call() {
    for (revision, capabilities) in [
        (Old, json!({})),
        (Old, tasks()),
        (New, json!({})),
        (New, tasks()),
    ] {
        let (folder, token) = with_token("");
        let server = Http::start_in(folder);
        let mut alice = Client::http_as(&server, revision, capabilities, Some(&token));
        let names = [
            "test_simple_text",
            "functions.test_simple_text",
            "no_such_tool",
        ];
        let uses: Vec<_> = names.iter().map(|name| (*name, json!({}))).collect();
        let echo = ("echo", json!({ "text": "hi" }));
        let result = alice.call(PARALLEL, parallel(&[&[echo], &uses[..]].concat()));
        let inside = result["structuredContent"]["results"].as_array().unwrap();
        assert_eq!(inside[0]["content"], "hi", "{result}");
        let content = result["content"].as_array().unwrap();
        for (number, name) in names.iter().enumerate() {
            let params = json!({ "name": name, "arguments": {} });
            let direct = alice.error("tools/call", params);
            let (inside, shown) = (&inside[number + 1], &content[2 * number + 3]["text"]);
            assert_eq!(inside["error"]["code"], direct["data"]["code"], "{result}");
            let expected = format!("Error: {}", direct["message"].as_str().unwrap());
            assert_eq!(shown, &expected, "{result}");
            assert!(!expected.contains("Similar tools: test"), "{expected}");
        }
    }
}

#[test]
fn nested_task_only_tool_needs_a_client_that_takes_tasks() {
    let folder = || {
        let guests = [listed("echo"), listed("conformance")].concat();
        Folder::with(format!("[serve]\ntask-only = [\"echo\"]\n{guests}"))
    };
    for revision in [Old, New] {
        let server = Http::start_in(folder());
        let mut client = Client::http(&server, revision, json!({}));
        let uses = parallel(&[
            ("test_simple_text", json!({})),
            ("functions.echo", json!({ "text": "hi" })),
        ]);
        let direct = json!({ "name": "echo", "arguments": { "text": "hi" } });
        let direct = client.error("tools/call", direct);
        let error = client.error("tools/call", json!({ "name": PARALLEL, "arguments": uses }));
        assert_eq!(error, direct);
        let mut client = Client::http(&server, revision, tasks());
        let result = client.call(PARALLEL, uses);
        assert_ne!(result["isError"], true, "{result}");
    }
}

/// The lines of an audit log that are about calls.
fn audited(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["event"] == "call")
        .collect()
}

#[test]
fn reading_on_is_a_call_like_any_other() {
    for revision in [Old, New] {
        let (folder, token) = with_token("max-result-chars = 100");
        let path = folder.path().to_owned();
        let server = Http::start_in(folder);
        let mut alice = Client::http_as(&server, revision, json!({}), Some(&token));
        let long = "0123456789".repeat(20);
        let result = alice.call("echo", json!({ "text": long }));
        let shown = text(&result);
        let (_, rest) = shown.split_once("with the id \"").unwrap();
        let id = rest.split_once('"').unwrap().0;
        // Its name and its arguments are repaired as those of any tool.
        let arguments = json!({ "id": id, "offset": "15", "limit": 3.0 });
        let part = alice.text("functions.read_result", json!(arguments.to_string()));
        assert_eq!(part, "567\n[characters 15 to 18 of 200]");
        let inside = alice.call(PARALLEL, parallel(&[("read_result", arguments)]));
        let inside = &inside["structuredContent"]["results"][0]["content"];
        assert_eq!(inside, &part);
        let lines = audited(&path);
        let names: Vec<&str> = lines
            .iter()
            .map(|it| it["tool"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["echo", "read_result", "read_result"], "{lines:?}");
        let repairs: Vec<&str> = lines[1]["repairs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["what"].as_str().unwrap())
            .collect();
        assert_eq!(
            repairs,
            [
                "the arguments written as a JSON string",
                "a number written as a string",
                "a whole number written with a fraction"
            ]
        );
    }
}

fn with_files() -> Folder {
    let grant = "permissions.files = [{ host = \"w\", guest = \"/w\", access = \"read-write\" }]\n";
    let plugins = ["filesystem", "misbehave"].map(|name| format!("{}{grant}", listed(name)));
    let folder = Folder::with(plugins.concat());
    std::fs::create_dir(folder.path().join("w")).unwrap();
    folder
}

fn append(line: impl ToString) -> Value {
    let content = format!("{}\n", line.to_string());
    json!({ "path": "a.txt", "content": content, "if_exists": "append" })
}

#[track_caller]
fn written_in_order(folder: &Path, lines: usize) {
    let text = std::fs::read_to_string(folder.join("w/a.txt")).unwrap();
    let expected: Vec<String> = (0..lines).map(|line| line.to_string()).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

/// A head of the answer says that the whole request was read. What one is behind in order waits then, and so
/// do all that are sent after it, on connections of their own.
#[test]
fn calls_on_several_connections_keep_the_order_of_reading() {
    for revision in [Old, New] {
        let folder = with_files();
        let path = folder.path().to_owned();
        let server = Http::start_in(folder);
        let client = Client::http(&server, revision, json!({}));
        let send = |id: usize, name: &str, arguments: Value, more: Value| {
            let mut params = json!({ "name": name, "arguments": arguments });
            let mut meta = more;
            let mut head = vec![
                ("Accept", "application/json, text/event-stream"),
                ("Content-Type", "application/json"),
                ("MCP-Protocol-Version", revision.name()),
            ];
            match revision {
                Old => head.push(("Mcp-Session-Id", client.session())),
                New => {
                    head.extend([("Mcp-Method", "tools/call"), ("Mcp-Name", name)]);
                    meta["io.modelcontextprotocol/protocolVersion"] = json!(revision.name());
                    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
                }
            }
            params["_meta"] = meta;
            let body =
                json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
            let stream =
                http::send(server.address(), "POST /mcp", &head, &body.to_string()).unwrap();
            let incoming = Incoming::read(stream).unwrap();
            assert_eq!(incoming.status, 200);
            assert!(incoming.is_stream(), "{name} {id} does not wait");
            incoming
        };
        let mut running = vec![send(100, "sleep", json!({ "ms": 500 }), json!({}))];
        for line in 0..12 {
            // Most are read by us, some by rmcp, and some stand for several.
            let by_rmcp = json!({ "io.modelcontextprotocol/clientCapabilities": {} });
            running.push(match line % 3 {
                0 => send(line, "fs_write", append(line), json!({})),
                1 => send(line, "fs_write", append(line), by_rmcp),
                _ => send(
                    line,
                    PARALLEL,
                    parallel(&[("fs_write", append(line))]),
                    json!({}),
                ),
            });
        }
        for incoming in running {
            incoming.messages(|message| {
                assert_ne!(message["result"]["isError"], true, "{message}");
            });
        }
        written_in_order(&path, 12);
    }
}

#[test]
fn calls_inside_of_one_keep_the_order_of_a_session() {
    for (revision, capabilities) in [(Old, json!({})), (Old, tasks()), (New, json!({}))] {
        let folder = with_files();
        let mut client = Client::stdio(&folder, revision, capabilities);
        let mut ids = Vec::new();
        for round in 0..20 {
            let line = |at: usize| append(3 * round + at);
            let two = parallel(&[("fs_write", line(0)), ("functions.fs_write", line(1))]);
            ids.push(client.start(PARALLEL, two));
            ids.push(client.start("fs_write", line(2)));
        }
        for id in ids {
            let answer = client.answer(id);
            assert_ne!(answer["result"]["isError"], true, "{answer}");
        }
        written_in_order(folder.path(), 60);
    }
}
