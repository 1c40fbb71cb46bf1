//! What a connection is doing: serving requests, reading the head of one, or nothing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::Version;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// What is known of one connection.
pub(super) struct Activity {
    now: Mutex<Now>,
    /// Told when it has no request any more.
    became_idle: Arc<Notify>,
    /// It is to end at once, to make room.
    pub(super) evicted: CancellationToken,
}

struct Now {
    /// Requests whose response is not over.
    running: usize,
    /// Whether it ever had one.
    served: bool,
    /// Whether something of a request has come that is not whole.
    in_head: bool,
    /// Whether requests come beside each other, with bytes that are of none in between.
    multiplexed: bool,
    /// When what it does began.
    since: Instant,
    /// Since when what is sent has to wait for the peer to read.
    unread: Option<Instant>,
}

impl Activity {
    pub(super) fn new(became_idle: Arc<Notify>) -> Activity {
        Activity {
            now: Mutex::new(Now {
                running: 0,
                served: false,
                in_head: false,
                multiplexed: false,
                since: Instant::now(),
                unread: None,
            }),
            became_idle,
            evicted: CancellationToken::new(),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when it has no request, if it has none.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let now = self.now();
        (now.running == 0).then_some(now.since)
    }

    /// A request has come; it is over when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Running {
        let mut now = self.now();
        now.running += 1;
        now.served = true;
        now.in_head = false;
        now.multiplexed = version == Version::HTTP_2;
        Running(Arc::clone(self))
    }

    fn read(&self) {
        let mut now = self.now();
        if now.running == 0 && now.served && !now.in_head && !now.multiplexed {
            now.in_head = true;
            now.since = Instant::now();
        }
    }

    /// The rest of a response is on its way, or has to wait.
    fn wrote(&self, is_taken: bool) {
        let mut now = self.now();
        if !is_taken {
            now.unread.get_or_insert_with(Instant::now);
            return;
        }
        now.unread = None;
        if now.running == 0 && now.served && !now.in_head {
            now.since = Instant::now();
        }
    }

    /// Waits until it has done nothing, or read one head, or nothing of what was sent was read, for too
    /// long.
    ///
    /// It looks from time to time, instead of being told of every request: whatever begins after a look
    /// may take until after the next.
    pub(super) async fn expired(&self, head: Duration, idle: Duration) {
        let pause = head.min(idle).max(Duration::from_millis(1));
        loop {
            let deadline = {
                let now = self.now();
                let patience = match now.in_head || !now.served {
                    true => head,
                    false => idle,
                };
                let done = (now.running == 0).then(|| now.since + patience);
                let read = now.unread.map(|since| since + idle);
                done.into_iter().chain(read).min()
            };
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

/// A request of a connection, until its response is over.
pub(super) struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut now = self.0.now();
        now.running -= 1;
        if now.running == 0 {
            now.since = Instant::now();
            drop(now);
            self.0.became_idle.notify_one();
        }
    }
}

/// A response's body, and what is over when it is.
pub(crate) struct Response<T> {
    pub(crate) body: Body,
    /// Dropped with it.
    pub(crate) _running: T,
}

impl<T: Unpin> HttpBody for Response<T> {
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

/// A stream whose bytes are activity.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
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
        self.activity.wrote(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.activity.wrote(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
