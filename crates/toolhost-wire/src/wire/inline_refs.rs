//! Inlines `$ref`s in a schema, as far as possible: each becomes its target. A recursive one
//! requires nothing any more. Boolean schemas are written as objects.

use serde_json::{Map, Value, json};

use super::subschemas::{Holds, holds};

/// The most schemas that are written.
const MAX_SCHEMAS: usize = 5_000;

/// The most values in lists and texts that are written.
const MAX_VALUES: usize = 250_000;

pub(super) struct Refs<'s> {
    root: &'s Value,
    /// Whether definitions are inlined too, or only references to other places.
    all: bool,
    /// The schemas being inlined at present.
    open: Vec<&'s Value>,
    schemas: usize,
    /// Values that are not schemas.
    values: usize,
    /// How often a schema was written that accepts more than the original.
    widened: usize,
    /// Whether a definition accepts more than the original, and so does what still refers to it.
    definitions_widened: bool,
}

impl<'s> Refs<'s> {
    pub(super) fn new(root: &'s Value, all: bool) -> Self {
        Refs {
            root,
            all,
            open: Vec::new(),
            schemas: 0,
            values: 0,
            widened: 0,
            definitions_widened: false,
        }
    }

    /// Whether a definition that is kept accepts more than the original. One that refers to another
    /// is as exact as that, so each is examined by itself.
    fn widens_definitions(&self) -> bool {
        let mut alone = Refs::new(self.root, self.all);
        let definitions = self.root.get("$defs").and_then(Value::as_object);
        for definition in definitions.into_iter().flat_map(Map::values) {
            alone.schema(definition);
        }
        alone.widened > 0
    }

    pub(super) fn resolved(mut self) -> Value {
        let Some(members) = self.root.as_object() else {
            return self.root.clone();
        };
        self.definitions_widened = !self.all && self.widens_definitions();
        let mut root = members.clone();
        // The top must say what the schema is, wherever it is defined.
        if let Some(reference) = root.remove("$ref") {
            let also = json!({ "$ref": reference });
            match root.get_mut("allOf") {
                Some(Value::Array(all)) => all.push(also),
                _ => {
                    root.insert("allOf".to_owned(), json!([also]));
                }
            }
        }
        if let Some(Value::Array(all)) = root.get_mut("allOf") {
            for part in all {
                let target = part.get("$ref").and_then(Value::as_str);
                let target = target.and_then(|reference| self.target(reference));
                if let Some(Value::Object(target)) = target
                    && !std::ptr::eq(target, members)
                    && part.as_object().is_some_and(|part| part.len() == 1)
                {
                    *part = Value::Object(target.clone());
                }
            }
        }
        self.open.push(self.root);
        let mut written = Map::new();
        for (key, value) in &root {
            if key == "definitions" || (key == "$defs" && self.all) {
                continue;
            }
            self.member(key, value, &mut written);
        }
        Value::Object(written)
    }

    fn schema(&mut self, schema: &Value) -> Value {
        self.schemas += 1;
        let members = match schema {
            Value::Object(members) => members,
            Value::Bool(false) => return json!({ "not": {} }),
            _ => return json!({}),
        };
        if self.schemas > MAX_SCHEMAS {
            self.widened += 1;
            return json!({});
        }
        let mut written = Map::new();
        for (key, value) in members {
            self.member(key, value, &mut written);
        }
        let Some(reference) = members.get("$ref").and_then(Value::as_str) else {
            return Value::Object(written);
        };
        if !self.all && is_definition(reference) && self.target(reference).is_some() {
            self.widened += usize::from(self.definitions_widened);
            written.insert("$ref".to_owned(), Value::from(reference));
            return Value::Object(written);
        }
        let target = self.target(reference);
        let Some(target) = target.filter(|target| !self.is_open(target)) else {
            self.widened += 1;
            return Value::Object(written);
        };
        self.open.push(target);
        let meant = self.schema(target);
        self.open.pop();
        let notes = ["title", "description", "default", "examples"];
        match meant {
            Value::Object(mut meant) if written.keys().all(|key| notes.contains(&&**key)) => {
                meant.extend(written);
                Value::Object(meant)
            }
            meant => {
                match written.get_mut("allOf") {
                    Some(Value::Array(all)) => all.push(meant),
                    _ => {
                        written.insert("allOf".to_owned(), json!([meant]));
                    }
                }
                Value::Object(written)
            }
        }
    }

    /// Writes a member of a schema.
    fn member(&mut self, key: &str, value: &Value, written: &mut Map<String, Value>) {
        let before = self.widened;
        let value = match (key, value) {
            ("$ref" | "$anchor" | "$dynamicAnchor", _) => return,
            // The meaning of these depends on the schemas around them.
            ("$dynamicRef" | "unevaluatedItems" | "unevaluatedProperties", _) => {
                self.widened += 1;
                return;
            }
            ("additionalProperties", Value::Bool(_)) => value.clone(),
            ("items", Value::Bool(takes)) => {
                self.widened += usize::from(!takes);
                json!({})
            }
            _ => match (holds(key, value), value) {
                (Holds::One, value) => self.schema(value),
                (Holds::Many, Value::Array(values)) => {
                    values.iter().map(|value| self.schema(value)).collect()
                }
                (Holds::Named, Value::Object(members)) => {
                    let members = members.iter().filter_map(|(name, value)| match value {
                        Value::Bool(false) if key == "properties" => {
                            self.widened += 1;
                            None
                        }
                        Value::Array(_) => Some((name.clone(), value.clone())),
                        value => Some((name.clone(), self.schema(value))),
                    });
                    Value::Object(members.collect())
                }
                _ => {
                    self.values += count(value);
                    if self.values > MAX_VALUES {
                        self.widened += 1;
                        return;
                    }
                    value.clone()
                }
            },
        };
        // Inside a negation or an exclusive choice, accepting more means refusing more.
        let is_exact = before == self.widened;
        match key {
            "if" | "not" | "contains" if !is_exact => {}
            "oneOf" if !is_exact => {
                written.entry("anyOf").or_insert(value);
            }
            _ => {
                written.insert(key.to_owned(), value);
            }
        }
    }

    fn is_open(&self, target: &Value) -> bool {
        self.open.iter().any(|open| std::ptr::eq(*open, target))
    }

    fn target(&self, reference: &str) -> Option<&'s Value> {
        self.root.pointer(reference.strip_prefix('#')?)
    }
}

/// The number of values in a value, itself included; long texts count by their size.
fn count(value: &Value) -> usize {
    const TEXT: usize = 32;
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::String(text) => text.len() / TEXT,
        _ => 0,
    }
}

/// Whether all APIs accept the reference.
fn is_definition(reference: &str) -> bool {
    let name = reference.strip_prefix("#/$defs/").unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !name.is_empty() && name.chars().all(is_plain)
}
