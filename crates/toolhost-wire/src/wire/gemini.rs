//! Google Gemini's `generateContent`, as <https://ai.google.dev/api/generate-content> has it, and in
//! snake case, as its SDK for Python prints it and the API takes it too.

use std::borrow::Cow;
use std::collections::BTreeMap;

mod events;
mod partial;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::events::Stream;
use super::answer::{Piece, Takes, base64};
use super::back::{edited, kept, without_nulls};
use super::copies::without_copies;
use super::detail::Detail;
use super::error::DecodeError;
use super::history::{is_history, open_calls};
use super::leftover;
use super::openai_chat::only;
use super::request::Body;
use super::{
    Answer, Api, Format, NameRule, Names, Reply, Request, StreamDecoder, ToolChoice, Wire,
    api_error, arguments, array, document, label, object, raw,
};
use crate::tool::{Tool, ToolCall};

pub(super) struct Gemini;

/// What a result may hold beside text:
/// <https://ai.google.dev/gemini-api/docs/function-calling#multimodal>.
const TAKES: Takes = Takes {
    images: &["image/png", "image/jpeg", "image/webp"],
    documents: &["application/pdf"],
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    description: &'a str,
    /// Unlike `parameters`, which takes a part of OpenAPI's schemas only.
    parameters_json_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponsePart<'a> {
    function_response: FunctionResponse<'a>,
    #[serde(flatten)]
    detail: Option<Detail<'a>>,
}

#[derive(Serialize)]
struct FunctionResponse<'a> {
    /// Only where the call had one: then order and name tell whose response it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    response: BTreeMap<&'static str, Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(borrow)]
    candidates: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    parts: Option<&'a RawValue>,
    #[serde(borrow, alias = "function_call")]
    function_call: Option<&'a RawValue>,
    /// What the SDKs and the Live API have.
    #[serde(borrow, alias = "function_calls")]
    function_calls: Option<&'a RawValue>,
    /// Of a call by itself.
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, alias = "function_call")]
    function_call: Option<&'a RawValue>,
    #[serde(borrow, alias = "function_response")]
    function_response: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

impl super::Sealed for Gemini {}

impl Wire for Gemini {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        let document = document(text)?;
        if !document.get().starts_with('[') {
            return calls(document);
        }
        let items = array(document)?;
        if is_history(&items) {
            return open_calls(&items, calls, answered);
        }
        // Parts, or the responses that a stream without events is one array of.
        let mut all = Vec::new();
        for item in items {
            all.extend(calls(item)?);
        }
        Ok(without_copies(all))
    }

    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let document = document(text)?;
        let mut stream = Stream::default();
        let mut deltas = Vec::new();
        match document.get().starts_with('[') {
            true => {
                for response in array(document)? {
                    stream.response(response, &mut deltas)?;
                }
            }
            false => stream.response(document, &mut deltas)?,
        }
        let mut reply = stream.into_reply();
        reply
            .calls
            .extend(leftover::unknown_in(&reply, Format::Gemini)?);
        Ok(reply)
    }

    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Tools<'a> {
            function_declarations: Vec<Declaration<'a>>,
        }
        let tools = tools.iter();
        let function_declarations = tools.map(|tool| Declaration {
            name: names.wire(&tool.name),
            description: &tool.description,
            parameters_json_schema: &tool.input_schema,
            response_json_schema: tool.output_schema.as_ref(),
        });
        raw(&[Tools {
            function_declarations: function_declarations.collect(),
        }])
    }

    fn answer(&self, answer: &Answer) -> Box<RawValue> {
        let mut texts = Vec::new();
        let mut parts = Vec::new();
        for piece in answer.pieces(&TAKES) {
            match piece {
                Piece::Text(text) => texts.push(text),
                Piece::Image(media) => parts.push(inline(&media.mime_type, &media.data)),
                Piece::Document(_, kind, bytes) => parts.push(inline(kind, bytes)),
            }
        }
        let key = if answer.is_error() { "error" } else { "output" };
        let text = texts.join("\n");
        // What was declared to the API is the document itself, as far as it is of the kind that it takes.
        let output = match answer.document() {
            Some(document) if !document.get().starts_with('"') => document.to_owned(),
            _ => raw(&text),
        };
        raw(&ResponsePart {
            function_response: FunctionResponse {
                id: answer.id(),
                name: answer.name,
                response: BTreeMap::from([(key, output)]),
                parts,
            },
            detail: answer.detail(),
        })
    }

    /// All results go into one content of the user.
    fn messages(&self, answers: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
        vec![content("user", answers)]
    }

    fn name_rule(&self) -> Option<NameRule> {
        Some(NameRule {
            begins_with_any: false,
            longest: 64,
        })
    }
}

fn inline(kind: &str, bytes: &[u8]) -> Value {
    json!({ "inlineData": { "mimeType": kind, "data": base64(bytes) } })
}

fn content(role: &str, parts: Vec<Box<RawValue>>) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Content<'a> {
        role: &'a str,
        parts: Vec<Box<RawValue>>,
    }
    raw(&Content { role, parts })
}

/// The calls of a response, a content or a part.
fn calls(raw: &RawValue) -> Result<Vec<ToolCall>, DecodeError> {
    let response: Response = object(raw)?;
    if let Some(candidates) = response.candidates {
        let mut alternatives = Vec::new();
        for candidate in array(candidates)? {
            let candidate: Candidate = object(candidate)?;
            if let Some(content) = candidate.content {
                let content: Content = object(content)?;
                alternatives.push(part_calls(content.parts)?);
            }
        }
        alternatives.retain(|calls| !calls.is_empty());
        return only(alternatives, "response", "candidates");
    }
    if let Some(call) = response.function_call {
        return Ok(vec![function_call(call)?]);
    }
    if let Some(calls) = response.function_calls {
        let calls: Result<_, _> = array(calls)?.into_iter().map(function_call).collect();
        return calls.map(without_copies);
    }
    if response.name.is_some() && response.args.is_some() {
        return Ok(vec![function_call(raw)?]);
    }
    match (response.parts, response.error) {
        (None, Some(error)) => Err(api_error(error)),
        (parts, _) => part_calls(parts),
    }
}

/// The ids of the results in a content.
fn answered(raw: &RawValue) -> Vec<Option<String>> {
    let content: Option<Content> = object(raw).ok();
    let parts = content.and_then(|content| array(content.parts?).ok());
    let ids = parts.unwrap_or_default().into_iter().filter_map(|part| {
        let part: Part = object(part).ok()?;
        let response: FunctionCall = object(part.function_response?).ok()?;
        Some(label(response.id))
    });
    ids.collect()
}

/// A part as it goes back, if there is anything in it: the SDK prints `null` for what is not set.
fn back(part: &RawValue) -> Option<Box<RawValue>> {
    let part = edited(part, |key, value| match key {
        "functionCall" | "function_call" if value.get() != "null" => {
            Some(without_nulls(value, &[], &[]))
        }
        _ => kept(key, value, &[], &[]).then_some(Cow::Borrowed(value)),
    });
    (part.get() != "{}").then(|| part.into_owned())
}

fn part_calls(parts: Option<&RawValue>) -> Result<Vec<ToolCall>, DecodeError> {
    let parts = parts.map(array).transpose()?.unwrap_or_default();
    let mut calls = Vec::new();
    for part in &parts {
        let part: Part = object(part)?;
        if let Some(call) = part.function_call {
            calls.push(function_call(call)?);
        }
    }
    leftover::with_unknown(without_copies(calls), &parts, &[])
}

fn function_call(raw: &RawValue) -> Result<ToolCall, DecodeError> {
    let call: FunctionCall = object(raw)?;
    Ok(ToolCall {
        id: label(call.id),
        name: label(call.name).unwrap_or_default(),
        arguments: arguments(call.args),
        ..ToolCall::default()
    })
}

impl Api for Gemini {
    fn stream(&self) -> Box<dyn StreamDecoder> {
        Box::<Stream>::default()
    }

    fn user(&self, text: &str) -> Box<RawValue> {
        raw(&json!({ "role": "user", "parts": [{ "text": text }] }))
    }

    fn assistant(&self, text: &str) -> Box<RawValue> {
        raw(&json!({ "role": "model", "parts": [{ "text": text }] }))
    }

    fn request(&self, request: &Request) -> Box<RawValue> {
        let mut body = Body::new();
        if let Some(system) = request.system {
            body.set(
                "systemInstruction",
                &json!({ "parts": [{ "text": system }] }),
            );
        }
        body.set("contents", request.messages);
        if let Some(tools) = request.tools {
            body.set("tools", tools);
            let config = match &request.tool_choice {
                ToolChoice::Auto => None,
                ToolChoice::None => Some(json!({ "mode": "NONE" })),
                ToolChoice::Required => Some(json!({ "mode": "ANY" })),
                ToolChoice::Tool(name) => {
                    Some(json!({ "mode": "ANY", "allowedFunctionNames": [name] }))
                }
            };
            // There is no switch for parallel calls.
            let config = config.map(|config| json!({ "functionCallingConfig": config }));
            body.set_some("toolConfig", config);
        }
        let mut generation = serde_json::Map::new();
        if let Some(temperature) = request.temperature {
            generation.insert("temperature".to_owned(), json!(temperature));
        }
        if let Some(longest) = request.max_tokens {
            generation.insert("maxOutputTokens".to_owned(), json!(longest));
        }
        if !generation.is_empty() {
            body.set("generationConfig", &generation);
        }
        body.with(request.extra)
    }
}
