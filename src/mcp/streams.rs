//! The event streams of a session, and which of them a message goes out on: what belongs to a request
//! on the one that answers it, and the rest on the one that the client opened for that (`GET`).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, Extensions, GetExtensions, JsonRpcMessage,
    ProtocolVersion, RequestId, ServerJsonRpcMessage, ServerNotification, ServerResult,
};
use rmcp::transport::streamable_http_server::SessionId;
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use tokio_util::sync::CancellationToken;

use super::events::{Events, Left, Name, Reader, weight};
use crate::serve::Unsent;

/// When a client should come back after its connection broke.
const RETRY: Duration = Duration::from_secs(3);

/// Requests of one session that run: a client need not wait for their answers.
pub(super) const MAX_REQUESTS: usize = 1_000;

pub(super) struct Streams {
    session: SessionId,
    left: Arc<Left>,
    unsent: Unsent,
    /// Those of requests that run, or whose answer is on its way; none where nobody reads or says
    /// anything yet.
    open: HashMap<u64, Option<Arc<Events>>>,
    next: u64,
    requests: HashMap<RequestId, Request>,
    /// What the client was asked, and has not answered.
    asked: HashMap<RequestId, Origin>,
    /// For what belongs to no request.
    common: Arc<Events>,
    used: Instant,
    has_ended: bool,
    /// Whether streams begin with an event that only names itself, for a client to come back by. Clients of
    /// before 2025-11-25 take it for a message, and fail to read it.
    is_primed: bool,
}

/// The stream of the request that something is said because of, in the extensions of both. A request's id
/// may be another's once it is cancelled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    number: u64,
    aside: Aside,
}

/// Where what is said because of a request goes before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aside {
    /// With the answer.
    Own,
    /// On the stream that belongs to no request: the answer is to be JSON alone.
    Common,
    /// Nowhere: the client has no such stream open either.
    Lost,
}

/// In the extensions of an HTTP request whose client takes no events for an answer.
#[derive(Clone, Copy)]
pub(super) struct JsonOnly;

impl Origin {
    /// Whether the client can be asked something because of the request.
    pub(super) fn can_ask(self) -> bool {
        self.aside != Aside::Lost
    }
}

/// A request that is taken.
pub(super) struct Taken {
    pub(super) origin: Origin,
    /// Cancelled when the client does not want it any more.
    pub(super) cancel: CancellationToken,
}

/// Why one is not.
#[derive(Debug)]
pub(super) enum Refused {
    /// Its id is that of one that runs.
    InUse,
    /// As many run as may.
    TooMany,
    /// The session is over.
    Over,
}

/// One that runs.
struct Request {
    /// Its stream's.
    number: u64,
    cancel: CancellationToken,
}

/// Where a message goes.
pub(super) struct Way {
    events: Arc<Events>,
    /// Of a request: the stream's.
    number: Option<u64>,
    is_answer: bool,
}

/// Which event of which stream; `None` is the common one.
type EventId = (usize, Option<u64>);

impl Streams {
    pub(super) fn new(session: SessionId, left: Arc<Left>, unsent: Unsent) -> Streams {
        Streams {
            session,
            left,
            open: HashMap::new(),
            next: 0,
            requests: HashMap::new(),
            asked: HashMap::new(),
            // Who opens it is told that it has event 0.
            common: Events::new(1, None, unsent.clone()),
            unsent,
            used: Instant::now(),
            has_ended: false,
            is_primed: false,
        }
    }

    /// Takes a request. Its answer may have to be JSON alone.
    ///
    /// # Errors
    ///
    /// It is not taken.
    pub(super) fn begin(
        &mut self,
        request: &RequestId,
        is_json_only: bool,
    ) -> Result<Taken, Refused> {
        if self.has_ended {
            return Err(Refused::Over);
        }
        if self.requests.len() >= MAX_REQUESTS {
            return Err(Refused::TooMany);
        }
        let number = self.next;
        let cancel = CancellationToken::new();
        match self.requests.entry(request.clone()) {
            Entry::Occupied(_) => return Err(Refused::InUse),
            Entry::Vacant(free) => free.insert(Request {
                number,
                cancel: cancel.clone(),
            }),
        };
        self.used = Instant::now();
        self.next += 1;
        self.open.insert(number, None);
        let aside = match is_json_only {
            false => Aside::Own,
            true if self.common.is_read() => Aside::Common,
            true => Aside::Lost,
        };
        let origin = Origin { number, aside };
        Ok(Taken { origin, cancel })
    }

    /// Reads the stream of a request; what was cancelled has an empty one.
    pub(super) fn read(&mut self, origin: Origin) -> Reader {
        let events = self.events(origin.number);
        let events = events.unwrap_or_else(|| {
            let events = Events::new(0, None, self.unsent.clone());
            events.end();
            events
        });
        events.read(None)
    }

    /// The stream of a request that runs, or whose answer is on its way.
    fn events(&mut self, number: u64) -> Option<Arc<Events>> {
        let (session, left, is_primed) = (&self.session, &self.left, self.is_primed);
        let unsent = &self.unsent;
        let events = self.open.get_mut(&number)?.get_or_insert_with(|| {
            let session = session.clone();
            let name = Name { session, number };
            let events = Events::new(0, Some((Arc::downgrade(left), name)), unsent.clone());
            if is_primed {
                // There is room: it is the first.
                let _ = events.push(0, |event| {
                    Event::priming(self::name(event, Some(number)), RETRY)
                });
            }
            events
        });
        Some(events.clone())
    }

    fn name(&self, number: u64) -> Name {
        Name {
            session: self.session.clone(),
            number,
        }
    }

    /// A request is over; whether it was still wanted, and nothing was said because of it: its answer
    /// needs no stream then.
    pub(super) fn finish(&mut self, request: &RequestId, origin: Origin) -> bool {
        let number = origin.number;
        if !matches!(self.open.get(&number), Some(None)) {
            return false;
        }
        self.used = Instant::now();
        self.open.remove(&number);
        self.close(request, Some(origin)).is_some()
    }

    /// A request that is over: that of `origin`, where one is given, as its id may be another's by now.
    fn close(&mut self, request: &RequestId, origin: Option<Origin>) -> Option<Request> {
        let running = self.requests.get(request)?;
        if origin.is_some_and(|origin| origin.number != running.number) {
            return None;
        }
        let request = self.requests.remove(request)?;
        if !self.asked.is_empty() {
            self.asked
                .retain(|_, origin| origin.number != request.number);
        }
        Some(request)
    }

    /// Something came from the client that is no request. One that is cancelled will not be answered.
    pub(super) fn took(&mut self, message: &ClientJsonRpcMessage) {
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
                    && let Some(request) = &cancelled.params.request_id
                    && let Some(request) = self.close(request, None)
                {
                    request.cancel.cancel();
                    if let Some(Some(events)) = self.open.remove(&request.number) {
                        events.end();
                    }
                }
            }
            JsonRpcMessage::Request(_) => {}
        }
    }

    /// Where a message of the server goes; nowhere if it is about what was given up.
    pub(super) fn way(&mut self, message: &ServerJsonRpcMessage) -> Option<Way> {
        self.used = Instant::now();
        if let JsonRpcMessage::Response(response) = message
            && let ServerResult::InitializeResult(begun) = &response.result
        {
            self.is_primed = begun.protocol_version >= ProtocolVersion::V_2025_11_25;
        }
        let answered = match message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        if let Some(id) = answered {
            return self.way_of_answer(id, None);
        }
        let origin = match message {
            JsonRpcMessage::Request(request) => {
                let origin = origin(request.request.extensions());
                if let Some(origin) = origin {
                    self.asked.insert(request.id.clone(), origin);
                }
                origin
            }
            JsonRpcMessage::Notification(notification) => match &notification.notification {
                ServerNotification::CancelledNotification(cancelled) => {
                    let asked = cancelled.params.request_id.as_ref();
                    asked.and_then(|asked| self.asked.remove(asked))
                }
                other => origin(other.extensions()),
            },
            _ => None,
        };
        let number = match origin {
            None => None,
            Some(Origin { number, aside }) => match aside {
                Aside::Own => Some(number),
                // What was given up says nothing more.
                Aside::Common if self.open.contains_key(&number) => None,
                Aside::Common | Aside::Lost => return None,
            },
        };
        Some(Way {
            events: match number {
                Some(number) => self.events(number)?,
                None => self.common.clone(),
            },
            number,
            is_answer: false,
        })
    }

    /// Where the answer to a request goes; nowhere if that was given up. It is that of `origin`, where
    /// one is given, as its id may be another's by now.
    pub(super) fn way_of_answer(
        &mut self,
        request: &RequestId,
        origin: Option<Origin>,
    ) -> Option<Way> {
        self.used = Instant::now();
        let number = self.close(request, origin)?.number;
        Some(Way {
            events: self.events(number)?,
            number: Some(number),
            is_answer: true,
        })
    }

    /// The answer to a request has gone out on its stream.
    pub(super) fn answered(&mut self, number: u64) {
        if let Some(Some(events)) = self.open.remove(&number) {
            events.answered();
        }
    }

    /// What a stream for what belongs to no request begins with.
    pub(super) fn priming(&self) -> Option<Event> {
        self.is_primed.then(|| Event::priming("0", RETRY))
    }

    pub(super) fn common(&mut self) -> Arc<Events> {
        self.used = Instant::now();
        self.common.clone()
    }

    /// Reads on after an event, where its stream is still known.
    pub(super) fn resume(&mut self, event: &str) -> Option<(Arc<Events>, usize)> {
        self.used = Instant::now();
        let (after, number) = parse(event)?;
        let events = match number {
            None => self.common.clone(),
            Some(number) => match self.events(number) {
                Some(events) => events,
                None => self.left.take(&self.name(number))?,
            },
        };
        Some((events, after))
    }

    /// Cancels the requests because of which the client was asked something on a stream that nobody has read for so
    /// long: the answer is for nobody.
    pub(super) fn give_up(&mut self, after: Duration) {
        let is_read = |origin: &Origin| {
            let events = match origin.aside {
                Aside::Own => self.open.get(&origin.number)?.as_ref()?,
                Aside::Common | Aside::Lost => &self.common,
            };
            Some(events.unread_for() < after)
        };
        let left = self.asked.values().filter(|it| is_read(it) == Some(false));
        let left: HashSet<u64> = left.map(|origin| origin.number).collect();
        for request in self.requests.values() {
            if left.contains(&request.number) {
                request.cancel.cancel();
            }
        }
    }

    /// How long nothing was said and nothing runs.
    pub(super) fn idle(&self) -> Duration {
        match self.requests.is_empty() {
            true => self.used.elapsed(),
            false => Duration::ZERO,
        }
    }

    /// All are at their end, and what runs is cancelled.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.common.end();
        for events in self.open.drain().filter_map(|(_, events)| events) {
            events.end();
        }
        for (_, request) in self.requests.drain() {
            request.cancel.cancel();
        }
        self.asked.clear();
        self.left.forget(Some(&self.session));
    }
}

impl Way {
    /// The stream that is answered when this has gone out.
    pub(super) fn answers(&self) -> Option<u64> {
        self.number.filter(|_| self.is_answer)
    }

    /// Sends a message, once the client has caught up.
    pub(super) async fn send(self, message: ServerJsonRpcMessage) {
        let number = self.number;
        let bytes = weight(&message);
        let mut make = move |event| Event::new(name(event, number), message);
        while let Err(again) = self.events.push(bytes, make) {
            make = again;
            self.events.room().await;
        }
    }
}

/// What something is said because of.
fn origin(extensions: &Extensions) -> Option<Origin> {
    extensions.get().copied()
}

fn name(event: usize, stream: Option<u64>) -> String {
    match stream {
        None => event.to_string(),
        Some(stream) => format!("{event}/{stream}"),
    }
}

fn parse(id: &str) -> Option<EventId> {
    match id.split_once('/') {
        None => Some((id.parse().ok()?, None)),
        Some((event, stream)) => Some((event.parse().ok()?, Some(stream.parse().ok()?))),
    }
}
