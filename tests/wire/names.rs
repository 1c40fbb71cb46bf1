//! Names that an API refuses, through the binary: the model sees others, and nobody else does.

use serde_json::{Value, json};
use toolhost::wire::Format;

use crate::common::binary::{Folder, listed};
use crate::common::responses::{APIS, Around, Pieces, Style, events, sse, whole};
use toolhost::ToolCall;

/// A folder with a tool that no letter begins.
fn folder() -> Folder {
    Folder::with(format!("{}prefix = \"3_\"\n", listed("echo")))
}

/// The one tool's name in a format.
fn declared(folder: &Folder, format: Format) -> String {
    let ended = folder
        .run(&["list", "--format", format.name()], "")
        .answered();
    let tools = ended.json();
    let name = match format {
        Format::OpenaiChat | Format::Ollama => &tools[0]["function"]["name"],
        Format::Bedrock => &tools[0]["toolSpec"]["name"],
        Format::Gemini => &tools[0]["functionDeclarations"][0]["name"],
        Format::Mcp => &tools["tools"][0]["name"],
        _ => &tools[0]["name"],
    };
    name.as_str().unwrap().to_owned()
}

#[test]
fn only_an_api_that_would_refuse_a_name_sees_another() {
    let folder = folder();
    for format in Format::ALL {
        let name = declared(&folder, format);
        if format == Format::Gemini {
            assert!(
                name.starts_with(|c: char| c.is_ascii_alphabetic()),
                "{name}"
            );
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            assert!(name.len() <= 64 && name.chars().all(is_plain), "{name}");
            assert!(name.contains("3_echo"), "{name}");
        } else {
            assert_eq!(name, "3_echo", "{format}");
        }
        assert_eq!(name, declared(&folder, format), "the same each time");
    }
}

#[test]
fn call_by_alias_runs_the_tool_and_is_answered_by_alias() {
    let folder = folder();
    let name = declared(&folder, Format::Gemini);
    let call = ToolCall::new("a", &name, r#"{"text":"hello"}"#);
    let response = whole(
        Format::Gemini,
        std::slice::from_ref(&call),
        Around::Response,
    );
    let expected = json!({ "id": "a", "name": name, "response": { "output": "hello" } });
    let ended = folder.run(&["run"], &response).answered();
    assert_eq!(
        ended.json(),
        json!([{ "role": "user", "parts": [{ "functionResponse": expected }] }])
    );
    let streamed = folder.run(&["run", "--stream"], &response).answered();
    assert_eq!(streamed.lines()[0]["functionResponse"], expected);
    let pieces = Pieces {
        call,
        pieces: Vec::new(),
    };
    let (stream, _) = sse(&events(Format::Gemini, &[pieces], |_| 0), Style::PLAIN);
    let streamed = folder.run(&["run", "--sse"], &stream).answered();
    assert_eq!(streamed.json(), ended.json());
    // Who reads the results in another format knows the tool by its own name.
    let own = ["run", "--output-format", "json"];
    let line = &folder.run(&own, &response).answered().lines()[0];
    assert_eq!(
        (&line["name"], &line["content"]),
        (&json!("3_echo"), &json!("hello"))
    );
    let planned = folder.run(&["run", "--dry-run"], &response).answered();
    assert!(planned.stdout.contains("\"3_echo\""), "{}", planned.stdout);
}

#[test]
fn own_and_unknown_names_are_answered_as_called() {
    let folder = folder();
    for (name, is_known) in [("3_echo", true), ("t_echo_12345678", false), ("9", false)] {
        for format in APIS {
            let call = ToolCall::new("a", name, r#"{"text":"hello"}"#);
            let response = whole(format, &[call], Around::Calls);
            let arguments = ["run", "--output-format", "json"];
            let line = &folder.run(&arguments, &response).answered().lines()[0];
            assert_eq!(line["name"], name, "{format}");
            let code = line["error"].get("code").unwrap_or(&Value::Null);
            match is_known {
                true => assert_eq!(line["content"], "hello", "{format}"),
                false => assert_eq!(code, "unknown-tool", "{format}"),
            }
        }
    }
}
