//! Calls that an answer has twice, as servers and proxies send them: an id is unique in an answer, so that what has
//! the id, the name and the arguments of another call is a second copy of it. Without an id it is a call of its own:
//! a model may want two that are alike.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::stream::Delta;
use super::{array, open::Open};
use crate::tool::ToolCall;

/// What calls there were of one answer, by their ids.
#[derive(Default)]
pub(super) struct Copies(HashMap<String, Said>);

/// The calls of one id.
enum Said {
    /// The only one so far: its name, and its arguments.
    Once(String, String),
    /// Several, by names and what their arguments mean.
    Often(HashSet<(String, Value)>),
}

fn id(call: &ToolCall) -> Option<&String> {
    call.id.as_ref().filter(|id| !id.is_empty())
}

/// What arguments mean, however they are spaced and in whatever order.
fn meaning(arguments: &str) -> Value {
    let text = arguments.trim_ascii();
    if text.is_empty() {
        return Value::Object(Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

impl Copies {
    /// Takes a call, and tells whether it is a copy of one that was taken before.
    pub(super) fn is_copy(&mut self, call: &ToolCall) -> bool {
        let Some(id) = id(call) else {
            return false;
        };
        let Some(said) = self.0.get_mut(id) else {
            let once = Said::Once(call.name.clone(), call.arguments.clone());
            self.0.insert(id.clone(), once);
            return false;
        };
        if let Said::Once(name, arguments) = said {
            if *name == call.name && *arguments == call.arguments {
                return true;
            }
            let first = (std::mem::take(name), meaning(arguments));
            *said = Said::Often(HashSet::from([first]));
        }
        match said {
            Said::Once(..) => false,
            Said::Often(calls) => !calls.insert((call.name.clone(), meaning(&call.arguments))),
        }
    }
}

/// The calls of one answer, each once.
pub(super) fn without_copies(mut calls: Vec<ToolCall>) -> Vec<ToolCall> {
    // Mostly there is nothing to compare.
    let mut ids = HashSet::new();
    if calls.iter().filter_map(id).all(|id| ids.insert(id)) {
        return calls;
    }
    let mut copies = Copies::default();
    calls.retain(|call| !copies.is_copy(call));
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
    let mut copies = Copies::default();
    let is_copy = |item: &RawValue| call(item).is_some_and(|call| copies.is_copy(&call));
    let kept = kept(&all, is_copy);
    match kept.len() == all.len() {
        true => Cow::Borrowed(items),
        false => Cow::Owned(super::raw(&kept)),
    }
}

fn kept<'a>(
    items: &[&'a RawValue],
    mut is_copy: impl FnMut(&RawValue) -> bool,
) -> Vec<&'a RawValue> {
    let items = items.iter().copied();
    items.filter(|item| !is_copy(item)).collect()
}

/// The places of the calls of a stream among those of its answer. What may be a copy of another has none until
/// it proves to be a call of its own.
#[derive(Default)]
pub(super) struct Places {
    taken: usize,
    /// The ids and names of the calls that have begun, and whether the first of each is open.
    begun: HashMap<(String, String), bool>,
    copies: Copies,
    is_over: bool,
}

impl Places {
    /// A call has begun: its place, unless one of its id and name had begun before.
    pub(super) fn begin(&mut self, id: Option<&str>, name: &str) -> Option<usize> {
        if let Some(id) = id {
            match self.begun.entry((id.to_owned(), name.to_owned())) {
                Entry::Occupied(_) => return None,
                Entry::Vacant(first) => first.insert(true),
            };
        }
        Some(self.next())
    }

    /// The answer is over: nothing waits any more for what another call may prove to be.
    pub(super) fn over(&mut self) {
        self.is_over = true;
    }

    fn next(&mut self) -> usize {
        self.taken += 1;
        self.taken - 1
    }

    /// Hands a call on that is whole, unless it is a copy. Whether it was open and is no more: what may be a copy
    /// waits for the first call of its id and name.
    pub(super) fn complete(
        &mut self,
        open: &mut Open,
        call: ToolCall,
        deltas: &mut Vec<Delta>,
    ) -> bool {
        if open.is_complete {
            return false;
        }
        let first = open
            .id
            .clone()
            .and_then(|id| self.begun.get_mut(&(id, open.name.clone())));
        match (first, open.place) {
            (Some(is_open), Some(_)) => *is_open = false,
            (Some(true), None) if !self.is_over => return false,
            _ => {}
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
