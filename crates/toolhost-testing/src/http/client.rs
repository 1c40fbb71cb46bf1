//! Requests, and responses that can be read piece by piece.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use super::{Headers, PATIENCE, read_head};

/// A response whose head has come.
pub struct Incoming {
    reader: BufReader<TcpStream>,
    pub status: u16,
    headers: Headers,
    /// What is left of a body of known length.
    left: Option<usize>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Headers,
    pub body: String,
}

/// Sends a request on a connection of its own; its response is still to be read.
pub fn send(
    address: &str,
    request: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = format!("{request} HTTP/1.1\r\n");
    if find_name(headers, "host").is_none() {
        text += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes())?;
    Ok(stream)
}

fn find_name<'h>(headers: &[(&str, &'h str)], name: &str) -> Option<&'h str> {
    let mut headers = headers.iter();
    let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| *value)
}

/// One request and its whole response.
#[track_caller]
pub fn ask(address: &str, request: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let stream = send(address, request, headers, body).unwrap();
    Incoming::read(stream).unwrap().whole()
}

impl Incoming {
    pub fn read(stream: TcpStream) -> std::io::Result<Incoming> {
        let mut reader = BufReader::new(stream);
        let (line, headers) = read_head(&mut reader)?;
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no status: {line:?}")))?;
        let left = match headers.get("transfer-encoding") {
            Some(_) => None,
            None => Some(headers.length().unwrap_or(0)),
        };
        Ok(Incoming {
            reader,
            status,
            headers,
            left,
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    pub fn is_stream(&self) -> bool {
        let kind = self.header("content-type").unwrap_or_default();
        kind.starts_with("text/event-stream")
    }

    /// The next piece of the body; `None` at its end, or where the connection breaks off.
    fn piece(&mut self) -> Option<Vec<u8>> {
        let length = match &mut self.left {
            Some(left) => std::mem::take(left),
            None => {
                let mut line = String::new();
                self.reader.read_line(&mut line).ok()?;
                usize::from_str_radix(line.trim(), 16).ok()?
            }
        };
        if length == 0 {
            return None;
        }
        let mut piece = vec![0; length];
        self.reader.read_exact(&mut piece).ok()?;
        if self.left.is_none() {
            let mut end = [0; 2];
            self.reader.read_exact(&mut end).ok()?;
        }
        Some(piece)
    }

    pub fn whole(mut self) -> Reply {
        let mut body = Vec::new();
        while let Some(piece) = self.piece() {
            body.extend(piece);
        }
        Reply {
            status: self.status,
            headers: self.headers,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// Hands over each message, of an event or the body, until there are no more.
    pub fn messages(mut self, mut take: impl FnMut(Value)) {
        if !self.is_stream() {
            let status = self.status;
            let body = self.whole().body;
            match serde_json::from_str::<Value>(&body) {
                Ok(message) if message.get("jsonrpc").is_some() => take(message),
                _ if status == 202 => {}
                _ => take(serde_json::json!({ "status": status, "body": body })),
            }
            return;
        }
        let mut text = Vec::new();
        while let Some(piece) = self.piece() {
            text.extend(piece);
            while let Some(end) = text.windows(2).position(|it| it == b"\n\n") {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                let event = String::from_utf8(event).unwrap();
                let data: Vec<&str> = event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .collect();
                // What comes first on a stream has an id and no data.
                if let Ok(message) = serde_json::from_str(data.join("\n").trim()) {
                    take(message);
                }
            }
        }
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}

/// Ends a connection, whoever still reads from it.
pub fn hang_up(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}
