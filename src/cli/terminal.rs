//! The terminal's lines, as somebody types them, for one who asks at a time.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressDrawTarget};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

use super::out::{Out, say};

/// Where somebody can read questions and type answers.
#[derive(Clone)]
pub(super) struct Terminal {
    lines: Arc<Mutex<Lines>>,
    /// What is drawn on it meanwhile.
    drawn: MultiProgress,
}

struct Lines {
    /// Started when first somebody is asked: until then stdin is nobody's.
    received: Option<mpsc::Receiver<Typed>>,
    /// What was read before is no answer.
    asked: Option<Instant>,
}

struct Typed {
    line: String,
    /// When its first part was read.
    since: Instant,
}

/// The terminal, while somebody is asked.
pub(super) struct Dialog {
    lines: OwnedMutexGuard<Lines>,
    drawn: MultiProgress,
}

impl Terminal {
    /// Only where both stdin and stderr are a terminal.
    pub(super) fn open(drawn: MultiProgress) -> Option<Self> {
        let is_open = io::stdin().is_terminal() && Out::stderr().is_terminal();
        let lines = Arc::new(Mutex::new(Lines {
            received: None,
            asked: None,
        }));
        is_open.then_some(Terminal { lines, drawn })
    }

    /// Waits until nobody else is asked. What moves on the terminal stands still meanwhile: it would be
    /// drawn over the question.
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

    /// Discards what has been typed so far: nobody can have meant it as the answer to a question that is yet to be
    /// shown. To be called before anything of that question is shown, so that no answer to it is lost.
    pub(super) fn discard_typed(&mut self) {
        #[cfg(unix)]
        // One that fails has nothing to discard: stdin is a terminal no more.
        let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
        self.lines.asked = Some(Instant::now());
    }

    /// What is typed next; `None` at the end of input.
    pub(super) async fn line(&mut self) -> Option<String> {
        let Lines { received, asked } = &mut *self.lines;
        let received = received.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(1);
            // Reading blocks, and nothing can end it: not a task of the runtime.
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

/// Reads lines until nobody wants them any more. Each has the time at which it was read, not the one at which it
/// is looked at.
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
