//! Responses of all formats: whatever they are, and batches that were encoded here.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use toolhost::ToolCall;
use toolhost::json_text::indent;
use toolhost::wire::{self, Format};

use crate::common::arbitrary;
use crate::common::responses::{Around, whole};
use crate::harness::{Checked, corpus, fuzz};
use crate::mutate::{arbitrary, mutated};

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "\\",
    "\n",
    "\r\n",
    "\u{feff}",
    "\0",
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "[null]",
    "1e999",
    "-0",
    "123456789012345678901234567890",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"é\"",
    "\"id\":",
    "\"name\":",
    "\"arguments\":",
    "\"function\":",
    "\"tool_calls\":",
    "\"choices\":",
    "\"message\":",
    "\"role\":",
    "\"custom\":",
    "\"input\":",
    "\"output\":",
    "\"type\":",
    "\"function_call\"",
    "\"call_id\":",
    "\"content\":",
    "\"tool_use\"",
    "\"candidates\":",
    "\"parts\":",
    "\"functionCall\":",
    "\"args\":",
    "\"jsonrpc\":",
    "\"method\":",
    "\"tools/call\"",
    "\"params\":",
    "\"error\":",
    "{\"name\":\"f\"}",
    "[[[[[[[[[[[[[[[[",
    "/*",
    "NaN",
];

#[test]
fn decode() {
    let seeds = [corpus("decode"), corpus("decode_valid")].concat();
    let files = seeds.iter().map(|(_, text)| text.clone()).collect();
    let inputs = prop_oneof![
        1 => arbitrary(),
        4 => mutated(files, WORDS),
        1 => batch(),
    ];
    fuzz("decode", &seeds, inputs, check);
}

/// A batch that is encoded comes out as it went in.
#[test]
fn decode_valid() {
    fuzz(
        "decode_valid",
        &corpus("decode_valid"),
        batch(),
        |input| match check(input)? {
            true => Ok(true),
            false => Err(format!(
                "refused: {}",
                wire::decode(input, None).unwrap_err()
            )),
        },
    );
}

/// Good is what is decoded without being told its format.
fn check(input: &[u8]) -> Checked {
    for format in Format::ALL {
        match wire::decode(input, Some(format)) {
            Ok((found, calls)) => {
                same("the format", &found, &format)?;
                expect(input, format, &calls)?;
                replied(input, format, &calls)?;
            }
            Err(error) => drop(error.to_string()),
        }
    }
    match wire::decode(input, None) {
        Ok((format, calls)) => {
            let told = wire::decode(input, Some(format)).map(|(_, calls)| calls);
            same("told the format", &told.ok(), &Some(calls))?;
            Ok(true)
        }
        Err(error) => {
            drop(error.to_string());
            Ok(false)
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?}, and not {expected:?}"))
    }
}

/// A reply to which the response may amount, and which then has the same calls.
fn replied(input: &[u8], format: Format, calls: &[ToolCall]) -> Result<(), String> {
    let (Some(api), Ok(text)) = (format.api(), std::str::from_utf8(input)) else {
        return Ok(());
    };
    let Ok(reply) = api.reply(text) else {
        return Ok(());
    };
    // Of several alternatives the first is the reply, and another may be the one with calls.
    match format {
        Format::OpenaiResponses => same("the reply", &&reply.calls[..], &calls),
        // Unless it is a block with content besides.
        Format::Anthropic if !is_block(text) => same("the reply", &&reply.calls[..], &calls),
        _ => Ok(()),
    }
}

fn is_block(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|document| document["type"] == "tool_use")
}

/// Holds the decoded calls against what the whole text is as JSON, where that can be told: a number
/// out of range or half a surrogate pair is nothing that a [`Value`] can hold.
fn expect(input: &[u8], format: Format, calls: &[ToolCall]) -> Result<(), String> {
    let text = std::str::from_utf8(input).map_err(|_| "decoded, and no text")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(documents) = documents(text, format) else {
        return Ok(());
    };
    let entries: Vec<&Value> = documents
        .iter()
        .flat_map(|it| entries(format, it))
        .collect();
    same("calls", &calls.len(), &entries.len())?;
    for (call, entry) in calls.iter().zip(&entries) {
        let (id, name, arguments) = match format {
            Format::Json => (&entry["id"], &entry["name"], &entry["arguments"]),
            Format::OpenaiResponses => (&entry["call_id"], &entry["name"], &entry["arguments"]),
            Format::Anthropic => (&entry["id"], &entry["name"], &entry["input"]),
            Format::Gemini => (&entry["id"], &entry["name"], &entry["args"]),
            Format::Mcp => {
                let params = &entry["params"];
                (&entry["id"], &params["name"], &params["arguments"])
            }
            _ => match (&entry["function"], &entry["custom"]) {
                (Value::Null, custom) => (&entry["id"], &custom["name"], &custom["input"]),
                (function, _) => (&entry["id"], &function["name"], &function["arguments"]),
            },
        };
        let (expected, is_id) = match (format, id) {
            (_, Value::Null) => (None, true),
            // Whose type is kept: a string that would be read as something else is quoted.
            (Format::Mcp, id) => (Some(id.clone()), true),
            (_, id) => {
                let is_id = id.as_str().is_none_or(|id| Some(id) == call.id.as_deref());
                (written(id), is_id)
            }
        };
        same("an id", &read(call.id.as_deref()), &expected)?;
        same(
            "a name",
            &read(Some(&call.name)),
            &written(name).or(Some(json!(""))),
        )?;
        // Without arguments, or `null`, is no text.
        let expected = written(arguments).unwrap_or(json!(""));
        same("arguments", &read(Some(&call.arguments)), &Some(expected))?;
        let is_text = arguments.as_str().is_none_or(|text| text == call.arguments);
        same("text as it was", &(is_text && is_id), &true)?;
    }
    Ok(())
}

/// The documents of a text: one, or one a line where the format has that.
fn documents(text: &str, format: Format) -> Option<Vec<Value>> {
    let is_one = serde_json::from_str::<&RawValue>(text).is_ok();
    if is_one || !matches!(format, Format::Json | Format::Mcp) {
        return Some(vec![serde_json::from_str(text).ok()?]);
    }
    let lines = text.lines().filter(|line| !line.trim_ascii().is_empty());
    lines.map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a label or arguments say: the JSON that they are, if they are.
fn read(text: Option<&str>) -> Option<Value> {
    let text = text?;
    Some(serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
}

/// As [`read`] has it: a string stands for its text.
fn written(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => read(Some(text)),
        other => Some(other.clone()),
    }
}

/// The calls of a document, each as it stands there.
fn entries(format: Format, document: &Value) -> Vec<&Value> {
    let items = |value| Value::as_array(value).into_iter().flatten();
    let of_type = |value, kind: &str| -> Vec<&Value> {
        items(value).filter(|item| item["type"] == kind).collect()
    };
    match (format, document) {
        (Format::Json | Format::Mcp, Value::Array(calls)) => calls.iter().collect(),
        (Format::Json | Format::Mcp, _) => vec![document],
        (Format::OpenaiResponses, Value::Array(_)) => of_type(document, "function_call"),
        (Format::OpenaiResponses, _) if document["output"].is_null() => {
            let is_call = document["type"] == "function_call";
            is_call.then_some(document).into_iter().collect()
        }
        (Format::OpenaiResponses, _) => of_type(&document["output"], "function_call"),
        (Format::Anthropic, Value::Array(_)) => of_type(document, "tool_use"),
        (Format::Anthropic, _) if document["type"] == "tool_use" => vec![document],
        (Format::Anthropic, _) => of_type(&document["content"], "tool_use"),
        (Format::Gemini, Value::Array(all)) => {
            all.iter().flat_map(|one| entries(format, one)).collect()
        }
        (Format::Gemini, _) if !document["candidates"].is_null() => {
            let contents = items(&document["candidates"]).map(|it| &it["content"]["parts"]);
            contents.flat_map(items).filter_map(function_call).collect()
        }
        (Format::Gemini, _) => match function_call(document) {
            Some(call) => vec![call],
            None => items(&document["parts"])
                .filter_map(function_call)
                .collect(),
        },
        (_, Value::Array(calls)) => calls.iter().collect(),
        (_, _) if !document["choices"].is_null() => {
            let messages = items(&document["choices"]).map(|choice| &choice["message"]);
            messages
                .flat_map(|message| items(&message["tool_calls"]))
                .collect()
        }
        (_, _) if !document["function"].is_null() || !document["custom"].is_null() => {
            vec![document]
        }
        (_, _) => items(&document["tool_calls"]).collect(),
    }
}

fn function_call(part: &Value) -> Option<&Value> {
    part.get("functionCall").filter(|call| !call.is_null())
}

/// A response of any format with a call at least.
fn batch() -> impl Strategy<Value = Vec<u8>> {
    let label = prop_oneof!["[a-z0-9_-]{1,12}", any::<String>()];
    let calls = arbitrary::calls(proptest::option::of(label), 4);
    let calls = calls.prop_filter("none", |calls| !calls.is_empty());
    let format = select(Format::ALL.to_vec());
    let around = select(vec![Around::Response, Around::Message, Around::Calls]);
    (format, around, calls, any::<bool>()).prop_map(|(format, around, calls, pretty)| {
        let text = whole(format, &calls, around);
        let is_lines = text.contains('\n');
        let pretty = (pretty && !is_lines).then(|| indent(&text)).flatten();
        pretty.unwrap_or(text).into_bytes()
    })
}
