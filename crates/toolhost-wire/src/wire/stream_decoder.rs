//! [`Events`]: decodes a streamed response as it arrives.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, stream};
use sse_stream::SseByteStream;

use super::detect::detect_event;
use super::error::{DecodeError, error_event};
pub(super) use super::open_call::unclosed;
use super::{Format, Reply, StreamDecoder, unread_calls};
use crate::error::causes;
use crate::tool::ToolCall;

/// The longest response; a longer one is malicious.
pub(super) const MAX_STREAM: usize = 64 << 20;

/// How long to wait for more after the stop reason: the usage, or nothing.
const LINGER: Duration = Duration::from_secs(1);

/// The same, if the stop reason is doubtful: proxies send one after every piece.
const LINGER_IN_DOUBT: Duration = Duration::from_secs(5);

/// What an event brings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Delta {
    /// More of the model's text.
    Text(String),
    /// A complete call.
    Call {
        /// Its position among the calls of the response, from 0.
        position: usize,
        /// The call, by its name on the wire.
        call: ToolCall,
    },
}

/// A whole stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received {
    /// The model's answer. It contains every call that began.
    pub reply: Reply,
    /// Whether the API said that it is complete.
    pub is_complete: bool,
}

impl Received {
    /// A response that was not streamed.
    pub fn whole(reply: Reply) -> Self {
        Received {
            reply,
            is_complete: true,
        }
    }
}

/// Whether a message has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// More of it will arrive.
    Open,
    /// The stop reason was given. Anything that may follow does so soon, or not at all.
    Said {
        /// Whether the message seems to have continued after it.
        doubtful: bool,
    },
    /// It has ended: nothing that follows belongs to it.
    Over,
}

impl End {
    /// Whether nothing missing can belong to the message.
    fn is_certain(self) -> bool {
        !matches!(self, End::Open | End::Said { doubtful: true })
    }
}

/// How a stream ends when its events do not say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Close {
    /// `[DONE]`.
    Done,
    /// The end of the bytes, with the connection intact.
    Bytes,
}

/// Decodes the events of one response, and detects the format unless it is given.
///
/// Calls are delivered as soon as their arguments are complete, before the response has ended. The
/// reader waits for each event [until](Events::until) a deadline, and reports with
/// [`fell_silent`](Events::fell_silent) that it has passed, and with [`broke`](Events::broke) that
/// the bytes cannot be read.
///
/// ```
/// use toolhost_wire::wire::{Delta, Events, Format};
///
/// // `event_data` makes the events of a body's bytes.
/// let body = [
///     r#"{"choices": [{"index": 0, "delta": {"content": "Let me see."}}]}"#,
///     r#"{"choices": [{"index": 0, "delta": {"tool_calls": [
///         {"index": 0, "id": "call_1", "function": {"name": "add", "arguments": "{}"}}]}}]}"#,
///     r#"{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}"#,
///     "[DONE]",
/// ];
/// let mut events = Events::new(Some(Format::OpenaiChat))?;
/// let mut seen = Vec::new();
/// for data in body {
///     seen.extend(events.event(data)?);
/// }
/// let (rest, received) = events.finish()?;
/// seen.extend(rest);
/// assert_eq!(seen[0], Delta::Text("Let me see.".to_owned()));
/// assert!(matches!(&seen[1], Delta::Call { position: 0, call } if call.name == "add"));
/// assert!(received.is_complete);
/// # Ok::<(), toolhost_wire::wire::DecodeError>(())
/// ```
pub struct Events {
    format: Option<Format>,
    decoder: Option<Box<dyn StreamDecoder>>,
    seen: usize,
    /// The deadline for the next event.
    until: Option<Instant>,
    is_over: bool,
    /// Whether the events ended before the stream did.
    is_broken: bool,
    /// What an event brought before it turned out to be an error.
    late: Vec<Delta>,
}

impl Events {
    /// A decoder for a format, or for the one that the events show.
    ///
    /// # Errors
    ///
    /// The format has no event streams.
    pub fn new(format: Option<Format>) -> Result<Self, DecodeError> {
        let mut events = Events {
            format: None,
            decoder: None,
            seen: 0,
            until: None,
            is_over: false,
            is_broken: false,
            late: Vec::new(),
        };
        if let Some(format) = format {
            events.begin(format)?;
        }
        Ok(events)
    }

    fn begin(&mut self, format: Format) -> Result<&mut Box<dyn StreamDecoder>, DecodeError> {
        let api = format.api().ok_or_else(|| DecodeError::NotEvents {
            why: format!("the format {format} has no event streams"),
        })?;
        self.format = Some(format);
        Ok(self.decoder.insert(api.stream()))
    }

    /// The format, once it is known.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    fn end(&self) -> End {
        let decoder = self.decoder.as_ref().filter(|_| !self.is_over);
        match decoder {
            Some(decoder) => decoder.end(),
            None if self.is_over => End::Over,
            None => End::Open,
        }
    }

    /// Whether the message has ended: nothing that follows belongs to it.
    pub fn is_over(&self) -> bool {
        self.end() == End::Over
    }

    /// How long to wait for the next event after the last: without limit while more is to come, not
    /// at all once the message has ended, and a moment in between, for what may follow the stop
    /// reason.
    pub fn patience(&self) -> Option<Duration> {
        match self.end() {
            End::Open => None,
            End::Said { doubtful: false } => Some(LINGER),
            End::Said { doubtful: true } => Some(LINGER_IN_DOUBT),
            End::Over => Some(Duration::ZERO),
        }
    }

    /// The deadline for the next event, from [`patience`](Events::patience) and the time of the
    /// last.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Takes the data of the next event, and returns what it brings. Nothing once the message has
    /// ended, whatever the event is.
    ///
    /// # Errors
    ///
    /// It is not what the API sends, or it is an error of the API. The stream has then ended;
    /// [`finish`](Events::finish) returns what came before.
    pub fn event(&mut self, data: &str) -> Result<Vec<Delta>, DecodeError> {
        let deltas = self.take(data)?;
        if !deltas.is_empty() || self.until.is_none() {
            self.until = self.patience().map(|patience| Instant::now() + patience);
        }
        Ok(deltas)
    }

    fn take(&mut self, data: &str) -> Result<Vec<Delta>, DecodeError> {
        let mut deltas = Vec::new();
        if self.is_over {
            return Ok(deltas);
        }
        self.seen += 1;
        let number = self.seen;
        let within = |error| match error {
            error @ (DecodeError::Api { .. }
            | DecodeError::Ambiguous { .. }
            | DecodeError::Unread { .. }) => error,
            error => DecodeError::Event {
                number,
                error: Box::new(error),
            },
        };
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            None => match detect_event(data).map_err(within)? {
                Some(format) => self.begin(format)?,
                None => {
                    // An error, or a keep-alive.
                    return error_event(data).map_or(Ok(deltas), Err);
                }
            },
        };
        if data.trim_ascii() == "[DONE]" {
            decoder.close(Close::Done, &mut deltas);
            self.is_over = true;
            return Ok(deltas);
        }
        if is_word(data) {
            return Ok(deltas);
        }
        let before = decoder.end();
        if let Err(error) = decoder.event(data, &mut deltas) {
            if before.is_certain() {
                self.is_over = true;
                return Ok(deltas);
            }
            self.is_broken = true;
            self.late = deltas;
            return Err(within(error));
        }
        self.is_over = decoder.end() == End::Over;
        Ok(deltas)
    }

    /// Notes that nothing came [until](Events::until) the deadline.
    pub fn fell_silent(&mut self) {
        self.is_broken = true;
    }

    /// Notes that the bytes of the stream could not be read to their end.
    ///
    /// # Errors
    ///
    /// That error, unless the message had ended before.
    pub fn broke(&mut self, error: DecodeError) -> Result<(), DecodeError> {
        if self.end().is_certain() {
            return Ok(());
        }
        self.is_broken = true;
        Err(error)
    }

    /// Ends the stream. Returns what its end brings, and the whole answer. After an error this
    /// includes what the failed event had brought before it failed.
    ///
    /// # Errors
    ///
    /// It contained no event of any format.
    pub fn finish(&mut self) -> Result<(Vec<Delta>, Received), DecodeError> {
        let Some(mut decoder) = self.decoder.take() else {
            return Err(match self.seen {
                0 => DecodeError::NotEvents {
                    why: "it has no events".to_owned(),
                },
                _ => DecodeError::NotEvents {
                    why: "its events match no known format".to_owned(),
                },
            });
        };
        let mut deltas = std::mem::take(&mut self.late);
        if !self.is_broken && !self.is_over {
            decoder.close(Close::Bytes, &mut deltas);
        }
        let unread = decoder.unread();
        let mut received = decoder.finish(&mut deltas);
        received.reply.cut_malformed();
        let cut = &received.reply.cut;
        deltas.retain(|it| !matches!(it, Delta::Call { position, .. } if cut.contains(position)));
        if received.is_complete {
            if let Some(what) = unread {
                return Err(DecodeError::Unread { what });
            }
            let Received { reply, .. } = &mut received;
            for call in self.format.map_or(Ok(Vec::new()), |format| {
                unread_calls::unknown_in(reply, format)
            })? {
                let position = reply.calls.len();
                reply.calls.push(call.clone());
                deltas.push(Delta::Call { position, call });
            }
            unread_calls::check_reply(reply)?;
        }
        Ok((deltas, received))
    }
}

/// Whether data is neither an object nor an array, nor the beginning of one: some servers send a
/// word as keep-alive.
fn is_word(data: &str) -> bool {
    !data.trim_ascii_start().starts_with(['{', '['])
}

/// The data of each server-sent event
/// (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). Unlike there, an event that
/// is cut off by the stream's end is delivered, so that it can be reported.
pub(super) fn sse_data<S>(bytes: S) -> impl Stream<Item = Result<String, DecodeError>>
where
    S: Stream<Item = io::Result<Bytes>>,
{
    let mut total = 0;
    let bounded = bytes.map(move |chunk| {
        let chunk = chunk?;
        total += chunk.remaining();
        if total > MAX_STREAM {
            let why = format!("it is larger than {} MiB", MAX_STREAM >> 20);
            return Err(io::Error::other(why));
        }
        Ok(chunk)
    });
    let end = stream::iter([Ok(Bytes::from_static(b"\n\n"))]);
    let events = SseByteStream::new(Box::pin(bounded.chain(end)));
    events.filter_map(async |event| match event {
        Ok(event) => event.data.filter(|data| !data.is_empty()).map(Ok),
        Err(sse_stream::Error::Body(error)) => Some(Err(DecodeError::Broken {
            why: causes(&*error),
        })),
        Err(sse_stream::Error::Utf8Parse(error)) if error.error_len().is_none() => {
            let why = "it ended in the middle of a character".to_owned();
            Some(Err(DecodeError::Broken { why }))
        }
        Err(sse_stream::Error::Utf8Parse(error)) => Some(Err(DecodeError::Broken {
            why: format!("it contains a line that is not UTF-8 ({error})"),
        })),
        Err(error) => Some(Err(DecodeError::NotEvents {
            why: error.to_string(),
        })),
    })
}
