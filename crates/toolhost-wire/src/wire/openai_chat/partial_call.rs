//! A call of a streamed chat completion, assembled from its pieces.

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::OpenaiChat;
use crate::tool::ToolCall;
use crate::wire::duplicate_calls::mean_the_same;
use crate::wire::object_merge::Merged;
use crate::wire::open_call::{Given, OpenCall};
use crate::wire::raw;

/// A piece of a call.
#[derive(Default)]
pub(super) struct CallPiece<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) name: Option<String>,
    pub(super) arguments: String,
    pub(super) sort: Sort,
    /// The other members of the call, and of its function.
    pub(super) others: Vec<(String, &'a RawValue)>,
    pub(super) inner: Vec<(String, &'a RawValue)>,
}

impl CallPiece<'_> {
    /// Whether it begins a call of an unknown kind.
    pub(super) fn is_other(&self) -> bool {
        self.name.is_none() && self.kind.as_deref().is_some_and(is_other)
    }
}

/// How a message contains a call.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Function,
    /// A custom tool, whose input is free text.
    Custom,
    /// The message's `function_call`, the predecessor of `tool_calls`.
    Legacy,
}

/// A call that has begun.
#[derive(Default)]
pub(super) struct PartialCall {
    pub(super) open: OpenCall,
    pub(super) sort: Sort,
    pub(super) others: Merged,
    pub(super) inner: Merged,
    /// Whether later pieces may have been its arguments.
    pub(super) is_doubtful: bool,
    /// Its kind, if it is neither a function nor a custom tool.
    other_kind: Option<String>,
}

impl PartialCall {
    /// Whether it is of an unknown kind, without any known members.
    pub(super) fn is_unknown(&self) -> bool {
        let open = &self.open;
        // With a position it is a call, whatever follows.
        open.place.is_none()
            && self.other_kind.is_some()
            && open.name.is_empty()
            && open.given() == Given::Nothing
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.open.given() != Given::Whole && !self.open.is_complete()
    }

    pub(super) fn add(&mut self, piece: CallPiece) {
        for (key, value) in piece.others {
            self.others.set(&key, value);
        }
        for (key, value) in piece.inner {
            self.inner.set(&key, value);
        }
        if let Some(kind) = piece.kind.filter(|kind| is_other(kind)) {
            self.other_kind = Some(kind);
        }
        let open = &mut self.open;
        if open.is_complete() {
            return;
        }
        if open.given() == Given::Nothing {
            self.sort = piece.sort;
            open.is_text = piece.sort == Sort::Custom;
        }
        if open.id.is_none() {
            open.id = piece.id;
        }
        if let Some(name) = piece.name {
            let may_grow = open.given() == Given::Nothing;
            add_name(&mut open.name, name, may_grow);
        }
        open.push(&piece.arguments);
    }

    pub(super) fn inner(&self) -> Box<RawValue> {
        let input = match self.sort {
            Sort::Custom => "input",
            Sort::Function | Sort::Legacy => "arguments",
        };
        let mut inner = Merged::default();
        inner.set("name", &text(&self.open.name));
        inner.set(input, &text(self.open.arguments()));
        inner.set_all(&self.inner);
        inner.to_raw()
    }

    /// The call as a message contains it.
    pub(super) fn item(&self) -> Box<RawValue> {
        if let Some(kind) = self.other_kind.as_ref().filter(|_| self.is_unknown()) {
            let mut item = Merged::default();
            item.set("id", &raw(&self.open.id));
            item.set("type", &text(kind));
            item.set_all(&self.others);
            return item.to_raw();
        }
        let kind = match self.sort {
            Sort::Custom => "custom",
            Sort::Function | Sort::Legacy => "function",
        };
        let mut item = Merged::default();
        item.set("id", &raw(&self.open.id));
        item.set("type", &text(kind));
        item.set(kind, &self.inner());
        item.set_all(&self.others);
        item.to_raw()
    }

    pub(super) fn call(&self) -> ToolCall {
        let item = match self.sort {
            Sort::Function | Sort::Custom => self.item(),
            Sort::Legacy => {
                let mut message = Merged::default();
                message.set("role", &text("assistant"));
                message.set("function_call", &self.inner());
                message.to_raw()
            }
        };
        self.open.call(&OpenaiChat, item.get())
    }
}

/// Whether a kind of call is not decoded.
fn is_other(kind: &str) -> bool {
    !matches!(kind, "function" | "custom" | "tool_call" | "tool_use")
}

fn text(text: &str) -> Box<RawValue> {
    to_raw_value(text).expect("a text is JSON")
}

/// Adds a name, which may be repeated, extended, or sent in pieces.
fn add_name(known: &mut String, name: String, may_grow: bool) {
    if known.is_empty() || may_grow && name.starts_with(&**known) {
        *known = name;
    } else if may_grow {
        known.push_str(&name);
    }
}

/// Whether the second text repeats the first, or its beginning, or is the first encoded as a JSON
/// string.
pub(super) fn is_same(arguments: &str, copy: &str) -> bool {
    if arguments.starts_with(copy.trim_ascii()) {
        return true;
    }
    // Apart from spacing; bounded, so that many short texts do not cost as many parses of a long
    // one.
    if copy.len() < arguments.len() / 4 {
        return false;
    }
    match serde_json::from_str::<Value>(copy) {
        Ok(Value::String(inner)) => mean_the_same(arguments, &inner),
        _ => mean_the_same(arguments, copy),
    }
}
