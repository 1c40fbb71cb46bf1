//! A model by hand: it answers as it is told, and keeps what it is sent.

use std::io;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use toolhost::wire::Format;

use crate::http::{Request, Server, Stream};

/// What the server answers a request with.
#[derive(Clone)]
pub enum Say {
    /// A whole answer, with headers beside its type and length.
    Whole(u16, &'static str, String),
    /// A whole answer that is no text.
    Broken(u16, Vec<u8>),
    /// Events, then the connection's end: in order, or where it breaks off.
    Events(Vec<String>),
    /// Lines of JSON, as Ollama streams.
    Lines(Vec<String>),
    /// Events, of which the last waits for the test.
    Late(Vec<String>, Until),
    /// Events, after which the connection stays open until the test lets it end.
    Held(Vec<String>, Until),
    /// Events under another media type.
    Typed(&'static str, Vec<String>),
    /// Nothing: the connection ends.
    Nothing,
}

/// What the model waits for: a word of the test, or that its [`Sender`] is dropped.
#[derive(Clone)]
pub struct Until(Arc<Mutex<Receiver<()>>>);

impl Until {
    pub fn new() -> (Sender<()>, Until) {
        let (sender, receiver) = channel();
        (sender, Until(Arc::new(Mutex::new(receiver))))
    }

    fn wait(&self) {
        let _ = self.0.lock().unwrap().recv();
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: String,
    pub body: Value,
    /// The body to the letter.
    pub text: String,
}

pub struct Peer {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _server: Server,
}

impl Peer {
    /// Answers one request after the other; what comes after that finds nobody.
    pub fn start(script: Vec<Say>) -> Peer {
        Peer::behind("http", script, Ok)
    }

    /// The same, with something between it and the connection.
    pub fn behind<S: Stream>(
        scheme: &str,
        script: Vec<Say>,
        wrap: impl Fn(TcpStream) -> io::Result<S> + Send + Sync + 'static,
    ) -> Peer {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let answers = script.into_iter().map(|say| {
            let asked = asked.clone();
            move |request: &Request, stream: &mut dyn Stream| {
                asked.lock().unwrap().push(Asked::of(request)?);
                answer(stream, say)
            }
        });
        let server = Server::script(wrap, answers.collect());
        Peer {
            url: format!("{scheme}://localhost:{}", server.address.port()),
            asked,
            _server: server,
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Asked {
    fn of(request: &Request) -> io::Result<Asked> {
        Ok(Asked {
            path: request.target().to_owned(),
            headers: request.head().to_lowercase(),
            body: serde_json::from_str(request.body())?,
            text: request.body().to_owned(),
        })
    }
}

fn answer(stream: &mut dyn Stream, say: Say) -> io::Result<()> {
    let (mut before_last, mut before_end) = (None, None);
    let mut kind = "text/event-stream";
    let events = match say {
        Say::Nothing => return Ok(()),
        Say::Whole(status, headers, body) => {
            let length = body.len();
            return write!(
                stream,
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 {headers}content-length: {length}\r\n\r\n{body}"
            );
        }
        Say::Broken(status, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {length}\r\n\r\n"
            );
            return stream.write_all(&[head.as_bytes(), &body].concat());
        }
        Say::Events(events) => events,
        Say::Lines(lines) => {
            kind = "application/x-ndjson";
            lines
        }
        Say::Late(events, until) => {
            before_last = Some(until);
            events
        }
        Say::Held(events, until) => {
            before_end = Some(until);
            events
        }
        Say::Typed(other, events) => {
            kind = other;
            events
        }
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n"
    )?;
    let is_whole = events.last().is_none_or(|event| !event.is_empty());
    let last = events.len().saturating_sub(1);
    for (number, event) in events
        .into_iter()
        .filter(|event| !event.is_empty())
        .enumerate()
    {
        if number == last
            && let Some(until) = &before_last
        {
            until.wait();
        }
        write!(stream, "{:x}\r\n{event}\r\n", event.len())?;
        stream.flush()?;
    }
    if let Some(until) = before_end {
        until.wait();
    }
    // Without the last chunk, the client knows that it was cut off.
    match is_whole {
        true => write!(stream, "0\r\n\r\n"),
        false => Ok(()),
    }
}

/// Ends a list of events where the connection is to break off.
pub const BREAK: &str = "";

/// A whole answer of text.
pub fn text(format: Format, text: &str) -> Say {
    let body = match format {
        Format::OpenaiChat => json!({ "choices": [{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": text } }] }),
        Format::OpenaiResponses => json!({ "object": "response", "status": "completed", "output": [
            { "type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
              "content": [{ "type": "output_text", "text": text, "annotations": [] }] }] }),
        Format::Anthropic => {
            json!({ "type": "message", "role": "assistant", "stop_reason": "end_turn",
            "content": [{ "type": "text", "text": text }] })
        }
        _ => json!({ "candidates": [{ "finishReason": "STOP", "content": { "role": "model",
            "parts": [{ "text": text }] } }] }),
    };
    Say::Whole(200, "", body.to_string())
}

/// A whole answer of calls: id, name, arguments.
pub fn calls(format: Format, calls: &[(&str, &str, Value)]) -> Say {
    Say::Whole(200, "", calls_body(format, calls).to_string())
}

pub fn calls_body(format: Format, calls: &[(&str, &str, Value)]) -> Value {
    let calls = calls.iter();
    match format {
        Format::OpenaiChat => {
            let calls: Vec<Value> = calls
                .map(|(id, name, arguments)| {
                    json!({ "id": id, "type": "function",
                        "function": { "name": name, "arguments": arguments.to_string() } })
                })
                .collect();
            json!({ "choices": [{ "index": 0, "finish_reason": "tool_calls", "message":
                { "role": "assistant", "content": null, "tool_calls": calls } }] })
        }
        Format::OpenaiResponses => {
            let items: Vec<Value> = calls
                .map(|(id, name, arguments)| {
                    json!({ "type": "function_call", "id": format!("fc_{id}"), "call_id": id,
                        "name": name, "arguments": arguments.to_string(), "status": "completed" })
                })
                .collect();
            json!({ "object": "response", "status": "completed", "output": items })
        }
        Format::Anthropic => {
            let blocks: Vec<Value> = calls
                .map(|(id, name, input)| {
                    json!({ "type": "tool_use", "id": id, "name": name, "input": input })
                })
                .collect();
            json!({ "type": "message", "role": "assistant", "stop_reason": "tool_use",
                "content": blocks })
        }
        _ => {
            let parts: Vec<Value> = calls
                .map(|(_, name, args)| json!({ "functionCall": { "name": name, "args": args } }))
                .collect();
            json!({ "candidates": [{ "finishReason": "STOP", "content": { "role": "model",
                "parts": parts } }] })
        }
    }
}

/// Data as an event.
pub fn event(data: Value) -> String {
    format!("data: {data}\n\n")
}

/// The events of an OpenAI chat completion that calls one tool, without those of its end.
pub fn chat_call(index: usize, id: &str, name: &str, arguments: &Value) -> Vec<String> {
    let delta = |call: Value| {
        event(json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] }))
    };
    let arguments = arguments.to_string();
    let (first, second) = arguments.split_at(arguments.len() / 2);
    vec![
        delta(json!({ "index": index, "id": id, "type": "function",
            "function": { "name": name, "arguments": "" } })),
        delta(json!({ "index": index, "function": { "arguments": first } })),
        delta(json!({ "index": index, "function": { "arguments": second } })),
    ]
}

/// The end of an OpenAI chat completion's stream.
pub fn chat_end(reason: &str) -> Vec<String> {
    vec![
        event(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })),
        "data: [DONE]\n\n".to_owned(),
    ]
}
