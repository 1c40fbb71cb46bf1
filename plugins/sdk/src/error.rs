//! Why a tool could not answer.

use crate::bindings::toolhost::plugin::types::Error as WitError;
use std::fmt;

/// Why a tool could not answer, in words that a model can act on.
///
/// It is not itself a [`std::error::Error`], so that `?` can turn every such error into it: the message is then the error
/// and all its causes, and the kind [`ErrorKind::Failed`].
///
/// ```
/// use toolhost_plugin::{Error, ErrorKind};
///
/// fn port(text: &str) -> Result<u16, Error> {
///     Ok(text.parse::<u16>()?)
/// }
///
/// let error = port("http").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Failed);
/// assert_eq!(error.message(), "invalid digit found in string");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Whose move it is after an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The model's: other arguments may work.
    InvalidArguments,
    /// The manifest's: something was not granted.
    Denied,
    /// The tool could not do it.
    Failed,
}

impl Error {
    /// The arguments fit the schema and are wrong all the same: say which and why.
    pub fn invalid_arguments(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::InvalidArguments,
            message: message.into(),
        }
    }

    /// The call needs something that the plugin was not granted: name it.
    pub fn denied(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Denied,
            message: message.into(),
        }
    }

    /// The tool could not do it. The model reads the message unchanged.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Failed,
            message: message.into(),
        }
    }

    /// Which of the three it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the model reads.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error with what was being done in front: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.kind, self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors already end with their cause's text.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self::failed(message)
    }
}

impl From<Error> for WitError {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::InvalidArguments => Self::InvalidArguments(error.message),
            ErrorKind::Denied => Self::Denied(error.message),
            ErrorKind::Failed => Self::Failed(error.message),
        }
    }
}
