//! Tools that ask for what WASI offers: streams, environment, files, network, randomness. What
//! goes wrong there is the answer, in the words that the guest got to see.

use crate::toolhost::plugin::host::{self, Level};
use crate::{Answer, Behaviour, Given, NOTHING, Takes, failed, text};
use serde_json::Value;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::{env, fs};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingResponse, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "print_some",
        description: "Prints so many lines \"out N\" to stdout and \"err N\" to stderr, and logs one.",
        takes: Takes::Required(&[("lines", "integer")]),
        run: print_some,
    },
    Behaviour {
        name: "env",
        description: "Answers the environment variables as a JSON object.",
        takes: NOTHING,
        run: |_| environment(),
    },
    Behaviour {
        name: "args",
        description: "Answers the command line arguments as a JSON array.",
        takes: NOTHING,
        run: |_| text(env::args().collect::<Value>().to_string()),
    },
    Behaviour {
        name: "stdin",
        description: "Reads stdin to its end, and answers how many bytes there were.",
        takes: NOTHING,
        run: |_| stdin(),
    },
    Behaviour {
        name: "read",
        description: "Answers the text of a file.",
        takes: Takes::Required(&[("path", "string")]),
        run: |given| text(fs::read_to_string(given.text("path")?).map_err(failed)?),
    },
    Behaviour {
        name: "write",
        description: "Writes the text to a file.",
        takes: Takes::Required(&[("path", "string"), ("text", "string")]),
        run: write,
    },
    Behaviour {
        name: "list",
        description: "Answers the names in a directory, sorted, one a line.",
        takes: Takes::Required(&[("path", "string")]),
        run: list,
    },
    Behaviour {
        name: "http_get",
        description: "Answers the status of a GET request, and on the next lines the body.",
        takes: Takes::Required(&[("url", "string")]),
        run: |given| http_get(given.text("url")?),
    },
    Behaviour {
        name: "connect",
        description: "Connects to an address (HOST:PORT) by TCP.",
        takes: Takes::Required(&[("address", "string")]),
        run: connect,
    },
    Behaviour {
        name: "random",
        description: "Answers 8 random bytes in hexadecimal.",
        takes: NOTHING,
        run: |_| text(format!("{:016x}", RandomState::new().hash_one(0))),
    },
];

fn print_some(given: &Given) -> Answer {
    let lines: u64 = given.number("lines")?;
    for line in 1..=lines {
        println!("out {line}");
        eprintln!("err {line}");
    }
    // Whatever the C library still holds has to be with the host before the call ends.
    io::stdout().flush().map_err(failed)?;
    host::log(Level::Info, "logged");
    text(format!("printed {lines} lines"))
}

fn environment() -> Answer {
    let variables: serde_json::Map<_, _> = env::vars()
        .map(|(name, value)| (name, value.into()))
        .collect();
    text(Value::from(variables).to_string())
}

fn stdin() -> Answer {
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input).map_err(failed)?;
    text(input.len().to_string())
}

fn write(given: &Given) -> Answer {
    fs::write(given.text("path")?, given.text("text")?).map_err(failed)?;
    text("written")
}

fn list(given: &Given) -> Answer {
    let mut names = fs::read_dir(given.text("path")?)
        .map_err(failed)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)?;
    names.sort();
    text(names.join("\n"))
}

fn connect(given: &Given) -> Answer {
    let address = given.text("address")?;
    TcpStream::connect(address).map_err(failed)?;
    text(format!("connected to {address}"))
}

fn http_get(url: &str) -> Answer {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| failed("a URL without a scheme"))?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let request = OutgoingRequest::new(Fields::new());
    request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .map_err(|()| failed("a URL that wasi:http does not take"))?;

    let response = outgoing_handler::handle(request, None).map_err(failed)?;
    response.subscribe().block();
    let response = response
        .get()
        .expect("it is ready")
        .expect("it was not taken before")
        .map_err(failed)?;
    let body = body(&response)?;
    text(format!(
        "{}\n{}",
        response.status(),
        String::from_utf8_lossy(&body)
    ))
}

fn body(response: &IncomingResponse) -> Result<Vec<u8>, crate::Error> {
    let body = response.consume().expect("it was not taken before");
    let stream = body.stream().expect("it was not taken before");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(error) => return Err(failed(error)),
        }
    }
}
