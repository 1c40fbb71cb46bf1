//! Responses inside of something else: what an HTTP client, a batch API, a framework or a second
//! encoding as JSON puts around them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::DecodeError;
use super::members::members;

/// No response has more around it.
const MOST_LAYERS: usize = 5;

/// Members that hold the response where it is not the object itself, the first of them that is there.
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
    // What was asked and answered so far.
    "messages",
    "contents",
    "input",
    // LangChain's structured output, and Gemini's Live API.
    "raw",
    "toolCall",
    "tool_call",
];

/// What `read` makes of the text, or of what it holds if it makes nothing of that, which it is told. Where something looks
/// like a call, only what `has_calls` will do.
///
/// # Errors
///
/// That of the innermost that says more than what it is not.
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
    // What looks like a call by itself holds arguments, not a response.
    if has("name") && !has("lc") {
        return None;
    }
    for name in HOLDERS {
        let mut held = members.iter().filter(|(key, _)| key == name);
        let Some((_, value)) = held.next() else {
            continue;
        };
        // Of two it is not known which is meant.
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

/// What a string holds, if that may be a document.
fn string(raw: &RawValue) -> Option<String> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    let is_document = text.trim_ascii_start().starts_with(['{', '[', '"']);
    is_document.then_some(text)
}
