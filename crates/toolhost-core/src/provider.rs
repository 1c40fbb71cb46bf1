//! [`ToolProvider`]: whatever offers tools, be it a plugin, an MCP server, functions of the
//! embedding program or the agent. Everything around a call (turn, order, schema, masks, audit) is
//! done by the host, which does not know which one it is.

mod deadline;
pub(crate) mod narrowed_grants;
mod payload;
mod structured_output;
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
#[doc(hidden)]
pub use crate::tool_caller::CallableTools;
use crate::tool_caller::ToolCaller;
use crate::watch::{Owner, Progress};
#[doc(hidden)]
pub use deadline::{Meter, RunEnd, stopped, until};
pub(crate) use narrowed_grants::NarrowedGrants;
#[doc(hidden)]
pub use payload::mask_icon;
#[doc(hidden)]
pub use structured_output::mismatch;
#[doc(hidden)]
pub use structured_output::{output, validated};
pub(crate) use supervised::run;

/// Offers tools and serves their calls. Added to a host with
/// [`Loader::provider`](crate::Loader::provider).
///
/// For functions of your program there is [`NativeTools`](crate::NativeTools). Write your own
/// provider for tools that are discovered, or change, at run time:
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
    /// Its name, for instance that of its section in the manifest.
    fn name(&self) -> &str;

    /// Its tools now.
    fn tools(&self) -> Arc<[Arc<ProvidedTool>]>;

    /// Serves one call, whose arguments match the tool's schema. The future is dropped at the
    /// call's deadline and when the call is cancelled.
    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        call: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome>;

    /// Its name in messages, such as "plugin `time`".
    fn title(&self) -> String {
        format!("provider `{}`", self.name())
    }

    /// Which kind of provider it is.
    fn provenance(&self) -> Provider<'_> {
        Provider::Native(self.name())
    }

    /// Mistakes made when it was built: the host then fails to load.
    fn problems(&self) -> &[String] {
        &[]
    }

    /// The number of changes of [`tools`](ToolProvider::tools) so far; `None` if they never change.
    fn changes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        None
    }

    /// The limits of each call; [`Limits::default`] by default.
    fn limits(&self) -> &Limits {
        static DEFAULT: LazyLock<Limits> = LazyLock::new(Limits::default);
        &DEFAULT
    }

    /// Whether its calls end by themselves at their deadline and when cancelled, and keep their
    /// answers within the limits. Otherwise the host enforces that.
    #[doc(hidden)]
    fn ends_calls(&self) -> bool {
        false
    }

    /// The memory that a call may use of this process, as counted by `total-memory`.
    fn memory(&self) -> ByteSize {
        ByteSize::b(0)
    }

    /// The most calls that it serves at once, if it has a limit of its own.
    fn max_concurrency(&self) -> Option<usize> {
        None
    }

    /// Which of its calls run in order, as in the manifest.
    fn order(&self) -> Order {
        Order::Auto
    }

    /// Whether a call of that tool may change something that other calls of this provider depend
    /// on: such calls run one at a time, in order. By default, tools say so themselves.
    fn may_change(&self, tool: &Tool) -> bool {
        let hints = tool.annotations;
        hints.read_only == Some(false) || hints.destructive == Some(true)
    }

    /// Whether its calls can access nothing but their arguments.
    fn is_isolated(&self) -> bool {
        false
    }

    /// The tools that its calls may call, by [`NativeContext::call`](crate::NativeContext::call) for
    /// instance: by default all that the caller of the call may call.
    #[doc(hidden)]
    fn callable_tools(&self) -> CallableTools<'_> {
        CallableTools::None
    }

    /// Whether its calls can be replayed: run again from its start, a call does the same if the
    /// results of its nested calls, its clock and its randomness are the same.
    #[doc(hidden)]
    fn is_repeatable(&self) -> bool {
        false
    }

    /// How many of its calls at one depth of nesting may run or wait for their nested calls, if that
    /// has a bound. Calls of plugins have that of the host.
    #[doc(hidden)]
    fn max_suspended(&self) -> Option<usize> {
        None
    }

    /// The mask for secrets in its results.
    #[doc(hidden)]
    fn secrets(&self) -> Vec<&Secret> {
        Vec::new()
    }

    /// The SHA-256 digest of the file that serves its calls, if there is one.
    fn sha256(&self) -> Option<&str> {
        None
    }

    /// Tools that are left out or changed, and why.
    #[doc(hidden)]
    fn left_out(&self) -> Vec<ToolNote> {
        Vec::new()
    }

    /// Pins of its tools, if a third party describes them.
    #[doc(hidden)]
    fn pins(&self) -> Vec<Pin> {
        Vec::new()
    }

    /// That it was not started, if so, and only lists its tools.
    #[doc(hidden)]
    fn not_started(&self) -> Option<NotStarted> {
        None
    }

    /// Starts what its calls need and is not started yet.
    #[doc(hidden)]
    fn prepare(&self) -> BoxFuture<'_, Result<(), Vec<Diagnostic>>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Abandons a call that waits for replies; `state` is what it would have been resumed with.
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
    /// An MCP server, which is not sandboxed.
    Server(&'a McpConfig),
    /// The embedding program, with the name of its [`ToolProvider`]; its tools are not sandboxed.
    Native(&'a str),
    /// The host itself.
    Host,
}

/// A tool listed by an MCP server that is not offered, or only in part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolNote {
    /// Its name, as the server has it.
    pub tool: String,
    /// What happens to it and why, as the end of a sentence that begins with its name.
    pub why: String,
}

impl ToolNote {
    #[doc(hidden)]
    /// A note on `tool`, with the reason.
    pub fn new(tool: &str, why: impl Into<String>) -> Self {
        ToolNote {
            tool: tool.chars().take(200).collect(),
            why: why.into(),
        }
    }
}

/// An MCP server that was not started: in a [survey](crate::Loader::survey), or an optional one
/// that failed to start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotStarted {
    /// When its cached tools were listed; `None` if none are cached.
    pub tools_from: Option<SystemTime>,
    /// Why it did not start, if that was tried.
    pub why: Option<String>,
}

impl NotStarted {
    /// Creates it from its fields.
    #[doc(hidden)]
    pub fn new(tools_from: Option<SystemTime>, why: Option<String>) -> Self {
        NotStarted { tools_from, why }
    }
}

/// What a tool of an MCP server says about itself, to be pinned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pin {
    /// Its name, as the server has it.
    pub tool: String,
    /// `sha256:` and the digest of the text, as in the manifest.
    pub digest: String,
    /// Its names, description, schemas and annotations, with sorted members.
    pub text: serde_json::Value,
}

impl Pin {
    /// A pin: the definition of `tool` and its digest.
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

/// A tool of a provider, with its schemas compiled.
pub struct ProvidedTool {
    /// The tool as the model sees it.
    #[doc(hidden)]
    pub tool: Tool,
    /// Its name at its provider, without the manifest's prefix.
    #[doc(hidden)]
    pub own_name: String,
    /// The schema of its arguments.
    pub(crate) schema: Arc<Schema>,
    /// The schema of its structured output.
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
    /// Some model API does not accept the name, or a schema is not valid.
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

    /// The tool as the model sees it.
    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// As `new`, with schemas as JSON text; those of `tool` are ignored.
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
            schema: Arc::new(schema),
            output: output.map(Arc::new),
        })
    }

    /// The same tool with another description.
    pub(crate) fn described(&self, description: String) -> ProvidedTool {
        let mut tool = self.tool.clone();
        tool.description = description;
        ProvidedTool {
            tool,
            own_name: self.own_name.clone(),
            schema: self.schema.clone(),
            output: self.output.clone(),
        }
    }

    /// The approximate memory of its schemas, in bytes.
    pub(crate) fn schema_bytes(&self) -> u64 {
        self.schema.bytes() + self.output.as_ref().map_or(0, |schema| schema.bytes())
    }

    /// The parts of its schemas that the model sees but values are not checked against.
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

/// One of a tool's schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaOf {
    Input,
    Output,
}

/// The context of a call, for its provider.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// # use std::sync::Arc;
/// # use futures_util::future::BoxFuture;
/// # use serde_json::json;
/// # use toolhost::provider::{CallContext, ProvidedTool, RunOutcome, ToolProvider};
/// # use toolhost::{CallError, CallOptions, Loader, Manifest, Output, Tool, ToolCall};
/// # use toolhost::tool::LogSource;
/// # struct Service(Arc<[Arc<ProvidedTool>]>);
/// # impl ToolProvider for Service {
/// #     fn name(&self) -> &str { "service" }
/// #     fn tools(&self) -> Arc<[Arc<ProvidedTool>]> { self.0.clone() }
/// fn call<'c>(
///     &'c self,
///     _: &'c ProvidedTool,
///     _: &'c ToolCall,
///     context: CallContext<'c>,
/// ) -> BoxFuture<'c, RunOutcome> {
///     Box::pin(async move {
///         let client = context.client().unwrap_or("nobody");
///         context.log(LogSource::Info, format!("asked by {client}"));
///         let left = context.deadline().saturating_duration_since(std::time::Instant::now());
///         let answer = format!("{client} waits for up to {} s", left.as_secs_f64().ceil());
///         Ok::<_, CallError>(Output::text(answer)).into()
///     })
/// }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut tool = Tool::new("ask", "Asks the service").read_only();
/// # tool.input_schema = json!({ "type": "object" });
/// # let service = Service([Arc::new(ProvidedTool::new(tool)?)].into());
/// # let host = Loader::new(Manifest::default()).provider(service).load().await?;
/// let options = CallOptions::new().client("alice").timeout(std::time::Duration::from_secs(9));
/// let result = host.call_with(ToolCall::new("1", "ask", "{}"), &options).await;
/// assert_eq!(result.to_text(), "alice waits for up to 9 s");
/// assert_eq!(result.log[0].text, "asked by alice");
/// # Ok(())
/// # }
/// ```
pub struct CallContext<'t> {
    /// The start of the call, from which its deadline counts.
    #[doc(hidden)]
    pub start: Instant,
    /// The limits of its provider, or narrower ones.
    #[doc(hidden)]
    pub limits: &'t Limits,
    /// The CPU time it has used so far.
    #[doc(hidden)]
    pub spent: Duration,
    /// Its cancellation token.
    #[doc(hidden)]
    pub cancel: &'t CancellationToken,
    /// The caller.
    #[doc(hidden)]
    pub owner: &'t Owner,
    pub(crate) client: Option<&'t str>,
    pub(crate) narrowed: Option<&'t NarrowedGrants>,
    /// Its idempotency key.
    #[doc(hidden)]
    pub key: Option<&'t str>,
    /// Calls tools for it.
    pub(crate) caller: Option<&'t Arc<dyn ToolCaller>>,
    /// The audit records of the call.
    #[doc(hidden)]
    pub journal: Journal,
}

impl CallContext<'_> {
    /// The deadline of the call.
    pub fn deadline(&self) -> Instant {
        self.limits.deadline(self.start)
    }

    /// The client of the call, if its [options](crate::CallOptions::client) name one.
    pub fn client(&self) -> Option<&str> {
        self.client
    }

    /// The [idempotency key](crate::CallOptions::idempotency_key) of the call, for services that
    /// take one. This host does not run a key twice while it remembers it.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.key
    }

    /// The narrowing of this provider for the call. The provider must enforce it itself.
    pub fn narrowing(&self) -> Option<&ProviderNarrowing> {
        self.narrowed.map(|narrowed| &narrowed.narrowing)
    }

    /// Whether the call was cancelled. Its future is dropped then; this is for threads that work
    /// for it.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// A token that is cancelled with the call, and may be kept anywhere.
    pub fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Adds a line to the call's log. Exceeding `max-log` ends the call.
    pub fn log(&self, source: LogSource, line: impl Into<String>) {
        self.journal.log(source, line.into());
    }

    /// Reports progress to the call's watcher.
    pub fn progress(&self, progress: Progress) {
        self.journal.progress(progress);
    }
}

/// The answer to a call, or to any other request.
#[doc(hidden)]
#[expect(clippy::len_without_is_empty, reason = "nobody asks that of an answer")]
pub trait Payload {
    /// Its size in bytes, as counted by `max-output`.
    fn len(&self) -> u64;

    /// Masks secrets.
    fn mask(&mut self, mask: &Mask);
}

/// The provider's part of a result. Made [from](From) the outcome of the call.
pub struct RunOutcome<T = Output> {
    /// Its outcome.
    #[doc(hidden)]
    pub outcome: Result<T, CallError>,
    /// The CPU time that it used.
    #[doc(hidden)]
    pub cpu: Duration,
    /// Its peak memory, in bytes.
    #[doc(hidden)]
    pub peak_memory: u64,
    /// Its log lines.
    #[doc(hidden)]
    pub log: Vec<LogLine>,
    /// The calls that it made.
    #[doc(hidden)]
    pub calls: u64,
}

impl From<Result<Output, CallError>> for RunOutcome {
    fn from(outcome: Result<Output, CallError>) -> Self {
        RunOutcome::of(outcome)
    }
}

impl<T: Payload> RunOutcome<T> {
    /// Refused before there was an instance.
    #[doc(hidden)]
    pub fn refused(error: CallError) -> Self {
        RunOutcome::of(Err(error))
    }

    /// For calls that take no measurable resources.
    pub(crate) fn of(outcome: Result<T, CallError>) -> Self {
        RunOutcome {
            outcome,
            cpu: Duration::ZERO,
            peak_memory: 0,
            log: Vec::new(),
            calls: 0,
        }
    }

    /// Masks secrets.
    pub(crate) fn mask(&mut self, mask: &Mask) {
        if mask.is_empty() {
            return;
        }
        match &mut self.outcome {
            Ok(output) => output.mask(mask),
            Err(CallError::InputRequired(input)) => payload::mask_input(input, mask),
            Err(error) => error.texts().for_each(|text| mask.text(text)),
        }
        self.log
            .iter_mut()
            .for_each(|line| mask.text(&mut line.text));
    }
}

/// The error for an answer over `max-output`.
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
/// The answer is over `max-output`.
pub(crate) fn bounded<T: Payload>(answer: T, limits: &Limits) -> Result<T, CallError> {
    if answer.len() > limits.max_output.as_u64() {
        return Err(output_limit(limits));
    }
    Ok(answer)
}
