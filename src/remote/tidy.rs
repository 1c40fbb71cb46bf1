//! Mends schemas that say by an invalid value what they mean by none: `"required": null`, as serializers write
//! an empty list, and `"properties": []`, as PHP writes an empty object.

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
        if MAPS.contains(&name.as_str()) {
            if value.as_array().is_some_and(Vec::is_empty) {
                *value = Value::Object(Default::default());
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
