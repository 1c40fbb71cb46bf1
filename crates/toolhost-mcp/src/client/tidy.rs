//! Mends schemas that say by an invalid value what they mean by none: `"required": null`, as serializers write
//! an empty list, and `"properties": []`, as PHP writes an empty object; types by the names that programming
//! languages have for them; and types, or a `required`, in the place of the schemas of properties.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// Schemas in one another that are looked at.
const MAX_DEPTH: usize = 64;

/// Members that are schemas by name.
const MAPS: [&str; 5] = [
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// Members that are schemas, or lists of such.
const SCHEMAS: [&str; 14] = [
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Members whose value may be null.
const VALUES: [&str; 3] = ["const", "default", "example"];

/// So much of a property's name is said, in characters.
const MAX_NAME: usize = 100;

/// So many properties that were mended are named.
const MAX_NAMED: usize = 5;

/// A schema in which what is invalid is mended, if that is all that is wrong.
pub(super) struct Tidied {
    pub(super) schema: String,
    /// What was mended by a guess, for people.
    pub(super) guessed: Vec<String>,
}

pub(super) fn tidied(schema: &str) -> Option<Tidied> {
    let mut value = serde_json::from_str(schema).ok()?;
    let mut guessed = Vec::new();
    tidy(&mut value, 0, &mut guessed);
    Some(Tidied {
        schema: value.to_string(),
        guessed,
    })
}

/// What a type is called in JSON Schema that has its name in a programming language.
fn json_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "str" | "String" | "text" => "string",
        "int" | "Integer" | "long" => "integer",
        "float" | "double" | "decimal" => "number",
        "bool" | "Boolean" => "boolean",
        "list" | "tuple" => "array",
        "dict" | "map" => "object",
        _ => return None,
    })
}

/// What is meant by a value in the place of a property's schema: at least that there is such a property.
fn schema_of(value: &Value) -> Value {
    let name = value.as_str().unwrap_or_default();
    let is_type = [
        "array", "boolean", "integer", "null", "number", "object", "string",
    ]
    .contains(&name);
    match is_type.then_some(name).or_else(|| json_type(name)) {
        Some(name) => json!({ "type": name }),
        None => Value::Bool(true),
    }
}

/// A `required` that slipped in among the `properties`.
fn take_required(members: &mut Map<String, Value>) -> Option<Value> {
    let properties = members.get_mut("properties")?.as_object_mut()?;
    let is_property = |name: &Value| name.as_str().is_some_and(|it| properties.contains_key(it));
    let names = properties.get("required")?.as_array()?;
    let are_properties = names.iter().all(is_property);
    are_properties
        .then(|| properties.remove("required"))
        .flatten()
}

fn guess(what: String, guessed: &mut Vec<String>) {
    if guessed.len() < MAX_NAMED {
        guessed.push(what);
    }
}

fn tidy(schema: &mut Value, depth: usize, guessed: &mut Vec<String>) {
    let Value::Object(members) = schema else {
        return;
    };
    if depth > MAX_DEPTH {
        return;
    }
    members.retain(|name, value| match name.as_str() {
        // In drafts of old it stood at the property, which is not lost: a call without it fails there.
        "required" => value.is_array(),
        name => !value.is_null() || VALUES.contains(&name),
    });
    if let Some(required) = take_required(members) {
        guess(
            "`required` was moved out of `properties`".to_owned(),
            guessed,
        );
        let all = members.entry("required").or_insert_with(|| json!([]));
        if let (Value::Array(all), Value::Array(more)) = (all, required) {
            all.extend(more);
            let mut seen = HashSet::new();
            all.retain(|name| seen.insert(name.to_string()));
        }
    }
    for (name, value) in members.iter_mut() {
        if name == "type" {
            let named = value.as_str().and_then(json_type);
            *value = named.map_or_else(|| value.take(), Value::from);
        } else if MAPS.contains(&name.as_str()) {
            if value.as_array().is_some_and(Vec::is_empty) {
                *value = Value::Object(Default::default());
            }
            if let Some(schemas) = value.as_object_mut() {
                let strange = schemas
                    .iter_mut()
                    .filter(|(_, schema)| !schema.is_object() && !schema.is_boolean());
                for (name, schema) in strange {
                    *schema = schema_of(schema);
                    let name: String = name.chars().take(MAX_NAME).collect();
                    let what = match schema.get("type").and_then(Value::as_str) {
                        Some(kind) => format!("`{name}` was given the type {kind}"),
                        None => format!("`{name}` has no schema, so it accepts any value"),
                    };
                    guess(what, guessed);
                }
            }
            let schemas = value.as_object_mut().into_iter().flatten();
            schemas.for_each(|(_, schema)| tidy(schema, depth + 1, guessed));
        } else if SCHEMAS.contains(&name.as_str()) {
            match value {
                Value::Array(schemas) => schemas
                    .iter_mut()
                    .for_each(|it| tidy(it, depth + 1, guessed)),
                schema => tidy(schema, depth + 1, guessed),
            }
        }
    }
}
