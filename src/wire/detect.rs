//! Which format a response is in, by its shape alone. What fits two is not guessed at.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{DecodeError, shape, unfit};
use super::stream::error_event;
use super::{Format, array, object};

/// The keys that tell the formats apart.
#[derive(Deserialize)]
struct Keys<'a> {
    // OpenAI Chat Completions: a completion, a message, a call.
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    custom: Option<&'a RawValue>,
    // OpenAI Responses.
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    // Messages of several.
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    content: Option<&'a RawValue>,
    // Gemini: a response, a content, a part.
    #[serde(borrow)]
    candidates: Option<&'a RawValue>,
    #[serde(borrow, rename = "promptFeedback")]
    prompt_feedback: Option<&'a RawValue>,
    #[serde(borrow)]
    parts: Option<&'a RawValue>,
    #[serde(
        borrow,
        rename = "functionCall",
        alias = "inlineData",
        alias = "fileData",
        alias = "executableCode",
        alias = "codeExecutionResult"
    )]
    part: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    // MCP.
    #[serde(borrow)]
    jsonrpc: Option<&'a RawValue>,
    // toolhost's own.
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    /// What others call them.
    #[serde(borrow, alias = "input")]
    args: Option<&'a RawValue>,
    /// What it is, in most of them.
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
}

/// `null` counts as present.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// A set of formats.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fits(u8);

impl Fits {
    const NONE: Fits = Fits(0);
    const ALL: Fits = Fits(u8::MAX);

    fn when(self, condition: bool, format: Format) -> Fits {
        Fits(self.0 | u8::from(condition) << format as u8)
    }

    fn and(self, other: Fits) -> Fits {
        Fits(self.0 & other.0)
    }

    fn list(self) -> Vec<Format> {
        let formats = Format::ALL.into_iter();
        formats
            .filter(|format| self.0 & 1 << *format as u8 != 0)
            .collect()
    }
}

/// The format of a response.
///
/// # Errors
///
/// It is no JSON, or it fits none, or several.
pub(super) fn detect(text: &str) -> Result<Format, DecodeError> {
    let fits = match serde_json::from_str::<&RawValue>(text) {
        Ok(document) => whole(document)?,
        Err(error) => lines(text, error)?,
    };
    match fits.list()[..] {
        [] => Err(error_event(text).unwrap_or_else(|| shape("an object of another shape"))),
        [format] => Ok(format),
        ref fits => Err(DecodeError::Ambiguous {
            fits: fits.to_vec(),
        }),
    }
}

/// Not one document: JSON Lines if its first line is a document by itself.
fn lines(text: &str, error: serde_json::Error) -> Result<Fits, DecodeError> {
    let first = text.trim_ascii_start().lines().next().unwrap_or_default();
    let Ok(line) = serde_json::from_str::<&RawValue>(first) else {
        return Err(DecodeError::NotJson { error });
    };
    let by_line = Fits::NONE.when(true, Format::Json).when(true, Format::Mcp);
    match whole(line)?.and(by_line) {
        Fits::NONE => Err(DecodeError::NotJson { error }),
        fits => Ok(fits),
    }
}

fn whole(document: &RawValue) -> Result<Fits, DecodeError> {
    match document.get().as_bytes()[0] {
        b'{' => one(document),
        b'[' => {
            let items = array(document)?;
            // There is nothing in it that formats could differ about.
            if items.is_empty() {
                return Ok(Fits::NONE.when(true, Format::OpenaiChat));
            }
            let mut fits = Fits::ALL;
            for item in items {
                fits = fits.and(one(item)?);
            }
            Ok(fits)
        }
        _ => Err(shape("neither an object nor an array")),
    }
}

/// The formats that an object could be of.
fn one(raw: &RawValue) -> Result<Fits, DecodeError> {
    let keys: Keys = object(raw)?;
    let kind: Option<String> = match keys.r#type {
        Some(kind) => serde_json::from_str(kind.get()).ok(),
        None => None,
    };
    let kind = kind.as_deref();
    let is_array = |raw: Option<&RawValue>| raw.is_some_and(|raw| raw.get().starts_with('['));
    let is_string = |raw: Option<&RawValue>| raw.is_some_and(|raw| raw.get().starts_with('"'));
    let is_role = |name: &str| {
        keys.role
            .is_some_and(|role| role.get().trim_matches('"') == name)
    };
    let message = keys.role.is_some() && kind.is_none_or(|kind| kind == "message");
    let block = matches!(
        kind,
        Some("tool_use" | "text" | "thinking" | "redacted_thinking" | "server_tool_use")
    );
    let item = matches!(
        kind,
        Some("function_call" | "reasoning" | "custom_tool_call")
    );
    let own = keys.name.is_some()
        && (keys.arguments.is_some() || keys.role.is_none())
        && kind.is_none()
        && keys.function.is_none()
        && keys.args.is_none()
        && keys.jsonrpc.is_none();
    Ok(Fits::NONE
        .when(
            keys.choices.is_some()
                || keys.tool_calls.is_some()
                || keys.function.is_some()
                || keys.custom.is_some()
                || message && kind.is_none() && !is_array(keys.content) && keys.parts.is_none(),
            Format::OpenaiChat,
        )
        // A message among items is told by what stands beside it, or by its own kind of content.
        .when(
            is_array(keys.output)
                || item
                || kind == Some("message") && responses_content(keys.content),
            Format::OpenaiResponses,
        )
        .when(
            block
                || message
                    && is_array(keys.content)
                    && keys.tool_calls.is_none()
                    && !responses_content(keys.content),
            Format::Anthropic,
        )
        .when(
            keys.candidates.is_some()
                || keys.prompt_feedback.is_some()
                || keys.parts.is_some()
                || keys.part.is_some()
                || is_string(keys.text) && kind.is_none() && !is_role("assistant"),
            Format::Gemini,
        )
        .when(keys.jsonrpc.is_some(), Format::Mcp)
        .when(own, Format::Json))
}

/// Whether a message's content is of the kind that only OpenAI Responses has.
fn responses_content(content: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Part {
        r#type: Option<String>,
    }
    let Some(parts) = content.and_then(|content| array(content).ok()) else {
        return false;
    };
    parts.iter().any(|part| {
        object::<Part>(part)
            .is_ok_and(|part| matches!(part.r#type.as_deref(), Some("output_text" | "refusal")))
    })
}

/// The format of an event stream, by the data of an event; `None` if that could be of any.
///
/// # Errors
///
/// The data is no JSON object.
pub(super) fn detect_event(data: &str) -> Result<Option<Format>, DecodeError> {
    #[derive(Deserialize)]
    struct Keys<'a> {
        #[serde(borrow)]
        choices: Option<&'a RawValue>,
        #[serde(borrow)]
        candidates: Option<&'a RawValue>,
        #[serde(borrow, rename = "usageMetadata")]
        usage_metadata: Option<&'a RawValue>,
        #[serde(borrow, rename = "promptFeedback")]
        prompt_feedback: Option<&'a RawValue>,
        #[serde(borrow)]
        r#type: Option<&'a RawValue>,
    }
    let raw: &RawValue = serde_json::from_str(data).map_err(unfit)?;
    let keys: Keys = object(raw)?;
    let kind: Option<String> = match keys.r#type {
        Some(kind) => serde_json::from_str(kind.get()).ok(),
        None => None,
    };
    let kind = kind.as_deref().unwrap_or_default();
    let fits = Fits::NONE
        .when(keys.choices.is_some(), Format::OpenaiChat)
        .when(kind.starts_with("response."), Format::OpenaiResponses)
        .when(
            kind.starts_with("message_") || kind.starts_with("content_block_") || kind == "ping",
            Format::Anthropic,
        )
        .when(
            keys.candidates.is_some()
                || keys.usage_metadata.is_some()
                || keys.prompt_feedback.is_some(),
            Format::Gemini,
        );
    match fits.list()[..] {
        [] => Ok(None),
        [format] => Ok(Some(format)),
        ref fits => Err(DecodeError::Ambiguous {
            fits: fits.to_vec(),
        }),
    }
}
