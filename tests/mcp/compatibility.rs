//! Plugins that were built for a published version of the interface still load and answer. The guest
//! has a copy of that version and uses all of it, without the SDK.

use serde_json::{Value, json};

use crate::client::{Client, Old, text};
use crate::common::binary::{Folder, listed};

fn client() -> Client {
    let folder = Folder::empty();
    folder.write("token.txt", "123456789");
    let settings = "config.key = 'value'\npermissions.secrets.token = { file = 'token.txt' }\n";
    folder.write("toolhost.toml", listed("plugin-0-1-0") + settings);
    let asked = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} });
    Client::inside(folder, Old, asked)
}

#[track_caller]
fn has(actual: &Value, expected: Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&actual[key], value, "{key} of {actual:#}");
    }
}

#[test]
fn tools_of_0_1_0_are_listed() {
    let tools = client().result("tools/list", json!({}))["tools"].take();
    let tools = tools.as_array().unwrap();
    let names: Vec<&Value> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["contents", "host", "ask", "fail"]);
    let expected = json!({
        "title": "Title of contents",
        "description": "Description of contents",
        "icons": [{ "src": "https://example.com/icon.png", "mimeType": "image/png", "sizes": ["48x48"] }],
        "inputSchema": { "type": "object", "properties": { "kind": { "type": "string" } } },
        "outputSchema": { "type": "object" },
        "annotations": { "readOnlyHint": true, "idempotentHint": true, "openWorldHint": false },
    });
    has(&tools[0], expected);
}

#[test]
fn contents_of_0_1_0_are_sent() {
    let result = client().call("contents", json!({}));
    let expected = json!([
        { "type": "text", "text": "text" },
        { "type": "image", "data": "AP8B", "mimeType": "image/png" },
        { "type": "audio", "data": "AP8B", "mimeType": "audio/wav" },
        { "type": "resource_link", "uri": "compat://link", "name": "link", "description": "a link" },
        { "type": "resource", "resource":
            { "uri": "compat://embedded", "mimeType": "text/plain", "text": "inside" } },
        { "type": "resource", "resource":
            { "uri": "compat://embedded", "mimeType": "text/plain", "blob": "Bw==" } },
    ]);
    has(
        &result,
        json!({ "content": expected, "structuredContent": { "number": 1 } }),
    );
}

#[test]
fn a_plugin_of_0_1_0_uses_its_host() {
    let mut client = client();
    let said = client.text("host", json!({}));
    assert_eq!(said, r#"Some("value") Some(9) [true, true, true, true]"#);
}

#[test]
fn a_plugin_of_0_1_0_asks() {
    let mut client = client();
    let id = client.start("ask", json!({}));
    for _ in 0..2 {
        let asked = client.told("elicitation/create");
        let reply = match asked["params"]["url"].as_str() {
            Some("https://example.com/login") => json!({ "action": "decline" }),
            Some(other) => panic!("{other}"),
            None => json!({ "action": "accept", "content": { "which": "this" } }),
        };
        client.respond(&asked, reply);
    }
    let sampling = client.told("sampling/createMessage");
    let said = json!({ "type": "text", "text": "Something" });
    let completion =
        json!({ "role": "assistant", "content": said, "model": "m", "stopReason": "end" });
    client.respond(&sampling, completion);
    let roots = client.told("roots/list");
    client.respond(
        &roots,
        json!({ "roots": [{ "uri": "file:///a" }, { "uri": "file:///b" }] }),
    );
    let expected = "state; form: accepted Some(\"{\\\"which\\\":\\\"this\\\"}\"); page: declined; \
                    prompt: m said Something; roots: 2 roots";
    assert_eq!(text(&client.answer(id)["result"]), expected);
}

#[test]
fn failures_of_0_1_0_are_told_apart() {
    let mut client = client();
    for (kind, code) in [
        ("invalid", "invalid-arguments"),
        ("denied", "denied"),
        ("other", "failed"),
    ] {
        let result = client.call("fail", json!({ "kind": kind }));
        assert_eq!(result["_meta"]["error"]["code"], code, "{result:#}");
    }
}

#[test]
fn resources_prompts_and_completions_of_0_1_0_are_served() {
    let mut client = client();
    let listed = client.result("resources/list", json!({}));
    let expected = json!({ "uri": "compat://listed", "name": "listed", "title": "Listed",
        "mimeType": "text/plain", "size": 6 });
    has(&listed["resources"][0], expected);
    let templates = client.result("resources/templates/list", json!({}));
    let expected =
        json!({ "uriTemplate": "compat://items/{id}", "name": "item", "description": "An item." });
    has(&templates["resourceTemplates"][0], expected);
    let read = client.result("resources/read", json!({ "uri": "compat://items/1" }));
    has(
        &read["contents"][0],
        json!({ "text": "content of compat://items/1" }),
    );
    client.result("resources/subscribe", json!({ "uri": "compat://listed" }));

    let prompts = client.result("prompts/list", json!({}));
    let argument = json!({ "name": "who", "description": "Whom to greet", "required": true });
    has(
        &prompts["prompts"][0],
        json!({ "name": "greet", "title": "Greet", "arguments": [argument] }),
    );
    let greet = json!({ "name": "greet", "arguments": { "who": "Ada" } });
    let message =
        json!({ "role": "assistant", "content": { "type": "text", "text": "Hello, Ada" } });
    let expected = json!({ "description": "1 arguments", "messages": [message] });
    has(&client.result("prompts/get", greet), expected);
    let asked = json!({ "ref": { "type": "ref/prompt", "name": "greet" },
        "argument": { "name": "who", "value": "A" } });
    let completed = client.result("completion/complete", asked);
    has(
        &completed["completion"],
        json!({ "values": ["greet whoA"], "total": 1 }),
    );
}
