//! Patterns that cannot be matched in one pass over a text (look-around, backreferences) are not enforced. A schema
//! that has some is held against values as one that takes all that it takes, and as little more as is simple to say:
//!
//! - such a pattern is left out of its schema, and a `patternProperties` that has one takes every property;
//! - where taking more of a part would take less of the whole (`not`), or something else of it (`oneOf`, `if`,
//!   `maxContains`), the whole takes what it would in any case.
//!
//! Whatever a relaxed schema takes it also marks as evaluated, wherever the whole one does: what is around
//! it takes no less. A property test holds both against each other.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};
use toolhost_schema::Patterns;

use super::cost::Extent;
use super::refs::{anchors, resolve};
use super::{Unenforced, pointer, shorten};
use crate::wire::subschemas::{Holds, holds};

/// What a relaxed schema may have, in values: parts that are referred to are there once more.
const MAX_VALUES: usize = 500_000;

/// Places that are named.
const MAX_NAMED: usize = 100;

/// Compiles the patterns of a schema, and relaxes it if some cannot be; `None` if all can.
///
/// # Errors
///
/// It is too intricate.
pub(super) fn relaxed(
    schema: &Value,
    patterns: &mut Patterns,
) -> Result<Option<(Value, Vec<Unenforced>)>, String> {
    if compile(schema, patterns) {
        return Ok(None);
    }
    let anchors = anchors(schema);
    let mut relaxer = Relaxer {
        root: schema,
        loose: HashSet::new(),
        patterns,
        defs: HashMap::new(),
        queue: Vec::new(),
        unenforced: Vec::new(),
        left: MAX_VALUES,
        anchors,
    };
    relaxer.find_loose();
    let mut root = relaxer.upper(schema, "");
    let mut defs = Map::new();
    while let Some((name, part, place)) = relaxer.queue.pop() {
        let part = relaxer.upper(part, &place);
        defs.insert(name, part);
    }
    if relaxer.left == 0 {
        return Err("is too complex for the patterns in it".to_owned());
    }
    if let Value::Object(root) = &mut root {
        for key in ["$schema", "$id"] {
            if let Some(value) = schema.get(key) {
                root.insert(key.to_owned(), value.clone());
            }
        }
        root.insert("$defs".to_owned(), Value::Object(defs));
    }
    let mut unenforced = relaxer.unenforced;
    unenforced.sort();
    unenforced.dedup();
    Ok(Some((root, unenforced)))
}

/// Whether each pattern can be compiled, of all that are in a value that is or holds schemas.
fn compile(schema: &Value, patterns: &mut Patterns) -> bool {
    match schema {
        // Each of them is looked at, whatever became of those before.
        Value::Array(items) => {
            let mut all = true;
            items.iter().for_each(|item| all &= compile(item, patterns));
            all
        }
        Value::Object(members) => {
            let mut all = true;
            for (key, value) in members {
                all &= match (&**key, value) {
                    ("pattern", Value::String(pattern)) => patterns.add(pattern),
                    ("patternProperties", Value::Object(parts)) => {
                        let mut known = true;
                        parts
                            .keys()
                            .for_each(|pattern| known &= patterns.add(pattern));
                        known
                    }
                    _ => true,
                };
                all &= compile(value, patterns);
            }
            all
        }
        _ => true,
    }
}

struct Relaxer<'s, 'p> {
    root: &'s Value,
    anchors: HashMap<&'s str, &'s Value>,
    patterns: &'p mut Patterns,
    /// The schemas that have such a pattern, in them or in what they refer to, by address.
    loose: HashSet<*const Value>,
    /// What is referred to, by address: the name it has among the definitions.
    defs: HashMap<*const Value, String>,
    /// Definitions that are yet to be made: name, schema, place.
    queue: Vec<(String, &'s Value, String)>,
    unenforced: Vec<Unenforced>,
    /// Values that may still be written.
    left: usize,
}

impl<'s> Relaxer<'s, '_> {
    fn resolve(&self, reference: &str) -> Option<&'s Value> {
        resolve(self.root, &self.anchors, reference)
    }

    /// The schemas that one applies: those in it, and those it refers to.
    fn applied(&self, schema: &'s Value) -> Vec<&'s Value> {
        let mut applied = Vec::new();
        for (key, value) in schema.as_object().into_iter().flatten() {
            if is_definitions(key) {
                continue;
            }
            match (holds(key, value), value) {
                (Holds::One, value) => applied.push(value),
                (Holds::Many, Value::Array(values)) => applied.extend(values),
                (Holds::Named, Value::Object(members)) => applied.extend(members.values()),
                _ => {}
            }
            if let (true, Some(reference)) = (is_reference(key), value.as_str()) {
                applied.extend(self.resolve(reference));
            }
        }
        applied
    }

    /// Finds the schemas that are loose: from those that have such a pattern back to those that apply them.
    fn find_loose(&mut self) {
        let mut applied_by: HashMap<*const Value, Vec<*const Value>> = HashMap::new();
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        let mut next = vec![self.root];
        while let Some(schema) = next.pop() {
            let address = std::ptr::from_ref(schema);
            if !seen.insert(address) {
                continue;
            }
            if self.has_loose_pattern(schema) {
                found.push(address);
            }
            for part in self.applied(schema) {
                applied_by.entry(part).or_default().push(address);
                next.push(part);
            }
        }
        while let Some(address) = found.pop() {
            if self.loose.insert(address) {
                found.extend(applied_by.remove(&address).into_iter().flatten());
            }
        }
    }

    fn has_loose_pattern(&mut self, schema: &Value) -> bool {
        let own = schema.get("pattern").and_then(Value::as_str);
        let names = schema.get("patternProperties").and_then(Value::as_object);
        let names = names.into_iter().flat_map(Map::keys).map(String::as_str);
        let all: Vec<&str> = own.into_iter().chain(names).collect();
        all.into_iter().any(|pattern| !self.patterns.add(pattern))
    }

    fn is_loose(&self, schema: &Value) -> bool {
        self.loose.contains(&std::ptr::from_ref(schema))
    }

    fn note(&mut self, place: String, what: String) {
        if self.unenforced.len() < MAX_NAMED {
            self.unenforced.push(Unenforced { place, what });
        }
    }

    /// The reference to what another leads to.
    fn refer(&mut self, reference: &str) -> Option<Value> {
        let target = self.resolve(reference)?;
        if std::ptr::eq(target, self.root) {
            return Some(json!({ "$ref": "#" }));
        }
        let next = self.defs.len();
        let name = self.defs.entry(std::ptr::from_ref(target));
        let name = name.or_insert_with(|| {
            let name = format!("d{next}");
            let place = reference.strip_prefix('#').unwrap_or(reference);
            self.queue.push((name.clone(), target, place.to_owned()));
            name
        });
        Some(json!({ "$ref": format!("#/$defs/{name}") }))
    }

    /// A schema that takes what `schema` takes, and marks as evaluated what that does.
    fn upper(&mut self, schema: &'s Value, place: &str) -> Value {
        self.left = self.left.saturating_sub(1);
        let Value::Object(members) = schema else {
            return schema.clone();
        };
        if self.left == 0 {
            return Value::Bool(true);
        }
        let mut out = Map::new();
        // What cannot stand beside the rest.
        let mut more = Vec::new();
        let is_open = self.names(members, place, &mut out);
        for (key, value) in members {
            let at = || format!("{place}/{}", pointer::escaped(key));
            let new = match (&**key, value) {
                (key, Value::String(reference)) if is_reference(key) => {
                    more.extend(self.refer(reference));
                    continue;
                }
                ("pattern", Value::String(pattern)) if !self.patterns.add(pattern) => {
                    self.note(at(), format!("the pattern {}", quoted(pattern)));
                    continue;
                }
                ("not", part) if self.is_loose(part) => {
                    self.note(at(), "`not`, as it contains such a pattern".to_owned());
                    continue;
                }
                ("if", part) if self.is_loose(part) => {
                    self.note(at(), "`if`, as it contains such a pattern".to_owned());
                    let mut branch = |key: &str| match members.get(key) {
                        Some(part) => self.upper(part, &format!("{place}/{key}")),
                        None => Value::Bool(true),
                    };
                    let (then, otherwise) = (branch("then"), branch("else"));
                    let condition = self.upper(part, &at());
                    more.push(json!({ "anyOf": [{ "allOf": [condition, then] }, otherwise] }));
                    continue;
                }
                ("then" | "else", _) if members.get("if").is_none_or(|it| self.is_loose(it)) => {
                    continue;
                }
                ("oneOf", Value::Array(parts)) if parts.iter().any(|it| self.is_loose(it)) => {
                    let what = "`oneOf` (checked as `anyOf`), as it contains such a pattern";
                    self.note(at(), what.to_owned());
                    more.push(json!({ "anyOf": self.all(parts, &at()) }));
                    continue;
                }
                ("maxContains", _)
                    if members.get("contains").is_some_and(|it| self.is_loose(it)) =>
                {
                    let what = "`maxContains`, as `contains` contains such a pattern";
                    self.note(at(), what.to_owned());
                    continue;
                }
                ("additionalProperties" | "patternProperties", _) if is_open => continue,
                (key, _) if is_definitions(key) || says_nothing(key) => continue,
                (key, value) => match (holds(key, value), value) {
                    (Holds::One, part) => self.upper(part, &at()),
                    (Holds::Many, Value::Array(parts)) => self.all(parts, &at()),
                    (Holds::Named, Value::Object(parts)) => {
                        let place = at();
                        let parts = parts.iter().map(|(name, part)| {
                            let name_at = pointer::escaped(name);
                            let part = self.upper(part, &format!("{place}/{name_at}"));
                            (name.clone(), part)
                        });
                        Value::Object(parts.collect())
                    }
                    _ => self.copied(value),
                },
            };
            out.insert(key.clone(), new);
        }
        match (more.is_empty(), out.get_mut("allOf")) {
            (true, _) => {}
            (false, Some(Value::Array(all))) => all.extend(more),
            (false, _) => {
                out.insert("allOf".to_owned(), Value::Array(more));
            }
        }
        Value::Object(out)
    }

    /// What is no schema, such as an `enum`: a definition is written again for each way to refer to it.
    fn copied(&mut self, value: &Value) -> Value {
        let values = usize::try_from(Extent::of(value).values).unwrap_or(usize::MAX);
        self.left = self.left.saturating_sub(values);
        match self.left {
            // It is refused for that.
            0 => Value::Null,
            _ => value.clone(),
        }
    }

    fn all(&mut self, parts: &'s [Value], place: &str) -> Value {
        let parts = parts.iter().enumerate();
        parts
            .map(|(number, part)| self.upper(part, &format!("{place}/{number}")))
            .collect()
    }

    /// Whether it cannot be told which names some of the `patternProperties` are for: then any property may
    /// be anything that the others do not forbid.
    fn names(
        &mut self,
        members: &'s Map<String, Value>,
        place: &str,
        out: &mut Map<String, Value>,
    ) -> bool {
        let Some(Value::Object(parts)) = members.get("patternProperties") else {
            return false;
        };
        let mut kept = Map::new();
        for (pattern, part) in parts {
            let name_at = pointer::escaped(pattern);
            let place = format!("{place}/patternProperties/{name_at}");
            match self.patterns.add(pattern) {
                true => {
                    let part = self.upper(part, &place);
                    kept.insert(pattern.clone(), part);
                }
                false => self.note(
                    place,
                    format!("the property name pattern {}", quoted(pattern)),
                ),
            }
        }
        if kept.len() == parts.len() {
            return false;
        }
        out.insert("patternProperties".to_owned(), Value::Object(kept));
        out.insert("additionalProperties".to_owned(), Value::Bool(true));
        true
    }
}

fn is_reference(key: &str) -> bool {
    matches!(key, "$ref" | "$dynamicRef" | "$recursiveRef")
}

/// What is only there to be referred to.
fn is_definitions(key: &str) -> bool {
    matches!(key, "$defs" | "definitions" | "dependencies")
}

/// What says nothing of values, or what to call a schema that is elsewhere now.
fn says_nothing(key: &str) -> bool {
    let notes = ["title", "description", "default", "examples", "$comment"];
    let names = ["$id", "$schema", "$anchor", "$dynamicAnchor"];
    notes.contains(&key) || names.contains(&key) || key == "contentSchema"
}

fn quoted(pattern: &str) -> String {
    format!("{:?}", shorten(pattern.to_owned()))
}
