//! Wire formats: translates between an API's bytes and the library's calls and results, with one
//! file per format.
//!
//! Every format can declare tools, decode calls and encode results ([`Wire`]); the formats of model
//! APIs can also encode a request and decode the response, whole or streamed ([`Api`]). [`decode`]
//! extracts the calls of a response, [`Format::answers`] makes the messages to send back,
//! [`Events`] decodes a stream.
//!
//! Decoding does not parse the arguments of calls, so that a malformed call fails alone and not
//! with its whole response.

pub mod json;

mod answer;
mod anthropic;
mod argument_names;
mod bedrock;
mod declarations;
mod detail;
mod detect;
mod duplicate_calls;
mod error;
mod event_data;
mod frameworks;
mod gemini;
mod history;
mod inline_refs;
mod input_hints;
mod lenient;
#[doc(hidden)]
pub mod mcp;
mod object_merge;
mod ollama;
mod open_call;
mod openai_chat;
mod openai_responses;
mod openai_strict;
mod request;
mod schema_fit;
mod schema_top_level;
mod sent_back;
mod stream_decoder;
#[doc(hidden)]
pub mod subschemas;
#[doc(hidden)]
pub mod template_remnants;
mod tool_names;
mod unread_calls;
mod wrapped_responses;

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::error::CallError;
use crate::tool::{CallOrigin, Tool, ToolCall};
pub use answer::Answer;
pub use declarations::{Declared, LeftOut};
#[doc(hidden)]
pub use error::api_error;
pub use error::{DecodeError, UnknownFormat};
use error::{shape, unfit};
pub use event_data::event_data;
pub use request::{Request, ToolChoice};
pub use stream_decoder::{Close, Delta, End, Events, Received};
pub use tool_names::Names;

/// Seals the traits: other crates cannot name this and so cannot implement them, which lets the
/// traits get more methods.
mod sealed {
    pub trait Sealed {}
}

use sealed::Sealed;

/// A wire format.
///
/// ```
/// use toolhost_wire::wire::Format;
///
/// let format: Format = "openai-chat".parse()?;
/// assert_eq!(format, Format::OpenaiChat);
/// let error = "openai-chatt".parse::<Format>().unwrap_err();
/// assert!(error.to_string().starts_with("unknown format `openai-chatt`; known formats: openai-chat, "));
/// # Ok::<(), toolhost_wire::wire::UnknownFormat>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// OpenAI Chat Completions, and compatible servers.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Google Gemini, `generateContent`.
    Gemini,
    /// Ollama's own API, `/api/chat`.
    Ollama,
    /// Amazon Bedrock, `Converse`.
    Bedrock,
    /// The Model Context Protocol's `tools/call` and `tools/list`.
    Mcp,
    /// toolhost's own: JSON Lines of `{"id", "name", "arguments"}`.
    Json,
}

/// The operations of every format. Sealed; see [`Format::wire`].
pub trait Wire: Sealed + Sync {
    /// Extracts the calls of a response, in order, by their names on the wire. A response is
    /// whatever the API sends, or any part of it that contains the calls.
    ///
    /// # Errors
    ///
    /// It is not of this format.
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError>;

    /// Decodes a whole response.
    ///
    /// # Errors
    ///
    /// It is not of this format, it is an error of the API, or no model answers in this format.
    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let _ = text;
        Err(shape("in a format that no model answers in"))
    }

    /// Encodes the tools of a request, by these names, with schemas as they are. See
    /// [`Format::declare`].
    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue>;

    /// Encodes the result of one call: a message, or a part of one.
    fn answer(&self, answer: &Answer) -> Box<RawValue>;

    /// The messages with the results of all calls of a response.
    fn messages(&self, answers: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
        answers
    }

    /// The rule for tool names, if it is stricter than our own.
    fn name_rule(&self) -> Option<NameRule> {
        Some(NameRule {
            begins_with_any: true,
            longest: 64,
        })
    }
}

/// The further operations of model APIs' formats. Sealed; see [`Format::api`].
pub trait Api: Wire {
    /// A decoder for an event stream, from its beginning.
    fn stream(&self) -> Box<dyn StreamDecoder>;

    /// A message of the user.
    fn user(&self, text: &str) -> Box<RawValue> {
        raw(&json!({ "role": "user", "content": text }))
    }

    /// A message of the model.
    fn assistant(&self, text: &str) -> Box<RawValue> {
        raw(&json!({ "role": "assistant", "content": text }))
    }

    /// The body of a request.
    fn request(&self, request: &Request) -> Box<RawValue>;
}

/// A model's answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// What represents it in the conversation: messages (or items, or contents) to send back ahead
    /// of the results. Unchanged, except for what an API would refuse.
    pub messages: Vec<Box<RawValue>>,
    /// Members of the next request that follow from this answer, such as Anthropic's `container`.
    pub carried: Map<String, Value>,
    /// Its text.
    pub text: String,
    /// Its calls, in order, by their names on the wire.
    pub calls: Vec<ToolCall>,
    /// The positions of calls that must not run: their arguments were, or may have been, cut off,
    /// or the API calls them malformed. In a stream some of them may have been delivered before.
    pub cut: Vec<usize>,
    /// Why it ended.
    pub stop: Stop,
    /// The tokens used, as far as the API reports them.
    pub tokens: Tokens,
}

/// Why a model's answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// It is complete.
    End,
    /// It waits for the results of its calls.
    Calls,
    /// It reached the maximum length.
    Length,
    /// Anything else: a filter, a refusal, a fault; in the API's own words.
    Other(String),
}

/// The tokens of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tokens {
    /// Of the request.
    pub input: u64,
    /// Of the response.
    pub output: u64,
}

impl Stop {
    /// Whether something kept the answer from its end.
    fn is_early(&self) -> bool {
        matches!(self, Stop::Length | Stop::Other(_))
    }

    /// Whether the API says that the calls are malformed.
    fn is_malformed(&self) -> bool {
        matches!(self, Stop::Other(reason) if is_malformed(reason))
    }
}

/// Whether a reason says that calls are malformed: in the words of Gemini, of compatible servers,
/// and of Bedrock.
fn is_malformed(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    let words = ["malformed", "unexpected_tool_call", "function_call_filter"];
    words.iter().any(|word| reason.contains(word))
}

impl Reply {
    /// Voids all calls if the API says that they are malformed.
    fn cut_malformed(&mut self) {
        if self.stop.is_malformed() {
            self.cut = (0..self.calls.len()).collect();
        }
    }

    /// The error for the calls in [`Reply::cut`].
    pub fn cut_error(&self) -> CallError {
        match &self.stop {
            Stop::Other(reason) if is_malformed(reason) => {
                let reason = &reason[..reason.floor_char_boundary(100)];
                let message =
                    format!("the API could not parse the call: the answer ended with `{reason}`");
                CallError::invalid_arguments("", message)
            }
            _ => CallError::cut_off(),
        }
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, other: Tokens) {
        self.input += other.input;
        self.output += other.output;
    }
}

/// Decodes the events of one response; [`Events`] adds the handling common to all formats.
pub trait StreamDecoder: Sealed + Send {
    /// Decodes the data of one event, and adds what it brings.
    ///
    /// # Errors
    ///
    /// The data is not of this format, or it is an error of the API.
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError>;

    /// Whether the message has ended.
    fn end(&self) -> End {
        End::Open
    }

    /// A call whose pieces arrived without the call itself, and that cannot be answered.
    fn unread(&self) -> Option<String> {
        None
    }

    /// Notes that no more events come, for another reason than an event.
    fn close(&mut self, by: Close, deltas: &mut Vec<Delta>) {
        let _ = (by, deltas);
    }

    /// Ends the stream: open calls are complete if the API said so. The reply contains all calls
    /// that began; [`Reply::cut`] names those without an end.
    fn finish(self: Box<Self>, deltas: &mut Vec<Delta>) -> Received;
}

/// A rule for tool names.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NameRule {
    /// Whether the first character may be a digit or `-`.
    pub begins_with_any: bool,
    /// The maximum length, in characters.
    pub longest: usize,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 8] = [
        Format::OpenaiChat,
        Format::OpenaiResponses,
        Format::Anthropic,
        Format::Gemini,
        Format::Ollama,
        Format::Bedrock,
        Format::Mcp,
        Format::Json,
    ];

    /// Its name on the command line and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Format::OpenaiChat => "openai-chat",
            Format::OpenaiResponses => "openai-responses",
            Format::Anthropic => "anthropic",
            Format::Gemini => "gemini",
            Format::Ollama => "ollama",
            Format::Bedrock => "bedrock",
            Format::Mcp => "mcp",
            Format::Json => "json",
        }
    }

    /// Its operations.
    pub fn wire(self) -> &'static dyn Wire {
        match self {
            Format::OpenaiChat => &openai_chat::OpenaiChat,
            Format::OpenaiResponses => &openai_responses::OpenaiResponses,
            Format::Anthropic => &anthropic::Anthropic,
            Format::Gemini => &gemini::Gemini,
            Format::Ollama => &ollama::Ollama,
            Format::Bedrock => &bedrock::Bedrock,
            Format::Mcp => &mcp::Mcp,
            Format::Json => &json::JsonLines,
        }
    }

    /// Its operations as a model API; `None` if no model speaks it, or not to us: Bedrock requires
    /// signed requests.
    pub fn api(self) -> Option<&'static dyn Api> {
        match self {
            Format::OpenaiChat => Some(&openai_chat::OpenaiChat),
            Format::OpenaiResponses => Some(&openai_responses::OpenaiResponses),
            Format::Anthropic => Some(&anthropic::Anthropic),
            Format::Gemini => Some(&gemini::Gemini),
            Format::Ollama => Some(&ollama::Ollama),
            Format::Bedrock | Format::Mcp | Format::Json => None,
        }
    }

    /// Whether results are printed one per line, rather than as one array of messages.
    pub fn is_lines(self) -> bool {
        matches!(self, Format::Mcp | Format::Json)
    }

    /// The messages with the results of a response's calls, in the order of the calls; empty if
    /// there are no calls.
    ///
    /// ```
    /// use toolhost_wire::wire::{Answer, Format};
    /// use toolhost_wire::{Output, ToolCall, ToolResult};
    ///
    /// let call = ToolCall::new("call_1", "add", r#"{"a": 1, "b": 2}"#);
    /// let result = ToolResult::of(&call, Ok(Output::text("3")));
    /// let messages = Format::OpenaiResponses.answers(&[Answer::new(&result)]);
    /// assert_eq!(
    ///     messages[0].get(),
    ///     r#"{"type":"function_call_output","call_id":"call_1","output":"3"}"#
    /// );
    /// ```
    pub fn answers(self, answers: &[Answer]) -> Vec<Box<RawValue>> {
        if answers.is_empty() {
            return Vec::new();
        }
        let wire = self.wire();
        wire.messages(answers.iter().map(|answer| wire.answer(answer)).collect())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        if text == "openai" {
            return Ok(Format::OpenaiChat);
        }
        let found = Format::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| UnknownFormat {
            name: text.to_owned(),
        })
    }
}

/// Decodes the calls of a response, in order, and detects the format if `format` is `None`. Names
/// are those on the wire: see [`Names::restore`].
///
/// ```
/// use toolhost_wire::wire::{self, Format};
///
/// let response = br#"{"role": "assistant", "content": [
///     {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1, "b": 2}}
/// ]}"#;
/// let (format, calls) = wire::decode(response, None)?;
/// assert_eq!(format, Format::Anthropic);
/// assert_eq!(calls[0].arguments, r#"{"a": 1, "b": 2}"#);
/// # Ok::<(), wire::DecodeError>(())
/// ```
///
/// # Errors
///
/// The response is not of that format, of no format, or could be of several.
pub fn decode(
    response: &[u8],
    format: Option<Format>,
) -> Result<(Format, Vec<ToolCall>), DecodeError> {
    let text = text_of(response)?;
    let read = |text: &str, is_inner: bool| {
        let format = match format {
            Some(format) => format,
            None => detect::detect(text)?,
        };
        // Calls of these formats come from scripts, which wrap nothing around them: data that looks
        // alike must not be run.
        if is_inner && format.is_lines() {
            return Err(shape("an object of an unknown shape"));
        }
        let calls = format.wire().decode(text)?;
        if calls.iter().all(|call| unread_calls::kind(call).is_some()) {
            unread_calls::check(text)?;
            unread_calls::check_kinds(&calls)?;
            // A format that is given may accept data that is of no format.
            if let Err(error @ DecodeError::Shape { .. }) = detect::detect(text) {
                return Err(error);
            }
        }
        Ok((format, calls))
    };
    let decoded = wrapped_responses::within(text, read, |(_, calls)| !calls.is_empty())?;
    // What wraps a response may contain a call, too.
    if decoded.1.is_empty() {
        unread_calls::check(text)?;
    }
    Ok(decoded)
}

/// Decodes a whole response: see [`Wire::reply`].
///
/// ```
/// use toolhost_wire::wire::{self, Format, Stop};
///
/// let response = br#"{"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}]}"#;
/// let reply = wire::reply(response, Format::OpenaiChat)?;
/// assert_eq!((&*reply.text, reply.stop), ("Hi.", Stop::End));
/// # Ok::<(), wire::DecodeError>(())
/// ```
///
/// # Errors
///
/// It is not of that format, it is an error of the API, or no model answers in that format.
pub fn reply(response: &[u8], format: Format) -> Result<Reply, DecodeError> {
    let text = text_of(response)?;
    let mut reply = wrapped_responses::within(text, |text, _| format.wire().reply(text), |_| true)?;
    reply.cut_malformed();
    Ok(reply)
}

/// Checks that an answer without calls does not contain one in an unknown shape.
///
/// ```
/// use toolhost_wire::wire::{self, Format};
///
/// let response = r#"{"choices": [{"finish_reason": "stop", "message": {"role": "assistant",
///     "content": "<tool_call>{\"name\": \"add\", \"arguments\": {}}</tool_call>"}}]}"#;
/// let reply = wire::reply(response.as_bytes(), Format::OpenaiChat)?;
/// assert!(reply.calls.is_empty());
/// assert!(wire::check_reply(&reply).is_err());
/// # Ok::<(), wire::DecodeError>(())
/// ```
///
/// # Errors
///
/// What looks like a call.
pub fn check_reply(reply: &Reply) -> Result<(), DecodeError> {
    unread_calls::check_reply(reply)
}

fn text_of(response: &[u8]) -> Result<&str, DecodeError> {
    if let Some(error) = input_hints::bytes_look_like(response) {
        return Err(error);
    }
    let text =
        std::str::from_utf8(response).map_err(|error| not_utf8(response, error.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.trim_ascii().is_empty() {
        true => Err(DecodeError::Empty),
        false => Ok(text),
    }
}

/// The error for a response with invalid UTF-8 at `offset`; an API's own error if it is one.
fn not_utf8(response: &[u8], offset: usize) -> DecodeError {
    let said = error::error_event(&String::from_utf8_lossy(response));
    said.unwrap_or(DecodeError::NotUtf8 { offset })
}

/// The JSON text of arguments that are given as an object, or as a string that contains one.
fn arguments(raw: Option<&RawValue>) -> String {
    let Some(raw) = raw else {
        return String::new();
    };
    match raw.get() {
        "null" => String::new(),
        // A string that cannot be decoded, as one with a lone surrogate, stays as written: the call
        // is then answered with the same error.
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

/// A string, if it is one.
fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// A number that nothing depends on, however it is written; otherwise 0.
fn count(raw: Option<&RawValue>) -> u64 {
    let number = label(raw).and_then(|text| text.parse::<f64>().ok());
    // The cast turns negative numbers into 0.
    number.map_or(0, |number| number as u64)
}

/// A call's arguments, under whichever name a server uses for them.
fn first_given<'a>(places: &[Option<&'a RawValue>]) -> Option<&'a RawValue> {
    places.iter().flatten().copied().next()
}

/// The origin of a call; `None` if it is the usual one.
fn origin(origin: CallOrigin) -> Option<Box<CallOrigin>> {
    (origin != CallOrigin::default()).then(|| Box::new(origin))
}

/// Whether a call's `caller` is a program.
fn is_program(caller: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Caller<'a> {
        #[serde(borrow)]
        r#type: Option<&'a RawValue>,
    }
    let caller: Option<Caller> = caller.and_then(|caller| object(caller).ok());
    let kind = caller.and_then(|caller| string(caller.r#type));
    kind.is_some_and(|kind| kind != "direct")
}

/// Parses a whole document.
fn document(text: &str) -> Result<&RawValue, DecodeError> {
    serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => unfit(error),
        false => input_hints::looks_like(text).unwrap_or(DecodeError::NotJson { error }),
    })
}

/// Parses an object.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, DecodeError> {
    let ObjectOnly(read) = serde_json::from_str(raw.get()).map_err(unfit)?;
    Ok(read)
}

/// Parses an object only: serde alone would also accept an array of its fields.
struct ObjectOnly<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ObjectOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        let members = Members(PhantomData);
        deserializer.deserialize_map(members).map(ObjectOnly)
    }
}

/// Parses an array, but not its items.
fn array(raw: &RawValue) -> Result<Vec<&RawValue>, DecodeError> {
    serde_json::from_str(raw.get()).map_err(unfit)
}

/// A user message with this content.
fn user_message(content: Vec<Box<RawValue>>) -> Box<RawValue> {
    #[derive(Serialize)]
    struct User {
        role: &'static str,
        content: Vec<Box<RawValue>>,
    }
    raw(&User {
        role: "user",
        content,
    })
}

fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).expect("plain data is JSON")
}
