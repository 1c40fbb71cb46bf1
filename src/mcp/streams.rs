//! The event streams of a session, and which of them a message goes out on: what belongs to a request
//! on the one that answers it, and the rest on the one that the client opened for that (`GET`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, GetExtensions, GetMeta,
    JsonRpcMessage, JsonRpcRequest, ProgressToken, RequestId, ServerJsonRpcMessage,
    ServerNotification,
};
use rmcp::service::OriginatingRequestId;
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use tokio_util::sync::CancellationToken;

use super::events::{Events, Reader};

/// When a client should come back after its connection broke.
const RETRY: Duration = Duration::from_secs(3);

/// An answer that its client was not there for is kept for so long.
const LEFT_FOR: Duration = Duration::from_secs(60);

/// So many of them.
const MAX_LEFT: usize = 16;

pub(super) struct Streams {
    /// Those of requests that run.
    open: HashMap<u64, Arc<Events>>,
    next: u64,
    requests: HashMap<RequestId, Request>,
    progress: HashMap<ProgressToken, u64>,
    /// What the client was asked, and has not answered.
    asked: HashMap<RequestId, u64>,
    /// Answered, and not read; oldest first.
    left: VecDeque<(Instant, u64, Arc<Events>)>,
    /// For what belongs to no request.
    common: Arc<Events>,
    used: Instant,
}

/// One that runs.
struct Request {
    /// Its stream's.
    number: u64,
    token: Option<ProgressToken>,
    cancel: CancellationToken,
}

/// Where a message goes, and what is over with it.
pub(super) struct Way {
    events: Arc<Events>,
    /// Of a request: the stream's.
    number: Option<u64>,
    is_last: bool,
}

/// Which event of which stream; `None` is the common one.
type EventId = (usize, Option<u64>);

impl Streams {
    pub(super) fn new() -> Streams {
        Streams {
            open: HashMap::new(),
            next: 0,
            requests: HashMap::new(),
            progress: HashMap::new(),
            asked: HashMap::new(),
            left: VecDeque::new(),
            // Who opens it is told that it has event 0.
            common: Events::new(1),
            used: Instant::now(),
        }
    }

    /// The stream that will answer a request, and what is cancelled when the client cancels it; unless
    /// one of the same id runs.
    pub(super) fn open(
        &mut self,
        request: &JsonRpcRequest<ClientRequest>,
    ) -> Option<(Reader, CancellationToken)> {
        self.used = Instant::now();
        if self.requests.contains_key(&request.id) {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let events = Events::new(0);
        // There is room: it is the first.
        let _ = events.push(|event| Event::priming(name(event, Some(number)), RETRY));
        let token = request.request.get_meta().get_progress_token();
        if let Some(token) = &token {
            self.progress.insert(token.clone(), number);
        }
        let cancel = CancellationToken::new();
        let running = Request {
            number,
            token,
            cancel: cancel.clone(),
        };
        self.requests.insert(request.id.clone(), running);
        let reader = events.read(None);
        self.open.insert(number, events);
        Some((reader, cancel))
    }

    /// A request that is over, and its stream.
    fn close(&mut self, request: &RequestId) -> Option<(Request, Arc<Events>)> {
        let request = self.requests.remove(request)?;
        let number = request.number;
        if let Some(token) = &request.token
            && self.progress.get(token) == Some(&number)
        {
            self.progress.remove(token);
        }
        if !self.asked.is_empty() {
            self.asked.retain(|_, stream| *stream != number);
        }
        Some((request, self.open.remove(&number)?))
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
                    && let Some((request, events)) = self.close(request)
                {
                    request.cancel.cancel();
                    events.end();
                }
            }
            JsonRpcMessage::Request(_) => {}
        }
    }

    /// Where a message of the server goes; nowhere if it answers what was given up.
    pub(super) fn way(&mut self, message: &ServerJsonRpcMessage) -> Option<Way> {
        let answered = match message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        if let Some(id) = answered {
            let (request, events) = self.close(id)?;
            self.used = Instant::now();
            return Some(Way {
                events,
                number: Some(request.number),
                is_last: true,
            });
        }
        let number = match message {
            JsonRpcMessage::Request(request) => {
                let number = self.origin(request.request.extensions());
                if let Some(number) = number {
                    self.asked.insert(request.id.clone(), number);
                }
                number
            }
            JsonRpcMessage::Notification(notification) => match &notification.notification {
                ServerNotification::ProgressNotification(progress) => {
                    self.progress.get(&progress.params.progress_token).copied()
                }
                ServerNotification::CancelledNotification(cancelled) => {
                    let asked = cancelled.params.request_id.as_ref();
                    asked.and_then(|asked| self.asked.remove(asked))
                }
                other => self.origin(other.extensions()),
            },
            _ => None,
        };
        let of_request = number.and_then(|number| self.open.get(&number));
        Some(Way {
            number: of_request.and(number),
            events: of_request.unwrap_or(&self.common).clone(),
            is_last: false,
        })
    }

    /// The stream of the request that something is said because of.
    fn origin(&self, extensions: &rmcp::model::Extensions) -> Option<u64> {
        let OriginatingRequestId(request) = extensions.get()?;
        Some(self.requests.get(request)?.number)
    }

    /// Keeps what its client was not there for.
    pub(super) fn leave(&mut self, way: Way) {
        let Some(number) = way.number else { return };
        self.forget();
        if self.left.len() == MAX_LEFT {
            self.left.pop_front();
        }
        self.left.push_back((Instant::now(), number, way.events));
    }

    /// Drops what was kept for long enough.
    pub(super) fn forget(&mut self) {
        while let Some((since, ..)) = self.left.front()
            && since.elapsed() > LEFT_FOR
        {
            self.left.pop_front();
        }
    }

    /// The common stream, if nobody reads it.
    pub(super) fn common(&mut self) -> Option<Reader> {
        self.used = Instant::now();
        (!self.common.is_read()).then(|| self.common.read(None))
    }

    /// Reads on after an event, where its stream is still known.
    pub(super) fn resume(&mut self, event: &str) -> Option<Reader> {
        self.used = Instant::now();
        let (after, number) = parse(event)?;
        let events = match number {
            None => &self.common,
            Some(number) => self.open.get(&number).or_else(|| {
                let mut left = self.left.iter();
                left.find_map(|(_, left, events)| (*left == number).then_some(events))
            })?,
        };
        Some(events.read(Some(after)))
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
        self.common.end();
        for (_, events) in self.open.drain() {
            events.end();
        }
        for (_, request) in self.requests.drain() {
            request.cancel.cancel();
        }
        self.progress.clear();
        self.asked.clear();
        self.left.clear();
    }
}

impl Way {
    /// Sends a message, once the client has caught up. Whether it was the last of its stream, and
    /// nobody was there for it.
    pub(super) async fn send(&self, message: ServerJsonRpcMessage) -> bool {
        let number = self.number;
        let mut make = move |event| Event::new(name(event, number), message);
        while let Err(again) = self.events.push(make) {
            make = again;
            self.events.room().await;
        }
        self.is_last && !self.events.end()
    }
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
