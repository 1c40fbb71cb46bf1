//! Server-sent events (SSE): framing, event ids and the priming event of resumable streams,
//! coalescing of the first events, and keep-alive.
//!
//! rmcp writes the streams of requests without a session itself, one `data` line per message: they
//! are parsed back into events here where one has to be handled, and pass through the same
//! coalescing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};
use http::{HeaderValue, header};
use rmcp::model::ServerJsonRpcMessage;
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use tokio::time::{Instant, timeout, timeout_at};

use crate::server::json_rpc::message_text;

/// The content type of an event stream.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// When a client should reconnect after its connection broke.
const RECONNECT_DELAY: Duration = Duration::from_secs(3);

/// How long the first event may be held back for the answer.
const COALESCE_WINDOW: Duration = Duration::from_millis(5);

/// The number of events coalesced: the priming event and the answer.
const FIRST_EVENTS: usize = 2;

/// A comment is sent on a stream that was silent for this long.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A comment, which clients ignore.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// An event of a stream, as in `Last-Event-ID`: `3/17`, or `3` on the standalone stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) event: usize,
    pub(crate) stream: Option<u64>,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stream {
            None => write!(f, "{}", self.event),
            Some(stream) => write!(f, "{}/{stream}", self.event),
        }
    }
}

impl FromStr for EventId {
    type Err = std::num::ParseIntError;

    fn from_str(id: &str) -> Result<EventId, Self::Err> {
        let (event, stream) = match id.split_once('/') {
            None => (id, None),
            Some((event, stream)) => (event, Some(stream.parse()?)),
        };
        let event = event.parse()?;
        Ok(EventId { event, stream })
    }
}

/// The priming event: it has an id and no data, so that the client can resume from it.
pub(crate) fn priming(id: EventId) -> Event {
    Event::priming(id.to_string(), RECONNECT_DELAY)
}

/// The text of an event, by <https://html.spec.whatwg.org/multipage/server-sent-events.html>. JSON
/// as written here has no line ends.
fn event_text(event: &Event) -> String {
    let message = event.message.as_deref().map(message_text);
    let mut text = format!("data: {}\n", message.unwrap_or_default());
    if let Some(id) = &event.event_id {
        text.extend(["id: ", id, "\n"]);
    }
    if let Some(retry) = event.retry {
        text.extend(["retry: ", &retry.as_millis().to_string(), "\n"]);
    }
    text.push('\n');
    text
}

/// A message as an event without an id, from which no client resumes.
pub(crate) fn event_of(message: ServerJsonRpcMessage) -> Bytes {
    event_text(&Event::from_message(message)).into()
}

/// JSON text as such an event.
pub(crate) fn event_of_text(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}

/// The response with these events.
pub(crate) fn response(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let events = events.map(|event| Ok::<_, std::convert::Infallible>(event_text(&event)));
    let mut response = Response::new(Body::from_stream(events));
    for (name, value) in [
        (header::CONTENT_TYPE, EVENT_STREAM),
        (header::CACHE_CONTROL, "no-cache"),
        // Keeps nginx from buffering events.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// Splits a written stream into its events, each unchanged.
pub(crate) fn events(body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send {
    let start = (body.into_data_stream(), Vec::new());
    stream::unfold(start, async |(mut body, mut read)| {
        let mut from = 0;
        loop {
            let mut pairs = read[from..].windows(2);
            if let Some(end) = pairs.position(|it| it == b"\n\n") {
                let rest = read.split_off(from + end + 2);
                return Some((Ok(Bytes::from(read)), (body, rest)));
            }
            // The part searched so far contains no end, except that its last byte may begin one.
            from = read.len().saturating_sub(1);
            match body.next().await? {
                Ok(data) => read.extend_from_slice(&data),
                Err(error) => return Some((Err(error), (body, read))),
            }
        }
    })
}

/// The data of one event.
pub(crate) fn data(event: &[u8]) -> Vec<u8> {
    let lines = event.split(|byte| *byte == b'\n');
    let data = lines.filter_map(|line| line.strip_prefix(b"data:"));
    let data: Vec<&[u8]> = data.map(<[u8]>::trim_ascii).collect();
    data.join(&b'\n')
}

/// Coalesces the first events of a stream into one write. The response's head and the priming event
/// only say that the stream has begun, and most streams have their answer a moment later: they are
/// held back for that moment and sent with it. A stream that goes on is kept alive.
pub(crate) async fn coalesce_first_events(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let until = Instant::now() + COALESCE_WINDOW;
    let mut first: Vec<u8> = Vec::new();
    let mut rest = body.into_data_stream();
    for number in 0..=FIRST_EVENTS {
        let next = match number < FIRST_EVENTS {
            true => timeout_at(until, rest.next()).await.ok(),
            // If the answer has come, the end is there as well.
            false => rest.next().now_or_never(),
        };
        match next {
            Some(Some(Ok(data))) => first.extend_from_slice(&data),
            Some(Some(Err(error))) => {
                let failed = stream::iter([Ok(Bytes::from(first)), Err(error)]);
                return Response::from_parts(head, Body::from_stream(failed));
            }
            Some(None) => return Response::from_parts(head, Body::from(first)),
            None => break,
        }
    }
    let first = stream::iter([Ok(Bytes::from(first))]);
    let rest = stream::unfold(rest, async |mut rest| {
        let next = timeout(KEEP_ALIVE, rest.next()).await;
        Some((next.unwrap_or(Some(Ok(COMMENT)))?, rest))
    });
    Response::from_parts(head, Body::from_stream(first.chain(rest)))
}
