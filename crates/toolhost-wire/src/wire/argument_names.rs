//! Argument names on the wire: names that an API would refuse are replaced, reversibly.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::object_merge::ObjectMembers;
use crate::digest;

/// The longest name that APIs accept.
const LONGEST: usize = 64;

/// The names of arguments on the wire, with the tool's own; only those that differ.
pub(super) type ArgumentNames = HashMap<String, String>;

pub(super) fn is_plain(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.chars().all(is_plain_char)
}

fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// Renames the arguments of a schema to accepted names.
///
/// # Errors
///
/// The name of an argument that cannot be renamed, because the schema refers to it elsewhere too.
pub(super) fn rename(schema: &mut Map<String, Value>) -> Result<ArgumentNames, String> {
    let mut keys = ArgumentNames::new();
    let Some(Value::Object(properties)) = schema.get("properties") else {
        return Ok(keys);
    };
    let Some(odd) = properties.keys().find(|name| !is_plain(name)) else {
        return Ok(keys);
    };
    // With these keywords the meaning of an argument depends on its name.
    let by_name = [
        "patternProperties",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "if",
    ];
    if by_name.iter().any(|key| schema.contains_key(*key)) {
        return Err(odd.clone());
    }
    let mut renamed = Map::new();
    for (name, value) in properties {
        let wire = match is_plain(name) {
            true => name.clone(),
            false => another(name),
        };
        if renamed.contains_key(&wire) || (wire != *name && properties.contains_key(&wire)) {
            return Err(name.clone());
        }
        if wire != *name {
            keys.insert(wire.clone(), name.clone());
        }
        renamed.insert(wire, value.clone());
    }
    schema.insert("properties".to_owned(), Value::Object(renamed));
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        for name in required {
            if let Some(text) = name.as_str()
                && !is_plain(text)
            {
                *name = Value::from(another(text));
            }
        }
    }
    Ok(keys)
}

/// The readable part of the name, and eight digits of its digest.
fn another(name: &str) -> String {
    let readable: String = name
        .chars()
        .map(|c| if is_plain_char(c) { c } else { '_' })
        .take(LONGEST - "_12345678".len())
        .collect();
    format!("{readable}_{}", &digest::sha256(name)[..8])
}

/// The text of a call's arguments with the tool's own names; unchanged if it is not an object.
pub(super) fn restore(keys: &ArgumentNames, arguments: &str) -> Option<String> {
    let ObjectMembers(members) = serde_json::from_str(arguments).ok()?;
    if !members.iter().any(|(name, _)| keys.contains_key(name)) {
        return None;
    }
    let mut text = String::from("{");
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        let name = keys.get(name).unwrap_or(name);
        text.push_str(&Value::from(&**name).to_string());
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    Some(text)
}
