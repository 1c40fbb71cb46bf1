//! `toolhost serve`, with the guest that the conformance suite asks for and one that echoes.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::binary::Folder;
use crate::common::wait_for;

/// A folder with the manifest that is served.
pub fn folder() -> Folder {
    Folder::of(&["conformance", "echo"])
}

/// The command line that serves over stdio, from whatever folder.
pub fn stdio(folder: &Folder) -> Vec<OsString> {
    let manifest = folder.path().join("toolhost.toml");
    vec![
        env!("CARGO_BIN_EXE_toolhost").into(),
        "--manifest".into(),
        manifest.into(),
        "serve".into(),
    ]
}

/// A server that listens on a port of its own, until it is dropped.
pub struct Http {
    child: Child,
    pub url: String,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    pub folder: Folder,
}

impl Drop for Http {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("toolhost serve said:\n{}", said(&self.said));
        }
    }
}

impl Http {
    pub fn start() -> Http {
        Http::start_in(folder())
    }

    pub fn start_in(folder: Folder) -> Http {
        let command = folder.command(&["serve", "--http", "127.0.0.1:0"]);
        Http::run(folder, command)
    }

    /// A command that serves in a folder.
    pub fn run(folder: Folder, mut command: Command) -> Http {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let shared = Arc::new(Mutex::new(String::new()));
        let url = lines.by_ref().map_while(Result::ok).find_map(|line| {
            add(&shared, &line);
            Some(line.split_once("listening on ")?.1.trim().to_owned())
        });
        let Some(url) = url else {
            let _ = child.kill();
            let status = child.wait();
            panic!("{status:?}, and it does not listen:\n{}", said(&shared));
        };
        let reader = std::thread::spawn({
            let shared = shared.clone();
            // It stops where nobody reads what it says.
            move || {
                lines
                    .map_while(Result::ok)
                    .for_each(|line| add(&shared, &line))
            }
        });
        Http {
            child,
            url,
            said: shared,
            reader: Some(reader),
            folder,
        }
    }

    /// Its address, without the rest of the URL.
    pub fn address(&self) -> &str {
        let rest = self.url.strip_prefix("http://").unwrap();
        rest.strip_suffix("/mcp").unwrap()
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.process(), name);
    }

    pub fn said(&self) -> String {
        said(&self.said)
    }

    #[track_caller]
    pub fn until_said(&self, text: &str) {
        until_said(|| self.said(), text);
    }

    /// Waits for its end; fails where that takes for ever.
    #[track_caller]
    pub fn end(&mut self) -> (Option<i32>, Duration) {
        end(&mut self.child, &mut self.reader)
    }
}

pub fn signal(process: u32, name: &str) {
    let kill = format!("kill -{name} {process}");
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success(), "{kill}");
}

/// The status of a process that ends, and how long that took; all that it said is read then.
#[track_caller]
pub fn end(child: &mut Child, reader: &mut Option<JoinHandle<()>>) -> (Option<i32>, Duration) {
    let start = Instant::now();
    let status = wait_for("it ends", || child.try_wait().unwrap().ok_or("running"));
    let took = start.elapsed();
    if let Some(reader) = reader.take() {
        reader.join().unwrap();
    }
    (status.code(), took)
}

pub fn add(shared: &Mutex<String>, line: &str) {
    let mut said = shared.lock().unwrap_or_else(PoisonError::into_inner);
    said.push_str(line);
    said.push('\n');
}

/// Waits until a process says a text.
#[track_caller]
pub fn until_said(said: impl Fn() -> String, text: &str) {
    let look = || Some(said()).filter(|said| said.contains(text));
    wait_for(text, || look().ok_or_else(&said));
}

pub fn said(shared: &Mutex<String>) -> String {
    shared
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
