//! Calls that are not as the tool asks for them and can be meant in one way only: their arguments are
//! repaired, and whoever looks at the call sees that; names lose what a template left on them.

use serde_json::{Value, json};
use toolhost::manifest::AuditConfig;
use toolhost::wire::Format;
use toolhost::{CallError, Repair, ToolCall};

use crate::common::binary::{Folder, listed};
use crate::common::responses::{APIS, Around, whole};
use crate::common::{self, error, load, manifest, plugin, text};

fn named(repairs: &[Repair]) -> Vec<String> {
    let repairs = repairs.iter();
    repairs
        .map(|repair| format!("{} {}", repair.path, repair.what))
        .collect()
}

#[tokio::test]
async fn a_tool_gets_the_repaired_arguments_and_its_result_says_so() {
    let host = common::host(&["misbehave"]).await;
    let written = r#"{"order":"{\"items\":[{\"name\":42,\"quantity\":\"3\"},{\"name\":\"b\",\"quantity\":2.0}]}"}"#;
    let result = host.call(ToolCall::new("a", "nested", written)).await;
    let expected = json!({ "order": { "items": [
        { "name": "42", "quantity": 3 },
        { "name": "b", "quantity": 2 },
    ] } });
    let got: Value = serde_json::from_str(&text(&result)).unwrap();
    assert_eq!(got, expected);
    assert_eq!(
        named(&result.repairs),
        [
            "/order an object written as a string",
            "/order/items/0/name a number where a string is expected",
            "/order/items/0/quantity a number written as a string",
            "/order/items/1/quantity a whole number written with a fraction",
        ]
    );
    // What needs no repair comes as it was written.
    let written = r#"{ "big":12345678901234567890123, "b" : 1.0 }"#;
    let result = host
        .call(ToolCall::new("b", "raw_arguments", written))
        .await;
    assert_eq!(text(&result), written);
    assert_eq!(result.repairs, []);
    // What is around it is taken off, and what is inside stays.
    let fenced = format!("```json\n{written}\n```");
    let result = host.call(ToolCall::new("c", "raw_arguments", fenced)).await;
    assert_eq!(text(&result), written);
    assert_eq!(
        named(&result.repairs),
        [" a code fence around the arguments"]
    );
}

#[tokio::test]
async fn what_cannot_be_repaired_fails_as_it_was_written() {
    let host = common::host(&["misbehave"]).await;
    let written = r#"{"text":7,"count":"many"}"#;
    let result = host.call(ToolCall::new("a", "optional", written)).await;
    let CallError::InvalidArguments { problems } = error(&result) else {
        panic!("{result:?}");
    };
    let places: Vec<&str> = problems.iter().map(|problem| &*problem.pointer).collect();
    assert_eq!(
        places,
        ["/text", "/count"],
        "both, though one could be repaired"
    );
    assert_eq!(result.repairs, []);
}

#[tokio::test]
async fn a_plan_has_the_arguments_as_they_would_be_run() {
    let host = common::host(&["misbehave"]).await;
    let call = ToolCall::new("a", "functions.sleep", r#"{"ms":"5"}"#);
    let plan = host.plan(&call).unwrap();
    assert_eq!(
        (&*plan.tool.name, &*plan.arguments),
        ("sleep", r#"{"ms":5}"#)
    );
    assert_eq!(named(&plan.repairs), ["/ms a number written as a string"]);
}

#[tokio::test]
async fn repair_arguments_turns_it_off() {
    let mut off = manifest([plugin("misbehave")]);
    off.host.repair_arguments = false;
    let host = load(off).await;
    for arguments in [r#"{"count":"5"}"#, r#"{"count":null}"#, "```\n{}\n```"] {
        let result = host.call(ToolCall::new("a", "optional", arguments)).await;
        assert_eq!(error(&result).code(), "invalid-arguments", "{arguments}");
    }
    let result = host
        .call(ToolCall::new("a", "optional", r#"{"count":5.0}"#))
        .await;
    assert_eq!(text(&result), r#"{"count":5.0}"#);
    assert_eq!(result.repairs, []);
}

#[test]
fn a_manifest_turns_it_off() {
    let call = ToolCall::new("a", "optional", r#"{"count":"5"}"#);
    for (host, code) in [
        ("", Value::Null),
        ("repair-arguments = true", Value::Null),
        ("repair-arguments = false", json!("invalid-arguments")),
    ] {
        let folder = Folder::with(format!("[host]\n{host}\n{}", listed("misbehave")));
        let results = results(&folder, Format::Json, std::slice::from_ref(&call));
        assert_eq!(results[0]["error"]["code"], code, "{host}");
    }
    let folder = Folder::with("[host]\nrepair-arguments = 'no'\n");
    folder
        .run(&["list"], "")
        .failed("`host.repair-arguments` must be true or false");
}

#[tokio::test]
async fn the_audit_log_has_what_was_run_and_what_was_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut config = AuditConfig::new(&path);
    config.arguments = true;
    let mut manifest = manifest([plugin("misbehave")]);
    manifest.audit = Some(config);
    let host = load(manifest).await;
    let written = r#"{"count":"5"}"#;
    host.call(ToolCall::new("a", "functions.optional", written))
        .await;
    let call = ToolCall::new("b", "optional", written);
    host.refuse(
        &call,
        CallError::Denied {
            what: "no".to_owned(),
        },
    );
    host.call(ToolCall::new("c", "optional", r#"{"count":5}"#))
        .await;
    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let repairs = json!([{ "path": "/count", "what": "a number written as a string" }]);
    for line in &lines {
        assert_eq!(
            (&line["tool"], &line["arguments"]),
            (&json!("optional"), &json!(r#"{"count":5}"#))
        );
        assert_eq!(line["arguments_sha256"], lines[2]["arguments_sha256"]);
    }
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["repairs"], &lines[1]["repairs"]),
        (&repairs, &repairs)
    );
    assert_eq!(lines[2].get("repairs"), None);
}

/// What the binary prints for a response, a line of JSON for each result.
fn results(folder: &Folder, format: Format, calls: &[ToolCall]) -> Vec<Value> {
    let response = whole(format, calls, Around::Response);
    let ended = folder
        .run(&["run", "--output-format", "json"], response)
        .answered();
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn full_names_the_repairs_in_every_format() {
    let folder = Folder::of(&["misbehave"]);
    let call = ToolCall::new("a", "optional", r#"{"count":"5","text":null}"#);
    let repairs = json!([
        { "path": "/count", "what": "a number written as a string" },
        { "path": "/text", "what": "null for an optional argument" },
    ]);
    for format in APIS {
        let response = whole(format, std::slice::from_ref(&call), Around::Response);
        let full = folder.run(&["run", "--full"], &response).answered().stdout;
        let plain = folder.run(&["run"], &response).answered().stdout;
        let full: Value = serde_json::from_str(&full).unwrap();
        assert!(has(&full, &repairs), "{format}: {full}");
        assert!(!plain.contains("repairs"), "{format}: {plain}");
    }
    let planned = folder.run(
        &["run", "--dry-run"],
        whole(APIS[0], &[call], Around::Response),
    );
    assert_eq!(planned.answered().json()[0]["repairs"], repairs);
}

/// Whether some member named `repairs` is this.
fn has(value: &Value, repairs: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.get("repairs") == Some(repairs)
                || members.values().any(|value| has(value, repairs))
        }
        Value::Array(items) => items.iter().any(|item| has(item, repairs)),
        _ => false,
    }
}

/// Shapes that users of other hosts reported: arrays and objects as text, numbers and booleans as text,
/// null for what is optional, whole numbers with a fraction, and text that only looks like JSON.
#[test]
fn what_models_really_send_to_files_and_calculators_runs() {
    let mut manifest = ["calculator", "filesystem"].map(listed).concat();
    manifest
        .push_str("permissions.files = [{ host = 'w', guest = '/w', access = 'read-write' }]\n");
    let folder = Folder::with(manifest);
    folder.write("w/a.md", "first\nx\n");
    let call = |id: &str, name: &str, arguments: &str| ToolCall::new(id, name, arguments);
    let looks_like_json = r#"{"path":"/w/b.json","content":"[1, {\"a\": 2.0}]"}"#;
    for format in APIS {
        folder.write("w/c.md", "f\n");
        let results = results(
            &folder,
            format,
            &[
                call("0", "fs_read", r#"{"path":"/w/a.md","limit":"10"}"#),
                call(
                    "1",
                    "fs_read",
                    r#"{"path":"/w/a.md","limit":null,"offset":null}"#,
                ),
                call("2", "fs_read", r#"{"path":"/w/a.md","limit":10.0}"#),
                call(
                    "3",
                    "fs_search",
                    r#"{"pattern":"x","path":"/w","context":"2"}"#,
                ),
                call(
                    "4",
                    "fs_edit",
                    r#"{"path":"/w/c.md","old":"f","new":"g","replace_all":"false"}"#,
                ),
                call("5", "calculate", r#"{"expression":42}"#),
                call("6", "fs_read", r#"{"path":"/w/a.md","limit":""}"#),
                call("7", "fs_write", looks_like_json),
            ],
        );
        let codes: Vec<&Value> = results
            .iter()
            .map(|result| &result["error"]["code"])
            .collect();
        let no = &Value::Null;
        let empty = &json!("invalid-arguments");
        assert_eq!(
            codes,
            [no, no, no, no, no, no, empty, no],
            "{format}: {results:?}"
        );
        assert_eq!(results[5]["content"], "42");
        // A text stays a text, whatever is in it.
        let written = std::fs::read_to_string(folder.path().join("w/b.json")).unwrap();
        assert_eq!(written, r#"[1, {"a": 2.0}]"#);
        assert_eq!(results[7].get("repairs"), None);
    }
}

#[test]
fn arguments_that_are_no_object_are_unwrapped_and_never_guessed() {
    let folder = Folder::of(&["calculator"]);
    let expression = r#"{"expression":"6*7"}"#;
    let in_string = serde_json::to_string(expression).unwrap();
    let good = [
        expression.to_owned(),
        in_string.clone(),
        serde_json::to_string(&in_string).unwrap(),
        format!("```json\n{expression}\n```"),
        format!("\u{feff}{expression}"),
    ];
    let bad = [
        format!("{expression} and then I will answer"),
        r#"{"expression":"6*7",}"#.to_owned(),
        "{'expression':'6*7'}".to_owned(),
        r#"{"expression":NaN}"#.to_owned(),
        "{\"expression\":\"6*\n7\"}".to_owned(),
        format!("[{expression}]"),
        r#"{"expression":"6*7""#.to_owned(),
        "None".to_owned(),
        r#""6*7""#.to_owned(),
    ];
    // As Chat has them: a string of whatever the model wrote.
    let call = |text: &String| json!({ "type": "function", "id": "c", "function": { "name": "calculate", "arguments": text } });
    let calls: Vec<Value> = good.iter().chain(&bad).map(call).collect();
    let ended = folder
        .run(
            &["run", "--output-format", "json"],
            json!(calls).to_string(),
        )
        .answered();
    let lines = ended.stdout.lines();
    let results: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(results.len(), good.len() + bad.len());
    for (result, written) in results.iter().zip(good.iter().chain(&bad)) {
        if good.contains(written) {
            assert_eq!(result["content"], "42", "{written}");
        } else {
            assert_eq!(result["error"]["code"], "invalid-arguments", "{written}");
        }
    }
}

#[test]
fn leaked_template_tokens_in_a_name_find_the_tool() {
    let folder = Folder::of(&["calculator"]);
    let names = [
        "calculate<|channel|>commentary",
        "functions.calculate",
        " calculate ",
        "default_api:calculate",
        "Calculate",
        "other.calculate",
    ];
    let arguments = r#"{"expression":"6*7"}"#;
    let calls: Vec<ToolCall> = names
        .iter()
        .map(|name| ToolCall::new("c", *name, arguments))
        .collect();
    for format in APIS {
        let results = results(&folder, format, &calls);
        for (result, name) in results.iter().zip(names) {
            assert_eq!(result["name"], name, "{format}");
            match name {
                "Calculate" | "other.calculate" => {
                    assert_eq!(result["error"]["code"], "unknown-tool")
                }
                _ => assert_eq!(result["content"], "42", "{format}: {name}"),
            }
        }
    }
    // Gemini finds the answer to a call by the name that it gave.
    let response = whole(Format::Gemini, &calls[3..4], Around::Response);
    let answers = folder.run(&["run"], response).answered().json();
    assert_eq!(
        answers[0]["parts"][0]["functionResponse"]["name"],
        "default_api:calculate"
    );
}

#[test]
fn a_leak_on_a_name_that_stands_for_another_is_taken_off_too() {
    let folder = Folder::with(format!("{}prefix = '3_'\n", listed("calculator")));
    let declared = folder
        .run(&["list", "--format", "gemini"], "")
        .answered()
        .json();
    let wire = declared[0]["functionDeclarations"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ne!(wire, "3_calculate");
    let call = ToolCall::new(
        "c",
        format!("default_api.{wire}"),
        r#"{"expression":"6*7"}"#,
    );
    assert_eq!(
        results(&folder, Format::Gemini, &[call])[0]["content"],
        "42"
    );
}

#[test]
fn a_server_finds_the_tool_as_well() {
    let folder = Folder::of(&["calculator"]);
    let request = |id: u64, method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
    };
    let client = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let call = |name: &str| json!({ "name": name, "arguments": { "expression": 42 } });
    let lines = [
        request(1, "initialize", client),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string(),
        request(2, "tools/call", call("functions.calculate")),
        request(3, "tools/call", call("fs.calculate")),
    ];
    let ended = folder.run(&["serve"], lines.join("\n") + "\n");
    let answers: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let answer = |id: u64| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(
        answer(2)["result"]["content"][0]["text"],
        "42",
        "{answers:?}"
    );
    assert_eq!(answer(3)["error"]["data"]["code"], "unknown-tool");
}
