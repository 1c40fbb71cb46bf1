//! A conversation so far instead of a response: what is to be run of it are the calls of its last
//! message, if that is the model's and has no results yet.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::DecodeError;
use super::{label, object};
use crate::tool::ToolCall;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// Who says a message, in any API's words; `None` if it is no message.
pub(super) fn role(message: &RawValue) -> Option<String> {
    let message: Message = object(message).ok()?;
    if let Some(role) = label(message.role) {
        return Some(role);
    }
    // LangChain's.
    message.content?;
    let kind = label(message.r#type)?;
    let kinds = [
        "human",
        "ai",
        "system",
        "tool",
        "function",
        "AIMessageChunk",
    ];
    kinds.contains(&&*kind).then_some(kind)
}

/// Whether a message is the model's.
pub(super) fn is_models(message: &RawValue) -> bool {
    let role = role(message);
    matches!(
        role.as_deref(),
        Some("assistant" | "model" | "ai" | "AIMessageChunk")
    )
}

/// Whether items are the messages of a conversation.
pub(super) fn is_history(items: &[&RawValue]) -> bool {
    !items.is_empty() && items.iter().all(|item| role(item).is_some())
}

/// The calls to run of a history: `calls` are those of one message, and `answered` the ids of the
/// results in one.
///
/// # Errors
///
/// That of `calls`; or more was said after a call that has no result.
pub(super) fn open_calls(
    messages: &[&RawValue],
    calls: impl Fn(&RawValue) -> Result<Vec<ToolCall>, DecodeError>,
    answered: impl Fn(&RawValue) -> Vec<Option<String>>,
) -> Result<Vec<ToolCall>, DecodeError> {
    let Some((last, earlier)) = messages.split_last() else {
        return Ok(Vec::new());
    };
    // The model may have said more before anybody answered.
    let (own, messages) = match is_models(last) {
        true => (calls(last)?, earlier),
        false => (Vec::new(), messages),
    };
    let mut results = Vec::new();
    for message in messages.iter().rev() {
        if is_models(message) {
            let calls = calls(message)?;
            if !calls.is_empty() {
                return match without_results(calls, results).first() {
                    None => Ok(own),
                    Some(open) => Err(waits(open)),
                };
            }
        }
        results.extend(answered(message));
    }
    Ok(own)
}

/// The calls for which there is no result: one with an id by that, one without by their number.
pub(super) fn without_results(
    mut calls: Vec<ToolCall>,
    mut results: Vec<Option<String>>,
) -> Vec<ToolCall> {
    calls.retain(|call| {
        let place = results.iter().position(|id| *id == call.id);
        let place = place.or_else(|| match call.id {
            None => (!results.is_empty()).then_some(0),
            Some(_) => results.iter().position(Option::is_none),
        });
        place.map(|place| results.remove(place)).is_none()
    });
    calls
}

pub(super) fn waits(call: &ToolCall) -> DecodeError {
    let id = call.id.as_ref().map(|id| format!(" (`{id}`)"));
    DecodeError::Unread {
        what: format!(
            "it is a conversation in which a call of `{}`{} has no result but later messages follow: pass only \
             the message with the call",
            call.name,
            id.unwrap_or_default()
        ),
    }
}
