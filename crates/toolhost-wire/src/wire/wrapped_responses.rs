//! Unwraps responses: what HTTP clients, batch APIs, frameworks or double JSON encoding put around
//! them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::DecodeError;
use super::object_merge::members;

/// The most layers of wrapping.
const MOST_LAYERS: usize = 5;

/// Members that may contain the response, by precedence.
const HOLDERS: &[&str] = &[
    // LangChain's serialized objects, and its messages as dictionaries.
    "kwargs",
    "data",
    // HTTP clients, the batches of OpenAI and Gemini, events of OpenAI Responses.
    "body",
    "response",
    // The batches of Anthropic, Cloudflare's Workers AI.
    "result",
    "message",
    // Qwen's own API.
    "output",
    // A conversation.
    "messages",
    "contents",
    "input",
    // LangChain's structured output, and Gemini's Live API.
    "raw",
    "toolCall",
    "tool_call",
];

/// Applies `read` to the text, or to what it wraps if that fails; `read` is told which. If
/// something looks like a call, only a result that `has_calls` counts.
///
/// # Errors
///
/// That of the innermost layer with a specific error.
pub(super) fn within<T>(
    text: &str,
    read: impl Fn(&str, bool) -> Result<T, DecodeError>,
    has_calls: impl Fn(&T) -> bool,
) -> Result<T, DecodeError> {
    let mut error = match read(text, false) {
        Err(error) if may_be_wrapped(&error) => error,
        done => return done,
    };
    let mut inner = Cow::Borrowed(text);
    for _ in 0..MOST_LAYERS {
        let Some(next) = held(&inner) else {
            break;
        };
        inner = Cow::Owned(next);
        match read(&inner, true) {
            Err(DecodeError::Shape { .. } | DecodeError::NotJson { .. }) => {}
            Err(other @ DecodeError::Unread { .. }) => error = other,
            Ok(read) if matches!(error, DecodeError::Unread { .. }) && !has_calls(&read) => {}
            done => return done,
        }
    }
    Err(error)
}

fn may_be_wrapped(error: &DecodeError) -> bool {
    matches!(
        error,
        DecodeError::Shape { .. } | DecodeError::Unread { .. }
    )
}

/// The document inside.
fn held(text: &str) -> Option<String> {
    let document: &RawValue = serde_json::from_str(text).ok()?;
    if document.get().starts_with('"') {
        return string(document);
    }
    let members = members(document)?;
    let has = |name: &str| members.iter().any(|(key, _)| key == name);
    // Something that looks like a call contains arguments, not a response.
    if has("name") && !has("lc") {
        return None;
    }
    for name in HOLDERS {
        let mut held = members.iter().filter(|(key, _)| key == name);
        let Some((_, value)) = held.next() else {
            continue;
        };
        // Of two, either could be meant.
        if held.next().is_some() {
            return None;
        }
        let document = match value.get().as_bytes()[0] {
            b'{' | b'[' => Some(value.get().to_owned()),
            b'"' => string(value),
            _ => None,
        };
        if document.is_some() {
            return document;
        }
    }
    None
}

/// The content of a string, if it may be a document.
fn string(raw: &RawValue) -> Option<String> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    let is_document = text.trim_ascii_start().starts_with(['{', '[', '"']);
    is_document.then_some(text)
}
