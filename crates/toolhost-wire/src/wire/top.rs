//! The top of a schema of arguments: an object, and nothing that chooses between several.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// What no API takes at the top.
const CHOICES: &[&str] = &[
    "allOf", "anyOf", "const", "else", "enum", "if", "not", "oneOf", "then",
];

/// How deep choices within choices are looked into.
const MAX_DEPTH: usize = 8;

/// Choices that are longer, in names and parts, are only in the note: strangers wrote them.
const MAX_SIZE: usize = 50_000;

/// The most that it may take to look for what each name may be.
const MAX_STEPS: usize = 5_000_000;

/// # Errors
///
/// Arguments, which are objects, cannot be of its type.
pub(super) fn check_type(schema: &Value) -> Result<(), String> {
    match schema.get("type") {
        None => Ok(()),
        Some(Value::String(kind)) if kind == "object" => Ok(()),
        Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "object") => Ok(()),
        Some(kind) => Err(format!(
            "has arguments of type {kind}, but arguments are always an object"
        )),
    }
}

/// Makes the top an object that says as much as it can of what it was a choice of; what it was is the answer.
pub(super) fn flatten(root: &mut Map<String, Value>) -> Map<String, Value> {
    root.insert("type".to_owned(), json!("object"));
    let mut moved = Map::new();
    for key in CHOICES {
        if let Some(value) = root.remove(*key) {
            moved.insert((*key).to_owned(), value);
        }
    }
    if moved.is_empty() {
        return moved;
    }
    let defs = root.get("$defs").cloned().unwrap_or_default();
    let choice = Value::Object(moved.clone());
    let size = size(&choice, &defs, 0);
    if size > MAX_SIZE {
        return moved;
    }
    let is_closed = root.get("additionalProperties") == Some(&Value::Bool(false));
    let mut required = match root.get("required") {
        Some(Value::Array(names)) => names.clone(),
        _ => Vec::new(),
    };
    let mut known: HashSet<Value> = required.iter().cloned().collect();
    for name in needed(&choice, &defs, 0) {
        if known.insert(name.clone()) {
            required.push(name);
        }
    }
    if !required.is_empty() {
        root.insert("required".to_owned(), Value::Array(required));
    }
    let mut names = Vec::new();
    named(&choice, &defs, 0, &mut HashSet::new(), &mut names);
    if names.len().saturating_mul(size) > MAX_STEPS {
        return moved;
    }
    let properties = root.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties
        && !is_closed
    {
        for (name, schema) in names {
            let is_there = properties.contains_key(&name);
            if !is_there {
                let what = match allowed(&choice, &name, &defs, 0) {
                    // No choice allows it.
                    Some(all) if all.is_empty() => continue,
                    Some(mut all) if all.len() == 1 => all.remove(0),
                    Some(all) => json!({ "anyOf": all }),
                    // Where it is not spoken of it may be anything.
                    None => notes(&schema),
                };
                properties.insert(name, what);
            }
        }
    }
    moved
}

fn branches<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    schema
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// What a branch that only refers to a definition means.
fn meant<'a>(schema: &'a Value, defs: &'a Value) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str);
    let name = name.and_then(|name| name.strip_prefix("#/$defs/"));
    name.and_then(|name| defs.get(name)).unwrap_or(schema)
}

/// The names and parts of a choice, with what it refers to.
fn size(schema: &Value, defs: &Value, depth: usize) -> usize {
    if depth > MAX_DEPTH {
        return 1;
    }
    let schema = meant(schema, defs);
    let properties = schema.get("properties").and_then(Value::as_object);
    let own = 1 + branches(schema, "required").count() + properties.map_or(0, Map::len);
    let parts = ["allOf", "anyOf", "oneOf"].map(|key| branches(schema, key));
    let parts = parts.into_iter().flatten();
    let parts = parts.chain(
        ["then", "else"]
            .into_iter()
            .filter_map(|key| schema.get(key)),
    );
    own + parts.map(|part| size(part, defs, depth + 1)).sum::<usize>()
}

/// The properties that are required whatever is chosen.
fn needed(schema: &Value, defs: &Value, depth: usize) -> Vec<Value> {
    if depth > MAX_DEPTH {
        return Vec::new();
    }
    let schema = meant(schema, defs);
    let mut names: Vec<Value> = branches(schema, "required").cloned().collect();
    for part in branches(schema, "allOf") {
        names.extend(needed(part, defs, depth + 1));
    }
    for key in ["anyOf", "oneOf"] {
        let mut choices = branches(schema, key).map(|part| needed(part, defs, depth + 1));
        if let Some(first) = choices.next() {
            let common = choices.fold(first, |mut common, next| {
                let next: HashSet<Value> = next.into_iter().collect();
                common.retain(|name| next.contains(name));
                common
            });
            names.extend(common);
        }
    }
    names
}

/// All properties that are spoken of.
fn named<'v>(
    schema: &'v Value,
    defs: &'v Value,
    depth: usize,
    known: &mut HashSet<&'v str>,
    names: &mut Vec<(String, Value)>,
) {
    if depth > MAX_DEPTH {
        return;
    }
    let schema = meant(schema, defs);
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (name, value) in properties {
            if known.insert(name) {
                names.push((name.clone(), value.clone()));
            }
        }
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        branches(schema, key).for_each(|part| named(part, defs, depth + 1, known, names));
    }
    for key in ["then", "else"] {
        if let Some(part) = schema.get(key) {
            named(part, defs, depth + 1, known, names);
        }
    }
}

/// The schemas one of which a property has, or `None` where it may be anything.
fn allowed(schema: &Value, name: &str, defs: &Value, depth: usize) -> Option<Vec<Value>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let schema = meant(schema, defs);
    if let Some(property) = schema.get("properties").and_then(|all| all.get(name)) {
        return Some(vec![property.clone()]);
    }
    if schema.get("additionalProperties") == Some(&Value::Bool(false))
        && schema.get("patternProperties").is_none()
    {
        return Some(Vec::new());
    }
    let all = branches(schema, "allOf");
    if let Some(first) = all
        .filter_map(|part| allowed(part, name, defs, depth + 1))
        .next()
    {
        return Some(first);
    }
    for key in ["anyOf", "oneOf"] {
        let mut choices = branches(schema, key).peekable();
        if choices.peek().is_none() {
            continue;
        }
        let choices: Option<Vec<Vec<Value>>> = choices
            .map(|part| allowed(part, name, defs, depth + 1))
            .collect();
        if let Some(choices) = choices {
            let mut distinct = Vec::new();
            for choice in choices.into_iter().flatten() {
                if !distinct.contains(&choice) {
                    distinct.push(choice);
                }
            }
            return Some(distinct);
        }
    }
    None
}

/// What a schema says to people.
fn notes(schema: &Value) -> Value {
    let mut notes = Map::new();
    for key in ["title", "description"] {
        if let Some(text) = schema.get(key) {
            notes.insert(key.to_owned(), text.clone());
        }
    }
    Value::Object(notes)
}
