//! Activity of a connection, for idle timeouts and eviction.
//!
//! | state | when | is closed |
//! | --- | --- | --- |
//! | serving | a request runs that does not wait for the client | never |
//! | reading a head | no request yet, or part of another head has arrived | after the header timeout, or to make room |
//! | stalled | a request waits for the client | after the idle timeout; if all requests have waited for [`STALL_TIMEOUT`], to make room |
//! | idle | it has no request | after the idle timeout, or to make room |
//!
//! Where too many response bytes are held for all connections, a stalled one is closed at once.
//!
//! A request waits for its client when the socket accepts no write, when HTTP/2's flow control
//! holds back a piece of its response, or when the rest of its body does not arrive. A client that
//! reads more slowly than [`MIN_BYTES_PER_SECOND`] counts as not reading. Frames that belong to no request, such
//! as pings, are not activity.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::Version;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ConnectionLimit;
use crate::http_front::unread_bytes::UnreadBytes;
use toolhost_core::locks;

/// A client that reads this many bytes per second is not too slow.
const MIN_BYTES_PER_SECOND: u64 = 1 << 10;

/// How long all requests of a connection must have waited for the client before it can be evicted.
pub(in crate::http_front) const STALL_TIMEOUT: Duration = Duration::from_secs(1);

/// The activity of one connection.
pub(in crate::http_front) struct Activity {
    now: Mutex<Now>,
    slots: Weak<ConnectionLimit>,
    unsent: UnreadBytes,
    /// Cancelled to evict it.
    pub(in crate::http_front) evicted: CancellationToken,
}

struct Now {
    /// Requests whose response is not complete.
    running: usize,
    /// Whether it ever had one.
    served: bool,
    /// Whether a part of a request's head has arrived.
    in_head: bool,
    /// Whether it has concurrent requests (HTTP/2), and bytes that belong to none.
    multiplexed: bool,
    /// Since when it has been in its present state.
    since: Instant,
    /// Set while a write waits for the socket.
    blocked: Option<Stall>,
    /// Requests that wait for the client, by number.
    waiting: Vec<(u64, Stall)>,
    /// The number of the next request.
    next: u64,
}

/// Something that waits for the client.
#[derive(Clone, Copy)]
struct Stall {
    since: Instant,
    /// When the client last read or sent some of it.
    moved: Instant,
    /// How many bytes it has read since.
    taken: u64,
    /// Whether it is the rest of a request's body, which has a timeout of its own.
    is_body: bool,
}

impl Stall {
    fn new(is_body: bool) -> Stall {
        let now = Instant::now();
        Stall {
            since: now,
            moved: now,
            taken: 0,
            is_body,
        }
    }

    fn record_read(&mut self, bytes: usize) {
        self.moved = Instant::now();
        self.taken += bytes as u64;
    }

    /// When it will have taken too long: no progress at all, or only a byte now and then.
    fn deadline(&self, idle: Duration) -> Option<Instant> {
        let earned = Duration::from_secs(self.taken / MIN_BYTES_PER_SECOND);
        let steady = self.since + idle + earned;
        (!self.is_body).then(|| steady.min(self.moved + idle))
    }
}

impl Activity {
    pub(in crate::http_front) fn new(
        slots: Weak<ConnectionLimit>,
        unsent: UnreadBytes,
    ) -> Activity {
        Activity {
            now: Mutex::new(Now {
                running: 0,
                served: false,
                in_head: false,
                multiplexed: false,
                since: Instant::now(),
                blocked: None,
                waiting: Vec::new(),
                next: 0,
            }),
            slots,
            unsent,
            evicted: CancellationToken::new(),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        locks::lock(&self.now)
    }

    /// Since when it has no request, or only ones that wait for the client.
    pub(in crate::http_front) fn idle_since(&self) -> Option<Instant> {
        let now = self.now();
        if now.running == 0 {
            return Some(now.since);
        }
        now.stalled()
            .filter(|since| since.elapsed() >= STALL_TIMEOUT)
    }

    /// Since when all its requests wait for the client, however short that is.
    pub(in crate::http_front) fn stalled_since(&self) -> Option<Instant> {
        self.now().stalled()
    }

    /// A request has arrived; it ends when the returned value is dropped.
    pub(in crate::http_front) fn begin(self: &Arc<Self>, version: Version) -> ActiveRequest {
        let mut now = self.now();
        now.running += 1;
        now.served = true;
        now.in_head = false;
        now.multiplexed = version == Version::HTTP_2;
        now.next += 1;
        ActiveRequest {
            number: now.next,
            is_multiplexed: now.multiplexed,
            activity: Arc::clone(self),
        }
    }

    fn read(&self) {
        let mut now = self.now();
        if now.running == 0 && now.served && !now.in_head && !now.multiplexed {
            now.in_head = true;
            now.since = Instant::now();
        }
    }

    /// The socket has accepted bytes.
    fn wrote(&self, bytes: usize) {
        let mut now = self.now();
        if let Some(blocked) = &mut now.blocked {
            blocked.record_read(bytes);
        }
        // The rest of a response; in HTTP/2 it may be the answer to a ping.
        if now.running == 0 && now.served && !now.in_head && !now.multiplexed {
            now.since = Instant::now();
        }
    }

    /// The socket accepts nothing, or has accepted everything.
    fn set_blocked(&self, is_blocked: bool) {
        let mut now = self.now();
        match is_blocked {
            true => drop(now.blocked.get_or_insert_with(|| Stall::new(false))),
            false => now.blocked = None,
        }
    }

    /// Waits until it has been idle, reading one head, or waiting for its client for too long.
    ///
    /// It polls instead of being notified of every request, so an expiry may be noticed one
    /// interval late.
    pub(in crate::http_front) async fn expired(&self, head: Duration, idle: Duration) {
        let pause = head.min(idle).max(Duration::from_millis(1));
        loop {
            let deadline = self.now().deadline(head, idle);
            let now = Instant::now();
            let look = now + pause;
            match deadline {
                Some(deadline) if deadline <= now => return,
                Some(deadline) => sleep_until(deadline.min(look)).await,
                None => sleep_until(look).await,
            }
        }
    }
}

impl Now {
    fn deadline(&self, head: Duration, idle: Duration) -> Option<Instant> {
        let patience = match self.in_head || !self.served {
            true => head,
            false => idle,
        };
        let done = (self.running == 0).then(|| self.since + patience);
        let waiting = self.waiting.iter().map(|(_, stall)| stall);
        let stalls = waiting.chain(&self.blocked);
        let stalls = stalls.filter_map(|stall| stall.deadline(idle));
        done.into_iter().chain(stalls).min()
    }

    fn stalled(&self) -> Option<Instant> {
        if let Some(blocked) = &self.blocked {
            return Some(blocked.moved);
        }
        let all = self.running > 0 && self.waiting.len() == self.running;
        let moved = self.waiting.iter().map(|(_, stall)| stall.moved);
        all.then(|| moved.max())?
    }

    fn of(&mut self, number: u64) -> Option<&mut Stall> {
        let mut waiting = self.waiting.iter_mut();
        Some(&mut waiting.find(|(of, _)| *of == number)?.1)
    }

    fn goes_on(&mut self, number: u64) {
        let at = self.waiting.iter().position(|(of, _)| *of == number);
        if let Some(at) = at {
            self.waiting.swap_remove(at);
        }
    }
}

/// A request of a connection, until its response is complete.
pub(in crate::http_front) struct ActiveRequest {
    number: u64,
    is_multiplexed: bool,
    activity: Arc<Activity>,
}

impl ActiveRequest {
    pub(in crate::http_front) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    pub(in crate::http_front) fn number(&self) -> u64 {
        self.number
    }

    /// A piece of the response is passed on to the client. In HTTP/1 the socket shows when it is
    /// read.
    pub(in crate::http_front) fn handed(&self) {
        if self.is_multiplexed {
            let mut now = self.activity.now();
            if now.of(self.number).is_none() {
                now.waiting.push((self.number, Stall::new(false)));
            }
        }
    }

    /// The client has read so many bytes, and made room for the next piece.
    pub(in crate::http_front) fn taken(&self, bytes: usize) {
        if self.is_multiplexed
            && bytes > 0
            && let Some(stall) = self.activity.now().of(self.number)
        {
            stall.record_read(bytes);
        }
    }

    /// All pieces so far have been read.
    pub(in crate::http_front) fn caught_up(&self) {
        if self.is_multiplexed {
            self.activity.now().goes_on(self.number);
        }
    }

    /// The unread bytes of all connections have changed.
    pub(in crate::http_front) fn holds(&self, before: usize, after: usize) {
        if before == after {
            return;
        }
        let unsent = &self.activity.unsent;
        unsent.change(before, after);
        if after > before
            && unsent.is_over()
            && let Some(slots) = self.activity.slots.upgrade()
        {
            slots.relieve();
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut now = self.activity.now();
        now.running -= 1;
        now.goes_on(self.number);
        if now.running == 0 {
            now.since = Instant::now();
            drop(now);
            if let Some(slots) = self.activity.slots.upgrade() {
                slots.became_idle();
            }
        }
    }
}

/// The body of a request, whose rest the client may never send.
pub(in crate::http_front) struct RequestBody<B> {
    pub(in crate::http_front) body: B,
    pub(in crate::http_front) number: u64,
    pub(in crate::http_front) activity: Arc<Activity>,
    pub(in crate::http_front) is_waited_for: bool,
}

impl<B: HttpBody + Unpin> HttpBody for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending() != self.is_waited_for {
            self.is_waited_for = frame.is_pending();
            let mut now = self.activity.now();
            match self.is_waited_for {
                true => now.waiting.push((self.number, Stall::new(true))),
                false => now.goes_on(self.number),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        if self.is_waited_for {
            self.activity.now().goes_on(self.number);
        }
    }
}

/// A response's body, and a value that is dropped with it.
pub(crate) struct TrackedBody<T> {
    pub(crate) body: Body,
    /// Dropped with it.
    pub(crate) _running: T,
}

impl<T: Unpin> HttpBody for TrackedBody<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose reads and writes count as activity.
pub(in crate::http_front) struct Watched<S> {
    pub(in crate::http_front) stream: S,
    pub(in crate::http_front) activity: Arc<Activity>,
    /// Whether its writes wait.
    pub(in crate::http_front) is_blocked: bool,
}

impl<S> Watched<S> {
    fn set_blocked(&mut self, is_blocked: bool) {
        if self.is_blocked != is_blocked {
            self.is_blocked = is_blocked;
            self.activity.set_blocked(is_blocked);
        }
    }

    fn written(&mut self, written: &Poll<std::io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.activity.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.set_blocked(true),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// With TLS, written bytes may wait in front of the socket. After a flush they are gone.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.set_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
