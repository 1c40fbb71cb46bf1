//! The terminal's lines, as somebody types them, for one who asks at a time.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;

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
    received: Option<mpsc::Receiver<String>>,
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
        let lines = Arc::new(Mutex::new(Lines { received: None }));
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

    /// What is typed next; `None` at the end of input.
    pub(super) async fn line(&mut self) -> Option<String> {
        let lines = self.lines.received.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(1);
            // Reading blocks, and nothing can end it: not a task of the runtime.
            let reading = std::thread::Builder::new().spawn(move || {
                for line in io::stdin().lock().lines() {
                    let Ok(line) = line else { break };
                    if sender.blocking_send(line).is_err() {
                        break;
                    }
                }
            });
            if let Err(error) = reading {
                say!("nobody can be asked: {error}");
            }
            receiver
        });
        lines.recv().await
    }
}
