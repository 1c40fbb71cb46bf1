//! Whatever offers tools is a [`ToolProvider`]: a plugin, an MCP server, the agent itself. What is
//! around a call (its turn, order, schema, masks, audit) is the host's, which does not know which it is.

mod output;
mod payload;
mod running;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytesize::ByteSize;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::limits::{Limit, Limits};
use crate::manifest::{McpConfig, Order, PluginConfig};
use crate::mask::Mask;
use crate::permissions::Secret;
use crate::sandbox::Journal;
use crate::schema::{Schema, Unenforced};
use crate::tool::{LogLine, Output, Tool, ToolCall};
use crate::watch::Owner;
#[cfg(feature = "mcp")]
pub(crate) use output::mismatch;
pub(crate) use output::{held, output};
pub(crate) use running::{End, Meter, stopped, until};

/// Offers tools, and serves their calls.
pub(crate) trait ToolProvider: Send + Sync {
    /// Its name in the manifest.
    fn name(&self) -> &str;

    /// As messages name it, such as "plugin `time`".
    fn title(&self) -> String;

    /// What it is.
    fn provenance(&self) -> Provider<'_>;

    /// Its tools now.
    fn tools(&self) -> Arc<[Arc<ProvidedTool>]>;

    /// Counts the changes of [`tools`](ToolProvider::tools); `None` where they never change.
    fn changes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        None
    }

    /// The limits of each call.
    fn limits(&self) -> &Limits;

    /// The memory that a call may take of this process.
    fn memory(&self) -> ByteSize {
        self.limits().memory
    }

    /// Calls that it serves at once, where it has a cap of its own.
    fn max_concurrency(&self) -> Option<usize> {
        None
    }

    /// Whether its calls run in order, as the manifest has it.
    fn order(&self) -> Order {
        Order::Auto
    }

    /// Whether a call of that tool may change something that other calls depend on.
    fn may_change(&self, tool: &Tool) -> bool;

    /// Whether its calls can reach nothing but their arguments.
    fn is_isolated(&self) -> bool {
        false
    }

    /// What must not be seen in results.
    fn secrets(&self) -> Vec<&Secret> {
        Vec::new()
    }

    /// The SHA-256 digest of what serves its calls, where that is a file.
    fn sha256(&self) -> Option<&str> {
        None
    }

    /// What is to be said of its tools, beside what is offered.
    fn left_out(&self) -> Vec<ToolNote> {
        Vec::new()
    }

    /// What its tools say of themselves, where that is somebody else's word.
    fn pins(&self) -> Vec<Pin> {
        Vec::new()
    }

    /// Says so if it was not started, and is only there to be looked at.
    fn not_started(&self) -> Option<NotStarted> {
        None
    }

    /// Serves one call, whose arguments are as the tool asks for them. It ends at its deadline, and soon
    /// after its turn is cancelled.
    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        call: &'c ToolCall,
        turn: Turn<'c>,
    ) -> BoxFuture<'c, Served>;

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
    /// The host itself.
    Host,
}

/// A tool that an MCP server lists, and that is not offered, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolNote {
    /// Its name, as the server has it.
    pub tool: String,
    /// What becomes of it and why, as the end of a sentence that begins with its name.
    pub why: String,
}

impl ToolNote {
    #[cfg(feature = "mcp")]
    pub(crate) fn new(tool: &str, why: impl Into<String>) -> Self {
        ToolNote {
            tool: tool.chars().take(200).collect(),
            why: why.into(),
        }
    }
}

/// An MCP server that was not started; see [`Loader::survey`](crate::Loader::survey).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStarted {
    /// When it listed the tools that it is said to have, which nobody remembers if `None`: then it has none.
    pub tools_from: Option<SystemTime>,
}

/// What a tool of an MCP server says of itself, to be pinned.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// Its name, as the server has it.
    pub tool: String,
    /// As the manifest has it: `sha256:` and the digest of the text.
    pub digest: String,
    /// Its names, description, schemas and annotations, the members in order.
    pub text: serde_json::Value,
}

/// A tool, as its provider and the host have it.
pub(crate) struct ProvidedTool {
    /// As the model sees it.
    pub(crate) tool: Tool,
    /// As its provider has it, without the manifest's prefix.
    pub(crate) own_name: String,
    /// Of its arguments.
    pub(crate) schema: Schema,
    /// Of its structured output.
    pub(crate) output: Option<Arc<Schema>>,
}

impl ProvidedTool {
    /// `tool` as the model sees it, but for its schemas, which are yet to be read.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them.
    pub(crate) fn new(
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

/// Which schema of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaOf {
    Input,
    Output,
}

/// A call's turn to run.
pub(crate) struct Turn<'t> {
    /// What its deadline counts from.
    pub(crate) start: Instant,
    /// What it has computed so far.
    pub(crate) spent: Duration,
    pub(crate) cancel: &'t CancellationToken,
    /// Who calls.
    #[cfg_attr(not(any(feature = "agent", feature = "mcp")), expect(dead_code))]
    pub(crate) owner: &'t Owner,
    pub(crate) journal: Journal,
}

/// What is answered to a call, or to any other request.
pub(crate) trait Payload {
    /// Its bytes, as the `max-output` limit counts them.
    fn len(&self) -> u64;

    /// Puts `***` where secrets are.
    fn hide(&mut self, mask: &Mask);
}

/// A served call: all of a result that is the provider's to say.
pub(crate) struct Served<T = Output> {
    pub(crate) outcome: Result<T, CallError>,
    pub(crate) cpu: Duration,
    pub(crate) peak_memory: u64,
    pub(crate) log: Vec<LogLine>,
}

impl<T: Payload> Served<T> {
    /// Ended before there was an instance.
    pub(crate) fn refused(error: CallError) -> Self {
        Served::of(Err(error))
    }

    /// What took nothing worth measuring.
    pub(crate) fn of(outcome: Result<T, CallError>) -> Self {
        Served {
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
            Err(CallError::InputRequired(input)) => input.hide(mask),
            Err(error) => error.texts().for_each(|text| mask.text(text)),
        }
        self.log
            .iter_mut()
            .for_each(|line| mask.text(&mut line.text));
    }
}

/// The error of an answer that is longer than it may be.
pub(crate) fn output_limit(limits: &Limits) -> CallError {
    CallError::over(Limit::Output, limits.max_output)
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
