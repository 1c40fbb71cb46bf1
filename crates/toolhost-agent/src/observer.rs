//! [`Observer`]: events of an agent.

use std::time::Duration;

use toolhost_core::tool::{ToolCall, ToolResult};
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
    /// A call begins, or waits for its turn or for a [hook](toolhost_core::Hook).
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

/// Observes an agent, and approves its calls.
///
/// ```
/// # mod toolhost {
/// #     pub use toolhost_agent as agent;
/// #     pub use toolhost_core::*;
/// # }
/// use toolhost::agent::{Event, Observer};
///
/// /// Prints what a model says and calls.
/// struct Printer;
///
/// impl Observer for Printer {
///     fn event(&mut self, event: Event<'_>) {
///         match event {
///             Event::Text(text) => print!("{text}"),
///             Event::Call { call, .. } => println!("{} {}", call.name, call.arguments),
///             _ => {}
///         }
///     }
/// }
/// # Printer.event(Event::Text("Hi."));
/// ```
pub trait Observer: Send {
    /// Receives an event.
    fn event(&mut self, event: Event<'_>);
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: Event<'_>) {}
}
