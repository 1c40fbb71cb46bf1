//! [`Error`]: why a call has no result.

use crate::bindings::toolhost::plugin::types::{Error as WitError, InputRequired, Question};
use std::fmt;

/// Why a call has no result. The model reads the message, so it should say what to do.
///
/// It does not implement [`std::error::Error`], so that `?` can convert every such error to it: the kind is then
/// [`ErrorKind::Failed`], and the message has the error and all its causes.
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
#[derive(Clone, PartialEq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    input: Option<Box<InputRequired>>,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The arguments are invalid; the model can correct them.
    InvalidArguments,
    /// The manifest does not grant a permission.
    Denied,
    /// The call failed.
    Failed,
    /// Not a failure: questions need answers. See [`ask`](crate::ask).
    InputRequired,
}

impl Error {
    /// The arguments match the schema but are invalid. Say which one, and why.
    pub fn invalid_arguments(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArguments, message.into())
    }

    /// The plugin lacks a permission. Name it.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message.into())
    }

    /// The call failed. The model gets the message unchanged.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message.into())
    }

    /// There is no resource with this URI.
    pub fn not_found(uri: impl fmt::Display) -> Self {
        Self::invalid_arguments(format!("there is no resource {uri}"))
    }

    /// The call needs these questions answered; the state comes back with the replies.
    pub(crate) fn input_required(questions: Vec<(String, Question)>, state: Vec<u8>) -> Self {
        let keys: Vec<&str> = questions.iter().map(|(key, _)| key.as_str()).collect();
        let message = format!("this has to be asked first: {}", keys.join(", "));
        Self {
            input: Some(Box::new(InputRequired { questions, state })),
            ..Self::new(ErrorKind::InputRequired, message)
        }
    }

    fn new(kind: ErrorKind, message: String) -> Self {
        Self {
            kind,
            message,
            input: None,
        }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message that the model gets.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The questions with their keys; empty unless the kind is [`ErrorKind::InputRequired`].
    #[must_use]
    pub fn questions(&self) -> &[(String, Question)] {
        self.input.as_ref().map_or(&[], |input| &input.questions)
    }

    /// The state for the next round.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn state(&self) -> &[u8] {
        self.input.as_ref().map_or(&[], |input| &input.state)
    }

    /// Puts context in front of the message: `context: message`.
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
        if let Some(input) = error.input {
            return Self::InputRequired(*input);
        }
        match error.kind {
            ErrorKind::InvalidArguments => Self::InvalidArguments(error.message),
            ErrorKind::Denied => Self::Denied(error.message),
            ErrorKind::Failed | ErrorKind::InputRequired => Self::Failed(error.message),
        }
    }
}
