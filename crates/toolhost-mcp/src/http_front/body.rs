//! Takes in the body of a request: whole, since MCP's are one message each, and only so much of it for
//! only so long.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use http::{Request, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::bodies::{Bodies, Room, SMALL, no_room};
use super::rate::Client;
use super::refuse::{close, refuse_body};

/// The request with its body, and the room that is held for that.
///
/// # Errors
///
/// The response to one that is too long, too slow, or broken off, or that there is no room for.
pub(super) async fn take_in(
    request: Request<Body>,
    most: usize,
    timeout: Duration,
    bodies: &Bodies,
    client: Client,
) -> Result<(Request<Bytes>, Option<Room>), Box<Response>> {
    if request.body().is_end_stream() {
        return Ok((request.map(|_| Bytes::new()), None));
    }
    let too_long = || {
        let why = "the body is larger than the server accepts";
        Box::new(refuse_body(StatusCode::PAYLOAD_TOO_LARGE, why))
    };
    let declared = request.headers().get(CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        return Err(too_long());
    }
    let length = declared.and_then(|length| usize::try_from(length).ok());
    let taken = match length.unwrap_or(most) {
        length if length <= SMALL => None,
        length => {
            let room = tokio::time::timeout(timeout, bodies.room(client, length));
            room.await.map_err(|_| no_room_to_read())?
        }
    };
    let (head, body) = request.into_parts();
    match tokio::time::timeout(timeout, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => {
            let body = body.to_bytes();
            let room = taken.and_then(|taken| taken.shrunk(body.len()));
            Ok((Request::from_parts(head, body), room))
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => {
            let why = "the body is incomplete";
            Err(Box::new(refuse_body(StatusCode::BAD_REQUEST, why)))
        }
        Err(_) => {
            let why = "the body took too long";
            Err(Box::new(refuse_body(StatusCode::REQUEST_TIMEOUT, why)))
        }
    }
}

fn no_room_to_read() -> Box<Response> {
    let mut response = no_room();
    close(&mut response);
    Box::new(response)
}
