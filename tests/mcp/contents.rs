//! What is answered, to the byte: contents, declarations and errors.

use serde_json::{Value, json};

use crate::client::{Client, New, Old, text};
use crate::common::binary::{Folder, listed};
use crate::server::{Http, folder};

/// The guests that answer and fail in every way there is.
fn everything() -> Folder {
    let manifest = [
        listed("conformance"),
        listed("echo"),
        listed("misbehave"),
        "prefix = 'm_'\n".to_owned(),
        listed("bfcl"),
    ];
    Folder::with(manifest.concat())
}

fn both(folder: &Folder, check: impl Fn(&mut Client)) {
    check(&mut Client::stdio(folder, Old, json!({})));
    check(&mut Client::stdio(folder, New, json!({})));
}

#[test]
fn every_kind_of_content_arrives_byte_for_byte() {
    both(&everything(), |client| {
        let result = client.call("m_media", json!({}));
        assert_eq!(result["isError"], false);
        assert_eq!(
            result["content"],
            json!([
                { "type": "text", "text": "one of each" },
                { "type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png" },
                { "type": "audio", "data": "UklGRiQAAABXQVZF", "mimeType": "audio/wav" },
                { "type": "resource_link", "uri": "https://example.com/page", "name": "page",
                    "description": "A page of the web", "mimeType": "text/html" },
                { "type": "resource", "resource":
                    { "uri": "note:///1", "mimeType": "text/plain", "text": "a note" } },
                { "type": "resource", "resource":
                    { "uri": "blob:///1", "mimeType": "application/octet-stream", "blob": "AAH+/w==" } },
            ])
        );
    });
}

#[test]
fn text_of_every_script_and_control_character_comes_back_unchanged() {
    let mut said = String::from("ÄЖ漢字🦀\u{2028}\u{2029}\u{feff}\"\\/");
    said.extend((0..0x20).map(char::from));
    said += "\u{7f}\u{fffd}\u{10ffff}";
    both(&folder(), |client| {
        assert_eq!(client.text("echo", json!({ "text": said })), said);
    });
}

#[test]
fn structured_output_stands_beside_the_same_as_text() {
    both(&everything(), |client| {
        let value =
            json!({ "z": 1, "a": [1.5, null, u64::MAX], "nested": { "b": true, "a": "ü" } });
        let result = client.call("m_structured", json!({ "value": value }));
        // In the order that the tool said it.
        assert_eq!(result["structuredContent"].to_string(), value.to_string());
        assert_eq!(text(&result), value.to_string());
    });
}

#[test]
fn a_failed_call_is_a_result_with_the_text_and_code_of_toolhost_call() {
    let folder = everything();
    let calls = [
        ("test_error_handling", json!({}), "failed"),
        ("echo", json!({}), "invalid-arguments"),
        (
            "echo",
            json!({ "text": [1], "more": 2 }),
            "invalid-arguments",
        ),
        ("m_trap", json!({}), "trap"),
        (
            "m_refuse",
            json!({ "message": "not so" }),
            "invalid-arguments",
        ),
        ("m_deny", json!({ "what": "all" }), "denied"),
        ("m_bad_structured", json!({}), "failed"),
        ("structured_wrong", json!({}), "failed"),
        ("structured_missing", json!({}), "failed"),
    ];
    both(&folder, |client| {
        for (tool, arguments, code) in &calls {
            let by_hand = folder.run(&["call", tool, &arguments.to_string()], "");
            let result = client.call(tool, arguments.clone());
            assert_eq!(result["isError"], true, "{tool}: {result:#}");
            assert_eq!(
                result["content"],
                json!([{ "type": "text", "text": by_hand.stdout.trim_end_matches('\n') }]),
                "{tool}"
            );
            let error = &result["_meta"]["error"];
            assert_eq!(error["code"], *code, "{tool}: {result:#}");
            let message = error["message"].as_str().unwrap();
            assert!(by_hand.stdout.contains(message), "{tool}: {message}");
            assert!(result.get("structuredContent").is_none(), "{tool}");
        }
    });
}

#[test]
fn an_unknown_tool_is_an_error_that_names_similar_ones() {
    both(&folder(), |client| {
        for arguments in [json!({}), json!({ "text": 1 })] {
            let params = json!({ "name": "ecko", "arguments": arguments });
            let error = client.error("tools/call", params);
            assert_eq!(error["code"], -32602);
            assert_eq!(error["message"], "Unknown tool ecko. Similar tools: echo");
            assert_eq!(error["data"]["code"], "unknown-tool");
        }
    });
}

#[test]
fn what_is_no_message_is_told_what_is_wrong_with_it() {
    both(&folder(), |client| {
        for (message, why) in [
            (
                json!({ "id": 700, "method": "ping" }),
                "`jsonrpc` is missing",
            ),
            (
                json!({ "jsonrpc": "1.0", "id": 700, "method": "ping" }),
                "`jsonrpc` is not",
            ),
            (
                json!({ "jsonrpc": "2.0", "id": 700, "method": 5 }),
                "`method` is not a string",
            ),
            (
                json!({ "jsonrpc": "2.0", "id": 700, "method": "ping", "params": 5 }),
                "`params` is not an object",
            ),
        ] {
            client.send(&message);
            let error = client.answer(700)["error"].clone();
            assert_eq!(error["code"], -32600, "{message}: {error}");
            let said = error["message"].as_str().unwrap();
            assert!(said.contains(why), "{message}: {said}");
        }
    });
}

#[test]
fn an_unknown_method_is_told_from_wrong_parameters_of_a_known_one() {
    both(&folder(), |client| {
        for method in ["nope", "tools/nope", "tasks/list", "TOOLS/LIST", ""] {
            let error = client.error(method, json!({}));
            assert_eq!(error["code"], -32601, "{method}: {error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.ends_with("unknown method"), "{message}");
        }
        for (method, params) in [
            ("tools/call", json!({})),
            ("tools/call", json!({ "name": 1 })),
            ("tools/call", json!({ "name": "echo", "arguments": [1] })),
            ("resources/read", json!({ "url": "test://static-text" })),
            ("prompts/get", json!({ "name": ["test_simple_prompt"] })),
            (
                "completion/complete",
                json!({ "argument": { "name": "a", "value": "" } }),
            ),
        ] {
            let error = client.error(method, params.clone());
            assert_eq!(error["code"], -32602, "{method} {params}: {error}");
        }
    });
    // Of the other kind of protocol, with parameters that fit or do not.
    for (revision, methods) in [
        (Old, &["subscriptions/listen"][..]),
        (
            New,
            &[
                "initialize",
                "logging/setLevel",
                "resources/subscribe",
                "resources/unsubscribe",
            ],
        ),
    ] {
        let mut client = Client::alone(revision, json!({}));
        for method in methods {
            for params in [json!({}), json!({ "uri": "test://static-text" })] {
                let error = client.error(method, params);
                assert_eq!(error["code"], -32601, "{method}: {error}");
                let message = error["message"].as_str().unwrap();
                let why = message.split_once(&format!("{method}: "));
                let (_, why) = why.unwrap_or_else(|| panic!("{message}"));
                assert!(!why.is_empty(), "{message}");
            }
        }
    }
    // Its HTTP status depends on that.
    let server = Http::start();
    let mut client = Client::http(&server, New, json!({}));
    assert_eq!(client.error("tools/call", json!({}))["code"], -32602);
    assert_eq!(client.error("nope", json!({}))["code"], -32601);
}

#[test]
fn an_unknown_resource_has_the_code_of_its_protocol() {
    for (revision, code) in [(Old, -32002), (New, -32602)] {
        let mut client = Client::alone(revision, json!({}));
        for uri in ["test://nope", "test://template/1/2/data", "nope", ""] {
            let error = client.error("resources/read", json!({ "uri": uri }));
            assert_eq!(error["code"], code, "{uri}: {error}");
            assert_eq!(error["data"]["uri"], uri);
        }
    }
}

#[test]
fn prompts_say_what_is_unknown_or_missing() {
    both(&folder(), |client| {
        let error = client.error("prompts/get", json!({ "name": "nope" }));
        assert_eq!(error["code"], -32602);
        assert!(error["message"].as_str().unwrap().contains("nope"));
        let name = "test_prompt_with_arguments";
        for (arguments, missing) in [
            (json!({}), &["arg1", "arg2"][..]),
            (json!({ "arg1": "a" }), &["arg2"]),
            (json!({ "arg2": "b", "arg3": "c" }), &["arg1"]),
        ] {
            let params = json!({ "name": name, "arguments": arguments });
            let error = client.error("prompts/get", params);
            assert_eq!(error["code"], -32602, "{error}");
            for argument in missing {
                assert!(
                    error["message"].as_str().unwrap().contains(argument),
                    "{error}"
                );
            }
        }
        let arguments = json!({ "arg1": "{{arg2}}", "arg2": "b" });
        let result = client.result(
            "prompts/get",
            json!({ "name": name, "arguments": arguments }),
        );
        assert_eq!(
            result["messages"],
            json!([{ "role": "user", "content":
                { "type": "text", "text": "Prompt with arguments: arg1='{{arg2}}', arg2='b'" } }])
        );
    });
}

#[test]
fn completion_counts_what_it_leaves_out() {
    both(&folder(), |client| {
        let mut complete = |reference: Value, name: &str, value: &str, others: Value| {
            let params = json!({
                "ref": reference,
                "argument": { "name": name, "value": value },
                "context": { "arguments": others },
            });
            client.result("completion/complete", params)["completion"].take()
        };
        let prompt = || json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
        assert_eq!(
            complete(prompt(), "arg1", "par", json!({})),
            json!({ "values": ["paris", "park", "party"], "total": 3, "hasMore": false })
        );
        assert_eq!(
            complete(prompt(), "arg2", "", json!({ "arg1": "first" }))["values"],
            json!(["first-second"])
        );
        assert_eq!(
            complete(prompt(), "nope", "", json!({})),
            json!({ "values": [], "total": 0, "hasMore": false })
        );
        let template = json!({ "type": "ref/resource", "uri": "test://template/{id}/data" });
        let many = complete(template, "id", "", json!({}));
        let values = many["values"].as_array().unwrap();
        assert_eq!(values.len(), 100);
        assert_eq!((&values[0], &values[99]), (&json!("1"), &json!("100")));
        assert_eq!(
            (&many["total"], &many["hasMore"]),
            (&json!(150), &json!(true))
        );
        for reference in [
            json!({ "type": "ref/prompt", "name": "nope" }),
            json!({ "type": "ref/resource", "uri": "test://nope/{id}" }),
        ] {
            let params = json!({ "ref": reference, "argument": { "name": "arg1", "value": "" } });
            let error = client.error("completion/complete", params);
            assert_eq!(error["code"], -32602, "{error}");
        }
    });
}

#[test]
fn a_tool_is_declared_as_its_author_wrote_it() {
    both(&folder(), |client| {
        let tools = client.result("tools/list", json!({}))["tools"].take();
        let tool = |name: &str| {
            let mut tools = tools.as_array().unwrap().iter();
            tools.find(|tool| tool["name"] == name).unwrap()
        };
        assert_eq!(
            *tool("test_simple_text"),
            json!({
                "name": "test_simple_text",
                "title": "Simple text",
                "description": "Answers one text.",
                "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
                "annotations": { "readOnlyHint": true, "idempotentHint": true, "openWorldHint": false },
                "icons": [{ "src": "https://example.com/text.png" }],
            })
        );
        let plain = tool("spin").as_object().unwrap();
        let members: Vec<&String> = plain.keys().collect();
        assert_eq!(members, ["name", "description", "inputSchema"]);
        assert_eq!(
            tool("structured_wrong")["outputSchema"].to_string(),
            r#"{"type":"object","properties":{"number":{"type":"integer"}},"required":["number"]}"#
        );
        // Keywords of 2020-12 in the order that they were written in.
        assert_eq!(
            tool("json_schema_2020_12_tool")["inputSchema"].to_string(),
            concat!(
                r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","##,
                r##""$defs":{"address":{"$anchor":"addressDef","type":"object","properties":"##,
                r##"{"street":{"type":"string"},"city":{"type":"string"}}}},"properties":"##,
                r##"{"name":{"type":"string"},"address":{"$ref":"#/$defs/address"},"##,
                r##""contactMethod":{"type":"string","enum":["phone","email"]},"##,
                r##""phone":{"type":"string"},"email":{"type":"string"}},"##,
                r##""allOf":[{"anyOf":[{"required":["phone"]},{"required":["email"]}]}],"##,
                r##""if":{"properties":{"contactMethod":{"const":"phone"}},"required":["contactMethod"]},"##,
                r##""then":{"required":["phone"]},"else":{"required":["email"]},"##,
                r##""additionalProperties":false}"##
            )
        );
    });
}
