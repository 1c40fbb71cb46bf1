//! OpenAI Responses, as <https://platform.openai.com/docs/api-reference/responses> has it.

mod events;
mod items;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::{Piece, Takes, data_url, file_name};
use super::error::{DecodeError, shape};
use super::json::Detail;
use super::openai_chat::Function;
use super::request::Body;
use super::stream::unclosed;
use super::{
    Answer, Api, Names, Reply, Request, Stop, StreamDecoder, Tokens, ToolChoice, Wire, api_error,
    arguments, array, document, label, object, raw, string,
};
use crate::tool::{Tool, ToolCall};

pub(super) struct OpenaiResponses;

/// What a result may hold beside text.
const TAKES: Takes = Takes {
    images: &["image/png", "image/jpeg", "image/webp", "image/gif"],
    documents: &["application/pdf"],
};

#[derive(Serialize)]
struct Declaration<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    function: Function<'a>,
}

#[derive(Serialize)]
struct CallOutput<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
    /// There is no flag for errors: the text says it.
    output: Value,
    #[serde(flatten)]
    detail: Option<Detail<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    status: Option<String>,
    #[serde(borrow)]
    incomplete_details: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Details {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Item<'a> {
    r#type: Option<String>,
    #[serde(borrow)]
    call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
}

impl Wire for OpenaiResponses {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        let document = document(text)?;
        let items = if document.get().starts_with('[') {
            array(document)?
        } else {
            let response: Response = object(document)?;
            match (response.output, response.error) {
                (Some(output), _) => array(output)?,
                (None, Some(error)) => return Err(api_error(error)),
                // An item by itself.
                (None, None) => vec![document],
            }
        };
        let mut calls = Vec::new();
        for item in items {
            calls.extend(call(&object(item)?));
        }
        Ok(calls)
    }

    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue> {
        let declare = |tool: &&Tool| {
            raw(&Declaration {
                r#type: "function",
                function: Function::new(tool, names),
            })
        };
        raw(&tools.iter().map(declare).collect::<Vec<_>>())
    }

    fn answer(&self, answer: &Answer) -> Box<RawValue> {
        let output = match &answer.pieces(&TAKES)[..] {
            [Piece::Text(text)] => json!(text),
            pieces => pieces.iter().map(part).collect(),
        };
        raw(&CallOutput {
            r#type: "function_call_output",
            call_id: answer.id(),
            output,
            detail: answer.detail(),
        })
    }
}

fn part(piece: &Piece) -> Value {
    match piece {
        Piece::Text(text) => json!({ "type": "input_text", "text": text }),
        Piece::Image(media) => {
            let url = data_url(&media.mime_type, &media.data);
            json!({ "type": "input_image", "image_url": url })
        }
        Piece::Document(uri, kind, bytes) => json!({
            "type": "input_file",
            "filename": file_name(uri),
            "file_data": data_url(kind, bytes),
        }),
    }
}

/// The call that an item is, if it is one.
fn call(item: &Item) -> Option<ToolCall> {
    (item.r#type.as_deref() == Some("function_call")).then(|| ToolCall {
        id: label(item.call_id),
        name: label(item.name).unwrap_or_default(),
        arguments: arguments(item.arguments),
        resumed: None,
        meta: None,
    })
}

/// What a message says.
fn item_text(item: &Item) -> String {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow)]
        text: Option<&'a RawValue>,
        #[serde(borrow)]
        refusal: Option<&'a RawValue>,
    }
    if item.r#type.as_deref() != Some("message") {
        return String::new();
    }
    let parts = item.content.and_then(|content| array(content).ok());
    let texts = parts.unwrap_or_default().into_iter().filter_map(|part| {
        let part: Part = object(part).ok()?;
        string(part.text).or_else(|| string(part.refusal))
    });
    texts.collect()
}

impl Api for OpenaiResponses {
    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let response: Response = object(document(text)?)?;
        ended(&response)?;
        let Some(output) = response.output else {
            return Err(shape("an object without `output`"));
        };
        let mut reply = Reply {
            messages: Vec::new(),
            text: String::new(),
            calls: Vec::new(),
            cut: Vec::new(),
            stop: Stop::End,
            tokens: tokens(response.usage),
        };
        for raw in array(output)? {
            let item: Item = object(raw)?;
            reply.text.push_str(&item_text(&item));
            reply.calls.extend(call(&item));
            reply.messages.push(raw.to_owned());
        }
        reply.stop = stop(&response, !reply.calls.is_empty());
        if reply.stop.is_early() {
            reply.cut = unclosed(&reply.calls);
        }
        Ok(reply)
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
        body.set_some("instructions", request.system);
        body.set("input", request.messages);
        if let Some(tools) = request.tools {
            body.set("tools", tools);
            let choice = match request.tool_choice {
                ToolChoice::Auto => None,
                ToolChoice::None => Some(json!("none")),
                ToolChoice::Required => Some(json!("required")),
                ToolChoice::Tool(name) => Some(json!({ "type": "function", "name": name })),
            };
            body.set_some("tool_choice", choice);
            if !request.parallel {
                body.set("parallel_tool_calls", &false);
            }
        }
        body.set_some("temperature", request.temperature);
        body.set_some("max_output_tokens", request.max_tokens);
        if request.stream {
            body.set("stream", &true);
        }
        body.with(request.extra)
    }
}

/// # Errors
///
/// The response is an error.
fn ended(response: &Response) -> Result<(), DecodeError> {
    match response.error {
        Some(error) => Err(api_error(error)),
        None if response.status.as_deref() == Some("failed") => Err(DecodeError::Api {
            kind: "failed".to_owned(),
            message: "the response failed".to_owned(),
        }),
        None => Ok(()),
    }
}

fn stop(response: &Response, has_calls: bool) -> Stop {
    let details: Option<Details> = response
        .incomplete_details
        .and_then(|details| object(details).ok());
    let reason = details.and_then(|details| details.reason);
    match reason.as_deref() {
        Some("max_output_tokens") => Stop::Length,
        Some(reason) => Stop::Other(reason.to_owned()),
        None if has_calls => Stop::Calls,
        None => Stop::End,
    }
}

fn tokens(usage: Option<&RawValue>) -> Tokens {
    let usage: Option<Usage> = usage.and_then(|usage| object(usage).ok());
    usage.map_or_else(Tokens::default, |usage| Tokens {
        input: usage.input_tokens,
        output: usage.output_tokens,
    })
}
