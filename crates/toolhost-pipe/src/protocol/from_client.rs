//! The frames that the client sends.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use toolhost_core::tool::{Annotations, ToolCall};

use super::content::Block;

/// A frame of the client.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientFrame<'a> {
    /// The first frame.
    Hello(ClientHello),
    /// Asks for the tools, in a format.
    Tools(ToolList),
    /// Replaces the tools of the program.
    Declare(Declare),
    /// Runs calls.
    Run(Run<'a>),
    /// More of a run's stream.
    Data(StreamData),
    /// The end of a run's stream.
    End(StreamEnd),
    /// Cancels a run.
    Cancel(FrameId),
    /// Answers a call of a function of the program.
    Answer(Answer<'a>),
    /// Loads the manifest again.
    Reload(Reload),
}

/// Begins the session.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct ClientHello {
    /// The newest version of the protocol that the client speaks.
    pub version: u32,
    /// The client's name and version, for messages.
    #[serde(default)]
    pub client: Option<String>,
    /// The manifest; the command's own if there is none.
    #[serde(default)]
    pub manifest: Option<ManifestSource>,
    /// Plugins that ship with the host, by name, beside those of the manifest. They are granted nothing.
    #[serde(default)]
    pub plugins: Vec<String>,
    /// The functions of the program that are tools.
    #[serde(default)]
    pub tools: Vec<ToolDeclaration>,
    /// How many calls of these functions run at once [default: 64].
    #[serde(default)]
    pub max_calls: Option<u16>,
    /// The longest frame that the client reads, in bytes [default: no limit].
    #[serde(default)]
    pub max_frame: Option<u64>,
}

/// Where the manifest is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ManifestSource {
    /// A file. Naming it trusts it, as `--manifest` does.
    File(PathBuf),
    /// What the file would say, as JSON. It is the program's own, so it is trusted.
    Inline {
        /// The tables and keys of a manifest.
        tables: serde_json::Map<String, Value>,
        /// What relative paths are relative to [default: the working folder].
        #[serde(default)]
        folder: Option<PathBuf>,
    },
}

/// A function of the program.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct ToolDeclaration {
    /// Its name.
    pub name: String,
    /// A name for people.
    #[serde(default)]
    pub title: Option<String>,
    /// What the model reads.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its arguments.
    pub input_schema: Value,
    /// The JSON Schema of its structured output.
    #[serde(default)]
    pub output_schema: Option<Value>,
    /// What it says about its effects.
    #[serde(default)]
    pub annotations: Hints,
    /// The deadline of each call, if it is sooner than the host's.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// What a tool says about its effects. What is missing is unknown.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Hints {
    /// It changes nothing.
    #[serde(default)]
    read_only: Option<bool>,
    /// It may destroy something.
    #[serde(default)]
    destructive: Option<bool>,
    /// Calling it again with the same arguments changes nothing more.
    #[serde(default)]
    idempotent: Option<bool>,
    /// It reaches beyond the program.
    #[serde(default)]
    open_world: Option<bool>,
}

impl From<Hints> for Annotations {
    fn from(hints: Hints) -> Self {
        Annotations::default()
            .with_read_only(hints.read_only)
            .with_destructive(hints.destructive)
            .with_idempotent(hints.idempotent)
            .with_open_world(hints.open_world)
    }
}

/// Asks for the tools. The answer is `tools`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct ToolList {
    /// The request's id.
    pub id: u64,
    /// The wire format, as `toolhost list --format` names it [default: json].
    #[serde(default)]
    pub format: Option<String>,
}

/// Replaces all tools of the program. The answer is `ok`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Declare {
    /// The request's id.
    pub id: u64,
    /// All of them.
    pub tools: Vec<ToolDeclaration>,
}

/// Runs calls: those in `calls`, those of a model's `response`, or those of a `stream` that follows. The answers are
/// `result` for each call as it completes, and one `done`, which has the last result in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Run<'a> {
    /// The run's id; no other open request has it.
    pub id: u64,
    /// The calls.
    #[serde(default, borrow)]
    pub calls: Option<Vec<Call<'a>>>,
    /// A model's response: the API's JSON, or that as a string.
    #[serde(default, borrow)]
    #[schemars(with = "Option<Value>")]
    pub response: Option<&'a RawValue>,
    /// The response follows, in `data` frames and one `end`.
    #[serde(default)]
    pub stream: Option<StreamKind>,
    /// The response's wire format [default: detected].
    #[serde(default)]
    pub format: Option<Cow<'a, str>>,
    /// Whether each result is sent [default: true].
    #[serde(default)]
    pub results: Option<bool>,
    /// Whether `done` has the messages that answer the response.
    #[serde(default)]
    pub messages: bool,
    /// Whether `done` has the model's own message too, as the next request needs it.
    #[serde(default)]
    pub reply: bool,
    /// For whom the calls are: the client's folders, its name in the audit log.
    #[serde(default)]
    pub client: Option<Cow<'a, str>>,
    /// The deadline of each call, if it is sooner than the tool's.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// The same calls with the same key run once.
    #[serde(default)]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// The `call` of the host whose function makes this run.
    #[serde(default)]
    pub parent: Option<u64>,
}

/// A call.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Call<'a> {
    /// Its id, returned with its result.
    #[serde(default)]
    pub id: Option<Cow<'a, str>>,
    /// The tool.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// A JSON object, or one as text [default: {}].
    #[serde(default, borrow)]
    #[schemars(with = "Option<Value>")]
    pub arguments: Option<&'a RawValue>,
}

impl From<Call<'_>> for ToolCall {
    fn from(call: Call) -> ToolCall {
        let arguments = match call.arguments.map(RawValue::get) {
            None => String::new(),
            // Text that cannot be decoded, as with a lone surrogate, stays as written: the call answers with that error.
            Some(text) if text.starts_with('"') => {
                serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
            }
            Some(text) => text.to_owned(),
        };
        let mut called = ToolCall::default();
        called.id = call.id.map(Cow::into_owned);
        called.name = call.name.into_owned();
        called.arguments = arguments;
        called
    }
}

/// What the `data` of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StreamKind {
    /// The JSON of one event each.
    Events,
    /// Pieces of the response's body: server-sent events, or Ollama's lines.
    Text,
}

/// More of a run's stream.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct StreamData {
    /// The run.
    pub id: u64,
    /// An event, or a piece of the body.
    pub data: String,
}

/// The end of a run's stream.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct StreamEnd {
    /// The run.
    pub id: u64,
    /// Why it ended early, if it did.
    #[serde(default)]
    pub error: Option<String>,
}

/// A frame that only names what it is about.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct FrameId {
    /// The id of the run, request or call.
    pub id: u64,
}

/// A function has returned, or failed. Sent exactly once for each `call`, also for one that was cancelled: the function
/// counts as running until then.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// The call.
    pub id: u64,
    /// What it returned, for the model.
    #[serde(default, borrow)]
    pub content: Vec<Block<'a>>,
    /// The same for programs.
    #[serde(default, borrow)]
    #[schemars(with = "Option<Value>")]
    pub structured: Option<&'a RawValue>,
    /// Why it failed, if it did.
    #[serde(default)]
    pub error: Option<AnswerError>,
}

/// Why a function failed.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct AnswerError {
    /// `failed`, `invalid-arguments`, `denied` or `cancelled` [default: failed].
    #[serde(default)]
    #[schemars(extend("enum" = ["failed", "invalid-arguments", "denied", "cancelled", null]))]
    pub code: Option<String>,
    /// What the model reads.
    pub message: String,
}

/// Loads the manifest, its plugins and its servers again. The answer is `ok`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reload {
    /// The request's id.
    pub id: u64,
    /// Another manifest [default: that of `hello`].
    #[serde(default)]
    pub manifest: Option<ManifestSource>,
}

/// A frame that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct InvalidFrame {
    /// The id in it, if there is one.
    pub id: Option<u64>,
    /// What is wrong.
    pub message: String,
}

impl<'a> ClientFrame<'a> {
    /// Parses a line.
    ///
    /// # Errors
    ///
    /// It is no frame.
    pub fn parse(line: &'a [u8]) -> Result<ClientFrame<'a>, InvalidFrame> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            r#type: Cow<'a, str>,
        }
        fn read<'a, T: Deserialize<'a>>(line: &'a [u8], kind: &str) -> Result<T, InvalidFrame> {
            serde_json::from_slice(line)
                .map_err(|error| invalid(line, format!("`{kind}` frame: {error}")))
        }
        let head: Head = serde_json::from_slice(line)
            .map_err(|error| invalid(line, format!("not a frame: {error}")))?;
        let kind = &*head.r#type;
        Ok(match kind {
            "hello" => ClientFrame::Hello(read(line, kind)?),
            "tools" => ClientFrame::Tools(read(line, kind)?),
            "declare" => ClientFrame::Declare(read(line, kind)?),
            "run" => ClientFrame::Run(read(line, kind)?),
            "data" => ClientFrame::Data(read(line, kind)?),
            "end" => ClientFrame::End(read(line, kind)?),
            "cancel" => ClientFrame::Cancel(read(line, kind)?),
            "answer" => ClientFrame::Answer(read(line, kind)?),
            "reload" => ClientFrame::Reload(read(line, kind)?),
            other => {
                let other: String = other.chars().take(100).collect();
                return Err(invalid(line, format!("unknown type of frame: {other:?}")));
            }
        })
    }
}

fn invalid(line: &[u8], message: String) -> InvalidFrame {
    #[derive(Deserialize)]
    struct Id {
        id: u64,
    }
    let id = serde_json::from_slice::<Id>(line).ok();
    InvalidFrame {
        id: id.map(|it| it.id),
        message,
    }
}
