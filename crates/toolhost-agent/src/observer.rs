//! [`Observer`]: events of an agent, and approval of tools.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, ready};

use toolhost_core::tool::{Tool, ToolCall, ToolResult};
use toolhost_core::wire::{Stop, Tokens};

/// An event of an agent.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The model is asked.
    Turn {
        /// The number of the answer, from 0.
        number: usize,
    },
    /// More of the model's text.
    Text(&'a str),
    /// A call begins, or waits for its turn.
    Call {
        /// Its number among all calls of the agent, from 0.
        number: usize,
        /// The call.
        call: &'a ToolCall,
    },
    /// A call has ended.
    Result {
        /// Its number.
        number: usize,
        /// Its result.
        result: &'a ToolResult,
    },
    /// The request failed and is retried. The text of this answer so far is void; its calls go on,
    /// and are not run again if the next answer repeats them.
    Retry {
        /// Why it failed.
        why: &'a str,
        /// The delay before the retry.
        wait: Duration,
    },
    /// The model's answer is complete.
    Reply {
        /// Why it ended.
        stop: &'a Stop,
        /// Its tokens.
        tokens: Tokens,
    },
}

/// The decision about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// This one.
    Yes,
    /// Not this one.
    No,
    /// This one, and all others of the same tool.
    Always,
}

/// The return type of [`Observer::approve`].
pub type Approving<'a> = BoxFuture<'a, Approval>;

/// Observes an agent, and approves its calls.
pub trait Observer: Send {
    /// Receives an event.
    fn event(&mut self, event: Event<'_>);

    /// Whether a call may run, if [`Agent::ask_first`](super::Agent::ask_first) is set. Refuses by
    /// default.
    fn approve<'a>(&'a mut self, tool: &'a Tool, call: &'a ToolCall) -> Approving<'a> {
        let _ = (tool, call);
        ready(Approval::No).boxed()
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: Event<'_>) {}
}
