//! Who looks on while an agent works, and is asked before tools run.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, ready};

use toolhost_core::tool::{Tool, ToolCall, ToolResult};
use toolhost_core::wire::{Stop, Tokens};

/// What happens in an agent.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The model is asked.
    Turn {
        /// Which answer it will be, from 0.
        number: usize,
    },
    /// More of what the model says.
    Text(&'a str),
    /// A call begins, or waits for its turn.
    Call {
        /// Which, of all calls of the agent, from 0.
        number: usize,
        /// The call.
        call: &'a ToolCall,
    },
    /// A call has ended.
    Result {
        /// Which.
        number: usize,
        /// Its result.
        result: &'a ToolResult,
    },
    /// The request failed and is tried again. What the model said of this answer is void; its calls
    /// go on, and are not run again if it asks for them again.
    Retry {
        /// Why it failed.
        why: &'a str,
        /// The time until then.
        wait: Duration,
    },
    /// The model's answer is whole.
    Reply {
        /// Why it ended.
        stop: &'a Stop,
        /// What it took.
        tokens: Tokens,
    },
}

/// Whether a call may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// This one.
    Yes,
    /// Not this one.
    No,
    /// This one, and all others of the same tool.
    Always,
}

/// What [`Observer::approve`] returns.
pub type Approving<'a> = BoxFuture<'a, Approval>;

/// Looks on while an agent works.
pub trait Observer: Send {
    /// Something happens.
    fn event(&mut self, event: Event<'_>);

    /// Whether a call may run, if [`Agent::ask_first`](super::Agent::ask_first) is set: no, unless
    /// somebody can be asked.
    fn approve<'a>(&'a mut self, tool: &'a Tool, call: &'a ToolCall) -> Approving<'a> {
        let _ = (tool, call);
        ready(Approval::No).boxed()
    }
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: Event<'_>) {}
}
