//! Between the bytes of an API and the library's calls and results: one file for each format.
//!
//! Decoding takes a whole response apart without reading the arguments of its calls, so that what
//! is wrong with one of them is that call's result and not the response's end.

pub mod json;
pub mod openai_chat;

use std::fmt;
use std::str::FromStr;

use serde_json::value::RawValue;

use crate::tool::ToolCall;

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// OpenAI Chat Completions: a response, its message, or the message's `tool_calls`.
    OpenaiChat,
    /// toolhost's own: JSON Lines of `{"id", "name", "arguments"}`.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::OpenaiChat => "openai-chat",
            Format::Json => "json",
        })
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "openai-chat" | "openai" => Ok(Format::OpenaiChat),
            "json" => Ok(Format::Json),
            _ => Err(format!(
                "no format `{text}`; there are openai-chat and json"
            )),
        }
    }
}

/// Why a response holds no calls that could be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There is nothing in it.
    #[error("the input is empty")]
    Empty,
    /// It is not text.
    #[error("the input is not UTF-8: byte {offset} begins no character")]
    NotUtf8 {
        /// Where, from 0.
        offset: usize,
    },
    /// It is not JSON.
    #[error("the input is not JSON: {error}{}", cut_hint(.error))]
    NotJson {
        /// Why, and at which line and column.
        error: serde_json::Error,
    },
    /// One line of JSON Lines is not a call.
    #[error("line {line} is not a call: {}{}", in_line(.error), cut_hint(.error))]
    Line {
        /// Which, from 1.
        line: usize,
        /// Why; its own line number is 1.
        error: serde_json::Error,
    },
    /// It is JSON of another shape.
    #[error("the input is {found}; it must be {expected}")]
    Shape {
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

fn cut_hint(error: &serde_json::Error) -> &'static str {
    if error.is_eof() {
        " (was it cut off?)"
    } else {
        ""
    }
}

/// The error of one line, which has no number in it.
fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(reason) if error.column() > 0 => format!("{reason} at column {}", error.column()),
        _ => text,
    }
}

/// Why text is not what was looked for: no JSON at all, or JSON of another shape.
fn unfit(error: serde_json::Error) -> DecodeError {
    if error.is_data() {
        DecodeError::Shape {
            found: format!("of another shape ({error})"),
            expected: EXPECTED,
        }
    } else {
        DecodeError::NotJson { error }
    }
}

/// What `decode` takes, in a sentence.
const EXPECTED: &str = "an OpenAI chat completion, its message, its `tool_calls` array, \
     or JSON Lines of {\"id\", \"name\", \"arguments\"}";

/// The calls of a response, in order, and the format they were in: `format`, or what the shape
/// says if that is `None`.
///
/// # Errors
///
/// The response is not of that format, or of none.
pub fn decode(
    response: &[u8],
    format: Option<Format>,
) -> Result<(Format, Vec<ToolCall>), DecodeError> {
    let text = std::str::from_utf8(response).map_err(|error| DecodeError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err(DecodeError::Empty);
    }
    let format = match format {
        Some(format) => format,
        None => detect(text)?,
    };
    let calls = match format {
        Format::OpenaiChat => openai_chat::decode(text)?,
        Format::Json => json::decode(text)?,
    };
    Ok((format, calls))
}

fn detect(text: &str) -> Result<Format, DecodeError> {
    let error = match serde_json::from_str::<&RawValue>(text) {
        Ok(document) => return detect_document(document.get()),
        Err(error) => error,
    };
    // Not one document: JSON Lines if its first line is a document by itself.
    let first = text.trim_ascii_start().lines().next().unwrap_or_default();
    match serde_json::from_str::<&RawValue>(first) {
        Ok(line) => match detect_document(line.get())? {
            Format::Json => Ok(Format::Json),
            Format::OpenaiChat => Err(DecodeError::NotJson { error }),
        },
        Err(_) => Err(DecodeError::NotJson { error }),
    }
}

/// The keys that tell the formats apart.
#[derive(serde::Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
}

/// `null` counts as present.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

fn detect_document(document: &str) -> Result<Format, DecodeError> {
    let other = |found: &str| DecodeError::Shape {
        found: found.to_owned(),
        expected: EXPECTED,
    };
    if document.starts_with('[') {
        return Ok(Format::OpenaiChat);
    }
    if !document.starts_with('{') {
        return Err(other("neither an object nor an array"));
    }
    let shape: Shape = serde_json::from_str(document).map_err(unfit)?;
    if shape.choices.is_some() || shape.role.is_some() || shape.tool_calls.is_some() {
        Ok(Format::OpenaiChat)
    } else if shape.name.is_some() && shape.function.is_none() {
        Ok(Format::Json)
    } else if shape.function.is_some() {
        Err(other("one entry of `tool_calls` without its array"))
    } else {
        Err(other("an object of another shape"))
    }
}

/// The JSON text of arguments that are given as an object, or as a string that holds one.
fn arguments(raw: Option<&RawValue>) -> String {
    let Some(raw) = raw else {
        return String::new();
    };
    match raw.get() {
        "null" => String::new(),
        // A string that does not decode, as one with half a surrogate pair, stays as it is written:
        // the call is then answered with the same error.
        text if text.starts_with('"') => {
            serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
        }
        text => text.to_owned(),
    }
}

/// An id or a name: a string as it is, anything else as its JSON text.
fn label(raw: Option<&RawValue>) -> Option<String> {
    let text = raw?.get();
    match text {
        "null" => None,
        text => Some(serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())),
    }
}
