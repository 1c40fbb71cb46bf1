//! Requests through wasi:http as the guest words them, with nothing put right on the way.

use crate::{Answer, Error, failed, refused, text};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    Scheme, http_error_code,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// A URL in the parts that wasi:http takes.
#[derive(Clone)]
pub struct Target {
    pub scheme: Scheme,
    pub authority: String,
    pub path: String,
}

impl Target {
    pub fn parse(url: &str) -> Result<Target, Error> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| failed("a URL without a scheme"))?;
        let (authority, path) = match rest.find(['/', '?']) {
            Some(end) => rest.split_at(end),
            None => (rest, "/"),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Target {
            scheme: match scheme {
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                other => Scheme::Other(other.into()),
            },
            authority: authority.into(),
            path: format!("{slash}{path}"),
        })
    }

    /// Where a redirect leads.
    pub fn redirected(&self, location: &str) -> Result<Target, Error> {
        if location.contains("://") {
            return Target::parse(location);
        }
        if !location.starts_with('/') {
            return Err(failed(format_args!("a redirect to {location}")));
        }
        Ok(Target {
            path: location.into(),
            ..self.clone()
        })
    }

    pub fn request(&self, method: &Method, fields: Fields) -> Result<OutgoingRequest, Error> {
        let request = OutgoingRequest::new(fields);
        let part = |part: &str, result: Result<(), ()>| {
            result.map_err(|()| refused(format_args!("the request's {part}")))
        };
        part("method", request.set_method(method))?;
        part("scheme", request.set_scheme(Some(&self.scheme)))?;
        part("authority", request.set_authority(Some(&self.authority)))?;
        part("path", request.set_path_with_query(Some(&self.path)))?;
        Ok(request)
    }
}

/// Sends the request, and waits for the response.
pub fn send(request: OutgoingRequest) -> Result<IncomingResponse, Error> {
    wait(&start(request)?)
}

pub fn start(request: OutgoingRequest) -> Result<FutureIncomingResponse, Error> {
    outgoing_handler::handle(request, None).map_err(|error| refused(format_args!("{error:?}")))
}

pub fn wait(response: &FutureIncomingResponse) -> Result<IncomingResponse, Error> {
    response.subscribe().block();
    response
        .get()
        .expect("it is ready")
        .expect("it was not taken before")
        .map_err(|error| refused(format_args!("{error:?}")))
}

/// The status, and what the body begins with.
pub fn answer(response: &IncomingResponse) -> Answer {
    const SHOWN: usize = 2000;
    let mut body = Vec::new();
    read(response, |chunk| {
        body.extend_from_slice(chunk);
        body.len() < SHOWN
    })?;
    body.truncate(SHOWN);
    let body = String::from_utf8_lossy(&body);
    text(format!("status: {}\n{body}", response.status()))
}

/// Reads the body to its end, and says how long it is.
pub fn drain(response: &IncomingResponse) -> Result<u64, Error> {
    let mut length = 0;
    read(response, |chunk| {
        length += chunk.len() as u64;
        true
    })?;
    Ok(length)
}

/// Reads the body for as long as the chunks are wanted.
fn read(
    response: &IncomingResponse,
    mut is_wanted: impl FnMut(&[u8]) -> bool,
) -> Result<(), Error> {
    let body = response.consume().map_err(|()| refused("the body"))?;
    let stream = body.stream().map_err(|()| refused("the body's stream"))?;
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) if is_wanted(&chunk) => {}
            Ok(_) | Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(refused(explained(error))),
        }
    }
}

/// What became of a request with a body.
pub struct Sent {
    pub bytes: u64,
    /// Why not all of it.
    pub error: Option<String>,
    pub response: Result<IncomingResponse, Error>,
}

/// Sends a POST request with a body of so many bytes, whatever its headers say.
pub fn post(target: &Target, fields: Fields, length: u64) -> Result<Sent, Error> {
    let request = target.request(&Method::Post, fields)?;
    let body = request.body().map_err(|()| refused("the body"))?;
    let response = start(request)?;
    let stream = body.write().map_err(|()| refused("the body's stream"))?;
    let (bytes, mut error) = write(&stream, length);
    drop(stream);
    match &error {
        // Dropped and not finished, it is broken off.
        Some(_) => drop(body),
        None => {
            let finished = OutgoingBody::finish(body, None);
            error = finished.err().map(|error| format!("{error:?}"));
        }
    }
    Ok(Sent {
        bytes,
        error,
        response: wait(&response),
    })
}

/// How many bytes were taken, and why not all.
fn write(stream: &OutputStream, length: u64) -> (u64, Option<String>) {
    let chunk = [b'x'; 64 << 10];
    let mut written = 0;
    let result = (|| {
        while written < length {
            match stream.check_write()? {
                0 => stream.subscribe().block(),
                room => {
                    let bytes = room.min(length - written).min(chunk.len() as u64);
                    stream.write(&chunk[..bytes as usize])?;
                    written += bytes;
                }
            }
        }
        stream.blocking_flush()
    })();
    (written, result.err().map(explained))
}

fn explained(error: StreamError) -> String {
    match error {
        StreamError::Closed => "the stream is closed".into(),
        StreamError::LastOperationFailed(error) => match http_error_code(&error) {
            Some(code) => format!("{code:?}"),
            None => error.to_debug_string(),
        },
    }
}
