//! Messages of a command, a line each, over its stdin and stdout.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rmcp::RoleClient;
use rmcp::model::{ClientJsonRpcMessage, ErrorCode, ErrorData, RequestId, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::Mutex;

use super::process::Stdin;
use super::reading::Reader;

/// Says of an error that we made it of an answer that is too long.
pub(super) const TOO_LONG: ErrorCode = ErrorCode(-32_999);

/// The longest piece of JSON that is held for an id, in bytes.
const MAX_ID: usize = 32;

pub(super) struct Lines {
    stdout: BufReader<ChildStdout>,
    /// Of one message at a time: they must not be mixed.
    stdin: Arc<Mutex<Stdin>>,
    line: Vec<u8>,
    /// Lines of a message that has not ended: some servers indent them.
    unended: Vec<u8>,
    reader: Reader,
    /// Messages of a batch that are not taken yet.
    ready: VecDeque<ServerJsonRpcMessage>,
    /// The longest line that is read, in bytes.
    longest: usize,
    /// The line is longer: nothing but its id is looked for.
    passing: Option<IdFinder>,
}

impl Lines {
    pub(super) fn new(stdout: ChildStdout, stdin: Stdin, longest: usize) -> Self {
        Lines {
            stdout: BufReader::new(stdout),
            stdin: Arc::new(Mutex::new(stdin)),
            line: Vec::new(),
            unended: Vec::new(),
            reader: Reader::default(),
            ready: VecDeque::new(),
            longest,
            passing: None,
        }
    }

    /// Takes the messages that the line holds, which has ended.
    fn take_line(&mut self) {
        if let Some(passed) = self.passing.take() {
            let longest = self.longest;
            tracing::debug!("a message of over {longest} bytes was left out");
            let error = ErrorData::new(TOO_LONG, format!("over {longest} bytes"), None);
            if let Some(id) = passed.found.map(RequestId::Number) {
                self.reader.passed(&id);
                self.ready
                    .push_back(ServerJsonRpcMessage::error(error, Some(id)));
            }
            return;
        }
        let line = std::mem::take(&mut self.line);
        let messages = self.reader.read(&line, None);
        if !messages.is_empty() {
            self.unended.clear();
            self.ready.extend(messages);
        } else if !line.trim_ascii().is_empty() {
            self.gather(&line);
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
        } else if !self.unended.is_empty() && self.unended.len() + line.len() <= self.longest {
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
        tracing::debug!("a line that is no message was left out");
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
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            let mut stdin = stdin.lock().await;
            stdin.write_all(&line).await?;
            stdin.flush().await
        }
    }

    /// What it has read of a line outlives a future that is dropped: nothing is awaited between
    /// taking bytes and keeping them.
    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            let bytes = self.stdout.fill_buf().await.ok()?;
            if bytes.is_empty() {
                if self.line.is_empty() {
                    return None;
                }
                // Its last line may lack its end.
                self.take_line();
                continue;
            }
            let (taken, ended) = match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (bytes.len(), false),
            };
            let piece = &bytes[..taken];
            if self.passing.is_none() && self.line.len() + piece.len() > self.longest {
                let mut finder = IdFinder::default();
                finder.feed(&std::mem::take(&mut self.line));
                self.passing = Some(finder);
            }
            match &mut self.passing {
                Some(finder) => finder.feed(piece),
                None => self.line.extend_from_slice(piece),
            }
            self.stdout.consume(taken);
            if ended {
                self.take_line();
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

/// Looks for the `id` of a message that is too long to be held, or that cannot be read.
#[derive(Default)]
pub(super) struct IdFinder {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The string or number of the outermost object that is being read.
    token: Vec<u8>,
    is_id: bool,
    /// It has a result or an error.
    is_answer: bool,
    found: Option<i64>,
}

impl IdFinder {
    /// The id of the request that the object answers which the text begins with.
    pub(super) fn answered(text: &[u8]) -> Option<i64> {
        let mut finder = IdFinder::default();
        for byte in text {
            finder.step(*byte);
            if finder.depth == 0 {
                break;
            }
        }
        finder.found.filter(|_| finder.is_answer)
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => self.keep(byte),
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 {
                    self.token.clear();
                }
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                if self.depth == 1 {
                    self.value_ends();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 => {
                self.is_id = self.token == b"id";
                self.is_answer |= self.token == b"result" || self.token == b"error";
                self.token.clear();
            }
            b',' if self.depth == 1 => self.value_ends(),
            byte if byte.is_ascii_whitespace() => {}
            byte => self.keep(byte),
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth == 1 && self.token.len() < MAX_ID {
            self.token.push(byte);
        }
    }

    fn value_ends(&mut self) {
        if self.is_id {
            let number = std::str::from_utf8(&self.token).ok();
            self.found = number.and_then(|number| number.parse().ok());
        }
        self.is_id = false;
        self.token.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_message_is_found_wherever_it_stands() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"id":8}}"#, Some(7)),
            (r#"{"result":{"id":8,"a":[{"id":9}]},"id": 7 }"#, Some(7)),
            (r#"{"result":"\"id\":8,","id":"7"}"#, Some(7)),
            (r#"{"result":{"id":8}}"#, None),
            (r#"{"id":null,"a":1}"#, None),
            (r#"[{"id":7}]"#, None),
        ];
        for (message, id) in cases {
            let mut finder = IdFinder::default();
            finder.feed(message.as_bytes());
            assert_eq!(finder.found, id, "{message}");
        }
    }
}
