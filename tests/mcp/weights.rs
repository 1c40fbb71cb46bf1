//! What a client can have the server hold, and for how long: memory, sessions, questions, subscriptions, notifications.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, New, Old};
use crate::common::binary::{Folder, listed};
use crate::common::{guest, wait_until};
use crate::http::{self, Incoming};
use crate::resident::{is_idle, resident_of, used, wait_until_busy, wait_until_idle};
use crate::server::Http;

const MIB: usize = 1 << 20;

/// Nearly as long as a body may be, and many times as much once it is read into values.
fn many_values() -> String {
    "[],".repeat(1_250_000) + "[]"
}

fn head<'h>(more: &[(&'h str, &'h str)]) -> Vec<(&'h str, &'h str)> {
    let mut head = vec![
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
    ];
    head.extend(more);
    head
}

/// How much more a process takes at most, while it is looked at.
struct Growth {
    process: u32,
    before: usize,
    most: usize,
}

impl Growth {
    fn of(process: u32) -> Growth {
        let before = resident_of(process);
        Growth {
            process,
            before,
            most: before,
        }
    }

    fn look(&mut self) -> usize {
        self.most = self.most.max(resident_of(self.process));
        self.most - self.before
    }

    /// Looks on until something is so, and a little longer.
    #[track_caller]
    fn until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) -> usize {
        wait_until(what, || {
            self.look();
            is_so()
        });
        for _ in 0..50 {
            self.look();
            std::thread::sleep(Duration::from_millis(10));
        }
        self.look()
    }
}

#[test]
fn session_keeps_only_needed_client_capabilities() {
    let server = Http::start();
    let mut growth = Growth::of(server.process());
    let values = many_values();
    let mut sessions = Vec::new();
    for member in ["experimental", "extensions", "sampling", "roots"] {
        for _ in 0..2 {
            let capabilities = format!(r#"{{"elicitation":{{}},"{member}":{{"x":[{values}]}}}}"#);
            let params = format!(
                r#"{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"clientInfo":{{"name":"n","version":"1"}}}}"#
            );
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#);
            let reply = http::ask(server.address(), "POST /mcp", &head(&[]), &body);
            assert_eq!(reply.status, 200, "{reply:?}");
            sessions.push(reply.header("mcp-session-id").unwrap().to_owned());
        }
    }
    let grown = growth.look();
    assert!(grown < 150 * MIB, "{} MiB", grown / MIB);
}

#[test]
fn what_a_client_says_that_it_can_is_known_however_much_else_it_says() {
    let server = Http::start();
    let capabilities = json!({
        "experimental": { "x": vec!["y"; 1000] },
        "elicitation": { "form": { "x": vec!["y"; 1000] } },
    });
    let mut client = Client::http(&server, Old, capabilities);
    let id = client.start("ask_twice", json!({}));
    let asked = client.told("elicitation/create");
    client.respond(&asked, json!({ "action": "decline" }));
    assert_eq!(client.answer(id)["result"]["isError"], true);
}

#[test]
fn meta_and_ids_that_would_be_kept_are_refused_where_they_are_long() {
    let server = Http::start();
    let folder = Folder::of(&["conformance", "echo"]);
    let mut clients = [
        Client::stdio(&folder, Old, json!({})),
        Client::stdio(&folder, New, json!({})),
        Client::http(&server, Old, json!({})),
        Client::http(&server, New, json!({})),
    ];
    for client in &mut clients {
        for much in [json!("x".repeat(20_000)), json!(vec![0; 2_000])] {
            client.meta = json!({ "x": much });
            let error = client.error("tools/call", json!({ "name": "echo", "arguments": {} }));
            assert_eq!(error["code"], -32602, "{error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("`_meta`"), "{message}");
        }
        client.meta = json!({ "x": "y".repeat(2_000) });
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        client.meta = json!({});
    }
    for client in &mut clients[..3] {
        let id = "x".repeat(2_000);
        client.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "echo", "arguments": { "text": "hi" } } }));
        let refused = client.take("a refusal", |message| message.get("error").is_some());
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("request id"), "{refused}");
    }
}

/// The status of the answer to a call, as a client without a session makes it; none where it is not read to its end.
fn stateless(address: &str, tool: &str, arguments: &str) -> Option<u16> {
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let params = format!(r#"{{"name":"{tool}","arguments":{arguments},"_meta":{meta}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    let head = head(&[
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", tool),
    ]);
    let stream = http::send(address, "POST /mcp", &head, &body).ok()?;
    Some(Incoming::read(stream).ok()?.status)
}

#[test]
fn waiting_calls_take_memory_by_length_up_to_a_bound() {
    let plugins = listed("conformance") + &listed("misbehave") + "tools = ['raw_arguments']\n";
    let host = "[host]\nmax-concurrency = 1\ntimeout = '60s'\n";
    let serve = "[serve]\nmax-in-flight = '16MiB'\nbody-timeout = '1s'\n";
    let server = Http::start_in(Folder::with(format!("{host}{serve}{plugins}")));
    let mut client = Client::http(&server, Old, json!({}));
    let spinning = client.start("spin", json!({}));
    let mut growth = Growth::of(server.process());
    let arguments = format!(r#"{{"x":[{}]}}"#, many_values());
    // They wait for the one that spins; a client may have two of them at once, and the others are not read.
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let (address, arguments) = (server.address().to_owned(), arguments.clone());
            std::thread::spawn(move || stateless(&address, "raw_arguments", &arguments))
        })
        .collect();
    let is_over = || waiting.iter().filter(|it| it.is_finished()).count() >= 6;
    let grown = growth.until("the others are refused", is_over);
    assert!(grown < 400 * MIB, "{} MiB", grown / MIB);
    client.notify("notifications/cancelled", json!({ "requestId": spinning }));
    let statuses = waiting.into_iter().map(|it| it.join().unwrap());
    let statuses: Vec<Option<u16>> = statuses.collect();
    let served = statuses.iter().filter(|it| **it == Some(200)).count();
    assert_eq!(served, 2, "{statuses:?}");
}

#[test]
fn calls_whose_client_has_hung_up_are_as_many_as_there_is_room_for() {
    let host = "[host]\nmax-concurrency = 1\ntimeout = '60s'\n";
    let serve = "[serve]\nmax-in-flight = '8MiB'\nbody-timeout = '2s'\n";
    let plugins = listed("conformance") + &listed("echo");
    let server = Http::start_in(Folder::with(format!("{host}{serve}{plugins}")));
    let mut client = Client::http(&server, Old, json!({}));
    let spinning = client.start("spin", json!({}));
    let session = client.session().to_owned();
    let headers = head(&[
        ("Mcp-Session-Id", &session),
        ("MCP-Protocol-Version", "2025-11-25"),
    ]);
    // They wait for the one that spins, and each client is gone as soon as its call is taken.
    let mut taken = 0;
    let refused = loop {
        let params = json!({ "name": "echo", "arguments": { "text": "hi" },
            "_meta": { "x": "y".repeat(15_000) } });
        let call = json!({ "jsonrpc": "2.0", "id": format!("w{taken}"), "method": "tools/call",
            "params": params });
        let stream = http::send(server.address(), "POST /mcp", &headers, &call.to_string());
        let response = Incoming::read(stream.unwrap()).unwrap();
        match response.status {
            200 => taken += 1,
            _ => break response.whole(),
        }
        assert!(taken < 500, "there is no end to it");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("max-in-flight"), "{refused:?}");
    // Half of 8 MiB, of 23 KiB and a part of a page each.
    assert!((100..200).contains(&taken), "{taken}");
    // What ends one of them needs no room, and there is room again.
    client.notify("notifications/cancelled", json!({ "requestId": spinning }));
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
}

/// A connection of HTTP/2 by hand, whose client takes nothing of any answer.
struct Silent {
    stream: TcpStream,
    next: u32,
}

impl Silent {
    fn connect(server: &Http) -> Silent {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        let mut silent = Silent { stream, next: 1 };
        silent.frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
        silent
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream
            .write_all(&[&head[..], payload].concat())
            .unwrap();
    }

    fn post(&mut self, headers: &[(&str, &str)], body: &str) {
        let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
        // POST, http, path and authority, as they are numbered.
        let mut head = vec![0x83, 0x86, 0x04];
        head.extend(text("/mcp"));
        head.push(0x01);
        head.extend(text("localhost"));
        for (name, value) in headers {
            head.push(0);
            head.extend(text(&name.to_lowercase()));
            head.extend(text(value));
        }
        let stream = self.next;
        self.next += 2;
        self.frame(1, 4, stream, &head);
        self.frame(0, 1, stream, body.as_bytes());
    }
}

#[test]
fn a_connection_that_takes_no_answer_holds_a_few_and_no_more() {
    const ANSWER: usize = 8 * MIB;
    let manifest = format!(
        "[plugin.misbehave]\npath = '{}'\nmax-output = '9MiB'\n{}",
        guest("misbehave").display(),
        listed("echo")
    );
    let server = Http::start_in(Folder::with(manifest));
    let mut other = Client::http(&server, Old, json!({}));
    let client = Client::http(&server, Old, json!({}));
    let mut growth = Growth::of(server.process());
    let mut silent = Silent::connect(&server);
    let session = client.session().to_owned();
    let headers = head(&[
        ("Mcp-Session-Id", &session),
        ("MCP-Protocol-Version", "2025-11-25"),
    ]);
    for id in 0..90 {
        let params = json!({ "name": "huge_output", "arguments": { "bytes": ANSWER } });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        silent.post(&headers, &call.to_string());
    }
    // Others are served, and once what runs is over no more is held.
    let mut last = 0;
    let grown = growth.until("no more comes", || {
        assert_eq!(other.text("echo", json!({ "text": "hi" })), "hi");
        std::thread::sleep(Duration::from_secs(1));
        let now = resident_of(server.process());
        let is_over = now.abs_diff(last) < MIB;
        last = now;
        is_over
    });
    assert!(grown > 2 * ANSWER, "nothing was answered: {grown}");
    assert!(grown < 400 * MIB, "{} MiB", grown / MIB);
    silent.stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(other.text("echo", json!({ "text": "hi" })), "hi");
}

/// A server over stdio that was sent an `initialize`, and then these requests at once. Nothing of
/// its answers has been read.
struct Unread {
    _folder: Folder,
    child: Child,
    stdin: ChildStdin,
    growth: Growth,
    requests: usize,
}

impl Unread {
    fn start(folder: Folder, requests: impl IntoIterator<Item = Value>) -> Unread {
        let mut child = folder
            .command(&["serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let growth = Growth::of(child.id());
        let begin = json!({ "jsonrpc": "2.0", "id": "begin", "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" } } });
        let begun = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let mut lines = format!("{begin}\n{begun}\n");
        let mut count = 1;
        for (id, mut request) in requests.into_iter().enumerate() {
            request["jsonrpc"] = "2.0".into();
            request["id"] = id.into();
            lines += &format!("{request}\n");
            count += 1;
        }
        stdin.write_all(lines.as_bytes()).unwrap();
        Unread {
            _folder: folder,
            child,
            stdin,
            growth,
            requests: count,
        }
    }

    fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::with_capacity(MIB, self.child.stdout.take().unwrap())
    }

    /// How much more memory the server took at most, until it computes no more.
    fn most_held(&mut self) -> usize {
        let process = self.child.id();
        let growth = &mut self.growth;
        wait_until("answers are held", || growth.look() > 32 * MIB);
        self.growth.until("nothing more is started", || {
            is_idle(process) && is_idle(process)
        })
    }

    /// Reads everything: no answer is missing.
    fn read_all(mut self) {
        let mut stdout = self.stdout();
        for answers in 0..self.requests {
            assert_ne!(stdout.skip_until(b'\n').unwrap(), 0, "{answers} answers");
        }
        drop(self.stdin);
        self.child.wait().unwrap();
    }
}

/// The server holds 64 MiB of unread answers, and those of the calls that ran when that was
/// exceeded; the last term is the message that is being written, and everything else.
fn most_unread(concurrency: usize, answer: usize) -> usize {
    64 * MIB + concurrency * answer + 144 * MIB
}

fn huge_output(bytes: usize) -> Value {
    json!({ "method": "tools/call",
        "params": { "name": "huge_output", "arguments": { "bytes": bytes } } })
}

fn misbehave(host: &str) -> Folder {
    let plugin = listed("misbehave") + "max-output = '9MiB'\n";
    Folder::with(format!("[host]\n{host}\n{plugin}"))
}

#[test]
fn stdio_client_that_reads_nothing_is_backpressured() {
    let calls = (0..60).map(|_| huge_output(8 * MIB));
    let mut server = Unread::start(misbehave("max-concurrency = 4"), calls);
    let held = server.most_held();
    assert!(held > 64 * MIB, "{} MiB", held / MIB);
    assert!(held < most_unread(4, 8 * MIB), "{} MiB", held / MIB);
    server.read_all();
}

#[test]
fn answers_other_than_those_of_calls_are_bounded_while_a_stdio_client_reads_nothing() {
    let folder = Folder::with("[resource.long]\nuri = 'docs://long'\npath = 'long.txt'\n");
    folder.write("long.txt", "x".repeat(MIB));
    let read = || json!({ "method": "resources/read", "params": { "uri": "docs://long" } });
    let mut server = Unread::start(folder, (0..400).map(|_| read()));
    let held = server.most_held();
    assert!(held < most_unread(16, MIB), "{} MiB", held / MIB);
    server.read_all();
}

#[test]
fn a_call_that_waits_for_a_stdio_client_to_read_can_be_cancelled() {
    const CALLS: usize = 20;
    let calls = (0..CALLS).map(|_| huge_output(8 * MIB));
    let mut server = Unread::start(misbehave("max-concurrency = 1"), calls);
    server.most_held();
    for call in 0..CALLS {
        let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": { "requestId": call } });
        writeln!(server.stdin, "{cancel}").unwrap();
    }
    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "id": "ping" });
    writeln!(server.stdin, "{ping}").unwrap();
    let mut stdout = server.stdout();
    drop(server.stdin);
    let mut answered = Vec::new();
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).unwrap() == 0 {
            break;
        }
        let answer: Value = serde_json::from_str(&line).unwrap();
        answered.push(answer["id"].clone());
    }
    server.child.wait().unwrap();
    assert!(answered.contains(&json!("ping")), "{answered:?}");
    // Besides it and `begin`: those that had ended before, of which at most 64 MiB were held.
    assert!(answered.len() <= 2 + 64 / 8 + 2, "{answered:?}");
}

fn forms() -> Value {
    json!({ "elicitation": { "form": {} } })
}

fn failure(answer: &Value) -> String {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let text = &answer["result"]["content"][0]["text"];
    text.as_str().unwrap().to_owned()
}

#[test]
fn a_client_is_asked_so_much_at_once_and_what_is_too_much_fails() {
    const MOST: usize = 16;
    let server = Http::start();
    let mut over_http = Client::http(&server, Old, forms());
    over_http.listen();
    for client in [&mut over_http, &mut Client::alone(Old, forms())] {
        let calls: Vec<u64> = (0..MOST + 4)
            .map(|_| client.start("ask_twice", json!({})))
            .collect();
        let asked: Vec<Value> = (0..MOST)
            .map(|_| client.told("elicitation/create"))
            .collect();
        for _ in 0..4 {
            let refused = client.take("a refusal", |message| message.get("result").is_some());
            let why = failure(&refused);
            assert!(why.contains("too many unanswered questions"), "{why}");
        }
        for asked in &asked {
            client.respond(asked, json!({ "action": "decline" }));
        }
        for _ in 0..MOST {
            let answer = client.take("an answer", |message| message.get("result").is_some());
            let why = failure(&answer);
            assert!(!why.contains("too many unanswered questions"), "{why}");
        }
        drop(calls);
        // There is room again.
        client.start("ask_twice", json!({}));
        client.told("elicitation/create");
    }
}

#[test]
fn a_question_has_so_long_to_be_answered_as_the_manifest_says() {
    let plugins = ["conformance", "echo"].map(listed).concat();
    let manifest = format!("[serve]\nask-timeout = '300ms'\n{plugins}");
    let mut client = Client::inside(Folder::with(manifest), Old, forms());
    let id = client.start("ask_twice", json!({}));
    client.told("elicitation/create");
    let why = failure(&client.answer(id));
    assert!(why.contains("did not answer"), "{why}");
}

#[test]
fn what_a_client_is_asked_ends_with_its_connection_or_its_session() {
    let mut client = Client::alone(Old, forms());
    let id = client.start("ask_twice", json!({}));
    client.told("elicitation/create");
    client.hang_up();
    // Whoever only closed its end still reads.
    let why = failure(&client.answer(id));
    assert!(why.contains("the client has disconnected"), "{why}");
    assert_eq!(client.process().end().0, Some(0));

    let server = Http::start();
    let others: Vec<Client> = (0..9)
        .map(|_| Client::http(&server, Old, forms()))
        .collect();
    for mut client in others {
        // More than all may be asked at once, were those of ended sessions still asked.
        for _ in 0..16 {
            client.start("ask_twice", json!({}));
            client.told("elicitation/create");
        }
        let headers = [
            ("Mcp-Session-Id", client.session()),
            ("MCP-Protocol-Version", "2025-11-25"),
        ];
        let deleted = http::ask(server.address(), "DELETE /mcp", &headers, "");
        assert_eq!(deleted.status, 204, "{deleted:?}");
    }
}

/// Two plugins of one guest: whatever one of them may say of its resources, the other says too.
fn twins() -> Folder {
    let path = guest("conformance");
    let plugin =
        |name: &str, more: &str| format!("[plugin.{name}]\npath = '{}'\n{more}\n", path.display());
    Folder::with(plugin("a", "") + &plugin("b", "prefix = 'other_'") + &listed("echo"))
}

const UPDATED: &str = "notifications/resources/updated";
const LISTED: &str = "notifications/resources/list_changed";

#[test]
fn a_plugin_says_nothing_of_what_another_has() {
    let folder = twins();
    let mut client = Client::stdio(&folder, Old, json!({}));
    let (one, two) = ("test://template/1/data", "test://static-text");
    for uri in [one, two] {
        client.result("resources/subscribe", json!({ "uri": uri }));
    }
    for uri in [one, two] {
        client.call("other_touch_resource", json!({ "uri": uri }));
    }
    client.call("touch_resource", json!({ "uri": one }));
    assert_eq!(client.told(UPDATED)["params"]["uri"], one);
    client.call("touch_resource", json!({ "uri": two }));
    assert_eq!(client.told(UPDATED)["params"]["uri"], two);
    client.call("change_resources", json!({}));
    client.told(LISTED);
    assert_eq!(client.so_far(UPDATED), [Value::Null; 0]);
}

#[test]
fn what_a_tool_says_without_end_is_told_now_and_then() {
    const SAID: usize = 20_000;
    let server = Http::start();
    let uri = "test://static-text";
    let mut bystander = Client::http(&server, Old, json!({}));
    bystander.listen();
    bystander.result("resources/subscribe", json!({ "uri": uri }));
    let mut client = Client::http(&server, Old, json!({}));
    let begun = Instant::now();
    client.call("many_changes", json!({ "n": SAID, "uri": uri }));
    let took = begun.elapsed();
    // What was said last is told too.
    std::thread::sleep(Duration::from_millis(500));
    let told = bystander.so_far(UPDATED).len() + bystander.so_far(LISTED).len();
    let most = 2 * (3 + (took.as_millis() / 100) as usize);
    assert!(
        told >= 2 && told <= most.min(SAID / 10),
        "{told} in {took:?}"
    );
}

#[test]
fn progress_without_end_is_told_at_a_bounded_rate() {
    let mut client = Client::alone(Old, json!({}));
    client.meta = json!({ "progressToken": "p" });
    let begun = Instant::now();
    client.call("many_progress", json!({ "n": 20_000 }));
    let took = begun.elapsed();
    client.meta = json!({});
    client.text("echo", json!({ "text": "" }));
    let told = client.so_far("notifications/progress").len();
    let most = 102 + (took.as_millis() / 10) as usize;
    assert!(told >= 50 && told <= most.min(10_000), "{told} in {took:?}");
}

#[test]
fn expensive_watched_resources_take_bounded_cpu() {
    let plugins = ["conformance", "echo"].map(listed).concat();
    let manifest = format!("[host]\ntimeout = '1s'\n{plugins}");
    let server = Http::start_in(Folder::with(manifest));
    let mut client = Client::http(&server, New, json!({}));
    let uris: Vec<String> = (0..40)
        .map(|number| format!("test://template/spin-{number}/data"))
        .collect();
    let filter = json!({ "resourceSubscriptions": uris });
    client.request("subscriptions/listen", json!({ "notifications": filter }));
    client.told("notifications/subscriptions/acknowledged");
    // What may be asked at once is used up.
    std::thread::sleep(Duration::from_secs(3));
    let (begun, before) = (Instant::now(), used(server.process()));
    std::thread::sleep(Duration::from_secs(4));
    let share = (used(server.process()) - before).div_duration_f64(begun.elapsed());
    assert!(share < 0.6, "{share} of the time");
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
}

#[test]
fn whatever_is_cancelled_computes_no_more() {
    let server = Http::start();
    let spin = "test://template/spin/data";
    let template = json!({ "type": "ref/resource", "uri": "test://template/{id}/data" });
    let requests = [
        ("resources/subscribe", json!({ "uri": spin })),
        ("resources/read", json!({ "uri": spin })),
        (
            "completion/complete",
            json!({ "ref": template, "argument": { "name": "id", "value": "spin" } }),
        ),
    ];
    let process = server.process();
    let mut client = Client::http(&server, Old, json!({}));
    for (method, params) in requests {
        let id = client.request(method, params);
        wait_until_busy(process);
        client.notify("notifications/cancelled", json!({ "requestId": id }));
        wait_until_idle(process);
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
    }
}
