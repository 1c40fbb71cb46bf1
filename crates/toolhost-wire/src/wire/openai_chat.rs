//! OpenAI Chat Completions, as <https://platform.openai.com/docs/api-reference/chat> has it, and
//! as the servers that follow it do: llama.cpp, vLLM, Ollama and others. Messages of frameworks that look
//! alike are read too: see [`super::frameworks`].

mod begun;
mod events;
pub(super) mod messages;
mod pieces;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::copies::without_copies;
use super::detail::Detail;
use super::error::{DecodeError, shape};
use super::history::{is_history, open_calls, role};
use super::lenient::{is_blank, reason};
use super::request::Body;
use super::stream::unclosed;
use super::strict::is_strict;
use super::{
    Answer, Api, Names, Reply, Request, Stop, StreamDecoder, Tokens, ToolChoice, Wire, api_error,
    array, count, document, frameworks, is_malformed, object, raw, string,
};
use crate::tool::{CallKind, Tool, ToolCall};
use messages::{Call, Message, answered, back, call, listed, message_calls};

pub(super) struct OpenaiChat;

#[derive(Serialize)]
struct Declaration<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

/// What both of OpenAI's APIs are told of a tool.
#[derive(Serialize)]
pub(super) struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
    /// Said in any case: without it, Responses takes every schema for a strict one.
    strict: bool,
}

impl<'a> Function<'a> {
    pub(super) fn new(tool: &'a Tool, names: &'a Names) -> Self {
        Function {
            name: names.wire(&tool.name),
            description: &tool.description,
            parameters: &tool.input_schema,
            strict: is_strict(&tool.input_schema),
        }
    }
}

#[derive(Serialize)]
struct ToolMessage<'a> {
    role: &'static str,
    /// The API wants one; a call that came without has none to give back.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    /// Of a `function_call`, which has no id.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// The API has no flag for errors, and takes text only: the text says what else there is.
    content: String,
    #[serde(flatten)]
    detail: Option<Detail<'a>>,
}

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    /// Of a chunk.
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
    /// In the words of the API behind a gateway.
    #[serde(borrow)]
    native_finish_reason: Option<&'a RawValue>,
    /// What a gateway says of a server that failed it.
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Choice<'_> {
    /// Why the answer ended. That a call is malformed, a gateway may have no word of its own for.
    fn reason(&self) -> Option<String> {
        let native = reason(self.native_finish_reason);
        native
            .filter(|native| is_malformed(native))
            .or_else(|| reason(self.finish_reason))
    }

    /// What became of the answer, if that is an error: it is void then, as one that breaks off is.
    fn failure(&self) -> Option<DecodeError> {
        if let Some(error) = self.error.filter(|error| !is_blank(error)) {
            return Some(api_error(error));
        }
        let reason = self
            .reason()
            .filter(|reason| FAILURES.contains(&&*reason.to_lowercase()))?;
        Some(DecodeError::Api {
            message: format!("the answer ended with `finish_reason` `{reason}`"),
            kind: reason,
        })
    }
}

/// Why an answer ended that did not come to its end, whatever there is of it: what serves the model failed.
const FAILURES: [&str; 7] = [
    "error",
    "abort",
    "aborted",
    "cancelled",
    "network_error",
    "timeout",
    "insufficient_system_resource",
];

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens: Option<&'a RawValue>,
}

impl super::Sealed for OpenaiChat {}

impl Wire for OpenaiChat {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        let document = document(text)?;
        if document.get().starts_with('[') {
            let items = array(document)?;
            return match is_history(&items) {
                true => open_calls(&items, message_calls, answered),
                false => listed(&items).map(without_copies),
            };
        }
        let completion: Completion = object(document)?;
        if let Some(choices) = completion.choices {
            return match completion.error.filter(|error| !is_blank(error)) {
                Some(error) => Err(api_error(error)),
                None => chosen(choices),
            };
        }
        let one: Call = object(document)?;
        if one.function.is_some() || one.custom.is_some() {
            return Ok(vec![call(document)?]);
        }
        let message: Message = object(document)?;
        if message.tool_calls.is_none()
            && message.tool_calls_of_sdk.is_none()
            && message.function_call.is_none()
        {
            if let Some(call) = frameworks::call(document).filter(|_| role(document).is_none()) {
                return Ok(vec![call]);
            }
            // A choice by itself, or the response of a server that has but one.
            if let Some(inner) = message.message {
                return message_calls(inner);
            }
            if let Some(error) = completion.error {
                return Err(api_error(error));
            }
        }
        message_calls(document)
    }

    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let completion: Completion = object(document(text)?)?;
        if let Some(error) = completion.error.filter(|error| !is_blank(error)) {
            return Err(api_error(error));
        }
        let choices = match completion.choices {
            Some(choices) => array(choices)?,
            None => return Err(shape("an object without `choices`")),
        };
        let Some(choice) = answering(&choices)? else {
            return Err(shape("a completion without a choice"));
        };
        if let Some(error) = choice.failure() {
            return Err(error);
        }
        let Some(message_raw) = choice.message else {
            return Err(shape("a choice without a message"));
        };
        let message: Message = object(message_raw)?;
        let calls = message_calls(message_raw)?;
        let text = content_text(message.content).or_else(|| string(message.refusal));
        let stop = stop(choice.reason(), !calls.is_empty());
        Ok(Reply {
            messages: vec![back(message_raw)],
            carried: Map::new(),
            text: text.unwrap_or_default(),
            cut: match stop.is_early() {
                true => unclosed(&calls),
                false => Vec::new(),
            },
            stop,
            calls,
            tokens: tokens(completion.usage),
        })
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
        let kind = answer.kind();
        if matches!(kind, CallKind::AiSdk | CallKind::AiSdk4) {
            return frameworks::answer(answer);
        }
        let is_legacy = kind == CallKind::Legacy;
        raw(&ToolMessage {
            role: if is_legacy { "function" } else { "tool" },
            tool_call_id: answer.id().filter(|_| !is_legacy),
            name: is_legacy.then_some(answer.name),
            content: answer.to_text(),
            detail: answer.detail(),
        })
    }
}

impl Api for OpenaiChat {
    fn stream(&self) -> Box<dyn StreamDecoder> {
        Box::<events::Stream>::default()
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
        if let Some(tools) = request.tools {
            body.set("tools", tools);
            body.set_some("tool_choice", chat_choice(&request.tool_choice));
            if !request.parallel {
                body.set("parallel_tool_calls", &false);
            }
        }
        body.set_some("temperature", request.temperature);
        let longest = match request.is_own_api {
            true => "max_completion_tokens",
            false => "max_tokens",
        };
        body.set_some(longest, request.max_tokens);
        if request.stream {
            body.set("stream", &true);
            body.set("stream_options", &json!({ "include_usage": true }));
        }
        body.with(request.extra)
    }
}

fn chat_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Tool(name) => Some(json!({ "type": "function", "function": { "name": name } })),
    }
}

/// The calls of the one choice that has any.
fn chosen(choices: &RawValue) -> Result<Vec<ToolCall>, DecodeError> {
    let mut chosen: Vec<Vec<ToolCall>> = Vec::new();
    let mut error = None;
    for choice in array(choices)? {
        let choice: Choice = object(choice)?;
        let failure = choice.failure();
        // What an answer calls that ended in an error is void with it.
        if let Some(message) = choice.message.filter(|_| failure.is_none()) {
            chosen.push(message_calls(message)?);
        }
        error = error.or(failure);
    }
    chosen.retain(|calls| !calls.is_empty());
    match (chosen.is_empty(), error) {
        (true, Some(error)) => Err(error),
        _ => only(chosen, "completion", "choices"),
    }
}

/// The choice that is the answer: the first, unless one that comes later has the calls, as some proxies
/// split what a model says from what it calls.
fn answering<'a>(choices: &[&'a RawValue]) -> Result<Option<Choice<'a>>, DecodeError> {
    let mut first = None;
    for choice in choices {
        let choice: Choice = object(choice)?;
        let calls = choice.message.map(message_calls).transpose()?;
        if calls.is_some_and(|calls| !calls.is_empty()) {
            return Ok(Some(choice));
        }
        first.get_or_insert(choice);
    }
    Ok(first)
}

/// Running the calls of several alternatives would do things that no reader of one asked for.
pub(super) fn only(
    mut alternatives: Vec<Vec<ToolCall>>,
    of: &str,
    named: &str,
) -> Result<Vec<ToolCall>, DecodeError> {
    if alternatives.len() > 1 {
        return Err(DecodeError::Shape {
            found: format!(
                "a {of} in which {} {named} have tool calls",
                alternatives.len()
            ),
            expected: "a single one: pass the message of the one you mean",
        });
    }
    Ok(alternatives.pop().unwrap_or_default())
}

/// The text of a content that is a string or an array of parts.
fn content_text(content: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow)]
        text: Option<&'a RawValue>,
    }
    let content = content?;
    if let Some(text) = string(Some(content)) {
        return Some(text);
    }
    let parts = array(content).ok()?;
    let texts = parts.into_iter().filter_map(|part| {
        let part: Part = object(part).ok()?;
        string(part.text)
    });
    Some(texts.collect())
}

/// Some servers say `stop` for calls too, or words of their own, or those of the model's own API.
fn stop(reason: Option<String>, has_calls: bool) -> Stop {
    let known = reason.as_deref().map(str::to_lowercase);
    match (known.as_deref(), reason) {
        (Some("length" | "max_tokens" | "max_output_tokens" | "model_length"), _) => Stop::Length,
        (
            Some(
                "content_filter" | "content-filter" | "safety" | "recitation" | "sensitive"
                | "repetition",
            ),
            Some(reason),
        ) => Stop::Other(reason),
        (Some(known), Some(reason)) if is_malformed(known) => Stop::Other(reason),
        _ if has_calls => Stop::Calls,
        (Some("stop" | "end_turn" | "eos"), _) | (_, None) => Stop::End,
        (_, Some(reason)) => Stop::Other(reason),
    }
}

fn tokens(usage: Option<&RawValue>) -> Tokens {
    let usage: Option<Usage> = usage.and_then(|usage| object(usage).ok());
    usage.map_or_else(Tokens::default, |usage| Tokens {
        input: count(usage.prompt_tokens),
        output: count(usage.completion_tokens),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        OpenaiChat.decode(text)
    }

    #[test]
    fn arguments_stay_text_and_none_spoils_its_siblings() {
        let calls = decode(
            r#"[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},
                {"id":"b","function":{"name":"f","arguments":"{\"x\":\"\ud800\"}"}},
                {"id":null,"function":{"name":"f","arguments":{"x":[1.0]}}},
                {"id":7,"type":"custom","custom":{"name":"g","input":"free text"}},
                {"function":{}}]"#,
        )
        .unwrap();
        let seen: Vec<_> = calls
            .iter()
            .map(|call| (call.id.as_deref(), &*call.name, &*call.arguments))
            .collect();
        assert_eq!(
            seen,
            [
                (Some("a"), "f", r#"{"x": 1}"#),
                (Some("b"), "f", r#""{\"x\":\"\ud800\"}""#),
                (None, "f", r#"{"x":[1.0]}"#),
                (Some("7"), "g", "free text"),
                (None, "", ""),
            ]
        );
    }

    #[test]
    fn what_has_no_calls_decodes_to_none() {
        for text in [
            r#"{"choices":[{"message":{"role":"assistant","content":"hi"}}]}"#,
            r#"{"choices":[{"message":{"role":"assistant","tool_calls":null}}]}"#,
            r#"{"choices":[]}"#,
            r#"{"role":"assistant","content":"hi"}"#,
            r#"{"tool_calls":null}"#,
            "[]",
        ] {
            assert_eq!(decode(text).unwrap(), [], "{text}");
        }
    }

    #[test]
    fn of_several_choices_with_calls_none_is_run() {
        let choice = r#"{"message":{"tool_calls":[{"function":{"name":"f"}}]}}"#;
        let one = format!(r#"{{"choices":[{{"message":{{}}}},{choice}]}}"#);
        assert_eq!(decode(&one).unwrap().len(), 1);
        let two = format!(r#"{{"choices":[{choice},{choice}]}}"#);
        assert!(matches!(decode(&two), Err(DecodeError::Shape { .. })));
    }

    #[test]
    fn an_array_is_no_object_whose_members_are_in_order() {
        for text in [r#"["id",{"name":"f"}]"#, r#"[["id",{"name":"f"}]]"#] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
