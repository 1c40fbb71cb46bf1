//! Merging of objects that arrive in pieces: members known to be deltas are appended, for others
//! the last value counts.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{object, raw};

/// A message with more members is malicious.
const MOST_MEMBERS: usize = 256;

/// How far back pieces of one item are looked for.
const BACK: usize = 64;

/// The members of an object as written, in their order.
pub(super) struct ObjectMembers<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for ObjectMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = ObjectMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(ObjectMembers(members))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// The members of an object; `None` if it is not one.
pub(super) fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    object(raw).ok().map(|ObjectMembers(members)| members)
}

/// An object that is being merged.
#[derive(Clone, Debug, Default)]
pub(super) struct Merged(Vec<(String, MergedMember)>);

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum MergedMember {
    Text(String),
    List(Vec<Value>),
    Raw(Box<RawValue>),
}

impl Merged {
    /// A member; `None` if there are too many.
    fn member(&mut self, key: &str) -> Option<&mut MergedMember> {
        let known = self.0.iter().position(|(known, _)| known == key);
        let at = match known {
            Some(at) => at,
            None if self.0.len() >= MOST_MEMBERS => return None,
            None => {
                self.0
                    .push((key.to_owned(), MergedMember::List(Vec::new())));
                self.0.len() - 1
            }
        };
        Some(&mut self.0[at].1)
    }

    /// Appends to a text.
    pub(super) fn append(&mut self, key: &str, piece: &str) {
        match self.member(key) {
            Some(MergedMember::Text(text)) => text.push_str(piece),
            Some(other) => *other = MergedMember::Text(piece.to_owned()),
            None => {}
        }
    }

    /// Appends to a list: an item with the `index` and `type` of an existing one is a piece of it.
    pub(super) fn extend(&mut self, key: &str, items: Vec<Value>) {
        let Some(member) = self.member(key).filter(|_| !items.is_empty()) else {
            return;
        };
        if !matches!(member, MergedMember::List(_)) {
            *member = MergedMember::List(Vec::new());
        }
        let MergedMember::List(list) = member else {
            return;
        };
        for item in items {
            let is_same = |known: &&mut Value| {
                let same = |key| known.get(key) == item.get(key);
                // An item without an index is complete.
                !item["index"].is_null() && same("index") && same("type") && is_one(known, &item)
            };
            let first = list.len().saturating_sub(BACK);
            let is_there = list[first..].contains(&item);
            let found = list[first..].iter_mut().rev().find(is_same);
            match (found, item) {
                (Some(Value::Object(known)), Value::Object(item)) => merge(known, item),
                (_, item) if !is_there => list.push(item),
                _ => {}
            }
        }
    }

    /// Replaces a member; `null` replaces nothing.
    pub(super) fn set(&mut self, key: &str, value: &RawValue) {
        if value.get() == "null" && self.0.iter().any(|(known, _)| known == key) {
            return;
        }
        if let Some(member) = self.member(key) {
            *member = MergedMember::Raw(value.to_owned());
        }
    }
}

impl Merged {
    /// Sets all members of another object.
    pub(super) fn set_all(&mut self, other: &Merged) {
        for (key, member) in &other.0 {
            if let Some(known) = self.member(key) {
                *known = member.clone();
            }
        }
    }
}

/// Whether two items may be pieces of one: not if their own ids differ, as in a call's encrypted
/// reasoning.
fn is_one(known: &Value, item: &Value) -> bool {
    let (one, other) = (&known["id"], &item["id"]);
    one.is_null() || other.is_null() || one == other
}

/// The members of an item whose text arrives in pieces.
const TEXTS: [&str; 3] = ["text", "summary", "data"];

fn merge(known: &mut Map<String, Value>, piece: Map<String, Value>) {
    for (key, value) in piece {
        match (known.get_mut(&key), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(piece)) if TEXTS.contains(&&*key) => {
                // Encrypted data is complete, and may be repeated.
                if key != "data" || *text != piece {
                    text.push_str(&piece);
                }
            }
            (_, value) => drop(known.insert(key, value)),
        }
    }
}

impl Serialize for Merged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, member) in &self.0 {
            map.serialize_entry(key, member)?;
        }
        map.end()
    }
}

impl Merged {
    /// As JSON.
    pub(super) fn to_raw(&self) -> Box<RawValue> {
        raw(self)
    }
}
