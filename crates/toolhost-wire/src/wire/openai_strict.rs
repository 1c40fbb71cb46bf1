//! Whether a schema qualifies for OpenAI's `strict` mode.
//!
//! That supports a part of JSON Schema, and refuses the whole request for anything else:
//! <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>. A schema that
//! might be refused is declared without it.

use serde_json::{Map, Value};

/// OpenAI refuses deeper schemas.
const MAX_DEPTH: usize = 5;

/// OpenAI refuses schemas with more properties in all.
const MAX_PROPERTIES: usize = 100;

/// Keywords that are supported everywhere.
const TAKEN: &[&str] = &[
    "type",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
];

/// Whether the schema of a tool's arguments qualifies.
pub(super) fn is_strict(schema: &Value) -> bool {
    let mut properties = 0;
    schema.get("type") == Some(&Value::from("object"))
        && schema.get("anyOf").is_none()
        && fits(schema, 0, &mut properties)
        && properties <= MAX_PROPERTIES
}

fn fits(schema: &Value, depth: usize, properties: &mut usize) -> bool {
    let Value::Object(schema) = schema else {
        return false;
    };
    if depth > MAX_DEPTH || schema.keys().any(|key| !TAKEN.contains(&&**key)) {
        return false;
    }
    let below = |schema: &Value, properties: &mut usize| fits(schema, depth + 1, properties);
    let is_object = match schema.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => false,
    };
    if is_object && !is_closed(schema, properties) {
        return false;
    }
    // It refuses a schema that allows anything.
    if !["type", "enum", "const", "anyOf"]
        .iter()
        .any(|key| schema.contains_key(*key))
    {
        return false;
    }
    let mut within = Vec::new();
    if let Some(members) = schema.get("properties") {
        let Value::Object(members) = members else {
            return false;
        };
        within.extend(members.values());
    }
    within.extend(schema.get("items"));
    if let Some(choices) = schema.get("anyOf") {
        let Value::Array(choices) = choices else {
            return false;
        };
        within.extend(choices);
    }
    within.into_iter().all(|schema| below(schema, properties))
}

/// Whether an object requires all of its properties, and allows no others.
fn is_closed(schema: &Map<String, Value>, properties: &mut usize) -> bool {
    let none = Map::new();
    let members = match schema.get("properties") {
        Some(Value::Object(members)) => members,
        _ => &none,
    };
    *properties += members.len();
    let required: Vec<&str> = match schema.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    *properties <= MAX_PROPERTIES
        && schema.get("additionalProperties") == Some(&Value::Bool(false))
        && members.keys().all(|name| required.contains(&&**name))
        && required.len() == members.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_openai_takes_is_strict() {
        let object = |more: Value| {
            let mut schema = json!({
                "type": "object",
                "properties": { "a": { "type": "string" } },
                "required": ["a"],
                "additionalProperties": false,
            });
            let Value::Object(more) = more else {
                unreachable!()
            };
            schema.as_object_mut().unwrap().extend(more);
            schema
        };
        assert!(is_strict(&object(json!({}))));
        let nested = json!({ "type": ["array", "null"], "items": object(json!({})) });
        assert!(is_strict(&object(json!({ "properties": { "a": nested } }))));
        for more in [
            json!({ "required": [] }),
            json!({ "required": ["a", "b"] }),
            json!({ "additionalProperties": true }),
            json!({ "$schema": "https://json-schema.org/draft/2020-12/schema" }),
            json!({ "oneOf": [] }),
            json!({ "properties": { "a": { "type": "object" } } }),
            json!({ "properties": { "a": { "type": "string", "default": "" } } }),
            json!({ "properties": { "a": true } }),
            json!({ "properties": { "a": {} } }),
            json!({ "properties": { "a": { "type": "array", "items": {} } } }),
        ] {
            assert!(!is_strict(&object(more.clone())), "{more}");
        }
        assert!(!is_strict(&json!({ "type": "string" })));
    }
}
