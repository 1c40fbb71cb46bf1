//! Why there is no answer.

use std::path::PathBuf;
use std::time::Duration;

use toolhost_core::limits::seconds;
use toolhost_core::wire::{DecodeError, Stop};

/// Why an agent has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// It cannot be set up.
    #[error("{message}")]
    Setup {
        /// What is missing or wrong.
        message: String,
    },
    /// The API refused the request.
    #[error("the API at {url} answered {status}: {message}")]
    Api {
        /// Where the request went.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the API says.
        message: String,
    },
    /// The API asks to wait for longer than anybody would.
    #[error("the API at {url} asks to wait {}: {message}", seconds(*.wait))]
    Wait {
        /// Where the request went.
        url: String,
        /// How long.
        wait: Duration,
        /// What the API says.
        message: String,
    },
    /// The API cannot be reached, or breaks off.
    #[error("no answer from {url}: {why}")]
    Unreachable {
        /// Where the request went.
        url: String,
        /// Why not.
        why: String,
    },
    /// What the API answered is not what it documents, or is an error in the middle of a stream.
    #[error("invalid answer from {url}: {error}")]
    Decode {
        /// Where the request went.
        url: String,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The model answered nothing at all.
    #[error("the model returned an empty answer{}", reason(.stop))]
    NoAnswer {
        /// Why it ended.
        stop: Stop,
    },
    /// The model still calls tools after all requests that it had.
    #[error("Agent exceeded maximum iterations")]
    MaxIterations,
    /// The transcript cannot be read or written.
    #[error("the transcript {}: {message}", .path.display())]
    Transcript {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl AgentError {
    pub(super) fn setup(message: impl Into<String>) -> Self {
        AgentError::Setup {
            message: message.into(),
        }
    }
}

fn reason(stop: &Stop) -> String {
    match stop {
        Stop::Length => ": it reached `max-tokens`".to_owned(),
        Stop::Other(reason) => format!(": {reason}"),
        _ => String::new(),
    }
}
