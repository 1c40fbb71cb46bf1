//! Rewrites older drafts of JSON Schema as the current one (2020-12), which model APIs accept; some
//! refuse every request with a tool in another draft.
//!
//! Keywords whose shape gives away an older draft are rewritten whatever draft the schema declares:
//! most declare none, and in 2020-12 those shapes are errors or have no meaning. Nothing is lost:
//! the same arguments are valid as before.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::pointer;
use crate::wire::subschemas::{Holds, each_within, holds};

/// Rewrites a schema of any draft as 2020-12. A schema in 2020-12 stays as it is.
pub(crate) fn modernize(schema: &mut Value) {
    let draft = Draft::of(schema);
    if draft == Draft::Current {
        return;
    }
    let before = schema.clone();
    let moves_definitions = has_free_definitions(schema);
    rewrite(schema, draft, &mut |pointer| {
        moved(&before, pointer, moves_definitions)
    });
    let Value::Object(root) = schema else {
        return;
    };
    if let (true, Some(Value::Object(definitions))) =
        (moves_definitions, root.remove("definitions"))
    {
        let defs = root.entry("$defs").or_insert_with(|| json!({}));
        if let Value::Object(defs) = defs {
            defs.extend(definitions);
        }
    }
    if draft != Draft::Unknown {
        root.remove("$schema");
    }
    // In draft 3 it is in the properties, and has been moved from there.
    root.retain(|key, value| key != "required" || !value.is_boolean());
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Draft {
    /// Draft 4 and before: a `$ref` overrides everything beside it, and identifiers are called
    /// `id`.
    Upto4,
    /// Up to draft 7: the same, with `$id`.
    Upto7,
    Of2019,
    Current,
    Unknown,
}

impl Draft {
    fn of(schema: &Value) -> Draft {
        match schema.get("$schema").and_then(Value::as_str) {
            Some(uri) if uri.contains("draft-03") || uri.contains("draft-04") => Draft::Upto4,
            Some(uri) if uri.contains("draft-06") || uri.contains("draft-07") => Draft::Upto7,
            Some(uri) if uri.contains("2019-09") => Draft::Of2019,
            Some(uri) if uri.contains("2020-12") => Draft::Current,
            _ => Draft::Unknown,
        }
    }
}

fn rewrite(schema: &mut Value, draft: Draft, moved: &mut dyn FnMut(&str) -> String) {
    let Value::Object(members) = schema else {
        return;
    };
    if matches!(draft, Draft::Upto4 | Draft::Upto7)
        && members.get("$ref").is_some_and(Value::is_string)
    {
        members.retain(|key, _| is_kept_beside_ref(key));
    }
    if let Some(Value::String(reference)) = members.get_mut("$ref") {
        *reference = moved(reference);
    }
    bounds(members);
    arrays(members);
    dependencies(members);
    identifiers(members, draft);
    types(members);
    required(members);
    each_within(members, &mut |schema| rewrite(schema, draft, moved));
}

/// Whether a keyword says nothing about values.
fn is_kept_beside_ref(key: &str) -> bool {
    let notes = [
        "$ref",
        "title",
        "description",
        "default",
        "examples",
        "$schema",
    ];
    notes.contains(&key) || matches!(key, "definitions" | "$defs")
}

/// `exclusiveMinimum: true` modifies the `minimum` beside it.
fn bounds(members: &mut Map<String, Value>) {
    for (exclusive, bound) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        let Some(Value::Bool(is_exclusive)) = members.get(exclusive) else {
            continue;
        };
        match is_exclusive.then(|| members.remove(bound)).flatten() {
            Some(bound) => members.insert(exclusive.to_owned(), bound),
            None => members.remove(exclusive),
        };
    }
    if let (false, Some(value)) = (
        members.contains_key("multipleOf"),
        members.get("divisibleBy").cloned(),
    ) && value.is_number()
    {
        members.remove("divisibleBy");
        members.insert("multipleOf".to_owned(), value);
    }
}

/// `items` with a list of schemas.
fn arrays(members: &mut Map<String, Value>) {
    let is_tuple = members.get("items").is_some_and(Value::is_array);
    // Without such a list it has no meaning.
    let rest = members.remove("additionalItems").filter(|_| is_tuple);
    if !is_tuple {
        return;
    }
    match members.remove("items") {
        Some(Value::Array(places)) if !places.is_empty() => {
            members.insert("prefixItems".to_owned(), Value::Array(places));
        }
        _ => {}
    }
    if let Some(rest) = rest {
        members.insert("items".to_owned(), rest);
    }
}

fn dependencies(members: &mut Map<String, Value>) {
    let Some(Value::Object(all)) = members.get("dependencies") else {
        return;
    };
    let (mut names, mut schemas) = (Map::new(), Map::new());
    for (key, value) in all {
        match value {
            Value::Array(_) => names.insert(key.clone(), value.clone()),
            Value::String(name) => names.insert(key.clone(), json!([name])),
            _ => schemas.insert(key.clone(), value.clone()),
        };
    }
    members.remove("dependencies");
    for (key, new) in [("dependentRequired", names), ("dependentSchemas", schemas)] {
        let there = members.entry(key).or_insert_with(|| json!({}));
        match there {
            Value::Object(there) if there.is_empty() && new.is_empty() => {
                members.remove(key);
            }
            Value::Object(there) => there.extend(new),
            _ => {}
        }
    }
}

fn identifiers(members: &mut Map<String, Value>, draft: Draft) {
    let key = if draft == Draft::Upto4 { "id" } else { "$id" };
    let id = members.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(id) = id {
        if let Some(anchor) = id.strip_prefix('#') {
            let anchor = Value::from(anchor);
            members.remove(key);
            if anchor != "" {
                members.insert("$anchor".to_owned(), anchor);
            }
        } else if draft == Draft::Upto4 {
            members.remove(key);
            members.insert("$id".to_owned(), Value::from(id));
        }
    }
    if draft == Draft::Of2019 {
        members.remove("$recursiveAnchor");
        if let Some(reference) = members.remove("$recursiveRef") {
            let also = json!({ "$ref": reference });
            match members.get_mut("allOf") {
                Some(Value::Array(all)) => all.push(also),
                _ => {
                    members.insert("allOf".to_owned(), json!([also]));
                }
            }
        }
    }
}

/// Draft 3 has the type `any`.
fn types(members: &mut Map<String, Value>) {
    let is_any = match members.get("type") {
        Some(Value::String(kind)) => kind == "any",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "any"),
        _ => false,
    };
    if is_any {
        members.remove("type");
    }
}

/// Draft 3 has `required` in each property.
fn required(members: &mut Map<String, Value>) {
    let mut names = Vec::new();
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for (name, property) in properties {
            if let Value::Object(property) = property
                && let Some(Value::Bool(is_required)) = property.get("required")
            {
                if *is_required {
                    names.push(Value::from(&**name));
                }
                property.remove("required");
            }
        }
    }
    if names.is_empty() {
        return;
    }
    match members.get_mut("required") {
        Some(Value::Array(required)) => {
            let known: HashSet<Value> = required.iter().cloned().collect();
            names.retain(|name| !known.contains(name));
            required.extend(names);
        }
        _ => {
            members.insert("required".to_owned(), Value::Array(names));
        }
    }
}

/// Whether the `definitions` of a schema can become its `$defs`.
fn has_free_definitions(schema: &Value) -> bool {
    let Some(definitions) = schema.get("definitions").and_then(Value::as_object) else {
        return false;
    };
    match schema.get("$defs") {
        None => true,
        Some(Value::Object(defs)) => !definitions.keys().any(|name| defs.contains_key(name)),
        Some(_) => false,
    }
}

/// Where a `$ref` leads once its schema is rewritten.
fn moved(before: &Value, reference: &str, moves_definitions: bool) -> String {
    let Some(pointer) = reference.strip_prefix("#/") else {
        return reference.to_owned();
    };
    let mut path = String::from("#");
    let (mut at, mut kind, mut is_root) = (Some(before), Holds::One, true);
    for segment in pointer.split('/') {
        let members = at.and_then(Value::as_object);
        let is_tuple = members
            .and_then(|it| it.get("items"))
            .is_some_and(Value::is_array);
        let is_schema = kind == Holds::One;
        let next = match at {
            Some(Value::Array(values)) => segment.parse().ok().and_then(|at: usize| values.get(at)),
            _ => members.and_then(|it| it.get(&pointer::unescaped(segment))),
        };
        let to = match segment {
            "definitions" if is_root && moves_definitions => "$defs",
            "items" if is_schema && is_tuple => "prefixItems",
            "additionalItems" if is_schema && is_tuple => "items",
            "dependencies" if is_schema => "dependentSchemas",
            segment => segment,
        };
        path = format!("{path}/{to}");
        kind = match (kind, next) {
            (Holds::One, Some(next)) => holds(segment, next),
            (Holds::Many | Holds::Named, _) => Holds::One,
            _ => Holds::Data,
        };
        (at, is_root) = (next, false);
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::modernize;

    fn modern(mut schema: Value) -> Value {
        modernize(&mut schema);
        schema
    }

    fn draft(number: &str, mut schema: Value) -> Value {
        schema["$schema"] = format!("http://json-schema.org/draft-{number}/schema#").into();
        schema
    }

    #[test]
    fn each_shape_of_an_older_draft_is_rewritten() {
        for (before, after) in [
            (
                json!({"minimum": 0, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false}),
                json!({"exclusiveMinimum": 0, "maximum": 9}),
            ),
            (json!({"exclusiveMaximum": true}), json!({})),
            (
                json!({"items": [{"type": "string"}, {}], "additionalItems": false}),
                json!({"prefixItems": [{"type": "string"}, {}], "items": false}),
            ),
            (
                json!({"items": {}, "additionalItems": false}),
                json!({"items": {}}),
            ),
            (
                json!({"dependencies": {"a": ["b"], "c": {"required": ["d"]}, "e": "f"}}),
                json!({"dependentRequired": {"a": ["b"], "e": ["f"]}, "dependentSchemas": {"c": {"required": ["d"]}}}),
            ),
            (
                json!({"properties": {"a": {"required": true, "type": "any"}, "b": {"required": false}}}),
                json!({"properties": {"a": {}, "b": {}}, "required": ["a"]}),
            ),
            (
                json!({"definitions": {"A": {"items": [{}]}}, "properties": {"a": {"$ref": "#/definitions/A/items/0"}}}),
                json!({"$defs": {"A": {"prefixItems": [{}]}}, "properties": {"a": {"$ref": "#/$defs/A/prefixItems/0"}}}),
            ),
            (json!({"divisibleBy": 3}), json!({"multipleOf": 3})),
            // A property may have any name, and data any shape.
            (
                json!({"properties": {"items": {"const": {"exclusiveMinimum": true}}, "definitions": {"$ref": "#/properties/items"}}}),
                json!({"properties": {"items": {"const": {"exclusiveMinimum": true}}, "definitions": {"$ref": "#/properties/items"}}}),
            ),
        ] {
            assert_eq!(modern(before), after);
        }
        assert_eq!(
            modern(draft(
                "07",
                json!({"properties": {"a": {"$ref": "#/x", "minimum": 3, "title": "t"}}})
            )),
            json!({"properties": {"a": {"$ref": "#/x", "title": "t"}}})
        );
        assert_eq!(
            modern(draft(
                "04",
                json!({"id": "urn:x", "properties": {"a": {"id": "#a"}}})
            )),
            json!({"$id": "urn:x", "properties": {"a": {"$anchor": "a"}}})
        );
    }

    #[test]
    fn what_is_current_stays_and_twice_is_once() {
        let current = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "definitions": {"a": {}}, "dependencies": {},
        });
        assert_eq!(modern(current.clone()), current);
        let once = modern(draft(
            "04",
            json!({"items": [{"minimum": 1, "exclusiveMinimum": true}]}),
        ));
        assert_eq!(modern(once.clone()), once);
    }

    /// The verdict of an implementation of the older draft on the original is compared with the new
    /// schema's.
    #[test]
    fn the_same_values_fit_as_before() {
        let values = [
            json!(null),
            json!(0),
            json!(1),
            json!(2.5),
            json!(9),
            json!("x"),
            json!([]),
            json!([1]),
            json!(["x"]),
            json!(["x", 1]),
            json!(["x", 1, 2]),
            json!({}),
            json!({"a": 1}),
            json!({"a": 1, "b": 2}),
            json!({"a": "x"}),
            json!({"a": ["x"], "b": {}}),
            json!({"a": {"a": {"a": 1}}}),
        ];
        for (number, schema) in [
            (
                "04",
                json!({"minimum": 1, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": true}),
            ),
            (
                "04",
                json!({"definitions": {"n": {"type": "number"}}, "properties": {"a": {"$ref": "#/definitions/n"}}}),
            ),
            (
                "06",
                json!({"items": [{"type": "string"}, {"type": "integer"}], "additionalItems": false}),
            ),
            (
                "07",
                json!({"items": [{"type": "string"}], "additionalItems": {"minimum": 2}}),
            ),
            (
                "07",
                json!({"dependencies": {"a": ["b"], "b": {"properties": {"a": {"type": "integer"}}}}}),
            ),
            (
                "07",
                json!({"properties": {"a": {"$ref": "#/definitions/s", "minLength": 5}}, "definitions": {"s": {}}}),
            ),
            (
                "07",
                json!({"properties": {"a": {"$ref": "#"}}, "type": "object"}),
            ),
            (
                "04",
                json!({"items": [{"type": "string"}], "properties": {"a": {"$ref": "#/items/0"}}}),
            ),
        ] {
            let schema = draft(number, schema);
            let old = jsonschema::validator_for(&schema).unwrap();
            let rewritten = modern(schema.clone());
            assert!(rewritten.get("$schema").is_none());
            let new = jsonschema::draft202012::new(&rewritten).unwrap();
            for value in &values {
                assert_eq!(
                    old.is_valid(value),
                    new.is_valid(value),
                    "{value} under {schema}"
                );
            }
        }
    }
}
