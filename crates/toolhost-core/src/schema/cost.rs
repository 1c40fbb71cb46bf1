//! What checking against a schema can cost, found before it is first used.
//!
//! Schemas come from plugins, and validation is host code that no deadline ends: a few hundred bytes
//! of `$ref`s can ask for more steps than a machine makes in a year. So a schema is unfolded on paper, every
//! `$ref` replaced by what it refers to, and refused if that grows out of hand. Recursion ends the
//! unfolding; what it costs depends on the arguments, which [`Cost::allows`] bounds. It is an estimate, for a
//! clear answer: what a check takes in fact is counted while it runs, and ends with the call's time.

use std::collections::{HashMap, HashSet};

use bytesize::ByteSize;
use serde_json::Value;

use super::refs::{anchors, resolve};

/// Subschemas of an unfolded schema.
const MAX_SIZE: u64 = 50_000;

/// Subschemas and `$ref`s inside of one another, which validation recurses through.
const MAX_NESTING: usize = 128;

/// How deep arguments may be for a schema that refers to itself: each level recurses through the
/// schema once more.
pub(super) const MAX_RECURSION: usize = 32;

/// Bytes of a compiled schema.
const MAX_COMPILED: u64 = 32 << 20;

/// What a keyword takes, beside the path to it.
const KEYWORD: u64 = 512;

/// What a value takes, beside its text.
const VALUE: usize = 32;

/// The bytes of an index in a path.
const NUMBER: u64 = 4;

/// Steps, of some 10 ns, that one check may take: subschemas times values.
const MAX_STEPS: u64 = 20_000_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Subschemas, unfolded.
    pub(super) size: u64,
    /// What it takes when it is compiled, about.
    pub(super) bytes: u64,
    pub(super) recursive: bool,
}

impl Cost {
    /// # Errors
    ///
    /// The schema is too costly to use, or refers to what is not in it.
    pub(super) fn of(schema: &Value) -> Result<Cost, String> {
        let bytes = compiled(schema, 0);
        if bytes > MAX_COMPILED {
            let (bytes, most) = (ByteSize::b(bytes), ByteSize::b(MAX_COMPILED));
            return Err(format!(
                "would take {bytes} when compiled, but at most {most} are allowed: it has long names around \
                 many subschemas, or negations around large ones"
            ));
        }
        check_ids(schema, true)?;
        let mut unfolding = Unfolding {
            root: schema,
            anchors: anchors(schema),
            sizes: HashMap::new(),
            open: HashSet::new(),
            recursive: false,
        };
        let size = unfolding.size(schema, 0)?;
        if size > MAX_SIZE {
            return Err(format!(
                "unfolds to more than {MAX_SIZE} subschemas: it refers to the same parts too often"
            ));
        }
        Ok(Cost {
            size,
            bytes,
            recursive: unfolding.recursive,
        })
    }

    /// Whether arguments of so many values can be checked in a moment.
    pub(super) fn allows(&self, extent: Extent) -> bool {
        self.size.saturating_mul(extent.values) <= MAX_STEPS
    }
}

struct Unfolding<'s> {
    root: &'s Value,
    anchors: HashMap<&'s str, &'s Value>,
    /// By address: what was already unfolded.
    sizes: HashMap<*const Value, u64>,
    /// What is being unfolded right now.
    open: HashSet<*const Value>,
    recursive: bool,
}

impl<'s> Unfolding<'s> {
    /// The number of subschemas of `schema`, unfolded.
    fn size(&mut self, schema: &'s Value, nesting: usize) -> Result<u64, String> {
        if nesting > MAX_NESTING {
            return Err(format!(
                "nests more than {MAX_NESTING} subschemas and `$ref`s"
            ));
        }
        let address: *const Value = schema;
        if let Some(size) = self.sizes.get(&address) {
            return Ok(*size);
        }
        if !self.open.insert(address) {
            self.recursive = true;
            return Ok(1);
        }
        let mut size: u64 = 1;
        for key in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(reference) = schema.get(key).and_then(Value::as_str) {
                let target = self.resolve(reference)?;
                size = size.saturating_add(self.size(target, nesting + 1)?);
            }
        }
        for part in parts(schema) {
            size = size.saturating_add(self.size(part, nesting + 1)?);
        }
        self.open.remove(&address);
        self.sizes.insert(address, size);
        Ok(size)
    }

    fn resolve(&self, reference: &str) -> Result<&'s Value, String> {
        resolve(self.root, &self.anchors, reference).ok_or_else(|| {
            format!("has a `$ref` to {reference:?}, which is not in the schema; nothing is fetched from \
                     elsewhere")
        })
    }
}

/// An identifier would change what the references below it are relative to.
fn check_ids(schema: &Value, is_root: bool) -> Result<(), String> {
    if !is_root && schema.get("$id").is_some_and(Value::is_string) {
        return Err("has a nested `$id`; only the root of a schema may have one".to_owned());
    }
    parts(schema).try_for_each(|part| check_ids(part, false))
}

/// The bytes that a schema takes when it is compiled: each keyword keeps the path to it, and some keep
/// what they are about as well.
fn compiled(schema: &Value, path: u64) -> u64 {
    match schema {
        Value::Array(items) => items
            .iter()
            .map(|item| {
                let path = path + NUMBER;
                // A subschema keeps the path to it, even if nothing is in it.
                let own = match item {
                    Value::Bool(_) | Value::Object(_) => KEYWORD + path,
                    _ => 0,
                };
                own + compiled(item, path)
            })
            .sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                let path = path + 1 + key.len() as u64;
                let kept = match &**key {
                    "not" | "const" | "enum" => 2 * kept(value),
                    _ => 0,
                };
                KEYWORD + path + kept + compiled(value, path)
            })
            .sum(),
        _ => 0,
    }
}

/// The bytes of a value in memory.
fn kept(value: &Value) -> u64 {
    const VALUE: u64 = self::VALUE as u64;
    VALUE
        + match value {
            Value::String(text) => text.len() as u64,
            Value::Array(items) => items.iter().map(kept).sum(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| VALUE + name.len() as u64 + kept(value))
                .sum(),
            _ => 0,
        }
}

/// The values inside of a schema. Not all are subschemas, and taking them for some only makes the
/// estimate larger; what is in a `default` or an `enum` can be the target of a `$ref` like the rest.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    let members = schema
        .as_object()
        .into_iter()
        .flat_map(|members| members.values());
    let items = schema.as_array().into_iter().flatten();
    members
        .chain(items)
        .filter(|value| value.is_object() || value.is_array())
}

/// How large a value is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Arrays and objects inside of one another: 0 for a value that is neither.
    pub(super) depth: usize,
    /// Itself and all that is inside of it.
    pub(super) values: u64,
    /// The bytes that it takes in memory.
    pub(super) bytes: usize,
    /// The bytes of the longest path into it.
    pub(super) path: usize,
    /// The bytes of the longest name in it.
    pub(super) name: usize,
    /// Whether some number of it is whole and written with a fraction or an exponent, such as `10.0`.
    pub(super) has_whole_fraction: bool,
}

impl Extent {
    pub(super) fn of(value: &Value) -> Extent {
        let mut extent = Extent {
            depth: 0,
            values: 1,
            bytes: VALUE,
            path: 0,
            name: 0,
            has_whole_fraction: false,
        };
        let mut add = |name: usize, inner: &Value| {
            let inner = Extent::of(inner);
            extent.path = extent.path.max(1 + name + inner.path);
            extent.name = extent.name.max(inner.name);
            extent.depth = extent.depth.max(inner.depth);
            extent.values += inner.values;
            extent.bytes += inner.bytes;
            extent.has_whole_fraction |= inner.has_whole_fraction;
        };
        match value {
            Value::Array(items) => items.iter().for_each(|item| add(8, item)),
            Value::Object(members) => {
                for (name, value) in members {
                    add(name.len(), value);
                }
                for name in members.keys() {
                    extent.name = extent.name.max(name.len());
                    extent.bytes += VALUE + name.len();
                }
            }
            Value::Number(number) => {
                let is_whole = |number: f64| number.fract() == 0.0;
                extent.has_whole_fraction =
                    number.is_f64() && number.as_f64().is_some_and(is_whole);
                return extent;
            }
            Value::String(text) => {
                extent.bytes += text.len();
                return extent;
            }
            _ => return extent,
        }
        extent.depth += 1;
        extent
    }
}
