//! The event streams of a session, and which of them a message goes out on: what belongs to a request on the one that
//! answers it, and the rest on the one that the client opened for that (`GET`).
//!
//! # The stream of a request
//!
//! Most requests are answered at once, by a JSON body: they need no stream. One that waits, or because of which
//! something is said, gets a stream, on which its answer is the last event. A request is in one of these states
//! ([`RequestStream`]):
//!
//! | state | the request | its id | its stream |
//! | --- | --- | --- | --- |
//! | `Silent` | runs | in use | none |
//! | `Streaming` | runs | in use | open |
//! | `Answering` | is over | free | open: the answer waits until the client has caught up |
//! | (gone) | is over | free | at its end, or left among the undelivered answers |
//!
//! | from | event | to | by |
//! | --- | --- | --- | --- |
//! | (none) | the request is accepted | `Silent` | [`begin`](Streams::begin) |
//! | `Silent` | its answer is there when it is first polled: a JSON body | (gone) | [`finish`](Streams::finish) |
//! | `Silent` | it waits, or something is said because of it | `Streaming` | [`read`](Streams::read), [`route`](Streams::route) |
//! | `Silent`, `Streaming` | its answer is there | `Answering` | [`route_response`](Streams::route_response) |
//! | `Silent`, `Streaming` | the client cancels it: nobody gets an answer | (gone) | [`on_client_message`](Streams::on_client_message) |
//! | `Answering` | its answer is on the stream | (gone) | [`answered`](Streams::answered) |
//! | any | the session ends, what runs is cancelled | (gone) | [`end`](Streams::end) |
//!
//! A stream goes by a number and not by its request's id, which another request may have once this one is answered or
//! cancelled: what a cancelled request still says is about a number that is gone, and is dropped.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rmcp::ErrorData;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, Extensions, GetExtensions, JsonRpcMessage,
    ProtocolVersion, RequestId, ServerJsonRpcMessage, ServerNotification, ServerResult,
};
use rmcp::transport::streamable_http_server::SessionId;
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use tokio_util::sync::CancellationToken;

use crate::http_front::Unsent;
use crate::server::http::event_log::{EventLog, Reader, StreamName, UndeliveredAnswers};
use crate::server::http::sse::{self, EventId};
use crate::server::json_rpc::{in_use, weight};
use crate::server::stream_id::{Aside, StreamId};

/// Requests of one session that run: a client need not wait for their answers.
const MAX_REQUESTS: usize = 1_000;

pub(crate) struct Streams {
    session: SessionId,
    undelivered: Arc<UndeliveredAnswers>,
    unsent: Unsent,
    /// Those of requests, by their numbers.
    requests: HashMap<u64, RequestStream>,
    /// The numbers of the requests that run.
    ids: HashMap<RequestId, u64>,
    next: u64,
    /// What the client was asked, and has not answered.
    asked: HashMap<RequestId, StreamId>,
    /// For what belongs to no request.
    common: Arc<EventLog>,
    used: Instant,
    is_over: bool,
    /// Whether streams begin with an event that only names itself, for a client to come back by. Clients of
    /// before 2025-11-25 take it for a message, and fail to read it.
    is_primed: bool,
}

/// The stream of a request: see the [table of its states](self).
enum RequestStream {
    Silent(CancellationToken),
    Streaming(CancellationToken, Arc<EventLog>),
    Answering(Arc<EventLog>),
}

impl RequestStream {
    fn cancel(&self) {
        if let RequestStream::Silent(cancel) | RequestStream::Streaming(cancel, _) = self {
            cancel.cancel();
        }
    }

    fn events(&self) -> Option<&Arc<EventLog>> {
        match self {
            RequestStream::Silent(_) => None,
            RequestStream::Streaming(_, events) | RequestStream::Answering(events) => Some(events),
        }
    }

    /// It is given up.
    fn end(self) {
        self.cancel();
        if let Some(events) = self.events() {
            events.end();
        }
    }
}

/// A request that is accepted.
pub(crate) struct AcceptedRequest {
    pub(crate) stream: StreamId,
    /// Cancelled when the client does not want it any more.
    pub(crate) cancel: CancellationToken,
}

/// Why one is not.
#[derive(Debug)]
pub(crate) enum RefusedRequest {
    /// Its id is that of one that runs, or as many run as may: the answer that says so.
    Answer(Box<ServerJsonRpcMessage>),
    /// The session is over.
    Over,
}

/// Where a message goes.
pub(crate) struct Route {
    events: Arc<EventLog>,
    /// Of a request: the stream's.
    number: Option<u64>,
    is_answer: bool,
}

impl Streams {
    pub(crate) fn new(
        session: SessionId,
        undelivered: Arc<UndeliveredAnswers>,
        unsent: Unsent,
    ) -> Streams {
        Streams {
            session,
            undelivered,
            requests: HashMap::new(),
            ids: HashMap::new(),
            next: 0,
            asked: HashMap::new(),
            // Who opens it is told that it has event 0.
            common: EventLog::new(1, None, unsent.clone()),
            unsent,
            used: Instant::now(),
            is_over: false,
            is_primed: false,
        }
    }

    /// Accepts a request. Its answer may have to be JSON alone.
    ///
    /// # Errors
    ///
    /// It is not accepted.
    pub(crate) fn begin(
        &mut self,
        request: &RequestId,
        is_json_only: bool,
    ) -> Result<AcceptedRequest, RefusedRequest> {
        let refused = |answer| Err(RefusedRequest::Answer(Box::new(answer)));
        if self.is_over {
            return Err(RefusedRequest::Over);
        }
        if self.ids.len() >= MAX_REQUESTS {
            return refused(too_many(request.clone()));
        }
        let number = self.next;
        match self.ids.entry(request.clone()) {
            Entry::Occupied(_) => return refused(in_use(request.clone())),
            Entry::Vacant(free) => free.insert(number),
        };
        self.used = Instant::now();
        self.next += 1;
        let cancel = CancellationToken::new();
        let silent = RequestStream::Silent(cancel.clone());
        self.requests.insert(number, silent);
        let aside = match is_json_only {
            false => Aside::Own,
            true if self.common.is_read() => Aside::Common,
            true => Aside::Lost,
        };
        let stream = StreamId { number, aside };
        Ok(AcceptedRequest { stream, cancel })
    }

    /// A request is over; whether it was still wanted, and nothing was said because of it: its answer
    /// needs no stream then.
    pub(crate) fn finish(&mut self, request: &RequestId, stream: StreamId) -> bool {
        let Some(RequestStream::Silent(_)) = self.requests.get(&stream.number) else {
            return false;
        };
        self.used = Instant::now();
        self.requests.remove(&stream.number);
        self.free(request, stream.number);
        true
    }

    /// Reads the stream of a request; what was cancelled has an empty one.
    pub(crate) fn read(&mut self, stream: StreamId) -> Reader {
        let events = self.events(stream.number).unwrap_or_else(|| {
            let events = EventLog::new(0, None, self.unsent.clone());
            events.end();
            events
        });
        events.read(None)
    }

    /// The stream of a request, which begins if there is none yet.
    fn events(&mut self, number: u64) -> Option<Arc<EventLog>> {
        let request = self.requests.get_mut(&number)?;
        let RequestStream::Silent(cancel) = request else {
            return request.events().cloned();
        };
        let name = StreamName {
            session: self.session.clone(),
            number,
        };
        let undelivered = (Arc::downgrade(&self.undelivered), name);
        let events = EventLog::new(0, Some(undelivered), self.unsent.clone());
        if self.is_primed {
            let stream = Some(number);
            // There is room: it is the first.
            let _ = events.push(0, |event| sse::priming(EventId { event, stream }));
        }
        *request = RequestStream::Streaming(cancel.clone(), events.clone());
        Some(events)
    }

    /// The id of a request that is over is free for another, and what the client was asked because of it is void.
    fn free(&mut self, request: &RequestId, number: u64) {
        if self.ids.get(request) == Some(&number) {
            self.ids.remove(request);
        }
        if !self.asked.is_empty() {
            self.asked.retain(|_, stream| stream.number != number);
        }
    }

    /// Something came from the client that is no request. One that is cancelled will not be answered.
    pub(crate) fn on_client_message(&mut self, message: &ClientJsonRpcMessage) {
        self.used = Instant::now();
        match message {
            JsonRpcMessage::Response(response) => {
                self.asked.remove(&response.id);
            }
            JsonRpcMessage::Error(error) => {
                if let Some(id) = &error.id {
                    self.asked.remove(id);
                }
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) =
                    &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                    && let Some(number) = self.ids.get(id).copied()
                {
                    self.free(id, number);
                    if let Some(request) = self.requests.remove(&number) {
                        request.end();
                    }
                }
            }
            JsonRpcMessage::Request(_) => {}
        }
    }

    /// Where a message of the server goes; nowhere if it is about what was given up.
    pub(crate) fn route(&mut self, message: &ServerJsonRpcMessage) -> Option<Route> {
        self.used = Instant::now();
        if let JsonRpcMessage::Response(response) = message
            && let ServerResult::InitializeResult(begun) = &response.result
        {
            self.is_primed = begun.protocol_version >= ProtocolVersion::V_2025_11_25;
        }
        let stream = match message {
            JsonRpcMessage::Response(response) => return self.route_response(&response.id, None),
            JsonRpcMessage::Error(error) => {
                return match &error.id {
                    Some(id) => self.route_response(id, None),
                    None => Some(self.common_route()),
                };
            }
            JsonRpcMessage::Request(request) => {
                let stream = stream_of(request.request.extensions());
                if let Some(stream) = stream {
                    self.asked.insert(request.id.clone(), stream);
                }
                stream
            }
            JsonRpcMessage::Notification(notification) => match &notification.notification {
                ServerNotification::CancelledNotification(cancelled) => {
                    let asked = cancelled.params.request_id.as_ref();
                    asked.and_then(|asked| self.asked.remove(asked))
                }
                other => stream_of(other.extensions()),
            },
        };
        match stream {
            None => Some(self.common_route()),
            Some(StreamId { number, aside }) => match aside {
                Aside::Own => Some(Route {
                    events: self.events(number)?,
                    number: Some(number),
                    is_answer: false,
                }),
                // What was given up says nothing more.
                Aside::Common if self.requests.contains_key(&number) => Some(self.common_route()),
                Aside::Common | Aside::Lost => None,
            },
        }
    }

    fn common_route(&self) -> Route {
        Route {
            events: self.common.clone(),
            number: None,
            is_answer: false,
        }
    }

    /// Where the answer to a request goes; nowhere if that was given up. It is that of `stream`, where
    /// one is given, as its id may be another's by now.
    pub(crate) fn route_response(
        &mut self,
        request: &RequestId,
        stream: Option<StreamId>,
    ) -> Option<Route> {
        self.used = Instant::now();
        let number = match stream {
            Some(stream) => stream.number,
            None => *self.ids.get(request)?,
        };
        if let Some(RequestStream::Answering(_)) = self.requests.get(&number) {
            return None;
        }
        let events = self.events(number)?;
        let answering = RequestStream::Answering(events.clone());
        self.requests.insert(number, answering);
        self.free(request, number);
        Some(Route {
            events,
            number: Some(number),
            is_answer: true,
        })
    }

    /// The answer to a request has gone out on its stream.
    pub(crate) fn answered(&mut self, number: u64) {
        if let Some(RequestStream::Answering(events)) = self.requests.remove(&number) {
            events.answered();
        }
    }

    /// What a stream for what belongs to no request begins with.
    pub(crate) fn priming(&self) -> Option<Event> {
        let first = EventId {
            event: 0,
            stream: None,
        };
        self.is_primed.then(|| sse::priming(first))
    }

    pub(crate) fn common(&mut self) -> Arc<EventLog> {
        self.used = Instant::now();
        self.common.clone()
    }

    /// Reads on after an event, where its stream is still known.
    pub(crate) fn resume(&mut self, event: &str) -> Option<(Arc<EventLog>, usize)> {
        self.used = Instant::now();
        let EventId { event, stream } = event.parse().ok()?;
        let events = match stream {
            None => self.common.clone(),
            Some(number) => match self.events(number) {
                Some(events) => events,
                None => self.undelivered.take(&StreamName {
                    session: self.session.clone(),
                    number,
                })?,
            },
        };
        Some((events, event))
    }

    /// Cancels the requests because of which the client was asked something on a stream that nobody has read for so
    /// long: the answer is for nobody.
    pub(crate) fn give_up(&mut self, after: Duration) {
        let is_unread = |stream: &StreamId| {
            let events = match stream.aside {
                Aside::Own => self.requests.get(&stream.number).and_then(|it| it.events()),
                Aside::Common | Aside::Lost => Some(&self.common),
            };
            events.is_some_and(|events| events.unread_for() >= after)
        };
        let unread = self.asked.values().filter(|stream| is_unread(stream));
        let unread: HashSet<u64> = unread.map(|stream| stream.number).collect();
        for request in unread.iter().filter_map(|number| self.requests.get(number)) {
            request.cancel();
        }
    }

    /// How long nothing was said and nothing runs.
    pub(crate) fn idle(&self) -> Duration {
        match self.ids.is_empty() {
            true => self.used.elapsed(),
            false => Duration::ZERO,
        }
    }

    /// All are at their end, and what runs is cancelled.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
        self.common.end();
        for (_, request) in self.requests.drain() {
            request.end();
        }
        self.ids.clear();
        self.asked.clear();
        self.undelivered.forget(Some(&self.session));
    }
}

impl Route {
    /// The stream that is answered when this has gone out.
    pub(crate) fn answers(&self) -> Option<u64> {
        self.number.filter(|_| self.is_answer)
    }

    /// Sends a message, once the client has caught up.
    pub(crate) async fn send(self, message: ServerJsonRpcMessage) {
        let stream = self.number;
        let bytes = weight(&message);
        let mut make = move |event| Event::new(EventId { event, stream }.to_string(), message);
        while let Err(again) = self.events.push(bytes, make) {
            make = again;
            self.events.room().await;
        }
    }
}

/// What something is said because of.
fn stream_of(extensions: &Extensions) -> Option<StreamId> {
    extensions.get().copied()
}

fn too_many(id: RequestId) -> ServerJsonRpcMessage {
    let text = format!("too many requests in this session: at most {MAX_REQUESTS} can run at once");
    JsonRpcMessage::error(ErrorData::internal_error(text, None), Some(id))
}
