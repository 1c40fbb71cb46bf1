//! The JSON Schema of a shape. What it accepts is what [`decode`](super::decode) reads, and what
//! [`encode`](super::encode) writes fits it.

use serde_json::{Map, Value, json};

use super::shape::{Cases, Fields, Integer, Shape};

/// The member that holds a result that is no object: structured output must be one.
pub(super) const RESULT: &str = "result";

/// The schema of a function's arguments.
pub(super) fn of_params(params: &Fields) -> Value {
    of_fields(params)
}

/// The schema of structured output.
pub(super) fn of_output(result: &Shape) -> Value {
    match result.is_object() {
        true => of(result),
        false => json!({
            "type": "object",
            "properties": { RESULT: of(result) },
            "required": [RESULT],
            "additionalProperties": false,
        }),
    }
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer(integer) => of_integer(*integer),
        Shape::Float32 | Shape::Float64 => json!({
            "anyOf": [
                { "type": "number" },
                { "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] },
            ],
        }),
        Shape::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Shape::String => json!({ "type": "string" }),
        Shape::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Shape::List(element) => json!({ "type": "array", "items": of(element) }),
        Shape::Record(fields) => of_fields(fields),
        Shape::Tuple(shapes) => json!({
            "type": "array",
            "prefixItems": shapes.iter().map(of).collect::<Vec<_>>(),
            "minItems": shapes.len(),
            "maxItems": shapes.len(),
        }),
        Shape::Variant(cases) | Shape::Result(cases) => of_cases(cases),
        Shape::Enum(names) => json!({ "type": "string", "enum": names.list }),
        Shape::Option(inner) => json!({ "anyOf": [of_some(inner), { "type": "null" }] }),
        Shape::Flags(names) => json!({
            "type": "array",
            "items": { "type": "string", "enum": names.list },
            "uniqueItems": true,
        }),
    }
}

fn of_integer(integer: Integer) -> Value {
    let [least, most] = integer.range().map(|bound| match u64::try_from(bound) {
        Ok(bound) => json!(bound),
        Err(_) => json!(i64::try_from(bound).unwrap_or(i64::MIN)),
    });
    match integer {
        Integer::S64 => json!({
            "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": "^-?[0-9]+$",
        }),
        Integer::U64 => json!({
            "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": "^[0-9]+$",
        }),
        _ => json!({ "type": "integer", "minimum": least, "maximum": most }),
    }
}

/// An option's value: wrapped where it could be null itself.
fn of_some(inner: &Shape) -> Value {
    match inner.is_nullable() {
        false => of(inner),
        true => json!({
            "type": "object",
            "properties": { "some": of(inner) },
            "required": ["some"],
            "additionalProperties": false,
        }),
    }
}

/// A member of an object, and whether it is required: options are left out or null.
fn of_member(shape: &Shape) -> (Value, bool) {
    match shape {
        Shape::Option(inner) => (of_some(inner), false),
        shape => (of(shape), true),
    }
}

fn of_fields(fields: &Fields) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, shape, docs) in fields.iter() {
        let (mut schema, is_required) = of_member(shape);
        if let (Some(docs), Value::Object(schema)) = (docs, &mut schema) {
            schema.insert("description".to_owned(), docs.into());
        }
        properties.insert(name.to_owned(), schema);
        if is_required {
            required.push(name);
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn of_cases(cases: &Cases) -> Value {
    let all = cases.names.list.iter().zip(&cases.payloads);
    let all = all.zip(&cases.docs).map(|((name, payload), docs)| {
        let mut properties = Map::new();
        properties.insert(
            "tag".to_owned(),
            json!({ "type": "string", "enum": [name] }),
        );
        let mut required = vec!["tag"];
        if let Some(shape) = payload {
            let (schema, is_required) = of_member(shape);
            properties.insert("val".to_owned(), schema);
            if is_required {
                required.push("val");
            }
        }
        let mut case = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        if let (Some(docs), Value::Object(case)) = (docs, &mut case) {
            case.insert("description".to_owned(), docs.as_str().into());
        }
        case
    });
    json!({ "type": "object", "anyOf": all.collect::<Vec<_>>() })
}
