//! A response that comes as an event stream: items, and what is added to them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, json};

use super::{Item, Response, back, call, ended, item_text, stop, tokens};
use crate::wire::error::DecodeError;
use crate::wire::stream::{Open, taken};
use crate::wire::{
    Delta, Received, Reply, Stop, StreamDecoder, Tokens, api_error, arguments, document, label,
    object, raw, string,
};

#[derive(Deserialize)]
struct Event<'a> {
    r#type: String,
    output_index: Option<u64>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
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
    calls: Vec<Open>,
    /// From an output's index to the call it is.
    by_index: BTreeMap<u64, usize>,
    /// Items that are whole, by their index.
    items: BTreeMap<u64, Box<RawValue>>,
    stop: Option<Stop>,
    tokens: Tokens,
}

impl StreamDecoder for Stream {
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if data == "[DONE]" {
            return Ok(());
        }
        let event: Event = object(document(data)?)?;
        match &*event.r#type {
            "response.output_item.added" => {
                if let Some(item) = event.item {
                    let item: Item = object(item)?;
                    self.begin(event.output_index, &item);
                }
            }
            "response.function_call_arguments.delta" => {
                if let Some(position) = self.position(event.output_index) {
                    let piece = string(event.delta).unwrap_or_default();
                    self.calls[position].push(&piece);
                }
            }
            "response.function_call_arguments.done" => {
                if let Some(position) = self.position(event.output_index) {
                    let call = &mut self.calls[position];
                    if event.arguments.is_some() && !call.is_complete {
                        call.arguments = arguments(event.arguments);
                    }
                    // It is sent of a response that was cut off as well, when there may be none yet.
                    if !call.arguments.is_empty() {
                        call.complete(position, deltas);
                    }
                }
            }
            "response.output_item.done" => {
                if let Some(item) = event.item {
                    self.item(event.output_index, item, deltas)?;
                }
            }
            "response.output_text.delta" | "response.refusal.delta" => {
                let piece = string(event.delta).unwrap_or_default();
                if !piece.is_empty() {
                    self.text.push_str(&piece);
                    deltas.push(Delta::Text(piece));
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                if let Some(response) = event.response {
                    let response: Response = object(response)?;
                    ended(&response)?;
                    self.tokens = tokens(response.usage);
                    self.stop = Some(stop(&response, !self.calls.is_empty()));
                }
            }
            "error" => {
                return Err(match event.error {
                    Some(error) => api_error(error),
                    None => DecodeError::Api {
                        kind: label(event.code).unwrap_or_default(),
                        message: label(event.message).unwrap_or_default(),
                    },
                });
            }
            // There are many more, and there will be others.
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &mut Vec<Delta>) -> Received {
        let (calls, cut) = taken(&self.calls);
        // What is left of an item whose end never came: its call has a result, which needs it.
        for (index, position) in &self.by_index {
            self.items.entry(*index).or_insert_with(|| {
                let call = &calls[*position];
                raw(&json!({
                    "type": "function_call",
                    "call_id": call.id,
                    "name": call.name,
                    "arguments": call.arguments,
                }))
            });
        }
        let is_complete = self.stop.is_some();
        Received {
            reply: Reply {
                messages: self.items.into_values().map(|item| back(&item)).collect(),
                carried: Map::new(),
                text: self.text,
                stop: self.stop.unwrap_or(Stop::End),
                calls,
                cut,
                tokens: self.tokens,
            },
            is_complete,
        }
    }
}

impl Stream {
    fn position(&self, index: Option<u64>) -> Option<usize> {
        self.by_index.get(&index?).copied()
    }

    /// A call is known from when its item is.
    fn begin(&mut self, index: Option<u64>, item: &Item) -> Option<usize> {
        let call = call(item)?;
        let index = index.unwrap_or(self.next_index());
        let known = self.by_index.get(&index).copied();
        Some(known.unwrap_or_else(|| {
            let mut open = Open::new(call.id, call.name);
            open.origin = call.origin;
            self.calls.push(open);
            self.by_index.insert(index, self.calls.len() - 1);
            self.calls.len() - 1
        }))
    }

    fn item(
        &mut self,
        index: Option<u64>,
        raw: &RawValue,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        let item: Item = object(raw)?;
        if let Some(position) = self.begin(index, &item) {
            let open = &mut self.calls[position];
            if !item.is_incomplete() {
                if let Some(call) = call(&item).filter(|_| !open.is_complete) {
                    open.arguments = call.arguments;
                }
                open.complete(position, deltas);
            }
        } else if self.text.is_empty() {
            // Whoever sends no deltas says it here.
            let text = item_text(&item);
            if !text.is_empty() {
                self.text.push_str(&text);
                deltas.push(Delta::Text(text));
            }
        }
        let index = index.unwrap_or(self.next_index());
        self.items.insert(index, raw.to_owned());
        Ok(())
    }

    fn next_index(&self) -> u64 {
        let last = self.items.keys().chain(self.by_index.keys()).max();
        last.map_or(0, |last| last + 1)
    }
}
