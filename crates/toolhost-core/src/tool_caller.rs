//! [`ToolCaller`]: how a running call calls tools. The host implements it; the sandbox and native
//! tools use it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::error::CallError;
use crate::permissions::ToolPattern;
use crate::readings::Readings;
use crate::tool::{Output, ToolCall, ToolResult};

/// The tools of the host that the calls of a provider may call.
#[derive(Clone, Copy, Debug)]
pub enum CallableTools<'a> {
    /// None.
    None,
    /// Those that match `permissions.tools`, and that its own caller may call.
    Matching(&'a [ToolPattern]),
    /// All that its own caller may call.
    All,
    /// Those that match the `permissions.tools` of another provider.
    MatchingOf {
        /// The other's name.
        provider: &'a str,
        /// The patterns.
        patterns: &'a [ToolPattern],
        /// The other's `max-depth`.
        max_depth: u32,
    },
}

/// What was started and has ended: its number and its outcome.
pub(crate) type Ended = (u32, Result<Output, CallError>);

/// Ends the call that calls tools, with this error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EndsCall(pub(crate) CallError);

/// Calls tools for one running call.
pub(crate) trait ToolCaller: Any + Send + Sync {
    /// Starts a call and returns its number.
    ///
    /// # Errors
    ///
    /// The tool may not be called, or there were too many calls.
    fn start(self: Arc<Self>, name: &str, arguments: String) -> Result<u32, CallError>;

    /// Starts a timer and returns its number.
    ///
    /// # Errors
    ///
    /// Too many are running.
    fn start_timer(&self, after: Duration) -> Result<u32, CallError>;

    /// Waits until something that was started has ended; nothing if nothing runs. The call lends
    /// its turn meanwhile.
    fn wait(self: Arc<Self>) -> BoxFuture<'static, Vec<Ended>>;

    /// Why the calling call has to end, after it has started something or waited: a nested call
    /// asks a question, or the call was run again and does not do the same.
    fn end(&self) -> Option<EndsCall>;

    /// The clock and randomness of a call that may be run again.
    fn readings(&self) -> Option<Arc<Readings>>;

    /// The bytes that the host holds of arguments and results, and to run the call again.
    fn held(&self) -> usize;

    /// The names of the tools that may be called.
    fn names(&self) -> Vec<String>;

    /// Names and descriptions of the tools that fit the words best.
    fn search(&self, words: &str, limit: usize) -> Vec<(String, String)>;

    /// A tool as a TypeScript declaration.
    ///
    /// # Errors
    ///
    /// There is no such tool for this call.
    fn describe(&self, name: &str) -> Result<String, CallError>;

    /// Runs one call at once. The calling call lends its turn meanwhile.
    fn call(self: Arc<Self>, call: ToolCall) -> BoxFuture<'static, ToolResult>;
}
