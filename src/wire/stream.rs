//! A response that comes as an event stream: what each event brings, as soon as it does.

use std::io;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, stream};
use serde_json::value::RawValue;
use sse_stream::SseByteStream;

use super::detect::detect_event;
use super::error::DecodeError;
use super::{Format, Reply, StreamDecoder};
use crate::error::causes;
use crate::json_text::Scanner;
use crate::tool::{CallOrigin, ToolCall};

/// No response is longer; who sends more means harm.
pub(super) const MAX_STREAM: usize = 64 << 20;

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
pub struct Received {
    /// What the model answered. It holds every call that began.
    pub reply: Reply,
    /// Whether the API said that this is all.
    pub is_complete: bool,
}

/// Reads the events of one response, whose format shows itself unless it is told.
///
/// Calls come out as soon as their arguments are complete, before the response has ended.
pub struct Events {
    format: Option<Format>,
    decoder: Option<Box<dyn StreamDecoder>>,
    seen: usize,
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
            late: Vec::new(),
        };
        if let Some(format) = format {
            events.begin(format)?;
        }
        Ok(events)
    }

    fn begin(&mut self, format: Format) -> Result<&mut Box<dyn StreamDecoder>, DecodeError> {
        let api = format.api().ok_or_else(|| DecodeError::NotEvents {
            why: format!("the format {format} has none"),
        })?;
        self.format = Some(format);
        Ok(self.decoder.insert(api.stream()))
    }

    /// The format, once it is known.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Takes the data of the next event, and returns what it brings.
    ///
    /// # Errors
    ///
    /// It is not what the API sends, or it is the API's own error. The stream has then ended;
    /// [`finish`](Events::finish) has what came before.
    pub fn event(&mut self, data: &str) -> Result<Vec<Delta>, DecodeError> {
        self.seen += 1;
        let number = self.seen;
        let within = |error| match error {
            error @ (DecodeError::Api { .. } | DecodeError::Ambiguous { .. }) => error,
            error => DecodeError::Event {
                number,
                error: Box::new(error),
            },
        };
        let mut deltas = Vec::new();
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
        if let Err(error) = decoder.event(data, &mut deltas) {
            self.late = deltas;
            return Err(within(error));
        }
        Ok(deltas)
    }

    /// Ends the stream, and returns what its end brings, and all of it. After an error, too: then its
    /// end brings what the event that was in error had brought before that.
    ///
    /// # Errors
    ///
    /// There was no event of any format in it.
    pub fn finish(&mut self) -> Result<(Vec<Delta>, Received), DecodeError> {
        let Some(decoder) = self.decoder.take() else {
            return Err(match self.seen {
                0 => DecodeError::NotEvents {
                    why: "it has no events".to_owned(),
                },
                _ => DecodeError::NotEvents {
                    why: "its events are of no format that is known".to_owned(),
                },
            });
        };
        let mut deltas = std::mem::take(&mut self.late);
        let received = decoder.finish(&mut deltas);
        Ok((deltas, received))
    }
}

/// An error that an API sends as an event, in whichever of their shapes.
pub(super) fn error_event(data: &str) -> Option<DecodeError> {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        r#type: Option<String>,
    }
    let raw: &RawValue = serde_json::from_str(data).ok()?;
    let event: Event = super::object(raw).ok()?;
    match event.error {
        Some(error) => Some(super::api_error(error)),
        // OpenAI Responses has the error's own members beside the event's type.
        None => (event.r#type.as_deref() == Some("error")).then(|| super::api_error(raw)),
    }
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
            let why = format!("it has over {} MiB", MAX_STREAM >> 20);
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
            let why = "it ended within a character".to_owned();
            Some(Err(DecodeError::Broken { why }))
        }
        Err(error) => Some(Err(DecodeError::NotEvents {
            why: error.to_string(),
        })),
    })
}

/// A call whose arguments come in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) arguments: String,
    /// Whether it has been handed on.
    pub(super) is_complete: bool,
    /// How it came.
    pub(super) origin: Option<Box<CallOrigin>>,
    scanner: Scanner,
}

impl Open {
    pub(super) fn new(id: Option<String>, name: String) -> Self {
        Open {
            id,
            name,
            ..Open::default()
        }
    }

    /// Takes more of the arguments.
    pub(super) fn push(&mut self, piece: &str) {
        self.arguments.push_str(piece);
    }

    /// Takes more of the arguments, up to where they are an object or array that is whole; true from
    /// then on. What follows would come too late to make any difference.
    pub(super) fn push_until_whole(&mut self, piece: &str) -> bool {
        let end = self.scanner.push(piece);
        self.arguments
            .push_str(&piece[..end.unwrap_or(piece.len())]);
        end.is_some()
    }

    pub(super) fn call(&self) -> ToolCall {
        ToolCall {
            id: self.id.clone(),
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            resumed: None,
            origin: self.origin.clone(),
        }
    }

    /// Hands it on, once.
    pub(super) fn complete(&mut self, position: usize, deltas: &mut Vec<Delta>) {
        if !std::mem::replace(&mut self.is_complete, true) {
            deltas.push(Delta::Call {
                position,
                call: self.call(),
            });
        }
    }
}

/// The positions of calls whose arguments are no object or array that is whole.
pub(super) fn unclosed(calls: &[ToolCall]) -> Vec<usize> {
    let calls = calls.iter().enumerate();
    calls
        .filter(|(_, call)| Scanner::default().push(&call.arguments).is_none())
        .map(|(position, _)| position)
        .collect()
}

/// The calls, and the positions of those that were not handed on.
pub(super) fn taken(calls: &[Open]) -> (Vec<ToolCall>, Vec<usize>) {
    let cut = calls.iter().enumerate();
    let cut = cut.filter(|(_, call)| !call.is_complete);
    (
        calls.iter().map(Open::call).collect(),
        cut.map(|(position, _)| position).collect(),
    )
}
