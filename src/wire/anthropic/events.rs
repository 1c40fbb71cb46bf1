//! A message that comes as an event stream: blocks, and what is added to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Block, Message, Usage, assistant, call, carried, stop, tokens};
use crate::wire::error::{DecodeError, shape};
use crate::wire::stream::{Open, taken};
use crate::wire::{
    Delta, Received, Reply, StreamDecoder, Tokens, api_error, count, document, object, raw, string,
};

#[derive(Deserialize)]
struct Event<'a> {
    r#type: String,
    index: Option<u64>,
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
struct BlockDelta<'a> {
    #[serde(default)]
    r#type: String,
    text: Option<String>,
    partial_json: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    #[serde(borrow)]
    citation: Option<&'a RawValue>,
    #[serde(borrow)]
    container: Option<&'a RawValue>,
    stop_reason: Option<String>,
}

/// A block that comes in pieces: as it began, with what has come since.
struct OpenBlock {
    began: Map<String, Value>,
    /// Its place among the calls, if it is one.
    position: Option<usize>,
    /// The JSON of a call that is not ours to run.
    json: String,
}

#[derive(Default)]
pub(super) struct Stream {
    text: String,
    blocks: BTreeMap<u64, OpenBlock>,
    calls: Vec<Open>,
    stop_reason: Option<String>,
    is_complete: bool,
    tokens: Tokens,
    carried: Map<String, Value>,
}

impl StreamDecoder for Stream {
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let event: Event = object(document(data)?)?;
        match &*event.r#type {
            "message_start" => {
                if let Some(message) = event.message {
                    let message: Message = object(message)?;
                    self.tokens = tokens(message.usage);
                    self.carried.extend(carried(message.container));
                }
            }
            "content_block_start" => {
                let (Some(index), Some(block)) = (event.index, event.content_block) else {
                    return Err(shape("a block without its index or contents"));
                };
                self.begin(index, block, deltas)?;
            }
            "content_block_delta" => {
                if let (Some(index), Some(delta)) = (event.index, event.delta) {
                    self.delta(index, object(delta)?, deltas);
                }
            }
            "content_block_stop" => {
                let block = event.index.and_then(|index| self.blocks.get(&index));
                // One that has none yet may have been cut off before the first.
                if let Some(position) = block.and_then(|block| block.position)
                    && !self.calls[position].arguments.is_empty()
                {
                    self.calls[position].complete(position, deltas);
                }
            }
            "message_delta" => {
                if let Some(delta) = event.delta {
                    let delta: BlockDelta = object(delta)?;
                    self.carried.extend(carried(delta.container));
                    self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
                    let is_early = stop(self.stop_reason.clone(), true).is_early();
                    if self.stop_reason.is_some() && !is_early {
                        for (position, call) in self.calls.iter_mut().enumerate() {
                            call.complete(position, deltas);
                        }
                    }
                }
                let usage: Usage = event
                    .usage
                    .and_then(|usage| object(usage).ok())
                    .unwrap_or_default();
                if usage.input_tokens.is_some() {
                    self.tokens.input = count(usage.input_tokens);
                }
                if usage.output_tokens.is_some() {
                    self.tokens.output = count(usage.output_tokens);
                }
            }
            "message_stop" => self.is_complete = true,
            "error" => {
                return Err(match event.error {
                    Some(error) => api_error(error),
                    None => shape("an error without its message"),
                });
            }
            // `ping`, and what is not yet known.
            _ => {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Vec<Delta>) -> Received {
        let (calls, cut) = taken(&self.calls);
        let blocks = self.blocks.into_values();
        let blocks: Vec<Box<RawValue>> = blocks
            .filter_map(|block| block.whole(&self.calls))
            .collect();
        Received {
            reply: Reply {
                messages: assistant(&blocks),
                carried: self.carried,
                text: self.text,
                stop: stop(self.stop_reason, !calls.is_empty()),
                calls,
                cut,
                tokens: self.tokens,
            },
            is_complete: self.is_complete,
        }
    }
}

impl Stream {
    fn begin(
        &mut self,
        index: u64,
        began: &RawValue,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        let block: Block = object(began)?;
        let position = call(&block).map(|call| {
            let mut open = Open::new(call.id, call.name);
            open.origin = call.origin;
            // Whoever sends no pieces sends the whole at once.
            if call.arguments != "{}" {
                open.push(&call.arguments);
            }
            self.calls.push(open);
            self.calls.len() - 1
        });
        if let Some(text) = string(block.text).filter(|text| !text.is_empty()) {
            self.text.push_str(&text);
            deltas.push(Delta::Text(text));
        }
        let block = OpenBlock {
            began: object(began)?,
            position,
            json: String::new(),
        };
        // Whoever counts wrong must not make a call vanish.
        if let Some(former) = self.blocks.insert(index, block) {
            let free = self.blocks.keys().last().map_or(0, |last| last + 1);
            self.blocks.insert(free, former);
        }
        Ok(())
    }

    fn delta(&mut self, index: u64, delta: BlockDelta, deltas: &mut Vec<Delta>) {
        let Some(block) = self.blocks.get_mut(&index) else {
            return;
        };
        match &*delta.r#type {
            "text_delta" => {
                let text = delta.text.unwrap_or_default();
                block.append("text", &text);
                self.text.push_str(&text);
                if !text.is_empty() {
                    deltas.push(Delta::Text(text));
                }
            }
            "input_json_delta" => {
                let json = delta.partial_json.unwrap_or_default();
                match block.position {
                    Some(position) => self.calls[position].push(&json),
                    None => block.json.push_str(&json),
                }
            }
            "thinking_delta" => block.append("thinking", &delta.thinking.unwrap_or_default()),
            "signature_delta" => block.append("signature", &delta.signature.unwrap_or_default()),
            "citations_delta" => {
                let citation = delta
                    .citation
                    .and_then(|raw| serde_json::from_str(raw.get()).ok());
                let citations = block.began.entry("citations").or_insert(json!([]));
                if let (Value::Array(citations), Some(citation)) = (citations, citation) {
                    citations.push(citation);
                }
            }
            _ => {}
        }
    }
}

impl OpenBlock {
    fn append(&mut self, key: &str, piece: &str) {
        if let Value::String(text) = self.began.entry(key).or_insert(json!("")) {
            text.push_str(piece);
        }
    }

    /// As the API wants it back; nothing of what it would refuse.
    fn whole(mut self, calls: &[Open]) -> Option<Box<RawValue>> {
        let json = match self.position {
            Some(position) => &calls[position].arguments,
            None => &self.json,
        };
        if self.began.get("text") == Some(&json!("")) {
            return None;
        }
        if json.is_empty() {
            return Some(raw(&self.began));
        }
        let is_object = serde_json::from_str::<Map<String, Value>>(json).is_ok();
        let input = match RawValue::from_string(json.clone()) {
            Ok(input) if is_object => input,
            // As the API's documentation on fine-grained streaming asks for.
            _ => raw(&json!({ "INVALID_JSON": json })),
        };
        self.began.remove("input");
        #[derive(Serialize)]
        struct Called<'a> {
            #[serde(flatten)]
            began: &'a Map<String, Value>,
            input: &'a RawValue,
        }
        Some(raw(&Called {
            began: &self.began,
            input: &input,
        }))
    }
}
