//! The binary in a folder of its own: a manifest, files and input in; status and output out.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{guest, toolhost};

/// A folder to run the binary in; it is removed when dropped.
pub struct Folder(TempDir);

impl Folder {
    pub fn empty() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// A folder with that `toolhost.toml`.
    pub fn with(manifest: impl AsRef<str>) -> Folder {
        let folder = Folder::empty();
        folder.write("toolhost.toml", manifest.as_ref());
        folder
    }

    /// A folder with a `toolhost.toml` of these guests.
    pub fn of(guests: &[&str]) -> Folder {
        let plugins: Vec<String> = guests.iter().map(|name| listed(name)).collect();
        Folder::with(plugins.concat())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and makes the folders that it is in.
    pub fn write(&self, name: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// The binary with these arguments, to be run here, with the manifest that is here by its name.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = self.command_that_finds(arguments);
        if self.path().join("toolhost.toml").exists() {
            command.env("TOOLHOST_MANIFEST", "toolhost.toml");
        }
        command
    }

    /// As [`command`](Folder::command), but the manifest is there to be found: it may be a stranger's.
    pub fn command_that_finds<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = toolhost();
        command.current_dir(self.path()).args(arguments);
        command
    }

    /// Runs the binary here to its end.
    pub fn run<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: &[S],
        input: impl AsRef<[u8]>,
    ) -> Ended {
        run(self.command(arguments), input)
    }
}

/// The manifest's entry of a guest.
pub fn listed(name: &str) -> String {
    format!("[plugin.{name}]\npath = '{}'\n", guest(name).display())
}

/// How the binary ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end, with that on its stdin.
pub fn run(mut command: Command, input: impl AsRef<[u8]>) -> Ended {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || match stdin.write_all(input) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{error}"),
            // A command that ends without reading its input leaves a broken pipe.
            _ => {}
        });
        child.wait_with_output().unwrap()
    });
    let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
    Ended {
        status: output
            .status
            .code()
            .unwrap_or_else(|| panic!("ended by {}", output.status)),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Ended {
    /// Asserts that it answered, and said nothing but what is on stdout.
    #[track_caller]
    pub fn answered(self) -> Ended {
        assert_eq!((self.status, &*self.stderr), (0, ""), "{self:?}");
        self
    }

    /// Asserts that its one call failed, and that it said so on stdout alone.
    #[track_caller]
    pub fn call_failed(self) -> Ended {
        assert_eq!((self.status, &*self.stderr), (5, ""), "{self:?}");
        self
    }

    /// Asserts that it could not do its job, printed nothing, and said why with these words in it.
    #[track_caller]
    pub fn failed(self, why: &str) -> Ended {
        assert_eq!((self.status, &*self.stdout), (1, ""), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        assert!(self.stderr.contains(why), "no `{why}` in {self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    /// All of stdout, as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The array of results on stdout.
    #[track_caller]
    pub fn results(&self) -> Vec<Value> {
        match self.json() {
            Value::Array(results) => results,
            other => panic!("no array: {other}"),
        }
    }

    /// The lines of stdout, a JSON document each.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }
}

/// JSON Lines of calls: id, name, arguments.
pub fn json_lines(calls: &[(&str, &str, Value)]) -> String {
    calls
        .iter()
        .map(|(id, name, arguments)| {
            let call = serde_json::json!({ "id": id, "name": name, "arguments": arguments });
            format!("{call}\n")
        })
        .collect()
}
