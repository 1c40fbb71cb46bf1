//! Hooks: code of the embedding program that runs before and after every call ([`Hook`]).

use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::tool::{Output, Tool, ToolCall, ToolResult};

/// The decision about a call; see [`Hook::before`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Decision {
    /// Run it, if the hooks after this one agree.
    Run,
    /// Do not run it: it fails as [denied](crate::CallError::Denied).
    Refuse {
        /// The reason, as the model reads it.
        why: String,
    },
    /// Do not run it: its result is this output.
    Answer(Output),
}

/// Runs before each call of a host and after each result: for approval, caching, cost limits,
/// tracing. Added with [`Loader::hook`](crate::Loader::hook).
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use futures_util::future::BoxFuture;
/// use serde_json::json;
/// use toolhost::{Decision, Hook, Loader, Manifest, NativeTools, Tool, ToolCall};
///
/// struct ReadOnly;
///
/// impl Hook for ReadOnly {
///     fn before<'a>(&'a self, _: &'a ToolCall, tool: &'a Tool) -> BoxFuture<'a, Decision> {
///         Box::pin(async move {
///             match tool.annotations.read_only {
///                 Some(true) => Decision::Run,
///                 _ => Decision::Refuse { why: "nothing may be changed today".to_owned() },
///             }
///         })
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), toolhost::LoadError> {
/// let tools = NativeTools::new("mail").tool_with_schema(
///     Tool::new("send", "Sends a mail").additive(),
///     json!({ "type": "object" }),
///     async |_: serde_json::Value| "sent",
/// );
/// let host = Loader::new(Manifest::default()).provider(tools).hook(ReadOnly).load().await?;
/// let result = host.call(ToolCall::new("1", "send", "{}")).await;
/// assert_eq!(result.to_text(), "Error: send failed - not permitted: nothing may be changed today");
/// # Ok(())
/// # }
/// ```
pub trait Hook: Send + Sync {
    /// Whether a user may have to decide about calls of this tool. `false` by default.
    ///
    /// [`before`](Hook::before) gets such calls one at a time, in the order in which they were made,
    /// while other calls run. None of them starts before the model's answer is complete
    /// ([`OpenBatch::add_early`](crate::OpenBatch::add_early)): the user is not asked about calls of
    /// an answer that breaks off.
    fn asks_somebody(&self, tool: &Tool) -> bool {
        let _ = tool;
        false
    }

    /// Called before the call waits for its turn, with the arguments that the tool will get
    /// (repaired where needed). Not called for calls that the host itself refuses: an unknown tool,
    /// invalid arguments.
    ///
    /// While the future is pending, for example on a user's decision, the call holds no permit.
    /// Later calls of the same client in the same order domain wait for it; calls of other clients
    /// do not. Arguments that take long to validate are the exception: they are validated in the
    /// call's turn, and this runs after that. Not called again when a call continues with
    /// [replies](crate::CallOptions::responder) to its questions.
    fn before<'a>(&'a self, call: &'a ToolCall, tool: &'a Tool) -> BoxFuture<'a, Decision> {
        let _ = (call, tool);
        Box::pin(ready(Decision::Run))
    }

    /// Called when a call has its result, however it ended: run, answered by a hook, refused or
    /// cancelled. `tool` is `None` if there is no tool of that name. Secrets are masked. Runs on
    /// the call's thread, so it must not block. Not called for a call whose future was dropped,
    /// which has no result.
    fn after(&self, call: &ToolCall, tool: Option<&Tool>, result: &ToolResult) {
        let _ = (call, tool, result);
    }
}

/// A hook that several hosts share.
impl<H: Hook + ?Sized> Hook for Arc<H> {
    fn asks_somebody(&self, tool: &Tool) -> bool {
        (**self).asks_somebody(tool)
    }

    fn before<'a>(&'a self, call: &'a ToolCall, tool: &'a Tool) -> BoxFuture<'a, Decision> {
        (**self).before(call, tool)
    }

    fn after(&self, call: &ToolCall, tool: Option<&Tool>, result: &ToolResult) {
        (**self).after(call, tool, result);
    }
}
