//! A chat completion that comes as an event stream: deltas, keyed by `index`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::messages::CalledFunction;
use super::{content_text, only, stop, tokens};
use crate::wire::error::DecodeError;
use crate::wire::stream::{Open, taken};
use crate::wire::{
    Delta, Received, Reply, Stop, StreamDecoder, Tokens, api_error, arguments, array, document,
    label, object, raw,
};

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ChunkMessage<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    refusal: Option<String>,
    /// What some servers want back beside the calls that came of it.
    reasoning_content: Option<String>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChunkCall<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    /// What some servers want back with the call.
    extra_content: Option<Value>,
}

#[derive(Default)]
pub(super) struct Stream {
    text: String,
    refusal: String,
    reasoning: String,
    calls: Vec<Open>,
    extras: Vec<Option<Value>>,
    /// From an index to the call that came last under it.
    by_index: BTreeMap<u64, usize>,
    /// The choice that has calls.
    choice: Option<u64>,
    finish_reason: Option<String>,
    is_complete: bool,
    tokens: Tokens,
}

impl StreamDecoder for Stream {
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if data == "[DONE]" {
            self.is_complete = true;
            return Ok(());
        }
        let chunk: Chunk = object(document(data)?)?;
        if let Some(error) = chunk.error {
            return Err(api_error(error));
        }
        if chunk.usage.is_some() {
            self.tokens = tokens(chunk.usage);
        }
        let choices = match chunk.choices {
            Some(choices) => array(choices)?,
            None => Vec::new(),
        };
        for choice in choices {
            let choice: ChunkChoice = object(choice)?;
            if let Some(delta) = choice.delta {
                self.delta(choice.index, object(delta)?, deltas)?;
            }
            if choice.finish_reason.is_some() {
                self.finish_reason = choice.finish_reason;
                self.is_complete = true;
                self.complete(deltas);
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, deltas: &mut Vec<Delta>) -> Received {
        if self.is_complete {
            self.complete(deltas);
        }
        let (calls, cut) = taken(&self.calls);
        let mut message = Map::new();
        message.insert("role".to_owned(), json!("assistant"));
        let content = match (&*self.text, calls.is_empty()) {
            ("", false) => Value::Null,
            (text, _) => json!(text),
        };
        message.insert("content".to_owned(), content);
        for (key, text) in [
            ("refusal", &self.refusal),
            ("reasoning_content", &self.reasoning),
        ] {
            if !text.is_empty() {
                message.insert(key.to_owned(), json!(text));
            }
        }
        if !calls.is_empty() {
            let calls = self.calls.iter().zip(self.extras);
            let calls: Vec<Value> = calls
                .map(|(call, extra)| {
                    let function = json!({ "name": call.name, "arguments": call.arguments });
                    let mut call =
                        json!({ "id": call.id, "type": "function", "function": function });
                    if let Some(extra) = extra {
                        call["extra_content"] = extra;
                    }
                    call
                })
                .collect();
            message.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        let text = match self.text.is_empty() {
            true => self.refusal,
            false => self.text,
        };
        Received {
            reply: Reply {
                messages: vec![raw(&message)],
                carried: Map::new(),
                text,
                stop: stop(self.finish_reason, !calls.is_empty()),
                calls,
                cut,
                tokens: self.tokens,
            },
            is_complete: self.is_complete,
        }
    }
}

impl Stream {
    fn delta(
        &mut self,
        choice: u64,
        message: ChunkMessage,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        let texts = [
            (content_text(message.content), &mut self.text),
            (message.refusal, &mut self.refusal),
        ];
        for (piece, whole) in texts {
            if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                whole.push_str(&piece);
                deltas.push(Delta::Text(piece));
            }
        }
        self.reasoning
            .push_str(&message.reasoning_content.unwrap_or_default());
        let Some(tool_calls) = message.tool_calls else {
            return Ok(());
        };
        for call in array(tool_calls)? {
            if *self.choice.get_or_insert(choice) != choice {
                return only(vec![Vec::new(), Vec::new()], "completion", "choices").map(drop);
            }
            self.call(object(call)?, deltas)?;
        }
        Ok(())
    }

    fn call(&mut self, piece: ChunkCall, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let id = label(piece.id).filter(|id| !id.is_empty());
        let function: Option<CalledFunction> = match piece.function {
            Some(function) => Some(object(function)?),
            None => None,
        };
        let name = function.as_ref().and_then(|function| label(function.name));
        let name = name.filter(|name| !name.is_empty());
        // Some servers count no index, or the same for all calls: then a new id begins a new call,
        // and what has none belongs to the call before.
        let index = piece.index.unwrap_or(match self.by_index.last_key_value() {
            Some((last, _)) if id.is_none() && name.is_none() => *last,
            Some((last, _)) if id.is_some() => last + 1,
            Some((last, _)) => *last + u64::from(name.is_some()),
            None => 0,
        });
        let known = self.by_index.get(&index).copied();
        let position = known.filter(|known| {
            let call = &self.calls[*known];
            id.is_none() || call.id.is_none() || call.id == id
        });
        let position = position.unwrap_or_else(|| {
            self.calls.push(Open::default());
            self.extras.push(None);
            self.by_index.insert(index, self.calls.len() - 1);
            self.calls.len() - 1
        });
        let call = &mut self.calls[position];
        if call.id.is_none() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name.unwrap_or_default();
        }
        if piece.extra_content.is_some() {
            self.extras[position] = piece.extra_content;
        }
        let given = function.and_then(|function| function.arguments);
        if call.push_until_whole(&arguments(given)) {
            call.complete(position, deltas);
        }
        Ok(())
    }

    /// The answer is over, and so are its calls, unless it was cut off.
    fn complete(&mut self, deltas: &mut Vec<Delta>) {
        if stop(self.finish_reason.clone(), true) != Stop::Calls {
            return;
        }
        for (position, call) in self.calls.iter_mut().enumerate() {
            call.complete(position, deltas);
        }
    }
}
