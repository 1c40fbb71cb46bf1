//! The conversation so far, in the API's own form, and its transcript file.
//!
//! The file is JSON Lines. The first line names the format; each other line is one addition:
//! `{"user": [message]}`, `{"reply": [messages]}`, `{"results": [messages]}`, a result that the
//! model was not shown whole, `{"stored": {"id", "text"}}`, or members of every later request,
//! `{"carried": {…}}`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tracing::warn;

use super::AgentError;
use toolhost_core::bounded_read;
use toolhost_core::printable;
use toolhost_core::tool::ToolCall;
use toolhost_core::wire::Format;

/// The longest transcript that is continued, in bytes.
const MAX_TRANSCRIPT: u64 = 256 << 20;

/// The kind of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdditionKind {
    User,
    Reply,
    Results,
}

pub(super) struct Conversation {
    format: Format,
    messages: Vec<Box<RawValue>>,
    /// What answers carry over to later requests.
    carried: Map<String, Value>,
    /// The last addition, and its number of messages.
    last: Option<(AdditionKind, usize)>,
    file: Option<(PathBuf, File)>,
}

/// The first line of a transcript.
#[derive(Serialize, Deserialize)]
struct TranscriptHeader {
    toolhost: String,
    format: String,
}

/// Any other line: one of these.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TranscriptLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<Stored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carried: Option<Map<String, Value>>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    id: String,
    text: String,
}

impl Conversation {
    pub(super) fn new(format: Format) -> Self {
        Conversation {
            format,
            messages: Vec::new(),
            carried: Map::new(),
            last: None,
            file: None,
        }
    }

    pub(super) fn messages(&self) -> &[Box<RawValue>] {
        &self.messages
    }

    /// Members of the next request, beside its messages.
    pub(super) fn carried(&self) -> &Map<String, Value> {
        &self.carried
    }

    /// Adds what an answer carries over to later requests.
    pub(super) fn carry(&mut self, carried: Map<String, Value>) -> Result<(), AgentError> {
        if carried
            .iter()
            .all(|(key, value)| self.carried.get(key) == Some(value))
        {
            return Ok(());
        }
        self.write(&TranscriptLine {
            carried: Some(carried.clone()),
            ..TranscriptLine::default()
        })?;
        self.carried.extend(carried);
        Ok(())
    }

    pub(super) fn waits_for_model(&self) -> bool {
        matches!(
            self.last,
            Some((AdditionKind::User | AdditionKind::Results, _))
        )
    }

    /// The calls of the last reply, if nothing followed it.
    pub(super) fn open_calls(&self) -> Vec<ToolCall> {
        let Some((AdditionKind::Reply, count)) = self.last else {
            return Vec::new();
        };
        let wire = self.format.wire();
        let reply = self.messages[self.messages.len() - count..].iter();
        reply
            .flat_map(|message| wire.decode(message.get()).unwrap_or_default())
            .collect()
    }

    /// Adds messages.
    pub(super) fn push(
        &mut self,
        kind: AdditionKind,
        messages: Vec<Box<RawValue>>,
    ) -> Result<(), AgentError> {
        let mut line = TranscriptLine::default();
        match kind {
            AdditionKind::User => line.user = Some(messages.clone()),
            AdditionKind::Reply => line.reply = Some(messages.clone()),
            AdditionKind::Results => line.results = Some(messages.clone()),
        }
        self.write(&line)?;
        self.take(kind, messages);
        Ok(())
    }

    fn take(&mut self, kind: AdditionKind, messages: Vec<Box<RawValue>>) {
        self.last = Some((kind, messages.len()));
        self.messages.extend(messages);
    }

    /// Stores results that the model was not shown whole.
    pub(super) fn store(&mut self, results: Vec<(String, String)>) -> Result<(), AgentError> {
        for (id, text) in results {
            self.write(&TranscriptLine {
                stored: Some(Stored { id, text }),
                ..TranscriptLine::default()
            })?;
        }
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), AgentError> {
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        let text = serde_json::to_string(line).expect("plain data is JSON");
        // People read it on a terminal.
        let text = format!("{}\n", printable::json(&text));
        let length = file.metadata().map(|metadata| metadata.len());
        // In one write, so that a crash leaves a whole line or none.
        file.write_all(text.as_bytes()).map_err(|error| {
            // A full disk may have accepted a part, which would spoil the next line.
            if let Ok(length) = length {
                let _ = file.set_len(length);
            }
            failed(path, error.to_string())
        })
    }

    /// Writes all of it to a file that must not exist.
    pub(super) fn keep(&mut self, path: &Path) -> Result<(), AgentError> {
        let mut options = File::options();
        options.append(true).create_new(true);
        private(&mut options);
        let file = options.open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => failed(
                path,
                "already exists: continue it with --resume, or choose another file",
            ),
            _ => failed(path, error.to_string()),
        })?;
        self.file = Some((path.to_owned(), file));
        let begun = self.write(&TranscriptHeader {
            toolhost: env!("CARGO_PKG_VERSION").to_owned(),
            format: self.format.name().to_owned(),
        });
        // Otherwise it would block the next attempt.
        begun.inspect_err(|_| drop(std::fs::remove_file(path)))
    }

    /// Reads a transcript and continues it; returns the results that it stored.
    pub(super) fn resume(
        format: Format,
        path: &Path,
    ) -> Result<(Self, Vec<(String, String)>), AgentError> {
        let opened = bounded_read::open(path);
        let text = opened.and_then(|opened| bounded_read::text(&opened, MAX_TRANSCRIPT));
        let text = text.map_err(|error| failed(path, error.to_string()))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            warn!("ignoring the incomplete last line of {}", path.display());
        }
        let mut lines = text[..whole].lines().enumerate();
        let header = lines.next().map(|(_, line)| line).unwrap_or_default();
        let header: TranscriptHeader = serde_json::from_str(header).map_err(|_| {
            let message = "is not a transcript: its first line does not name the format";
            failed(path, message)
        })?;
        if header.format != format.name() {
            let message = format!(
                "was made with {} and cannot be continued with {format}",
                header.format
            );
            return Err(failed(path, message));
        }
        let mut conversation = Conversation::new(format);
        let mut stored = Vec::new();
        for (number, line) in lines {
            let line: TranscriptLine = serde_json::from_str(line)
                .map_err(|error| failed(path, format!("line {}: {error}", number + 1)))?;
            let said = [
                (AdditionKind::User, line.user),
                (AdditionKind::Reply, line.reply),
                (AdditionKind::Results, line.results),
            ];
            for (kind, messages) in said {
                if let Some(messages) = messages {
                    conversation.take(kind, messages);
                }
            }
            conversation
                .carried
                .extend(line.carried.unwrap_or_default());
            stored.extend(line.stored.map(|stored| (stored.id, stored.text)));
        }
        let file = File::options().append(true).open(path);
        let file = file.and_then(|file| file.set_len(whole as u64).map(|()| file));
        let file = file.map_err(|error| failed(path, error.to_string()))?;
        if let Err(why) = toolhost_core::private_files::check_file(&file, path) {
            tracing::warn!("someone else may have written this transcript: {why}");
        }
        conversation.file = Some((path.to_owned(), file));
        Ok((conversation, stored))
    }
}

fn failed(path: &Path, message: impl Into<String>) -> AgentError {
    AgentError::Transcript {
        path: path.to_owned(),
        message: message.into(),
    }
}

/// A conversation is private to its user.
#[cfg(unix)]
fn private(options: &mut std::fs::OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn private(_: &mut std::fs::OpenOptions) {}
