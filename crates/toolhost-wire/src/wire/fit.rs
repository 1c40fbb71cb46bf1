//! A tool's schema as a model's API takes it. APIs refuse a whole request for one schema that they do not like, so it is
//! rewritten: into one that everything still fits which fits the original. What it no longer asks for, the description
//! says, and the call's own check still asks for. A tool whose schema cannot be rewritten so is left out.
//!
//! What each API refuses is known from its errors more than from its documentation; tests/wire/fit.rs has it as rules.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::Format;
use super::keys::{self, Keys};
use super::refs::Refs;
use super::subschemas::each_within;
use super::top;
use crate::tool::Tool;

/// The most that a description says of what was moved out of a schema, in bytes.
const MAX_NOTE: usize = 1500;

/// The names that a tool's arguments have on the wire of a format.
pub(super) fn keys(tool: &Tool, format: Format) -> Keys {
    fit_tool(tool, format)
        .map(|(_, keys)| keys)
        .unwrap_or_default()
}

/// What an API asks of schemas, beside what all of them do.
#[derive(Clone, Copy, Debug)]
struct ApiRules {
    /// The names of arguments match `[A-Za-z0-9_.-]{1,64}`.
    plain_names: bool,
    /// Nothing refers to anything.
    no_refs: bool,
}

/// `None` where schemas are passed on as they are.
fn rules(format: Format) -> Option<ApiRules> {
    let (plain_names, no_refs) = match format {
        Format::Json | Format::Mcp => return None,
        Format::OpenaiChat | Format::OpenaiResponses => (false, false),
        Format::Anthropic => (true, false),
        Format::Gemini => (false, true),
        // It keeps some of a schema's members only, and `$ref` is none of them.
        Format::Ollama => (false, true),
        // Its models are of several makers: they get what all take.
        Format::Bedrock => (true, true),
    };
    Some(ApiRules {
        plain_names,
        no_refs,
    })
}

pub(super) fn fit_tool(tool: &Tool, format: Format) -> Result<(Cow<'_, Tool>, Keys), String> {
    let Some(rules) = rules(format) else {
        if format == Format::Mcp {
            top::check_type(&tool.input_schema)?;
        }
        return Ok((Cow::Borrowed(tool), Keys::new()));
    };
    let fitted = fit(&tool.input_schema, rules)?;
    if fitted.schema == tool.input_schema && fitted.note.is_none() {
        return Ok((Cow::Borrowed(tool), fitted.keys));
    }
    let mut tool = tool.clone();
    tool.input_schema = fitted.schema;
    if let Some(note) = fitted.note {
        let space = if tool.description.is_empty() {
            ""
        } else {
            "\n\n"
        };
        tool.description = format!("{}{space}{note}", tool.description);
    }
    Ok((Cow::Owned(tool), fitted.keys))
}

/// A schema that an API takes.
#[derive(Debug)]
struct Fitted {
    schema: Value,
    /// What the schema no longer says, for the description.
    note: Option<String>,
    /// The names of its arguments that are not the tool's.
    pub(super) keys: Keys,
}

/// # Errors
///
/// Why there is no such schema, as what the tool does or has.
fn fit(schema: &Value, rules: ApiRules) -> Result<Fitted, String> {
    top::check_type(schema)?;
    let Value::Object(mut root) = Refs::new(schema, rules.no_refs).resolved() else {
        return Err("has a schema that is not an object".to_owned());
    };
    for key in ["$schema", "$id", "$comment"] {
        root.remove(key);
    }
    let moved = top::flatten(&mut root);
    let mut fitted = Value::Object(root);
    complete(&mut fitted);
    let note = (!moved.is_empty()).then(|| note(moved));
    let mut keys = Keys::new();
    if let (true, Value::Object(root)) = (rules.plain_names, &mut fitted) {
        keys = keys::rename(root).map_err(|name| odd(&name))?;
        // The description has the tool's own names.
        let is_noted = |name: &&String| {
            let quoted = Value::from(&***name).to_string();
            note.as_ref().is_some_and(|note| note.contains(&quoted))
        };
        if let Some(name) = keys.values().find(is_noted) {
            return Err(odd(name));
        }
    }
    Ok(Fitted {
        schema: fitted,
        note,
        keys,
    })
}

pub(super) fn odd(name: &str) -> String {
    let name: String = name.chars().take(100).collect();
    format!("has an argument named {name:?}; argument names must match [A-Za-z0-9_.-]{{1,64}}")
}

fn note(moved: Map<String, Value>) -> String {
    let mut text = Value::Object(moved).to_string();
    if text.len() > MAX_NOTE {
        text.truncate(text.floor_char_boundary(MAX_NOTE));
        text.push('…');
    }
    format!("The arguments must also match this JSON Schema: {text}")
}

/// Spells out what goes without saying, wherever an API may miss it.
fn complete(schema: &mut Value) {
    let Value::Object(members) = schema else {
        return;
    };
    let is = |kind: &str| match members.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    };
    let (is_object, is_array) = (is("object"), is("array"));
    if is_array {
        members.entry("items").or_insert_with(|| json!({}));
    }
    let required = match members.get("required") {
        Some(Value::Array(names)) => names.clone(),
        _ => Vec::new(),
    };
    let is_open = matches!(
        members.get("additionalProperties"),
        None | Some(Value::Bool(true))
    );
    if is_object {
        let properties = members.entry("properties").or_insert_with(|| json!({}));
        if let (true, Value::Object(properties)) = (is_open, properties) {
            for name in required.iter().filter_map(Value::as_str) {
                properties.entry(name).or_insert_with(|| json!({}));
            }
        }
    }
    each_within(members, &mut complete);
}
