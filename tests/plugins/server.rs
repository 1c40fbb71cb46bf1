//! A web server for one test: pages by the request.

use std::collections::BTreeMap;
use std::io;

use toolhost_testing::http::{self, Stream};

/// What a client sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub method: String,
    /// The path, with the query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// What is answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// A page of that type.
pub fn page(content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    Answer {
        status: 200,
        headers: vec![("content-type", content_type.to_owned())],
        body: body.into(),
    }
}

/// A redirect, whose own contents are nobody's.
pub fn redirect(status: u16, location: impl Into<String>) -> Answer {
    Answer {
        status,
        headers: vec![("location", location.into())],
        body: b"elsewhere".to_vec(),
    }
}

pub struct Server {
    /// Its address, without a slash at the end.
    pub url: String,
    server: http::Server,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
        Server::raw(move |request, client| {
            let request = Request::of(request);
            write(client, answer(&request), request.method == "HEAD")
        })
    }

    /// A server that answers with bytes of its own.
    pub fn raw(
        answer: impl Fn(&http::Request, &mut dyn Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let server = http::Server::start(answer);
        let url = format!("http://{}", server.address);
        Server { url, server }
    }

    /// A server with one page for all.
    pub fn of(content_type: &'static str, body: impl Into<Vec<u8>>) -> Server {
        let body = body.into();
        Server::start(move |_| page(content_type, body.clone()))
    }

    /// What was asked of it so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests().iter().map(Request::of).collect()
    }
}

impl Request {
    fn of(request: &http::Request) -> Request {
        let headers = request.headers();
        let headers = headers.iter();
        Request {
            method: request.method().to_owned(),
            target: request.target().to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: request.body().to_owned(),
        }
    }
}

fn write(client: &mut dyn Stream, answer: Answer, is_head: bool) -> io::Result<()> {
    write!(
        client,
        "HTTP/1.1 {} -\r\nconnection: close\r\n",
        answer.status
    )?;
    for (name, value) in answer.headers {
        write!(client, "{name}: {value}\r\n")?;
    }
    write!(client, "content-length: {}\r\n\r\n", answer.body.len())?;
    match is_head {
        true => Ok(()),
        false => client.write_all(&answer.body),
    }
}
