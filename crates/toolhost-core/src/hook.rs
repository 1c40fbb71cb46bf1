//! What a program has done before and after every call: [`Hook`].

use std::future::ready;

use futures_util::future::BoxFuture;

use crate::tool::{Output, Tool, ToolCall, ToolResult};

/// What becomes of a call; see [`Hook::before`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Decision {
    /// It runs, if the hooks after this one let it.
    Run,
    /// It does not run, and fails as [denied](crate::CallError::Denied).
    Refuse {
        /// Why, as the model reads it.
        why: String,
    },
    /// It does not run: this is its output.
    Answer(Output),
}

/// Is asked before each call of a host, and told of each result: for approval, caching, limits on cost, tracing.
/// A host gets one by [`Loader::hook`](crate::Loader::hook).
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
    /// Whether somebody may have to be asked about calls of that tool, who answers one question at a time: no, unless a
    /// hook says so.
    ///
    /// Of such calls [`before`](Hook::before) is asked about one at a time, in the order in which they were made, while
    /// others run. Of an answer of a model that is still coming in none starts
    /// ([`OpenBatch::add_early`](crate::OpenBatch::add_early)): if it breaks off, nobody was asked in vain.
    fn asks_somebody(&self, tool: &Tool) -> bool {
        let _ = tool;
        false
    }

    /// A call is about to wait for its turn. Its arguments are as the tool gets them, repaired if need be. Of calls
    /// that the host itself refuses (an unknown tool, invalid arguments) it is not asked.
    ///
    /// While this waits, for a person for instance, the call holds no permit. Calls of the same client that have to
    /// keep an order with it wait, those of others do not. Arguments that take long to validate are the exception:
    /// that is done in the call's turn, and this comes after it. A call whose questions are
    /// [answered](crate::CallOptions::responder) goes on without being asked about again.
    fn before<'a>(&'a self, call: &'a ToolCall, tool: &'a Tool) -> BoxFuture<'a, Decision> {
        let _ = (call, tool);
        Box::pin(ready(Decision::Run))
    }

    /// A call has its result, whatever that is: run, answered by a hook, refused, cancelled. `tool` is `None` where
    /// there is none of that name. Secrets are masked. This runs on the thread that runs the call: it must not wait.
    /// Of a call that was dropped it is not told, as there is no result.
    fn after(&self, call: &ToolCall, tool: Option<&Tool>, result: &ToolResult) {
        let _ = (call, tool, result);
    }
}
