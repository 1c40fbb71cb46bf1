//! The stdio transport: newline-delimited messages over a command's stdin and stdout.

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
use super::message_reader::MessageReader;
use super::process::Stdin;
use crate::json_lines::{self, IdFinder, ReadLine};

/// Marks an error that was made here of an answer that is too long.
pub(super) const TOO_LONG: ErrorCode = ErrorCode(-32_999);

pub(super) struct StdioTransport {
    stdout: json_lines::LineReader<ChildStdout>,
    /// Locked for a whole message: messages must not be interleaved.
    stdin: Arc<Mutex<Stdin>>,
    /// The lines so far of a message over several lines: some servers indent their JSON.
    unended: Vec<u8>,
    reader: MessageReader,
    /// Messages of a batch that have not been taken yet.
    ready: VecDeque<ServerJsonRpcMessage>,
}

impl StdioTransport {
    pub(super) fn new(stdout: ChildStdout, stdin: Stdin, longest: usize) -> Self {
        StdioTransport {
            stdout: json_lines::LineReader::new(stdout, longest),
            stdin: Arc::new(Mutex::new(stdin)),
            unended: Vec::new(),
            reader: MessageReader::default(),
            ready: VecDeque::new(),
        }
    }

    /// Answers what is known of a message that is too long.
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

    /// Takes the messages of a line.
    fn take_line(&mut self, line: &[u8]) {
        let messages = self.reader.read(line, None);
        if !messages.is_empty() {
            self.unended.clear();
            self.ready.extend(messages);
        } else if !line.trim_ascii().is_empty() {
            self.gather(line);
        }
    }

    /// Takes a line that is not a message, but may be part of one: of an indented message only the
    /// first and last line begin with a bracket.
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
        // Programs print other things to stdout as well.
        tracing::debug!("skipped a line that is not a message");
    }
}

/// Whether it is JSON that ends early.
fn is_cut_off(text: &[u8]) -> bool {
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(text);
    read.is_err_and(|error| error.is_eof())
}

impl Transport<RoleClient> for StdioTransport {
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
                ReadLine::Whole(line) => self.take_line(&line),
                ReadLine::TooLong(passed) => self.take_long(&passed),
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        // A writer may block for as long as the server does not read.
        if let Ok(stdin) = self.stdin.try_lock() {
            stdin.close();
        }
        Ok(())
    }
}
