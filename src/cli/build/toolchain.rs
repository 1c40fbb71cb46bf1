//! What all languages share: running the programs of a build, and saying what is missing.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;

use super::super::child::{self, Ended};

/// Why there is no component.
#[derive(Debug)]
pub(in crate::cli) enum BuildError {
    /// Something that the build needs is not installed: what, and the command that installs it.
    Missing(String),
    /// The sources are wrong, for instance: what the compiler says, with files and lines.
    Failed { said: String, why: String },
    /// It took longer than the limit.
    TimedOut(Duration),
}

pub(super) type Built<T> = Result<T, BuildError>;

impl BuildError {
    pub(super) fn failed(why: impl Into<String>) -> BuildError {
        BuildError::Failed {
            said: String::new(),
            why: why.into(),
        }
    }
}

/// A running build.
pub(super) struct Toolchain<'t> {
    /// The folder of what builds install.
    pub(super) tools: PathBuf,
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
    /// Receives what is being done, a line each.
    pub(super) progress: &'t (dyn Fn(&str) + Sync),
}

impl Toolchain<'_> {
    /// A program to be run in a folder, with the folder for tools in its environment.
    pub(super) fn command(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env("TOOLHOST_TOOLS", &self.tools);
        command
    }

    /// Runs a program to its end.
    pub(super) async fn run(&self, command: Command) -> Built<Ended> {
        let program = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        self.start(command)
            .await
            .map_err(|error| self.error(&program, &error))
    }

    /// Runs a program to its end, if it is installed.
    pub(super) async fn run_if_there(&self, command: Command) -> Built<Option<Ended>> {
        let program = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        match self.start(command).await {
            Ok(ended) => Ok(Some(ended)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error(&program, &error)),
        }
    }

    async fn start(&self, command: Command) -> io::Result<Ended> {
        child::run(command, self.deadline, |line| (self.progress)(line)).await
    }

    fn error(&self, program: &str, error: &io::Error) -> BuildError {
        match error.kind() {
            ErrorKind::TimedOut => BuildError::TimedOut(self.timeout),
            _ => BuildError::failed(format!("cannot run `{program}`: {error}")),
        }
    }

    /// The time left, in seconds, for a tool that has a timeout of its own.
    pub(super) fn seconds_left(&self) -> String {
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.as_secs().max(1).to_string()
    }
}

/// The folder of build tools: `TOOLHOST_TOOLS`, or one in the user's cache. The SDKs have the same rule.
pub(super) fn tools_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(named) = set("TOOLHOST_TOOLS") {
        return std::path::absolute(named).ok();
    }
    let cache = match set("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None if cfg!(windows) => PathBuf::from(set("LOCALAPPDATA")?),
        None => {
            let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty())?;
            home.join(match cfg!(target_os = "macos") {
                true => "Library/Caches",
                false => ".cache",
            })
        }
    };
    Some(cache.join("toolhost/tools"))
}

/// Whether a program is in PATH.
pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).any(|folder| folder.join(&name).is_file())
}
