//! Attacks by HTTP: requests to where none may go, malformed ones, many, large and slow ones.

mod client;

use crate::{Answer, Behaviour, Error, Given, escaped, refused, text};
pub use client::Target;
use client::{answer, drain, post, send, start, wait};
use std::collections::BTreeMap;
use wasip2::http::types::{Fields, Method, Scheme};

const URL: &[(&str, &str)] = &[("url", "string")];

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "get",
        description: "Sends a GET request, and answers the status and the first 2000 bytes of the body.",
        takes: URL,
        run: |given| get(&target(given)?),
    },
    Behaviour {
        name: "post",
        description: "Sends a POST request with the body \"x\".",
        takes: URL,
        run: |given| {
            let sent = post(&target(given)?, Fields::new(), 1)?;
            answer(&sent.response?)
        },
    },
    Behaviour {
        name: "method",
        description: "Sends a request with the method, whatever it is.",
        takes: &[("url", "string"), ("method", "string")],
        run: |given| {
            let request = target(given)?.request(&method(given.text("method")?), Fields::new())?;
            answer(&send(request)?)
        },
    },
    Behaviour {
        name: "follow",
        description: "Sends a GET request and follows up to 5 redirects by itself.",
        takes: URL,
        run: follow,
    },
    Behaviour {
        name: "header",
        description: "Sends a GET request with the header, in whichever of three ways the host takes it.",
        takes: &[("url", "string"), ("name", "string"), ("value", "string")],
        run: header,
    },
    Behaviour {
        name: "smuggle_path",
        description: "Sends a GET request to the scheme and host of the URL, with the path exactly as given.",
        takes: &[("url", "string"), ("path", "string")],
        run: |given| {
            let path = given.text("path")?.into();
            get(&Target {
                path,
                ..target(given)?
            })
        },
    },
    Behaviour {
        name: "authority",
        description: "Sends a GET request by http to the authority and the path exactly as given.",
        takes: &[("authority", "string"), ("path", "string")],
        run: |given| {
            get(&Target {
                scheme: Scheme::Http,
                authority: given.text("authority")?.into(),
                path: given.text("path")?.into(),
            })
        },
    },
    Behaviour {
        name: "header_flood",
        description: "Adds headers until no more are taken, sends a GET request with them, and answers how many bytes they have.",
        takes: URL,
        run: header_flood,
    },
    Behaviour {
        name: "content_length_lie",
        description: "Sends a POST request that says it has 3 bytes, and has 10.",
        takes: URL,
        run: content_length_lie,
    },
    Behaviour {
        name: "many",
        description: "Sends so many GET requests one after another, and reads their responses.",
        takes: &[("url", "string"), ("count", "integer")],
        run: many,
    },
    Behaviour {
        name: "many_open",
        description: "Sends so many GET requests at once, and keeps their responses open and unread.",
        takes: &[("url", "string"), ("count", "integer")],
        run: many_open,
    },
    Behaviour {
        name: "download",
        description: "Sends a GET request, reads the whole body, and answers its length.",
        takes: URL,
        run: |given| {
            let response = send(target(given)?.request(&Method::Get, Fields::new())?)?;
            let length = drain(&response)?;
            text(format!(
                "status: {}\nread {length} bytes",
                response.status()
            ))
        },
    },
    Behaviour {
        name: "slow",
        description: "As get, from a server that is slow.",
        takes: URL,
        run: |given| get(&target(given)?),
    },
    Behaviour {
        name: "upload",
        description: "Sends a POST request with a body of so many bytes, and answers how many were taken.",
        takes: &[("url", "string"), ("bytes", "integer")],
        run: upload,
    },
];

fn target(given: &Given) -> Result<Target, Error> {
    Target::parse(given.text("url")?)
}

/// One GET request.
pub fn get(target: &Target) -> Answer {
    answer(&send(target.request(&Method::Get, Fields::new())?)?)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.into()),
    }
}

fn follow(given: &Given) -> Answer {
    let mut target = target(given)?;
    for redirects in 0.. {
        let response = send(target.request(&Method::Get, Fields::new())?)?;
        let location = response.headers().get("location").into_iter().next();
        match location {
            Some(location) if redirects < 5 && (300..400).contains(&response.status()) => {
                target = target.redirected(&String::from_utf8_lossy(&location))?;
            }
            _ => return answer(&response),
        }
    }
    unreachable!("the sixth response is answered")
}

fn header(given: &Given) -> Answer {
    let target = target(given)?;
    let (name, value) = (given.text("name")?, given.text("value")?.as_bytes());
    let appended = Fields::new();
    let fields = appended
        .append(name, value)
        .map(|()| appended)
        .or_else(|_| {
            let set = Fields::new();
            set.set(name, &[value.to_vec()]).map(|()| set)
        })
        .or_else(|_| Fields::from_list(&[(name.to_owned(), value.to_vec())]))
        .map_err(|error| refused(format_args!("{error:?}")))?;
    answer(&send(target.request(&Method::Get, fields)?)?)
}

fn header_flood(given: &Given) -> Answer {
    const MOST: usize = 64 << 20;
    let target = target(given)?;
    let fields = Fields::new();
    let mut bytes = 0;
    for number in 0.. {
        let (name, value) = (format!("x-{number}"), [b'x'; 1000]);
        if bytes > MOST || fields.append(&name, &value).is_err() {
            break;
        }
        bytes += name.len() + value.len();
    }
    let response = send(target.request(&Method::Get, fields)?)?;
    text(format!(
        "status: {}\nsent {bytes} bytes of headers",
        response.status()
    ))
}

fn content_length_lie(given: &Given) -> Answer {
    let fields = Fields::new();
    fields
        .append("content-length", b"3")
        .map_err(|error| refused(format_args!("{error:?}")))?;
    let sent = post(&target(given)?, fields, 10)?;
    if let Some(error) = sent.error {
        let bytes = sent.bytes;
        return Err(refused(format_args!("{error}, after {bytes} bytes")));
    }
    let status = sent.response?.status();
    escaped(format_args!("sent 10 bytes as 3, status: {status}"))
}

fn many(given: &Given) -> Answer {
    let target = target(given)?;
    let mut statuses = BTreeMap::new();
    for number in 0..given.number::<u64>("count")? {
        let response = target
            .request(&Method::Get, Fields::new())
            .and_then(send)
            .map_err(|error| after(error, number))?;
        drain(&response).map_err(|error| after(error, number))?;
        *statuses.entry(response.status()).or_insert(0u64) += 1;
    }
    let lines: Vec<_> = statuses
        .iter()
        .map(|(status, count)| format!("status: {status} ({count} times)"))
        .collect();
    text(lines.join("\n"))
}

fn many_open(given: &Given) -> Answer {
    let target = target(given)?;
    let mut started = Vec::new();
    for number in 0..given.number::<u64>("count")? {
        let response = target
            .request(&Method::Get, Fields::new())
            .and_then(start)
            .map_err(|error| after(error, number))?;
        started.push(response);
    }
    let mut open = Vec::new();
    for response in &started {
        let response = wait(response).map_err(|error| after(error, open.len() as u64))?;
        open.push(response);
    }
    text(format!("{} responses open at once", open.len()))
}

/// The error of a request that was not the first one.
fn after(error: Error, number: u64) -> Error {
    match error {
        Error::Failed(message) => Error::Failed(format!("{message}, after {number}")),
        other => other,
    }
}

fn upload(given: &Given) -> Answer {
    let sent = post(&target(given)?, Fields::new(), given.number("bytes")?)?;
    let bytes = sent.bytes;
    match (sent.response, sent.error) {
        (Ok(response), error) => {
            let why = error.map(|error| format!(", then {error}"));
            let (status, why) = (response.status(), why.unwrap_or_default());
            text(format!("status: {status}\nsent {bytes} bytes{why}"))
        }
        (Err(error), _) => Err(after(error, bytes)),
    }
}
