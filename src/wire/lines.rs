//! The events of a response that comes in pieces: an event stream, or a document a line, as Ollama sends
//! them and servers that forget the `data:` before it.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};

use super::error::DecodeError;
use super::stream::{MAX_STREAM, sse_data};
use crate::error::causes;

/// The data of each event of a byte stream: of an event stream, as the HTML standard has it
/// (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), or the lines of one of JSON Lines.
/// An event that the stream's end cuts off is handed on, so that it can be told of.
pub fn event_data<S>(bytes: S) -> impl Stream<Item = Result<String, DecodeError>>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    stream::once(begun(bytes)).flatten()
}

/// Waits for the first byte that says which of the two it is.
async fn begun<S>(bytes: S) -> BoxStream<'static, Result<String, DecodeError>>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let mut bytes = bytes.boxed();
    let mut ahead = Vec::new();
    while let Some(chunk) = bytes.next().await {
        let first = match &chunk {
            Ok(chunk) => chunk.iter().find(|byte| !is_blank(**byte)).copied(),
            Err(_) => Some(b' '),
        };
        ahead.push(chunk);
        match first {
            None => {}
            Some(b'{') => return json_lines(stream::iter(ahead).chain(bytes)).boxed(),
            Some(_) => break,
        }
    }
    sse_data(stream::iter(ahead).chain(bytes)).boxed()
}

/// White space, or of a mark of byte order.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf)
}

/// The lines, without those that are empty.
fn json_lines<S>(bytes: S) -> impl Stream<Item = Result<String, DecodeError>>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    struct Lines<S> {
        bytes: S,
        /// What has come of a line.
        open: BytesMut,
        /// How much of it was searched for its end.
        searched: usize,
        total: usize,
        is_over: bool,
    }
    let lines = Lines {
        bytes: Box::pin(bytes),
        open: BytesMut::new(),
        searched: 0,
        total: 0,
        is_over: false,
    };
    let lines = stream::unfold(lines, async |mut lines| {
        loop {
            let unsearched = &lines.open[lines.searched..];
            if let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') {
                let line = lines.open.split_to(lines.searched + end + 1);
                lines.searched = 0;
                return Some((text(&line), lines));
            }
            lines.searched = lines.open.len();
            if lines.is_over {
                let line = lines.open.split();
                lines.searched = 0;
                return (!line.is_empty()).then(|| (text(&line), lines));
            }
            match lines.bytes.next().await {
                Some(Ok(chunk)) if lines.total + chunk.len() > MAX_STREAM => {
                    lines.is_over = true;
                    lines.open.clear();
                    lines.searched = 0;
                    let why = format!("it has over {} MiB", MAX_STREAM >> 20);
                    return Some((Err(DecodeError::Broken { why }), lines));
                }
                Some(Ok(chunk)) => {
                    lines.total += chunk.len();
                    lines.open.extend_from_slice(&chunk);
                }
                Some(Err(error)) => {
                    lines.is_over = true;
                    lines.open.clear();
                    lines.searched = 0;
                    let why = causes(&error);
                    return Some((Err(DecodeError::Broken { why }), lines));
                }
                None => lines.is_over = true,
            }
        }
    });
    lines.filter(|line| {
        let is_empty = matches!(line, Ok(line) if line.trim_ascii().is_empty());
        std::future::ready(!is_empty)
    })
}

fn text(line: &[u8]) -> Result<String, DecodeError> {
    let line = std::str::from_utf8(line).map_err(|error| DecodeError::NotEvents {
        why: error.to_string(),
    })?;
    Ok(line.trim_start_matches('\u{feff}').trim_ascii().to_owned())
}
