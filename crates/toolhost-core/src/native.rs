//! [`NativeTools`]: functions of the embedding program as tools.

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
use crate::tool::{Content, LogSource, Output, Tool, ToolCall, ToolResult};
use crate::tool_caller::{CallableTools, ToolCaller};
use crate::watch::Progress;

type NativeAnswer = Result<Output, CallError>;

type BoxedFunction = dyn Fn(&str, NativeContext) -> BoxFuture<'static, NativeAnswer> + Send + Sync;

/// Functions of the embedding program as tools, beside those of plugins. They are **not
/// sandboxed**, and are listed as such ([`Tool::sandboxed`]).
///
/// Their calls are ordinary calls: they keep their order, wait for a permit, have their arguments
/// validated and repaired, end at their deadline, and are audited. A call is ended by dropping its
/// future at its next `.await`: a function that computes or blocks for long belongs in
/// [`tokio::task::spawn_blocking`]. A panic is the error of that call only.
///
/// A function can take a [`NativeContext`] as well. A closure that captures values clones them for
/// each call: `move |args: Find| { let index = index.clone(); async move { … } }`.
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
pub struct NativeTools {
    name: String,
    tools: Vec<Arc<ProvidedTool>>,
    /// By tool name.
    functions: HashMap<String, Box<BoxedFunction>>,
    /// `tools`, once the last has been added.
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
    /// An empty set of tools. The name is for messages, the audit log and [`Tool::plugin`].
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

    /// Adds a function whose argument type has a schema. A mistake in the declaration is an error
    /// of [`load`](crate::Loader::load).
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

    /// As `tool` (feature `schemars`), with an explicit JSON Schema of the arguments.
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

    /// The limits of each call. [`timeout`](Limits::timeout), `cpu`, `max_input`, `max_output` and
    /// `max_log` apply to functions.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The most calls that run at once; by default the host's limit.
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

    fn callable_tools(&self) -> CallableTools<'_> {
        CallableTools::All
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
            caller: context.caller.cloned(),
            journal: context.journal,
        };
        let answer = self.functions[&tool.own_name](call.arguments_text(), context);
        Box::pin(async { answer.await.into() })
    }
}

/// The context of a native tool's call. Clone it for threads that work for the call.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use serde_json::{Value, json};
/// use toolhost::{
///     CallOptions, Loader, Manifest, NativeContext, NativeTools, Progress, Tool, ToolCall,
/// };
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), toolhost::LoadError> {
/// let tools = NativeTools::new("accounts").tool_with_schema(
///     Tool::new("whoami", "Says whose account is used").read_only(),
///     json!({ "type": "object" }),
///     async |_: Value, context: NativeContext| {
///         context.progress(Progress::new(1.0).with_total(1.0));
///         context.client().unwrap_or("no one").to_owned()
///     },
/// );
/// let host = Loader::new(Manifest::default()).provider(tools).load().await?;
/// let options = CallOptions::new().client("alice");
/// let result = host.call_with(ToolCall::new("1", "whoami", "{}"), &options).await;
/// assert_eq!(result.to_text(), "alice");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct NativeContext {
    deadline: Instant,
    cancel: CancellationToken,
    client: Option<Arc<str>>,
    key: Option<Arc<str>>,
    narrowing: Option<Arc<ProviderNarrowing>>,
    caller: Option<Arc<dyn ToolCaller>>,
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
    /// The deadline of the call: it is dropped then.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The client of the call, if its [options](crate::CallOptions::client) name one.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// The [idempotency key](crate::CallOptions::idempotency_key) of the call, for services that take one.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The narrowing of these tools for the call. The function must enforce it itself.
    pub fn narrowing(&self) -> Option<&ProviderNarrowing> {
        self.narrowing.as_deref()
    }

    /// Whether the call was cancelled: for threads that work for it, as the call's own future is
    /// dropped.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Adds a line to the call's log; exceeding `max_log` ends the call.
    pub fn log(&self, source: LogSource, line: impl Into<String>) {
        self.journal.log(source, line.into());
    }

    /// Calls a tool of the host for this call: as its client, with what that may call, in its own
    /// turn, and cancelled with it. This call lends its turn while it waits, so such calls cannot
    /// wait for each other; call tools by this and never by a [`ToolHost`](crate::ToolHost) that the
    /// function holds.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeContext, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// let schema = json!({ "type": "object" });
    /// let tools = NativeTools::new("demo")
    ///     .tool_with_schema(Tool::new("half", ""), schema.clone(), async |_: Value| 21)
    ///     .tool_with_schema(Tool::new("whole", ""), schema, async |_: Value, context: NativeContext| {
    ///         let half = context.call(ToolCall::new("1", "half", "{}")).await;
    ///         half.to_text().repeat(2)
    ///     });
    /// let mut manifest = Manifest::default();
    /// manifest.host.max_concurrency = 1;
    /// let host = Loader::new(manifest).provider(tools).load().await?;
    /// let result = host.call(ToolCall::new("1", "whole", "{}")).await;
    /// assert_eq!((result.to_text(), result.usage.calls), ("2121".to_owned(), 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn call(&self, call: ToolCall) -> BoxFuture<'static, ToolResult> {
        match &self.caller {
            Some(caller) => caller.clone().call(call),
            None => {
                let error = CallError::internal("the call has no host");
                Box::pin(ready(ToolResult::of(&call, Err(error))))
            }
        }
    }

    /// Reports progress to the call's [watcher](crate::Watcher).
    pub fn progress(&self, progress: Progress) {
        self.journal.progress(progress);
    }
}

/// An async function or closure of the arguments, or of the arguments and a [`NativeContext`]. `M`
/// distinguishes the two and is inferred.
///
/// A function that adds a tool for others names the trait:
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use serde_json::{Value, json};
/// use toolhost::{Loader, Manifest, NativeFunction, NativeTools, Tool, ToolCall};
///
/// fn with_reader<M>(tools: NativeTools, name: &str, read: impl NativeFunction<M, Arguments = Value>) -> NativeTools {
///     let schema = json!({ "type": "object", "properties": { "key": { "type": "string" } } });
///     tools.tool_with_schema(Tool::new(name, "Reads a value").read_only(), schema, read)
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), toolhost::LoadError> {
/// let tools = with_reader(NativeTools::new("store"), "read", async |key: Value| format!("value of {}", key["key"]));
/// let host = Loader::new(Manifest::default()).provider(tools).load().await?;
/// let result = host.call(ToolCall::new("1", "read", r#"{"key": "a"}"#)).await;
/// assert_eq!(result.to_text(), r#"value of "a""#);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a tool",
    note = "a tool is an async function or closure of one argument, or of one and a `NativeContext`; its future is \
            `Send`, and what it returns implements `IntoOutput`"
)]
pub trait NativeFunction<M>: Send + Sync + 'static {
    /// The type that the arguments are deserialized to.
    type Arguments: DeserializeOwned;
    /// The return type.
    type Answer: IntoOutput;

    /// Calls the function.
    fn call(
        &self,
        arguments: Self::Arguments,
        context: NativeContext,
    ) -> BoxFuture<'static, NativeAnswer>;
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

    fn call(&self, arguments: A, _: NativeContext) -> BoxFuture<'static, NativeAnswer> {
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

    fn call(&self, arguments: A, context: NativeContext) -> BoxFuture<'static, NativeAnswer> {
        let running = self(arguments, context);
        Box::pin(async { running.await.into_output() })
    }
}

/// A return type of native tools: text, numbers, booleans, `()`, [`Json`], [`Output`], or a
/// [`Result`] of these.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::{CallError, IntoOutput, Output};
///
/// struct Celsius(f64);
///
/// impl IntoOutput for Celsius {
///     fn into_output(self) -> Result<Output, CallError> {
///         Ok(Output::text(format!("{} °C", self.0)))
///     }
/// }
/// # assert!(Celsius(12.5).into_output().is_ok());
/// ```
pub trait IntoOutput {
    /// Converts it to the result of the call.
    ///
    /// # Errors
    ///
    /// The call failed.
    fn into_output(self) -> Result<Output, CallError>;

    /// The JSON Schema of its structured output, if it always has some.
    fn schema() -> Option<Value> {
        None
    }
}

impl IntoOutput for Output {
    fn into_output(self) -> NativeAnswer {
        Ok(self)
    }
}

impl IntoOutput for () {
    fn into_output(self) -> NativeAnswer {
        Ok(Output::default())
    }
}

macro_rules! as_text {
    ($($of:ty)*) => {$(
        impl IntoOutput for $of {
            fn into_output(self) -> NativeAnswer {
                Ok(Output::text(self.to_string()))
            }
        }
    )*};
}

as_text!(&'static str String bool char i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64);

/// An error becomes [`CallError::Failed`] with its text for the model; a [`CallError`] is kept.
impl<T: IntoOutput, E: Display + 'static> IntoOutput for Result<T, E> {
    fn into_output(self) -> NativeAnswer {
        match self {
            Ok(answer) => answer.into_output(),
            Err(error) => Err(match (&error as &dyn Any).downcast_ref::<CallError>() {
                Some(error) => error.clone(),
                // With its causes, if it is a standard error.
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

/// A value returned as JSON: text for the model and, if it is an object, structured output. With
/// the feature `schemars` the tool's output schema is that of `T`.
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
    fn into_output(self) -> NativeAnswer {
        let failed = |message: String| CallError::Failed { message };
        let json = serde_json::to_string(&self.0).map_err(|error| failed(error.to_string()))?;
        let structured = json.starts_with('{').then(|| json.clone());
        output(vec![Content::Text(json)], structured).map_err(failed)
    }

    fn schema() -> Option<Value> {
        let schema = T::described()?;
        // MCP requires structured output to be an object.
        (schema.get("type") == Some(&Value::from("object"))).then_some(schema)
    }
}

/// A type whose schema may be known.
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

/// Without the name of the Rust type, as models and MCP expect.
#[cfg(feature = "schemars")]
fn schema_of<T: schemars::JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("$schema");
        schema.remove("title");
    }
    schema
}
