//! The responses that refuse a request.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

/// Refuses with a reason, as JSON.
pub(super) fn refuse(status: StatusCode, why: &str) -> Response {
    let body = serde_json::json!({ "error": why }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// As [`refuse`], with `Retry-After`.
pub(super) fn refuse_for(status: StatusCode, why: &str, wait: Duration) -> Response {
    let mut response = refuse(status, why);
    // Rounded up, so that a retry on time succeeds.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// As [`refuse`], for a request whose body is not read to its end.
pub(super) fn refuse_body(status: StatusCode, why: &str) -> Response {
    let mut response = refuse(status, why);
    close(&mut response);
    response
}

/// Closes the connection after the response. hyper omits the header in HTTP/2, which has none.
pub(super) fn close(response: &mut Response) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
}
