//! Splits a streamed response into events: server-sent events, or one document per line, as Ollama
//! sends it.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{DecodeError, error_event};
use super::input_hints::{LOOKED_AT, bytes_look_like, looks_like};
use super::object;
use super::stream_decoder::{MAX_STREAM, sse_data};
use crate::error::causes;
use crate::json_text::Scanner;

/// The longest first line of an Ollama response.
const MAX_FIRST_LINE: usize = 1 << 20;

/// The length of file signatures.
const MAGIC: usize = 4;

/// The data of each event of a byte stream: server-sent events
/// (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), or the lines of an Ollama
/// stream. An event that is cut off by the stream's end is delivered, so that it can be reported.
///
/// ```
/// use bytes::Bytes;
/// use futures_util::{StreamExt, stream};
/// use toolhost_wire::wire::event_data;
///
/// # futures_util::FutureExt::now_or_never(async {
/// // However the network cuts them.
/// let chunks = ["data: {\"a\":", "1}\n\nda", "ta: [DONE]\n\n"];
/// let events = event_data(stream::iter(chunks.map(|it| Ok(Bytes::from_static(it.as_bytes())))));
/// let events: Vec<String> = events.map(Result::unwrap).collect().await;
/// assert_eq!(events, [r#"{"a":1}"#, "[DONE]"]);
/// # }).unwrap();
/// ```
pub fn event_data<S>(bytes: S) -> impl Stream<Item = Result<String, DecodeError>>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    stream::once(begun(bytes)).flatten()
}

/// Waits until it is clear which of the two it is.
async fn begun<S>(bytes: S) -> BoxStream<'static, Result<String, DecodeError>>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    // It may end here, and is polled again by what follows.
    let mut bytes = bytes.boxed().fuse();
    let mut ahead = Vec::new();
    let mut first = Vec::new();
    while let Some(chunk) = bytes.next().await {
        let is_error = chunk.is_err();
        first.extend_from_slice(chunk.as_deref().unwrap_or_default());
        ahead.push(chunk);
        let text = first.trim_ascii_start();
        // The decision does not depend on how it is cut into chunks.
        let enough = match text.first() {
            None | Some(b'{') => MAX_FIRST_LINE,
            Some(b'<') => LOOKED_AT,
            Some(_) => MAGIC,
        };
        if is_error || text.contains(&b'\n') || text.len() >= enough {
            break;
        }
    }
    let mut all = stream::iter(ahead).chain(bytes);
    if is_ollama(&first) {
        return json_lines(all).boxed();
    }
    if first.trim_ascii_start().starts_with(b"{") || first.trim_ascii_start().starts_with(b"[") {
        let error = no_events(&whole(&mut all).await);
        return stream::iter([Err(error)]).boxed();
    }
    match unlike(&first) {
        Some(error) => stream::iter([Err(error)]).boxed(),
        None => sse_data(all).boxed(),
    }
}

/// A document that is not a stream: read to its own end, as the connection may stay open.
async fn whole<S>(bytes: &mut S) -> Vec<u8>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let mut document = Vec::new();
    let mut scanner = Scanner::default();
    while let Some(Ok(chunk)) = bytes.next().await {
        document.extend_from_slice(&chunk);
        let is_closed = scanner.push(&String::from_utf8_lossy(&chunk)).is_some();
        if is_closed || document.len() > MAX_STREAM {
            break;
        }
    }
    document
}

/// Why JSON is not a stream: it is an API's error, or a response that was not streamed.
fn no_events(document: &[u8]) -> DecodeError {
    let text = String::from_utf8_lossy(document);
    // A Gemini stream requested without `alt=sse` is an array, and so is its error.
    let items: Vec<&RawValue> = serde_json::from_str(&text).unwrap_or_default();
    let one = items.first().map_or(&*text, |first| first.get());
    error_event(one).unwrap_or_else(|| DecodeError::NotEvents {
        why: "it has no events and is JSON: to read a complete response, leave out --sse"
            .to_owned(),
    })
}

/// Why bytes cannot be a stream, if so.
fn unlike(bytes: &[u8]) -> Option<DecodeError> {
    let error = bytes_look_like(bytes).or_else(|| {
        let text = bytes.trim_ascii_start();
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        looks_like(&String::from_utf8_lossy(line)).filter(|_| line.starts_with(b"<"))
    })?;
    match error {
        DecodeError::LooksLike { like, advice } => Some(DecodeError::NotEvents {
            why: format!("it has no events and looks like {like}: {advice}"),
        }),
        _ => None,
    }
}

/// Whether the first line is a response of Ollama's, or its error.
fn is_ollama(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        done: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let text = bytes.trim_ascii_start();
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let document = std::str::from_utf8(line).ok();
    let document = document.and_then(|line| serde_json::from_str::<&RawValue>(line).ok());
    let line: Option<Line> = document.and_then(|document| object(document).ok());
    line.is_some_and(|line| line.done.is_some() || line.error.is_some())
}

/// The non-empty lines.
fn json_lines<S>(bytes: S) -> impl Stream<Item = Result<String, DecodeError>>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    struct Lines<S> {
        bytes: S,
        /// The beginning of a line.
        open: BytesMut,
        /// How much of it has been searched for its end.
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
                    let why = format!("it is larger than {} MiB", MAX_STREAM >> 20);
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
