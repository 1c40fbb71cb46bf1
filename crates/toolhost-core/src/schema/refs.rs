//! Resolves a `$ref` within its schema.

use std::collections::HashMap;

use serde_json::Value;

/// The part of `root` that `reference` names: the whole, a JSON Pointer, or one of `anchors`.
pub(super) fn resolve<'s>(
    root: &'s Value,
    anchors: &HashMap<&'s str, &'s Value>,
    reference: &str,
) -> Option<&'s Value> {
    let fragment = reference.strip_prefix('#').or_else(|| {
        let id = root.get("$id")?.as_str()?;
        reference.strip_prefix(id)?.strip_prefix('#')
    });
    match fragment? {
        "" => Some(root),
        pointer if pointer.starts_with('/') => {
            let decoded = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
            root.pointer(&decoded)
        }
        anchor => anchors.get(anchor).copied(),
    }
}

/// The parts of a schema that anchors name.
pub(super) fn anchors(schema: &Value) -> HashMap<&str, &Value> {
    let mut found = HashMap::new();
    find_anchors(schema, &mut found);
    found
}

fn find_anchors<'s>(schema: &'s Value, found: &mut HashMap<&'s str, &'s Value>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| find_anchors(item, found)),
        Value::Object(members) => {
            for key in ["$anchor", "$dynamicAnchor"] {
                if let Some(name) = members.get(key).and_then(Value::as_str) {
                    found.insert(name, schema);
                }
            }
            members.values().for_each(|part| find_anchors(part, found));
        }
        _ => {}
    }
}
