//! Ctrl-C: the first one during a batch cancels it and keeps what has completed; any other ends the
//! process, even if it is blocked on a pipe.

use std::io;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::{INTERRUPTED, progress};

#[derive(Clone)]
pub(super) struct Interrupts(Arc<InterruptState>);

#[derive(Default)]
struct InterruptState {
    /// Whether there is a batch that was not interrupted yet.
    in_batch: AtomicBool,
    asked: Notify,
}

impl Interrupts {
    /// Listens for as long as the process runs.
    pub(super) fn listen() -> io::Result<Interrupts> {
        let state = Arc::new(InterruptState::default());
        let interrupts = Interrupts(Arc::clone(&state));
        let mut signals = signals()?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if !state.in_batch.swap(false, Ordering::SeqCst) {
                    progress::clear();
                    // No host is dropped on this path.
                    toolhost::kill_mcp_servers();
                    exit(INTERRUPTED.into());
                }
                state.asked.notify_one();
            }
        });
        Ok(interrupts)
    }

    /// From now on, the next interrupt cancels the batch.
    pub(super) fn batch_begins(&self) {
        self.0.in_batch.store(true, Ordering::SeqCst);
    }

    /// From now on, the next interrupt ends the process.
    pub(super) fn batch_ends(&self) {
        self.0.in_batch.store(false, Ordering::SeqCst);
    }

    /// Waits until the batch is interrupted.
    pub(super) async fn asked(&self) {
        self.0.asked.notified().await;
    }
}

#[cfg(unix)]
fn signals() -> io::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
}

#[cfg(windows)]
fn signals() -> io::Result<tokio::signal::windows::CtrlC> {
    tokio::signal::windows::ctrl_c()
}
