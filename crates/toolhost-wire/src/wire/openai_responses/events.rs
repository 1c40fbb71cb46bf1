//! A response that comes as an event stream: items, and what is added to them.
//!
//! An event says of which item it is by that item's id and its place in the output. Some servers have
//! one place for all items, and others another id in each event: the id counts where it is known.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, json};

use super::items::{Call, Item, Slot};
use super::{OpenaiResponses, Response, back, ended, item_text, stop, tokens};
use crate::tool::ToolCall;
use crate::wire::copies::{Places, by_place};
use crate::wire::error::DecodeError;
use crate::wire::lenient::{given, is_blank, name, number};
use crate::wire::open::{Given, Open};
use crate::wire::{
    Close, Delta, End, Received, Reply, Stop, StreamDecoder, Tokens, api_error, arguments, array,
    document, label, object, raw, string,
};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    output_index: Option<&'a RawValue>,
    #[serde(borrow)]
    item_id: Option<&'a RawValue>,
    #[serde(borrow)]
    call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    /// What newer servers say at the end of a call's arguments.
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
}

#[derive(Default)]
pub(super) struct Stream {
    text: String,
    slots: Vec<Slot>,
    calls: Vec<Call>,
    places: Places,
    by_id: HashMap<String, usize>,
    /// Ids of calls may repeat.
    by_call_id: HashMap<String, Vec<usize>>,
    by_index: HashMap<u64, usize>,
    stop: Option<Stop>,
    is_over: bool,
    tokens: Tokens,
}

impl super::super::Sealed for Stream {}

impl StreamDecoder for Stream {
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let event: Event = object(document(data)?)?;
        let kind = string(event.r#type);
        match kind.as_deref() {
            Some("response.output_item.added") => {
                if let Some(item) = given(event.item) {
                    self.item(number(event.output_index), item)?;
                }
            }
            Some(
                "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta",
            ) => {
                if let Some(at) = self.call(&event)? {
                    self.calls[at].open.push(&arguments(event.delta));
                }
            }
            Some(
                "response.function_call_arguments.done" | "response.custom_tool_call_input.done",
            ) => {
                if let Some(at) = self.call(&event)? {
                    let open = &mut self.calls[at].open;
                    open.set(arguments(given(event.arguments).or(event.input)));
                    // It is sent of a response that was cut off as well, and ahead of arguments that
                    // come with the item.
                    if !matches!(open.given(), Given::Nothing | Given::Braces) {
                        self.complete(at, deltas);
                    }
                }
            }
            Some("response.output_item.done") => {
                if let Some(item) = given(event.item) {
                    let at = self.item(number(event.output_index), item)?;
                    self.item_done(at, item, deltas)?;
                }
            }
            Some("response.output_text.delta" | "response.refusal.delta") => {
                let piece = string(event.delta).unwrap_or_default();
                self.say(piece, deltas);
            }
            Some(
                "response.completed"
                | "response.done"
                | "response.incomplete"
                | "response.failed"
                | "response.cancelled",
            ) => self.ended(kind.as_deref(), given(event.response), deltas)?,
            Some("error" | "response.error") => {
                return Err(match given(event.error) {
                    Some(error) => api_error(error),
                    None => DecodeError::Api {
                        kind: label(event.code).unwrap_or_default(),
                        message: label(event.message).unwrap_or_default(),
                    },
                });
            }
            // Some proxies have no type for their errors.
            None => {
                if let Some(error) = event.error.filter(|error| !is_blank(error)) {
                    return Err(api_error(error));
                }
            }
            // There are many more, and there will be others.
            _ => {}
        }
        Ok(())
    }

    fn end(&self) -> End {
        match self.is_over {
            true => End::Over,
            false => End::Open,
        }
    }

    fn close(&mut self, by: Close, deltas: &mut Vec<Delta>) {
        if by == Close::Done {
            self.over(false, deltas);
        }
    }

    fn unread(&self) -> Option<String> {
        let mut lost = self.calls.iter().filter(|call| call.is_orphan);
        let lost = lost.find(|call| call.open.id.is_none())?;
        let item: Option<Item> = object(&self.slots[lost.slot].began).ok();
        let id = item.and_then(|item| name(item.id)).unwrap_or_default();
        Some(format!(
            "the arguments of item `{id}` arrived without the call or its `call_id`"
        ))
    }

    fn finish(mut self: Box<Self>, _: &mut Vec<Delta>) -> Received {
        for call in &mut self.calls {
            self.places.end(&mut call.open);
        }
        let calls = self.calls.iter();
        let (calls, cut) = by_place(calls.map(|call| (&call.open, self.tool_call(call))));
        let slots = self.slots.iter();
        let mut messages: Vec<_> = slots
            .filter_map(|slot| match slot.call {
                Some(at) if self.calls[at].open.is_copy => None,
                Some(at) => Some(self.calls[at].item(slot)),
                None => slot.done.clone(),
            })
            .collect();
        let is_said = |slot: &Slot| slot.kind == "message" && slot.done.is_some();
        if !self.text.is_empty() && !self.slots.iter().any(is_said) {
            // Of an item whose end never came.
            let content = json!([{ "type": "output_text", "text": self.text }]);
            let message = json!({ "type": "message", "role": "assistant", "content": content });
            messages.insert(0, raw(&message));
        }
        let has_calls = !calls.is_empty();
        let stop = self.stop.clone().unwrap_or(match has_calls {
            true => Stop::Calls,
            false => Stop::End,
        });
        Received {
            reply: Reply {
                messages: messages.iter().map(|item| back(item)).collect(),
                carried: Map::new(),
                calls,
                cut,
                stop,
                text: self.text.clone(),
                tokens: self.tokens,
            },
            is_complete: self.is_over,
        }
    }
}

impl Stream {
    fn say(&mut self, piece: String, deltas: &mut Vec<Delta>) {
        if !piece.is_empty() {
            self.text.push_str(&piece);
            deltas.push(Delta::Text(piece));
        }
    }

    /// The call that the pieces of an event are of. If that has not been told of it begins with them.
    fn call(&mut self, event: &Event) -> Result<Option<usize>, DecodeError> {
        let (id, call_id) = (name(event.item_id), name(event.call_id));
        let index = number(event.output_index);
        let by_id = id.as_ref().and_then(|id| self.by_id.get(id).copied());
        let by_call_id = call_id
            .as_ref()
            .and_then(|id| self.by_call_id.get(id)?.last().copied());
        let by_index = index.and_then(|at| self.by_index.get(&at).copied());
        let places = [by_id, by_call_id, by_index];
        let known: Vec<usize> = places.into_iter().flatten().collect();
        if !known.is_empty() {
            return Ok(known.into_iter().find_map(|at| self.slots[at].call));
        }
        // What says nothing of its place is about the last.
        let last = self.calls.last();
        let is_elsewhere = |call: &Call| index.is_some() && self.slots[call.slot].has_place;
        if last.is_some_and(|call| !call.has_ended && !is_elsewhere(call)) {
            return Ok(Some(self.calls.len() - 1));
        }
        if last.is_some() && id.is_none() && call_id.is_none() && index.is_none() {
            return Ok(None);
        }
        let is_text = string(event.r#type).is_some_and(|kind| kind.contains("custom_tool_call"));
        let kind = match is_text {
            true => "custom_tool_call",
            false => "function_call",
        };
        let called = name(event.name);
        let item = json!({ "type": kind, "id": id, "call_id": call_id, "name": called });
        let at = self.item(index, &raw(&item))?;
        let call = self.slots[at].call;
        if let Some(call) = call {
            self.calls[call].is_orphan = true;
        }
        Ok(call)
    }

    /// The item that this is, if it has been told of.
    fn known(&self, index: Option<u64>, item: &Item) -> Option<usize> {
        let kind = item.kind();
        let (id, call_id, called) = (name(item.id), name(item.call_id), name(item.name));
        let differs = |one: Option<&String>, other: Option<&String>| {
            one.is_some() && other.is_some() && one != other
        };
        let fits = |at: &usize| {
            let slot = &self.slots[*at];
            let open = slot.call.map(|call| &self.calls[call].open);
            let known = open.map(|open| &open.name).filter(|name| !name.is_empty());
            (slot.kind == kind || kind.is_empty())
                && !differs(slot.call_id.as_ref(), call_id.as_ref())
                && !differs(known, called.as_ref())
        };
        let by_id = id.and_then(|id| self.by_id.get(&id).copied());
        if let Some(at) = by_id.filter(fits) {
            return Some(at);
        }
        // By less than its own id it is another if that one has ended; and ids of calls may repeat, so
        // that they tell only where no place does.
        let by_index = index.and_then(|index| self.by_index.get(&index).copied());
        let by_call_id = call_id
            .as_ref()
            .and_then(|id| self.by_call_id.get(id)?.last().copied());
        let by_call_id = by_call_id.filter(|at| index.is_none() || !self.slots[*at].has_place);
        by_index
            .or(by_call_id)
            .filter(fits)
            .filter(|at| self.slots[*at].done.is_none())
    }

    /// An item is told of; where it is.
    fn item(&mut self, index: Option<u64>, raw: &RawValue) -> Result<usize, DecodeError> {
        let item: Item = object(raw)?;
        let known = self.known(index, &item);
        let at = known.unwrap_or_else(|| self.begin(&item, raw));
        if let Some(id) = name(item.id) {
            self.by_id.insert(id, at);
        }
        if let Some(index) = index {
            self.by_index.insert(index, at);
            self.slots[at].has_place = true;
        }
        if let Some(call) = self.slots[at].call {
            self.told(call, &item, raw);
        }
        Ok(at)
    }

    /// A call is told of whose arguments came ahead of it.
    fn told(&mut self, at: usize, item: &Item, raw: &RawValue) {
        let call = &mut self.calls[at];
        if !call.is_orphan {
            return;
        }
        let slot = &mut self.slots[call.slot];
        slot.began = raw.to_owned();
        if call.open.name.is_empty() {
            call.open.name = name(item.name).unwrap_or_default();
        }
        if let Some(call_id) = name(item.call_id).filter(|_| call.open.id.is_none()) {
            call.open.id = Some(call_id.clone());
            slot.call_id = Some(call_id.clone());
            self.by_call_id.entry(call_id).or_default().push(call.slot);
        }
        call.is_orphan = call.open.id.is_none();
    }

    /// The item, of those whose arguments came without them, that this one of the output is.
    fn orphan(&self, place: usize, item: &Item) -> Option<usize> {
        let by_id = name(item.id).and_then(|id| self.by_id.get(&id).copied());
        let by_index = self.by_index.get(&(place as u64)).copied();
        let is_orphan = |at: &usize| {
            self.slots[*at]
                .call
                .is_some_and(|call| self.calls[call].is_orphan)
        };
        by_id.filter(is_orphan).or(by_index.filter(is_orphan))
    }

    fn begin(&mut self, item: &Item, began: &RawValue) -> usize {
        let kind = item.kind();
        let call_id = name(item.call_id);
        let at = self.slots.len();
        let call = item.is_call().then_some(self.calls.len());
        if call.is_some() {
            let called = name(item.name).unwrap_or_default();
            let mut open = Open::new(call_id.clone(), called, item.given());
            open.is_text = kind == "custom_tool_call";
            open.place = self.places.begin(call_id.as_deref(), &open.name);
            self.calls.push(Call {
                open,
                slot: at,
                is_orphan: false,
                has_ended: false,
                is_incomplete: false,
            });
        }
        if let Some(call_id) = &call_id {
            self.by_call_id.entry(call_id.clone()).or_default().push(at);
        }
        self.slots.push(Slot {
            kind,
            call_id,
            has_place: false,
            began: began.to_owned(),
            done: None,
            call,
        });
        at
    }

    fn item_done(
        &mut self,
        at: usize,
        raw: &RawValue,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        let item: Item = object(raw)?;
        let slot = &mut self.slots[at];
        // The first end counts: a call may have been handed on with it.
        if slot.done.is_none() {
            slot.done = Some(raw.to_owned());
        }
        let Some(position) = slot.call else {
            if self.text.is_empty() {
                // Whoever sends no deltas says it here.
                let text = object(raw).map(|item| item_text(&item)).unwrap_or_default();
                self.say(text, deltas);
            }
            return Ok(());
        };
        let call = &mut self.calls[position];
        if let Some(called) = name(item.name).filter(|_| call.open.name.is_empty()) {
            call.open.name = called;
        }
        call.is_incomplete = string(item.status).as_deref() == Some("incomplete");
        call.has_ended = !call.is_incomplete;
        if call.has_ended {
            call.open.set(item.given());
            if call.open.given() != Given::Nothing {
                self.complete(position, deltas);
            }
        }
        Ok(())
    }

    /// The response is over, for that reason.
    fn ended(
        &mut self,
        kind: Option<&str>,
        response: Option<&RawValue>,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        let read: Option<Response> = response.and_then(|response| object(response).ok());
        if let Some(response) = &read {
            ended(response)?;
            self.tokens = tokens(response.usage);
        }
        let failed = kind.and_then(|kind| kind.strip_prefix("response."));
        if let Some(failed @ ("failed" | "cancelled")) = failed {
            return Err(DecodeError::Api {
                kind: failed.to_owned(),
                message: format!("the response {failed}"),
            });
        }
        let output = read.as_ref().and_then(|response| response.output);
        let output = output
            .and_then(|output| array(output).ok())
            .unwrap_or_default();
        self.output(&output, deltas)?;
        let has_calls = !self.calls.is_empty();
        let stopped = read.map(|response| stop(&response, has_calls));
        let is_incomplete = kind == Some("response.incomplete");
        self.stop = match stopped {
            Some(Stop::Calls | Stop::End) | None if is_incomplete => {
                Some(Stop::Other("incomplete".to_owned()))
            }
            stopped => stopped,
        };
        self.over(!is_incomplete, deltas);
        Ok(())
    }

    /// All of the output once more, at the end: some servers have their calls nowhere else, others have
    /// nothing in it, and the ids in it may be other ones.
    fn output(&mut self, output: &[&RawValue], deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let told = self.slots.len();
        // How many calls of an id there were: the second in the output is the second that was told of.
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (number, raw) in output.iter().enumerate() {
            let item: Item = object(raw)?;
            let call_id = name(item.call_id).filter(|_| item.is_call());
            let at = if let Some(call_id) = call_id {
                let same = self.by_call_id.get(&call_id);
                let nth = seen.entry(call_id).or_default();
                *nth += 1;
                same.and_then(|same| same.get(*nth - 1))
                    .copied()
                    .filter(|at| *at < told)
                    .or_else(|| self.orphan(number, &item))
            } else {
                let in_place = self.slots.get(number).filter(|_| output.len() == told);
                let in_place = in_place.filter(|slot| slot.kind == item.kind());
                let by_id = name(item.id).and_then(|id| self.by_id.get(&id).copied());
                by_id.or(in_place.map(|_| number))
            };
            let at = match at {
                Some(at) if self.slots[at].done.is_some() => continue,
                Some(at) => {
                    if let Some(call) = self.slots[at].call {
                        self.told(call, &item, raw);
                    }
                    at
                }
                None => {
                    let text = object(raw).map(|item| item_text(&item)).unwrap_or_default();
                    // What was said is there already, if under another id.
                    if item.kind() == "message" && (text.is_empty() || !self.text.is_empty()) {
                        continue;
                    }
                    self.begin(&item, raw)
                }
            };
            self.item_done(at, raw, deltas)?;
        }
        Ok(())
    }

    fn over(&mut self, is_well: bool, deltas: &mut Vec<Delta>) {
        self.is_over = true;
        self.places.over();
        for position in 0..self.calls.len() {
            let call = &self.calls[position];
            let is_certain = match call.open.given() {
                _ if call.is_incomplete => false,
                Given::Whole => true,
                Given::Braces => is_well || call.has_ended,
                // What cut the response off there has cut off the arguments too.
                Given::Nothing => is_well || call.has_ended && self.stop.is_none(),
                Given::Part => is_well,
            };
            if is_certain {
                self.complete(position, deltas);
            }
        }
    }

    fn complete(&mut self, position: usize, deltas: &mut Vec<Delta>) {
        let call = &self.calls[position];
        // Of what is not known yet, the rest may come.
        let is_known = !call.is_orphan
            || call.open.id.is_some() && (self.is_over || !call.open.name.is_empty());
        if !self.places.has_taken(&call.open) && is_known {
            let tool_call = self.tool_call(call);
            let open = &mut self.calls[position].open;
            self.places.complete(open, tool_call, deltas);
        }
    }

    fn tool_call(&self, call: &Call) -> ToolCall {
        let item = call.item(&self.slots[call.slot]);
        call.open.call(&OpenaiResponses, item.get())
    }
}
