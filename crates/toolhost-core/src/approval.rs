//! Somebody's approval, before tools run: [`AskFirst`].

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

use crate::hook::{Decision, Hook};
use crate::tool::{Tool, ToolCall};

/// Whether a call may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Approval {
    /// This one.
    Yes,
    /// Not this one.
    No,
    /// This one, and all others of the same tool.
    Always,
}

/// Asks somebody.
type Ask = dyn for<'a> Fn(&'a Tool, &'a ToolCall) -> BoxFuture<'a, Approval> + Send + Sync;

/// A hook that asks before a tool runs that does not say that it changes nothing: about one call after the other, in the
/// order in which they were made.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use serde_json::json;
/// use toolhost::{Approval, AskFirst, Loader, Manifest, NativeTools, Tool, ToolCall};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), toolhost::LoadError> {
/// // Somebody who allows what goes to Ada. A question may take as long as it likes.
/// let approval = AskFirst::new(|_tool, call| {
///     Box::pin(async {
///         match call.arguments.contains("ada@") {
///             true => Approval::Yes,
///             false => Approval::No,
///         }
///     })
/// });
/// let mail = NativeTools::new("mail").tool_with_schema(
///     Tool::new("send", "Sends a mail").additive(),
///     json!({ "type": "object" }),
///     async |_: serde_json::Value| "sent",
/// );
/// let host = Loader::new(Manifest::default()).provider(mail).hook(approval).load().await?;
///
/// let result = host.call(ToolCall::new("1", "send", r#"{"to": "ada@example.com"}"#)).await;
/// assert_eq!(result.to_text(), "sent");
/// let result = host.call(ToolCall::new("2", "send", r#"{"to": "bob@example.com"}"#)).await;
/// assert_eq!(result.to_text(), "Error: send failed - not permitted: the user did not allow this call");
/// # Ok(())
/// # }
/// ```
pub struct AskFirst {
    ask: Box<Ask>,
    /// Tools that need not be asked about again, each with its provider: another may come to offer its name.
    always: Mutex<HashSet<(String, String)>>,
}

impl AskFirst {
    /// Asks by `ask`, which is given a tool and a call of it as it would run.
    pub fn new<F>(ask: F) -> Self
    where
        F: for<'a> Fn(&'a Tool, &'a ToolCall) -> BoxFuture<'a, Approval> + Send + Sync + 'static,
    {
        AskFirst {
            ask: Box::new(ask),
            always: Mutex::default(),
        }
    }

    fn always(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.always.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for AskFirst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AskFirst").finish_non_exhaustive()
    }
}

impl Hook for AskFirst {
    fn asks_somebody(&self, tool: &Tool) -> bool {
        tool.annotations.read_only != Some(true)
    }

    fn before<'a>(&'a self, call: &'a ToolCall, tool: &'a Tool) -> BoxFuture<'a, Decision> {
        Box::pin(async move {
            let whole_name = (tool.plugin.clone(), tool.name.clone());
            if !self.asks_somebody(tool) || self.always().contains(&whole_name) {
                return Decision::Run;
            }
            match (self.ask)(tool, call).await {
                Approval::Yes => Decision::Run,
                Approval::Always => {
                    self.always().insert(whole_name);
                    Decision::Run
                }
                Approval::No => Decision::Refuse {
                    why: "the user did not allow this call".to_owned(),
                },
            }
        })
    }
}
