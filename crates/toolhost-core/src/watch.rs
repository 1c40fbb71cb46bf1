//! What goes on while a call runs, for whoever wants to be told: [`Watcher`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::input::QuestionKinds;
use crate::order::Client;
use crate::tool::LogLine;

/// How far a call is, in a unit of the tool's choosing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// So much is done.
    pub done: f64,
    /// Of so much, if that is known.
    pub total: Option<f64>,
    /// What goes on.
    pub message: Option<String>,
}

impl Progress {
    /// So much is done, of who knows how much.
    pub fn new(done: f64) -> Self {
        Progress {
            done,
            total: None,
            message: None,
        }
    }
}

toolhost_wire::setters!(Progress into {
    with_total: total: Option<f64>,
    with_message: message: Option<String>,
});

/// Is told what a call does while it runs, on the thread that runs it: it must not wait. Secrets are
/// masked in what it is told.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use std::sync::{Arc, Mutex};
///
/// use serde_json::{Value, json};
/// use toolhost::tool::{LogLine, LogSource};
/// use toolhost::{CallOptions, Loader, Manifest, NativeContext, NativeTools, Tool, ToolCall, Watcher};
///
/// #[derive(Default)]
/// struct Lines(Mutex<Vec<String>>);
///
/// impl Watcher for Lines {
///     fn logged(&self, line: &LogLine) {
///         self.0.lock().unwrap().push(line.text.clone());
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), toolhost::LoadError> {
/// let tools = NativeTools::new("demo").tool_with_schema(
///     Tool::new("work", "Works"),
///     json!({ "type": "object" }),
///     async |_: Value, context: NativeContext| context.log(LogSource::Info, "begun"),
/// );
/// let host = Loader::new(Manifest::default()).provider(tools).load().await?;
/// let lines = Arc::new(Lines::default());
/// let options = CallOptions::new().watcher(lines.clone());
/// host.call_with(ToolCall::new("call_1", "work", "{}"), &options).await;
/// assert_eq!(*lines.0.lock().unwrap(), ["begun"]);
/// # Ok(())
/// # }
/// ```
pub trait Watcher: Send + Sync {
    /// The guest wrote a line to its log, or to stdout or stderr.
    fn logged(&self, line: &LogLine) {
        let _ = line;
    }

    /// The guest said how far it is. It may say so as often as it likes, and go backwards.
    fn progressed(&self, progress: &Progress) {
        let _ = progress;
    }

    /// A resource is not what it was.
    fn resource_updated(&self, uri: &str) {
        let _ = uri;
    }

    /// The plugin lists other resources than it did.
    fn resources_changed(&self) {}
}

/// Whose results they are that a tool of the host's own reads on in: no other client reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The only client there is.
    #[default]
    Only,
    /// A session of the server's.
    Session(u64),
    /// A token of the server's, where there is no session.
    Principal(Arc<str>),
}

/// The tools that a client may call, beside those of the host itself; all when `None`.
pub type AllowedTools = Option<Arc<BTreeSet<String>>>;

/// What a call is run with beside its arguments.
#[derive(Clone)]
pub(crate) struct RunContext<'c> {
    pub(crate) cancel: &'c CancellationToken,
    /// The longest that it may run, if that is shorter than its provider's limit.
    pub(crate) timeout: Option<Duration>,
    pub(crate) watcher: Option<Arc<dyn Watcher>>,
    /// What there is somebody to ask for.
    pub(crate) can_ask: QuestionKinds,
    /// Whose requests keep their order.
    pub(crate) client: Client,
    pub(crate) owner: Owner,
    pub(crate) allowed: AllowedTools,
    /// Its idempotency key.
    pub(crate) key: Option<Arc<str>>,
    /// Becomes true when its provider is called.
    pub(crate) begun: Option<Arc<AtomicBool>>,
}

impl<'c> RunContext<'c> {
    /// Nobody watches and nobody can be asked.
    pub(crate) fn alone(cancel: &'c CancellationToken) -> Self {
        RunContext {
            cancel,
            timeout: None,
            watcher: None,
            can_ask: QuestionKinds::default(),
            client: Client::new(),
            owner: Owner::default(),
            allowed: None,
            key: None,
            begun: None,
        }
    }
}
