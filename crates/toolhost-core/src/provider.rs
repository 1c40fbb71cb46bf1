//! Whatever offers tools is a [`ToolProvider`]: a plugin, an MCP server, functions of the program itself, the agent.
//! What is around a call (its turn, order, schema, masks, audit) is the host's, which does not know which it is.

pub(crate) mod narrowed;
mod output;
mod payload;
mod running;
mod supervised;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use bytesize::ByteSize;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::error::{CallError, Diagnostic};
use crate::limits::{Limit, Limits};
use crate::manifest::{McpConfig, Order, PluginConfig};
use crate::mask::Mask;
use crate::narrowing::ProviderNarrowing;
use crate::permissions::Secret;
use crate::sandbox::Journal;
use crate::schema::{Schema, Unenforced};
use crate::tool::{LogLine, LogSource, Output, Tool, ToolCall, is_tool_name};
use crate::watch::{Owner, Progress};
pub(crate) use narrowed::NarrowedGrants;
#[doc(hidden)]
pub use output::mismatch;
#[doc(hidden)]
pub use output::{held, output};
#[doc(hidden)]
pub use payload::hide_icon;
#[doc(hidden)]
pub use running::{End, Meter, stopped, until};
pub(crate) use supervised::run;

/// Offers tools, and serves their calls. A host gets one by [`Loader::provider`](crate::Loader::provider).
///
/// For functions of the program itself [`NativeTools`](crate::NativeTools) is one. Write your own for tools
/// that are found or change at run time:
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use std::sync::Arc;
///
/// use futures_util::future::BoxFuture;
/// use serde_json::json;
/// use toolhost::provider::{CallContext, ProvidedTool, RunOutcome, ToolProvider};
/// use toolhost::{CallError, Loader, Manifest, Output, Tool, ToolCall};
///
/// struct Echo(Arc<[Arc<ProvidedTool>]>);
///
/// impl ToolProvider for Echo {
///     fn name(&self) -> &str {
///         "echo"
///     }
///
///     fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
///         self.0.clone()
///     }
///
///     fn call<'c>(
///         &'c self,
///         _: &'c ProvidedTool,
///         call: &'c ToolCall,
///         _: CallContext<'c>,
///     ) -> BoxFuture<'c, RunOutcome> {
///         let outcome = Ok::<_, CallError>(Output::text(call.arguments.clone()));
///         Box::pin(std::future::ready(outcome.into()))
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut tool = Tool::new("echo", "Repeats its arguments").read_only();
/// tool.input_schema = json!({ "type": "object" });
/// let echo = Echo([Arc::new(ProvidedTool::new(tool)?)].into());
///
/// let host = Loader::new(Manifest::default()).provider(echo).load().await?;
/// let result = host.call(ToolCall::new("1", "echo", r#"{"a": 1}"#)).await;
/// assert_eq!(result.to_text(), r#"{"a": 1}"#);
/// # Ok(())
/// # }
/// ```
pub trait ToolProvider: Send + Sync {
    /// Its name: of the section in the manifest, for instance.
    fn name(&self) -> &str;

    /// Its tools now.
    fn tools(&self) -> Arc<[Arc<ProvidedTool>]>;

    /// Serves one call, whose arguments are as the tool's schema asks for them. The future is dropped at the
    /// call's deadline, and when the call is cancelled.
    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        call: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome>;

    /// As messages name it, such as "plugin `time`".
    fn title(&self) -> String {
        format!("provider `{}`", self.name())
    }

    /// What it is.
    fn provenance(&self) -> Provider<'_> {
        Provider::Native(self.name())
    }

    /// What is wrong with it, found when it was made: the host is then not loaded.
    fn problems(&self) -> &[String] {
        &[]
    }

    /// Counts the changes of [`tools`](ToolProvider::tools); `None` where they never change.
    fn changes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        None
    }

    /// The limits of each call. What it is given by default is [`Limits::default`].
    fn limits(&self) -> &Limits {
        static DEFAULT: LazyLock<Limits> = LazyLock::new(Limits::default);
        &DEFAULT
    }

    /// Whether its calls end at their deadline, and when they are cancelled, by themselves, and what they answer is
    /// within their limits. Else the host sees to it.
    #[doc(hidden)]
    fn ends_calls(&self) -> bool {
        false
    }

    /// The memory that a call may take of this process, as `total-memory` counts it.
    fn memory(&self) -> ByteSize {
        ByteSize::b(0)
    }

    /// Calls that it serves at once, where it has a cap of its own.
    fn max_concurrency(&self) -> Option<usize> {
        None
    }

    /// Whether its calls run in order, as the manifest has it.
    fn order(&self) -> Order {
        Order::Auto
    }

    /// Whether a call of that tool may change something that other calls of this provider depend on: such calls
    /// run one at a time, in order. By default those of tools that say so.
    fn may_change(&self, tool: &Tool) -> bool {
        let hints = tool.annotations;
        hints.read_only == Some(false) || hints.destructive == Some(true)
    }

    /// Whether its calls can reach nothing but their arguments.
    fn is_isolated(&self) -> bool {
        false
    }

    /// What must not be seen in results.
    #[doc(hidden)]
    fn secrets(&self) -> Vec<&Secret> {
        Vec::new()
    }

    /// The SHA-256 digest of what serves its calls, where that is a file.
    fn sha256(&self) -> Option<&str> {
        None
    }

    /// What is to be said of its tools, beside what is offered.
    #[doc(hidden)]
    fn left_out(&self) -> Vec<ToolNote> {
        Vec::new()
    }

    /// What its tools say of themselves, where that is somebody else's word.
    #[doc(hidden)]
    fn pins(&self) -> Vec<Pin> {
        Vec::new()
    }

    /// Says so if it was not started, and is only there to be looked at.
    #[doc(hidden)]
    fn not_started(&self) -> Option<NotStarted> {
        None
    }

    /// Has what its calls need, before some come: starts what is not started yet.
    #[doc(hidden)]
    fn prepare(&self) -> BoxFuture<'_, Result<(), Vec<Diagnostic>>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// A call that asked does not go on; `state` is what it was to come back with.
    fn abandon(&self, state: &[u8]) {
        let _ = state;
    }
}

/// Where a tool comes from, with the limits of its calls.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Provider<'a> {
    /// A plugin, with its permissions.
    Plugin(&'a PluginConfig),
    /// An MCP server, which is in no sandbox.
    Server(&'a McpConfig),
    /// The program that the host is part of, by the name of its [`ToolProvider`]; its tools are in no sandbox.
    Native(&'a str),
    /// The host itself.
    Host,
}

/// A tool that an MCP server lists, and that is not offered, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolNote {
    /// Its name, as the server has it.
    pub tool: String,
    /// What becomes of it and why, as the end of a sentence that begins with its name.
    pub why: String,
}

impl ToolNote {
    #[doc(hidden)]
    /// What becomes of `tool`, and why.
    pub fn new(tool: &str, why: impl Into<String>) -> Self {
        ToolNote {
            tool: tool.chars().take(200).collect(),
            why: why.into(),
        }
    }
}

/// An MCP server that was not started, as of a [survey](crate::Loader::survey), or that is optional and did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotStarted {
    /// When it listed the tools that it is said to have, which nobody remembers if `None`: then it has none.
    pub tools_from: Option<SystemTime>,
    /// Why it did not start, if that was tried.
    pub why: Option<String>,
}

impl NotStarted {
    /// With the fields of that name.
    #[doc(hidden)]
    pub fn new(tools_from: Option<SystemTime>, why: Option<String>) -> Self {
        NotStarted { tools_from, why }
    }
}

/// What a tool of an MCP server says of itself, to be pinned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pin {
    /// Its name, as the server has it.
    pub tool: String,
    /// As the manifest has it: `sha256:` and the digest of the text.
    pub digest: String,
    /// Its names, description, schemas and annotations, the members in order.
    pub text: serde_json::Value,
}

impl Pin {
    /// What `tool` says of itself, and the digest of that.
    pub fn new(
        tool: impl Into<String>,
        digest: impl Into<String>,
        text: serde_json::Value,
    ) -> Self {
        Pin {
            tool: tool.into(),
            digest: digest.into(),
            text,
        }
    }
}

/// A tool, as its provider and the host have it: with its schemas compiled.
pub struct ProvidedTool {
    /// As the model sees it.
    #[doc(hidden)]
    pub tool: Tool,
    /// As its provider has it, without the manifest's prefix.
    #[doc(hidden)]
    pub own_name: String,
    /// Of its arguments.
    pub(crate) schema: Schema,
    /// Of its structured output.
    #[doc(hidden)]
    pub output: Option<Arc<Schema>>,
}

impl std::fmt::Debug for ProvidedTool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ProvidedTool")
            .field(&self.tool.name)
            .finish()
    }
}

impl ProvidedTool {
    /// Compiles a tool's schemas.
    ///
    /// # Errors
    ///
    /// The name is none that every model API takes, or a schema is none that can be held against values.
    pub fn new(tool: Tool) -> Result<ProvidedTool, InvalidTool> {
        if !is_tool_name(&tool.name) {
            let message = format!(
                "`{}` is not a tool name: use 1 to 64 of A-Z, a-z, 0-9, `_` and `-`",
                tool.name
            );
            return Err(InvalidTool(message));
        }
        let input = tool.input_schema.to_string();
        let output = tool.output_schema.as_ref().map(ToString::to_string);
        ProvidedTool::parse(tool.name.clone(), tool, &input, output.as_deref()).map_err(InvalidTool)
    }

    /// The tool, as the model sees it.
    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// `tool` as the model sees it, but for its schemas, which are yet to be read.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them.
    #[doc(hidden)]
    pub fn parse(
        own_name: String,
        mut tool: Tool,
        input_schema: &str,
        output_schema: Option<&str>,
    ) -> Result<ProvidedTool, String> {
        let name = &tool.name;
        let (value, schema) = Schema::parse(input_schema)
            .map_err(|message| format!("the input schema of `{name}` {message}"))?;
        let output = output_schema.map(Schema::parse).transpose();
        let output =
            output.map_err(|message| format!("the output schema of `{name}` {message}"))?;
        let (output_schema, output) = output.unzip();
        tool.input_schema = value;
        tool.output_schema = output_schema;
        Ok(ProvidedTool {
            tool,
            own_name,
            schema,
            output: output.map(Arc::new),
        })
    }

    /// About as many bytes as its schemas take in memory.
    pub(crate) fn schema_bytes(&self) -> u64 {
        self.schema.bytes() + self.output.as_ref().map_or(0, |schema| schema.bytes())
    }

    /// What of its schemas is shown to the model and not held against values.
    pub(crate) fn unenforced(&self) -> impl Iterator<Item = (SchemaOf, &Unenforced)> {
        let of_input = self.schema.unenforced.iter();
        let of_output = self.output.iter().flat_map(|schema| &schema.unenforced);
        of_input
            .map(|it| (SchemaOf::Input, it))
            .chain(of_output.map(|it| (SchemaOf::Output, it)))
    }
}

/// Why a tool cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTool(pub(crate) String);

/// Which schema of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaOf {
    Input,
    Output,
}

/// What a provider is called with beside the call.
pub struct CallContext<'t> {
    /// What its deadline counts from.
    #[doc(hidden)]
    pub start: Instant,
    /// Its provider's, or narrower ones.
    #[doc(hidden)]
    pub limits: &'t Limits,
    /// What it has computed so far.
    #[doc(hidden)]
    pub spent: Duration,
    /// What cancels it.
    #[doc(hidden)]
    pub cancel: &'t CancellationToken,
    /// Who calls.
    #[doc(hidden)]
    pub owner: &'t Owner,
    pub(crate) client: Option<&'t str>,
    pub(crate) narrowed: Option<&'t NarrowedGrants>,
    /// Its idempotency key.
    #[doc(hidden)]
    pub key: Option<&'t str>,
    /// What is recorded of it.
    #[doc(hidden)]
    pub journal: Journal,
}

impl CallContext<'_> {
    /// When the call has to have ended.
    pub fn deadline(&self) -> Instant {
        self.limits.deadline(self.start)
    }

    /// Whose call it is, where its [options](crate::CallOptions::client) say so.
    pub fn client(&self) -> Option<&str> {
        self.client
    }

    /// The [idempotency key](crate::CallOptions::idempotency_key) of the call, for services that take one: the same is not run
    /// twice by this host while it knows the key.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.key
    }

    /// How what this provider may touch is narrowed for the call. Nobody but the provider sees to it.
    pub fn narrowing(&self) -> Option<&ProviderNarrowing> {
        self.narrowed.map(|narrowed| &narrowed.narrowing)
    }

    /// Whether the call was cancelled. Its future is dropped then; this is for threads that work for it.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Becomes true once the call is cancelled, wherever it is kept.
    pub fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Adds a line to the call's log. A log that is longer than `max-log` ends the call.
    pub fn log(&self, source: LogSource, line: impl Into<String>) {
        self.journal.log(source, line.into());
    }

    /// Says how far the call is, to whoever watches it.
    pub fn progress(&self, progress: Progress) {
        self.journal.progress(progress);
    }
}

/// What is answered to a call, or to any other request.
#[doc(hidden)]
#[expect(clippy::len_without_is_empty, reason = "nobody asks that of an answer")]
pub trait Payload {
    /// Its bytes, as the `max-output` limit counts them.
    fn len(&self) -> u64;

    /// Puts `***` where secrets are.
    fn hide(&mut self, mask: &Mask);
}

/// All of a result that is the provider's to say. It is made [from](From) what the call comes to.
pub struct RunOutcome<T = Output> {
    /// What it answered.
    #[doc(hidden)]
    pub outcome: Result<T, CallError>,
    /// What it computed.
    #[doc(hidden)]
    pub cpu: Duration,
    /// The most memory that it had, in bytes.
    #[doc(hidden)]
    pub peak_memory: u64,
    /// What it logged.
    #[doc(hidden)]
    pub log: Vec<LogLine>,
}

impl From<Result<Output, CallError>> for RunOutcome {
    fn from(outcome: Result<Output, CallError>) -> Self {
        RunOutcome::of(outcome)
    }
}

impl<T: Payload> RunOutcome<T> {
    /// Ended before there was an instance.
    #[doc(hidden)]
    pub fn refused(error: CallError) -> Self {
        RunOutcome::of(Err(error))
    }

    /// What took nothing worth measuring.
    pub(crate) fn of(outcome: Result<T, CallError>) -> Self {
        RunOutcome {
            outcome,
            cpu: Duration::ZERO,
            peak_memory: 0,
            log: Vec::new(),
        }
    }

    /// Puts `***` where secrets are.
    pub(crate) fn hide(&mut self, mask: &Mask) {
        if mask.is_empty() {
            return;
        }
        match &mut self.outcome {
            Ok(output) => output.hide(mask),
            Err(CallError::InputRequired(input)) => payload::hide_input(input, mask),
            Err(error) => error.texts().for_each(|text| mask.text(text)),
        }
        self.log
            .iter_mut()
            .for_each(|line| mask.text(&mut line.text));
    }
}

/// The error of an answer that is longer than it may be.
#[doc(hidden)]
pub fn output_limit(limits: &Limits) -> CallError {
    CallError::over(Limit::Output, limits.max_output)
}

/// An error, or that of one with more to say than it may.
pub(crate) fn bounded_error(mut error: CallError, limits: &Limits) -> CallError {
    let length = match &mut error {
        CallError::InputRequired(input) => input.size(),
        error => error.texts().map(|text| text.len()).sum(),
    };
    match length as u64 > limits.max_output.as_u64() {
        true => output_limit(limits),
        false => error,
    }
}

/// # Errors
///
/// The answer is longer than it may be.
pub(crate) fn bounded<T: Payload>(answer: T, limits: &Limits) -> Result<T, CallError> {
    if answer.len() > limits.max_output.as_u64() {
        return Err(output_limit(limits));
    }
    Ok(answer)
}
