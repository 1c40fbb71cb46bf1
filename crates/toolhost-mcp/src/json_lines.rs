//! Newline-delimited messages, from a client or from a command.

use rmcp::model::RequestId;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// The most JSON buffered while looking for an id, in bytes.
const MAX_ID: usize = 256;

pub(crate) struct LineReader<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// The longest line accepted, in bytes.
    longest: usize,
    /// Set while a line is too long: only its id is looked for.
    passing: Option<IdFinder>,
}

pub(crate) enum ReadLine {
    Whole(Vec<u8>),
    /// A line that was too long, of which only the id was kept.
    TooLong(IdFinder),
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(reader: R, longest: usize) -> Self {
        LineReader {
            reader: BufReader::new(reader),
            line: Vec::new(),
            longest,
            passing: None,
        }
    }

    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The next line; `None` at the end. Cancel safe: nothing is awaited between taking bytes and
    /// keeping them.
    pub(crate) async fn next(&mut self) -> Option<ReadLine> {
        loop {
            let bytes = self.reader.fill_buf().await.ok()?;
            if bytes.is_empty() {
                // The last line may lack its newline.
                let is_over = self.line.is_empty() && self.passing.is_none();
                return (!is_over).then(|| self.taken());
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
            self.reader.consume(taken);
            if ended {
                return Some(self.taken());
            }
        }
    }

    fn taken(&mut self) -> ReadLine {
        match self.passing.take() {
            Some(finder) => ReadLine::TooLong(finder),
            None => ReadLine::Whole(std::mem::take(&mut self.line)),
        }
    }
}

/// Looks for the `id` of a message that is too long to buffer, or malformed.
#[derive(Default)]
pub(crate) struct IdFinder {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The string or number of the outermost object that is being read.
    token: Vec<u8>,
    is_string: bool,
    /// The token was cut or malformed.
    is_broken: bool,
    is_id: bool,
    is_answer: bool,
    found: Option<RequestId>,
}

impl IdFinder {
    /// Finds the id of a complete message.
    pub(crate) fn of(message: &[u8]) -> Self {
        let mut finder = IdFinder::default();
        finder.feed(message);
        finder
    }

    /// The id of the request that the response at the beginning of the text answers.
    pub(crate) fn answered(text: &[u8]) -> Option<i64> {
        let mut finder = IdFinder::default();
        for byte in text {
            finder.step(*byte);
            if finder.depth == 0 {
                break;
            }
        }
        finder.number().filter(|_| finder.is_answer)
    }

    /// The id as a number; some write it as a string.
    pub(crate) fn number(&self) -> Option<i64> {
        match self.found.as_ref()? {
            RequestId::Number(number) => Some(*number),
            RequestId::String(text) => text.parse().ok(),
        }
    }

    /// The id, if the message is a request. A response must not be answered: two peers with a fault
    /// would answer each other forever.
    pub(crate) fn of_request(self) -> Option<RequestId> {
        self.found.filter(|_| !self.is_answer)
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => {
                    self.escaped = true;
                    self.is_broken |= self.depth == 1;
                }
                b'"' => self.in_string = false,
                _ => self.keep(byte),
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 {
                    self.clear();
                    self.is_string = true;
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
                self.clear();
            }
            b',' if self.depth == 1 => self.value_ends(),
            byte if byte.is_ascii_whitespace() => {}
            byte => {
                self.is_broken |= self.is_string && self.depth == 1;
                self.keep(byte);
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth != 1 {
            return;
        }
        match self.token.len() < MAX_ID {
            true => self.token.push(byte),
            false => self.is_broken = true,
        }
    }

    fn value_ends(&mut self) {
        if self.is_id {
            let text = std::str::from_utf8(&self.token).ok();
            let text = text.filter(|_| !self.is_broken);
            self.found = text.and_then(|text| match self.is_string {
                true => Some(RequestId::String(text.into())),
                false => text.parse().ok().map(RequestId::Number),
            });
        }
        self.is_id = false;
        self.clear();
    }

    fn clear(&mut self) {
        self.token.clear();
        (self.is_string, self.is_broken) = (false, false);
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
            assert_eq!(IdFinder::of(message.as_bytes()).number(), id, "{message}");
        }
    }

    #[test]
    fn the_id_of_a_request_is_what_was_written_or_none() {
        let text = |id: &str| Some(RequestId::String(id.into()));
        let cases = [
            (r#"{"id":7,"method":"#, Some(RequestId::Number(7))),
            (r#"{"id":"7","method":"#, text("7")),
            (r#"{"method":"a\"b","id":"seven"}}"#, text("seven")),
            (r#"{"id":"a\"b","method":"a"}"#, None),
            (r#"{"id":"a"b,"method":"a"}"#, None),
            (r#"{"id":{"id":"a"},"method":"a"}"#, None),
            (r#"{"id":7,"result":"#, None),
            (r#"{"id":7,"result":{}"#, None),
            (r#"{"id":7"#, None),
            (r#"note "id":7, "#, None),
        ];
        for (message, id) in cases {
            let found = IdFinder::of(message.as_bytes()).of_request();
            assert_eq!(found, id, "{message}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(MAX_ID + 1));
        assert_eq!(IdFinder::of(long.as_bytes()).of_request(), None);
    }
}
