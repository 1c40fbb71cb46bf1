//! aimock (npm `@copilotkit/aimock`), started on a port of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::root;

pub struct Aimock {
    child: Child,
    pub url: String,
    _fixtures: TempDir,
}

impl Drop for Aimock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Aimock {
    /// Answers by these fixtures, and fails what none of them matches.
    pub fn start(fixtures: Value) -> Aimock {
        let program = root().join("target/aimock/node_modules/@copilotkit/aimock/dist/cli.js");
        assert!(
            program.is_file(),
            "{} is missing: `cargo xtask aimock` installs it",
            program.display()
        );
        let folder = tempfile::tempdir().unwrap();
        let file = json!({ "fixtures": fixtures }).to_string();
        std::fs::write(folder.path().join("fixtures.json"), file).unwrap();
        let mut child = Command::new("node")
            .arg(program)
            .args(["-p", "0", "--strict", "-c", "7", "--journal-max", "0", "-f"])
            .arg(folder.path())
            .env_remove("AIMOCK_API_KEYS")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts aimock");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map(|line| line.unwrap())
            .find_map(|line| Some(line.split_once("listening on ")?.1.trim().to_owned()))
            .expect("aimock says where it listens");
        // It stops where nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Aimock {
            child,
            url,
            _fixtures: folder,
        }
    }

    /// What it was asked, each request's body as a chat completion's.
    pub fn journal(&self) -> Vec<Value> {
        let journal: Value =
            serde_json::from_str(&control(&self.url, "GET", "journal", "")).unwrap();
        let entries = journal.as_array().or(journal["entries"].as_array());
        let entries = entries.unwrap_or_else(|| panic!("{journal}"));
        entries
            .iter()
            .filter(|entry| entry["body"]["messages"].is_array())
            .cloned()
            .collect()
    }

    /// Has faults happen with these probabilities, from now on.
    pub fn chaos(&self, rates: Value) {
        control(&self.url, "POST", "chaos", &rates.to_string());
    }
}

/// A request to what controls aimock.
pub fn control(url: &str, method: &str, what: &str, body: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} /__aimock/{what} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    match head.to_lowercase().contains("transfer-encoding: chunked") {
        false => body.to_owned(),
        true => unchunked(body),
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
}
