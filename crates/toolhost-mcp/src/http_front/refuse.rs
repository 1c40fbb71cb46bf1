//! The responses by which a request is refused.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

/// Says why, as JSON.
pub(super) fn refuse(status: StatusCode, why: &str) -> Response {
    let body = serde_json::json!({ "error": why }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// As [`refuse`], of a request that may come again.
pub(super) fn refuse_for(status: StatusCode, why: &str, wait: Duration) -> Response {
    let mut response = refuse(status, why);
    // Rounded up: whoever comes back on time is served.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// As [`refuse`], of a request whose body is not read to its end.
pub(super) fn refuse_body(status: StatusCode, why: &str) -> Response {
    let mut response = refuse(status, why);
    close(&mut response);
    response
}

/// Has the connection closed after the response. HTTP/2 knows no such header; hyper leaves it out.
pub(super) fn close(response: &mut Response) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
}
