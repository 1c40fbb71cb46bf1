//! Ollama's own API, `/api/chat`, as <https://docs.ollama.com/api/chat> has it: chat messages whose calls
//! have objects for arguments and mostly no ids, streamed as a document a line.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::back::{edited, kept};
use super::copies::{Copies, without_copies};
use super::detail::Detail;
use super::error::{DecodeError, shape};
use super::history::{is_history, open_calls};
use super::members::members;
use super::openai_chat::messages::back;
use super::request::Body;
use super::{
    Answer, Api, Close, Delta, End, Names, Received, Reply, Request, Stop, StreamDecoder, Tokens,
    ToolChoice, Wire, api_error, arguments, array, count, document, first_given, label, object,
    raw, string,
};
use crate::tool::{Tool, ToolCall};

pub(super) struct Ollama;

#[derive(Serialize)]
struct Declaration<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

#[derive(Serialize)]
struct ToolMessage<'a> {
    role: &'static str,
    /// By which, and by order, the API knows whose result it is.
    tool_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    content: String,
    #[serde(flatten)]
    detail: Option<Detail<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    done: Option<&'a RawValue>,
    #[serde(borrow)]
    done_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_eval_count: Option<&'a RawValue>,
    #[serde(borrow)]
    eval_count: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_call_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

impl super::Sealed for Ollama {}

impl Wire for Ollama {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        let document = match document(text) {
            Ok(document) => document,
            // A stream that was kept.
            Err(DecodeError::NotJson { .. }) => return Ok(self.reply(text)?.calls),
            Err(error) => return Err(error),
        };
        if document.get().starts_with('[') {
            let items = array(document)?;
            return match is_history(&items) {
                true => open_calls(&items, calls, answered),
                false => listed(&items),
            };
        }
        let response: Response = object(document)?;
        match (response.message, response.tool_calls, response.error) {
            (None, None, Some(error)) => Err(api_error(error)),
            (None, None, None) if response.function.is_some() => Ok(vec![call(document)?]),
            (Some(message), _, _) => calls(message),
            _ => calls(document),
        }
    }

    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let mut stream = Stream::default();
        let mut deltas = Vec::new();
        if let Ok(document) = document(text) {
            stream.response(document, &mut deltas)?;
        } else {
            for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
                stream.response(document(line)?, &mut deltas)?;
            }
        }
        match stream.has_message {
            true => Ok(stream.into_reply()),
            false => Err(shape("an object without `message`")),
        }
    }

    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue> {
        let declare = |tool: &&Tool| {
            raw(&Declaration {
                r#type: "function",
                function: Function {
                    name: names.wire(&tool.name),
                    description: &tool.description,
                    parameters: &tool.input_schema,
                },
            })
        };
        raw(&tools.iter().map(declare).collect::<Vec<_>>())
    }

    fn answer(&self, answer: &Answer) -> Box<RawValue> {
        raw(&ToolMessage {
            role: "tool",
            tool_name: answer.name,
            tool_call_id: answer.id(),
            content: answer.to_text(),
            detail: answer.detail(),
        })
    }
}

/// The calls of a message.
fn calls(raw: &RawValue) -> Result<Vec<ToolCall>, DecodeError> {
    let message: Message = object(raw)?;
    let calls = message.tool_calls.map(array).transpose()?;
    listed(&calls.unwrap_or_default())
}

fn listed(items: &[&RawValue]) -> Result<Vec<ToolCall>, DecodeError> {
    let calls: Result<_, _> = items.iter().map(|item| call(item)).collect();
    calls.map(without_copies)
}

fn call(raw: &RawValue) -> Result<ToolCall, DecodeError> {
    let call: Call = object(raw)?;
    let Some(function) = call.function else {
        return Err(shape("a tool call without its `function`"));
    };
    let called: Called = object(function)?;
    Ok(ToolCall {
        id: label(call.id).filter(|id| !id.is_empty()),
        name: label(called.name).unwrap_or_default(),
        arguments: arguments(first_given(&[
            called.arguments,
            called.parameters,
            called.args,
        ])),
        ..ToolCall::default()
    })
}

/// A call as it goes back: the API wants an object for arguments, even of a model that wrote a text.
fn call_back(call: &RawValue) -> Box<RawValue> {
    let call = edited(call, |key, value| match key {
        "function" => Some(edited(value, |key, value| {
            match (key, string(Some(value))) {
                ("arguments", Some(text)) => {
                    let object = RawValue::from_string(text).ok();
                    let object = object.filter(|object| object.get().starts_with('{'));
                    Some(object.map_or(Cow::Borrowed(value), Cow::Owned))
                }
                _ => Some(Cow::Borrowed(value)),
            }
        })),
        _ => Some(Cow::Borrowed(value)),
    });
    call.into_owned()
}

/// The id of the result that a message is.
fn answered(raw: &RawValue) -> Vec<Option<String>> {
    match object::<Message>(raw) {
        Ok(message) if string(message.role).as_deref() == Some("tool") => {
            vec![label(message.tool_call_id)]
        }
        _ => Vec::new(),
    }
}

impl Api for Ollama {
    fn stream(&self) -> Box<dyn StreamDecoder> {
        Box::<Stream>::default()
    }

    fn request(&self, request: &Request) -> Box<RawValue> {
        let mut messages = Vec::new();
        if let Some(system) = request.system {
            messages.push(raw(&json!({ "role": "system", "content": system })));
        }
        messages.extend_from_slice(request.messages);
        let mut body = Body::new();
        body.set("model", request.model);
        body.set("messages", &messages);
        // There is no switch for calls, nor for parallel ones: without tools there are none.
        if let Some(tools) = request.tools
            && request.tool_choice != ToolChoice::None
        {
            body.set("tools", tools);
        }
        let mut options = Map::new();
        if let Some(temperature) = request.temperature {
            options.insert("temperature".to_owned(), json!(temperature));
        }
        if let Some(longest) = request.max_tokens {
            options.insert("num_predict".to_owned(), json!(longest));
        }
        if !options.is_empty() {
            body.set("options", &options);
        }
        // It streams unless told not to.
        body.set("stream", &request.stream);
        body.with(request.extra)
    }
}

/// The responses that come one after the other; each call comes whole.
#[derive(Default)]
struct Stream {
    has_message: bool,
    text: String,
    thinking: String,
    /// As they came.
    tool_calls: Vec<Box<RawValue>>,
    calls: Vec<ToolCall>,
    copies: Copies,
    /// What else there is in the message.
    rest: Vec<(String, Box<RawValue>)>,
    done_reason: Option<String>,
    is_complete: bool,
    tokens: Tokens,
}

impl Stream {
    fn response(&mut self, raw: &RawValue, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if self.is_complete {
            return Ok(());
        }
        let response: Response = object(raw)?;
        if let Some(error) = response.error {
            return Err(api_error(error));
        }
        if let Some(message) = response.message {
            self.message(message, deltas)?;
        }
        if response.done.is_some_and(|done| done.get() == "true") {
            self.is_complete = true;
            self.done_reason = string(response.done_reason);
            self.tokens = Tokens {
                input: count(response.prompt_eval_count),
                output: count(response.eval_count),
            };
        }
        Ok(())
    }

    fn message(&mut self, raw: &RawValue, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        self.has_message = true;
        let message: Message = object(raw)?;
        self.thinking
            .push_str(&string(message.thinking).unwrap_or_default());
        if let Some(text) = string(message.content).filter(|text| !text.is_empty()) {
            self.text.push_str(&text);
            deltas.push(Delta::Text(text));
        }
        let items = message.tool_calls.map(array).transpose()?;
        let items = items.unwrap_or_default();
        let calls = items.iter().map(|raw| call(raw));
        let calls = calls.collect::<Result<Vec<_>, _>>()?;
        for call in &calls {
            self.copies.note(call);
        }
        for (raw, call) in items.into_iter().zip(calls) {
            if self.copies.is_copy(&call) {
                continue;
            }
            deltas.push(Delta::Call {
                position: self.calls.len(),
                call: call.clone(),
            });
            self.calls.push(call);
            self.tool_calls.push(call_back(raw));
        }
        for (key, value) in members(raw).unwrap_or_default() {
            let is_ours = matches!(&*key, "role" | "content" | "thinking" | "tool_calls");
            if !is_ours && kept(&key, value, &[], &[]) {
                self.rest.retain(|(known, _)| *known != key);
                self.rest.push((key, value.to_owned()));
            }
        }
        Ok(())
    }

    fn into_reply(self) -> Reply {
        let mut message = Body::new();
        message.set("role", "assistant");
        message.set("content", &self.text);
        if !self.thinking.is_empty() {
            message.set("thinking", &self.thinking);
        }
        if !self.tool_calls.is_empty() {
            message.set("tool_calls", &self.tool_calls);
        }
        for (key, value) in &self.rest {
            message.set(key, value);
        }
        let stop = match self.done_reason.as_deref() {
            Some("length") => Stop::Length,
            _ if !self.calls.is_empty() => Stop::Calls,
            Some("stop") | None => Stop::End,
            Some(other) => Stop::Other(other.to_owned()),
        };
        Reply {
            messages: vec![back(&message.with(None))],
            carried: Map::new(),
            text: self.text,
            calls: self.calls,
            // They come whole.
            cut: Vec::new(),
            stop,
            tokens: self.tokens,
        }
    }
}

impl super::Sealed for Stream {}

impl StreamDecoder for Stream {
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        self.response(document(data)?, deltas)
    }

    fn end(&self) -> End {
        match self.is_complete {
            true => End::Over,
            false => End::Open,
        }
    }

    fn close(&mut self, by: Close, _: &mut Vec<Delta>) {
        self.is_complete |= by == Close::Done;
    }

    fn finish(self: Box<Self>, _: &mut Vec<Delta>) -> Received {
        Received {
            is_complete: self.is_complete,
            reply: self.into_reply(),
        }
    }
}
