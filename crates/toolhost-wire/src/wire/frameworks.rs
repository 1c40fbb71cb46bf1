//! Calls in the shapes of frameworks that hide the APIs: LangChain's messages, and Vercel's AI SDK.
//! They are decoded as `openai-chat`, whose answers LangChain accepts; the AI SDK gets its own.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::Answer;
use super::detail::Detail;
use super::{arguments, array, first_given, label, object, origin, raw, string};
use crate::tool::{CallKind, CallOrigin, ToolCall};

/// The types of items that are calls, in content or by themselves.
pub(super) const CALL_KINDS: &[&str] = &["tool_call", "tool-call", "invalid_tool_call"];

#[derive(Deserialize)]
struct FrameworkCall<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow, rename = "toolCallId")]
    tool_call_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "toolName")]
    tool_name: Option<&'a RawValue>,
    #[serde(borrow, rename = "providerExecuted")]
    provider_executed: Option<&'a RawValue>,
}

/// Decodes an item, if it has the members of a call.
pub(super) fn call(item: &RawValue) -> Option<ToolCall> {
    let call: FrameworkCall = object(item).ok()?;
    if call
        .provider_executed
        .is_some_and(|flag| flag.get() == "true")
    {
        return None;
    }
    let is_ai_sdk = call.tool_name.is_some();
    let name = call.tool_name.or(call.name)?;
    let kind = match (is_ai_sdk, call.input) {
        (false, _) => CallKind::Function,
        (true, Some(_)) => CallKind::AiSdk,
        (true, None) => CallKind::AiSdk4,
    };
    Some(ToolCall {
        id: label(call.tool_call_id.or(call.id)),
        name: label(Some(name)).unwrap_or_default(),
        arguments: arguments(first_given(&[call.args, call.arguments, call.input])),
        origin: origin(CallOrigin {
            kind,
            ..CallOrigin::default()
        }),
        ..ToolCall::default()
    })
}

/// The calls among the parts of a content.
pub(super) fn content_calls(content: Option<&RawValue>) -> Vec<ToolCall> {
    let parts = content.and_then(|content| array(content).ok());
    let parts = parts.unwrap_or_default().into_iter();
    parts
        .filter(|part| is_call(part))
        .filter_map(call)
        .collect()
}

/// Whether a content has calls among its parts.
pub(super) fn has_calls(content: Option<&RawValue>) -> bool {
    let parts = content.and_then(|content| array(content).ok());
    parts.unwrap_or_default().into_iter().any(is_call)
}

fn is_call(part: &RawValue) -> bool {
    let part: Option<FrameworkCall> = object(part).ok();
    let kind = part.and_then(|part| string(part.r#type));
    kind.is_some_and(|kind| CALL_KINDS.contains(&&*kind))
}

/// The ids of the results in a content, or in `toolResults`.
pub(super) fn answered(content: Option<&RawValue>) -> Vec<Option<String>> {
    let parts = content.and_then(|content| array(content).ok());
    let parts = parts.unwrap_or_default().into_iter();
    let ids = parts.filter_map(|part| {
        let part: FrameworkCall = object(part).ok()?;
        let is_result = string(part.r#type).is_none_or(|kind| kind != "tool-call");
        is_result.then(|| label(part.tool_call_id)).flatten()
    });
    ids.map(Some).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResultPart<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    tool_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_error: bool,
    #[serde(flatten)]
    detail: Option<Detail<'a>>,
}

/// The answer to a call of the AI SDK: a message of its own.
pub(super) fn answer(answer: &Answer) -> Box<RawValue> {
    let is_old = answer.kind() == CallKind::AiSdk4;
    let kind = match answer.is_error() {
        true => "error-text",
        false => "text",
    };
    let text = answer.to_text();
    let part = ToolResultPart {
        r#type: "tool-result",
        tool_call_id: answer.id(),
        tool_name: answer.name,
        is_error: is_old && answer.is_error(),
        output: (!is_old).then(|| json!({ "type": kind, "value": text })),
        result: is_old.then_some(text),
        detail: answer.detail(),
    };
    #[derive(Serialize)]
    struct Message<'a> {
        role: &'static str,
        content: [ToolResultPart<'a>; 1],
    }
    raw(&Message {
        role: "tool",
        content: [part],
    })
}
