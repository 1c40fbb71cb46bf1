//! What was said so far, in the API's own form, and the file it is kept in.
//!
//! The file is JSON Lines. The first line says the format; each other one is what was added at once:
//! `{"user": [message]}`, `{"reply": [messages]}`, `{"results": [messages]}`, a result that
//! the model was not shown whole, `{"stored": {"id", "text"}}`, or members of every request from then on,
//! `{"carried": {…}}`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tracing::warn;

use super::AgentError;
use toolhost_core::printable;
use toolhost_core::tool::ToolCall;
use toolhost_core::wire::Format;

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Reply,
    Results,
}

pub(super) struct Conversation {
    format: Format,
    messages: Vec<Box<RawValue>>,
    /// What answers had for later requests.
    carried: Map<String, Value>,
    /// What was added last, and how many messages that were.
    last: Option<(Kind, usize)>,
    file: Option<(PathBuf, File)>,
}

/// The first line of a transcript.
#[derive(Serialize, Deserialize)]
struct Header {
    toolhost: String,
    format: String,
}

/// Any other line: one of these.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
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

    /// Adds what an answer has for later requests.
    pub(super) fn carry(&mut self, carried: Map<String, Value>) -> Result<(), AgentError> {
        if carried
            .iter()
            .all(|(key, value)| self.carried.get(key) == Some(value))
        {
            return Ok(());
        }
        self.write(&Line {
            carried: Some(carried.clone()),
            ..Line::default()
        })?;
        self.carried.extend(carried);
        Ok(())
    }

    pub(super) fn waits_for_model(&self) -> bool {
        matches!(self.last, Some((Kind::User | Kind::Results, _)))
    }

    /// The calls of the reply that came last, if nothing followed it.
    pub(super) fn open_calls(&self) -> Vec<ToolCall> {
        let Some((Kind::Reply, count)) = self.last else {
            return Vec::new();
        };
        let wire = self.format.wire();
        let reply = self.messages[self.messages.len() - count..].iter();
        reply
            .flat_map(|message| wire.decode(message.get()).unwrap_or_default())
            .collect()
    }

    /// Adds what somebody said.
    pub(super) fn push(
        &mut self,
        kind: Kind,
        messages: Vec<Box<RawValue>>,
    ) -> Result<(), AgentError> {
        let mut line = Line::default();
        match kind {
            Kind::User => line.user = Some(messages.clone()),
            Kind::Reply => line.reply = Some(messages.clone()),
            Kind::Results => line.results = Some(messages.clone()),
        }
        self.write(&line)?;
        self.take(kind, messages);
        Ok(())
    }

    fn take(&mut self, kind: Kind, messages: Vec<Box<RawValue>>) {
        self.last = Some((kind, messages.len()));
        self.messages.extend(messages);
    }

    /// Keeps results that the model was not shown whole.
    pub(super) fn store(&mut self, results: Vec<(String, String)>) -> Result<(), AgentError> {
        for (id, text) in results {
            self.write(&Line {
                stored: Some(Stored { id, text }),
                ..Line::default()
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
        // In one piece, so that a crash leaves a line or none.
        file.write_all(text.as_bytes()).map_err(|error| {
            // A full disk may have taken a part, behind which no line would be read.
            if let Ok(length) = length {
                let _ = file.set_len(length);
            }
            failed(path, error.to_string())
        })
    }

    /// Keeps all of it in a file that must not exist.
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
        let begun = self.write(&Header {
            toolhost: env!("CARGO_PKG_VERSION").to_owned(),
            format: self.format.name().to_owned(),
        });
        // Else it would be in the way of the next try.
        begun.inspect_err(|_| drop(std::fs::remove_file(path)))
    }

    /// Reads a transcript, and goes on writing it; with it come the results that it stored.
    pub(super) fn resume(
        format: Format,
        path: &Path,
    ) -> Result<(Self, Vec<(String, String)>), AgentError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| failed(path, error.to_string()))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            warn!("ignoring the incomplete last line of {}", path.display());
        }
        let mut lines = text[..whole].lines().enumerate();
        let header = lines.next().map(|(_, line)| line).unwrap_or_default();
        let header: Header = serde_json::from_str(header).map_err(|_| {
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
            let line: Line = serde_json::from_str(line)
                .map_err(|error| failed(path, format!("line {}: {error}", number + 1)))?;
            let said = [
                (Kind::User, line.user),
                (Kind::Reply, line.reply),
                (Kind::Results, line.results),
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
        if let Err(why) = toolhost_core::private::check_file(&file, path) {
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

/// What a conversation holds is its user's alone.
#[cfg(unix)]
fn private(options: &mut std::fs::OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn private(_: &mut std::fs::OpenOptions) {}
