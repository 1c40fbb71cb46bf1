//! [`Watcher`]: progress and log lines of a call while it runs. Also the context of a call inside
//! the host.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::input::QuestionKinds;
use crate::order::OrderClient;
use crate::tool::LogLine;

/// Progress of a call, in a unit of the tool's choosing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// How much is done.
    pub done: f64,
    /// How much there is in all, if known.
    pub total: Option<f64>,
    /// What is being done.
    pub message: Option<String>,
}

impl Progress {
    /// Progress without a known total.
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

/// Receives events of a running call, on the thread that runs it, so it must not block. Secrets are
/// masked.
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

    /// The guest reported progress. It may do so as often as it likes, and go backwards.
    fn progressed(&self, progress: &Progress) {
        let _ = progress;
    }

    /// A resource has changed.
    fn resource_updated(&self, uri: &str) {
        let _ = uri;
    }

    /// The plugin's list of resources has changed.
    fn resources_changed(&self) {}
}

/// The owner of kept results: no other client can read them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The only client there is.
    #[default]
    Only,
    /// A session of the server.
    Session(u64),
    /// A token of the server, without a session.
    Principal(Arc<str>),
}

/// The tools that a client may call, beside the host's own; all when `None`.
pub type AllowedTools = Option<Arc<BTreeSet<String>>>;

/// Whether calls have to wait before they start, such as those of a client that does not read its
/// answers.
pub type Paused = tokio::sync::watch::Receiver<bool>;

/// The context of a call inside the host.
#[derive(Clone)]
pub(crate) struct RunContext {
    pub(crate) cancel: CancellationToken,
    /// The timeout, if shorter than its provider's.
    pub(crate) timeout: Option<Duration>,
    pub(crate) watcher: Option<Arc<dyn Watcher>>,
    /// The kinds of questions that somebody can answer.
    pub(crate) can_ask: QuestionKinds,
    /// The client whose calls keep their order.
    pub(crate) client: OrderClient,
    pub(crate) owner: Owner,
    pub(crate) allowed: AllowedTools,
    /// Its idempotency key.
    pub(crate) key: Option<Arc<str>>,
    /// Set when its provider is called.
    pub(crate) begun: Option<Arc<AtomicBool>>,
    pub(crate) paused: Option<Paused>,
    /// How many calls it is nested in.
    pub(crate) depth: usize,
}

impl RunContext {
    /// No watcher, no responder and no cancellation.
    pub(crate) fn alone() -> Self {
        RunContext {
            cancel: CancellationToken::new(),
            timeout: None,
            watcher: None,
            can_ask: QuestionKinds::default(),
            client: OrderClient::new(),
            owner: Owner::default(),
            allowed: None,
            key: None,
            begun: None,
            paused: None,
            depth: 0,
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.as_ref().is_some_and(|paused| *paused.borrow())
    }

    /// Waits until calls may start.
    pub(crate) async fn resumed(&self) {
        if let Some(paused) = &self.paused {
            // Without a sender nothing pauses any more.
            let _ = paused.clone().wait_for(|is_paused| !is_paused).await;
        }
    }
}
