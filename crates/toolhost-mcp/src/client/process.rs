//! The command of an MCP server: a child process with its own environment and process group, which
//! does not outlive this process.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWrite, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use super::settings::Settings;
use super::watchdog::Watchdog;
use toolhost_core::locks;
use toolhost_core::manifest::McpCommand;

/// The environment variables that a command inherits: those needed to find programs and files and
/// to talk to the user. All others may be secrets.
const INHERITED: [&str; 22] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    // Hardly any program starts on Windows without these.
    "APPDATA",
    "COMSPEC",
    "HOMEDRIVE",
    "HOMEPATH",
    "LOCALAPPDATA",
    "PATHEXT",
    "PROGRAMFILES",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "USERPROFILE",
];

/// How long it may take to exit once its stdin is closed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest line of stderr kept, in bytes.
const MAX_LINE: usize = 1000;

/// How much of a line is read, so that a secret in the kept part is complete and can be masked.
const READ_LINE: usize = 64 << 10;

/// Lines of stderr kept for messages.
const KEPT_LINES: usize = 10;

/// The running process groups, with the watchdogs that kill them if this process is killed.
static RUNNING: Mutex<BTreeMap<u32, Option<Watchdog>>> = Mutex::new(BTreeMap::new());

/// Kills the commands of all MCP servers of this process at once: for a program that exits without
/// dropping its hosts.
pub fn kill_mcp_servers() {
    locks::lock(&RUNNING).keys().copied().for_each(kill_group);
}

pub(super) struct Process {
    id: u32,
    stdin: Stdin,
    kept: Arc<Mutex<VecDeque<String>>>,
    /// How it ended.
    ended: watch::Receiver<Option<String>>,
}

impl Process {
    /// # Errors
    ///
    /// Why it does not start.
    pub(super) fn start(
        command: &McpCommand,
        settings: &Arc<Settings>,
    ) -> Result<(Process, ChildStdout), String> {
        let mut command = self::command(command, settings)?;
        let program = command.as_std().get_program().to_owned();
        let failed = |error: io::Error| {
            let program = program.display();
            format!("does not start: `{program}`: {error}")
        };
        let watchdog = Watchdog::start();
        let mut child = command.spawn().map_err(failed)?;
        let lost = || failed(io::Error::other("it has no pipes"));
        let id = child.id().ok_or_else(lost)?;
        let stdin = Stdin(Arc::new(Mutex::new(child.stdin.take())));
        let stdout = child.stdout.take().ok_or_else(lost)?;
        let stderr = child.stderr.take().ok_or_else(lost)?;
        let watchdog = watchdog.and_then(|mut it| it.watch(id).map(|()| it));
        let watchdog = watchdog.inspect_err(|error| {
            let name = &settings.config.name;
            tracing::debug!("mcp.{name} may keep running if toolhost is killed: {error}");
        });
        locks::lock(&RUNNING).insert(id, watchdog.ok());
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        tokio::spawn(drain(stderr, kept.clone(), settings.clone()));
        let (sender, ended) = watch::channel(None);
        tokio::spawn(reap(child, id, sender));
        let process = Process {
            id,
            stdin,
            kept,
            ended,
        };
        Ok((process, stdout))
    }

    /// Its stdin.
    pub(super) fn stdin(&self) -> Stdin {
        self.stdin.clone()
    }

    /// How it ended, if it does so soon.
    pub(super) async fn ended(&self) -> Option<String> {
        let mut ended = self.ended.clone();
        let known = ended.wait_for(Option::is_some);
        let known = tokio::time::timeout(EXIT_TIMEOUT, known).await.ok()?;
        known.ok()?.clone()
    }

    /// The last lines of its stderr.
    pub(super) fn last_words(&self) -> Vec<String> {
        locks::lock(&self.kept).iter().cloned().collect()
    }
}

impl Drop for Process {
    /// The process may be about to exit, so it cannot be killed later.
    fn drop(&mut self) {
        locks::lock(&self.stdin.0).take();
        let until = Instant::now() + EXIT_TIMEOUT;
        while is_running(self.id) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        forget(self.id);
    }
}

fn command(command: &McpCommand, settings: &Settings) -> Result<Command, String> {
    for file in settings.config.host_files() {
        let found = settings.paths.check_way(&file);
        found.map_err(|error| format!("does not start: {error}"))?;
    }
    // A relative path is looked up from our folder, not from its working folder.
    let program = match command.program.components().count() {
        1 => command.program.clone(),
        _ => std::path::absolute(&command.program).map_err(|error| error.to_string())?,
    };
    let mut started = Command::new(program);
    let inherited = INHERITED
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    started
        .args(&command.args)
        .env_clear()
        .envs(inherited)
        .envs(&command.env)
        .envs(settings.secrets.iter().map(|(k, v)| (k, v.reveal())))
        .current_dir(&command.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A process group of its own: it is killed with everything it started, and Ctrl-C does not
    // reach it.
    #[cfg(unix)]
    started.process_group(0);
    #[cfg(not(unix))]
    started.kill_on_drop(true);
    Ok(started)
}

/// Waits for its exit, and kills what it leaves behind.
async fn reap(mut child: Child, id: u32, ended: watch::Sender<Option<String>>) {
    let how = match child.wait().await {
        Ok(status) => how_ended(status),
        Err(error) => format!("cannot be waited for: {error}"),
    };
    forget(id);
    ended.send_replace(Some(how));
}

/// Kills what is left of a process group.
fn forget(id: u32) {
    let watchdog = locks::lock(&RUNNING).remove(&id);
    if watchdog.is_some() {
        kill_group(id);
    }
}

fn how_ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exited with status {code}"),
        None => format!("was terminated: {status}"),
    }
}

/// Reads stderr to its end, so that writing to it never blocks the child.
async fn drain(stderr: ChildStderr, kept: Arc<Mutex<VecDeque<String>>>, settings: Arc<Settings>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    let name = &settings.config.name;
    while let Ok(bytes) = stderr.fill_buf().await {
        let (taken, ended) = match bytes.iter().position(|byte| *byte == b'\n') {
            _ if bytes.is_empty() => (0, true),
            Some(end) => (end + 1, true),
            None => (bytes.len(), false),
        };
        let room = READ_LINE.saturating_sub(line.len());
        line.extend_from_slice(&bytes[..taken.min(room)]);
        stderr.consume(taken);
        if ended && !line.is_empty() {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let text = settings.mask.beginning(text, MAX_LINE);
            tracing::debug!("mcp.{name} stderr: {text}");
            let mut kept = locks::lock(&kept);
            kept.truncate(KEPT_LINES - 1);
            kept.push_front(text);
            line.clear();
        }
        if taken == 0 {
            break;
        }
    }
}

/// A child's stdin, which can be closed while someone writes to it.
#[derive(Clone)]
pub(super) struct Stdin(Arc<Mutex<Option<ChildStdin>>>);

impl Stdin {
    fn with<T>(
        &self,
        run: impl FnOnce(Pin<&mut ChildStdin>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match locks::lock(&self.0).as_mut() {
            Some(stdin) => run(Pin::new(stdin)),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    pub(super) fn close(&self) {
        locks::lock(&self.0).take();
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stdin| stdin.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stdin| stdin.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

/// Whether it has neither ended nor been waited for.
#[cfg(unix)]
fn is_running(id: u32) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pid(id).is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), look), Ok(None)))
}

#[cfg(unix)]
fn kill_group(id: u32) {
    if let Some(pid) = pid(id) {
        // Usually the group is empty.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

#[cfg(unix)]
fn pid(id: u32) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(id).ok()?)
}

#[cfg(not(unix))]
fn is_running(_: u32) -> bool {
    false
}

/// Where there are no process groups, dropping the child kills it.
#[cfg(not(unix))]
fn kill_group(_: u32) {}
