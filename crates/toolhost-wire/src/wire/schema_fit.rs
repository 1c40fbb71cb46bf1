//! Rewrites tools' schemas for model APIs, which refuse a whole request for one schema that they do
//! not support. The rewritten schema accepts everything that the original does. What it no longer
//! requires is said in the description, and still checked when the call runs. A tool whose schema
//! cannot be rewritten that way is left out.
//!
//! What each API refuses is known from its errors more than from its documentation; the rules are
//! in tests/wire/fit.rs.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::Format;
use super::argument_names::{self, ArgumentNames};
use super::inline_refs::Refs;
use super::schema_top_level;
use super::subschemas::each_within;
use crate::tool::Tool;

/// The longest note about what was moved out of a schema, in bytes.
const MAX_NOTE: usize = 1500;

/// The names of a tool's arguments on the wire of a format.
pub(super) fn keys(tool: &Tool, format: Format) -> ArgumentNames {
    fit_tool(tool, format)
        .map(|(_, keys)| keys)
        .unwrap_or_default()
}

/// An API's requirements of schemas, beside those that all have.
#[derive(Clone, Copy, Debug)]
struct ApiRules {
    /// Argument names match `[A-Za-z0-9_.-]{1,64}`.
    plain_names: bool,
    /// No `$ref`.
    no_refs: bool,
}

/// `None` if schemas are passed on unchanged.
fn rules(format: Format) -> Option<ApiRules> {
    let (plain_names, no_refs) = match format {
        Format::Json | Format::Mcp => return None,
        Format::OpenaiChat | Format::OpenaiResponses => (false, false),
        Format::Anthropic => (true, false),
        Format::Gemini => (false, true),
        // It keeps only some members of a schema, `$ref` not among them.
        Format::Ollama => (false, true),
        // Its models are of several makers: they get what all accept.
        Format::Bedrock => (true, true),
    };
    Some(ApiRules {
        plain_names,
        no_refs,
    })
}

pub(super) fn fit_tool(
    tool: &Tool,
    format: Format,
) -> Result<(Cow<'_, Tool>, ArgumentNames), String> {
    let Some(rules) = rules(format) else {
        if format == Format::Mcp {
            schema_top_level::check_type(&tool.input_schema)?;
        }
        return Ok((Cow::Borrowed(tool), ArgumentNames::new()));
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

/// A schema that an API accepts.
#[derive(Debug)]
struct FittedSchema {
    schema: Value,
    /// What the schema no longer says, for the description.
    note: Option<String>,
    /// The names of its arguments that are not the tool's.
    pub(super) keys: ArgumentNames,
}

/// # Errors
///
/// Why there is no such schema, as a phrase about the tool.
fn fit(schema: &Value, rules: ApiRules) -> Result<FittedSchema, String> {
    schema_top_level::check_type(schema)?;
    let Value::Object(mut root) = Refs::new(schema, rules.no_refs).resolved() else {
        return Err("has a schema that is not an object".to_owned());
    };
    for key in ["$schema", "$id", "$comment"] {
        root.remove(key);
    }
    let moved = schema_top_level::flatten(&mut root);
    let mut fitted = Value::Object(root);
    complete(&mut fitted);
    let note = (!moved.is_empty()).then(|| note(moved));
    let mut keys = ArgumentNames::new();
    if let (true, Value::Object(root)) = (rules.plain_names, &mut fitted) {
        keys = argument_names::rename(root).map_err(|name| odd(&name))?;
        // The description uses the tool's own names.
        let is_noted = |name: &&String| {
            let quoted = Value::from(&***name).to_string();
            note.as_ref().is_some_and(|note| note.contains(&quoted))
        };
        if let Some(name) = keys.values().find(is_noted) {
            return Err(odd(name));
        }
    }
    Ok(FittedSchema {
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

/// Makes implied keywords explicit where an API may need them.
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
