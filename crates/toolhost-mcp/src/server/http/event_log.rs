//! The event log of one stream of a session: events still to be sent, and events that may have to
//! be sent again when the client reconnects (`Last-Event-ID`).
//!
//! # A queue with one reader
//!
//! A log is a queue that keeps its last events for a while after they were sent. A writer never
//! waits inside the lock: [`EventLog::push`] returns the event if there is no room, and
//! [`EventLog::room`] completes once a retry is worth it. The reader is a response's body
//! ([`EventReader`]). A log outlives its readers: when a connection breaks, the client reconnects and
//! continues after the last event that it received. Readers are numbered and only the latest one
//! reads; earlier ones are at their end, so that an old connection that is still open takes no
//! events from the new one.
//!
//! | phase ([`Phase`]) | with a reader | without one |
//! | --- | --- | --- |
//! | `Open` | a writer waits while 16 events, or 1 MiB of them, are unsent | the oldest beyond that are dropped |
//! | `Answered` | the rest is sent, then the reader is at its end | stored in [`UndeliveredAnswers`], unless all was sent |
//! | `Ended` | the rest is sent, then the reader is at its end | nothing is kept |
//!
//! | from | event | to | by |
//! | --- | --- | --- | --- |
//! | `Open` | the response was pushed | `Answered` | [`EventLog::answered`] |
//! | `Open` | the request was cancelled, or its session has ended | `Ended` | [`EventLog::end`] |
//! | no reader, or another one | a response body begins | with a reader | [`EventLog::read`] |
//! | with a reader | its body is dropped, and no other has begun | no reader | [`EventReader`]'s `drop` |

mod undelivered_answers;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::Stream;
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use tokio::sync::Notify;

use crate::http_front::UnreadBytes;
use toolhost_core::locks::lock;
pub(crate) use undelivered_answers::{StreamName, UNDELIVERED_TTL, UndeliveredAnswers};

/// The most events, and bytes of them, that are queued for a slow client or kept for one that is
/// away. A single larger event is let in alone.
const MAX_EVENTS: usize = 16;
const MAX_EVENT_BYTES: usize = 1 << 20;

/// The events of one stream, independent of the connection they are sent on.
pub(crate) struct EventLog {
    log: Mutex<LogState>,
    /// Signals that there may be room, or that the reader is gone.
    room: Notify,
    left: Option<(Weak<UndeliveredAnswers>, StreamName)>,
    unsent: UnreadBytes,
}

struct LogState {
    /// Oldest first, with their sizes; those before `next` have been sent.
    events: VecDeque<(Event, usize)>,
    /// The size of all events.
    bytes: usize,
    /// The number of the oldest event.
    first: usize,
    /// The number of the event to send next.
    next: usize,
    phase: Phase,
    /// The number of the latest reader.
    reader: u64,
    /// Since when there is no reader; `None` while there is one.
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
    /// The first event will have number `first`. An answer that is not delivered goes to `left`.
    pub(crate) fn new(
        first: usize,
        left: Option<(Weak<UndeliveredAnswers>, StreamName)>,
        unsent: UnreadBytes,
    ) -> Arc<EventLog> {
        Arc::new(EventLog {
            left,
            unsent,
            log: Mutex::new(LogState {
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

    /// Adds an event of `bytes` bytes, made for its number, unless the reader has to catch up
    /// first. Without a reader the oldest events make room. Events after the end are dropped.
    ///
    /// # Errors
    ///
    /// `make`, if there is no room.
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

    /// Applies a change, and updates the count of bytes held for all clients.
    fn changed(&self, log: &mut LogState, change: impl FnOnce(&mut LogState)) {
        let before = log.bytes;
        change(log);
        self.unsent.change(before, log.bytes);
    }

    /// Completes when [`push`](EventLog::push) is worth a retry.
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

    /// Ends the stream: no more events are accepted.
    pub(crate) fn end(&self) {
        lock(&self.log).end(Phase::Ended);
        self.room.notify_waiters();
    }

    /// The last event was the response. If there is no reader, the log is stored as undelivered.
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

    /// How long there has been no reader.
    pub(crate) fn unread_for(&self) -> Duration {
        let unread = lock(&self.log).unread;
        unread.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Completes when there is no reader.
    pub(crate) async fn unread(&self) {
        loop {
            let changed = self.room.notified();
            if !self.is_read() {
                return;
            }
            changed.await;
        }
    }

    /// Becomes the reader, in place of the present one. Continues after the event numbered `after`,
    /// if given; events that are no longer kept are skipped.
    pub(crate) fn read(self: &Arc<Self>, after: Option<usize>) -> EventReader {
        let mut log = lock(&self.log);
        if let Some(after) = after {
            let end = log.first + log.events.len();
            log.next = after.saturating_add(1).clamp(log.first, end);
        }
        log.reader += 1;
        log.unread = None;
        // The previous reader learns that it is at its end.
        log.wake();
        self.room.notify_waiters();
        EventReader {
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

impl LogState {
    fn is_read(&self) -> bool {
        self.unread.is_none()
    }

    fn waiting(&self) -> usize {
        self.first + self.events.len() - self.next
    }

    /// Whether the reader has to catch up before more events are accepted.
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

    /// A log that has ended stays as it is.
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

/// The reader of a stream, until it is dropped or replaced.
pub(crate) struct EventReader {
    events: Arc<EventLog>,
    number: u64,
}

impl Stream for EventReader {
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
                self.events.changed(&mut log, LogState::trim);
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

impl Drop for EventReader {
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
