//! Event streams in fewer writes: the first event of a stream only says that it has begun, and most
//! streams have their answer a moment later. It waits that moment, and goes out with the answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// How long the first event may wait for the next.
const MOMENT: Duration = Duration::from_millis(5);

/// A body whose first frame goes out with its second, if that comes soon.
pub(super) struct Gathered {
    body: Body,
    state: State,
}

enum State {
    /// Nothing has come yet.
    Begun,
    /// The first frame waits.
    Holds(Bytes, Pin<Box<Sleep>>),
    /// Frames go through.
    Through,
    /// The body ended while the first frame waited.
    Over,
}

impl Gathered {
    pub(super) fn new(body: Body) -> Body {
        Body::new(Gathered {
            body,
            state: State::Begun,
        })
    }
}

impl HttpBody for Gathered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Begun => {
                    let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
                    let frame = match frame {
                        Some(Ok(frame)) => frame,
                        other => return Poll::Ready(other),
                    };
                    match frame.into_data() {
                        Ok(data) => this.state = State::Holds(data, Box::pin(sleep(MOMENT))),
                        Err(frame) => {
                            this.state = State::Through;
                            return Poll::Ready(Some(Ok(frame)));
                        }
                    }
                }
                State::Holds(held, moment) => {
                    let next = Pin::new(&mut this.body).poll_frame(context);
                    let is_over = moment.as_mut().poll(context).is_ready();
                    let frame = match next {
                        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                            Ok(data) => {
                                let both = [&held[..], &data[..]].concat();
                                Frame::data(Bytes::from(both))
                            }
                            // Trailers: there is nothing after them that would need the order.
                            Err(_) => Frame::data(std::mem::take(held)),
                        },
                        Poll::Ready(Some(Err(error))) => {
                            this.state = State::Over;
                            return Poll::Ready(Some(Err(error)));
                        }
                        Poll::Ready(None) => {
                            let last = Frame::data(std::mem::take(held));
                            this.state = State::Over;
                            return Poll::Ready(Some(Ok(last)));
                        }
                        Poll::Pending if !is_over => return Poll::Pending,
                        Poll::Pending => Frame::data(std::mem::take(held)),
                    };
                    this.state = State::Through;
                    return Poll::Ready(Some(Ok(frame)));
                }
                State::Over => return Poll::Ready(None),
                State::Through => return Pin::new(&mut this.body).poll_frame(context),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.state {
            State::Over => true,
            State::Through => self.body.is_end_stream(),
            State::Begun | State::Holds(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
