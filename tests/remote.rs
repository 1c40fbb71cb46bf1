//! Other MCP servers, whose tools are offered beside those of the plugins. `tests/remote/server.py` is
//! one, well behaved and otherwise.

mod asks;
mod calls;
mod command;
mod faults;
mod http;
mod lazy;
mod listing;
mod odd;
mod pins;
mod processes;
mod served;
mod stub;

use std::path::PathBuf;

use toolhost::{LoadError, Manifest, ToolHost};
use toolhost_testing::{eventually, wait_until};

use crate::common::binary::Folder;
use crate::common::{root, try_load};

/// A server in a folder of its own, in which it writes down what happens to it.
struct Stage {
    folder: Folder,
    manifest: String,
}

impl Stage {
    /// `mode` are arguments of the server, `more` lines of its section.
    fn new(mode: &[&str], more: &str) -> Stage {
        let mut stage = Stage {
            folder: Folder::empty(),
            manifest: String::new(),
        };
        stage.add("test", mode, more);
        stage
    }

    /// One more server.
    fn add(&mut self, name: &str, mode: &[&str], more: &str) {
        let state = self.state().display().to_string();
        let server = server().display().to_string();
        let mut args = vec![&*server, "--state", &*state];
        args.extend(mode);
        self.manifest += &format!("[mcp.{name}]\ncommand = 'python3'\nargs = {args:?}\n{more}\n");
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn manifest(&self) -> Manifest {
        let file = self.folder.write("toolhost.toml", &self.manifest);
        Manifest::read(file).unwrap()
    }

    async fn try_load(&self) -> Result<ToolHost, LoadError> {
        try_load(self.manifest()).await
    }

    async fn load(&self) -> ToolHost {
        self.try_load()
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is said of a server that cannot be loaded.
    async fn problem(&self) -> String {
        match self.try_load().await {
            Ok(_) => panic!("it loads"),
            Err(error) => error.to_string(),
        }
    }

    /// What the server has written down.
    fn events(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.state()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the server has written such a line, and gives what stands behind its first word.
    async fn event(&self, word: &str) -> String {
        self.last_event(word, 1).await
    }

    /// Waits until it has written so many of them, and gives that of the last.
    async fn last_event(&self, word: &str, count: usize) -> String {
        wait_for_line(word, count, || self.events()).await
    }
}

/// Waits until there are so many lines that begin with a word, and gives what stands behind it in the last.
async fn wait_for_line(word: &str, count: usize, lines: impl Fn() -> Vec<String>) -> String {
    let look = async || {
        let lines = lines();
        let found = lines.iter().filter_map(|line| line.strip_prefix(word));
        let found: Vec<&str> = found.collect();
        match found.last() {
            Some(last) if found.len() >= count => Ok(last.trim().to_owned()),
            _ => Err(lines),
        }
    };
    eventually(&format!("{count} lines with {word}"), look).await
}

fn server() -> PathBuf {
    root().join("tests/remote/server.py")
}

/// Whether a process is there that has not ended.
fn is_alive(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}

/// Waits until processes are gone that were told to: being killed takes a moment.
fn wait_until_gone(processes: &[String]) {
    wait_until("they are gone", || {
        !processes.iter().any(|process| is_alive(process))
    });
}
