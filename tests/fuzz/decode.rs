//! Responses of all formats: whatever they are, and batches that were encoded here.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use toolhost::json_text::indent;
use toolhost::wire::{self, Format};
use toolhost::{ToolCall, Void};

use crate::common::arbitrary;
use crate::common::responses::{Around, whole};
use crate::harness::{Checked, corpus, fuzz};
use crate::mutate::{arbitrary, mutated};

pub const WORDS: &[&str] = &[
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
    "\"toolUse\":",
    "\"toolUseId\":",
    "\"toolResult\":",
    "\"done\":",
    "\"custom_tool_call\"",
    "\"function_call_output\"",
    "\"function_call\":",
    "\"toolCalls\":",
    "\"tool-call\"",
    "\"tool_call\"",
    "\"messages\":",
    "\"body\":",
    "\"kwargs\":",
    "\"stopReason\":",
    "\"finish_reason\":\"tool_calls\"",
    "{\"name\":\"f\"}",
    "\"id\":\"a\"",
    "\"call_id\":\"a\"",
    "\"type\":\"new_call\"",
    "\"type\":\"shell_call\"",
    "\"status\":\"incomplete\"",
    "\"finish_reason\":\"error\"",
    "\"native_finish_reason\":\"MALFORMED_FUNCTION_CALL\"",
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
pub fn check(input: &[u8]) -> Checked {
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
            if calls.is_empty() {
                has_none(input)?;
            }
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

/// A reply to which the response may amount, and which then has the same calls, if any: what is around a
/// response is taken off before its calls are read.
fn replied(input: &[u8], format: Format, calls: &[ToolCall]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else {
        return Ok(());
    };
    let reply = match format.wire().reply(text) {
        Ok(reply) if !reply.calls.is_empty() => reply,
        _ => return Ok(()),
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

/// What has no calls has none in any place that any format has for them, unless they have results or
/// others have spoken since.
fn has_none(input: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(input).unwrap_or_default();
    let settles = [
        "_output", "Result", "_result", "Executed", "server_", "\"role\"", "\"ai\"", "\\u",
        "\"name\"",
    ];
    let is_settled = settles.iter().any(|word| text.contains(word));
    match serde_json::from_str::<Value>(text) {
        Ok(document) if !is_settled => match lost(&document, 0) {
            Some(call) => Err(format!("{call} was lost")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn lost(value: &Value, depth: usize) -> Option<&Value> {
    match value {
        _ if depth > 10 => None,
        Value::Array(items) => items.iter().find_map(|item| lost(item, depth + 1)),
        Value::Object(members) => members.iter().find_map(|(key, value)| match &**key {
            "tool_calls" | "toolCalls" | "toolUse" | "functionCall" => {
                let is_held = match value {
                    Value::Array(items) => items.iter().any(Value::is_object),
                    Value::Object(members) => !members.is_empty(),
                    _ => false,
                };
                is_held.then_some(value)
            }
            "type" => {
                let is_call = ["tool_use", "function_call"]
                    .iter()
                    .any(|kind| value == kind);
                is_call.then_some(value)
            }
            "arguments"
            | "args"
            | "tools"
            | "tool_choice"
            | "toolChoice"
            | "tool_results"
            | "metadata"
            | "schema"
            | "automatic_function_calling_history"
            | "automaticFunctionCallingHistory" => None,
            _ => lost(value, depth + 1),
        }),
        _ => None,
    }
}

/// Holds the decoded calls against what the whole text is as JSON, where that can be told: a number
/// out of range or half a surrogate pair is nothing that a [`Value`] can hold.
fn expect(input: &[u8], format: Format, calls: &[ToolCall]) -> Result<(), String> {
    let text = std::str::from_utf8(input).map_err(|_| "decoded, and no text")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(documents) = documents(text, format) else {
        return Ok(());
    };
    let entries: Option<Vec<Vec<&Value>>> =
        documents.iter().map(|it| entries(format, it)).collect();
    // Of what is like a document of the format, and none as its API has them, nothing is known here.
    let Some(entries) = entries else {
        return Ok(());
    };
    let entries = entries.concat();
    // As values, two long numbers may be one, and what differs a copy.
    let may_be_copies = || {
        let ids = entries
            .iter()
            .map(|entry| parts(format, entry).0.to_string());
        ids.collect::<BTreeSet<_>>().len() < entries.len()
    };
    let has_copies = !matches!(format, Format::Json | Format::Mcp);
    if has_copies && long_numbers(text).next().is_some() && may_be_copies() {
        return Ok(());
    }
    let entries = once(format, entries);
    // Those of kinds that are not known are answered, and not run.
    let is_known = |call: &&ToolCall| !matches!(call.void(), Some(Void::Kind(_)));
    let calls: Vec<&ToolCall> = calls.iter().filter(is_known).collect();
    same("calls", &calls.len(), &entries.len())?;
    for (call, entry) in calls.into_iter().zip(&entries) {
        let (id, name, arguments) = parts(format, entry);
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
        // Where digits may be written as `\u0031`, it is not seen here which they are.
        if !text.contains("\\u")
            && let Some(lost) = long_numbers(&call.arguments).find(|number| !text.contains(number))
        {
            return Err(format!("{lost} is not what was written"));
        }
    }
    Ok(())
}

/// The numbers in a text that a [`Value`] may not hold as they are.
fn long_numbers(text: &str) -> impl Iterator<Item = &str> {
    let numbers = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    numbers.filter(|number| number.len() > 15)
}

/// Its id, its name and its arguments.
fn parts(format: Format, entry: &Value) -> (&Value, &Value, &Value) {
    match format {
        Format::Json => (&entry["id"], &entry["name"], &entry["arguments"]),
        Format::Anthropic => (&entry["id"], &entry["name"], &entry["input"]),
        Format::OpenaiResponses if entry["type"] == "custom_tool_call" => {
            (&entry["call_id"], &entry["name"], &entry["input"])
        }
        Format::OpenaiResponses => (&entry["call_id"], &entry["name"], &entry["arguments"]),
        Format::Bedrock => (&entry["toolUseId"], &entry["name"], &entry["input"]),
        Format::Gemini => (&entry["id"], &entry["name"], &entry["args"]),
        Format::Mcp => {
            let params = &entry["params"];
            (&entry["id"], &params["name"], &params["arguments"])
        }
        _ => match (&entry["function"], &entry["custom"]) {
            (Value::Null, custom) => (&entry["id"], &custom["name"], &custom["input"]),
            (function, _) => (&entry["id"], &function["name"], &function["arguments"]),
        },
    }
}

/// Each call once: where all that have an id are the same, they are one.
fn once(format: Format, entries: Vec<&Value>) -> Vec<&Value> {
    if matches!(format, Format::Json | Format::Mcp) {
        return entries;
    }
    let own_id = |entry: &Value| {
        let (id, name, _) = parts(format, entry);
        (!id.is_null() && id != "" && id != name).then(|| id.clone())
    };
    let is_copy = |at: usize| {
        let Some(id) = own_id(entries[at]) else {
            return false;
        };
        let all = entries
            .iter()
            .filter(|entry| own_id(entry) == Some(id.clone()));
        let mut all = all.map(|entry| parts(format, entry));
        let (_, name, arguments) = parts(format, entries[at]);
        let meant = |arguments: &Value| written(arguments).unwrap_or(json!({}));
        all.all(|(_, other, its)| other == name && meant(its) == meant(arguments))
            && entries[..at]
                .iter()
                .any(|entry| own_id(entry) == Some(id.clone()))
    };
    let kept = (0..entries.len()).filter(|at| !is_copy(*at));
    kept.map(|at| entries[at]).collect()
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

/// The calls of a document that is as the API has it, each as it stands there; `None` of any other.
fn entries(format: Format, document: &Value) -> Option<Vec<&Value>> {
    let of_type = |items: &'_ Value, kinds: &[&str]| -> Option<Vec<usize>> {
        let items = items.as_array()?;
        let is_plain = |item: &Value| item.is_object() && item.get("role").is_none();
        let has_results = |item: &Value| {
            item["type"]
                .as_str()
                .is_some_and(|it| it.contains("_output"))
        };
        if !items.iter().all(is_plain) || items.iter().any(has_results) {
            return None;
        }
        let places = items.iter().enumerate();
        let places = places.filter(|(_, item)| kinds.iter().any(|kind| item["type"] == *kind));
        Some(places.map(|(place, _)| place).collect())
    };
    match (format, document) {
        (Format::Json | Format::Mcp, Value::Array(calls)) => Some(calls.iter().collect()),
        (Format::Json | Format::Mcp, _) => Some(vec![document]),
        (Format::OpenaiResponses, _) => {
            let items = match document {
                Value::Array(_) => document,
                _ => document.get("output")?,
            };
            let places = of_type(items, &["function_call", "custom_tool_call"])?;
            Some(places.into_iter().map(|place| &items[place]).collect())
        }
        (Format::Anthropic, _) => {
            let items = match document {
                Value::Array(_) => document,
                _ if document["type"] == "tool_use" => return None,
                _ => document.get("content")?,
            };
            let places = of_type(items, &["tool_use"])?;
            Some(places.into_iter().map(|place| &items[place]).collect())
        }
        (Format::Gemini, Value::Array(_)) => None,
        (Format::Gemini, _) => {
            let [candidate] = &document.get("candidates")?.as_array()?[..] else {
                return None;
            };
            let parts = candidate["content"]["parts"].as_array()?;
            let snake = |part: &Value| part.get("function_call").is_some();
            let calls = parts.iter().filter_map(|part| part.get("functionCall"));
            let calls: Vec<&Value> = calls.filter(|call| !call.is_null()).collect();
            (!parts.iter().any(snake)).then_some(calls)
        }
        (Format::Bedrock, _) => {
            let blocks = document["output"]["message"]["content"].as_array()?;
            let calls = blocks.iter().filter_map(|block| block.get("toolUse"));
            let calls: Vec<&Value> = calls.filter(|call| !call.is_null()).collect();
            let is_ours = |call: &&Value| call.get("type").is_none();
            calls.iter().all(is_ours).then_some(calls)
        }
        (Format::Ollama, _) if document.get("done").is_some() => functions(&document["message"]),
        (Format::OpenaiChat, _) if document.get("choices").is_some() => {
            let [choice] = &document["choices"].as_array()?[..] else {
                return None;
            };
            functions(&choice["message"])
        }
        _ => None,
    }
}

/// The calls of a chat message that has them where the API does, and nowhere else.
fn functions(message: &Value) -> Option<Vec<&Value>> {
    let elsewhere = [
        "toolCalls",
        "toolResults",
        "function_call",
        "invalid_tool_calls",
    ];
    if elsewhere.iter().any(|key| message.get(key).is_some()) {
        return None;
    }
    let calls = message.get("tool_calls")?.as_array()?;
    let is_plain = |call: &Value| {
        let called = match (call.get("function"), call.get("custom")) {
            (Some(Value::Object(function)), None) => function,
            (None, Some(Value::Object(custom))) => custom,
            _ => return false,
        };
        let key = if call.get("custom").is_some() {
            "input"
        } else {
            "arguments"
        };
        let others = ["arguments", "parameters", "args", "input"].into_iter();
        let mut others = others.filter(|other| *other != key);
        call.get("providerExecuted").is_none()
            && call["id"] != ""
            && !others.any(|other| called.contains_key(other))
    };
    calls.iter().all(is_plain).then(|| calls.iter().collect())
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
