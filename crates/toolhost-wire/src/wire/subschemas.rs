//! Which members of a JSON Schema contain schemas, and which contain data.

use serde_json::{Map, Value};

/// What a member of a schema contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A schema.
    One,
    /// An array of schemas.
    Many,
    /// Schemas by name.
    Named,
    /// No schema, whatever it looks like.
    Data,
}

/// What `value`, the member `key` of a schema, contains.
pub fn holds(key: &str, value: &Value) -> Holds {
    match key {
        "items" if value.is_array() => Holds::Many,
        "additionalItems"
        | "additionalProperties"
        | "contains"
        | "contentSchema"
        | "else"
        | "if"
        | "items"
        | "not"
        | "propertyNames"
        | "then"
        | "unevaluatedItems"
        | "unevaluatedProperties" => Holds::One,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Holds::Many,
        "$defs" | "definitions" | "dependencies" | "dependentSchemas" | "patternProperties"
        | "properties" => Holds::Named,
        _ => Holds::Data,
    }
}

/// Visits the direct subschemas of a schema.
pub fn each_within(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Value)) {
    for (key, value) in schema {
        match (holds(key, value), value) {
            (Holds::One, value) => visit(value),
            (Holds::Many, Value::Array(values)) => values.iter_mut().for_each(&mut *visit),
            (Holds::Named, Value::Object(members)) => {
                // The values of `dependencies` may be lists of names.
                let schemas = members.values_mut().filter(|value| !value.is_array());
                schemas.for_each(&mut *visit);
            }
            _ => {}
        }
    }
}
