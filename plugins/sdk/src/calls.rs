//! Calls of the host's other tools.
//!
//! The manifest grants them: `permissions.tools = ["calculate", "fs_*"]`. A call is one like any other: it has its own
//! sandbox, limits and audit line. It may do what this plugin is granted and the client of this call may do.
//!
//! ```
//! use toolhost_plugin::{Error, calls, serde_json::json, task, tool};
//!
//! /// Adds what two files contain.
//! #[tool(read_only)]
//! async fn total() -> Result<String, Error> {
//!     let read = |path| calls::call_tool("fs_read", json!({ "path": path }));
//!     let mut terms = Vec::new();
//!     for output in task::join_all([read("a.txt"), read("b.txt")]).await {
//!         terms.push(output?.to_text());
//!     }
//!     let sum = calls::call_tool("calculate", json!({ "expression": terms.join("+") })).await?;
//!     Ok(sum.to_text())
//! }
//! ```
//!
//! [`start`] and [`wait`] are what that is made of, for plugins with an event loop of their own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::{Output, Serialize, task};

#[cfg(target_arch = "wasm32")]
use wasm as platform;

/// Why a call has no output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    code: String,
    message: String,
}

impl CallError {
    /// An error, for tests.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    /// A stable name of its kind: `unknown-tool`, `invalid-arguments`, `denied`, `failed`, `timeout`, `limit` and so on.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CallError {}

/// Something that was started and has ended: its number and its outcome. That of a timer is an empty output.
pub type Ended = (u32, Result<Output, CallError>);

/// Starts a call and returns its number at once. `arguments` is the JSON text of an object. What has not ended when this
/// call ends is cancelled.
///
/// # Errors
///
/// The tool is not granted, there is none of that name, or there were too many calls.
pub fn start(name: &str, arguments: &str) -> Result<u32, CallError> {
    platform::start(name, arguments)
}

/// Starts a timer and returns its number at once.
///
/// # Errors
///
/// The plugin has no clock, or too many timers.
pub fn start_timer(after: Duration) -> Result<u32, CallError> {
    platform::start_timer(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
}

/// Waits until one or more of what was started have ended, and returns each once. Empty if nothing is left to wait for.
#[must_use]
pub fn wait() -> Vec<Ended> {
    platform::wait()
}

/// The names of the tools that may be called.
#[must_use]
pub fn names() -> Vec<String> {
    platform::names()
}

/// The names and the beginnings of the descriptions of the tools that fit the words best, best first.
#[must_use]
pub fn search(words: &str, limit: u32) -> Vec<(String, String)> {
    platform::search(words, limit)
}

/// A tool as a TypeScript declaration.
///
/// # Errors
///
/// There is no such tool for this call.
pub fn describe(name: &str) -> Result<String, CallError> {
    platform::describe(name)
}

/// Calls a tool and waits for its output. Calls that are awaited together run together.
///
/// # Errors
///
/// As of [`start`], and why the call has no output.
pub async fn call_tool(name: &str, arguments: impl Serialize) -> Result<Output, CallError> {
    let arguments = serde_json::to_string(&arguments)
        .map_err(|error| CallError::new("invalid-arguments", error.to_string()))?;
    let number = start(name, &arguments)?;
    RUNNING
        .with_borrow_mut(|running| running.insert(number, Running::Waits(Waker::noop().clone())));
    task::wait_by(wait_for_calls);
    poll_fn(|context| {
        RUNNING.with_borrow_mut(|running| match running.remove(&number) {
            Some(Running::Ended(outcome)) => Poll::Ready(outcome),
            _ => {
                running.insert(number, Running::Waits(context.waker().clone()));
                Poll::Pending
            }
        })
    })
    .await
}

thread_local! {
    static RUNNING: RefCell<HashMap<u32, Running>> = RefCell::default();
}

/// A call that a future waits for.
enum Running {
    Waits(Waker),
    Ended(Result<Output, CallError>),
}

/// Waits until a call has ended, for at most `most`, and wakes those that wait for it. Returns whether any call runs.
fn wait_for_calls(most: Option<Duration>) -> bool {
    let is_running =
        RUNNING.with_borrow(|running| running.values().any(|it| matches!(it, Running::Waits(_))));
    if !is_running {
        return false;
    }
    if let Some(most) = most {
        // Without a timer it waits for as long as the calls do.
        let _ = start_timer(most);
    }
    for (number, outcome) in wait() {
        let waiting = RUNNING.with_borrow_mut(|running| {
            let waiting = running.get_mut(&number)?;
            Some(std::mem::replace(waiting, Running::Ended(outcome)))
        });
        if let Some(Running::Waits(waker)) = waiting {
            waker.wake();
        }
    }
    true
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::{CallError, Ended};
    use crate::bindings::calls::toolhost::calls::calls;

    fn error(error: calls::CallError) -> CallError {
        CallError::new(error.code, error.message)
    }

    pub(super) fn start(name: &str, arguments: &str) -> Result<u32, CallError> {
        calls::start(name, arguments).map_err(error)
    }

    pub(super) fn start_timer(milliseconds: u64) -> Result<u32, CallError> {
        calls::start_timer(milliseconds).map_err(error)
    }

    pub(super) fn wait() -> Vec<Ended> {
        let ended = calls::wait().into_iter();
        ended
            .map(|(number, outcome)| (number, outcome.map(Into::into).map_err(error)))
            .collect()
    }

    pub(super) fn names() -> Vec<String> {
        calls::names()
    }

    pub(super) fn search(words: &str, limit: u32) -> Vec<(String, String)> {
        let found = calls::search(words, limit).into_iter();
        found.map(|tool| (tool.name, tool.description)).collect()
    }

    pub(super) fn describe(name: &str) -> Result<String, CallError> {
        calls::describe(name).map_err(error)
    }
}

/// For tests on the machine at hand: the tools are those of [`testing::Host`](crate::testing::Host), and each call has
/// ended when it is started.
#[cfg(not(target_arch = "wasm32"))]
mod platform {
    use std::cell::RefCell;

    use super::{CallError, Ended};
    use crate::{Output, testing};

    thread_local! {
        static ENDED: RefCell<(u32, Vec<Ended>)> = RefCell::default();
    }

    fn end(outcome: Result<Output, CallError>) -> u32 {
        ENDED.with_borrow_mut(|(last, ended)| {
            *last += 1;
            ended.push((*last, outcome));
            *last
        })
    }

    pub(super) fn start(name: &str, arguments: &str) -> Result<u32, CallError> {
        let tool = testing::tool().ok_or_else(|| CallError::new("denied", "no tool is granted"))?;
        Ok(end(tool(name, arguments)))
    }

    pub(super) fn start_timer(_: u64) -> Result<u32, CallError> {
        Ok(end(Ok(Output::new())))
    }

    pub(super) fn wait() -> Vec<Ended> {
        ENDED.with_borrow_mut(|(_, ended)| std::mem::take(ended))
    }

    pub(super) fn names() -> Vec<String> {
        Vec::new()
    }

    pub(super) fn search(_: &str, _: u32) -> Vec<(String, String)> {
        Vec::new()
    }

    pub(super) fn describe(name: &str) -> Result<String, CallError> {
        Err(CallError::new(
            "unknown-tool",
            format!("unknown tool {name}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CallError, call_tool};
    use crate::task::{block_on, join_all};
    use crate::{Error, Output, testing};

    #[test]
    fn calls_that_are_awaited_together_keep_their_order() {
        let host = testing::Host::new().tools(|name, arguments| match name {
            "echo" => Ok(Output::text(arguments)),
            _ => Err(CallError::new("unknown-tool", "no such tool")),
        });
        let outcomes = host.run(|| {
            block_on(join_all(
                ["echo", "ecko", "echo"].map(|name| call_tool(name, json!({ "name": name }))),
            ))
        });
        let texts = outcomes.iter().map(|it| it.as_ref().map(Output::to_text));
        let texts: Vec<_> = texts.map(Result::ok).collect();
        let echoed = Some(r#"{"name":"echo"}"#.to_owned());
        assert_eq!(texts, [echoed.clone(), None, echoed]);
        let error = outcomes[1].as_ref().unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            ("unknown-tool", "no such tool")
        );
        let error: Error = error.clone().into();
        assert_eq!(error.message(), "no such tool");
    }

    #[test]
    fn without_a_grant_there_are_no_tools() {
        let outcome = block_on(call_tool("echo", json!({})));
        assert_eq!(outcome.unwrap_err().code(), "denied");
    }
}
