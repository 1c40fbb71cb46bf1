//! A response that comes as an event stream: what each event brings, as soon as it does.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, stream};
use sse_stream::SseByteStream;

use super::detect::detect_event;
use super::error::{DecodeError, error_event};
pub(super) use super::open::unclosed;
use super::{Format, Reply, StreamDecoder, leftover};
use crate::error::causes;
use crate::tool::ToolCall;

/// No response is longer; who sends more means harm.
pub(super) const MAX_STREAM: usize = 64 << 20;

/// How long is waited for more of an answer that has said why it ended: the tokens it took, or nothing.
const LINGER: Duration = Duration::from_secs(1);

/// How long, if there is reason to doubt that it has ended: proxies say so after every piece.
const LINGER_IN_DOUBT: Duration = Duration::from_secs(5);

/// What an event brings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Delta {
    /// More of what the model says.
    Text(String),
    /// A call whose arguments are complete.
    Call {
        /// Its place among the calls of the response, from 0.
        position: usize,
        /// The call, by its name on the wire.
        call: ToolCall,
    },
}

/// All of a stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received {
    /// What the model answered. It holds every call that began.
    pub reply: Reply,
    /// Whether the API said that this is all.
    pub is_complete: bool,
}

impl Received {
    /// An answer that did not come as a stream.
    pub fn whole(reply: Reply) -> Self {
        Received {
            reply,
            is_complete: true,
        }
    }
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// There is more of it to come.
    Open,
    /// Why it ended has been said. What may still come is expected soon, or not at all.
    Said {
        /// Whether something in it looks as if it went on.
        doubtful: bool,
    },
    /// That it is over has been said: nothing that comes belongs to it.
    Over,
}

impl End {
    /// Whether nothing that is missing belongs to the message.
    fn is_certain(self) -> bool {
        !matches!(self, End::Open | End::Said { doubtful: true })
    }
}

/// What says that no more events come, where they do not say it themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Close {
    /// `[DONE]`.
    Done,
    /// The end of the bytes, and not a connection that broke.
    Bytes,
}

/// Reads the events of one response, whose format shows itself unless it is told.
///
/// Calls come out as soon as their arguments are complete, before the response has ended. Whoever
/// reads waits for the next event [until](Events::until) it is too late for one, and says with
/// [`fell_silent`](Events::fell_silent) that none came, and with [`broke`](Events::broke) that the bytes
/// cannot be read.
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
    /// Until when to wait for the next.
    until: Option<Instant>,
    is_over: bool,
    /// Whether the events ended for another reason than that there are no more.
    is_broken: bool,
    /// What an event brought before it proved to be none.
    late: Vec<Delta>,
}

impl Events {
    /// Reads a stream of that format, or of the one that its events show.
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

    /// Whether the message is over: nothing that comes belongs to it.
    pub fn is_over(&self) -> bool {
        self.end() == End::Over
    }

    /// How long to wait for the next event, from the last that brought something: as long as it takes
    /// while there is more to come, not at all once the message is over, and between the two a moment,
    /// for what may follow the reason for its end.
    pub fn patience(&self) -> Option<Duration> {
        match self.end() {
            End::Open => None,
            End::Said { doubtful: false } => Some(LINGER),
            End::Said { doubtful: true } => Some(LINGER_IN_DOUBT),
            End::Over => Some(Duration::ZERO),
        }
    }

    /// When it is too late for another event, by [`patience`](Events::patience) and when the last came.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Takes the data of the next event, and returns what it brings. Once the message is over, that is
    /// nothing, whatever the event is.
    ///
    /// # Errors
    ///
    /// It is not what the API sends, or it is the API's own error. The stream has then ended;
    /// [`finish`](Events::finish) has what came before.
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
                    // An error, or something to keep the connection alive.
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

    /// Takes that nothing came [until](Events::until) it was too late.
    pub fn fell_silent(&mut self) {
        self.is_broken = true;
    }

    /// Takes that the bytes of the stream could not be read to their end.
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

    /// Ends the stream, and returns what its end brings, and all of it. After an error, too: then its
    /// end brings what the event that was in error had brought before that.
    ///
    /// # Errors
    ///
    /// There was no event of any format in it.
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
            for call in self
                .format
                .map_or(Ok(Vec::new()), |format| leftover::unknown_in(reply, format))?
            {
                let position = reply.calls.len();
                reply.calls.push(call.clone());
                deltas.push(Delta::Call { position, call });
            }
            leftover::check_reply(reply)?;
        }
        Ok((deltas, received))
    }
}

/// Whether data is neither an object nor an array, nor the beginning of one: some servers send a word
/// to keep the connection alive.
fn is_word(data: &str) -> bool {
    !data.trim_ascii_start().starts_with(['{', '['])
}

/// The data of each event of a byte stream, as the HTML standard has it
/// (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). Unlike there, an event that
/// the stream's end cuts off is handed on, so that it can be told of.
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
