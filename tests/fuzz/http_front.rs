//! What a network sends to the HTTP server. An input is all that comes on one connection; `SESSION` in it stands for
//! the id of a session that is open.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;
use toolhost::manifest::ServeConfig;
use toolhost::mcp::Listener;

use crate::harness::{Checked, corpus, fuzz};
use crate::mutate::{arbitrary, mutated};
use crate::served::{PATIENCE, is_message, runtime, server};

pub const WORDS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\0",
    " ",
    ":",
    "GET ",
    "POST ",
    "DELETE ",
    "OPTIONS ",
    "HEAD ",
    "CONNECT ",
    "/mcp",
    "/healthz",
    "/readyz",
    "/.well-known/oauth-protected-resource",
    "*",
    "http://localhost",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    "Host: localhost\r\n",
    "Host: evil.test\r\n",
    "Origin: http://localhost\r\n",
    "Origin: null\r\n",
    "Content-Length: 2\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Transfer-Encoding: chunked\r\n",
    "0\r\n\r\n",
    "2\r\n{}\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: h2c\r\n",
    "Content-Type: application/json\r\n",
    "Content-Type: text/plain\r\n",
    "Content-Encoding: gzip\r\n",
    "Accept: application/json\r\n",
    "Accept: text/event-stream\r\n",
    "Accept: */*;q=0\r\n",
    "Authorization: Bearer x\r\n",
    "Mcp-Session-Id: SESSION\r\n",
    "Mcp-Protocol-Version: 2026-07-28\r\n",
    "Mcp-Protocol-Version: 2025-11-25\r\n",
    "Mcp-Method: tools/list\r\n",
    "Last-Event-ID: 1\r\n",
    "X-Forwarded-For: 10.0.0.1\r\n",
    "Access-Control-Request-Method: POST\r\n",
    "Access-Control-Request-Headers: mcp-session-id\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\"method\":\"tools/call\"",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
];

/// What HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often the server may go on before a client leaves that has got no end.
const TURNS: usize = 100;

#[test]
fn http_front() {
    let seeds = corpus("http_front");
    let files = seeds.iter().map(|(_, text)| text.clone()).collect();
    let inputs = prop_oneof![
        1 => arbitrary(),
        6 => mutated(files, WORDS),
    ];
    fuzz("http_front", &seeds, inputs, check);
}

/// Good is what is answered with a success.
pub fn check(input: &[u8]) -> Checked {
    let front = front();
    let session = front.begin()?;
    let input = with_session(input, &session);
    let said = front.exchange(&input, Leaves::Early)?;
    let is_good = match input.starts_with(PREFACE) {
        true => frames(&said)?,
        false => {
            let responses = responses(&said, find(&input, b"HEAD").is_some())?;
            responses.iter().any(|it| (200..300).contains(&it.status))
        }
    };
    // On another connection, and whatever has become of it.
    front.end(&session)?;
    Ok(is_good)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|it| it == what)
}

fn with_session(input: &[u8], session: &str) -> Vec<u8> {
    let mut rest = input;
    let mut whole = Vec::new();
    while let Some(at) = find(rest, b"SESSION") {
        whole.extend_from_slice(&rest[..at]);
        whole.extend_from_slice(session.as_bytes());
        rest = &rest[at + "SESSION".len()..];
    }
    whole.extend_from_slice(rest);
    whole
}

/// A server, at the other end of connections that are in this process.
struct Front {
    connections: UnboundedSender<DuplexStream>,
}

struct Connections(UnboundedReceiver<DuplexStream>);

impl Listener for Connections {
    type Stream = DuplexStream;

    fn address(&self) -> io::Result<Option<SocketAddr>> {
        Ok(None)
    }

    async fn accept(&mut self) -> io::Result<(DuplexStream, IpAddr)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, Ipv4Addr::LOCALHOST.into())),
            None => std::future::pending().await,
        }
    }
}

fn front() -> &'static Front {
    static FRONT: OnceLock<Front> = OnceLock::new();
    FRONT.get_or_init(|| {
        let http = server().http(&ServeConfig::default());
        let http = http.expect("no file is in the configuration");
        let (connections, accepted) = unbounded_channel();
        runtime().spawn(async move {
            let never = CancellationToken::new();
            http.serve(Connections(accepted), never, Duration::ZERO)
                .await
        });
        Front { connections }
    })
}

/// When a client leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// Once nothing more happens: what runs is cancelled then.
    Early,
    /// After the server.
    Last,
}

impl Front {
    /// What comes back on a connection on which that was sent.
    fn exchange(&self, input: &[u8], leaves: Leaves) -> Result<Vec<u8>, String> {
        let exchange = async {
            let (client, server) = duplex(1 << 20);
            let sent = self.connections.send(server);
            sent.map_err(|_| "the server takes no connections any more")?;
            let (mut from, mut to) = split(client);
            let mut said = Vec::new();
            let reading =
                async { while from.read_buf(&mut said).await.is_ok_and(|read| read > 0) {} };
            let writing = async {
                // One that has ended reads no more.
                let _ = to.write_all(input).await;
                if leaves == Leaves::Last {
                    std::future::pending::<()>().await;
                }
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                () = reading => {}
                () = writing => {}
            }
            Ok(said)
        };
        let exchange = runtime().block_on(async { timeout(PATIENCE, exchange).await });
        exchange.unwrap_or_else(|_| Err(format!("no end after {PATIENCE:?}")))
    }

    /// The one response to a request with which nothing is wrong.
    fn ask(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Result<Response, String> {
        let headers = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let request = format!(
            "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: application/json, \
             text/event-stream\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{body}",
            body.len(),
            headers.collect::<String>(),
        );
        let said = self.exchange(request.as_bytes(), Leaves::Last)?;
        let mut responses = responses(&said, false)?;
        match (responses.pop(), responses.is_empty()) {
            (Some(response), true) if response.is_whole => Ok(response),
            _ => Err(format!("no one response: {}", said.escape_ascii())),
        }
    }

    /// Begins a session.
    fn begin(&self) -> Result<String, String> {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" },
        });
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
        let response = self.ask("POST", &[], &message.to_string())?;
        let session = response.header("mcp-session-id").map(str::to_owned);
        let session = session.ok_or_else(|| format!("no session begins: {response:?}"))?;
        let begun = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let headers = [("Mcp-Session-Id", &*session)];
        let response = self.ask("POST", &headers, &begun.to_string())?;
        match response.status {
            202 => Ok(session),
            _ => Err(format!("no session begins: {response:?}")),
        }
    }

    /// Ends a session, which the input may have ended.
    fn end(&self, session: &str) -> Result<(), String> {
        let response = self.ask("DELETE", &[("Mcp-Session-Id", session)], "")?;
        match response.status {
            204 | 404 => Ok(()),
            _ => Err(format!("the session does not end: {response:?}")),
        }
    }
}

#[derive(Debug)]
struct Response {
    status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Nothing was cut off.
    is_whole: bool,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| &**value)
    }

    /// Whether the body is what the header says.
    fn check(&self) -> Result<(), String> {
        let kind = self.header("content-type").unwrap_or_default();
        let read = |text: &[u8]| -> Result<(), String> {
            let message: Value = serde_json::from_slice(text)
                .map_err(|why| format!("{why}: {}", text.escape_ascii()))?;
            is_message(&message)
        };
        match kind.split(';').next().unwrap_or_default() {
            "application/json" if self.is_whole => {
                // Before a request comes to MCP, it may be refused in other words.
                let is_refusal =
                    |it: &Value| it.get("jsonrpc").is_none() && it["error"].is_string();
                match serde_json::from_slice::<Value>(&self.body) {
                    Ok(document) if self.status >= 400 && is_refusal(&document) => Ok(()),
                    _ => read(&self.body),
                }
            }
            "text/event-stream" => {
                let whole = match self.body.windows(2).rposition(|it| it == b"\n\n") {
                    Some(end) => &self.body[..end],
                    None => &[],
                };
                let lines = whole.split(|byte| *byte == b'\n');
                let data = lines.filter_map(|line| line.strip_prefix(b"data:"));
                data.map(<[u8]>::trim_ascii)
                    .filter(|data| !data.is_empty())
                    .try_for_each(read)
            }
            _ => Ok(()),
        }
    }
}

/// The responses of a connection of HTTP/1. The last may be cut off, as the client left.
fn responses(said: &[u8], may_lack_bodies: bool) -> Result<Vec<Response>, String> {
    let mut responses = Vec::new();
    let mut rest = said;
    while !rest.is_empty() {
        let Some(end) = find(rest, b"\r\n\r\n") else {
            break;
        };
        let head = std::str::from_utf8(&rest[..end]).map_err(|_| "a head that is no text")?;
        rest = &rest[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let status = status
            .strip_prefix("HTTP/1.1 ")
            .or(status.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|it| it.get(..3)?.parse::<u16>().ok());
        let status = status.filter(|it| (100..600).contains(it));
        let status = status.ok_or_else(|| format!("no status: {head}"))?;
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').ok_or(format!("no header: {line}"))?;
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        let mut response = Response {
            status,
            headers: headers.collect::<Result<_, String>>()?,
            body: Vec::new(),
            is_whole: true,
        };
        let has_none = status < 200 || [204, 304].contains(&status);
        // What answers HEAD has the headers of a body.
        let is_next = rest.starts_with(b"HTTP/1.") || rest.is_empty();
        if !(has_none || may_lack_bodies && is_next) {
            rest = take_body(&mut response, rest)?;
            response.check()?;
        }
        responses.push(response);
    }
    Ok(responses)
}

/// Puts the body into the response; returns what comes after it.
fn take_body<'a>(response: &mut Response, mut rest: &'a [u8]) -> Result<&'a [u8], String> {
    if response.header("transfer-encoding") == Some("chunked") {
        loop {
            let Some(end) = find(rest, b"\r\n") else {
                response.is_whole = false;
                return Ok(&[]);
            };
            let size = std::str::from_utf8(&rest[..end]).unwrap_or_default();
            let size = usize::from_str_radix(size, 16);
            let size = size.map_err(|_| format!("no size: {}", rest.escape_ascii()))?;
            let Some(chunk) = rest.get(end + 2..end + 2 + size + 2) else {
                response.is_whole = false;
                return Ok(&[]);
            };
            let chunk = chunk
                .strip_suffix(b"\r\n")
                .ok_or("a chunk that is longer")?;
            response.body.extend_from_slice(chunk);
            rest = &rest[end + 2 + size + 2..];
            if size == 0 {
                return Ok(rest);
            }
        }
    }
    let length = match response.header("content-length") {
        Some(length) => length.parse().map_err(|_| format!("no length: {length}"))?,
        // Until the end of the connection.
        None => rest.len(),
    };
    response.is_whole = length <= rest.len();
    let (body, rest) = rest.split_at(length.min(rest.len()));
    response.body = body.to_vec();
    Ok(rest)
}

/// Whether a connection of HTTP/2 has answered anything but what it is.
fn frames(said: &[u8]) -> Checked {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const CONTINUATION: u8 = 9;
    let mut rest = said;
    let mut kinds = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
        let size = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind > CONTINUATION {
            return Err(format!("a frame of kind {kind}"));
        }
        kinds.push(*kind);
        // The last may be cut off.
        rest = after.get(size..).unwrap_or_default();
    }
    match kinds.first() {
        Some(&SETTINGS) | None => Ok(kinds.contains(&HEADERS)),
        Some(other) => Err(format!("begins with a frame of kind {other}")),
    }
}
