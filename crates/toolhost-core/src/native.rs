//! Functions of the program that the host is part of, as tools: [`NativeTools`].

use std::any::Any;
use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::future::{BoxFuture, ready};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::limits::Limits;
use crate::narrowing::ProviderNarrowing;
use crate::provider::{CallContext, InvalidTool, ProvidedTool, RunOutcome, ToolProvider, output};
use crate::sandbox::Journal;
use crate::tool::{Content, LogSource, Output, Tool, ToolCall};
use crate::watch::Progress;

type Answer = Result<Output, CallError>;

type Function = dyn Fn(&str, NativeContext) -> BoxFuture<'static, Answer> + Send + Sync;

/// Functions of the program itself, as tools beside those of plugins. They are **not sandboxed**, and
/// listed as such ([`Tool::sandboxed`]).
///
/// A call of one is a call like any other: it has a place in order, waits for a permit, is held against its
/// schema and repaired, ends at its deadline, and is in the audit log. It ends by being dropped at its next
/// `.await`: a function that computes or blocks for long belongs in [`tokio::task::spawn_blocking`]. A panic is
/// the error of that call, and of no other.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// # #[cfg(feature = "schemars")] {
/// use schemars::JsonSchema;
/// use serde::Deserialize;
/// use toolhost::{Loader, Manifest, NativeTools, Tool, ToolCall};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Add {
///     a: i64,
///     b: i64,
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), toolhost::LoadError> {
/// let math = NativeTools::new("math")
///     .tool(Tool::new("add", "Adds two integers").read_only(), async |args: Add| args.a + args.b);
/// let host = Loader::new(Manifest::default()).provider(math).load().await?;
///
/// let result = host.call(ToolCall::new("1", "add", r#"{"a": 2, "b": "3"}"#)).await;
/// assert_eq!(result.to_text(), "5");
/// # Ok(())
/// # }
/// # main().unwrap();
/// # }
/// ```
///
/// A function that needs more than its arguments takes a [`NativeContext`] as well. One that uses values from around
/// it has each call own them: `move |args: Find| { let index = index.clone(); async move { … } }`.
pub struct NativeTools {
    name: String,
    tools: Vec<Arc<ProvidedTool>>,
    /// By the names of the tools.
    functions: HashMap<String, Box<Function>>,
    /// `tools`, once there are no more.
    listed: OnceLock<Arc<[Arc<ProvidedTool>]>>,
    problems: Vec<String>,
    limits: Limits,
    max_concurrency: Option<usize>,
}

impl fmt::Debug for NativeTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeTools")
            .field("name", &self.name)
            .field("tools", &self.tools)
            .finish_non_exhaustive()
    }
}

impl NativeTools {
    /// No tools yet. The name is for messages, the audit log and [`Tool::plugin`].
    pub fn new(name: impl Into<String>) -> Self {
        NativeTools {
            name: name.into(),
            tools: Vec::new(),
            functions: HashMap::new(),
            listed: OnceLock::new(),
            problems: Vec::new(),
            limits: Limits::default(),
            max_concurrency: None,
        }
    }

    /// Adds a function whose arguments describe themselves. What is wrong with the declaration is an error when
    /// the host is [loaded](crate::Loader::load).
    #[cfg(feature = "schemars")]
    #[must_use]
    pub fn tool<M, F>(self, declared: Tool, function: F) -> Self
    where
        F: NativeFunction<M>,
        F::Arguments: schemars::JsonSchema,
    {
        let schema = schema_of::<F::Arguments>();
        self.tool_with_schema(declared, schema, function)
    }

    /// As `tool` (feature `schemars`), with a JSON Schema of the arguments.
    #[must_use]
    pub fn tool_with_schema<M, F>(mut self, declared: Tool, schema: Value, function: F) -> Self
    where
        F: NativeFunction<M>,
    {
        let output_schema = declared.output_schema.clone();
        let declared = declared
            .with_input_schema(schema)
            .with_output_schema(output_schema.or_else(F::Answer::schema))
            .with_plugin(&self.name)
            .with_sandboxed(false);
        let name = declared.name.clone();
        match ProvidedTool::new(declared) {
            Ok(tool) => self.tools.push(Arc::new(tool)),
            Err(InvalidTool(problem)) => self.problems.push(problem),
        }
        let run = move |arguments: &str, context| match serde_json::from_str(arguments) {
            Ok(arguments) => function.call(arguments, context),
            Err(error) => {
                let error = CallError::invalid_arguments("", error.to_string());
                Box::pin(ready(Err(error)))
            }
        };
        if self.functions.insert(name.clone(), Box::new(run)).is_some() {
            self.problems
                .push(format!("it has two tools named `{name}`"));
        }
        self
    }

    /// The limits of each call. For functions [`timeout`](Limits::timeout), `cpu`, `max_input`, `max_output` and
    /// `max_log` hold.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many of its calls run at once; by default as many as the host runs.
    #[must_use]
    pub fn max_concurrency(mut self, most: usize) -> Self {
        self.max_concurrency = Some(most);
        self
    }
}

impl ToolProvider for NativeTools {
    fn name(&self) -> &str {
        &self.name
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        self.listed
            .get_or_init(|| self.tools.clone().into())
            .clone()
    }

    fn problems(&self) -> &[String] {
        &self.problems
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn max_concurrency(&self) -> Option<usize> {
        self.max_concurrency
    }

    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        call: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        let context = NativeContext {
            deadline: context.deadline(),
            cancel: context.cancel.clone(),
            client: context.client.map(Arc::from),
            key: context.key.map(Arc::from),
            narrowing: context.narrowing().cloned().map(Arc::new),
            journal: context.journal,
        };
        let answer = self.functions[&tool.own_name](call.arguments_text(), context);
        Box::pin(async { answer.await.into() })
    }
}

/// What goes on around a call of a native tool. It may be cloned, and kept by whatever works for the call.
#[derive(Clone)]
pub struct NativeContext {
    deadline: Instant,
    cancel: CancellationToken,
    client: Option<Arc<str>>,
    key: Option<Arc<str>>,
    narrowing: Option<Arc<ProviderNarrowing>>,
    journal: Journal,
}

impl fmt::Debug for NativeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeContext")
            .field("deadline", &self.deadline)
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl NativeContext {
    /// When the call has to have ended: it is dropped then.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whose call it is, where its [options](crate::CallOptions::client) say so.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// The [idempotency key](crate::CallOptions::idempotency_key) of the call, for services that take one.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// How what these tools may touch is narrowed for the call. Nobody but the function sees to it.
    pub fn narrowing(&self) -> Option<&ProviderNarrowing> {
        self.narrowing.as_deref()
    }

    /// Whether whoever made the call has given it up: for threads that work for it, as the call itself is dropped.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Adds a line to the call's log, which is bounded by `max_log`; what is over it ends the call.
    pub fn log(&self, source: LogSource, line: impl Into<String>) {
        self.journal.log(source, line.into());
    }

    /// Says how far the call is, to whoever [watches](crate::Watcher) it.
    pub fn progress(&self, progress: Progress) {
        self.journal.progress(progress);
    }
}

/// An async function or closure of the arguments, or of the arguments and a [`NativeContext`]. `M` tells the two
/// apart, and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a tool",
    note = "a tool is an async function or closure of one argument, or of one and a `NativeContext`; its future is \
            `Send`, and what it returns implements `IntoOutput`"
)]
pub trait NativeFunction<M>: Send + Sync + 'static {
    /// What serde reads of a call's arguments.
    type Arguments: DeserializeOwned;
    /// What it returns.
    type Answer: IntoOutput;

    /// Runs it.
    fn call(
        &self,
        arguments: Self::Arguments,
        context: NativeContext,
    ) -> BoxFuture<'static, Answer>;
}

impl<F, A, R, Running> NativeFunction<(A,)> for F
where
    F: Fn(A) -> Running + Send + Sync + 'static,
    Running: Future<Output = R> + Send + 'static,
    A: DeserializeOwned,
    R: IntoOutput,
{
    type Arguments = A;
    type Answer = R;

    fn call(&self, arguments: A, _: NativeContext) -> BoxFuture<'static, Answer> {
        let running = self(arguments);
        Box::pin(async { running.await.into_output() })
    }
}

impl<F, A, R, Running> NativeFunction<(A, NativeContext)> for F
where
    F: Fn(A, NativeContext) -> Running + Send + Sync + 'static,
    Running: Future<Output = R> + Send + 'static,
    A: DeserializeOwned,
    R: IntoOutput,
{
    type Arguments = A;
    type Answer = R;

    fn call(&self, arguments: A, context: NativeContext) -> BoxFuture<'static, Answer> {
        let running = self(arguments, context);
        Box::pin(async { running.await.into_output() })
    }
}

/// What a native tool may return: text, numbers, booleans, nothing, [`Json`], an [`Output`], or a [`Result`] of
/// these.
pub trait IntoOutput {
    /// As the result of the call.
    ///
    /// # Errors
    ///
    /// The call failed.
    fn into_output(self) -> Result<Output, CallError>;

    /// The JSON Schema of structured output, where there always is some.
    fn schema() -> Option<Value> {
        None
    }
}

impl IntoOutput for Output {
    fn into_output(self) -> Answer {
        Ok(self)
    }
}

impl IntoOutput for () {
    fn into_output(self) -> Answer {
        Ok(Output::default())
    }
}

macro_rules! as_text {
    ($($of:ty)*) => {$(
        impl IntoOutput for $of {
            fn into_output(self) -> Answer {
                Ok(Output::text(self.to_string()))
            }
        }
    )*};
}

as_text!(&'static str String bool char i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64);

/// An error is the tool's own failure, and its text is what the model reads; a [`CallError`] stays what it is.
impl<T: IntoOutput, E: Display + 'static> IntoOutput for Result<T, E> {
    fn into_output(self) -> Answer {
        match self {
            Ok(answer) => answer.into_output(),
            Err(error) => Err(match (&error as &dyn Any).downcast_ref::<CallError>() {
                Some(error) => error.clone(),
                // With its causes, where the error has that form.
                None => CallError::Failed {
                    message: format!("{error:#}"),
                },
            }),
        }
    }

    fn schema() -> Option<Value> {
        T::schema()
    }
}

/// A value as JSON: for the model as text, and, where it is an object, as structured output. The output schema of
/// the tool is that of `T` with the feature `schemars`.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// # #[cfg(feature = "schemars")] {
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
/// use toolhost::{Json, Loader, Manifest, NativeTools, Tool, ToolCall};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Circle {
///     radius: f64,
/// }
///
/// #[derive(Serialize, JsonSchema)]
/// struct Measures {
///     diameter: f64,
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), toolhost::LoadError> {
/// let tools = NativeTools::new("geometry").tool(
///     Tool::new("measure", "Measures a circle").read_only(),
///     async |circle: Circle| Json(Measures { diameter: 2.0 * circle.radius }),
/// );
/// let host = Loader::new(Manifest::default()).provider(tools).load().await?;
/// let result = host.call(ToolCall::new("call_1", "measure", r#"{"radius": 1.5}"#)).await;
/// let output = result.outcome.unwrap();
/// assert_eq!(output.structured.unwrap().get(), r#"{"diameter":3.0}"#);
/// # Ok(())
/// # }
/// # main().unwrap();
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + Described> IntoOutput for Json<T> {
    fn into_output(self) -> Answer {
        let failed = |message: String| CallError::Failed { message };
        let json = serde_json::to_string(&self.0).map_err(|error| failed(error.to_string()))?;
        let structured = json.starts_with('{').then(|| json.clone());
        output(vec![Content::Text(json)], structured).map_err(failed)
    }

    fn schema() -> Option<Value> {
        let schema = T::described()?;
        // MCP wants structured output to be an object.
        (schema.get("type") == Some(&Value::from("object"))).then_some(schema)
    }
}

/// Something whose shape may be known.
#[doc(hidden)]
pub trait Described {
    fn described() -> Option<Value>;
}

#[cfg(feature = "schemars")]
impl<T: schemars::JsonSchema> Described for T {
    fn described() -> Option<Value> {
        Some(schema_of::<T>())
    }
}

#[cfg(not(feature = "schemars"))]
impl<T> Described for T {
    fn described() -> Option<Value> {
        None
    }
}

/// As models and MCP have it: without the name of the Rust type.
#[cfg(feature = "schemars")]
fn schema_of<T: schemars::JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("$schema");
        schema.remove("title");
    }
    schema
}
