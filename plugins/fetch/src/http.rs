//! One request through `wasi:http`, with errors in words.

use std::fmt;
use toolhost_plugin::{Error, arguments};
use url::Url;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, HeaderError, IncomingBody, IncomingResponse, Method as WasiMethod,
    OutgoingBody, OutgoingRequest, Scheme,
};
use wasip2::io::streams::{InputStream, StreamError};

/// The methods that a model may use.
#[arguments]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").to_uppercase())
    }
}

/// What to send.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

/// What came back, its body not yet read.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

/// A body that can be read once.
pub(crate) struct Body {
    // The stream is a child of the body and must go first: fields are dropped in this order.
    stream: Option<InputStream>,
    _parents: Option<(IncomingBody, IncomingResponse)>,
}

const WRITE_CHUNK: usize = 4096;
const READ_CHUNK: u64 = 65_536;

/// Sends a request and waits for the head of the answer.
pub(crate) fn send(request: &Request) -> Result<Response, Error> {
    let outgoing = outgoing(request)?;
    let body = match &request.body {
        Some(_) => Some(
            outgoing
                .body()
                .map_err(|()| Error::failed("the host gives the request no body"))?,
        ),
        None => None,
    };
    let failed = |code: ErrorCode| error(&request.url, &code);
    // The host may only take the body while it sends it: first the request, then the body.
    let future = outgoing_handler::handle(outgoing, None).map_err(failed)?;
    if let (Some(body), Some(bytes)) = (body, &request.body) {
        write(&request.url, body, bytes)?;
    }
    let response = loop {
        match future.get() {
            Some(Ok(Ok(response))) => break response,
            Some(Ok(Err(code))) => return Err(failed(code)),
            Some(Err(())) => {
                return Err(Error::failed(format!(
                    "{}: the answer was already taken",
                    request.url
                )));
            }
            None => future.subscribe().block(),
        }
    };
    let headers = response.headers().entries();
    let headers = headers
        .into_iter()
        .map(|(name, value)| {
            (
                name.to_ascii_lowercase(),
                String::from_utf8_lossy(&value).into_owned(),
            )
        })
        .collect();
    Ok(Response {
        status: response.status(),
        headers,
        body: Body::of(response),
    })
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, Error> {
    let length = request
        .body
        .as_ref()
        .map(|body| ("content-length".to_owned(), body.len().to_string()));
    let fields = Fields::new();
    for (name, value) in request.headers.iter().chain(length.as_ref()) {
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
    let url = &request.url;
    let scheme = if url.scheme() == "https" {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(Error::invalid_arguments(format!("{url} names no host"))),
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let method = match request.method {
        Method::Get => WasiMethod::Get,
        Method::Head => WasiMethod::Head,
        Method::Post => WasiMethod::Post,
        Method::Put => WasiMethod::Put,
        Method::Patch => WasiMethod::Patch,
        Method::Delete => WasiMethod::Delete,
        Method::Options => WasiMethod::Options,
    };
    outgoing
        .set_method(&method)
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(&authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&path)))
        .map_err(|()| {
            Error::invalid_arguments(format!("{url} is not an address that can be requested"))
        })?;
    Ok(outgoing)
}

fn write(url: &Url, body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    let stream = body
        .write()
        .map_err(|()| Error::failed("the host takes no body"))?;
    for chunk in bytes.chunks(WRITE_CHUNK) {
        // A server may answer before it has read all: its answer says more than this failure.
        if stream.blocking_write_and_flush(chunk).is_err() {
            return Ok(());
        }
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| error(url, &code))
}

impl Body {
    fn of(response: IncomingResponse) -> Self {
        match response
            .consume()
            .and_then(|body| Ok((body.stream()?, body)))
        {
            Ok((stream, body)) => Self {
                stream: Some(stream),
                _parents: Some((body, response)),
            },
            Err(()) => Self {
                stream: None,
                _parents: None,
            },
        }
    }

    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            stream: None,
            _parents: None,
        }
    }

    /// Reads at most so many bytes, and says whether there were more.
    pub(crate) fn read(self, max_bytes: usize) -> Result<(Vec<u8>, bool), Error> {
        let mut bytes = Vec::new();
        let Some(stream) = &self.stream else {
            return Ok((bytes, false));
        };
        loop {
            match stream.blocking_read(READ_CHUNK) {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(StreamError::Closed) => return Ok((bytes, false)),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(Error::failed(format!(
                        "the answer broke off: {}",
                        error.to_debug_string()
                    )));
                }
            }
            if bytes.len() > max_bytes {
                bytes.truncate(max_bytes);
                return Ok((bytes, true));
            }
        }
    }
}

fn error(url: &Url, code: &ErrorCode) -> Error {
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
