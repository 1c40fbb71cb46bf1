//! Which format a response is in, by its shape alone. What fits two is not guessed at.

pub(super) mod content;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{DecodeError, error_event, shape, unfit};
use super::frameworks;
use super::history::{is_history, is_models};
use super::looks::looks_like;
use super::{Format, array, object, string};
use content::{ANTHROPIC_BLOCKS, Content, RESPONSES_ITEMS};

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
    // Vercel's AI SDK.
    #[serde(borrow, rename = "toolCalls")]
    tool_calls_of_sdk: Option<&'a RawValue>,
    #[serde(borrow, rename = "toolCallId")]
    tool_call_id: Option<&'a RawValue>,
    // OpenAI Responses, or an object of Bedrock.
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    // Messages of several.
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    content: Option<&'a RawValue>,
    // A message inside: of Ollama, Bedrock, a choice of a chat completion.
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    done: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    // Bedrock: a block.
    #[serde(
        borrow,
        rename = "toolUse",
        alias = "toolResult",
        alias = "reasoningContent"
    )]
    tool_use: Option<&'a RawValue>,
    // Gemini: a response, a content, a part.
    #[serde(borrow)]
    candidates: Option<&'a RawValue>,
    #[serde(borrow, rename = "promptFeedback")]
    prompt_feedback: Option<&'a RawValue>,
    #[serde(borrow, rename = "prompt_feedback")]
    snake_prompt_feedback: Option<&'a RawValue>,
    #[serde(borrow)]
    parts: Option<&'a RawValue>,
    #[serde(borrow, rename = "functionCall")]
    function_call: Option<&'a RawValue>,
    /// A part, or a chat message of old.
    #[serde(borrow, rename = "function_call")]
    snake_function_call: Option<&'a RawValue>,
    #[serde(borrow, rename = "functionCalls")]
    function_calls: Option<&'a RawValue>,
    #[serde(borrow, rename = "inlineData")]
    inline_data: Option<&'a RawValue>,
    #[serde(borrow, rename = "inline_data")]
    snake_inline_data: Option<&'a RawValue>,
    #[serde(borrow, rename = "fileData")]
    file_data: Option<&'a RawValue>,
    #[serde(borrow, rename = "file_data")]
    snake_file_data: Option<&'a RawValue>,
    #[serde(borrow, rename = "executableCode")]
    executable_code: Option<&'a RawValue>,
    #[serde(borrow, rename = "executable_code")]
    snake_executable_code: Option<&'a RawValue>,
    #[serde(borrow, rename = "codeExecutionResult")]
    code_result: Option<&'a RawValue>,
    #[serde(borrow, rename = "code_execution_result")]
    snake_code_result: Option<&'a RawValue>,
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
    /// What Gemini and LangChain call them.
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
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
struct Fits(u16);

impl Fits {
    const NONE: Fits = Fits(0);
    const ALL: Fits = Fits(u16::MAX);

    fn when(self, condition: bool, format: Format) -> Fits {
        Fits(self.0 | u16::from(condition) << format as u16)
    }

    fn and(self, other: Fits) -> Fits {
        Fits(self.0 & other.0)
    }

    fn list(self) -> Vec<Format> {
        let formats = Format::ALL.into_iter();
        formats
            .filter(|format| self.0 & 1 << *format as u16 != 0)
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
        [] => Err(error_event(text).unwrap_or_else(|| {
            shape(match text.trim_ascii_start().starts_with('[') {
                true => "an array whose items are not all of one format",
                false => "an object of an unknown shape",
            })
        })),
        [format] => Ok(format),
        // Texts alone, in which there is nothing that the two could differ about.
        [Format::Gemini, Format::Bedrock] => Ok(Format::Gemini),
        ref fits => Err(DecodeError::Ambiguous {
            fits: fits.to_vec(),
        }),
    }
}

/// Not one document: JSON Lines if its first line is a document by itself.
fn lines(text: &str, error: serde_json::Error) -> Result<Fits, DecodeError> {
    let not_json = |error| looks_like(text).unwrap_or(DecodeError::NotJson { error });
    let first = text.trim_ascii_start().lines().next().unwrap_or_default();
    let Ok(line) = serde_json::from_str::<&RawValue>(first) else {
        return Err(not_json(error));
    };
    let by_line = Fits::NONE
        .when(true, Format::Json)
        .when(true, Format::Mcp)
        .when(true, Format::Ollama);
    match whole(line)?.and(by_line) {
        Fits::NONE => Err(not_json(error)),
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
            for item in &items {
                fits = fits.and(one(item)?);
            }
            if fits != Fits::NONE {
                return Ok(fits);
            }
            mixed(&items)
        }
        _ => Err(shape("neither an object nor an array")),
    }
}

/// Messages of a conversation, which differ in how plain they are: the model's last one that is of one
/// format only says which. Items of OpenAI Responses stand among messages that could be of any.
fn mixed(items: &[&RawValue]) -> Result<Fits, DecodeError> {
    let responses = Fits::NONE.when(true, Format::OpenaiResponses);
    let mut is_responses = false;
    for item in items {
        let is_item = one(item)? == responses;
        is_responses |= is_item;
        if !is_item && super::history::role(item).is_none() {
            return Ok(Fits::NONE);
        }
    }
    if is_responses {
        return Ok(responses);
    }
    if !is_history(items) {
        return Ok(Fits::NONE);
    }
    let models = items.iter().rev().filter(|item| is_models(item));
    let mut said = models.chain(items.iter().rev()).map(|item| one(item));
    let found = said.find(|fits| fits.as_ref().is_ok_and(|fits| *fits != Fits::NONE));
    found.unwrap_or(Ok(Fits::NONE))
}

/// The formats that an object could be of.
fn one(raw: &RawValue) -> Result<Fits, DecodeError> {
    let keys: Keys = object(raw)?;
    let kind = string(keys.r#type);
    let kind = kind.as_deref();
    let begins =
        |raw: Option<&RawValue>, with: char| raw.is_some_and(|it| it.get().starts_with(with));
    let is_role = |name: &str| string(keys.role).as_deref() == Some(name);
    // LangChain says who it is by the type.
    let is_framework = matches!(
        kind,
        Some("ai" | "human" | "tool" | "system" | "AIMessageChunk")
    ) && keys.content.is_some();
    let message = keys.role.is_some() && kind.is_none_or(|kind| kind == "message");
    let content = Content::of(keys.content);
    let is_call = kind.is_some_and(|kind| frameworks::CALL_KINDS.contains(&kind));
    // Gemini and LangChain have calls of the same members, if nothing says what they are.
    let bare_args =
        keys.name.is_some() && keys.args.is_some() && kind.is_none() && keys.role.is_none();
    let own = keys.name.is_some()
        && (keys.arguments.is_some() || keys.role.is_none())
        && kind.is_none()
        && keys.function.is_none()
        && keys.args.is_none()
        && keys.input.is_none()
        && keys.jsonrpc.is_none();
    let inner = match keys.message {
        Some(inner) if begins(keys.message, '{') => Some(Content::of_message(inner)),
        _ => None,
    };
    let is_ollama = keys.done.is_some() && (inner.is_some() || begins(keys.response, '"'));
    let (legacy, part) = snake_call(keys.snake_function_call, keys.role.is_some());
    let parts = [
        keys.function_call,
        keys.function_calls,
        keys.inline_data,
        keys.snake_inline_data,
        keys.file_data,
        keys.snake_file_data,
        keys.executable_code,
        keys.snake_executable_code,
        keys.code_result,
        keys.snake_code_result,
    ];
    // A part of Gemini, a block of Bedrock.
    let is_text = begins(keys.text, '"')
        && kind.is_none()
        && !is_role("assistant")
        && keys.content.is_none()
        && keys.tool_calls_of_sdk.is_none();
    let is_item = kind.is_some_and(|kind| RESPONSES_ITEMS.contains(&kind));
    let is_block = kind
        .is_some_and(|kind| ANTHROPIC_BLOCKS.contains(&kind) || kind.ends_with("_tool_result"))
        && keys.tool_call_id.is_none();
    Ok(Fits::NONE
        .when(
            keys.choices.is_some()
                || keys.tool_calls.is_some() && inner.is_none()
                || begins(keys.function, '{')
                || keys.custom.is_some()
                || keys.tool_calls_of_sdk.is_some()
                || is_call
                || bare_args
                || is_framework
                || legacy
                || content == Content::AiSdk
                || matches!(inner, Some(Content::Other | Content::AiSdk)) && !is_ollama
                || message && kind.is_none() && content == Content::Other && keys.parts.is_none(),
            Format::OpenaiChat,
        )
        // A message among items is told by what stands beside it, or by its own kind of content.
        .when(
            begins(keys.output, '[')
                || is_item
                || kind == Some("message") && content == Content::Responses,
            Format::OpenaiResponses,
        )
        .when(
            is_block
                || message
                    && matches!(content, Content::Blocks | Content::Empty)
                    && keys.tool_calls.is_none()
                    && !legacy,
            Format::Anthropic,
        )
        .when(
            keys.candidates.is_some()
                || keys.prompt_feedback.is_some()
                || keys.snake_prompt_feedback.is_some()
                || keys.parts.is_some()
                || parts.iter().any(Option::is_some)
                || part
                || bare_args
                || is_text,
            Format::Gemini,
        )
        .when(is_ollama, Format::Ollama)
        .when(
            begins(keys.output, '{') && keys.choices.is_none() && is_converse(keys.output)
                || keys.tool_use.is_some()
                || is_text
                || message && content == Content::Bedrock && keys.tool_calls.is_none()
                || inner == Some(Content::Bedrock),
            Format::Bedrock,
        )
        .when(keys.jsonrpc.is_some(), Format::Mcp)
        .when(own, Format::Json))
}

/// Whether an `output` is Bedrock's.
fn is_converse(output: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Output<'a> {
        #[serde(borrow)]
        message: Option<&'a RawValue>,
    }
    let output: Option<Output> = output.and_then(|output| object(output).ok());
    output.is_some_and(|output| output.message.is_some())
}

/// Whether a `function_call` is that of a chat message, and whether it is that of a part of Gemini: both
/// where nothing tells.
fn snake_call(call: Option<&RawValue>, has_role: bool) -> (bool, bool) {
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
        #[serde(borrow)]
        args: Option<&'a RawValue>,
    }
    let call: Option<Call> = call.and_then(|call| object(call).ok());
    match call {
        None => (false, false),
        Some(call) if call.arguments.is_some() => (true, false),
        Some(call) if call.args.is_some() => (false, true),
        Some(_) => (true, !has_role),
    }
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
        message: Option<&'a RawValue>,
        #[serde(borrow)]
        done: Option<&'a RawValue>,
        #[serde(borrow)]
        r#type: Option<&'a RawValue>,
    }
    let raw: &RawValue = serde_json::from_str(data).map_err(unfit)?;
    let keys: Keys = object(raw)?;
    let kind = string(keys.r#type);
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
        )
        .when(
            keys.message.is_some() && keys.done.is_some() && kind.is_empty(),
            Format::Ollama,
        );
    match fits.list()[..] {
        [] => Ok(None),
        [format] => Ok(Some(format)),
        ref fits => Err(DecodeError::Ambiguous {
            fits: fits.to_vec(),
        }),
    }
}
