//! Anthropic Messages, as <https://docs.anthropic.com/en/api/messages> has it.

mod block;
mod events;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::{Piece, Takes, base64};
use super::error::{DecodeError, shape};
use super::json::Detail;
use super::request::Body;
use super::{
    Answer, Api, Names, Reply, Request, Stop, StreamDecoder, Tokens, ToolChoice, Wire, api_error,
    arguments, array, document, label, object, raw, string,
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
        resumed: None,
        meta: None,
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
        Box::<events::Stream>::default()
    }

    fn user(&self, text: &str) -> Box<RawValue> {
        raw(&json!({ "role": "user", "content": text }))
    }

    fn assistant(&self, text: &str) -> Box<RawValue> {
        raw(&json!({ "role": "assistant", "content": text }))
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
