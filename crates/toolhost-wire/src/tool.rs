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
use crate::setters;

/// A function that a model can call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
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
    /// A tool without arguments. The name is `[A-Za-z0-9_-]{1,64}`; the description says what it
    /// does and when to use it.
    ///
    /// ```
    /// use serde_json::json;
    /// use toolhost_wire::Tool;
    ///
    /// let tool = Tool::new("weather", "The weather at a place, now.")
    ///     .with_input_schema(json!({
    ///         "type": "object",
    ///         "properties": { "place": { "type": "string" } },
    ///         "required": ["place"],
    ///     }))
    ///     .read_only();
    /// assert_eq!(tool.annotations.read_only, Some(true));
    /// ```
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

setters!(Tool {
    with_annotations: annotations: Annotations,
    with_sandboxed: sandboxed: bool,
} into {
    with_title: title: Option<String>,
    with_icons: icons: Vec<Icon>,
    with_input_schema: input_schema: Value,
    with_output_schema: output_schema: Option<Value>,
    with_allowed_callers: allowed_callers: Vec<String>,
    with_plugin: plugin: String,
});

/// Whether every model API accepts this as a tool's name.
///
/// ```
/// use toolhost_wire::tool::is_tool_name;
///
/// assert!(is_tool_name("read_file"));
/// assert!(!is_tool_name("read.file"));
/// ```
pub fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// An icon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
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

impl Icon {
    /// The icon at an `https:` or `data:` URI.
    pub fn new(src: impl Into<String>) -> Self {
        Icon {
            src: src.into(),
            mime_type: None,
            sizes: Vec::new(),
        }
    }
}

setters!(Icon into {
    with_mime_type: mime_type: Option<String>,
    with_sizes: sizes: Vec<String>,
});

/// A tool's hints about its own behaviour; `None` stands for MCP's default.
///
/// They are claims of the plugin's author: base no decision on them that permissions should make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
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

setters!(Annotations into {
    with_read_only: read_only: Option<bool>,
    with_destructive: destructive: Option<bool>,
    with_idempotent: idempotent: Option<bool>,
    with_open_world: open_world: Option<bool>,
});

/// A model's request to run a tool.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
                    "this is a `{}`, not a function call: toolhost cannot run it",
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
    ///
    /// ```
    /// use toolhost_wire::ToolCall;
    ///
    /// let call = ToolCall::new("call_1", "add", r#"{"a": 1, "b": 2}"#);
    /// assert_eq!(call.id.as_deref(), Some("call_1"));
    /// ```
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
            let message = "free-text input requires a tool with exactly one required string argument: call this \
                           tool as a function with JSON arguments";
            return Err(CallError::invalid_arguments("", message));
        };
        let object = Map::from_iter([(name.to_owned(), self.arguments.clone().into())]);
        Ok(Cow::Owned(Value::from(object).to_string()))
    }
}

setters!(ToolCall into {
    with_id: id: Option<String>,
    with_resumed: resumed: Option<Box<Resumption>>,
    with_meta: meta: Option<Box<Map<String, Value>>>,
    with_origin: origin: Option<Box<CallOrigin>>,
});

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
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Repair {
    /// The place: a JSON Pointer (RFC 6901), empty for the whole.
    pub path: String,
    /// What was wrong, such as `a number written as a string`.
    pub what: &'static str,
}

impl Repair {
    /// A repair at a JSON Pointer (RFC 6901; empty for the whole document), and what was wrong there.
    pub fn new(path: impl Into<String>, what: &'static str) -> Self {
        Repair {
            path: path.into(),
            what,
        }
    }
}

impl ToolResult {
    /// The result of a call of `name`, without an id.
    pub fn new(name: impl Into<String>, outcome: Result<Output, CallError>) -> Self {
        ToolResult {
            id: None,
            name: name.into(),
            outcome,
            usage: Usage::default(),
            log: Vec::new(),
            repairs: Vec::new(),
            origin: None,
        }
    }

    /// The result of a call: with its id, and whatever else of the call the answer has to repeat.
    ///
    /// ```
    /// use toolhost_wire::{CallError, Output, ToolCall, ToolResult};
    ///
    /// let call = ToolCall::new("call_1", "add", r#"{"a": 1, "b": 2}"#);
    /// let result = ToolResult::of(&call, Ok(Output::text("3")));
    /// assert_eq!(result.to_text(), "3");
    ///
    /// let result = ToolResult::of(&call, Err(CallError::failed("out of numbers")));
    /// assert_eq!(result.to_text(), "Error: add failed - out of numbers");
    /// ```
    pub fn of(call: &ToolCall, outcome: Result<Output, CallError>) -> Self {
        ToolResult {
            id: call.id.clone(),
            origin: call.origin.clone(),
            ..ToolResult::new(&call.name, outcome)
        }
    }

    /// The result as text for a model; an error reads `Error: …`.
    pub fn to_text(&self) -> String {
        match &self.outcome {
            Ok(output) => output.to_text(),
            Err(error) => error.to_model_text(&self.name),
        }
    }
}

setters!(ToolResult {
    with_usage: usage: Usage,
    with_log: log: Vec<LogLine>,
    with_repairs: repairs: Vec<Repair>,
} into {
    with_id: id: Option<String>,
    with_origin: origin: Option<Box<CallOrigin>>,
});

/// The output of a tool.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
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
    /// An output of several parts.
    ///
    /// ```
    /// use toolhost_wire::tool::{Content, Media, Output};
    ///
    /// let chart = Media::new(b"...".to_vec(), "image/png");
    /// let output = Output::new(vec!["Sales by month:".into(), Content::Image(chart)]);
    /// assert_eq!(output.to_text(), "Sales by month:\n[image: image/png, 3 bytes]");
    /// ```
    pub fn new(content: Vec<Content>) -> Self {
        Output {
            content,
            ..Output::default()
        }
    }

    /// An output of one text.
    pub fn text(text: impl Into<String>) -> Self {
        Output::new(vec![Content::Text(text.into())])
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

setters!(Output into {
    with_structured: structured: Option<Box<serde_json::value::RawValue>>,
    with_meta: meta: Option<Map<String, Value>>,
});

/// The resources that one call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Calls that it made, with those that they made; `cpu` is that of all of them together.
    pub calls: u64,
}

/// One line of a call's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogLine {
    /// Where it came from.
    pub source: LogSource,
    /// The line, without its newline.
    pub text: String,
}

impl LogLine {
    /// A line, without its line ending.
    pub fn new(source: LogSource, text: impl Into<String>) -> Self {
        LogLine {
            source,
            text: text.into(),
        }
    }
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
