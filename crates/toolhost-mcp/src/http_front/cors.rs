//! CORS: lets pages of allowed origins read responses.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};

/// The response headers that a page may read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("mcp-session-id, mcp-protocol-version, www-authenticate, retry-after");

/// The headers for a page of a checked origin.
pub(super) struct Cors {
    origin: HeaderValue,
    /// The response to a preflight request.
    preflight: Option<Response>,
}

impl Cors {
    /// `None` for requests that no page sends.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Cors> {
        let headers = request.headers();
        let origin = headers.get(ORIGIN)?.clone();
        let asks = request.method() == Method::OPTIONS
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = asks.then(|| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let allowed = response.headers_mut();
            let methods = HeaderValue::from_static("GET, POST, DELETE");
            allowed.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            let names = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
            if let Some(names) = names.filter(|names| are_names(names)) {
                allowed.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            allowed.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            response
        });
        Some(Cors { origin, preflight })
    }

    pub(super) fn take_preflight(&mut self) -> Option<Response> {
        self.preflight.take()
    }

    pub(super) fn allow(self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

/// Whether it is a list of header names: nothing else of a request is repeated in a response.
fn are_names(list: &HeaderValue) -> bool {
    let names = list.as_bytes().split(|byte| *byte == b',');
    names
        .map(<[u8]>::trim_ascii)
        .all(|name| HeaderName::from_bytes(name).is_ok())
}
