//! Ctrl-C: the first one during a batch cancels it and keeps what has completed; any other ends the
//! process, even if it is blocked on a pipe.

use std::io;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::child::kill_all;
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
                    exit_at_once();
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

impl Interrupts {
    /// As [`stop_signal`](Interrupts::stop_signal), and also cancelled when the terminal closes.
    pub(super) fn stop_or_hangup_signal(&self) -> anyhow::Result<CancellationToken> {
        let token = self.stop_signal()?;
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let hangups = signal(SignalKind::hangup());
            let mut hangups = hangups.context("cannot listen for SIGHUP")?;
            let cancel = token.clone();
            tokio::spawn(async move {
                if hangups.recv().await.is_some() {
                    cancel.cancel();
                }
            });
        }
        Ok(token)
    }

    /// Cancelled by SIGTERM or Ctrl-C; a second one ends the process at once.
    pub(super) fn stop_signal(&self) -> anyhow::Result<CancellationToken> {
        let token = CancellationToken::new();
        let cancel = token.clone();
        let interrupts = self.clone();
        interrupts.batch_begins();
        #[cfg(unix)]
        let mut terminated = {
            use tokio::signal::unix::{SignalKind, signal};
            signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?
        };
        tokio::spawn(async move {
            #[cfg(unix)]
            tokio::select! {
                () = interrupts.asked() => {}
                _ = terminated.recv() => {}
            }
            #[cfg(not(unix))]
            interrupts.asked().await;
            interrupts.batch_ends();
            cancel.cancel();
            #[cfg(unix)]
            if terminated.recv().await.is_some() {
                exit_at_once();
            }
        });
        Ok(token)
    }
}

/// Ends the process without dropping anything, and with it the processes that it started.
fn exit_at_once() -> ! {
    toolhost::kill_mcp_servers();
    kill_all();
    exit(INTERRUPTED.into());
}

#[cfg(unix)]
fn signals() -> io::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
}

#[cfg(windows)]
fn signals() -> io::Result<tokio::signal::windows::CtrlC> {
    tokio::signal::windows::ctrl_c()
}
