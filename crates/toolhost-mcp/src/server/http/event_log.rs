//! One event stream of a session: what a client is still to be sent, and what it may have to be sent
//! again, when it comes back after its connection broke (`Last-Event-ID`).
//!
//! # A queue with one reader
//!
//! A log is a queue whose last events stay for a while after they were sent. Who writes never waits inside the lock:
//! [`EventLog::push`] gives the event back where there is no room, and [`EventLog::room`] comes once another try is
//! worth it. Who reads is a response's body ([`Reader`]). A log outlives its readers: a connection breaks, the client
//! comes back and reads on after the last event that it had. Each reader has a number, and the last one reads: those
//! before it are at their end, so that an old connection that is still open takes nothing from the new one.
//!
//! | phase ([`Phase`]) | is read | is not read |
//! | --- | --- | --- |
//! | `Open` | a writer waits while 16 events, or 1 MiB of them, are not sent yet | the oldest beyond that are dropped |
//! | `Answered` | what is left is sent, then the reader is at its end | kept among the [`UndeliveredAnswers`], unless all was sent |
//! | `Ended` | the same | nothing is kept |
//!
//! | from | event | to | by |
//! | --- | --- | --- | --- |
//! | `Open` | the answer was added | `Answered` | [`EventLog::answered`] |
//! | `Open` | the request was cancelled, or its session is over | `Ended` | [`EventLog::end`] |
//! | is not read, or is read by another | a response begins | is read | [`EventLog::read`] |
//! | is read | the response is dropped, and no other has begun | is not read | [`Reader`]'s `drop` |

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::Stream;
use rmcp::transport::streamable_http_server::SessionId;
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use tokio::sync::Notify;

use crate::http_front::Unsent;
use crate::server::lock;

/// Events that wait for a client that reads slowly, or are kept for one that is away; and their bytes, but for a longer
/// one that is alone.
const MAX_EVENTS: usize = 16;
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Answers that could not be sent are kept for so long, and so many of them.
pub(crate) const UNDELIVERED_TTL: Duration = Duration::from_secs(60);
const MAX_UNDELIVERED: usize = 64;
const MAX_UNDELIVERED_BYTES: usize = 64 << 20;

/// What is sent on one stream, whichever connection it goes out on.
pub(crate) struct EventLog {
    log: Mutex<Log>,
    /// A place for another event, or nobody reads any more.
    room: Notify,
    left: Option<(Weak<UndeliveredAnswers>, StreamName)>,
    unsent: Unsent,
}

/// A stream among those of all sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamName {
    pub(crate) session: SessionId,
    pub(crate) number: u64,
}

/// Answers that could not be sent, of all sessions; oldest first. A client that comes back has them.
#[derive(Default)]
pub(crate) struct UndeliveredAnswers(Mutex<VecDeque<(Instant, StreamName, Arc<EventLog>)>>);

impl UndeliveredAnswers {
    fn add(&self, name: StreamName, events: Arc<EventLog>) {
        let mut all = lock(&self.0);
        all.push_back((Instant::now(), name, events));
        let bytes = |events: &EventLog| lock(&events.log).bytes;
        let mut held: usize = all.iter().map(|(_, _, events)| bytes(events)).sum();
        while all.len() > MAX_UNDELIVERED || held > MAX_UNDELIVERED_BYTES {
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

    pub(crate) fn take(&self, name: &StreamName) -> Option<Arc<EventLog>> {
        let mut all = lock(&self.0);
        let at = all.iter().position(|(_, left, _)| left == name)?;
        all.remove(at).map(|(_, _, events)| events)
    }

    /// Drops what is old, and what is of a session that is over.
    pub(crate) fn forget(&self, session: Option<&SessionId>) {
        lock(&self.0).retain(|(since, name, _)| {
            since.elapsed() < UNDELIVERED_TTL && session.is_none_or(|over| name.session != *over)
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
    phase: Phase,
    /// The number of the last reader.
    reader: u64,
    /// Since when nobody reads; nothing while somebody does.
    unread: Option<Instant>,
    waker: Option<Waker>,
}

/// See the [tables of the module](self).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Answered,
    Ended,
}

impl EventLog {
    /// The first event will have the number `first`. An answer that its reader leaves unread goes to `left`.
    pub(crate) fn new(
        first: usize,
        left: Option<(Weak<UndeliveredAnswers>, StreamName)>,
        unsent: Unsent,
    ) -> Arc<EventLog> {
        Arc::new(EventLog {
            left,
            unsent,
            log: Mutex::new(Log {
                events: VecDeque::new(),
                bytes: 0,
                first,
                next: first,
                phase: Phase::Open,
                reader: 0,
                unread: Some(Instant::now()),
                waker: None,
            }),
            room: Notify::new(),
        })
    }

    /// Adds an event of so many bytes, made for its number, unless the one who reads has to catch up first. Without a
    /// reader the oldest make room. What comes after the end is left out.
    ///
    /// # Errors
    ///
    /// `make`, when there is no room.
    pub(crate) fn push<F: FnOnce(usize) -> Event>(&self, bytes: usize, make: F) -> Result<(), F> {
        let mut log = lock(&self.log);
        if log.phase != Phase::Open {
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

    /// Comes when [`push`](EventLog::push) is worth another try.
    pub(crate) async fn room(&self) {
        let room = self.room.notified();
        let is_full = {
            let log = lock(&self.log);
            log.phase == Phase::Open && log.is_full()
        };
        if is_full {
            room.await;
        }
    }

    /// No more events come.
    pub(crate) fn end(&self) {
        lock(&self.log).end(Phase::Ended);
        self.room.notify_waiters();
    }

    /// The last event was an answer. Where nobody is there to read it, it is left for later.
    pub(crate) fn answered(self: &Arc<Self>) {
        let mut log = lock(&self.log);
        log.end(Phase::Answered);
        let is_read = log.is_read();
        drop(log);
        self.room.notify_waiters();
        if !is_read {
            self.store_undelivered();
        }
    }

    fn store_undelivered(self: &Arc<Self>) {
        if let Some((left, name)) = &self.left
            && let Some(left) = left.upgrade()
        {
            left.add(name.clone(), self.clone());
        }
    }

    pub(crate) fn is_read(&self) -> bool {
        lock(&self.log).is_read()
    }

    /// How long nobody has read.
    pub(crate) fn unread_for(&self) -> Duration {
        let unread = lock(&self.log).unread;
        unread.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Comes when nobody reads.
    pub(crate) async fn unread(&self) {
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
    pub(crate) fn read(self: &Arc<Self>, after: Option<usize>) -> Reader {
        let mut log = lock(&self.log);
        if let Some(after) = after {
            let end = log.first + log.events.len();
            log.next = after.saturating_add(1).clamp(log.first, end);
        }
        log.reader += 1;
        log.unread = None;
        // Whoever read before learns that it is at its end.
        log.wake();
        self.room.notify_waiters();
        Reader {
            events: self.clone(),
            number: log.reader,
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        let bytes = lock(&self.log).bytes;
        self.unsent.change(bytes, 0);
    }
}

impl Log {
    fn is_read(&self) -> bool {
        self.unread.is_none()
    }

    fn waiting(&self) -> usize {
        self.first + self.events.len() - self.next
    }

    /// Whether whoever reads has to catch up before there are more.
    fn is_full(&self) -> bool {
        let waiting = self.waiting();
        self.is_read() && (waiting >= MAX_EVENTS || waiting > 0 && self.bytes >= MAX_EVENT_BYTES)
    }

    fn trim(&mut self) {
        while (self.events.len() > MAX_EVENTS || self.bytes > MAX_EVENT_BYTES)
            && (self.first < self.next || !self.is_read() && self.events.len() > 1)
            && let Some((_, bytes)) = self.events.pop_front()
        {
            self.bytes -= bytes;
            self.first += 1;
            self.next = self.next.max(self.first);
        }
    }

    /// What has come to its end stays as it is.
    fn end(&mut self, phase: Phase) {
        if self.phase == Phase::Open {
            self.phase = phase;
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Who reads a stream, until it is dropped or somebody else does.
pub(crate) struct Reader {
    events: Arc<EventLog>,
    number: u64,
}

impl Stream for Reader {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut log = lock(&self.events.log);
        if log.reader != self.number {
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
            None if log.phase != Phase::Open => Poll::Ready(None),
            None => {
                log.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut log = lock(&self.events.log);
        if log.reader != self.number {
            return;
        }
        log.unread = Some(Instant::now());
        log.waker = None;
        let is_left = log.phase == Phase::Answered && log.waiting() > 0;
        drop(log);
        self.events.room.notify_waiters();
        if is_left {
            self.events.store_undelivered();
        }
    }
}
