//! The HTTP gate: checks a guest's requests against its `http` permission and its limits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, Method, Uri};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;
use url::Url;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::bindings::http::types as p3;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::http_bounds::{HttpBounds, OpenRequest, size};
use super::http_send::{Destination, send};
use super::{Grants, Journal};
use crate::limits::Limit;
use crate::permissions::HttpRule;
use crate::permissions::http_header::is_reserved;

/// How much of a request's body a guest may write at once; the host holds it.
pub(super) const BODY_CHUNK: usize = 64 << 10;

pub(super) struct HttpGate {
    bounds: Arc<HttpBounds>,
    /// Ends what drives connections when the instance is gone.
    instance: DropGuard,
    /// The number of requests so far.
    sent: u32,
}

type ConnectionDriver = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent =
    Box<dyn Future<Output = Result<(http::Response<WasiBody>, ConnectionDriver), Error>> + Send>;

impl HttpGate {
    pub(super) fn new(grants: Arc<Grants>, journal: Journal) -> Self {
        let bounds = HttpBounds {
            grants,
            journal,
            open: AtomicU32::new(0),
            received: AtomicU64::new(0),
        };
        HttpGate {
            bounds: Arc::new(bounds),
            instance: CancellationToken::new().drop_guard(),
            sent: 0,
        }
    }

    /// Bytes that the host may hold for open requests: what is being sent, and what was received.
    pub(super) fn held(&self) -> usize {
        let open = self.bounds.open.load(Ordering::Relaxed) as usize;
        open.saturating_mul(3 * BODY_CHUNK)
    }

    /// Returns the destination of a request, if it is allowed.
    fn check(&self, method: &Method, uri: &Uri) -> Result<Destination, Error> {
        let url = Url::parse(&uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        // `Some` if granted, and whether literally.
        let granted_by = |rules: &[HttpRule]| {
            let granting = rules.iter().filter(|it| it.allows(method.as_str(), &url));
            granting.map(HttpRule::is_literal).reduce(|a, b| a || b)
        };
        let grants = &self.bounds.grants;
        let mut granted = granted_by(&grants.permissions.http);
        // Both rules must allow it: a narrower one must not open a non-public address that the
        // granted one does not.
        if let (Some(is_literal), Some(narrowed)) = (granted, &grants.narrowed_http) {
            granted = granted_by(narrowed).map(|narrowed| narrowed && is_literal);
        }
        if let Some(is_literal) = granted.filter(|_| is_sent_as_checked(uri, &url)) {
            return Destination::new(&url, is_literal);
        }
        // The query may be confidential.
        let origin = url.origin().ascii_serialization();
        let path = url.path();
        let what = format!("http request {method} {origin}{path}");
        self.bounds.journal.deny(what);
        Err(Error::HttpRequestDenied)
    }

    /// Counts a request; `None` beyond the limits.
    fn begin(&mut self, headers: &HeaderMap) -> Option<OpenRequest> {
        let HttpBounds { journal, open, .. } = &*self.bounds;
        let limits = self.bounds.limits();
        self.sent += 1;
        if self.sent > limits.max_requests {
            journal.over(Limit::Requests, limits.max_requests);
            return None;
        }
        if size(headers) > limits.max_headers.as_u64() {
            journal.over(Limit::Headers, limits.max_headers);
            return None;
        }
        if open.load(Ordering::Relaxed) >= limits.max_open_requests {
            journal.over(Limit::OpenRequests, limits.max_open_requests);
            return None;
        }
        open.fetch_add(1, Ordering::Relaxed);
        Some(OpenRequest(self.bounds.clone()))
    }
}

/// Whether what is checked is what will be sent: not if parsing changes the path (`..`, `%2e`), nor
/// for unusual spellings of the host (`0x7f.1`) or a user name before it.
fn is_sent_as_checked(uri: &Uri, url: &Url) -> bool {
    let same_path = url.path() == uri.path() || (url.path() == "/" && uri.path().is_empty());
    let has_user = uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    let same_host = match (uri.host(), url.host_str()) {
        (Some(sent), Some(checked)) => sent.eq_ignore_ascii_case(checked),
        _ => false,
    };
    same_path && same_host && !has_user
}

impl WasiHttpHooks for HttpGate {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name: &HeaderName| is_reserved(name) && *name != http::header::CONTENT_LENGTH)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    // wasmtime's own versions log warnings, but an unreachable server is for the tool to report.

    fn p2_error_from_connect(&mut self, error: &io::Error) -> ErrorCode {
        debug!("no connection: {error}");
        match error.kind() {
            io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                ErrorCode::DestinationUnavailable
            }
            io::ErrorKind::NotFound => ErrorCode::DestinationNotFound,
            _ => ErrorCode::ConnectionRefused,
        }
    }

    fn p3_error_from_connect(&mut self, error: &io::Error) -> p3::ErrorCode {
        debug!("no connection: {error}");
        match error.kind() {
            io::ErrorKind::TimedOut => p3::ErrorCode::ConnectionTimeout,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                p3::ErrorCode::DestinationUnavailable
            }
            io::ErrorKind::NotFound => p3::ErrorCode::DestinationNotFound,
            _ => p3::ErrorCode::ConnectionRefused,
        }
    }

    fn p3_error_from_hyper(&mut self, error: &hyper::Error) -> p3::ErrorCode {
        debug!("no HTTP: {error}");
        match error.is_incomplete_message() {
            true => p3::ErrorCode::HttpResponseIncomplete,
            false => p3::ErrorCode::HttpProtocolError,
        }
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        debug!("no HTTP: {error}");
        if error.is_incomplete_message() {
            ErrorCode::HttpResponseIncomplete
        } else {
            ErrorCode::HttpProtocolError
        }
    }

    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: ConnectionDriver,
    ) -> Sent {
        let checked = self.check(request.method(), request.uri());
        let begun = match checked {
            Ok(destination) => match self.begin(request.headers()) {
                Some(open) => Ok((destination, open)),
                // The call is about to end.
                None => Err(Error::ConnectionLimitReached),
            },
            Err(error) => Err(error),
        };
        if let Ok((destination, _)) = &begun {
            for (header, value) in &self.bounds.grants.headers {
                if header.is_for(&destination.url) {
                    request.headers_mut().insert(header.name(), value.clone());
                }
            }
        }
        let instance = self.instance.token().clone();
        Box::new(async move {
            let (destination, open) = begun?;
            let options = options.unwrap_or_default();
            let (response, driver) = send(request, destination, options, open).await?;
            // With WASI 0.3 the task that drives the connection holds its own handle.
            let driver = async move {
                let ended = instance
                    .run_until_cancelled_owned(Box::into_pin(driver))
                    .await;
                ended.unwrap_or(Ok(()))
            };
            Ok((response, Box::new(driver) as ConnectionDriver))
        })
    }
}
