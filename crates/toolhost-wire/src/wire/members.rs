//! An object that comes in pieces: its members are put together as far as they are known to be
//! deltas, and else the last that came stands.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{object, raw};

/// No message has as many members; who sends more means harm.
const MOST_MEMBERS: usize = 256;

/// Pieces of one item come after each other, or nearly.
const BACK: usize = 64;

/// The members of an object as they are written, in their order.
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// The members of an object; `None` if it is none.
pub(super) fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    object(raw).ok().map(|Members(members)| members)
}

/// An object that is put together.
#[derive(Clone, Debug, Default)]
pub(super) struct Merged(Vec<(String, Member)>);

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Member {
    Text(String),
    List(Vec<Value>),
    Raw(Box<RawValue>),
}

impl Merged {
    /// A member; `None` if there are too many.
    fn member(&mut self, key: &str) -> Option<&mut Member> {
        let known = self.0.iter().position(|(known, _)| known == key);
        let at = match known {
            Some(at) => at,
            None if self.0.len() >= MOST_MEMBERS => return None,
            None => {
                self.0.push((key.to_owned(), Member::List(Vec::new())));
                self.0.len() - 1
            }
        };
        Some(&mut self.0[at].1)
    }

    /// Adds to a text.
    pub(super) fn append(&mut self, key: &str, piece: &str) {
        match self.member(key) {
            Some(Member::Text(text)) => text.push_str(piece),
            Some(other) => *other = Member::Text(piece.to_owned()),
            None => {}
        }
    }

    /// Adds to a list: an item with the `index` and `type` of one that is there is a piece of it.
    pub(super) fn extend(&mut self, key: &str, items: Vec<Value>) {
        let Some(member) = self.member(key).filter(|_| !items.is_empty()) else {
            return;
        };
        if !matches!(member, Member::List(_)) {
            *member = Member::List(Vec::new());
        }
        let Member::List(list) = member else { return };
        for item in items {
            let is_same = |known: &&mut Value| {
                let same = |key| known.get(key) == item.get(key);
                // What has no index came whole.
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

    /// Puts a member in the place of what was there; `null` takes no place of anything.
    pub(super) fn set(&mut self, key: &str, value: &RawValue) {
        if value.get() == "null" && self.0.iter().any(|(known, _)| known == key) {
            return;
        }
        if let Some(member) = self.member(key) {
            *member = Member::Raw(value.to_owned());
        }
    }
}

impl Merged {
    /// Puts all members of another in.
    pub(super) fn set_all(&mut self, other: &Merged) {
        for (key, member) in &other.0 {
            if let Some(known) = self.member(key) {
                *known = member.clone();
            }
        }
    }
}

/// Whether two items may be pieces of one: of those that name themselves the same, as the encrypted
/// reasoning of a call does by the call's id.
fn is_one(known: &Value, item: &Value) -> bool {
    let (one, other) = (&known["id"], &item["id"]);
    one.is_null() || other.is_null() || one == other
}

/// The members of an item whose text comes in pieces.
const TEXTS: [&str; 3] = ["text", "summary", "data"];

fn merge(known: &mut Map<String, Value>, piece: Map<String, Value>) {
    for (key, value) in piece {
        match (known.get_mut(&key), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(piece)) if TEXTS.contains(&&*key) => {
                // What is encrypted comes whole, and may come again.
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
