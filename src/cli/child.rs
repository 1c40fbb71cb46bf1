//! Runs a program of a build: its output is captured, and it ends with everything it started, at a deadline or when it
//! is no longer waited for.

use std::collections::BTreeSet;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::Instant;

/// How much of each stream is kept, in bytes: the first errors of a compiler explain the later ones.
const MAX_OUTPUT: usize = 4 << 20;

/// How long output is awaited after the program has ended: a daemon that it started keeps the pipes open.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The process groups of running programs.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Ends all of them, for a process that exits at once.
pub(super) fn kill_all() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.iter().copied().for_each(kill_group);
}

/// What a program did.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A process group, ended when dropped.
struct Group(u32);

impl Group {
    fn new(leader: u32) -> Group {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(leader);
        Group(leader)
    }

    /// The leader has ended by itself, so its id may soon be another's.
    fn has_ended(self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.0);
        std::mem::forget(self);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.0);
        kill_group(self.0);
    }
}

#[cfg(unix)]
fn kill_group(leader: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(pid) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// The child itself is killed as it is dropped.
#[cfg(not(unix))]
fn kill_group(_: u32) {}

/// Runs a program until it ends. At the deadline, or when this future is dropped, it is killed with all processes of its
/// group. Each line that it writes to stderr goes to `on_line` at once.
///
/// # Errors
///
/// It cannot be started, or [`io::ErrorKind::TimedOut`].
pub(super) async fn run(
    mut command: Command,
    deadline: Instant,
    mut on_line: impl FnMut(&str),
) -> io::Result<Ended> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn()?;
    let group = child.id().map(Group::new);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let pipes = (child.stdout.take(), child.stderr.take());
    let status = {
        let mut reading = std::pin::pin!(async {
            let lines = LinesOf(&mut on_line);
            tokio::join!(
                read(pipes.0, &mut stdout, None),
                read(pipes.1, &mut stderr, Some(lines))
            );
        });
        let mut is_read = false;
        let mut waiting = std::pin::pin!(tokio::time::timeout_at(deadline, child.wait()));
        let status = loop {
            tokio::select! {
                status = &mut waiting => break status,
                () = &mut reading, if !is_read => is_read = true,
            }
        };
        let status = status.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if !is_read {
            let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
        }
        status
    };
    if let Some(group) = group {
        group.has_ended();
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ended {
        status,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

/// Receives lines as they are complete.
struct LinesOf<'l>(&'l mut dyn FnMut(&str));

/// Reads all of a pipe, keeping its beginning.
async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
    mut lines: Option<LinesOf<'_>>,
) {
    /// Longer ones are no messages.
    const MAX_LINE: usize = 4096;
    let Some(mut pipe) = pipe else {
        return;
    };
    let mut buffer = vec![0; 64 << 10];
    let mut line = Vec::new();
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let piece = &buffer[..count];
        let room = MAX_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..count.min(room)]);
        let Some(LinesOf(on_line)) = &mut lines else {
            continue;
        };
        for part in piece.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || part.ends_with(b"\r") || line.len() > MAX_LINE {
                let text = String::from_utf8_lossy(&line);
                if !text.trim().is_empty() {
                    on_line(text.trim());
                }
                line.clear();
            }
        }
    }
}
