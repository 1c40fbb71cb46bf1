//! Calls that an answer has twice, as servers and proxies send them: an id is unique in an answer, so that what has
//! the id, the name and the arguments of another call is a second copy of it. Without an id it is a call of its own:
//! a model may want two that are alike. So it is where ids are not unique: where one is the tool's name, or different
//! calls have it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;
use serde_json::value::RawValue;

use super::back::edited_items;
use super::stream::Delta;
use super::{array, open::Open};
use crate::tool::ToolCall;

/// A number of fewer digits is told from every other by its value.
const EXACT_DIGITS: usize = 16;

/// What calls there are of one answer, by their ids.
#[derive(Default)]
pub(super) struct Copies(HashMap<String, Calls>);

/// The calls of one id.
struct Calls {
    name: String,
    arguments: String,
    /// Whether another call of the id has another name or other arguments.
    differ: bool,
    /// Whether one of them is taken for a call.
    is_taken: bool,
}

/// The id of a call, if it may be told from others by it.
pub(super) fn id<'c>(id: Option<&'c str>, name: &str) -> Option<&'c str> {
    id.filter(|id| !id.is_empty() && *id != name)
}

fn id_of(call: &ToolCall) -> Option<&str> {
    id(call.id.as_deref(), &call.name)
}

/// Whether arguments mean the same, however they are spaced and in whatever order.
pub(super) fn mean_the_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_ascii(), other.trim_ascii());
    if one == other {
        return true;
    }
    // As values, two long numbers may be one.
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

/// The point is one, so that all of a number's digits are counted.
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

impl Copies {
    /// Takes note of a call, which may be one that is known. Whether it can be a copy, or have one.
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
                let calls = Calls {
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

    /// Whether a call that was noted is a copy of one that is taken; if not, it is taken.
    pub(super) fn is_copy(&mut self, call: &ToolCall) -> bool {
        let Some(calls) = id_of(call).and_then(|id| self.0.get_mut(id)) else {
            return false;
        };
        let is_copy = calls.is_taken && !calls.differ;
        calls.is_taken = true;
        is_copy
    }
}

/// Which of these are copies, of calls of one answer; `None` where none is.
fn copied(calls: &[Option<&ToolCall>]) -> Option<Vec<bool>> {
    // Mostly there is nothing to compare.
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

/// The calls of one answer, each once.
pub(super) fn without_copies(mut calls: Vec<ToolCall>) -> Vec<ToolCall> {
    if let Some(copied) = copied(&calls.iter().map(Some).collect::<Vec<_>>()) {
        let mut copied = copied.into_iter();
        calls.retain(|_| copied.next() == Some(false));
    }
    calls
}

/// An array of items of one answer, some of which are calls, each call once.
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

/// The same, each item as it goes back; without those of which nothing does.
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

/// The places of the calls of a stream among those of its answer. What may be a copy of another has none until
/// it proves to be a call of its own.
#[derive(Default)]
pub(super) struct Places {
    taken: usize,
    /// The ids and names of the calls that have begun.
    begun: HashSet<(String, String)>,
    copies: Copies,
    is_over: bool,
}

impl Places {
    /// A call has begun: its place, unless one of its id and name had begun before.
    pub(super) fn begin(&mut self, its_id: Option<&str>, name: &str) -> Option<usize> {
        match id(its_id, name) {
            Some(id) if !self.begun.insert((id.to_owned(), name.to_owned())) => None,
            _ => Some(self.next()),
        }
    }

    /// The answer is over: nothing waits any more for what another call may prove to be.
    pub(super) fn over(&mut self) {
        self.is_over = true;
    }

    fn next(&mut self) -> usize {
        self.taken += 1;
        self.taken - 1
    }

    /// Whether nothing is to be done about a call that is whole: it was handed on, or waits.
    pub(super) fn has_taken(&self, open: &Open) -> bool {
        open.is_complete || open.waits && !self.is_over
    }

    /// Hands a call on that is whole, unless it is a copy. Whether it was open and is no more: what may be a copy
    /// waits for the end of the answer, which shows whether ids are unique in it.
    pub(super) fn complete(
        &mut self,
        open: &mut Open,
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

    /// No more comes of a call: one that did not come to its end is no copy that anybody could tell.
    pub(super) fn end(&mut self, open: &mut Open) {
        if open.is_complete || open.place.is_some() {
            return;
        }
        open.place = Some(self.next());
    }
}

/// The calls of an answer by their places, and the places of those that did not come to their end.
pub(super) fn by_place<'o>(
    calls: impl Iterator<Item = (&'o Open, ToolCall)>,
) -> (Vec<ToolCall>, Vec<usize>) {
    let mut placed: Vec<(usize, bool, ToolCall)> = calls
        .filter_map(|(open, call)| Some((open.place?, open.is_complete, call)))
        .collect();
    placed.sort_unstable_by_key(|(place, ..)| *place);
    let cut = placed.iter().filter(|(_, is_complete, _)| !is_complete);
    let cut = cut.map(|(place, ..)| *place).collect();
    (placed.into_iter().map(|(.., call)| call).collect(), cut)
}
