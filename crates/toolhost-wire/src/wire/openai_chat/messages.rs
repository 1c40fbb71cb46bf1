//! Chat messages: the calls in them, wherever servers and frameworks put them, and the message as
//! it is sent back.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::tool::{CallKind, CallOrigin, ToolCall};
use crate::wire::duplicate_calls::{edited_without_copies, without_copies};
use crate::wire::error::{DecodeError, shape};
use crate::wire::history::{role, without_results};
use crate::wire::object_merge::members;
use crate::wire::sent_back::{edited, kept, without_nulls};
use crate::wire::{arguments, array, first_given, frameworks, label, object, origin, unread_calls};

#[derive(Deserialize)]
pub(super) struct ChatMessage<'a> {
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<&'a RawValue>,
    /// The predecessor of `tool_calls`.
    #[serde(borrow)]
    pub(super) function_call: Option<&'a RawValue>,
    /// Vercel's, and calls that it ran itself.
    #[serde(borrow, rename = "toolCalls")]
    pub(super) tool_calls_of_sdk: Option<&'a RawValue>,
    #[serde(borrow, rename = "toolResults")]
    tool_results: Option<&'a RawValue>,
    /// LangChain's: those whose arguments it could not parse.
    #[serde(borrow)]
    invalid_tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct ChatCall<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) function: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) custom: Option<&'a RawValue>,
}

/// A function, or a custom tool, whose input is free text.
#[derive(Deserialize)]
pub(super) struct CalledFunction<'a> {
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    /// Text of models trained to write calls that way, if their server does not parse it.
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

impl<'a> CalledFunction<'a> {
    fn given(&self) -> Option<&'a RawValue> {
        first_given(&[self.arguments, self.parameters, self.args, self.input])
    }
}

/// The calls of a message, wherever they are: several places contain the same calls in other terms.
pub(super) fn message_calls(raw: &RawValue) -> Result<Vec<ToolCall>, DecodeError> {
    let message: ChatMessage = object(raw)?;
    let mut calls = Vec::new();
    for place in [message.tool_calls, message.tool_calls_of_sdk] {
        if let Some(place) = place.filter(|_| calls.is_empty()) {
            // Some send a single call without an array.
            calls = match place.get().starts_with('{') {
                true => vec![call(place)?],
                false => listed(&array(place)?)?,
            };
        }
    }
    for invalid in message
        .invalid_tool_calls
        .map(array)
        .transpose()?
        .unwrap_or_default()
    {
        calls.extend(frameworks::call(invalid));
    }
    if let Some(function) = message.function_call.filter(|_| calls.is_empty()) {
        calls.push(legacy(function)?);
    }
    if calls.is_empty() {
        calls = frameworks::content_calls(message.content);
    }
    let calls = without_results(
        without_copies(calls),
        frameworks::answered(message.tool_results),
    );
    let parts = message.content.and_then(|content| array(content).ok());
    unread_calls::with_unknown(calls, &parts.unwrap_or_default(), frameworks::CALL_KINDS)
}

/// The ids of the results in a message.
pub(super) fn answered(raw: &RawValue) -> Vec<Option<String>> {
    let Ok(message) = object::<ChatMessage>(raw) else {
        return Vec::new();
    };
    let in_content = frameworks::answered(message.content);
    let role = role(raw);
    match role.as_deref() {
        Some("tool" | "function") if in_content.is_empty() => vec![label(message.tool_call_id)],
        _ => in_content,
    }
}

pub(super) fn listed(items: &[&RawValue]) -> Result<Vec<ToolCall>, DecodeError> {
    let calls = items
        .iter()
        .map(|item| match (is_run_elsewhere(item), other_kind(item)) {
            (true, _) => Ok(None),
            (false, Some(kind)) => {
                unread_calls::called(kind, &members(item).unwrap_or_default()).map(Some)
            }
            (false, None) => call(item).map(Some),
        });
    calls.filter_map(Result::transpose).collect()
}

/// The kind of a call, if it is not a function's and unknown.
fn other_kind(item: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct ChatCall<'a> {
        #[serde(borrow)]
        r#type: Option<&'a RawValue>,
        #[serde(borrow)]
        function: Option<&'a RawValue>,
        #[serde(borrow)]
        custom: Option<&'a RawValue>,
    }
    let call: ChatCall = object(item).ok()?;
    let is_known = call.function.is_some() || call.custom.is_some();
    let kind = label(call.r#type).filter(|kind| !is_known && kind != "function")?;
    frameworks::call(item).is_none().then_some(kind)
}

/// Whether a provider ran a call itself.
fn is_run_elsewhere(item: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct ChatCall<'a> {
        #[serde(borrow, rename = "providerExecuted")]
        provider_executed: Option<&'a RawValue>,
    }
    let call: Option<ChatCall> = object(item).ok();
    let flag = call.and_then(|call| call.provider_executed);
    flag.is_some_and(|flag| flag.get() == "true")
}

pub(super) fn call(raw: &RawValue) -> Result<ToolCall, DecodeError> {
    let call: ChatCall = object(raw)?;
    let (kind, called) = match (call.function, call.custom) {
        (Some(function), _) => (CallKind::Function, function),
        (None, Some(custom)) => (CallKind::FreeText, custom),
        (None, None) => return without_function(raw, call.id),
    };
    let called: CalledFunction = object(called)?;
    Ok(ToolCall {
        id: label(call.id),
        name: label(called.name).unwrap_or_default(),
        arguments: arguments(called.given()),
        origin: origin(CallOrigin {
            kind,
            ..CallOrigin::default()
        }),
        ..ToolCall::default()
    })
}

/// A call of another shape; or one said to be a function call whose function a server lost: it has
/// an id that needs a result, and no name that could be a tool's.
fn without_function(raw: &RawValue, id: Option<&RawValue>) -> Result<ToolCall, DecodeError> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        r#type: Option<&'a RawValue>,
    }
    if let Some(call) = frameworks::call(raw) {
        return Ok(call);
    }
    let kind: Kind = object(raw)?;
    match label(kind.r#type).as_deref() {
        Some("function") => Ok(ToolCall {
            id: label(id),
            ..ToolCall::default()
        }),
        _ => Err(shape("a tool call without its `function`")),
    }
}

fn legacy(raw: &RawValue) -> Result<ToolCall, DecodeError> {
    let called: CalledFunction = object(raw)?;
    Ok(ToolCall {
        id: None,
        name: label(called.name).unwrap_or_default(),
        arguments: arguments(called.given()),
        origin: origin(CallOrigin {
            kind: CallKind::Legacy,
            ..CallOrigin::default()
        }),
        ..ToolCall::default()
    })
}

/// The message as it is sent back: an API refuses `null` for unset members, empty `tool_calls`, and
/// what its SDK adds to a message.
pub(in crate::wire) fn back(message: &RawValue) -> Box<RawValue> {
    let message = edited(message, |key, value| {
        if key == "tool_calls" {
            let calls =
                edited_without_copies(value, |item| call(item).ok(), |call| Some(call_back(call)));
            return (calls.get() != "[]" && calls.get() != "null").then_some(calls);
        }
        kept(key, value, &["content"], &["parsed"]).then_some(Cow::Borrowed(value))
    });
    message.into_owned()
}

fn call_back(call: &RawValue) -> Cow<'_, RawValue> {
    edited(call, |key, value| match key {
        "function" | "custom" if value.get() != "null" => {
            Some(without_nulls(value, &["arguments"], &["parsed_arguments"]))
        }
        _ => kept(key, value, &[], &[]).then_some(Cow::Borrowed(value)),
    })
}
