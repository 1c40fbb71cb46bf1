//! Anthropic Messages, as <https://docs.anthropic.com/en/api/messages> has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer::{Piece, Takes, base64};
use super::error::{DecodeError, shape};
use super::json::Detail;
use super::request::Body;
use super::stream::{Open, taken};
use super::{
    Answer, Api, Delta, NameRule, Names, Received, Reply, Request, Stop, StreamDecoder, Tokens,
    ToolChoice, Wire, api_error, arguments, array, document, label, object, raw, string,
};
use crate::tool::{Tool, ToolCall};

pub(super) struct Anthropic;

/// The API wants a bound on every answer.
const MAX_TOKENS: u64 = 8192;

/// What a result may hold beside text.
const TAKES: Takes = Takes {
    images: &["image/png", "image/jpeg", "image/webp", "image/gif"],
    documents: &["application/pdf"],
};

#[derive(Serialize)]
struct Declaration<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
}

#[derive(Serialize)]
struct ToolResultBlock<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_use_id: Option<&'a str>,
    content: Value,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_error: bool,
    #[serde(flatten)]
    detail: Option<Detail<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    stop_reason: Option<String>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block<'a> {
    r#type: Option<String>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

impl Wire for Anthropic {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        let document = document(text)?;
        if document.get().starts_with('[') {
            return calls(document);
        }
        let block: Block = object(document)?;
        if let Some(call) = call(&block) {
            return Ok(vec![call]);
        }
        let message: Message = object(document)?;
        match (message.content, message.error) {
            (Some(content), _) if content.get().starts_with('[') => calls(content),
            (None, Some(error)) => Err(api_error(error)),
            _ => Ok(Vec::new()),
        }
    }

    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue> {
        let declare = |tool: &&Tool| {
            raw(&Declaration {
                name: names.wire(&tool.name),
                description: &tool.description,
                input_schema: &tool.input_schema,
            })
        };
        raw(&tools.iter().map(declare).collect::<Vec<_>>())
    }

    fn answer(&self, answer: &Answer) -> Box<RawValue> {
        let content = match &answer.pieces(&TAKES)[..] {
            [Piece::Text(text)] => json!(text),
            // The API refuses empty texts among blocks.
            pieces => pieces.iter().filter_map(block).collect(),
        };
        raw(&ToolResultBlock {
            r#type: "tool_result",
            tool_use_id: answer.id(),
            content,
            is_error: answer.is_error(),
            detail: answer.detail(),
        })
    }

    /// The API wants all results in the one message that comes next.
    fn messages(&self, answers: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
        #[derive(Serialize)]
        struct User {
            role: &'static str,
            content: Vec<Box<RawValue>>,
        }
        vec![raw(&User {
            role: "user",
            content: answers,
        })]
    }

    fn name_rule(&self) -> Option<NameRule> {
        Some(NameRule {
            begins_with_any: true,
            longest: 64,
        })
    }
}

fn block(piece: &Piece) -> Option<Value> {
    let source = |kind: &str, bytes: &[u8]| json!({ "type": "base64", "media_type": kind, "data": base64(bytes) });
    Some(match piece {
        Piece::Text(text) if text.is_empty() => return None,
        Piece::Text(text) => json!({ "type": "text", "text": text }),
        Piece::Image(media) => {
            json!({ "type": "image", "source": source(&media.mime_type, &media.data) })
        }
        Piece::Document(_, kind, bytes) => {
            json!({ "type": "document", "source": source(kind, bytes) })
        }
    })
}

fn calls(content: &RawValue) -> Result<Vec<ToolCall>, DecodeError> {
    let mut calls = Vec::new();
    for block in array(content)? {
        calls.extend(call(&object(block)?));
    }
    Ok(calls)
}

/// The call that a block is, if it is one.
fn call(block: &Block) -> Option<ToolCall> {
    (block.r#type.as_deref() == Some("tool_use")).then(|| ToolCall {
        id: label(block.id),
        name: label(block.name).unwrap_or_default(),
        arguments: arguments(block.input),
    })
}

impl Api for Anthropic {
    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let message: Message = object(document(text)?)?;
        if let Some(error) = message.error {
            return Err(api_error(error));
        }
        let Some(content) = message.content else {
            return Err(shape("an object without `content`"));
        };
        let blocks = array(content)?;
        let mut text = String::new();
        let mut ends_in_call = false;
        for raw in &blocks {
            let block: Block = object(raw)?;
            if block.r#type.as_deref() == Some("text") {
                text.push_str(&string(block.text).unwrap_or_default());
            }
            ends_in_call = call(&block).is_some();
        }
        let calls = calls(content)?;
        let stop = stop(message.stop_reason, !calls.is_empty());
        Ok(Reply {
            messages: assistant(&blocks),
            text,
            // Its input is an object even where some of it is missing.
            cut: match stop.is_early() && ends_in_call {
                true => vec![calls.len() - 1],
                false => Vec::new(),
            },
            stop,
            calls,
            tokens: tokens(message.usage),
        })
    }

    fn stream(&self) -> Box<dyn StreamDecoder> {
        Box::<Stream>::default()
    }

    fn user(&self, text: &str) -> Box<RawValue> {
        raw(&json!({ "role": "user", "content": text }))
    }

    fn request(&self, request: &Request) -> Box<RawValue> {
        let mut body = Body::new();
        body.set("model", request.model);
        body.set("max_tokens", &request.max_tokens.unwrap_or(MAX_TOKENS));
        body.set_some("system", request.system);
        body.set("messages", request.messages);
        if let Some(tools) = request.tools {
            body.set("tools", tools);
            let mut choice = match request.tool_choice {
                ToolChoice::Auto => json!({ "type": "auto" }),
                ToolChoice::None => json!({ "type": "none" }),
                ToolChoice::Required => json!({ "type": "any" }),
                ToolChoice::Tool(name) => json!({ "type": "tool", "name": name }),
            };
            let may_call = *request.tool_choice != ToolChoice::None;
            if !request.parallel && may_call {
                choice["disable_parallel_tool_use"] = json!(true);
            }
            if *request.tool_choice != ToolChoice::Auto || !request.parallel {
                body.set("tool_choice", &choice);
            }
        }
        body.set_some("temperature", request.temperature);
        if request.stream {
            body.set("stream", &true);
        }
        body.with(request.extra)
    }
}

/// The message that blocks make; the API refuses one without any.
fn assistant<B: Serialize>(blocks: &[B]) -> Vec<Box<RawValue>> {
    #[derive(Serialize)]
    struct Assistant<'a, B> {
        role: &'static str,
        content: &'a [B],
    }
    if blocks.is_empty() {
        return Vec::new();
    }
    vec![raw(&Assistant {
        role: "assistant",
        content: blocks,
    })]
}

fn stop(reason: Option<String>, has_calls: bool) -> Stop {
    match reason.as_deref() {
        Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
        Some(reason @ "refusal") => Stop::Other(reason.to_owned()),
        _ if has_calls => Stop::Calls,
        Some("end_turn" | "stop_sequence" | "tool_use") | None => Stop::End,
        Some(other) => Stop::Other(other.to_owned()),
    }
}

fn tokens(usage: Option<&RawValue>) -> Tokens {
    let usage: Usage = usage
        .and_then(|usage| object(usage).ok())
        .unwrap_or_default();
    Tokens {
        input: usage.input_tokens.unwrap_or(0),
        output: usage.output_tokens.unwrap_or(0),
    }
}

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
struct Stream {
    text: String,
    blocks: BTreeMap<u64, OpenBlock>,
    calls: Vec<Open>,
    stop_reason: Option<String>,
    is_complete: bool,
    tokens: Tokens,
}

impl StreamDecoder for Stream {
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let event: Event = object(document(data)?)?;
        match &*event.r#type {
            "message_start" => {
                if let Some(message) = event.message {
                    let message: Message = object(message)?;
                    self.tokens = tokens(message.usage);
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
                self.tokens.input = usage.input_tokens.unwrap_or(self.tokens.input);
                self.tokens.output = usage.output_tokens.unwrap_or(self.tokens.output);
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
                    Some(position) => drop(self.calls[position].push(&json)),
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
