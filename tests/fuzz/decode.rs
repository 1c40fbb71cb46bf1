//! Responses: whatever they are, and batches that were encoded here.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use toolhost::ToolCall;
use toolhost::wire::{self, Format};

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
        1 => batch().prop_map(encoded),
    ];
    fuzz("decode", &seeds, inputs, check);
}

/// A batch that is encoded comes out as it went in.
#[test]
fn decode_valid() {
    let inputs = batch().prop_map(encoded);
    fuzz(
        "decode_valid",
        &corpus("decode_valid"),
        inputs,
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
    for format in [Format::OpenaiChat, Format::Json] {
        match wire::decode(input, Some(format)) {
            Ok((found, calls)) => {
                same("the format", &found, &format)?;
                expect(input, format, &calls)?;
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

/// Holds the decoded calls against what the whole text is as JSON, where that can be told: a number
/// out of range or half a surrogate pair is nothing that a [`Value`] can hold.
fn expect(input: &[u8], format: Format, calls: &[ToolCall]) -> Result<(), String> {
    let text = std::str::from_utf8(input).map_err(|_| "decoded, and no text")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let entries: Vec<Option<Value>> = match format {
        Format::Json => {
            let lines = text.split('\n');
            let lines = lines.filter(|line| !line.trim_ascii().is_empty());
            lines.map(|line| serde_json::from_str(line).ok()).collect()
        }
        _ => match serde_json::from_str(text) {
            Ok(document) => entries(&document).into_iter().cloned().map(Some).collect(),
            Err(_) => return Ok(()),
        },
    };
    same("calls", &calls.len(), &entries.len())?;
    for (call, entry) in calls.iter().zip(&entries) {
        // Serde reads arrays as objects whose members are in order.
        let Some(entry) = entry.as_ref().filter(|entry| entry.is_object()) else {
            continue;
        };
        let (name, arguments) = match format {
            Format::Json => (&entry["name"], &entry["arguments"]),
            _ => match (&entry["function"], &entry["custom"]) {
                (function @ Value::Object(_), _) => (&function["name"], &function["arguments"]),
                (Value::Null, custom @ Value::Object(_)) => (&custom["name"], &custom["input"]),
                (Value::Null, Value::Null) => (&entry["name"], &entry["arguments"]),
                _ => continue,
            },
        };
        same("an id", &read(call.id.as_deref()), &written(&entry["id"]))?;
        same(
            "a name",
            &read(Some(&call.name)),
            &written(name).or(Some(json!(""))),
        )?;
        // Without arguments, or `null`, is no text.
        let expected = written(arguments).unwrap_or(json!(""));
        same("arguments", &read(Some(&call.arguments)), &Some(expected))?;
        let is_text = arguments.as_str().is_none_or(|text| text == call.arguments);
        let is_id = entry["id"]
            .as_str()
            .is_none_or(|id| Some(id) == call.id.as_deref());
        same("text as it was", &(is_text && is_id), &true)?;
    }
    Ok(())
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

/// The calls of a completion, a message or an array of calls.
fn entries(document: &Value) -> Vec<&Value> {
    let calls = |value| Value::as_array(value).into_iter().flatten();
    match (document, document["choices"].as_array()) {
        (Value::Array(_), _) => calls(document).collect(),
        (_, Some(choices)) => {
            let messages = choices.iter().map(|choice| &choice["message"]);
            let of_each = messages.flat_map(|message| calls(&message["tool_calls"]));
            of_each.collect()
        }
        (_, None) => calls(&document["tool_calls"]).collect(),
    }
}

#[derive(Clone, Debug)]
struct Batch {
    shape: &'static str,
    calls: Vec<(Option<String>, String, Value)>,
    pretty: bool,
}

fn batch() -> impl Strategy<Value = Batch> {
    let label = || prop_oneof!["[a-z0-9_-]{1,12}", any::<String>()];
    let call = (proptest::option::of(label()), label(), object());
    let shape = select(vec!["lines", "calls", "bare", "message", "completion"]);
    (shape, vec(call, 1..5), any::<bool>()).prop_map(|(shape, calls, pretty)| Batch {
        shape,
        calls,
        pretty,
    })
}

fn encoded(batch: Batch) -> Vec<u8> {
    let call = |(id, name, arguments): &(Option<String>, String, Value)| match batch.shape {
        "lines" | "bare" => json!({ "id": id, "name": name, "arguments": arguments }),
        _ => {
            let function = json!({ "name": name, "arguments": arguments.to_string() });
            json!({ "id": id, "type": "function", "function": function })
        }
    };
    let calls: Vec<Value> = batch.calls.iter().map(call).collect();
    let message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
    let document = match batch.shape {
        "lines" => {
            let lines: Vec<String> = calls.iter().map(|call| format!("{call}\n")).collect();
            return lines.concat().into_bytes();
        }
        "calls" | "bare" => Value::Array(calls),
        "message" => message,
        _ => json!({ "choices": [{ "index": 0, "message": message }] }),
    };
    if batch.pretty {
        format!("{document:#}").into_bytes()
    } else {
        document.to_string().into_bytes()
    }
}

/// Objects of whatever JSON can hold, with keys that differ.
fn object() -> impl Strategy<Value = Value> {
    vec((any::<String>(), value()), 0..5).prop_map(|members| {
        let mut seen = HashSet::new();
        let members = members
            .into_iter()
            .filter(|(key, _)| seen.insert(key.clone()));
        Value::Object(members.collect())
    })
}

pub fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-20..20).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-z]{1,3}", inner), 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}
