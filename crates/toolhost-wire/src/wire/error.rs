//! Why a response could not be read.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Format, label, object};

/// Why a response holds no calls that could be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There is nothing in it.
    #[error("the input is empty")]
    Empty,
    /// It is not text.
    #[error(
        "the input is not UTF-8: invalid byte at offset {offset}; pass the response exactly as the API sent it"
    )]
    NotUtf8 {
        /// Where, from 0.
        offset: usize,
    },
    /// It is not JSON, and it shows what it is.
    #[error("the input is not JSON but looks like {like}: {advice}")]
    LooksLike {
        /// What it looks like.
        like: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// No call could be read, and something in it must be one.
    #[error("no tool call could be read from the input, but {what}")]
    Unread {
        /// What looks like a call, and where.
        what: String,
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
    /// It could be of several formats.
    #[error("the input fits several formats: {}; choose one", names(.fits))]
    Ambiguous {
        /// Those that it fits.
        fits: Vec<Format>,
    },
    /// It is the API's own error.
    #[error("the API answered with an error: {}{message}", prefix(.kind))]
    Api {
        /// The API's word for the kind of error; may be empty.
        kind: String,
        /// What it says.
        message: String,
    },
    /// It is no event stream.
    #[error("the input is not an event stream: {why}")]
    NotEvents {
        /// Why not.
        why: String,
    },
    /// One event of a stream is not what the API sends.
    #[error("event {number} of the stream: {error}")]
    Event {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        error: Box<DecodeError>,
    },
    /// The stream could not be read to its end.
    #[error("the stream broke: {why}")]
    Broken {
        /// Why.
        why: String,
    },
}

/// No wire format has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{name}`; known formats: {}", names(&Format::ALL))]
#[non_exhaustive]
pub struct UnknownFormat {
    /// The name.
    pub name: String,
}

/// What `decode` takes, in a sentence.
const EXPECTED: &str = "a response from OpenAI (Chat Completions or Responses), Anthropic, Gemini, Ollama or \
                        Bedrock, just its message or calls, an MCP `tools/call` request, or JSON Lines of \
                        {\"id\", \"name\", \"arguments\"}";

pub(super) fn shape(found: impl Into<String>) -> DecodeError {
    DecodeError::Shape {
        found: found.into(),
        expected: EXPECTED,
    }
}

/// Why text is not what was looked for: no JSON at all, or JSON of another shape.
pub(super) fn unfit(error: serde_json::Error) -> DecodeError {
    if error.is_data() {
        shape(format!("JSON of an unknown shape ({error})"))
    } else {
        DecodeError::NotJson { error }
    }
}

/// The message of an API's error, which is an object with one, or a text.
#[doc(hidden)]
pub fn api_error(raw: &RawValue) -> DecodeError {
    #[derive(Deserialize)]
    struct Error<'a> {
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        #[serde(borrow)]
        r#type: Option<&'a RawValue>,
        #[serde(borrow)]
        status: Option<&'a RawValue>,
        #[serde(borrow)]
        code: Option<&'a RawValue>,
    }
    let error = object::<Error>(raw).ok();
    let message = error.as_ref().and_then(|error| label(error.message));
    let kind = error.and_then(|error| {
        let kinds = [error.r#type, error.status, error.code];
        let mut kinds = kinds.into_iter().filter_map(label);
        kinds.find(|kind| kind != "error")
    });
    DecodeError::Api {
        kind: kind.unwrap_or_default(),
        message: message.unwrap_or_else(|| label(Some(raw)).unwrap_or_default()),
    }
}

/// An error that an API sends as an event, in whichever of their shapes.
pub(super) fn error_event(data: &str) -> Option<DecodeError> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        r#type: Option<String>,
    }
    let raw: &RawValue = serde_json::from_str(data).ok()?;
    let event: Event = object(raw).ok()?;
    match event.error {
        Some(error) => Some(api_error(error)),
        // OpenAI Responses has the error's own members beside the event's type.
        None => (event.r#type.as_deref() == Some("error")).then(|| api_error(raw)),
    }
}

fn prefix(kind: &str) -> String {
    match kind {
        "" => String::new(),
        kind => format!("{kind}: "),
    }
}

fn names(formats: &[Format]) -> String {
    let names: Vec<_> = formats.iter().map(|format| format.name()).collect();
    names.join(", ")
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
