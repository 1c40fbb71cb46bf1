//! [`Outbox`]: frames on their way to the client. Sending never waits: while the client does not read, nothing new is
//! started instead.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use toolhost_core::locks::lock;
use toolhost_core::watch::Paused;

use crate::protocol::HostFrame;

/// Calls start only while the client has not left more than this unread.
const MAX_UNREAD: usize = 16 << 20;

/// More capacity than this is given back after a long frame.
const KEPT: usize = 1 << 20;

pub(crate) struct Outbox {
    frames: Mutex<Unsent>,
    /// Signals that there is something to send, or nothing more will be.
    more: Notify,
    /// Signals that all is sent.
    empty: Notify,
    paused: watch::Sender<bool>,
    /// The calls whose results may follow soon.
    expected: AtomicUsize,
    /// The longest frame that the client reads.
    longest: AtomicUsize,
}

#[derive(Default)]
struct Unsent {
    bytes: Vec<u8>,
    /// Of these, and of what is being written.
    length: usize,
    /// Whether the client is gone.
    is_closed: bool,
}

/// The client does not read frames of this length.
#[derive(Debug)]
pub(crate) struct TooLarge {
    pub(crate) longest: usize,
}

/// Counts a call whose result may follow soon, until it is dropped.
pub(crate) struct Expected(Arc<Outbox>);

impl Drop for Expected {
    fn drop(&mut self) {
        self.0.expected.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Outbox {
    pub(crate) fn new() -> Arc<Outbox> {
        Arc::new(Outbox {
            frames: Mutex::default(),
            more: Notify::new(),
            empty: Notify::new(),
            paused: watch::Sender::new(false),
            expected: AtomicUsize::new(0),
            longest: AtomicUsize::new(usize::MAX),
        })
    }

    pub(crate) fn set_longest(&self, longest: usize) {
        self.longest.store(longest, Ordering::Relaxed);
    }

    /// Whether too much is unread for another call to start.
    pub(crate) fn paused(&self) -> Paused {
        self.paused.subscribe()
    }

    pub(crate) fn expect(self: &Arc<Self>) -> Expected {
        self.expected.fetch_add(1, Ordering::Relaxed);
        Expected(self.clone())
    }

    /// Sends a frame. Does nothing once the client is gone.
    ///
    /// # Errors
    ///
    /// It is longer than the client reads.
    pub(crate) fn send(&self, frame: &HostFrame) -> Result<(), TooLarge> {
        let mut line = serde_json::to_vec(frame).expect("frames are plain data");
        // JSON that tools wrote may have line breaks between its tokens; strings have none.
        for byte in &mut line {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        let longest = self.longest.load(Ordering::Relaxed);
        if line.len() > longest {
            return Err(TooLarge { longest });
        }
        line.push(b'\n');
        let mut unsent = lock(&self.frames);
        if unsent.is_closed {
            return Ok(());
        }
        unsent.length += line.len();
        match unsent.bytes.is_empty() {
            true => unsent.bytes = line,
            false => unsent.bytes.extend_from_slice(&line),
        }
        self.pause_or_resume(unsent.length);
        drop(unsent);
        self.more.notify_one();
        Ok(())
    }

    fn pause_or_resume(&self, unsent: usize) {
        self.paused.send_if_modified(|paused| {
            let is_over = unsent > MAX_UNREAD;
            std::mem::replace(paused, is_over) != is_over
        });
    }

    /// Writes what is sent, until the client is gone.
    pub(crate) async fn write(&self, mut writer: impl AsyncWrite + Unpin) -> io::Result<()> {
        let written = self.write_all(&mut writer).await;
        let mut unsent = lock(&self.frames);
        *unsent = Unsent {
            is_closed: true,
            ..Unsent::default()
        };
        self.pause_or_resume(0);
        drop(unsent);
        self.empty.notify_waiters();
        written
    }

    async fn write_all(&self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            self.more.notified().await;
            // Results of calls that are about to end go with this one: one write, and one wake-up of the client.
            if self.expected.load(Ordering::Relaxed) > 0 {
                tokio::task::yield_now().await;
            }
            loop {
                bytes.clear();
                bytes.shrink_to(KEPT);
                std::mem::swap(&mut bytes, &mut lock(&self.frames).bytes);
                if bytes.is_empty() {
                    break;
                }
                writer.write_all(&bytes).await?;
                writer.flush().await?;
                let mut unsent = lock(&self.frames);
                unsent.length -= bytes.len();
                self.pause_or_resume(unsent.length);
                if unsent.length == 0 {
                    self.empty.notify_waiters();
                }
            }
        }
    }

    /// Completes once all is written, or the client is gone.
    pub(crate) async fn flushed(&self) {
        loop {
            let empty = self.empty.notified();
            if lock(&self.frames).length == 0 {
                return;
            }
            empty.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ErrorCode, ErrorFrame};

    fn frame(message: &str) -> HostFrame<'_> {
        HostFrame::Error(ErrorFrame {
            id: Some(1),
            code: ErrorCode::InvalidFrame,
            message: message.into(),
        })
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_pauses_calls_until_it_does() {
        let outbox = Outbox::new();
        let paused = outbox.paused();
        let (here, there) = tokio::io::duplex(1 << 10);
        let long = "x".repeat(1 << 20);
        for _ in 0..=MAX_UNREAD >> 20 {
            outbox.send(&frame(&long)).unwrap();
        }
        assert!(*paused.borrow());
        let writing = outbox.clone();
        tokio::spawn(async move { writing.write(here).await });
        let mut reader = crate::frame_reader::FrameReader::new(there);
        assert!(reader.next().await.unwrap().is_some());
        let resumes = async { paused.clone().wait_for(|paused| !paused).await.map(drop) };
        let reads = async {
            while reader.next().await.unwrap().is_some() {}
            Ok(())
        };
        tokio::select! {
            resumed = resumes => resumed.unwrap(),
            read = reads => read.unwrap_or_else(|()| unreachable!()),
        }
        assert!(!*paused.borrow());
    }

    #[tokio::test]
    async fn sending_to_a_client_that_is_gone_keeps_nothing() {
        let outbox = Outbox::new();
        let (here, there) = tokio::io::duplex(64);
        drop(there);
        outbox.send(&frame("lost")).unwrap();
        assert!(outbox.write(here).await.is_err());
        outbox.send(&frame("lost as well")).unwrap();
        outbox.flushed().await;
    }

    #[test]
    fn a_frame_that_the_client_would_not_read_is_not_sent() {
        let outbox = Outbox::new();
        outbox.set_longest(100);
        assert!(outbox.send(&frame("short")).is_ok());
        assert_eq!(
            outbox.send(&frame(&"x".repeat(100))).unwrap_err().longest,
            100
        );
    }
}
