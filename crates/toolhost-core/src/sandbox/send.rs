//! Sends one request over a connection of its own, and counts what comes back.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};
use url::{Host, Url};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::connect::{NoConnection, Stream, connect, encrypt};
use super::http_bounds::{Bounds, Open, size};
use crate::limits::{Limit, MAX_TIMEOUT};

/// What hyper needs at least to read the head of a response.
const LEAST_BUFFER: usize = 8 << 10;

/// Headers of a response. That many of a few bytes each are within the default limit.
const MOST_HEADERS: usize = 4096;

/// Where a request goes.
pub(super) struct Destination {
    pub(super) url: Url,
    host: Host<String>,
    port: u16,
    /// Whether the grant names it literally, so that its address need not be public.
    any_address: bool,
}

impl Destination {
    pub(super) fn new(url: &Url, any_address: bool) -> Result<Self, Error> {
        match (url.host(), url.port_or_known_default()) {
            (Some(host), Some(port)) => Ok(Destination {
                url: url.clone(),
                host: host.to_owned(),
                port,
                any_address,
            }),
            _ => Err(Error::HttpRequestUriInvalid),
        }
    }
}

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Sends a request; the future beside the response moves its connection on.
pub(super) async fn send(
    mut request: http::Request<WasiBody>,
    destination: Destination,
    options: RequestOptions,
    open: Open,
) -> Result<(http::Response<WasiBody>, Done), Error> {
    // The call's own deadline is before any of these, unless the guest says otherwise.
    let or_never = |timeout: Option<Duration>| timeout.unwrap_or(MAX_TIMEOUT).min(MAX_TIMEOUT);
    let connected = timeout(
        or_never(options.connect_timeout),
        connection(&destination, &open),
    );
    let stream = connected.await.map_err(|_| Error::ConnectionTimeout)??;

    let headers = open.bounds().limits().max_headers;
    let buffer = usize::try_from(headers.as_u64()).unwrap_or(usize::MAX);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(buffer.max(LEAST_BUFFER))
        .max_headers(MOST_HEADERS)
        .handshake(TokioIo::new(Received::new(stream, &open)))
        .await?;
    let mut connection = Box::pin(connection);

    // What goes to the server itself names only the path (RFC 9112, section 3.2.1).
    let path = request.uri().path_and_query().map(|path| path.as_str());
    *request.uri_mut() = path
        .unwrap_or("/")
        .parse()
        .map_err(|_| Error::HttpRequestUriInvalid)?;
    let response = timeout(
        or_never(options.first_byte_timeout),
        sender.send_request(request),
    );
    let mut has_ended = false;
    let response = match select(pin!(response), &mut connection).await {
        Either::Left((response, _)) => response,
        Either::Right((ended, response)) => {
            has_ended = true;
            // What was received before the connection ended is there by now.
            match (ended, response.now_or_never()) {
                (_, Some(response)) => response,
                (Ok(()), None) => return Err(Error::ConnectionTerminated),
                (Err(error), None) => Ok(Err(error)),
            }
        }
    };
    let response = match response {
        Err(_) => return Err(Error::ConnectionReadTimeout),
        Ok(Err(error)) if error.is_parse_too_large() => {
            open.bounds().journal.over(Limit::Headers, headers);
            return Err(Error::HttpResponseHeaderSectionSize(None));
        }
        Ok(response) => response?,
    };
    if size(response.headers()) > headers.as_u64() {
        open.bounds().journal.over(Limit::Headers, headers);
        return Err(Error::HttpResponseHeaderSectionSize(None));
    }
    let between_bytes = or_never(options.between_bytes_timeout);
    let response = response.map(|incoming| {
        let body = Counted {
            incoming,
            open,
            between_bytes,
            timer: None,
        };
        body.boxed_unsync()
    });
    let done = async move {
        match has_ended {
            true => Ok(()),
            false => connection.await.map_err(Error::from),
        }
    };
    Ok((response, Box::new(done)))
}

async fn connection(destination: &Destination, open: &Open) -> Result<Box<dyn Stream>, Error> {
    let Destination {
        url,
        host,
        port,
        any_address,
    } = destination;
    let journal = &open.bounds().journal;
    let connected = async {
        let stream = connect(host, *port, *any_address).await?;
        Ok(match url.scheme() {
            "https" => Box::new(encrypt(stream, host).await?) as Box<dyn Stream>,
            _ => Box::new(stream),
        })
    };
    connected.await.map_err(|error| match error {
        NoConnection::Special(address, kind) => {
            let ip = address.ip();
            journal.deny(format!("http request to {host}: {ip} is a {kind} address"));
            Error::DestinationIpProhibited
        }
        NoConnection::Name(error) => Error::DnsError {
            rcode: Some(error.to_string()),
            info_code: None,
        },
        NoConnection::Connect(error) => Error::Connect(error),
        NoConnection::Tls(error) => tls_error(&error),
    })
}

/// Bounds what comes over a connection, whatever it is: HTTP allows for any number of interim
/// responses, and for chunks of a byte.
struct Received {
    stream: Box<dyn Stream>,
    left: u64,
    bounds: Arc<Bounds>,
}

impl Received {
    fn new(stream: Box<dyn Stream>, open: &Open) -> Self {
        let limits = open.bounds().limits();
        let body = limits.max_response.as_u64().saturating_mul(4);
        let headers = limits.max_headers.as_u64().saturating_mul(4);
        Received {
            stream,
            left: body.saturating_add(headers).saturating_add(1 << 20),
            bounds: open.shared(),
        }
    }
}

impl AsyncRead for Received {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let bytes = (buffer.filled().len() - before) as u64;
        match this.left.checked_sub(bytes) {
            Some(left) => this.left = left,
            None => {
                let bound = this.bounds.limits().max_response;
                this.bounds.journal.over(Limit::Response, bound);
                return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Received {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

fn tls_error(error: &std::io::Error) -> Error {
    tracing::debug!("no TLS: {error}");
    let inner = error.get_ref().and_then(|error| error.downcast_ref());
    match inner {
        // No code of the interface says why.
        Some(rustls::Error::InvalidCertificate(why)) => Error::InternalError(Some(format!(
            "the server's certificate is not valid: {}",
            invalid_as(why)
        ))),
        _ => Error::TlsProtocolError,
    }
}

fn invalid_as(why: &rustls::CertificateError) -> String {
    use rustls::CertificateError as Why;
    let why = match why {
        Why::Expired | Why::ExpiredContext { .. } => "it has expired",
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            "it is not valid yet, by this machine's clock"
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => "it is for another name",
        Why::UnknownIssuer | Why::BadSignature => {
            "this machine does not trust its issuer (set SSL_CERT_FILE in the host's environment to trust \
             others)"
        }
        Why::Revoked => "it was revoked",
        other => return other.to_string(),
    };
    why.to_owned()
}

/// A response's body: an open request until it ends, and bytes that count.
struct Counted {
    incoming: hyper::body::Incoming,
    open: Open,
    between_bytes: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Pending => {
                let between_bytes = this.between_bytes;
                let timer = this
                    .timer
                    .get_or_insert_with(|| Box::pin(sleep(between_bytes)));
                let passed = timer.as_mut().poll(context);
                passed.map(|()| Some(Err(Error::ConnectionReadTimeout)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(Some(Ok(frame))) => {
                this.timer = None;
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                Poll::Ready(Some(match this.open.bounds().receive(bytes) {
                    true => Ok(frame),
                    false => Err(Error::HttpResponseBodySize(None)),
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.incoming.size_hint()
    }
}
