//! Arguments as values at paths: Vertex AI's `partialArgs`, with which calls are streamed
//! (<https://docs.cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/Content#PartialArg>).

use std::collections::HashMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::wire::lenient::given;
use crate::wire::{array, object, string};

/// The deepest nesting of arguments, as of all JSON here.
const DEEPEST: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartialArg<'a> {
    #[serde(borrow, alias = "json_path")]
    json_path: Option<&'a RawValue>,
    #[serde(borrow, alias = "string_value")]
    string_value: Option<&'a RawValue>,
    #[serde(borrow, alias = "number_value")]
    number_value: Option<&'a RawValue>,
    #[serde(borrow, alias = "bool_value")]
    bool_value: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "null_value", deserialize_with = "present")]
    null_value: Option<&'a RawValue>,
    #[serde(borrow, alias = "struct_value")]
    struct_value: Option<&'a RawValue>,
    #[serde(borrow, alias = "list_value")]
    list_value: Option<&'a RawValue>,
    #[serde(borrow, alias = "will_continue")]
    will_continue: Option<&'a RawValue>,
}

/// `null` is a value, too.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// A value that is being assembled.
enum PartialValue {
    /// A path leads here, and no value has arrived yet.
    Empty,
    Object(PartialMembers),
    Array(Vec<PartialValue>),
    /// A text, and whether more of it will arrive.
    Text(String, bool),
    Leaf(Box<RawValue>),
}

#[derive(Default)]
struct PartialMembers {
    /// In order of arrival.
    members: Vec<(String, PartialValue)>,
    by_key: HashMap<String, usize>,
}

/// A step of a path.
#[derive(Debug, PartialEq)]
enum PathStep {
    Key(String),
    Index(usize),
}

/// The arguments of a call, as far as they have arrived.
pub(super) struct PartialArguments {
    root: PartialValue,
    /// All pieces, for a call whose arguments cannot be assembled.
    pieces: Vec<Box<RawValue>>,
    is_invalid: bool,
    /// How many texts will continue.
    open: usize,
    /// The path of a value that was announced and has not arrived.
    awaited: Option<String>,
}

impl Default for PartialArguments {
    fn default() -> Self {
        PartialArguments {
            root: PartialValue::Object(PartialMembers::default()),
            pieces: Vec::new(),
            is_invalid: false,
            open: 0,
            awaited: None,
        }
    }
}

impl PartialArguments {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn is_valid(&self) -> bool {
        !self.is_invalid
    }

    /// Whether a value is incomplete.
    pub(super) fn is_open(&self) -> bool {
        self.open > 0 || self.awaited.is_some()
    }

    /// Takes more of the arguments; pieces that make no sense void the call.
    pub(super) fn add(&mut self, partial_args: &RawValue) {
        let pieces = array(partial_args).unwrap_or_else(|_| vec![partial_args]);
        for piece in pieces {
            self.pieces.push(piece.to_owned());
            if !self.is_invalid && self.piece(piece).is_none() {
                self.is_invalid = true;
            }
        }
    }

    fn piece(&mut self, raw: &RawValue) -> Option<()> {
        let piece: PartialArg = object(raw).ok()?;
        let path = string(piece.json_path)?;
        let goes_on = piece.will_continue.is_some_and(|flag| flag.get() == "true");
        let text = given(piece.string_value);
        let values = [
            piece.number_value,
            piece.bool_value,
            piece.struct_value,
            piece.list_value,
        ];
        let mut values = values.into_iter().filter_map(given);
        let value = match (text, values.next(), values.next()) {
            (Some(text), None, None) => PartialValue::Text(string(Some(text))?, goes_on),
            (None, Some(value), None) => PartialValue::Leaf(value.to_owned()),
            (None, None, None) if goes_on => {
                self.awaited = Some(path);
                return Some(());
            }
            // The only value that may be written as a word.
            (None, None, None) if piece.null_value.is_some() => {
                PartialValue::Leaf(RawValue::NULL.to_owned())
            }
            _ => return None,
        };
        if self.awaited.as_ref() == Some(&path) {
            self.awaited = None;
        }
        let opened = put(&mut self.root, &steps(&path)?, value)?;
        self.open = self.open.checked_add_signed(opened)?;
        Some(())
    }

    /// As JSON: an object, or the pieces, if they cannot be assembled.
    pub(super) fn to_json(&self) -> String {
        let json = match self.is_invalid {
            false => serde_json::to_string(&self.root),
            true => serde_json::to_string(&self.pieces),
        };
        json.expect("plain data is JSON")
    }
}

/// Sets the value at a path. Returns by how much the number of open texts changes.
fn put(node: &mut PartialValue, path: &[PathStep], value: PartialValue) -> Option<isize> {
    let Some((step, rest)) = path.split_first() else {
        return fill(node, value);
    };
    if matches!(node, PartialValue::Empty) {
        *node = match step {
            PathStep::Key(_) => PartialValue::Object(PartialMembers::default()),
            PathStep::Index(_) => PartialValue::Array(Vec::new()),
        };
    }
    let next = match (node, step) {
        (PartialValue::Object(PartialMembers { members, by_key }), PathStep::Key(key)) => {
            let at = *by_key.entry(key.clone()).or_insert(members.len());
            if at == members.len() {
                members.push((key.clone(), PartialValue::Empty));
            }
            &mut members[at].1
        }
        (PartialValue::Array(items), PathStep::Index(index)) => {
            if *index == items.len() {
                items.push(PartialValue::Empty);
            }
            // A skipped item would be undefined.
            items.get_mut(*index)?
        }
        _ => return None,
    };
    put(next, rest, value)
}

fn fill(node: &mut PartialValue, value: PartialValue) -> Option<isize> {
    match (&mut *node, value) {
        (PartialValue::Empty, value) => {
            let opened = matches!(value, PartialValue::Text(_, true));
            *node = value;
            Some(isize::from(opened))
        }
        (PartialValue::Text(text, is_open @ true), PartialValue::Text(piece, goes_on)) => {
            text.push_str(&piece);
            *is_open = goes_on;
            Some(-isize::from(!goes_on))
        }
        _ => None,
    }
}

/// Parses a path of RFC 9535 that leads to a single value: `$.a.b[0]['c d']`.
fn steps(path: &str) -> Option<Vec<PathStep>> {
    let mut rest = path.trim().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == DEEPEST {
            return None;
        }
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 || name[..end] == *"*" {
                return None;
            }
            steps.push(PathStep::Key(name[..end].to_owned()));
            rest = &name[end..];
            continue;
        }
        let inner = rest.strip_prefix('[')?;
        let (step, after) = match inner.chars().next()? {
            quote @ ('\'' | '"') => {
                let (key, after) = quoted(&inner[1..], quote)?;
                (PathStep::Key(key), after)
            }
            _ => {
                let end = inner.find(']')?;
                (PathStep::Index(inner[..end].parse().ok()?), &inner[end..])
            }
        };
        steps.push(step);
        rest = after.strip_prefix(']')?;
    }
    Some(steps)
}

/// Parses a quoted name, in JSON's syntax but for the quotes. Returns the rest as well.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut json = String::from('"');
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => {
                json.push('"');
                return Some((serde_json::from_str(&json).ok()?, &text[at + 1..]));
            }
            '\\' => match chars.next()?.1 {
                '\'' => json.push('\''),
                c => json.extend(['\\', c]),
            },
            '"' => json.push_str("\\\""),
            c => json.push(c),
        }
    }
    None
}

impl Serialize for PartialValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            PartialValue::Empty => serializer.serialize_unit(),
            PartialValue::Object(PartialMembers { members, .. }) => {
                serializer.collect_map(members.iter().map(|(key, node)| (key, node)))
            }
            PartialValue::Array(items) => serializer.collect_seq(items),
            PartialValue::Text(text, _) => serializer.serialize_str(text),
            PartialValue::Leaf(leaf) => leaf.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_rfc_9535_has_them() {
        let key = |key: &str| PathStep::Key(key.to_owned());
        for (path, expected) in [
            ("$", Some(vec![])),
            ("$.a", Some(vec![key("a")])),
            (
                "$.a.b[0]['c d'].é",
                Some(vec![
                    key("a"),
                    key("b"),
                    PathStep::Index(0),
                    key("c d"),
                    key("é"),
                ]),
            ),
            (
                r#"$["a.b"]['it\'s']["\"\\\u00e9"]['"']"#,
                Some(vec![key("a.b"), key("it's"), key("\"\\é"), key("\"")]),
            ),
            (
                "$[12][0]",
                Some(vec![PathStep::Index(12), PathStep::Index(0)]),
            ),
            ("$.some-key", Some(vec![key("some-key")])),
            ("a", None),
            ("", None),
            ("$..a", None),
            ("$.*", None),
            ("$[*]", None),
            ("$[-1]", None),
            ("$['a", None),
            ("$[0", None),
            ("$a", None),
            ("$[?@.a]", None),
        ] {
            assert_eq!(steps(path), expected, "{path}");
        }
        assert!(steps(&format!("${}", "[0]".repeat(DEEPEST + 1))).is_none());
    }
}
