//! [`FrameReader`]: lines of bounded length.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::protocol::MAX_FRAME;

/// Many short frames are taken from the pipe at once.
const BUFFER: usize = 64 << 10;

/// More capacity than this is given back after a long frame.
const KEPT: usize = 1 << 20;

pub(crate) struct FrameReader<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// Whether `line` has been returned.
    is_taken: bool,
}

/// Why there is no further frame.
#[derive(Debug)]
pub(crate) enum ReadError {
    TooLarge,
    Failed(io::Error),
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        FrameReader {
            reader: BufReader::with_capacity(BUFFER, reader),
            line: Vec::new(),
            is_taken: false,
        }
    }

    /// Whether more was read than the last line.
    pub(crate) fn has_more(&self) -> bool {
        !self.reader.buffer().is_empty()
    }

    /// The next line that is not empty; `None` at the end. Cancel safe: what was read is kept.
    pub(crate) async fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        loop {
            if std::mem::take(&mut self.is_taken) {
                self.line.clear();
                self.line.shrink_to(KEPT);
            }
            // One more byte than allowed tells a line that is too long.
            let room = (MAX_FRAME + 2).saturating_sub(self.line.len());
            let mut bounded = (&mut self.reader).take(room as u64);
            let read = bounded.read_until(b'\n', &mut self.line).await;
            let read = read.map_err(ReadError::Failed)?;
            let is_over = read == 0;
            if !is_over && self.line.last() != Some(&b'\n') {
                // The end of the input, or of the room: the next read tells.
                if self.line.len() > MAX_FRAME {
                    return Err(ReadError::TooLarge);
                }
                continue;
            }
            if self.line.trim_ascii_end().len() > MAX_FRAME {
                return Err(ReadError::TooLarge);
            }
            self.is_taken = true;
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(self.line.trim_ascii()));
            }
            if is_over {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8]) -> Vec<Vec<u8>> {
        let mut reader = FrameReader::new(input);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            lines.push(line.to_owned());
        }
        lines
    }

    #[tokio::test]
    async fn empty_lines_are_skipped_and_the_last_needs_no_newline() {
        assert_eq!(lines(b"a\r\n\n  \nb").await, [b"a", b"b"]);
        assert!(lines(b"\n\n").await.is_empty());
    }

    #[tokio::test]
    async fn the_longest_line_is_read_and_a_longer_one_is_an_error() {
        let mut longest = vec![b'x'; MAX_FRAME];
        longest.push(b'\n');
        assert_eq!(lines(&longest).await[0].len(), MAX_FRAME);
        longest.insert(0, b'x');
        let mut reader = FrameReader::new(&*longest);
        assert!(matches!(reader.next().await, Err(ReadError::TooLarge)));
    }
}
