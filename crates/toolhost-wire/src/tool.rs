//! [`Tool`], [`ToolCall`], [`ToolResult`]: what a model and a tool exchange, as plain data.
//!
//! The types follow MCP's tool model. Wire formats are in [`crate::wire`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

pub use crate::content::{Content, EmbeddedResource, Media, ResourceBody, ResourceLink};
use crate::error::CallError;
use crate::input::Resumption;

/// A function that a model can call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tool {
    /// Its name: `[A-Za-z0-9_-]{1,64}`, the plugin's prefix included.
    pub name: String,
    /// A display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does and when to use it.
    pub description: String,
    /// Icons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
    /// JSON Schema of the arguments.
    pub input_schema: Value,
    /// JSON Schema of [`Output::structured`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Hints about its behaviour.
    pub annotations: Annotations,
    /// MCP's `_meta`: what its server tells some clients about it.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
    /// Who may call it, in the terms of the APIs that distinguish callers: `direct`,
    /// `programmatic`, or a version of Anthropic's such as `code_execution_20260120`. Any caller
    /// that the API allows if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_callers: Vec<String>,
    /// The plugin or MCP server that offers it.
    pub plugin: String,
    /// Whether it runs in a sandbox, and can access only what its plugin is granted. A tool of an
    /// MCP server can access whatever that server can.
    pub sandboxed: bool,
}

impl Tool {
    /// A tool offered by your own program, such as one of `toolhost::NativeTools`. The name is
    /// `[A-Za-z0-9_-]{1,64}`; the description says what it does and when to use it.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Tool {
            name: name.into(),
            description: description.into(),
            ..Tool::default()
        }
    }

    /// Marks it read-only. Its calls run side by side, and may start before a streamed answer is
    /// complete.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.annotations.read_only = Some(true);
        self
    }

    /// Marks it as adding something and destroying nothing. Its calls run in order, one at a time.
    #[must_use]
    pub fn additive(mut self) -> Self {
        self.annotations.read_only = Some(false);
        self.annotations.destructive = Some(false);
        self
    }

    /// Marks it as possibly destructive. Its calls run in order, one at a time.
    #[must_use]
    pub fn destructive(mut self) -> Self {
        self.annotations.read_only = Some(false);
        self.annotations.destructive = Some(true);
        self
    }
}

/// Whether every model API accepts this as a tool's name.
pub fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// An icon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Icon {
    /// An `https:` or `data:` URI.
    pub src: String,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Such as `48x48`, or `any`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<String>,
}

/// A tool's hints about its own behaviour; `None` stands for MCP's default.
///
/// They are claims of the plugin's author: base no decision on them that permissions should make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Annotations {
    /// It changes nothing (default: false).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// It may destroy something (default: true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// Calling it again with the same arguments changes nothing more (default: false).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// It reaches beyond the host (default: true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
}

/// A model's request to run a tool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCall {
    /// The id given by the model; ids may repeat or be missing.
    pub id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// A JSON object as text, as the model wrote it; malformed arguments are an error of this call,
    /// not of its batch. Empty text stands for `{}`. For a [`CallKind::FreeText`], the text itself.
    pub arguments: String,
    /// The replies to the tool's questions, if an earlier call failed with
    /// [`CallError::InputRequired`].
    pub resumed: Option<Box<Resumption>>,
    /// MCP's `_meta`, for a tool of an MCP server, without the protocol's own members.
    pub meta: Option<Box<Map<String, Value>>>,
    /// How it arrived, if id and name do not suffice for answering it.
    pub origin: Option<Box<CallOrigin>>,
}

/// How a call arrived on the wire, as far as its answer depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOrigin {
    /// The kind of call.
    pub kind: CallKind,
    /// The namespace of its tool, which is not part of the name.
    pub namespace: Option<String>,
    /// Whether it was made by a program of the model, which reads the result.
    pub by_program: bool,
    /// Whether it calls something that no request declares, so that no schema describes a
    /// structured result.
    pub is_undeclared: bool,
    /// Members of the call that its answer repeats, with their values as JSON.
    pub echo: Vec<(&'static str, String)>,
    /// Why it must not run, whatever its tool is.
    pub void: Option<Void>,
}

/// Why a call must not run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Void {
    /// Its arguments were cut off, though what there is of them may be complete JSON.
    Cut,
    /// It is not a function call but of this unknown kind.
    Kind(String),
}

impl Void {
    /// The error that answers the call.
    fn error(&self) -> CallError {
        match self {
            Void::Cut => CallError::cut_off(),
            // It comes from the API and may be of any length.
            Void::Kind(kind) => CallError::Failed {
                message: format!(
                    "it is a `{}`, which is no function call: toolhost cannot run it",
                    &kind[..kind.floor_char_boundary(100)]
                ),
            },
        }
    }
}

/// The kinds of calls that are answered differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallKind {
    /// A call with JSON arguments.
    #[default]
    Function,
    /// A call of a custom tool, whose input is free text.
    FreeText,
    /// The `function_call` of a chat message, the predecessor of `tool_calls`.
    Legacy,
    /// A tool call of Vercel's AI SDK, version 5 and later.
    AiSdk,
    /// A tool call of Vercel's AI SDK before version 5.
    AiSdk4,
}

impl ToolCall {
    /// A call with an id; `arguments` is JSON text.
    pub fn new(
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        ToolCall {
            id: Some(id.into()),
            name: name.into(),
            arguments: arguments.into(),
            ..ToolCall::default()
        }
    }

    /// The arguments, trimmed.
    pub fn arguments_text(&self) -> &str {
        match self.arguments.trim_ascii() {
            "" => "{}",
            text => text,
        }
    }

    /// The kind of call.
    pub fn kind(&self) -> CallKind {
        self.origin
            .as_ref()
            .map(|origin| origin.kind)
            .unwrap_or_default()
    }

    /// Why it must not run, if so.
    pub fn void(&self) -> Option<&Void> {
        self.origin.as_ref()?.void.as_ref()
    }

    /// The error that answers it, if it must not run.
    pub fn refusal(&self) -> Option<CallError> {
        self.void().map(Void::error)
    }

    /// Its arguments as JSON for a tool with that input schema: free text becomes the tool's one
    /// required string.
    ///
    /// # Errors
    ///
    /// The input is free text, and the schema has no such string.
    pub fn json_arguments(&self, schema: &Value) -> Result<Cow<'_, str>, CallError> {
        if self.kind() != CallKind::FreeText {
            return Ok(Cow::Borrowed(self.arguments_text()));
        }
        let Some(name) = only_required_string(schema) else {
            let message = "the input is free text, and the tool does not have exactly one required \
                           string argument: call it as a function, with JSON arguments";
            return Err(CallError::invalid_arguments("", message));
        };
        let object = Map::from_iter([(name.to_owned(), self.arguments.clone().into())]);
        Ok(Cow::Owned(Value::from(object).to_string()))
    }
}

/// The name of the only required property of an object, if that is a string.
fn only_required_string(schema: &Value) -> Option<&str> {
    let required = schema.get("required")?.as_array()?;
    let properties = schema.get("properties")?.as_object()?;
    let names = required.iter().filter_map(Value::as_str);
    let mut strings = names.filter(|name| {
        let kind = properties.get(*name).and_then(|schema| schema.get("type"));
        kind.is_some_and(|kind| kind == "string")
    });
    let only = strings.next()?;
    strings.next().is_none().then_some(only)
}

/// The result of one call.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// The call's id, unchanged.
    pub id: Option<String>,
    /// The name as it was called.
    pub name: String,
    /// The tool's output, or why there is none.
    pub outcome: Result<Output, CallError>,
    /// What the call used, whatever its outcome.
    pub usage: Usage,
    /// What the guest wrote to stdout, stderr and its log, or an MCP server to its log.
    pub log: Vec<LogLine>,
    /// Repairs made to the arguments; empty if they were valid.
    pub repairs: Vec<Repair>,
    /// The origin of the call.
    pub origin: Option<Box<CallOrigin>>,
}

/// An unambiguous mistake in a call's arguments that was repaired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// The place: a JSON Pointer (RFC 6901), empty for the whole.
    pub path: String,
    /// What was wrong, such as `a number written as a string`.
    pub what: &'static str,
}

impl ToolResult {
    /// The result as text for a model; an error reads `Error: …`.
    pub fn to_text(&self) -> String {
        match &self.outcome {
            Ok(output) => output.to_text(),
            Err(error) => error.to_model_text(&self.name),
        }
    }
}

/// The output of a tool.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Content for the model.
    pub content: Vec<Content>,
    /// The same for programs: a JSON document, as the tool wrote it.
    pub structured: Option<Box<serde_json::value::RawValue>>,
    /// MCP's `_meta` of the result, for programs.
    pub meta: Option<Map<String, Value>>,
    /// By index in `content`: members of MCP's content blocks that [`Content`] has no field for,
    /// such as `annotations` and `_meta`.
    pub content_meta: BTreeMap<usize, Map<String, Value>>,
}

/// In [`Output::meta`]: what was wrong with structured output of an MCP server's tool, which was
/// dropped for that.
pub const OUTPUT_MISMATCH: &str = "toolhost/output-mismatch";

impl Output {
    /// An output of one text.
    pub fn text(text: impl Into<String>) -> Self {
        Output {
            content: vec![Content::Text(text.into())],
            ..Output::default()
        }
    }

    /// The size of content, structured output and `_meta` in bytes, as counted by `max-output`.
    pub fn len(&self) -> u64 {
        let content: usize = self.content.iter().map(Content::size).sum();
        let structured = self.structured.as_ref().map_or(0, |json| json.get().len());
        let meta = self.meta.iter().chain(self.content_meta.values());
        let meta = meta.map(|meta| Value::Object(meta.clone()).to_string().len());
        (content + structured + meta.sum::<usize>()) as u64
    }

    /// Whether it holds nothing at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content as text: one line per text, and a description in brackets for anything else.
    /// Without content, the structured output.
    pub fn to_text(&self) -> String {
        match (&self.content[..], &self.structured) {
            ([], Some(json)) => json.get().to_owned(),
            ([Content::Text(text)], _) => text.clone(),
            (content, _) => {
                let texts: Vec<String> = content.iter().map(Content::to_text).collect();
                texts.join("\n")
            }
        }
    }
}

/// The resources that one call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// From hand-over to permit.
    pub queue: Duration,
    /// From the permit to the result.
    pub run: Duration,
    /// CPU time, in the guest or in the host on its behalf, without waiting.
    pub cpu: Duration,
    /// The most bytes that the instance's memories and tables had together.
    pub peak_memory: u64,
    /// Bytes of content and structured output.
    pub output_bytes: u64,
}

/// One line of a call's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Where it came from.
    pub source: LogSource,
    /// The line, without its newline.
    pub text: String,
}

/// The source of a [`LogLine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogSource {
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// The guest's own log, at level debug.
    Debug,
    /// The guest's own log, at level info.
    Info,
    /// The guest's own log, at level notice.
    Notice,
    /// The guest's own log, at level warning.
    Warning,
    /// The guest's own log, at level error.
    Error,
}
