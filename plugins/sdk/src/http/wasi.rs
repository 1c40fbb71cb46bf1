//! Requests through `wasi:http`, with error messages.

use super::{Address, Body, Request, Response};
use crate::{Error, task};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, HeaderError, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, Scheme,
};
use wasip2::io::streams::{InputStream, StreamError};

/// The most that the host accepts in one write, in bytes.
const WRITE_CHUNK: usize = 4096;
const READ_CHUNK: u64 = 65_536;

/// Sends a request and waits for the status and headers of the response.
pub(super) async fn send(request: &Request) -> Result<Response, Error> {
    let url = &*request.url;
    let outgoing = outgoing(request)?;
    let body = match &request.body {
        Some(bytes) => {
            let body = outgoing.body();
            let body = body.map_err(|()| Error::failed("the host gives the request no body"))?;
            Some((body, bytes))
        }
        None => None,
    };
    let failed = |code: ErrorCode| error(url, &code);
    // The host may read the body only while it sends the request, so start the request first.
    let future = outgoing_handler::handle(outgoing, None).map_err(failed)?;
    if let Some((body, bytes)) = body {
        write(url, body, bytes)?;
    }
    let response = loop {
        match future.get() {
            Some(Ok(Ok(response))) => break response,
            Some(Ok(Err(code))) => return Err(failed(code)),
            Some(Err(())) => {
                return Err(Error::failed(format!(
                    "{url}: the response was already taken"
                )));
            }
            None => task::ready(future.subscribe()).await,
        }
    };
    let headers = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(&value).into_owned();
            (name.to_ascii_lowercase(), value)
        });
    Ok(Response {
        status: response.status(),
        headers: headers.collect(),
        url: url.to_owned(),
        body: Incoming::of(response).map_or(Body::Bytes(Vec::new()), Body::Stream),
    })
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, Error> {
    let address = Address::parse(&request.url)?;
    let length = request.body.as_ref();
    let length = length.map(|body| ("content-length".to_owned(), body.len().to_string()));
    let fields = Fields::new();
    for (name, value) in request.headers.iter().chain(&length) {
        fields.append(name, value.as_bytes()).map_err(|error| {
            let why = match error {
                HeaderError::InvalidSyntax => "it is not well-formed",
                HeaderError::Forbidden => "it is not a caller's to set",
                _ => "it cannot be set",
            };
            Error::invalid_arguments(format!("header {name:?}: {why}"))
        })?;
    }
    let outgoing = OutgoingRequest::new(fields);
    let scheme = match address.is_https {
        true => Scheme::Https,
        false => Scheme::Http,
    };
    let method = match &*request.method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    };
    outgoing
        .set_method(&method)
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(address.authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&address.path)))
        .map_err(|()| {
            let url = &request.url;
            Error::invalid_arguments(format!("{url:?} is not an address that can be requested"))
        })?;
    Ok(outgoing)
}

fn write(url: &str, body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    let stream = body.write();
    let stream = stream.map_err(|()| Error::failed("the host takes no body"))?;
    for chunk in bytes.chunks(WRITE_CHUNK) {
        // A server may respond before it has read everything; its response is more useful than this failure.
        if stream.blocking_write_and_flush(chunk).is_err() {
            return Ok(());
        }
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| error(url, &code))
}

/// A body that can be read once.
#[derive(Debug)]
pub(super) struct Incoming {
    // Fields are dropped in this order, and the stream is a child of the body.
    stream: InputStream,
    _body: IncomingBody,
    _response: IncomingResponse,
}

impl Incoming {
    fn of(response: IncomingResponse) -> Option<Self> {
        let body = response.consume().ok()?;
        Some(Self {
            stream: body.stream().ok()?,
            _body: body,
            _response: response,
        })
    }

    /// Reads up to a number of bytes, and returns whether there were more.
    pub(super) fn read(self, max_bytes: usize) -> Result<(Vec<u8>, bool), Error> {
        let mut bytes = Vec::new();
        loop {
            match self.stream.blocking_read(READ_CHUNK) {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(StreamError::Closed) => return Ok((bytes, false)),
                Err(StreamError::LastOperationFailed(error)) => {
                    let why = error.to_debug_string();
                    return Err(Error::failed(format!("the response broke off: {why}")));
                }
            }
            if bytes.len() > max_bytes {
                bytes.truncate(max_bytes);
                return Ok((bytes, true));
            }
        }
    }
}

fn error(url: &str, code: &ErrorCode) -> Error {
    let why = match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => {
            return Error::denied(format!("{url} is not among the addresses that are granted"));
        }
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
            "there is no such host".to_owned()
        }
        ErrorCode::DnsTimeout => "the host's name could not be looked up in time".to_owned(),
        ErrorCode::ConnectionRefused => "the connection was refused".to_owned(),
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::HttpResponseTimeout => "the server did not answer in time".to_owned(),
        ErrorCode::TlsCertificateError => "the server's certificate is not valid".to_owned(),
        ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => {
            "no TLS connection could be made: the server does not speak it there, or its certificate is not valid"
                .to_owned()
        }
        ErrorCode::HttpRequestUriInvalid => "the address is not valid".to_owned(),
        ErrorCode::InternalError(Some(message)) => message.clone(),
        other => format!("{other:?}").replace("ErrorCode::", ""),
    };
    Error::failed(format!("cannot fetch {url}: {why}"))
}
