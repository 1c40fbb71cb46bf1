//! Mends schemas that say by an invalid value what they mean by none: `"required": null`, as serializers write
//! an empty list, and `"properties": []`, as PHP writes an empty object; and types by the names that programming
//! languages have for them.

use serde_json::Value;

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

/// A schema without what is invalid in it, if that is all that is wrong.
pub(super) fn tidied(schema: &str) -> Option<String> {
    let mut value = serde_json::from_str(schema).ok()?;
    tidy(&mut value, 0);
    Some(value.to_string())
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

fn tidy(schema: &mut Value, depth: usize) {
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
    for (name, value) in members.iter_mut() {
        if name == "type" {
            let named = value.as_str().and_then(json_type);
            *value = named.map_or_else(|| value.take(), Value::from);
        } else if MAPS.contains(&name.as_str()) {
            if value.as_array().is_some_and(Vec::is_empty) {
                *value = Value::Object(Default::default());
            }
            if let Some(schemas) = value.as_object_mut() {
                // Such as a `required` that slipped in among the `properties`.
                schemas.retain(|_, schema| schema.is_object() || schema.is_boolean());
            }
            let schemas = value.as_object_mut().into_iter().flatten();
            schemas.for_each(|(_, schema)| tidy(schema, depth + 1));
        } else if SCHEMAS.contains(&name.as_str()) {
            match value {
                Value::Array(schemas) => schemas.iter_mut().for_each(|it| tidy(it, depth + 1)),
                schema => tidy(schema, depth + 1),
            }
        }
    }
}
