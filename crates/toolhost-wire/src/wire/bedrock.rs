//! Amazon Bedrock's `Converse`, as
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html> has it. No request is
//! made of it here: AWS wants them signed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer::{Piece, Takes, base64, file_name};
use super::back::{edited, kept, without_nulls};
use super::copies::{edited_without_copies, without_copies};
use super::detail::Detail;
use super::error::{DecodeError, shape};
use super::history::{is_history, open_calls};
use super::leftover;
use super::{
    Answer, Names, Reply, Stop, Tokens, Wire, api_error, arguments, array, count, document,
    is_malformed, label, object, raw, string, user_message,
};
use crate::tool::{Tool, ToolCall};

pub(super) struct Bedrock;

/// What a result may hold beside text.
const TAKES: Takes = Takes {
    images: &["image/png", "image/jpeg", "image/webp", "image/gif"],
    documents: &["application/pdf"],
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: Schema<'a>,
}

#[derive(Serialize)]
struct Schema<'a> {
    json: &'a Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultBlock<'a> {
    tool_result: ToolResultBlock<'a>,
    #[serde(flatten)]
    detail: Option<Detail<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResultBlock<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_use_id: Option<&'a str>,
    content: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    /// `server_tool_use` where Bedrock runs it by itself.
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage<'a> {
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens: Option<&'a RawValue>,
}

impl super::Sealed for Bedrock {}

impl Wire for Bedrock {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        let document = document(text)?;
        if document.get().starts_with('[') {
            let items = array(document)?;
            return match is_history(&items) {
                true => open_calls(&items, calls, answered),
                false => content_calls(document),
            };
        }
        let response: Response = object(document)?;
        match (response.output, response.message, response.error) {
            (None, None, Some(error)) => Err(api_error(error)),
            _ => calls(document),
        }
    }

    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let document = document(text)?;
        let response: Response = object(document)?;
        let Some(message) = message(document)? else {
            return Err(shape("an object without `output.message`"));
        };
        let content: Response = object(message)?;
        let blocks = content.content.map(array).transpose()?.unwrap_or_default();
        let mut text = String::new();
        let mut ends_in_call = false;
        for raw in &blocks {
            let block: Block = object(raw)?;
            text.push_str(&string(block.text).unwrap_or_default());
            ends_in_call = call(&block)?.is_some();
        }
        let calls = calls(document)?;
        let stop = stop(string(response.stop_reason), !calls.is_empty());
        let usage = response.usage.and_then(|usage| object(usage).ok());
        let usage: Usage = usage.unwrap_or_default();
        Ok(Reply {
            messages: vec![back(message)],
            carried: Map::new(),
            text,
            // Its input is an object even where some of it is missing.
            cut: match stop.is_early() && ends_in_call {
                true => leftover::last_known(&calls).into_iter().collect(),
                false => Vec::new(),
            },
            stop,
            calls,
            tokens: Tokens {
                input: count(usage.input_tokens),
                output: count(usage.output_tokens),
            },
        })
    }

    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Declaration<'a> {
            tool_spec: ToolSpec<'a>,
        }
        let tools = tools.iter().map(|tool| Declaration {
            tool_spec: ToolSpec {
                name: names.wire(&tool.name),
                description: &tool.description,
                input_schema: Schema {
                    json: &tool.input_schema,
                },
            },
        });
        raw(&tools.collect::<Vec<_>>())
    }

    fn answer(&self, answer: &Answer) -> Box<RawValue> {
        raw(&ResultBlock {
            tool_result: ToolResultBlock {
                tool_use_id: answer.id(),
                content: answer.pieces(&TAKES).iter().filter_map(block).collect(),
                status: answer.is_error().then_some("error"),
            },
            detail: answer.detail(),
        })
    }

    /// All results go into the one message that comes next.
    fn messages(&self, answers: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
        vec![user_message(answers)]
    }
}

/// The API refuses a text without any.
fn block(piece: &Piece) -> Option<Value> {
    let format = |kind: &str| kind.rsplit('/').next().unwrap_or_default().to_owned();
    Some(match piece {
        Piece::Text(text) if text.is_empty() => return None,
        Piece::Text(text) => json!({ "text": text }),
        Piece::Image(media) => json!({ "image": {
            "format": format(&media.mime_type),
            "source": { "bytes": base64(&media.data) },
        } }),
        Piece::Document(uri, kind, bytes) => json!({ "document": {
            "format": format(kind),
            "name": document_name(uri),
            "source": { "bytes": base64(bytes) },
        } }),
    })
}

/// A document's name of letters, digits and the little else that the API takes.
fn document_name(uri: &str) -> String {
    let name = file_name(uri).chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() || c == '-' => c,
        _ => '-',
    });
    name.take(200).collect()
}

/// The message in a response, which may be all there is of it.
fn message(document: &RawValue) -> Result<Option<&RawValue>, DecodeError> {
    let response: Response = object(document)?;
    let inner = match response.output {
        Some(output) => object::<Response>(output)?.message,
        None => response.message,
    };
    Ok(inner.or(response.content.map(|_| document)))
}

/// The calls of a response, a message or a block.
fn calls(document: &RawValue) -> Result<Vec<ToolCall>, DecodeError> {
    let response: Response = object(document)?;
    if let Some(call) = response.tool_use {
        return Ok(tool_use(call)?.into_iter().collect());
    }
    let Some(message) = message(document)? else {
        return Ok(Vec::new());
    };
    let message: Response = object(message)?;
    match message.content {
        Some(content) if content.get().starts_with('[') => content_calls(content),
        _ => Ok(Vec::new()),
    }
}

fn content_calls(content: &RawValue) -> Result<Vec<ToolCall>, DecodeError> {
    let blocks = array(content)?;
    let mut calls = Vec::new();
    for raw in &blocks {
        calls.extend(call(&object(raw)?)?);
    }
    leftover::with_unknown(without_copies(calls), &blocks, &[])
}

fn call(block: &Block) -> Result<Option<ToolCall>, DecodeError> {
    block.tool_use.map_or(Ok(None), tool_use)
}

fn tool_use(raw: &RawValue) -> Result<Option<ToolCall>, DecodeError> {
    let call: ToolUse = object(raw)?;
    if string(call.r#type).as_deref() == Some("server_tool_use") {
        return Ok(None);
    }
    Ok(Some(ToolCall {
        id: label(call.tool_use_id),
        name: label(call.name).unwrap_or_default(),
        arguments: arguments(call.input),
        ..ToolCall::default()
    }))
}

/// The ids of the results in a message.
fn answered(raw: &RawValue) -> Vec<Option<String>> {
    let message: Option<Response> = object(raw).ok();
    let blocks = message.and_then(|message| array(message.content?).ok());
    let results = blocks.unwrap_or_default().into_iter().filter_map(|raw| {
        let block: Block = object(raw).ok()?;
        let result: ToolUse = object(block.tool_result?).ok()?;
        Some(label(result.tool_use_id))
    });
    results.collect()
}

/// The message as it goes back: the API refuses `null` for what is not set, and texts without any.
fn back(message: &RawValue) -> Box<RawValue> {
    let message = edited(message, |key, value| match key {
        "content" => {
            let call = |block: &RawValue| call(&object(block).ok()?).ok()?;
            Some(edited_without_copies(value, call, block_back))
        }
        _ => kept(key, value, &[], &[]).then_some(Cow::Borrowed(value)),
    });
    message.into_owned()
}

fn block_back(block: &RawValue) -> Option<Cow<'_, RawValue>> {
    let read: Option<Block> = object(block).ok();
    let text = read.and_then(|block| string(block.text));
    (text.as_deref() != Some("")).then(|| without_nulls(block, &[], &[]))
}

fn stop(reason: Option<String>, has_calls: bool) -> Stop {
    match reason.as_deref() {
        Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
        Some(reason @ ("guardrail_intervened" | "content_filtered")) => {
            Stop::Other(reason.to_owned())
        }
        Some(reason) if is_malformed(reason) => Stop::Other(reason.to_owned()),
        _ if has_calls => Stop::Calls,
        Some("end_turn" | "stop_sequence" | "tool_use") | None => Stop::End,
        Some(other) => Stop::Other(other.to_owned()),
    }
}
