//! Who looks on while an agent works.

use std::time::Duration;

use toolhost_core::tool::{ToolCall, ToolResult};
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
    /// A call begins, or waits for its turn or for a [hook](toolhost_core::Hook).
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

/// Looks on while an agent works.
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
    /// Something happens.
    fn event(&mut self, event: Event<'_>);
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: Event<'_>) {}
}
