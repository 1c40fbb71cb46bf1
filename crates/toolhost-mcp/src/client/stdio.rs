//! Messages of a command, a line each, over its stdin and stdout.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rmcp::RoleClient;
use rmcp::model::{ClientJsonRpcMessage, ErrorCode, ErrorData, RequestId, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdout;
use tokio::sync::Mutex;

use super::encode::encode;
use super::process::Stdin;
use super::reading::Reader;
use crate::lines::{self, IdFinder, Line};

/// Says of an error that we made it of an answer that is too long.
pub(super) const TOO_LONG: ErrorCode = ErrorCode(-32_999);

pub(super) struct Lines {
    stdout: lines::Lines<ChildStdout>,
    /// Of one message at a time: they must not be mixed.
    stdin: Arc<Mutex<Stdin>>,
    /// Lines of a message that has not ended: some servers indent them.
    unended: Vec<u8>,
    reader: Reader,
    /// Messages of a batch that are not taken yet.
    ready: VecDeque<ServerJsonRpcMessage>,
}

impl Lines {
    pub(super) fn new(stdout: ChildStdout, stdin: Stdin, longest: usize) -> Self {
        Lines {
            stdout: lines::Lines::new(stdout, longest),
            stdin: Arc::new(Mutex::new(stdin)),
            unended: Vec::new(),
            reader: Reader::default(),
            ready: VecDeque::new(),
        }
    }

    /// Takes what is left of a message that is too long.
    fn take_long(&mut self, passed: &IdFinder) {
        let longest = self.stdout.longest();
        tracing::debug!("skipped a message of more than {longest} bytes");
        let error = ErrorData::new(TOO_LONG, format!("more than {longest} bytes"), None);
        if let Some(id) = passed.number().map(RequestId::Number) {
            self.reader.passed(&id);
            self.ready
                .push_back(ServerJsonRpcMessage::error(error, Some(id)));
        }
    }

    /// Takes the messages that a line holds.
    fn take_line(&mut self, line: &[u8]) {
        let messages = self.reader.read(line, None);
        if !messages.is_empty() {
            self.unended.clear();
            self.ready.extend(messages);
        } else if !line.trim_ascii().is_empty() {
            self.gather(line);
        }
    }

    /// Takes a line that is no message, which may be a part of one: of an indented message only the first
    /// line and the last begin with a bracket.
    fn gather(&mut self, line: &[u8]) {
        if line.starts_with(b"{") || line.starts_with(b"[") {
            self.unended.clear();
            if is_cut_off(line) {
                self.unended.extend_from_slice(line);
                return;
            }
        } else if !self.unended.is_empty()
            && self.unended.len() + line.len() <= self.stdout.longest()
        {
            self.unended.extend_from_slice(line);
            if line.starts_with(b"}") || line.starts_with(b"]") {
                let whole = std::mem::take(&mut self.unended);
                self.ready.extend(self.reader.read(&whole, None));
            }
            return;
        } else {
            self.unended.clear();
        }
        // Programs print to stdout what is not for us.
        tracing::debug!("skipped a line that is not a message");
    }
}

/// Whether it is JSON up to where it ends.
fn is_cut_off(text: &[u8]) -> bool {
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(text);
    read.is_err_and(|error| error.is_eof())
}

impl Transport<RoleClient> for Lines {
    type Error = io::Error;

    fn send(
        &mut self,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        self.reader.sent(&message);
        let stdin = self.stdin.clone();
        async move {
            let mut line = encode(&message)?;
            line.push(b'\n');
            let mut stdin = stdin.lock().await;
            stdin.write_all(&line).await?;
            stdin.flush().await
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            match self.stdout.next().await? {
                Line::Whole(line) => self.take_line(&line),
                Line::TooLong(passed) => self.take_long(&passed),
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        // Somebody may wait to write for as long as nobody reads.
        if let Ok(stdin) = self.stdin.try_lock() {
            stdin.close();
        }
        Ok(())
    }
}
