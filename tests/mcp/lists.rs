//! What is listed, read and told: whole, in order, in pages, and as it was meant.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Pipes, text};
use crate::common::binary::Folder;
use crate::server::folder;

fn start(folder: &Folder) -> Pipes {
    Pipes::start(folder.command(&["serve"]), json!({}))
}

fn with(more: &str) -> Folder {
    let folder = folder();
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    folder.write("toolhost.toml", format!("{more}\n{manifest}"));
    folder
}

fn names(reply: &Value, list: &str, name: &str) -> Vec<String> {
    let items = reply["result"][list].as_array();
    let items = items.unwrap_or_else(|| panic!("no {list}: {reply}")).iter();
    items
        .map(|item| item[name].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn pages_have_every_tool_once_in_the_order_of_the_list() {
    let folder = with("[serve]\npage-size = 7");
    let listed = folder.run(&["list"], "").answered().stdout;
    let expected: Vec<&str> = listed
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    let mut pipes = start(&folder);
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let params = match &cursor {
            Some(cursor) => json!({ "cursor": cursor }),
            None => json!({}),
        };
        let reply = pipes.ask(found.len() as u64 + 1, "tools/list", params);
        let page = names(&reply, "tools", "name");
        assert!(page.len() <= 7);
        found.extend(page);
        match reply["result"]["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(found, expected);
    let good = cursor.unwrap();
    for bad in ["", "x", "!!", &good[..good.len() - 2], &format!("{good}A")] {
        let reply = pipes.ask(bad, "tools/list", json!({ "cursor": bad }));
        assert_eq!(reply["error"]["code"], -32602, "{bad:?}: {reply}");
    }
    // A place in one list is none in another.
    let reply = pipes.ask("other", "prompts/list", json!({ "cursor": good }));
    assert_eq!(reply["error"]["code"], -32602, "{reply}");
}

#[test]
fn errors_have_the_texts_and_codes_that_they_have_everywhere() {
    let folder = folder();
    let mut pipes = start(&folder);
    let cases = [
        ("echo", json!({ "text": 1 }), "invalid-arguments"),
        ("test_error_handling", json!({}), "failed"),
        ("structured_wrong", json!({}), "failed"),
        ("structured_missing", json!({}), "failed"),
    ];
    for (tool, arguments, code) in cases {
        let reply = pipes.call(tool, tool, arguments.clone());
        assert_eq!(reply["result"]["isError"], true, "{reply}");
        assert_eq!(reply["result"]["_meta"]["error"]["code"], code, "{reply}");
        let called = folder
            .run(&["call", tool, &arguments.to_string()], "")
            .answered();
        assert_eq!(text(&reply), called.stdout.trim_end());
    }
    let reply = pipes.call("unknown", "ecko", json!({}));
    assert_eq!(reply["error"]["code"], -32602, "{reply}");
    let message = "Unknown tool ecko. Similar tools: echo";
    assert_eq!(reply["error"]["message"], message);
    for (method, params, code) in [
        ("no/such", json!({}), -32601),
        ("resources/read", json!({ "uri": "test://nothing" }), -32002),
        ("prompts/get", json!({ "name": "nothing" }), -32602),
        (
            "prompts/get",
            json!({ "name": "test_prompt_with_arguments" }),
            -32602,
        ),
    ] {
        let reply = pipes.ask(method, method, params);
        assert_eq!(reply["error"]["code"], code, "{reply}");
    }
}

#[test]
fn schemas_come_as_they_were_written() {
    let folder = folder();
    let mut pipes = start(&folder);
    let reply = pipes.ask(1, "tools/list", json!({}));
    let tools = reply["result"]["tools"].as_array().unwrap();
    let tool = tools
        .iter()
        .find(|tool| tool["name"] == "json_schema_2020_12_tool")
        .unwrap();
    let keys: Vec<&String> = tool["inputSchema"].as_object().unwrap().keys().collect();
    let expected = [
        "$schema",
        "type",
        "$defs",
        "properties",
        "allOf",
        "if",
        "then",
        "else",
        "additionalProperties",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        tool["inputSchema"]["$defs"]["address"]["$anchor"],
        "addressDef"
    );
    let simple = tools
        .iter()
        .find(|tool| tool["name"] == "test_simple_text")
        .unwrap();
    assert_eq!(simple["icons"][0]["src"], "https://example.com/text.png");
}

#[test]
fn progress_grows_and_is_there_before_the_result() {
    let folder = folder();
    let mut pipes = start(&folder);
    let params = json!({ "name": "many_progress", "arguments": { "n": 50 }, "_meta": { "progressToken": "t" } });
    pipes.request("call", "tools/call", params);
    let mut last = f64::NEG_INFINITY;
    let mut count = 0;
    loop {
        let message = pipes.next();
        if message["id"] == "call" {
            break;
        }
        if message["method"] == "notifications/progress" {
            assert_eq!(message["params"]["progressToken"], "t");
            let progress = message["params"]["progress"].as_f64().unwrap();
            assert!(progress > last, "{progress} after {last}");
            last = progress;
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn logs_come_from_the_level_on_that_was_set() {
    let folder = folder();
    let mut pipes = start(&folder);
    let levels = |pipes: &mut Pipes, id: &str| {
        let params = json!({ "name": "test_logging_tool", "arguments": {} });
        pipes.request(id, "tools/call", params);
        let mut levels = BTreeSet::new();
        loop {
            let message = pipes.next();
            if message["id"] == id {
                return levels;
            }
            assert_eq!(
                message["params"]["logger"], "test_logging_tool",
                "{message}"
            );
            levels.insert(message["params"]["level"].as_str().unwrap().to_owned());
        }
    };
    let by_default = levels(&mut pipes, "default");
    assert!(
        by_default.contains("info") && !by_default.contains("debug"),
        "{by_default:?}"
    );
    for (level, expected) in [("error", 1), ("warning", 2), ("debug", 5)] {
        let set = pipes.ask(level, "logging/setLevel", json!({ "level": level }));
        assert_eq!(set["result"], json!({}));
        assert_eq!(levels(&mut pipes, &format!("at {level}")).len(), expected);
    }
}

#[test]
fn the_manifests_own_resources_and_prompts_are_offered() {
    let folder = with(
        "[resource.motto]\nuri = 'own://motto'\ntext = 'Festina lente'\nmime-type = 'text/plain'\n\
         [resource.note]\nuri = 'own://note'\npath = 'note.txt'\n\
         [prompt.greet]\ntext = 'Greet {{who}} {{twice}}'\n[prompt.greet.arguments.who]\nrequired = true",
    );
    folder.write("note.txt", "one");
    let mut pipes = start(&folder);
    let listed = pipes.ask(1, "resources/list", json!({}));
    let uris = names(&listed, "resources", "uri");
    assert_eq!(uris[..2], ["own://motto", "own://note"]);
    assert!(uris.contains(&"test://static-text".to_owned()));
    let mut read = |id: u64, uri: &str| {
        let reply = pipes.ask(id, "resources/read", json!({ "uri": uri }));
        reply["result"]["contents"][0].clone()
    };
    let motto = json!({ "uri": "own://motto", "mimeType": "text/plain", "text": "Festina lente" });
    assert_eq!(read(2, "own://motto"), motto);
    assert_eq!(read(3, "own://note")["text"], "one");
    folder.write("note.txt", b"\xff\x00");
    assert_eq!(read(4, "own://note")["blob"], "/wA=");
    assert_eq!(
        read(5, "test://template/7/data")["uri"],
        "test://template/7/data"
    );

    let params = json!({ "name": "greet", "arguments": { "who": "{{who}} Ada" } });
    let reply = pipes.ask(6, "prompts/get", params);
    let message = &reply["result"]["messages"][0];
    assert_eq!(message["role"], "user");
    assert_eq!(message["content"]["text"], "Greet {{who}} Ada {{twice}}");
    let reply = pipes.ask(7, "prompts/get", json!({ "name": "greet" }));
    assert_eq!(reply["error"]["code"], -32602);
    assert!(
        reply["error"]["message"].as_str().unwrap().contains("who"),
        "{reply}"
    );
}

#[test]
fn who_subscribes_is_told_by_the_plugin_and_of_changed_files_until_it_unsubscribes() {
    let folder = with("[resource.note]\nuri = 'own://note'\npath = 'note.txt'");
    folder.write("note.txt", "one");
    let mut pipes = start(&folder);
    let updated = |uri: &str| {
        let uri = uri.to_owned();
        move |message: &Value| {
            message["method"] == "notifications/resources/updated"
                && message["params"]["uri"] == *uri
        }
    };
    for uri in ["own://note", "test://static-text"] {
        let reply = pipes.ask(uri, "resources/subscribe", json!({ "uri": uri }));
        assert_eq!(reply["result"], json!({}), "{reply}");
    }
    let missing = pipes.ask(
        "missing",
        "resources/subscribe",
        json!({ "uri": "own://nothing" }),
    );
    assert_eq!(missing["error"]["code"], -32002, "{missing}");
    folder.write("note.txt", "another");
    pipes.wait(updated("own://note"));
    pipes.call(
        "touch",
        "touch_resource",
        json!({ "uri": "test://static-text" }),
    );
    pipes.wait(updated("test://static-text"));
    let uri = json!({ "uri": "test://static-text" });
    pipes.ask("un", "resources/unsubscribe", uri.clone());
    pipes.call("again", "touch_resource", uri);
    // What would have come has come before this, which is asked for afterwards.
    folder.write("note.txt", "and another");
    pipes.wait(updated("own://note"));
    assert!(!pipes.has(updated("test://static-text")));
}

#[test]
fn completion_says_how_many_there_are() {
    let folder = folder();
    let mut pipes = start(&folder);
    let params = json!({
        "ref": { "type": "ref/resource", "uri": "test://template/{id}/data" },
        "argument": { "name": "id", "value": "" },
    });
    let reply = pipes.ask(1, "completion/complete", params);
    let completion = &reply["result"]["completion"];
    assert_eq!(
        completion["values"].as_array().unwrap().len(),
        100,
        "{reply}"
    );
    assert_eq!(completion["total"], 150);
    assert_eq!(completion["hasMore"], true);
}
