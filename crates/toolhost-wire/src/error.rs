//! Why a call has no output: [`CallError`].

use std::fmt;
use std::time::Duration;

use crate::input::InputRequired;
use crate::limit::seconds;
pub use crate::limit::{Bound, Limit};

/// Why a call has no output. Every kind has a stable [`code`](CallError::code).
///
/// ```
/// use toolhost_wire::CallError;
///
/// let error = CallError::failed("the disk is full");
/// assert_eq!(error.code(), "failed");
/// assert_eq!(error.to_model_text("save"), "Error: save failed - the disk is full");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No tool has that name.
    #[error("unknown tool{}", similar_names(.similar))]
    UnknownTool {
        /// Names that look like it, nearest first.
        similar: Vec<String>,
    },
    /// There is no such resource, or no such prompt.
    #[error("not found: {what}")]
    NotFound {
        /// Its URI or name.
        what: String,
    },
    /// The arguments are not JSON, not an object, or not what the tool's schema asks for.
    #[error("invalid arguments: {}", listed(.problems))]
    InvalidArguments {
        /// What is wrong, so that the model can mend it; never empty.
        problems: Vec<ArgumentProblem>,
    },
    /// The deadline passed.
    #[error("timed out after {}", seconds(*.after))]
    Timeout {
        /// The time it was given.
        after: Duration,
    },
    /// It went over a bound.
    #[error("{}", .limit.with(*.bound))]
    Limit {
        /// Which bound.
        limit: Limit,
        /// The bound's value.
        bound: Bound,
    },
    /// A call that may change the same data ran before it for too long.
    #[error("waited more than {} for {}, which may change the same data", seconds(*.after), behind(.ahead.as_deref()))]
    OutOfTurn {
        /// The time that it may wait.
        after: Duration,
        /// The call ahead, by its tool and id; `None` where it is another client's.
        ahead: Option<String>,
    },
    /// The options of the call do not fit the host: there is no client, or no folder of it, for instance. It was not
    /// run.
    #[error("invalid options: {message}")]
    InvalidOptions {
        /// What is wrong, and what to do.
        message: String,
    },
    /// The plugin asked for something it was not granted.
    #[error("not permitted: {what}")]
    Denied {
        /// What it asked for.
        what: String,
    },
    /// The guest trapped, panicked or exited.
    #[error("{message}")]
    Trap {
        /// What wasm says of it, and the last lines that the guest wrote to stderr.
        message: String,
    },
    /// The tool itself said no.
    #[error("{message}")]
    Failed {
        /// Its message, unchanged.
        message: String,
    },
    /// Nothing is wrong: the tool has to know something first. Call it again with
    /// [`ToolCall::resumed`](crate::ToolCall::resumed).
    #[error("needs input from the user, but no one is available to answer: {}", asked(.0))]
    InputRequired(Box<InputRequired>),
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
    /// A fault of the host. Secrets are masked in its message, and could not be in an error's source: it has none, and
    /// the message says all causes.
    #[error("internal error: {message}")]
    Internal {
        /// What went wrong.
        message: String,
    },
}

impl CallError {
    /// The stable name of the kind, such as `unknown-tool`.
    pub fn code(&self) -> &'static str {
        match self {
            CallError::UnknownTool { .. } => "unknown-tool",
            CallError::NotFound { .. } => "not-found",
            CallError::InvalidArguments { .. } => "invalid-arguments",
            CallError::Timeout { .. } => "timeout",
            CallError::Limit { .. } | CallError::OutOfTurn { .. } => "limit",
            CallError::InvalidOptions { .. } => "invalid-options",
            CallError::Denied { .. } => "denied",
            CallError::Trap { .. } => "trap",
            CallError::Failed { .. } => "failed",
            CallError::InputRequired(_) => "input-required",
            CallError::Cancelled => "cancelled",
            CallError::Internal { .. } => "internal",
        }
    }

    /// The texts in it that a plugin or a model wrote.
    #[doc(hidden)]
    pub fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let (one, problems) = match self {
            CallError::NotFound { what: text }
            | CallError::Denied { what: text }
            | CallError::Trap { message: text }
            | CallError::Failed { message: text }
            | CallError::InvalidOptions { message: text }
            | CallError::Internal { message: text } => (Some(text), None),
            CallError::InvalidArguments { problems } => (None, Some(problems)),
            CallError::UnknownTool { .. }
            | CallError::Timeout { .. }
            | CallError::Limit { .. }
            | CallError::OutOfTurn { .. }
            | CallError::InputRequired(_)
            | CallError::Cancelled => (None, None),
        };
        let of_problems = problems.into_iter().flatten();
        let of_problems =
            of_problems.flat_map(|problem| [&mut problem.pointer, &mut problem.message]);
        one.into_iter().chain(of_problems)
    }

    /// The error as text for a model that called `tool`.
    pub fn to_model_text(&self, tool: &str) -> String {
        // The name is the model's, and of any length.
        let tool = &tool[..tool.floor_char_boundary(200)];
        match self {
            CallError::UnknownTool { similar } => {
                format!("Error: Unknown tool {tool}{}", similar_names(similar))
            }
            CallError::Timeout { .. } => format!("Error: {tool} {self}"),
            _ => format!("Error: {tool} failed - {self}"),
        }
    }

    /// Of a call whose arguments did not come to their end, and that must not be run for it.
    pub fn cut_off() -> Self {
        CallError::invalid_arguments("", "the response ended before the arguments were complete")
    }

    /// One thing that is wrong with the arguments; `pointer` is a JSON Pointer (RFC 6901), empty for the whole.
    pub fn invalid_arguments(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        CallError::InvalidArguments {
            problems: vec![ArgumentProblem::new(pointer, message)],
        }
    }

    /// It went over a limit.
    pub fn over(limit: Limit, bound: impl Into<Bound>) -> Self {
        CallError::Limit {
            limit,
            bound: bound.into(),
        }
    }

    /// The tool itself said no, in these words.
    pub fn failed(message: impl Into<String>) -> Self {
        CallError::Failed {
            message: message.into(),
        }
    }

    /// It asked for something it was not granted.
    pub fn denied(what: impl Into<String>) -> Self {
        CallError::Denied { what: what.into() }
    }

    /// A fault of the host.
    pub fn internal(message: impl fmt::Display) -> Self {
        CallError::Internal {
            message: message.to_string(),
        }
    }
}

/// One thing that is wrong with a call's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArgumentProblem {
    /// Where: a JSON Pointer (RFC 6901), empty for the whole.
    pub pointer: String,
    /// What.
    pub message: String,
}

impl ArgumentProblem {
    /// A problem at a JSON Pointer (RFC 6901), empty for the whole.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        ArgumentProblem {
            pointer: pointer.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for ArgumentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)
    }
}

/// An error with all of its causes: what matters is often in the last.
#[doc(hidden)]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.contains(&why) {
            text = format!("{text}: {why}");
        }
        cause = error.source();
    }
    text
}

fn similar_names(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!(". Similar tools: {}", names.join(", ")),
    }
}

fn behind(ahead: Option<&str>) -> &str {
    match ahead {
        Some(call) => call,
        None => "another client's call",
    }
}

fn asked(input: &InputRequired) -> String {
    let questions = input.questions.iter();
    let messages: Vec<&str> = questions.map(|(_, question)| question.message()).collect();
    messages.join("; ")
}

fn listed(problems: &[ArgumentProblem]) -> String {
    let texts: Vec<String> = problems.iter().map(ArgumentProblem::to_string).collect();
    texts.join("; ")
}
