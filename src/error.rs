//! The two ways in which things go wrong: [`LoadError`], a plugin or manifest is unusable;
//! [`CallError`], one call failed.

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::input::InputRequired;
use crate::limits::seconds;
pub use crate::limits::{Bound, Limit};
use crate::printable;

/// Why a call has no output. Every kind has a stable [`code`](CallError::code).
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
    #[error("invalid arguments: {}", join(.problems, "; "))]
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
    #[error("over the limit of {}", .limit.with(*.bound))]
    Limit {
        /// Which bound.
        limit: Limit,
        /// The bound's value.
        bound: Bound,
    },
    /// A call that may change the same data ran before it for too long.
    #[error("over the limit of {} of waiting for {}, which may change the same data", seconds(*.after), behind(.ahead.as_deref()))]
    OutOfTurn {
        /// The time that it may wait.
        after: Duration,
        /// The call ahead, by its tool and id; `None` where it is another client's.
        ahead: Option<String>,
    },
    /// The [options](crate::CallOptions) of the call do not fit the host: there is no client, or no folder of it, for
    /// instance. It was not run.
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
    #[error("it needs input from the user, and no one is available to answer: {}", asked(.0))]
    InputRequired(Box<InputRequired>),
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
    /// A fault of the host.
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
    pub(crate) fn texts(&mut self) -> impl Iterator<Item = &mut String> {
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
        CallError::invalid_arguments("", "the response ended before they did")
    }

    pub(crate) fn invalid_arguments(
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        CallError::InvalidArguments {
            problems: vec![ArgumentProblem {
                pointer: pointer.into(),
                message: message.into(),
            }],
        }
    }

    pub(crate) fn over(limit: Limit, bound: impl Into<Bound>) -> Self {
        CallError::Limit {
            limit,
            bound: bound.into(),
        }
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        CallError::Internal {
            message: message.to_string(),
        }
    }
}

/// One thing that is wrong with a call's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentProblem {
    /// Where: a JSON Pointer (RFC 6901), empty for the whole.
    pub pointer: String,
    /// What.
    pub message: String,
}

impl fmt::Display for ArgumentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a host could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The manifest cannot be read.
    #[error("cannot read {}", printable::line(&.path.display().to_string()))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Everything that is wrong with the manifest and its plugins.
    #[error("{}", join(.0, "\n"))]
    Invalid(Vec<Diagnostic>),
    /// The engine cannot be made on this machine.
    #[error("cannot start the WebAssembly engine: {message}")]
    Engine {
        /// What wasmtime says.
        message: String,
    },
}

impl LoadError {
    /// One thing that is wrong, with all of a file.
    pub(crate) fn invalid(file: &Path, message: impl Into<String>) -> Self {
        LoadError::Invalid(vec![Diagnostic::new(file, None, message)])
    }
}

/// One thing that is wrong with a manifest or a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The manifest or the plugin's file.
    pub file: PathBuf,
    /// Where in the manifest.
    pub at: Option<Location>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(file: &Path, at: Option<Location>, message: impl Into<String>) -> Self {
        Diagnostic {
            file: file.to_owned(),
            at,
            message: printable::line(&message.into()).into_owned(),
            help: None,
        }
    }

    /// Adds lines to the message.
    pub(crate) fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        for line in lines {
            self.message += &format!("\n    {}", printable::line(&line));
        }
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(printable::line(&help.into()).into_owned());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable::line(&self.file.display().to_string()))?;
        if let Some(Location { line, column }) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// A place in a text file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// What a panic said.
pub(crate) fn said_by(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message")
}

/// An error with all of its causes: what matters is often in the last.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
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

/// The names most like `name`, nearest first: what somebody who mistyped it may have meant.
pub(crate) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    // A model's name may be of any length, and the distance takes time by the square of it.
    if name.len() > 256 {
        return Vec::new();
    }
    let mut near: Vec<(f64, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.84)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.truncate(3);
    near.into_iter().map(|(_, name)| name.to_owned()).collect()
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
        None => "a call of another client",
    }
}

fn asked(input: &InputRequired) -> String {
    let questions = input.questions.iter();
    let messages: Vec<&str> = questions.map(|(_, question)| question.message()).collect();
    messages.join("; ")
}

fn join<T: fmt::Display>(items: &[T], separator: &str) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    texts.join(separator)
}
