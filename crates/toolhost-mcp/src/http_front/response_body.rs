//! Sends a response's body in pieces, so that bytes the client does not read are noticed and
//! counted.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::connection_limit::activity::ActiveRequest;

/// The size of a piece: with HTTP/2 that much may be buffered beyond what is counted here.
const PIECE: usize = 64 << 10;

pub(super) struct Sending {
    body: Body,
    /// The rest of a frame.
    rest: Bytes,
    /// The piece being sent.
    piece: usize,
    /// The one before: HTTP/2 accepts a piece as soon as there is room for one byte.
    before: usize,
    /// The bytes counted as held.
    held: usize,
    running: ActiveRequest,
}

impl Sending {
    pub(super) fn new(body: Body, running: ActiveRequest) -> Sending {
        let mut sending = Sending {
            body,
            rest: Bytes::new(),
            piece: 0,
            before: 0,
            held: 0,
            running,
        };
        sending.count();
        sending
    }

    fn count(&mut self) {
        let to_come = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        let handed = self.rest.len() + self.piece + self.before;
        let held = to_come.saturating_add(handed);
        self.running.holds(self.held, held);
        self.held = held;
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let me = &mut *self;
        // When the next piece is requested, there is room for all but the last one.
        if me.piece > 0 {
            me.running.taken(me.before);
            me.before = std::mem::take(&mut me.piece);
        }
        if me.rest.is_empty() {
            let frame = Pin::new(&mut me.body).poll_frame(cx);
            if !matches!(frame, Poll::Ready(Some(Ok(_)))) {
                me.before = 0;
                me.running.caught_up();
                me.count();
            }
            let frame = match ready!(frame) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            me.rest = match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
        }
        let piece = me.rest.split_to(me.rest.len().min(PIECE));
        me.piece = piece.len();
        me.running.handed();
        me.count();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(inner.lower().saturating_add(rest));
        hint
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.running.holds(self.held, 0);
    }
}
