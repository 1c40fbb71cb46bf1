//! Refusals: malformed messages and refused HTTP requests are answered with a JSON-RPC error that
//! says what to send instead.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use rmcp::model::{ClientJsonRpcMessage, ErrorCode, ErrorData, JsonRpcMessage, RequestId};

use crate::json_lines::IdFinder;
use crate::server::http::content_negotiation::{JSON, is_of_kind, of_kind};
use crate::server::json_rpc::{batch, is_batch, message_text, unreadable};

/// The longest explanation of rmcp's that is passed on, in bytes.
const MAX_TEXT: usize = 64 << 10;

/// Whether the content type of a request is JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let only = kinds.next().filter(|_| kinds.next().is_none());
    let only = only.and_then(|kind| kind.to_str().ok());
    only.is_some_and(|kind| {
        let kind = kind.split_once(';').map_or(kind, |(kind, _)| kind);
        kind.trim().eq_ignore_ascii_case(JSON)
    })
}

/// Refuses a request by its content type.
pub(crate) fn refused<B: AsRef<[u8]>>(request: &Request<B>) -> Option<Response> {
    if !is_json(request.headers()) {
        let kinds = request.headers().get_all(header::CONTENT_TYPE).iter();
        let kinds: Vec<_> = kinds
            .map(|kind| String::from_utf8_lossy(kind.as_bytes()))
            .collect();
        let found = match kinds.is_empty() {
            true => "missing".to_owned(),
            false => format!(
                "{:?}",
                kinds.join(", ").chars().take(100).collect::<String>()
            ),
        };
        let text = format!(
            "the Content-Type is {found}: send one JSON-RPC message with `Content-Type: {JSON}`"
        );
        let error = ErrorData::invalid_request(text, None);
        let id = id(request.body().as_ref());
        return Some(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, id));
    }
    is_batch(request.body().as_ref()).then(|| refuse(StatusCode::BAD_REQUEST, batch(), None))
}

/// The id of the refused request: clients attribute an error without one to another request.
fn id(message: &[u8]) -> Option<RequestId> {
    IdFinder::of(message).of_request()
}

pub(crate) fn refuse(status: StatusCode, error: ErrorData, id: Option<RequestId>) -> Response {
    let message = JsonRpcMessage::error(error, id);
    let mut response = of_kind(JSON, Body::from(message_text(&message)));
    *response.status_mut() = status;
    response
}

/// Explains a refusal by rmcp of a request with the right content type. rmcp explains in plain
/// text, and reports a malformed message as a wrong content type.
pub(crate) async fn explained(response: Response, message: &[u8]) -> Response {
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    if !is_refusal || is_of_kind(&response, JSON) {
        return response;
    }
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE
        && let Err(error) = serde_json::from_slice::<ClientJsonRpcMessage>(message)
    {
        let error = unreadable(message, &error);
        return refuse(StatusCode::BAD_REQUEST, error, id(message));
    }
    let (mut head, body) = response.into_parts();
    let text = to_bytes(body, MAX_TEXT).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    let code = match status.is_server_error() {
        true => ErrorCode::INTERNAL_ERROR,
        false => ErrorCode::INVALID_REQUEST,
    };
    let explained = refuse(status, ErrorData::new(code, text, None), id(message));
    head.headers.remove(header::CONTENT_LENGTH);
    let json = HeaderValue::from_static(JSON);
    head.headers.insert(header::CONTENT_TYPE, json);
    Response::from_parts(head, explained.into_body())
}
