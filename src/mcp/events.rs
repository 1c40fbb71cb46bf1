//! One event stream of a session: what a client is still to be sent, and what it may have to be sent
//! again, when it comes back after its connection broke (`Last-Event-ID`).

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::Stream;
use rmcp::model::{ContentBlock, JsonRpcMessage, ServerJsonRpcMessage, ServerResult};
use rmcp::transport::streamable_http_server::SessionId;
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use serde_json::json;
use tokio::sync::Notify;

use crate::serve::Unsent;

/// Events that wait for a client that reads slowly, or are kept for one that is away; and their bytes, but for a longer
/// one that is alone.
const KEPT: usize = 16;
const KEPT_BYTES: usize = 1 << 20;

/// Answers that could not be sent are kept for so long, and so many of them.
pub(super) const LEFT_FOR: Duration = Duration::from_secs(60);
const MAX_LEFT: usize = 64;
const MAX_LEFT_BYTES: usize = 64 << 20;

/// What is sent on one stream, whichever connection it goes out on.
pub(super) struct Events {
    log: Mutex<Log>,
    /// A place for another event, or nobody reads any more.
    room: Notify,
    left: Option<(Weak<Left>, Name)>,
    unsent: Unsent,
}

/// A stream among those of all sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) session: SessionId,
    pub(super) number: u64,
}

/// Answers that could not be sent, of all sessions; oldest first. A client that comes back has them.
#[derive(Default)]
pub(super) struct Left(Mutex<VecDeque<(Instant, Name, Arc<Events>)>>);

impl Left {
    fn all(&self) -> MutexGuard<'_, VecDeque<(Instant, Name, Arc<Events>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, name: Name, events: Arc<Events>) {
        let mut all = self.all();
        all.push_back((Instant::now(), name, events));
        let bytes = |events: &Events| events.log().bytes;
        let mut held: usize = all.iter().map(|(_, _, events)| bytes(events)).sum();
        while all.len() > MAX_LEFT || held > MAX_LEFT_BYTES {
            // The session that leaves the most gives up its oldest.
            let mut sessions: HashMap<&SessionId, (usize, usize)> = HashMap::new();
            for (_, name, events) in all.iter() {
                let session = sessions.entry(&name.session).or_default();
                session.0 += bytes(events);
                session.1 += 1;
            }
            let most = sessions.into_iter().max_by_key(|(_, held)| *held);
            let oldest = most.and_then(|(most, _)| {
                let mut names = all.iter().map(|(_, name, _)| name);
                names.position(|name| name.session == *most)
            });
            let Some((_, _, events)) = oldest.and_then(|at| all.remove(at)) else {
                break;
            };
            held -= bytes(&events);
        }
    }

    pub(super) fn take(&self, name: &Name) -> Option<Arc<Events>> {
        let mut all = self.all();
        let at = all.iter().position(|(_, left, _)| left == name)?;
        all.remove(at).map(|(_, _, events)| events)
    }

    /// Drops what is old, and what is of a session that is over.
    pub(super) fn forget(&self, session: Option<&SessionId>) {
        self.all().retain(|(since, name, _)| {
            since.elapsed() < LEFT_FOR && session.is_none_or(|over| name.session != *over)
        });
    }
}

struct Log {
    /// Oldest first, with their sizes; those before `next` have been sent.
    events: VecDeque<(Event, usize)>,
    /// Of all that are there.
    bytes: usize,
    /// The number of the oldest.
    first: usize,
    /// The number of the one that is sent next.
    next: usize,
    /// No more come.
    has_ended: bool,
    /// The last is an answer: a client that comes back wants it.
    is_answered: bool,
    /// How often somebody began to read: the last of them reads, the others are at their end.
    readers: u64,
    is_read: bool,
    /// Since when it is not read.
    unread: Instant,
    waker: Option<Waker>,
}

impl Events {
    /// The first event will have the number `first`. An answer that its reader leaves unread goes to `left`.
    pub(super) fn new(
        first: usize,
        left: Option<(Weak<Left>, Name)>,
        unsent: Unsent,
    ) -> Arc<Events> {
        Arc::new(Events {
            left,
            unsent,
            log: Mutex::new(Log {
                events: VecDeque::new(),
                bytes: 0,
                first,
                next: first,
                has_ended: false,
                is_answered: false,
                readers: 0,
                is_read: false,
                unread: Instant::now(),
                waker: None,
            }),
            room: Notify::new(),
        })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event of so many bytes, made for its number, unless the one who reads has to catch up first. Without a
    /// reader the oldest make room. What comes after the end is left out.
    ///
    /// # Errors
    ///
    /// `make`, when there is no room.
    pub(super) fn push<F: FnOnce(usize) -> Event>(&self, bytes: usize, make: F) -> Result<(), F> {
        let mut log = self.log();
        if log.has_ended {
            return Ok(());
        }
        if log.is_full() {
            return Err(make);
        }
        let number = log.first + log.events.len();
        self.changed(&mut log, |log| {
            log.bytes += bytes;
            log.events.push_back((make(number), bytes));
            log.trim();
        });
        log.wake();
        Ok(())
    }

    /// Has what is held for all clients follow what is held here.
    fn changed(&self, log: &mut Log, change: impl FnOnce(&mut Log)) {
        let before = log.bytes;
        change(log);
        self.unsent.change(before, log.bytes);
    }

    /// Comes when [`push`](Events::push) is worth another try.
    pub(super) async fn room(&self) {
        let room = self.room.notified();
        let is_full = {
            let log = self.log();
            !log.has_ended && log.is_full()
        };
        if is_full {
            room.await;
        }
    }

    /// No more events come.
    pub(super) fn end(&self) {
        self.log().end();
        self.room.notify_waiters();
    }

    /// The last event was an answer. Where nobody is there to read it, it is left for later.
    pub(super) fn answered(self: &Arc<Self>) {
        let mut log = self.log();
        log.is_answered = true;
        log.end();
        let is_read = log.is_read;
        drop(log);
        self.room.notify_waiters();
        if !is_read {
            self.leave();
        }
    }

    fn leave(self: &Arc<Self>) {
        if let Some((left, name)) = &self.left
            && let Some(left) = left.upgrade()
        {
            left.add(name.clone(), self.clone());
        }
    }

    pub(super) fn is_read(&self) -> bool {
        self.log().is_read
    }

    /// How long nobody has read.
    pub(super) fn unread_for(&self) -> Duration {
        let log = self.log();
        match log.is_read {
            true => Duration::ZERO,
            false => log.unread.elapsed(),
        }
    }

    /// Comes when nobody reads.
    pub(super) async fn unread(&self) {
        loop {
            let changed = self.room.notified();
            if !self.is_read() {
                return;
            }
            changed.await;
        }
    }

    /// Reads on, from what follows the event of a number where one is given, instead of whoever reads
    /// now. Those that are not kept any more are left out.
    pub(super) fn read(self: &Arc<Self>, after: Option<usize>) -> Reader {
        let mut log = self.log();
        if let Some(after) = after {
            let end = log.first + log.events.len();
            log.next = after.saturating_add(1).clamp(log.first, end);
        }
        log.readers += 1;
        log.is_read = true;
        // Whoever read before learns that it is at its end.
        log.wake();
        self.room.notify_waiters();
        Reader {
            events: self.clone(),
            number: log.readers,
        }
    }
}

/// An event, as <https://html.spec.whatwg.org/multipage/server-sent-events.html> has it. JSON as it is
/// written has no line ends.
pub(super) fn event_text(event: &Event) -> String {
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

/// A message as JSON.
pub(super) fn message_text(message: &ServerJsonRpcMessage) -> String {
    // Its maps have strings for keys: nothing else can fail.
    serde_json::to_string(message).unwrap_or_else(|error| {
        let message = format!("the message cannot be written: {error}");
        json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32603, "message": message } })
            .to_string()
    })
}

/// What a message takes in memory, roughly.
pub(super) fn weight(message: &ServerJsonRpcMessage) -> usize {
    /// Beside its content.
    const ANY: usize = 512;
    if let JsonRpcMessage::Response(response) = message
        && let ServerResult::CallToolResult(result) = &response.result
        && result.structured_content.is_none()
        && result.meta.is_none()
    {
        let content = result.content.iter().map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.len()),
            ContentBlock::Image(image) => Some(image.data.len()),
            ContentBlock::Audio(audio) => Some(audio.data.len()),
            _ => None,
        });
        if let Some(bytes) = content.sum::<Option<usize>>() {
            return ANY + bytes;
        }
    }
    let mut counted = Counted(ANY);
    // It fails where the message cannot be written; an error goes in its place.
    let _ = serde_json::to_writer(&mut counted, message);
    counted.0
}

struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let bytes = self.log().bytes;
        self.unsent.change(bytes, 0);
    }
}

impl Log {
    fn waiting(&self) -> usize {
        self.first + self.events.len() - self.next
    }

    /// Whether whoever reads has to catch up before there are more.
    fn is_full(&self) -> bool {
        let waiting = self.waiting();
        self.is_read && (waiting >= KEPT || waiting > 0 && self.bytes >= KEPT_BYTES)
    }

    fn trim(&mut self) {
        while (self.events.len() > KEPT || self.bytes > KEPT_BYTES)
            && (self.first < self.next || !self.is_read && self.events.len() > 1)
            && let Some((_, bytes)) = self.events.pop_front()
        {
            self.bytes -= bytes;
            self.first += 1;
            self.next = self.next.max(self.first);
        }
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Who reads a stream, until it is dropped or somebody else does.
pub(super) struct Reader {
    events: Arc<Events>,
    number: u64,
}

impl Stream for Reader {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut log = self.events.log();
        if log.readers != self.number {
            return Poll::Ready(None);
        }
        let at = log.next - log.first;
        match log.events.get(at).map(|(event, _)| event.clone()) {
            Some(event) => {
                log.next += 1;
                self.events.changed(&mut log, Log::trim);
                drop(log);
                self.events.room.notify_waiters();
                Poll::Ready(Some(event))
            }
            None if log.has_ended => Poll::Ready(None),
            None => {
                log.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut log = self.events.log();
        if log.readers != self.number {
            return;
        }
        log.is_read = false;
        log.unread = Instant::now();
        log.waker = None;
        let is_left = log.is_answered && log.waiting() > 0;
        drop(log);
        self.events.room.notify_waiters();
        if is_left {
            self.events.leave();
        }
    }
}
