//! Duplicate calls, as servers and proxies send them: ids are unique in an answer, so a call with
//! the id, name and arguments of another is a copy of it. A call without an id is never a copy: a
//! model may want two alike. The same goes where ids are not unique: the id is the tool's name, or
//! different calls share it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;
use serde_json::value::RawValue;

use super::sent_back::edited_items;
use super::stream_decoder::Delta;
use super::{array, open_call::OpenCall};
use crate::tool::ToolCall;

/// Shorter numbers can be compared by value.
const EXACT_DIGITS: usize = 16;

/// The calls of one answer, by id.
#[derive(Default)]
pub(super) struct Copies(HashMap<String, SameIdCalls>);

/// The calls with one id.
struct SameIdCalls {
    name: String,
    arguments: String,
    /// Whether calls with this id differ in name or arguments.
    differ: bool,
    /// Whether one of them counts as the call.
    is_taken: bool,
}

/// The id of a call, if it can identify it.
pub(super) fn id<'c>(id: Option<&'c str>, name: &str) -> Option<&'c str> {
    id.filter(|id| !id.is_empty() && *id != name)
}

fn id_of(call: &ToolCall) -> Option<&str> {
    id(call.id.as_deref(), &call.name)
}

/// Whether arguments are equal apart from spacing and member order.
pub(super) fn mean_the_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_ascii(), other.trim_ascii());
    if one == other {
        return true;
    }
    // By value, two long numbers may look equal.
    if has_long_number(one) || has_long_number(other) {
        return false;
    }
    let read = |text: &str| match text {
        "" => Some(Value::Object(Default::default())),
        text => serde_json::from_str::<Value>(text).ok(),
    };
    read(one).is_some_and(|one| read(other) == Some(one))
}

fn has_long_number(text: &str) -> bool {
    let mut runs = text
        .as_bytes()
        .chunk_by(|a, b| is_digit(*a) == is_digit(*b));
    runs.any(|run| run.len() >= EXACT_DIGITS && is_digit(run[0]))
}

/// The decimal point counts, so that all digits of a number are counted.
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

impl Copies {
    /// Notes a call, which may be a known one. Returns whether it can be, or have, a copy.
    pub(super) fn note(&mut self, call: &ToolCall) -> bool {
        let Some(id) = id_of(call) else {
            return false;
        };
        match self.0.get_mut(id) {
            Some(calls) => {
                calls.differ = calls.differ
                    || calls.name != call.name
                    || !mean_the_same(&calls.arguments, &call.arguments);
                !calls.differ
            }
            None => {
                let calls = SameIdCalls {
                    name: call.name.clone(),
                    arguments: call.arguments.clone(),
                    differ: false,
                    is_taken: false,
                };
                self.0.insert(id.to_owned(), calls);
                true
            }
        }
    }

    /// Whether a noted call is a copy of one that counts; if not, it counts from now on.
    pub(super) fn is_copy(&mut self, call: &ToolCall) -> bool {
        let Some(calls) = id_of(call).and_then(|id| self.0.get_mut(id)) else {
            return false;
        };
        let is_copy = calls.is_taken && !calls.differ;
        calls.is_taken = true;
        is_copy
    }
}

/// Which of an answer's calls are copies; `None` if none is.
fn copied(calls: &[Option<&ToolCall>]) -> Option<Vec<bool>> {
    // Usually there is nothing to compare.
    let mut ids = HashSet::new();
    let mut known = calls.iter().flatten().filter_map(|call| id_of(call));
    if known.all(|id| ids.insert(id)) {
        return None;
    }
    let mut copies = Copies::default();
    for call in calls.iter().flatten() {
        copies.note(call);
    }
    let is_copy = |call: &Option<&ToolCall>| call.is_some_and(|call| copies.is_copy(call));
    let copied: Vec<bool> = calls.iter().map(is_copy).collect();
    copied.contains(&true).then_some(copied)
}

/// The calls of one answer, without duplicates.
pub(super) fn without_copies(mut calls: Vec<ToolCall>) -> Vec<ToolCall> {
    if let Some(copied) = copied(&calls.iter().map(Some).collect::<Vec<_>>()) {
        let mut copied = copied.into_iter();
        calls.retain(|_| copied.next() == Some(false));
    }
    calls
}

/// An array of items of one answer, without duplicates of those that are calls.
pub(super) fn items_without_copies(
    items: &RawValue,
    call: impl Fn(&RawValue) -> Option<ToolCall>,
) -> Cow<'_, RawValue> {
    let Ok(all) = array(items) else {
        return Cow::Borrowed(items);
    };
    let calls: Vec<Option<ToolCall>> = all.iter().map(|item| call(item)).collect();
    let Some(copied) = copied(&calls.iter().map(Option::as_ref).collect::<Vec<_>>()) else {
        return Cow::Borrowed(items);
    };
    let kept = all.iter().zip(copied).filter(|(_, is_copy)| !is_copy);
    let kept: Vec<&RawValue> = kept.map(|(item, _)| *item).collect();
    Cow::Owned(super::raw(&kept))
}

/// The same, with each item as it is sent back; those that are not sent back are dropped.
pub(super) fn edited_without_copies<'i>(
    items: &'i RawValue,
    call: impl Fn(&RawValue) -> Option<ToolCall>,
    edit: impl Fn(&RawValue) -> Option<Cow<'_, RawValue>>,
) -> Cow<'i, RawValue> {
    match items_without_copies(items, call) {
        Cow::Borrowed(items) => edited_items(items, edit),
        Cow::Owned(items) => Cow::Owned(edited_items(&items, edit).into_owned()),
    }
}

/// The positions of a stream's calls among those of its answer. A call that may be a copy has none
/// until it proves to be its own.
#[derive(Default)]
pub(super) struct CallPositions {
    taken: usize,
    /// The ids and names of the calls that have begun.
    begun: HashSet<(String, String)>,
    copies: Copies,
    is_over: bool,
}

impl CallPositions {
    /// A call has begun: its position, unless one with this id and name had begun before.
    pub(super) fn begin(&mut self, its_id: Option<&str>, name: &str) -> Option<usize> {
        match id(its_id, name) {
            Some(id) if !self.begun.insert((id.to_owned(), name.to_owned())) => None,
            _ => Some(self.next()),
        }
    }

    /// The answer has ended: nothing waits any more to see whether it is a copy.
    pub(super) fn over(&mut self) {
        self.is_over = true;
    }

    fn next(&mut self) -> usize {
        self.taken += 1;
        self.taken - 1
    }

    /// Whether a complete call needs nothing more: it was delivered, or waits.
    pub(super) fn has_taken(&self, open: &OpenCall) -> bool {
        open.is_complete || open.waits && !self.is_over
    }

    /// Delivers a complete call, unless it is a copy. Returns whether it is no longer open. A
    /// possible copy waits for the end of the answer, which shows whether ids are unique in it.
    pub(super) fn complete(
        &mut self,
        open: &mut OpenCall,
        call: ToolCall,
        deltas: &mut Vec<Delta>,
    ) -> bool {
        let may_be_copy = self.copies.note(&call);
        if open.place.is_none() && may_be_copy && !self.is_over {
            open.waits = true;
            return false;
        }
        open.is_complete = true;
        open.is_copy = self.copies.is_copy(&call) && open.place.is_none();
        if !open.is_copy {
            let position = *open.place.get_or_insert_with(|| self.next());
            deltas.push(Delta::Call { position, call });
        }
        true
    }

    /// No more of a call will arrive: an incomplete one cannot be recognized as a copy.
    pub(super) fn end(&mut self, open: &mut OpenCall) {
        if open.is_complete || open.place.is_some() {
            return;
        }
        open.place = Some(self.next());
    }
}

/// The calls of an answer in order, and the positions of incomplete ones.
pub(super) fn by_place<'o>(
    calls: impl Iterator<Item = (&'o OpenCall, ToolCall)>,
) -> (Vec<ToolCall>, Vec<usize>) {
    let mut placed: Vec<(usize, bool, ToolCall)> = calls
        .filter_map(|(open, call)| Some((open.place?, open.is_complete, call)))
        .collect();
    placed.sort_unstable_by_key(|(place, ..)| *place);
    let cut = placed.iter().filter(|(_, is_complete, _)| !is_complete);
    let cut = cut.map(|(place, ..)| *place).collect();
    (placed.into_iter().map(|(.., call)| call).collect(), cut)
}
