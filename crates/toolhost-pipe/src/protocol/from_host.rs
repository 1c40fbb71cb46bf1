//! The frames that the host sends.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use toolhost_core::tool::LogLine;
use toolhost_core::{CallError, Content, Repair, ToolResult, Usage};

use super::content::Block;
use super::from_client::FrameId;

/// A frame of the host.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HostFrame<'a> {
    /// Answers `hello`.
    Hello(HostHello),
    /// A request failed; without an id, the session has ended.
    Error(ErrorFrame<'a>),
    /// Answers `declare` and `reload`.
    Ok(FrameId),
    /// Answers `tools`.
    Tools(ToolsFrame<'a>),
    /// The tools have changed.
    Changed,
    /// The result of a call.
    Result(ResultFrame<'a>),
    /// The end of a run.
    Done(Done<'a>),
    /// Calls a function of the program.
    Call(CallRequest<'a>),
    /// The call of a function has ended without it.
    Cancel(FrameId),
}

/// A frame without members.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Answers `hello`: the tools are loaded.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct HostHello {
    /// The version of the protocol that both speak from now on.
    pub version: u32,
    /// The host's version.
    pub host: &'static str,
    /// The longest frame that the host reads, in bytes.
    pub max_frame: u64,
    /// The wire formats that it knows.
    pub formats: Vec<&'static str>,
}

/// What is wrong with a request or with the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// A line is no frame, or comes out of turn.
    InvalidFrame,
    /// A frame is longer than its reader takes.
    TooLarge,
    /// Host and client have no version in common.
    UnsupportedVersion,
    /// The manifest, or something that it names, cannot be loaded.
    InvalidManifest,
    /// The manifest asks for what its user has not allowed.
    Untrusted,
    /// A tool of the program cannot be offered.
    InvalidTool,
    /// There is no such wire format.
    UnknownFormat,
    /// The model's response cannot be read.
    InvalidResponse,
    /// The stream broke before the response was complete.
    BrokenStream,
}

/// A request failed. Without an id the session has ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct ErrorFrame<'a> {
    /// The request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, and what to do.
    pub message: Cow<'a, str>,
}

/// The tools, in a format.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct ToolsFrame<'a> {
    /// The request.
    pub id: u64,
    /// The tools, as the API takes them.
    #[schemars(with = "Value")]
    pub tools: &'a RawValue,
    /// Tools that the API would refuse.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutTool<'a>>,
}

/// A tool that is not declared in a format.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct LeftOutTool<'a> {
    /// Its name.
    pub tool: &'a str,
    /// The reason, as the end of a sentence that begins with its name.
    pub why: &'a str,
}

/// The result of a call, as it completes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct ResultFrame<'a> {
    /// The run.
    pub run: u64,
    /// The call's position in it.
    pub index: usize,
    /// The result.
    pub result: ResultBody<'a>,
}

/// The end of a run: every call has its result, here or in a frame before.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Done<'a> {
    /// The run.
    pub run: u64,
    /// Results that had no frame of their own.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(with = "Option<Vec<IndexedResult>>")]
    pub results: &'a [IndexedResult<'a>],
    /// The response's wire format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'static str>,
    /// The messages that answer the response, if the run asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Value>>")]
    pub messages: Option<&'a [Box<RawValue>]>,
    /// The model's own messages, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Value>>")]
    pub reply: Option<&'a [Box<RawValue>]>,
    /// What failed beside the calls: the response cannot be read, or its stream broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<&'a RunFailure>,
}

/// Why a run failed as a whole.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct RunFailure {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// What is wrong, and what to do.
    pub message: String,
}

/// A result and the position of its call.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct IndexedResult<'a> {
    /// The call's position in the run.
    pub index: usize,
    /// The result.
    pub result: ResultBody<'a>,
}

/// Everything that is known of a result.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct ResultBody<'a> {
    /// The call's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// The name as it was called.
    name: &'a str,
    /// What the model sees.
    text: String,
    /// The parts of the output, unless it is one text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    content: Vec<Block<'a>>,
    /// The output for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    structured: Option<&'a RawValue>,
    /// Why there is no output.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CallErrorBody>,
    /// What the call used.
    usage: UsageBody,
    /// What the tool wrote to its log.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(with = "Option<Vec<BTreeMap<String, String>>>")]
    log: &'a [LogLine],
    /// Repairs made to the arguments.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(with = "Option<Vec<BTreeMap<String, String>>>")]
    repairs: &'a [Repair],
}

/// Why a call has no output.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct CallErrorBody {
    /// The error's stable code.
    #[schemars(extend("enum" = [
        "unknown-tool", "not-found", "invalid-arguments", "timeout", "limit", "invalid-options", "denied", "trap",
        "failed", "input-required", "cancelled", "internal"
    ]))]
    code: &'static str,
    /// What went wrong.
    message: String,
}

/// What a call used.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct UsageBody {
    /// From hand-over to permit.
    queue_ms: f64,
    /// From the permit to the result.
    run_ms: f64,
    /// CPU time.
    cpu_ms: f64,
    /// The most memory of the sandbox.
    peak_memory_bytes: u64,
    /// Content and structured output.
    output_bytes: u64,
    /// The calls that it made, and those that they made; left out if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    calls: u64,
}

fn is_zero(calls: &u64) -> bool {
    *calls == 0
}

/// Calls a function of the program. The answer is `answer`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct CallRequest<'a> {
    /// The call's id, of the host's choosing.
    pub id: u64,
    /// The run that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    /// The function.
    pub tool: &'a str,
    /// Its arguments, valid under its schema.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub arguments: &'a RawValue,
    /// The id that the model gave to the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<&'a str>,
    /// For whom the call is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'a str>,
    /// The time until its deadline. The host ends the call then, whatever the function does.
    pub timeout_ms: u64,
}

impl<'a> ResultBody<'a> {
    /// The body of a result, with this text for the model if it is not the result's own.
    pub fn of(result: &'a ToolResult, summary: Option<String>) -> ResultBody<'a> {
        let output = result.outcome.as_ref().ok();
        let content = output.map_or(&[][..], |output| &output.content);
        let content = match content {
            [] | [Content::Text(_)] => Vec::new(),
            content => content.iter().filter_map(Block::of).collect(),
        };
        ResultBody {
            id: result.id.as_deref(),
            name: &result.name,
            text: summary.unwrap_or_else(|| result.to_text()),
            content,
            structured: output.and_then(|output| output.structured.as_deref()),
            error: result.outcome.as_ref().err().map(CallErrorBody::from),
            usage: result.usage.into(),
            log: &result.log,
            repairs: &result.repairs,
        }
    }
}

impl From<&CallError> for CallErrorBody {
    fn from(error: &CallError) -> Self {
        CallErrorBody {
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        // Microseconds are enough precision.
        let ms = |duration: Duration| duration.as_micros() as f64 / 1e3;
        UsageBody {
            queue_ms: ms(usage.queue),
            run_ms: ms(usage.run),
            cpu_ms: ms(usage.cpu),
            peak_memory_bytes: usage.peak_memory,
            output_bytes: usage.output_bytes,
            calls: usage.calls,
        }
    }
}
