//! Between the bytes of an API and the library's calls and results: one file for each format.
//!
//! Every format can declare tools, decode calls and encode results ([`Wire`]); those that a model's
//! API speaks can also make a request and read what comes back, whole or as a stream ([`Api`]).
//! [`decode`] takes the calls out of a response, [`Format::answers`] makes the messages that
//! go back, [`Events`] reads a stream.
//!
//! Decoding takes a response apart without reading the arguments of its calls, so that what
//! is wrong with one of them is that call's result and not the response's end.

pub mod json;

mod answer;
mod anthropic;
mod back;
mod bedrock;
mod copies;
mod declare;
mod detail;
mod detect;
mod error;
mod fit;
mod frameworks;
mod gemini;
mod history;
mod keys;
#[doc(hidden)]
pub mod leaks;
mod leftover;
mod lenient;
mod lines;
mod looks;
#[doc(hidden)]
pub mod mcp;
mod members;
mod names;
mod ollama;
mod open;
mod openai_chat;
mod openai_responses;
mod refs;
mod request;
mod stream;
mod strict;
#[doc(hidden)]
pub mod subschemas;
mod top;
mod wrapping;

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
pub use declare::{Declared, LeftOut};
#[doc(hidden)]
pub use error::api_error;
pub use error::{DecodeError, UnknownFormat};
use error::{shape, unfit};
pub use lines::event_data;
pub use names::Names;
pub use request::{Request, ToolChoice};
pub use stream::{Close, Delta, End, Events, Received};

/// In a module that nobody can name: whoever uses a trait cannot implement it, so that it may get more methods.
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
    /// OpenAI Chat Completions, and the many servers that speak it.
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

/// What every format can do. The formats are this crate's: [`Format::wire`] gives one.
pub trait Wire: Sealed + Sync {
    /// The calls of a response, in order, by the names they have on the wire. A response is
    /// whatever the API sends, or any part of it that holds its calls.
    ///
    /// # Errors
    ///
    /// It is not of this format.
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError>;

    /// What a model answered, from the whole response.
    ///
    /// # Errors
    ///
    /// It is not of this format, or it is the API's own error, or no model answers in this format.
    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let _ = text;
        Err(shape("in a format that no model answers in"))
    }

    /// The tools as a request has them, by these names; their schemas as they are. See [`Format::declare`].
    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue>;

    /// What answers one call: a message, or the part of one.
    fn answer(&self, answer: &Answer) -> Box<RawValue>;

    /// The messages that answer all calls of a response.
    fn messages(&self, answers: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
        answers
    }

    /// What the format asks of a tool's name; nothing that our own names lack, when `None`.
    fn name_rule(&self) -> Option<NameRule> {
        Some(NameRule {
            begins_with_any: true,
            longest: 64,
        })
    }
}

/// What the formats of models' APIs can do beside; [`Format::api`] gives one.
pub trait Api: Wire {
    /// Reads an event stream from its beginning.
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

/// What a model answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// What stands for it in the conversation: the messages (or items, or contents) to send back ahead of
    /// the results, as they came but for what an API would refuse.
    pub messages: Vec<Box<RawValue>>,
    /// Members of the next request that are known from this answer, such as Anthropic's `container`.
    pub carried: Map<String, Value>,
    /// What it says.
    pub text: String,
    /// What it calls, in order, by the names on the wire.
    pub calls: Vec<ToolCall>,
    /// The positions of the calls whose arguments did not come to their end, or may not have, or that the API
    /// itself calls malformed: they must not be run. Of a stream, some of them may have been handed on.
    pub cut: Vec<usize>,
    /// Why it ended.
    pub stop: Stop,
    /// What it took, as far as the API tells.
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
    /// It came to the bound on its length.
    Length,
    /// Anything else: a filter, a refusal, a fault; the API's own word for it.
    Other(String),
}

/// Tokens that a response took.
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

    /// Whether the API says that the calls are not what the model meant.
    fn is_malformed(&self) -> bool {
        matches!(self, Stop::Other(reason) if is_malformed(reason))
    }
}

/// Whether that is why an answer ended: in the words of Gemini, of what speaks for it, and of Bedrock.
fn is_malformed(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    let words = ["malformed", "unexpected_tool_call", "function_call_filter"];
    words.iter().any(|word| reason.contains(word))
}

impl Reply {
    /// Has none of its calls run if the API says that they are not what the model meant.
    fn cut_malformed(&mut self) {
        if self.stop.is_malformed() {
            self.cut = (0..self.calls.len()).collect();
        }
    }

    /// What answers the calls of [`Reply::cut`].
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

/// Reads one response's event stream; [`Events`] does so with all that is around it.
pub trait StreamDecoder: Sealed + Send {
    /// Takes the data of one event, and tells what it brings.
    ///
    /// # Errors
    ///
    /// The data is not of this format, or it is the API's own error.
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError>;

    /// How far the message has come.
    fn end(&self) -> End {
        End::Open
    }

    /// What came of a call that itself never came, nor what would answer it.
    fn unread(&self) -> Option<String> {
        None
    }

    /// Takes that no more events come, for a reason that is none of theirs.
    fn close(&mut self, by: Close, deltas: &mut Vec<Delta>) {
        let _ = (by, deltas);
    }

    /// Ends the stream: what is still open is complete, if the API said so. The reply holds all
    /// calls that began; [`Reply::cut`] names those whose end never came.
    fn finish(self: Box<Self>, deltas: &mut Vec<Delta>) -> Received;
}

/// What a format asks of a tool's name.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NameRule {
    /// Whether its first character may be a digit or `-`.
    pub begins_with_any: bool,
    /// The longest, in characters.
    pub longest: usize,
}

impl Format {
    /// All of them.
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

    /// How it is spoken.
    pub fn wire(self) -> &'static dyn Wire {
        match self {
            Format::OpenaiChat => &openai_chat::OpenaiChat,
            Format::OpenaiResponses => &openai_responses::OpenaiResponses,
            Format::Anthropic => &anthropic::Anthropic,
            Format::Gemini => &gemini::Gemini,
            Format::Ollama => &ollama::Ollama,
            Format::Bedrock => &bedrock::Bedrock,
            Format::Mcp => &mcp::Mcp,
            Format::Json => &json::Json,
        }
    }

    /// How its API is spoken; `None` where no model speaks it, or not to us: Bedrock wants its requests
    /// signed.
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

    /// Whether its results are printed a line each, rather than as one array of messages.
    pub fn is_lines(self) -> bool {
        matches!(self, Format::Mcp | Format::Json)
    }

    /// The messages that answer the calls of a response, in the order of the calls; none where
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

/// The calls of a response, in order, and the format they were in: `format`, or what the shape
/// says if that is `None`. Names are those on the wire: see [`Names::restore`].
///
/// ```
/// use toolhost_wire::wire::{self, Format};
///
/// let response = br#"{"content": [
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
/// The response is not of that format, or of none, or might be of several.
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
        // Calls of these formats come from a script, which puts nothing around them: what has their members
        // by chance must not be run.
        if is_inner && format.is_lines() {
            return Err(shape("an object of an unknown shape"));
        }
        let calls = format.wire().decode(text)?;
        if calls.iter().all(|call| leftover::kind(call).is_some()) {
            leftover::check(text)?;
            leftover::check_kinds(&calls)?;
            // Who is told the format may read nothing in what is of none.
            if let Err(error @ DecodeError::Shape { .. }) = detect::detect(text) {
                return Err(error);
            }
        }
        Ok((format, calls))
    };
    let decoded = wrapping::within(text, read, |(_, calls)| !calls.is_empty())?;
    // What is around a response may say that there is a call, too.
    if decoded.1.is_empty() {
        leftover::check(text)?;
    }
    Ok(decoded)
}

/// What a model answered, from the whole response: see [`Wire::reply`].
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
/// It is not of that format, or it is the API's own error, or no model answers in that format.
pub fn reply(response: &[u8], format: Format) -> Result<Reply, DecodeError> {
    let text = text_of(response)?;
    let mut reply = wrapping::within(text, |text, _| format.wire().reply(text), |_| true)?;
    reply.cut_malformed();
    Ok(reply)
}

/// Whether an answer without calls has one all the same, in a shape that is not known.
///
/// # Errors
///
/// What looks like a call.
pub fn check_reply(reply: &Reply) -> Result<(), DecodeError> {
    leftover::check_reply(reply)
}

fn text_of(response: &[u8]) -> Result<&str, DecodeError> {
    if let Some(error) = looks::bytes_look_like(response) {
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

/// Why bytes are no response that have a broken character at `offset`: if they are an API's error, what that says.
fn not_utf8(response: &[u8], offset: usize) -> DecodeError {
    let said = error::error_event(&String::from_utf8_lossy(response));
    said.unwrap_or(DecodeError::NotUtf8 { offset })
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

/// A string, if it is one.
fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// A count that decides nothing: a number however it is written, and else none.
fn count(raw: Option<&RawValue>) -> u64 {
    let number = label(raw).and_then(|text| text.parse::<f64>().ok());
    // A cast takes what is negative for nothing.
    number.map_or(0, |number| number as u64)
}

/// Where a call's arguments are, under whichever of the names that servers have for them.
fn first_given<'a>(places: &[Option<&'a RawValue>]) -> Option<&'a RawValue> {
    places.iter().flatten().copied().next()
}

/// How a call came; nothing where that is as most do.
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

/// A whole document.
fn document(text: &str) -> Result<&RawValue, DecodeError> {
    serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => unfit(error),
        false => looks::looks_like(text).unwrap_or(DecodeError::NotJson { error }),
    })
}

/// Reads an object.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, DecodeError> {
    let Object(read) = serde_json::from_str(raw.get()).map_err(unfit)?;
    Ok(read)
}

/// What is read of an object, and of nothing else: serde alone would also take an array, for one
/// whose members are in order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
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
        deserializer.deserialize_map(members).map(Object)
    }
}

/// Reads an array, but not its items.
fn array(raw: &RawValue) -> Result<Vec<&RawValue>, DecodeError> {
    serde_json::from_str(raw.get()).map_err(unfit)
}

/// A message of the user with this content.
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
