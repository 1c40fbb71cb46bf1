//! A client that says exactly what a test wants said: JSON-RPC lines over pipes, requests over sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Nothing that is waited for takes longer, but on a machine that stands still.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server over stdio, initialized.
pub struct Pipes {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Receiver<String>,
    /// Messages that came while another was waited for.
    aside: Vec<Value>,
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

impl Pipes {
    pub fn start(mut command: Command, capabilities: Value) -> Pipes {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipes = Pipes {
            stdin: child.stdin.take(),
            lines: lines(child.stdout.take().unwrap()),
            stderr: lines(child.stderr.take().unwrap()),
            child,
            aside: Vec::new(),
        };
        pipes.send(&initialize(0, &capabilities));
        let reply = pipes.reply(0);
        assert_eq!(reply["result"]["serverInfo"]["name"], "toolhost", "{reply}");
        pipes.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        pipes
    }

    pub fn send(&mut self, message: &Value) {
        self.write(format!("{message}\n"));
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes.as_ref()).unwrap();
    }

    pub fn request(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        let id: Value = id.into();
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    }

    /// The next message, of whatever kind.
    pub fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a message");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next message that is like this; others wait.
    pub fn wait(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.aside.iter().position(&is_it) {
            return self.aside.remove(at);
        }
        loop {
            let message = self.next();
            if is_it(&message) {
                return message;
            }
            self.aside.push(message);
        }
    }

    pub fn reply(&mut self, id: impl Into<Value>) -> Value {
        let id: Value = id.into();
        self.wait(|message| message["id"] == id && message.get("method").is_none())
    }

    pub fn ask(&mut self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        let id: Value = id.into();
        self.request(id.clone(), method, params);
        self.reply(id)
    }

    pub fn call(&mut self, id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
        self.ask(
            id,
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
    }

    /// Waits for a line on stderr that has this.
    pub fn said(&mut self, what: &str) -> String {
        loop {
            let line = self.stderr.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("nothing on stderr has {what:?}"));
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Whether such a message came while another was waited for.
    pub fn has(&self, is_it: impl Fn(&Value) -> bool) -> bool {
        self.aside.iter().any(is_it)
    }

    /// A message that is left; `None` once its output has ended.
    pub fn left(&mut self) -> Option<Value> {
        if let Some(message) = self.aside.pop() {
            return Some(message);
        }
        let line = self.lines.recv_timeout(PATIENCE).ok()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// All of stderr that nobody has waited for; to be called once it has ended.
    pub fn all_said(&mut self) -> String {
        let lines: Vec<String> = self.stderr.iter().collect();
        lines.join("\n")
    }

    pub fn signal(&self, signal: &str) {
        signal_to(&self.child, signal);
    }

    /// Closes its input and waits for it to end.
    pub fn finish(mut self) -> ExitStatus {
        drop(self.stdin.take());
        ended(&mut self.child)
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal_to(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
}

pub fn ended(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < until, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn initialize(id: u64, capabilities: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": capabilities,
        "clientInfo": { "name": "test", "version": "1" } } })
}

pub fn text(reply: &Value) -> &str {
    let text = reply["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text: {reply}"))
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The last message in it: the body, or that of its last event.
    pub fn message(&self) -> Value {
        let data = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data:"));
        let last = data.map(str::trim).rfind(|data| data.starts_with('{'));
        let text = last.unwrap_or(&self.body);
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a request and leaves the connection open.
pub fn begin(address: &str, request_line: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{request_line} HTTP/1.1\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        head += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!(
        "Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    stream
}

pub fn http(address: &str, request_line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = begin(address, request_line, headers, body);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no answer: {text:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

const BOTH: (&str, &str) = ("Accept", "application/json, text/event-stream");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A message to `/mcp`, with these headers beside those that every client sends.
pub fn post(address: &str, headers: &[(&str, &str)], message: &Value) -> Answer {
    let all = [&[BOTH, JSON], headers].concat();
    http(address, "POST /mcp", &all, &message.to_string())
}

/// A request of the stateless protocol.
pub fn stateless(method: &str, mut params: Value, capabilities: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// Sends it with the headers that go with it.
pub fn post_stateless(address: &str, headers: &[(&str, &str)], message: &Value) -> Answer {
    let all = [&stateless_headers(message)[..], headers].concat();
    post(address, &all, message)
}

pub fn stateless_headers(message: &Value) -> Vec<(&str, &str)> {
    let mut headers = vec![
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", message["method"].as_str().unwrap()),
    ];
    let params = &message["params"];
    if let Some(name) = params["name"].as_str().or_else(|| params["uri"].as_str()) {
        headers.push(("Mcp-Name", name));
    }
    headers
}
