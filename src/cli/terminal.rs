//! Reads lines typed on the terminal, for one question at a time.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressDrawTarget};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

use super::out::{Out, say};

/// The terminal, if questions can be asked on it.
#[derive(Clone)]
pub(super) struct Terminal {
    lines: Arc<Mutex<TypedLines>>,
    /// Progress drawn on it meanwhile.
    drawn: MultiProgress,
}

struct TypedLines {
    /// Started with the first question: until then stdin is not read.
    received: Option<mpsc::Receiver<Typed>>,
    /// Anything read before this is not an answer.
    asked: Option<Instant>,
}

struct Typed {
    line: String,
    /// When its first part was read.
    since: Instant,
}

/// Exclusive use of the terminal for one question.
pub(super) struct Dialog {
    lines: OwnedMutexGuard<TypedLines>,
    drawn: MultiProgress,
}

impl Terminal {
    /// Only if both stdin and stderr are a terminal.
    pub(super) fn open(drawn: MultiProgress) -> Option<Self> {
        let is_open = io::stdin().is_terminal() && Out::stderr().is_terminal();
        let lines = Arc::new(Mutex::new(TypedLines {
            received: None,
            asked: None,
        }));
        is_open.then_some(Terminal { lines, drawn })
    }

    /// Waits for exclusive use. Progress is suspended meanwhile, as it would be drawn over the
    /// question.
    pub(super) async fn dialog(&self) -> Dialog {
        let lines = self.lines.clone().lock_owned().await;
        let drawn = self.drawn.clone();
        let _ = drawn.clear();
        drawn.set_draw_target(ProgressDrawTarget::hidden());
        Dialog { lines, drawn }
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        self.drawn.set_draw_target(ProgressDrawTarget::stderr());
    }
}

impl Dialog {
    /// Writes a line.
    pub(super) fn say(&self, line: impl Display) {
        let _ = Out::stderr().line(line);
    }

    /// Writes the beginning of a line, which the answer ends.
    pub(super) fn prompt(&self, text: impl Display) {
        let _ = Out::stderr().prompt(text);
    }

    /// Discards what has been typed so far, which cannot be meant as an answer. Call it before
    /// showing anything of the question, so that no answer is lost.
    pub(super) fn discard_typed(&mut self) {
        #[cfg(unix)]
        // If it fails, stdin is no longer a terminal, and there is nothing to discard.
        let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
        self.lines.asked = Some(Instant::now());
    }

    /// The next line; `None` at the end of input.
    pub(super) async fn line(&mut self) -> Option<String> {
        let TypedLines { received, asked } = &mut *self.lines;
        let received = received.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(1);
            // Reading blocks and cannot be cancelled, so it is not a task of the runtime.
            let reading = std::thread::Builder::new().spawn(move || read_lines(&sender));
            if let Err(error) = reading {
                say!("cannot ask the user: {error}");
            }
            receiver
        });
        loop {
            let typed = received.recv().await?;
            if asked.is_none_or(|asked| asked <= typed.since) {
                return Some(typed.line);
            }
        }
    }
}

/// Reads lines until the receiver is gone. Each has the time at which it was read, not the one at
/// which it is examined.
fn read_lines(sender: &mpsc::Sender<Typed>) {
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    let mut since = None;
    loop {
        let piece = match stdin.fill_buf() {
            Ok([]) => return,
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let now = Instant::now();
        let read = piece.len();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let first = *since.get_or_insert(now);
            line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let typed = Typed {
                    line: String::from_utf8_lossy(&line).trim_end().to_owned(),
                    since: first,
                };
                line.clear();
                since = None;
                if sender.blocking_send(typed).is_err() {
                    return;
                }
            }
        }
        stdin.consume(read);
    }
}
