//! A queue for log lines in front of stderr. A program that starts this one may never read its stderr, and a full pipe
//! must not stop calls: what does not fit into the queue is dropped, and counted.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// How many lines wait.
const LINES: usize = 1024;

/// How long the last lines may take.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();

static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Entry {
    Line(String),
    Flush(SyncSender<()>),
}

/// From now on, log lines are queued; `write` writes one on a thread of its own.
///
/// # Errors
///
/// The thread cannot be started.
pub(super) fn start(write: fn(&str)) -> io::Result<()> {
    let (sender, lines) = sync_channel(LINES);
    let thread = std::thread::Builder::new().name("toolhost-log".to_owned());
    thread.spawn(move || write_all(&lines, write))?;
    let _ = QUEUE.set(sender);
    Ok(())
}

fn write_all(lines: &Receiver<Entry>, write: fn(&str)) {
    for entry in lines {
        match entry {
            Entry::Line(line) => write(&line),
            // Whoever waits may have given up.
            Entry::Flush(written) => drop(written.try_send(())),
        }
        match DROPPED.swap(0, Ordering::Relaxed) {
            0 => {}
            dropped => write(&format!(
                " WARN {dropped} log lines were dropped, as nobody read stderr"
            )),
        }
    }
}

/// Queues a line. Returns it if there is no queue.
pub(super) fn push(line: String) -> Option<String> {
    let Some(queue) = QUEUE.get() else {
        return Some(line);
    };
    if queue.try_send(Entry::Line(line)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
    None
}

/// Waits for the lines that are queued, but not for long.
pub(super) fn flush() {
    let (sender, written) = sync_channel(1);
    if let Some(queue) = QUEUE.get()
        && queue.try_send(Entry::Flush(sender)).is_ok()
    {
        let _ = written.recv_timeout(FLUSH_TIMEOUT);
    }
}
