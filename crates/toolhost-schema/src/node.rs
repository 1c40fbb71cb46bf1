//! JSON whose accesses are counted. Once its watch has stopped, all of it is null and empty, so
//! that any walk over it ends.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::ControlFlow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, NodeIdentity, Object, SerdeJson, cmp};
use serde_json::{Map, Value};

use crate::Watch;
use crate::unique;

/// The instance of errors made after the stop.
pub(crate) static STOPPED: Value = Value::Null;

/// Bytes of text compared in one step.
const BYTES: usize = 64;

/// One validation.
pub(crate) struct Validation<'r> {
    pub(crate) watch: &'r Watch<'r>,
    /// How many more errors may be made.
    pub(crate) errors: Cell<usize>,
    /// Steps per byte of a name.
    pub(crate) name_rate: u64,
}

impl Validation<'_> {
    #[inline]
    fn go(&self, steps: u64) -> bool {
        self.errors.get() > 0 && self.watch.go(steps)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.errors.get() == 0 || self.watch.has_stopped()
    }
}

/// The representation of JSON.
pub(crate) struct CountedJson;

/// A value in this representation.
#[derive(Clone, Copy)]
pub(crate) struct CountedNode<'a> {
    value: &'a Value,
    run: Option<&'a Validation<'a>>,
    /// Whether it is the name of a member.
    is_name: bool,
}

impl<'a> CountedNode<'a> {
    pub(crate) fn new(value: &'a Value, run: &'a Validation<'a>) -> Self {
        CountedNode {
            value,
            run: Some(run),
            is_name: false,
        }
    }

    /// The name, if it is one.
    pub(crate) fn name(&self) -> Option<&'a str> {
        self.value.as_str().filter(|_| self.is_name)
    }

    #[inline]
    pub(crate) fn go(&self, steps: u64) -> bool {
        self.run.is_none_or(|run| run.go(steps))
    }

    fn within(&self, value: &'a Value) -> Self {
        CountedNode { value, ..*self }
    }

    /// [`cmp::equal`], with counted steps.
    fn equals(&self, expected: &Value) -> bool {
        match (self.value, expected) {
            (Value::Array(items), Value::Array(expected)) => {
                self.go(1)
                    && items.len() == expected.len()
                    && items
                        .iter()
                        .zip(expected)
                        .all(|(item, expected)| self.within(item).equals(expected))
            }
            (Value::Object(members), Value::Object(expected)) => {
                self.go(1)
                    && members.len() == expected.len()
                    && members.iter().all(|(name, member)| {
                        let expected = expected.get(name);
                        expected.is_some_and(|expected| self.within(member).equals(expected))
                    })
            }
            (Value::String(text), Value::String(expected)) => {
                text.len() == expected.len() && self.go(steps(text.len())) && text == expected
            }
            (value, expected) => self.go(1) && cmp::equal(value, expected),
        }
    }
}

fn steps(bytes: usize) -> u64 {
    1 + (bytes / BYTES) as u64
}

impl Json for CountedJson {
    type Node<'a> = CountedNode<'a>;
    type PreparedKey = String;
    type StringBuffer = Value;

    const KEYS_PER_LOOKUP: usize = SerdeJson::KEYS_PER_LOOKUP;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        SerdeJson::prepare_key(key)
    }

    fn with_string_node<T>(
        buffer: &mut Value,
        string: &str,
        f: impl FnOnce(CountedNode<'_>) -> T,
    ) -> T {
        *buffer = Value::String(string.to_owned());
        f(CountedNode {
            value: buffer,
            run: None,
            is_name: true,
        })
    }
}

impl<'a> jsonschema::json::Node<'a, CountedJson> for CountedNode<'a> {
    type Object = CountedMembers<'a>;
    type Array = CountedItems<'a>;
    type Number = &'a serde_json::Number;

    fn as_object(&self) -> Option<CountedMembers<'a>> {
        match self.value {
            Value::Object(members) if self.go(1) => Some(CountedMembers {
                members,
                node: *self,
            }),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<CountedItems<'a>> {
        match self.value {
            Value::Array(items) if self.go(1) => Some(CountedItems { items, node: *self }),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self.value {
            Value::String(text) if self.go(steps(text.len())) => Some(Cow::Borrowed(text)),
            _ => None,
        }
    }

    fn as_number(&self) -> Option<&'a serde_json::Number> {
        match self.value {
            Value::Number(number) if self.go(1) => Some(number),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        self.value.as_bool().filter(|_| self.go(1))
    }

    fn is_null(&self) -> bool {
        self.value.is_null() || !self.go(1)
    }

    fn is_number(&self) -> bool {
        self.value.is_number() && self.go(1)
    }

    fn json_type(&self) -> JsonType {
        match self.go(1) {
            true => JsonType::from(self.value),
            false => JsonType::Null,
        }
    }

    fn string_length(&self) -> Option<u64> {
        match self.value {
            Value::String(text) if self.go(steps(text.len())) => {
                jsonschema::json::Node::<SerdeJson>::string_length(&self.value)
            }
            _ => None,
        }
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        match self.value {
            Value::String(text) if self.go(steps(text.len())) => {
                jsonschema::json::Node::<SerdeJson>::string_length_within(&self.value, min, max)
            }
            _ => None,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        self.equals(expected)
    }

    /// Called to make an error.
    fn to_value(&self) -> Cow<'a, Value> {
        let Some(run) = self.run else {
            return Cow::Owned(self.value.clone());
        };
        if !run.go(1) {
            return Cow::Borrowed(&STOPPED);
        }
        run.errors.set(run.errors.get() - 1);
        Cow::Borrowed(self.value)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(
            std::ptr::from_ref::<Value>(self.value) as usize
        ))
    }
}

pub(crate) struct CountedMembers<'a> {
    members: &'a Map<String, Value>,
    node: CountedNode<'a>,
}

impl<'a> Object<'a, CountedJson> for CountedMembers<'a> {
    type Node = CountedNode<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.members.len()
    }

    fn get(&self, key: &String) -> Option<CountedNode<'a>> {
        if !self.node.go(1) {
            return None;
        }
        let found = Object::<SerdeJson>::get(&self.members, key);
        found.map(|value| self.node.within(value))
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter {
            members: self.members.iter(),
            node: self.node,
        }
    }

    fn try_for_each_name_node<B>(
        &self,
        buffer: &mut Value,
        mut f: impl FnMut(CountedNode<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for (name, _) in self.members() {
            *buffer = Value::String(name.to_owned());
            let flow = f(CountedNode {
                value: buffer,
                run: self.node.run,
                is_name: true,
            });
            if flow.is_break() {
                return flow;
            }
        }
        ControlFlow::Continue(())
    }
}

pub(crate) struct MembersIter<'a> {
    members: serde_json::map::Iter<'a>,
    node: CountedNode<'a>,
}

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, CountedNode<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.members.next()?;
        let rate = self.node.run.map_or(1, |run| run.name_rate);
        let is_left = self.node.go(rate.saturating_mul(steps(name.len())));
        is_left.then(|| (&**name, self.node.within(value)))
    }
}

pub(crate) struct CountedItems<'a> {
    items: &'a [Value],
    node: CountedNode<'a>,
}

impl<'a> Array<'a, CountedJson> for CountedItems<'a> {
    type Node = CountedNode<'a>;
    type ElementsIter = ItemsIter<'a>;

    fn len(&self) -> usize {
        self.items.len()
    }

    fn elements(&self) -> ItemsIter<'a> {
        ItemsIter {
            items: self.items.iter(),
            node: self.node,
        }
    }

    fn is_unique(&self) -> bool {
        unique::is_unique(self.items, &|steps| self.node.go(steps))
    }
}

pub(crate) struct ItemsIter<'a> {
    items: std::slice::Iter<'a, Value>,
    node: CountedNode<'a>,
}

impl<'a> Iterator for ItemsIter<'a> {
    type Item = CountedNode<'a>;

    fn next(&mut self) -> Option<CountedNode<'a>> {
        let item = self.items.next()?;
        self.node.go(1).then(|| self.node.within(item))
    }
}
