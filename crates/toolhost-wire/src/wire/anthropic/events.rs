//! A message that comes as an event stream: blocks, and what is added to them.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::block::{Block, append};
use super::{assistant, back, carried, stop, tokens};
use crate::wire::copies::{Places, by_place};
use crate::wire::error::{DecodeError, shape};
use crate::wire::lenient::{given, is_blank, name, number, reason};
use crate::wire::members::Members;
use crate::wire::open::{Given, Open};
use crate::wire::{
    Close, Delta, End, Received, Reply, StreamDecoder, Tokens, api_error, arguments, array,
    document, object, string,
};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    container: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BlockStart<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens: Option<&'a RawValue>,
}

/// More often it is not said why a message ended; who says it more often means harm.
const MOST_REASONS: u8 = 16;

#[derive(Default)]
pub(super) struct Stream {
    text: String,
    blocks: Vec<Block>,
    /// The last block of each index.
    by_index: HashMap<u64, usize>,
    /// The blocks that are calls.
    calls: Vec<usize>,
    places: Places,
    /// How many of them were not handed on.
    open: usize,
    stop_reason: Option<String>,
    /// How often that was said.
    reasons: u8,
    is_over: bool,
    /// A piece of a call came that could be of several: none that was open then is known to be whole.
    lost: bool,
    tokens: Tokens,
    carried: Map<String, Value>,
}

impl super::super::Sealed for Stream {}

impl StreamDecoder for Stream {
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let event: Event = object(document(data)?)?;
        let index = number(event.index);
        match string(event.r#type).as_deref() {
            Some("message_start") => {
                if let Some(message) = given(event.message) {
                    self.message(object(message)?, deltas)?;
                }
            }
            // Of a server that does not stream.
            Some("message") => self.message(object(document(data)?)?, deltas)?,
            Some("content_block_start") => match given(event.content_block) {
                Some(block) => self.begin(index, block, deltas)?,
                None => return Err(shape("a block without its contents")),
            },
            Some("content_block_delta") => {
                if let Some(delta) = given(event.delta) {
                    let Members(members) = object(delta)?;
                    self.delta(index, members, deltas);
                }
            }
            Some("content_block_stop") => self.block_ended(index, deltas),
            Some("message_delta") => {
                if let Some(usage) = event.usage.and_then(|usage| object::<Usage>(usage).ok()) {
                    let Tokens { input, output } = &mut self.tokens;
                    *input = number(usage.input_tokens).unwrap_or(*input);
                    *output = number(usage.output_tokens).unwrap_or(*output);
                }
                let delta = given(event.delta).and_then(|delta| object::<Start>(delta).ok());
                if let Some(delta) = delta {
                    self.carried.extend(carried(delta.container));
                    if let Some(reason) = reason(delta.stop_reason) {
                        self.said(reason, deltas);
                    }
                }
            }
            Some("message_stop") => self.over(deltas),
            Some("error") => {
                return Err(match given(event.error) {
                    Some(error) => api_error(error),
                    None => shape("an error without its message"),
                });
            }
            // `ping`, and what is not yet known. Some proxies have no type for their errors.
            None if given(event.error).is_some() => {
                return Err(event.error.map(api_error).expect("it is given"));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&self) -> End {
        match &self.stop_reason {
            _ if self.is_over => End::Over,
            Some(_) if !self.blocks.is_empty() => End::Said {
                doubtful: self.open > 0 && !self.is_early(),
            },
            _ => End::Open,
        }
    }

    fn close(&mut self, by: Close, deltas: &mut Vec<Delta>) {
        if by == Close::Done || self.stop_reason.is_some() {
            self.over(deltas);
        }
    }

    fn finish(mut self: Box<Self>, deltas: &mut Vec<Delta>) -> Received {
        if self.stop_reason.is_some() {
            self.over(deltas);
        }
        for at in &self.calls {
            if let Some(input) = &mut self.blocks[*at].input {
                self.places.end(input);
            }
        }
        let blocks = self.blocks.iter().filter(|block| !block.is_copy());
        let blocks: Vec<_> = blocks.map(Block::whole).collect();
        let blocks: Vec<_> = blocks.iter().filter_map(|block| back(block)).collect();
        let calls = self.calls.iter().map(|at| &self.blocks[*at]);
        let (calls, cut) =
            by_place(calls.filter_map(|block| Some((block.input.as_ref()?, block.call()?))));
        Received {
            reply: Reply {
                messages: assistant(&blocks),
                carried: self.carried,
                stop: stop(self.stop_reason, !calls.is_empty()),
                text: self.text,
                calls,
                cut,
                tokens: self.tokens,
            },
            is_complete: self.is_over,
        }
    }
}

impl Stream {
    fn is_early(&self) -> bool {
        stop(self.stop_reason.clone(), true).is_early()
    }

    fn message(&mut self, message: Start, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if message.usage.is_some() {
            self.tokens = tokens(message.usage);
        }
        self.carried.extend(carried(message.container));
        let content = message.content.and_then(|content| array(content).ok());
        for block in content.unwrap_or_default() {
            self.begin(None, block, deltas)?;
            self.block_ended(None, deltas);
        }
        if let Some(reason) = reason(message.stop_reason) {
            self.said(reason, deltas);
        }
        Ok(())
    }

    fn said(&mut self, reason: String, deltas: &mut Vec<Delta>) {
        self.stop_reason = Some(reason);
        self.reasons = self.reasons.saturating_add(1);
        if self.reasons < MOST_REASONS {
            self.complete(deltas);
        }
    }

    /// Hands on what is open, as far as the reason for the end says that it is whole. A call that has
    /// nothing, and no end of its own either, waits for the message's end.
    fn complete(&mut self, deltas: &mut Vec<Delta>) {
        let (is_over, is_early) = (self.is_over, self.is_early());
        let has_reason = self.stop_reason.is_some();
        for at in &self.calls {
            let block = &mut self.blocks[*at];
            let is_certain = match block.given() {
                _ if self.lost => false,
                Given::Whole => true,
                _ if is_early => false,
                Given::Braces => true,
                Given::Nothing if has_reason => is_over || block.has_ended,
                Given::Nothing => block.has_ended,
                // Whoever does not say why it ended may have been cut off itself.
                Given::Part => has_reason && (is_over || block.has_ended),
            };
            if is_certain {
                self.open -= usize::from(block.complete(&mut self.places, deltas));
            }
        }
    }

    fn over(&mut self, deltas: &mut Vec<Delta>) {
        self.is_over = true;
        self.places.over();
        self.complete(deltas);
    }

    fn begin(
        &mut self,
        index: Option<u64>,
        began: &RawValue,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        let block: BlockStart = object(began)?;
        let kind = string(block.r#type).unwrap_or_default();
        // There are proxies that begin a block with each piece of it.
        let known = index.and_then(|index| self.by_index.get(&index));
        if let Some(known) = known.map(|at| &self.blocks[*at])
            && !known.has_ended
            && let Some(input) = &known.input
            && input.id.is_some()
            && input.id == name(block.id)
        {
            return Ok(());
        }
        let is_call = kind == "tool_use";
        let has_input = is_call || block.input.is_some() || kind.ends_with("tool_use");
        let input = has_input.then(|| {
            let called = name(block.name).unwrap_or_default();
            Open::new(name(block.id), called, arguments(block.input))
        });
        let text = string(block.text).filter(|text| !text.is_empty());
        if let Some(text) = text.filter(|_| kind == "text") {
            self.text.push_str(&text);
            deltas.push(Delta::Text(text));
        }
        self.push(
            index,
            Block {
                kind,
                began: object(began)?,
                input,
                is_call,
                has_ended: false,
                has_more: false,
            },
        );
        Ok(())
    }

    fn push(&mut self, index: Option<u64>, mut block: Block) -> usize {
        let at = self.blocks.len();
        if let Some(input) = block.input.as_mut().filter(|_| block.is_call) {
            input.place = self.places.begin(input.id.as_deref(), &input.name);
            self.calls.push(at);
            self.open += 1;
        }
        self.blocks.push(block);
        let index = index.unwrap_or(at as u64);
        self.by_index.insert(index, at);
        at
    }

    /// The block of an index, or the last; of several that count alike the last that takes such a piece.
    fn block(&self, index: Option<u64>, takes: impl Fn(&Block) -> bool) -> Option<usize> {
        let by_index = index.map(|index| self.by_index.get(&index).copied());
        let at = by_index.unwrap_or(self.blocks.len().checked_sub(1));
        at.filter(|at| takes(&self.blocks[*at]))
    }

    fn delta(
        &mut self,
        index: Option<u64>,
        members: Vec<(String, &RawValue)>,
        deltas: &mut Vec<Delta>,
    ) {
        let kind = members.iter().find(|(key, _)| key == "type");
        let kind = kind.and_then(|(_, kind)| string(Some(kind)));
        let kind = kind.unwrap_or_default();
        let takes: &dyn Fn(&Block) -> bool = match &*kind {
            "text_delta" | "citations_delta" => &|block| block.kind == "text",
            "thinking_delta" | "signature_delta" => &|block| block.kind == "thinking",
            "input_json_delta" => &|block| block.input.is_some(),
            _ => &|_| true,
        };
        let at = match (self.block(index, takes), &*kind) {
            (Some(at), _) => at,
            // Some servers begin no block for what they say, or count it to another one.
            (None, "text_delta" | "thinking_delta") => {
                if members
                    .iter()
                    .all(|(key, value)| key == "type" || is_blank(value))
                {
                    return;
                }
                let kind = kind.trim_end_matches("_delta");
                let began = json!({ "type": kind, kind: "" });
                let Value::Object(began) = began else { return };
                self.push(index, Block::plain(kind, began))
            }
            (None, "input_json_delta") => {
                // An index that is no call's: which it is can be told only where one alone is open.
                let calls = self.calls.iter().copied();
                let mut open = calls.filter(|at| !self.blocks[*at].has_ended);
                match (open.next(), open.next()) {
                    (Some(only), None) => only,
                    (None, _) => return,
                    (Some(_), Some(_)) => {
                        self.lost = true;
                        return;
                    }
                }
            }
            (None, _) => return,
        };
        let block = &mut self.blocks[at];
        let is_first = !std::mem::replace(&mut block.has_more, true);
        for (key, value) in members {
            match (&*kind, &*key) {
                (_, "type") => {}
                ("text_delta", "text") => {
                    let text = string(Some(value)).unwrap_or_default();
                    // What the block began with may come again.
                    let is_again = is_first && block.began.get("text") == Some(&json!(text));
                    if !text.is_empty() && !is_again {
                        append(&mut block.began, "text", &text);
                        self.text.push_str(&text);
                        deltas.push(Delta::Text(text));
                    }
                }
                ("input_json_delta", "partial_json") => {
                    if let Some(input) = &mut block.input {
                        input.push(&arguments(Some(value)));
                    }
                }
                ("signature_delta", "signature") => {
                    if let Some(signature) = string(Some(value)).filter(|text| !text.is_empty()) {
                        block.began.insert(key, json!(signature));
                    }
                }
                ("citations_delta", "citation") => {
                    let citation = serde_json::from_str::<Value>(value.get()).ok();
                    let citations = block.began.entry("citations").or_insert(json!([]));
                    // It may have begun as null.
                    if !citations.is_array() {
                        *citations = json!([]);
                    }
                    if let (Value::Array(citations), Some(citation)) = (citations, citation) {
                        citations.push(citation);
                    }
                }
                // A piece of a kind that is new: texts are added, the last of anything else stands.
                _ => match (string(Some(value)), serde_json::from_str(value.get())) {
                    (Some(piece), _) => append(&mut block.began, &key, &piece),
                    (None, Ok(value)) => drop(block.began.insert(key, value)),
                    (None, Err(_)) => {}
                },
            }
        }
    }

    fn block_ended(&mut self, index: Option<u64>, deltas: &mut Vec<Delta>) {
        // One that nobody has heard of ends no other.
        let is_known = index.is_none_or(|index| self.by_index.contains_key(&index));
        let Some(at) = self.block(index, |_| true).filter(|_| is_known) else {
            return;
        };
        let block = &mut self.blocks[at];
        block.has_ended = true;
        // One that has nothing yet may have been cut off before it had.
        if block.given() != Given::Nothing && !self.lost {
            self.open -= usize::from(block.complete(&mut self.places, deltas));
        }
    }
}
