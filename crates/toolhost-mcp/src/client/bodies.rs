//! Bodies of HTTP responses: read up to a bound, told apart, and what is wrong with them in plain words.

use std::error::Error;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::Response;
use rmcp::model::{ErrorData, RequestId, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::StreamableHttpError;
use rmcp_sse::Sse;

use super::stdio::TOO_LONG;

pub(super) type Failure = StreamableHttpError<reqwest::Error>;

pub(super) const JSON: &str = "application/json";
pub(super) const EVENT_STREAM: &str = "text/event-stream";

pub(super) fn event(message: &ServerJsonRpcMessage) -> Option<Sse> {
    Some(Sse {
        data: Some(serde_json::to_string(message).ok()?),
        ..Sse::default()
    })
}

pub(super) fn too_long(id: RequestId) -> ServerJsonRpcMessage {
    ServerJsonRpcMessage::error(ErrorData::new(TOO_LONG, "too long", None), Some(id))
}

pub(super) fn is_event_stream(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next();
    essence.is_some_and(|it| {
        it.trim_ascii()
            .eq_ignore_ascii_case(EVENT_STREAM.as_bytes())
    })
}

pub(super) fn mentions_session(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    text.contains("session")
}

/// The beginning of a body.
pub(super) async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == most {
            break;
        }
    }
    Ok(body)
}

/// A body, unless it is longer.
pub(super) async fn read_whole(
    mut response: Response,
    most: usize,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Ends a stream with an event that is longer than `longest` bytes, and answers the request for it.
pub(super) fn bounded(
    bytes: impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
    longest: usize,
    of: Option<&RequestId>,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let answer = of.and_then(|id| serde_json::to_string(&too_long(id.clone())).ok());
    let answer = format!("\n\ndata: {}\n\n", answer.unwrap_or_default());
    let start = (Box::pin(bytes), Some((0_usize, true)));
    stream::unfold(start, move |(mut bytes, state)| {
        let answer = answer.clone();
        async move {
            let (mut size, mut is_line_empty) = state?;
            let chunk = match bytes.next().await? {
                Ok(chunk) => chunk,
                error => return Some((error, (bytes, None))),
            };
            for byte in &chunk {
                size += 1;
                match byte {
                    b'\n' if is_line_empty => size = 0,
                    b'\n' => is_line_empty = true,
                    b'\r' => {}
                    _ => is_line_empty = false,
                }
                if size > longest {
                    return Some((Ok(Bytes::from(answer)), (bytes, None)));
                }
            }
            Some((Ok(chunk), (bytes, Some((size, is_line_empty)))))
        }
    })
}

/// Why there is no connection, without the names of the layers that say so.
pub(super) fn plainly(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "connecting timed out".to_owned();
    }
    let mut deepest: &dyn Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    let text = deepest.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}
