//! Event streams in fewer writes: the head of a response and its first event only say that the stream
//! has begun, and most streams have their answer a moment later. They wait that moment, and go out with
//! the answer. Those that go on are kept alive.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};

/// How long the beginning of a stream may wait for its answer.
const MOMENT: Duration = Duration::from_millis(5);

/// A stream on which nothing was sent for so long shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What clients skip.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// The events that there are then: one that begins the stream, and the answer.
const EVENTS: usize = 2;

/// The response, once it has its first events or the moment is over.
pub(super) async fn gathered(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let until = Instant::now() + MOMENT;
    let mut first: Vec<u8> = Vec::new();
    let mut rest = body.into_data_stream();
    for number in 0..=EVENTS {
        let next = match number < EVENTS {
            true => timeout_at(until, rest.next()).await.ok(),
            // The end is there already, where what came was the answer.
            false => rest.next().now_or_never(),
        };
        match next {
            Some(Some(Ok(data))) => first.extend_from_slice(&data),
            Some(Some(Err(error))) => {
                let failed = stream::iter([Ok(Bytes::from(first)), Err(error)]);
                return Response::from_parts(head, Body::from_stream(failed));
            }
            Some(None) => return Response::from_parts(head, Body::from(first)),
            None => break,
        }
    }
    let first = stream::iter([Ok(Bytes::from(first))]);
    let rest = stream::unfold(rest, async |mut rest| {
        let next = timeout(KEEP_ALIVE, rest.next()).await;
        Some((next.unwrap_or(Some(Ok(COMMENT)))?, rest))
    });
    Response::from_parts(head, Body::from_stream(first.chain(rest)))
}
