//! A client by hand, over either transport and by either kind of protocol.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::binary::Folder;
use crate::http::{self, Incoming, PATIENCE};
use crate::server::{Http, add, folder, said, signal, until_said};

/// The revisions that stand for the two kinds: with a session, and without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    Old,
    New,
}
pub use Revision::{New, Old};

impl Revision {
    pub fn name(self) -> &'static str {
        match self {
            Old => "2025-11-25",
            New => "2026-07-28",
        }
    }
}

pub struct Client {
    wire: Wire,
    /// Where its server runs, if nobody else needs it.
    _folder: Option<Folder>,
    pub revision: Revision,
    capabilities: Value,
    /// Goes into the `_meta` of every request.
    pub meta: Value,
    messages: Receiver<Value>,
    /// What came while something else was waited for.
    aside: VecDeque<Value>,
    next: u64,
}

enum Wire {
    Stdio(Process),
    Http(Address),
}

/// `toolhost serve` on pipes.
pub struct Process {
    pub child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

struct Address {
    address: String,
    token: Option<String>,
    session: Option<String>,
    sender: Sender<Value>,
    /// The connection of the last request.
    last: Option<TcpStream>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("toolhost serve said:\n{}", said(&self.said));
        }
    }
}

impl Client {
    /// One at a server of its own with the usual guests.
    #[track_caller]
    pub fn alone(revision: Revision, capabilities: Value) -> Client {
        Client::inside(folder(), revision, capabilities)
    }

    /// One at a server of its own, in a folder that nobody else needs.
    #[track_caller]
    pub fn inside(folder: Folder, revision: Revision, capabilities: Value) -> Client {
        let mut client = Client::stdio(&folder, revision, capabilities);
        client._folder = Some(folder);
        client
    }

    /// One at a server of its own, by the old protocol in a session that has begun.
    #[track_caller]
    pub fn stdio(folder: &Folder, revision: Revision, capabilities: Value) -> Client {
        let mut client = Client::stdio_raw(folder, revision, capabilities);
        client.begin();
        client
    }

    /// The same, with these options of the command.
    #[track_caller]
    pub fn stdio_with(
        folder: &Folder,
        options: &[&str],
        revision: Revision,
        capabilities: Value,
    ) -> Client {
        let mut client = Client::stdio_raw_with(folder, options, revision, capabilities);
        client.begin();
        client
    }

    /// One at a server of its own, and nothing was said yet.
    #[track_caller]
    pub fn stdio_raw(folder: &Folder, revision: Revision, capabilities: Value) -> Client {
        Client::stdio_raw_with(folder, &[], revision, capabilities)
    }

    #[track_caller]
    fn stdio_raw_with(
        folder: &Folder,
        options: &[&str],
        revision: Revision,
        capabilities: Value,
    ) -> Client {
        let mut child = folder
            .command(&[&["serve"][..], options].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, messages) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Nothing but messages may be on stdout.
                let message = serde_json::from_str(&line).unwrap_or(json!({ "garbage": line }));
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let shared = Arc::new(Mutex::new(String::new()));
        let reader = std::thread::spawn({
            let shared = shared.clone();
            move || {
                let lines = stderr.lines().map_while(Result::ok);
                lines.for_each(|line| add(&shared, &line));
            }
        });
        let wire = Wire::Stdio(Process {
            stdin: child.stdin.take(),
            child,
            said: shared,
            reader: Some(reader),
        });
        Client::over(wire, messages, revision, capabilities)
    }

    #[track_caller]
    pub fn http(server: &Http, revision: Revision, capabilities: Value) -> Client {
        Client::http_as(server, revision, capabilities, None)
    }

    #[track_caller]
    pub fn http_as(
        server: &Http,
        revision: Revision,
        capabilities: Value,
        token: Option<&str>,
    ) -> Client {
        let (sender, messages) = channel();
        let wire = Wire::Http(Address {
            address: server.address().to_owned(),
            token: token.map(str::to_owned),
            session: None,
            sender,
            last: None,
        });
        let mut client = Client::over(wire, messages, revision, capabilities);
        client.begin();
        client
    }

    fn over(
        wire: Wire,
        messages: Receiver<Value>,
        revision: Revision,
        capabilities: Value,
    ) -> Client {
        Client {
            wire,
            _folder: None,
            revision,
            capabilities,
            meta: json!({}),
            messages,
            aside: VecDeque::new(),
            next: 1,
        }
    }

    #[track_caller]
    fn begin(&mut self) {
        if self.revision == New {
            return;
        }
        let params = json!({
            "protocolVersion": self.revision.name(),
            "clientInfo": { "name": "test", "version": "1" },
            "capabilities": self.capabilities,
        });
        let id = self.request("initialize", params);
        if let Wire::Http(http) = &mut self.wire {
            let incoming = Incoming::read(http.last.take().unwrap()).unwrap();
            http.session = incoming.header("mcp-session-id").map(str::to_owned);
            incoming.messages(|message| http.sender.send(message).unwrap());
        }
        let answer = self.answer(id);
        assert_eq!(
            answer["result"]["protocolVersion"],
            self.revision.name(),
            "{answer}"
        );
        self.notify("notifications/initialized", json!({}));
    }

    pub fn session(&self) -> &str {
        match &self.wire {
            Wire::Http(http) => http.session.as_deref().unwrap(),
            Wire::Stdio(_) => panic!("no HTTP"),
        }
    }

    pub fn process(&mut self) -> &mut Process {
        match &mut self.wire {
            Wire::Stdio(process) => process,
            Wire::Http(_) => panic!("no process of its own"),
        }
    }

    /// Reads what comes without being asked for, in a session over HTTP.
    #[track_caller]
    pub fn listen(&mut self) {
        let Wire::Http(http) = &mut self.wire else {
            return;
        };
        let headers = http.headers(self.revision, &Value::Null);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, &**v)).collect();
        let stream = http::send(&http.address, "GET /mcp", &headers, "").unwrap();
        let incoming = Incoming::read(stream).unwrap();
        assert_eq!(incoming.status, 200);
        let sender = http.sender.clone();
        std::thread::spawn(move || incoming.messages(|message| drop(sender.send(message))));
    }

    /// Bytes as they are, on stdio.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.process().stdin.as_mut().unwrap();
        stdin.write_all(bytes.as_ref()).unwrap();
        stdin.flush().unwrap();
    }

    pub fn send(&mut self, message: &Value) {
        let revision = self.revision;
        match &mut self.wire {
            Wire::Stdio(process) => {
                let stdin = process.stdin.as_mut().unwrap();
                stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
            }
            Wire::Http(http) => {
                let headers = http.headers(revision, message);
                let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, &**v)).collect();
                let body = message.to_string();
                let stream = http::send(&http.address, "POST /mcp", &headers, &body).unwrap();
                http.last = Some(stream.try_clone().unwrap());
                // Who reads that learns its session by it.
                if message["method"] == "initialize" {
                    return;
                }
                let sender = http.sender.clone();
                let read = move || match Incoming::read(stream) {
                    Ok(incoming) => incoming.messages(|message| drop(sender.send(message))),
                    Err(error) => drop(sender.send(json!({ "broken": error.to_string() }))),
                };
                match message.get("id").is_some() && message.get("method").is_some() {
                    true => drop(std::thread::spawn(read)),
                    // It has come once that is answered.
                    false => read(),
                }
            }
        }
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request, and does not wait for its answer.
    pub fn request(&mut self, method: &str, mut params: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        let mut meta = self.meta.clone();
        if self.revision == New {
            meta["io.modelcontextprotocol/protocolVersion"] = json!(self.revision.name());
            meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "1" });
            meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        }
        if meta != json!({}) {
            params["_meta"] = meta;
        }
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// Asks for a call, and does not wait for its result.
    pub fn start(&mut self, tool: &str, arguments: Value) -> u64 {
        self.request(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
    }

    /// The first message like that, of those that are not taken yet.
    #[track_caller]
    pub fn take(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        self.try_take(PATIENCE, &is_it)
            .unwrap_or_else(|| panic!("no {what} among {:#?}", self.aside))
    }

    pub fn try_take(
        &mut self,
        patience: Duration,
        is_it: impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        if let Some(at) = self.aside.iter().position(&is_it) {
            return self.aside.remove(at);
        }
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) if is_it(&message) => return Some(message),
                Ok(message) => self.aside.push_back(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    #[track_caller]
    pub fn answer(&mut self, id: u64) -> Value {
        self.take(&format!("answer to {id}"), |message| {
            message["id"] == id && message.get("method").is_none()
        })
    }

    /// What the server asks, or tells.
    #[track_caller]
    pub fn told(&mut self, method: &str) -> Value {
        self.take(method, |message| message["method"] == method)
    }

    /// Whatever of that kind came up to now.
    pub fn so_far(&mut self, method: &str) -> Vec<Value> {
        self.aside.extend(self.messages.try_iter());
        let (found, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.aside)
            .into_iter()
            .partition(|message| message["method"] == method);
        self.aside = rest.into();
        found
    }

    #[track_caller]
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        self.answer(id)
    }

    #[track_caller]
    pub fn result(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params);
        assert!(answer.get("result").is_some(), "{answer:#}");
        answer["result"].take()
    }

    #[track_caller]
    pub fn error(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params);
        assert!(answer.get("error").is_some(), "{answer:#}");
        answer["error"].take()
    }

    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.result(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
    }

    /// The one text of a call that goes well.
    #[track_caller]
    pub fn text(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments);
        text(&result).to_owned()
    }

    pub fn respond(&mut self, request: &Value, result: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }));
    }

    /// Drops the connection of the last request.
    pub fn hang_up(&mut self) {
        match &mut self.wire {
            Wire::Http(http) => http::hang_up(&http.last.take().unwrap()),
            Wire::Stdio(process) => process.stdin = None,
        }
    }
}

/// The one text of a result that is no error.
#[track_caller]
pub fn text(result: &Value) -> &str {
    assert_ne!(result["isError"], true, "{result:#}");
    assert_eq!(
        result["content"].as_array().map(Vec::len),
        Some(1),
        "{result:#}"
    );
    result["content"][0]["text"].as_str().unwrap()
}

impl Address {
    fn headers(&self, revision: Revision, message: &Value) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("Accept", "application/json, text/event-stream".to_owned()),
        ];
        if message["method"] != "initialize" {
            headers.push(("MCP-Protocol-Version", revision.name().to_owned()));
        }
        if let Some(token) = &self.token {
            headers.push(("Authorization", format!("Bearer {token}")));
        }
        if let Some(session) = &self.session {
            headers.push(("Mcp-Session-Id", session.clone()));
        }
        if revision == New
            && let Some(method) = message["method"].as_str()
        {
            headers.push(("Mcp-Method", method.to_owned()));
            let params = &message["params"];
            let names = ["name", "uri", "taskId"].map(|member| params[member].as_str());
            let name = names.into_iter().flatten().next();
            headers.extend(name.map(|name| ("Mcp-Name", name.to_owned())));
        }
        headers
    }
}

impl Process {
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub fn said(&self) -> String {
        said(&self.said)
    }

    #[track_caller]
    pub fn until_said(&self, text: &str) {
        until_said(|| self.said(), text);
    }

    /// Its number, and what it says from now on too.
    pub fn handle(&self) -> (u32, Arc<Mutex<String>>) {
        (self.child.id(), self.said.clone())
    }

    /// Waits for its end; fails where that takes for ever.
    #[track_caller]
    pub fn end(&mut self) -> (Option<i32>, Duration) {
        crate::server::end(&mut self.child, &mut self.reader)
    }
}
