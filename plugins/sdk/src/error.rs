//! Why a tool could not answer.

use crate::bindings::toolhost::plugin::types::{Error as WitError, InputRequired, Question};
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
#[derive(Clone, PartialEq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    input: Option<Box<InputRequired>>,
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
    /// The client's: nothing is wrong, there are questions. See [`ask`](crate::ask).
    InputRequired,
}

impl Error {
    /// The arguments fit the schema and are wrong all the same: say which and why.
    pub fn invalid_arguments(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArguments, message.into())
    }

    /// The call needs something that the plugin was not granted: name it.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message.into())
    }

    /// The tool could not do it. The model reads the message unchanged.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message.into())
    }

    /// There is no resource of that URI.
    pub fn not_found(uri: impl fmt::Display) -> Self {
        Self::invalid_arguments(format!("there is no resource {uri}"))
    }

    /// Ask this, and come back with the state.
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

    /// Which of them it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the model reads.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What has to be asked, each question with its key: empty unless the kind is [`ErrorKind::InputRequired`].
    #[must_use]
    pub fn questions(&self) -> &[(String, Question)] {
        self.input.as_ref().map_or(&[], |input| &input.questions)
    }

    /// What the next round will be told.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn state(&self) -> &[u8] {
        self.input.as_ref().map_or(&[], |input| &input.state)
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
