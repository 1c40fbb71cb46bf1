//! Anthropic Messages, as <https://docs.anthropic.com/en/api/messages> has it.

mod block;
mod events;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer::{Echo, Piece, Takes, base64};
use super::back::without_nulls;
use super::copies::{items_without_copies, without_copies};
use super::detail::Detail;
use super::error::{DecodeError, shape};
use super::history::{is_history, open_calls};
use super::leftover;
use super::request::Body;
use super::{
    Answer, Api, Names, Reply, Request, Stop, StreamDecoder, Tokens, ToolChoice, Wire, api_error,
    arguments, array, count, document, label, object, origin, raw, string, user_message,
};
use crate::tool::{CallOrigin, Tool, ToolCall};

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_callers: Vec<&'a str>,
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
    echo: Echo<'a>,
    #[serde(flatten)]
    detail: Option<Detail<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    container: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block<'a> {
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
    /// The program that calls.
    #[serde(borrow)]
    caller: Option<&'a RawValue>,
    /// Of what set of tools it is.
    #[serde(borrow)]
    toolset_name: Option<&'a RawValue>,
    /// Of a result.
    #[serde(borrow)]
    tool_use_id: Option<&'a RawValue>,
}

impl Block<'_> {
    fn kind(&self) -> Option<String> {
        string(self.r#type)
    }
}

#[derive(Default, Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens: Option<&'a RawValue>,
}

impl super::Sealed for Anthropic {}

impl Wire for Anthropic {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        let document = document(text)?;
        if document.get().starts_with('[') {
            let items = array(document)?;
            return match is_history(&items) {
                true => open_calls(&items, message_calls, answered),
                false => calls(document),
            };
        }
        let block: Block = object(document)?;
        if let Some(call) = call(&block) {
            return Ok(vec![call]);
        }
        let message: Message = object(document)?;
        match (message.content, message.error) {
            (None, Some(error)) => Err(api_error(error)),
            _ => message_calls(document),
        }
    }

    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let message: Message = object(document(text)?)?;
        if let Some(error) = message.error {
            return Err(api_error(error));
        }
        let Some(content) = message.content else {
            return Err(shape("an object without `content`"));
        };
        let content = items_without_copies(content, |block| call(&object(block).ok()?));
        let blocks = array(&content)?;
        let mut text = String::new();
        let mut ends_in_call = false;
        for raw in &blocks {
            let block: Block = object(raw)?;
            if block.kind().as_deref() == Some("text") {
                text.push_str(&string(block.text).unwrap_or_default());
            }
            ends_in_call = call(&block).is_some();
        }
        let calls = calls(&content)?;
        let stop = stop(string(message.stop_reason), !calls.is_empty());
        let blocks: Vec<_> = blocks.into_iter().filter_map(back).collect();
        Ok(Reply {
            messages: assistant(&blocks),
            carried: carried(message.container),
            text,
            // Its input is an object even where some of it is missing.
            cut: match stop.is_early() && ends_in_call {
                true => leftover::last_known(&calls).into_iter().collect(),
                false => Vec::new(),
            },
            stop,
            calls,
            tokens: tokens(message.usage),
        })
    }

    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue> {
        let declare = |tool: &&Tool| {
            raw(&Declaration {
                name: names.wire(&tool.name),
                description: &tool.description,
                input_schema: &tool.input_schema,
                allowed_callers: allowed_callers(tool),
            })
        };
        raw(&tools.iter().map(declare).collect::<Vec<_>>())
    }

    fn answer(&self, answer: &Answer) -> Box<RawValue> {
        let pieces = match answer.is_for_program() {
            true => answer.document_pieces(&TAKES),
            false => answer.pieces(&TAKES),
        };
        let content = match &pieces[..] {
            [Piece::Text(text)] => json!(text),
            // The API refuses empty texts among blocks.
            pieces => pieces.iter().filter_map(block).collect(),
        };
        raw(&ToolResultBlock {
            r#type: "tool_result",
            tool_use_id: answer.id(),
            content,
            is_error: answer.is_error(),
            echo: answer.echo(),
            detail: answer.detail(),
        })
    }

    /// The API wants all results in the one message that comes next, and nothing else in it where a
    /// program called.
    fn messages(&self, answers: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
        vec![user_message(answers)]
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

/// The program that may call a tool, unless a version is named.
const CODE_EXECUTION: &str = "code_execution_20260120";

/// Who may call a tool, in the API's words.
fn allowed_callers(tool: &Tool) -> Vec<&str> {
    let mut callers: Vec<&str> = tool.allowed_callers.iter().map(String::as_str).collect();
    let has_version = callers
        .iter()
        .any(|caller| caller.starts_with("code_execution_"));
    callers.retain(|caller| *caller != "programmatic" || !has_version);
    for caller in callers
        .iter_mut()
        .filter(|caller| **caller == "programmatic")
    {
        *caller = CODE_EXECUTION;
    }
    callers
}

/// The calls of a message.
fn message_calls(raw: &RawValue) -> Result<Vec<ToolCall>, DecodeError> {
    let message: Message = object(raw)?;
    match message.content {
        Some(content) if content.get().starts_with('[') => calls(content),
        _ => Ok(Vec::new()),
    }
}

/// The ids of the results in a message.
fn answered(raw: &RawValue) -> Vec<Option<String>> {
    let message: Option<Message> = object(raw).ok();
    let content = message.and_then(|message| message.content);
    let blocks = content.and_then(|content| array(content).ok());
    let results = blocks.unwrap_or_default().into_iter().filter_map(|raw| {
        let block: Block = object(raw).ok()?;
        let is_result = block.kind().as_deref() == Some("tool_result");
        is_result.then(|| label(block.tool_use_id))
    });
    results.collect()
}

/// A block as it goes back, if it does: the API refuses texts without any, `null` for some of what is not
/// set, and what its SDK reads into a text.
pub(super) fn back(block: &RawValue) -> Option<Cow<'_, RawValue>> {
    let read: Option<Block> = object(block).ok();
    let is_empty = read.is_some_and(|block| {
        let text = string(block.text);
        block.kind().as_deref() == Some("text") && text.is_some_and(|text| text.trim().is_empty())
    });
    (!is_empty).then(|| without_nulls(block, &["content"], &["parsed_output"]))
}

/// What the next request has to say: a program goes on in the container that it runs in.
pub(super) fn carried(container: Option<&RawValue>) -> Map<String, Value> {
    #[derive(Deserialize)]
    struct Container<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    let container: Option<Container> = container.and_then(|container| object(container).ok());
    let id = container.and_then(|container| string(container.id));
    let id = id.map(|id| ("container".to_owned(), Value::from(id)));
    id.into_iter().collect()
}

fn calls(content: &RawValue) -> Result<Vec<ToolCall>, DecodeError> {
    let blocks = array(content)?;
    let mut calls = Vec::new();
    for block in &blocks {
        calls.extend(call(&object(block)?));
    }
    leftover::with_unknown(without_copies(calls), &blocks, &["tool_use"])
}

/// The call that a block is, if it is one.
fn call(block: &Block) -> Option<ToolCall> {
    if block.kind().as_deref() != Some("tool_use") {
        return None;
    }
    let toolset = block
        .toolset_name
        .map(|name| ("toolset_name", name.get().to_owned()));
    Some(ToolCall {
        id: label(block.id),
        name: label(block.name).unwrap_or_default(),
        arguments: arguments(block.input),
        origin: origin(CallOrigin {
            by_program: super::is_program(block.caller),
            echo: toolset.into_iter().collect(),
            ..CallOrigin::default()
        }),
        ..ToolCall::default()
    })
}

impl Api for Anthropic {
    fn stream(&self) -> Box<dyn StreamDecoder> {
        Box::<events::Stream>::default()
    }

    fn request(&self, request: &Request) -> Box<RawValue> {
        let mut body = Body::new();
        body.set("model", request.model);
        body.set("max_tokens", &request.max_tokens.unwrap_or(MAX_TOKENS));
        body.set_some("system", request.system);
        body.set("messages", request.messages);
        if let Some(tools) = request.tools {
            body.set("tools", tools);
            let mut choice = match &request.tool_choice {
                ToolChoice::Auto => json!({ "type": "auto" }),
                ToolChoice::None => json!({ "type": "none" }),
                ToolChoice::Required => json!({ "type": "any" }),
                ToolChoice::Tool(name) => json!({ "type": "tool", "name": name }),
            };
            let may_call = request.tool_choice != ToolChoice::None;
            if !request.parallel && may_call {
                choice["disable_parallel_tool_use"] = json!(true);
            }
            if request.tool_choice != ToolChoice::Auto || !request.parallel {
                body.set("tool_choice", &choice);
            }
        }
        body.set_some("temperature", request.temperature);
        body.set_all(request.carried);
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
        Some("end_turn" | "stop_sequence") | None => Stop::End,
        Some(other) => Stop::Other(other.to_owned()),
    }
}

fn tokens(usage: Option<&RawValue>) -> Tokens {
    let usage: Usage = usage
        .and_then(|usage| object(usage).ok())
        .unwrap_or_default();
    Tokens {
        input: count(usage.input_tokens),
        output: count(usage.output_tokens),
    }
}
