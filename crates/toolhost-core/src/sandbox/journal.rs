//! The journal of one call: its log, what it was denied, a limit that it exceeded where the guest
//! could not be told, and file operations that may still run.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytesize::ByteSize;
use futures_util::task::AtomicWaker;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::program::CapturedOutput;
use super::{Operations, StopReason};
use crate::audit::CallAudit;
use crate::call_clock::CallClock;
use crate::input::{QuestionKind, QuestionKinds};
use crate::limits::{Bound, Limit};
use crate::locks;
use crate::mask::Mask;
use crate::tool::{LogLine, LogSource};
use crate::watch::{Progress, RunContext, Watcher};

/// The cost of a line beside its text, so that empty lines count.
const LINE_COST: usize = size_of::<LogLine>();

/// The most that a guest may write at once: wasmtime allocates it before it is counted here.
const WRITE_SIZE: usize = 64 << 10;

/// The longest description of a denial, in bytes.
const MAX_DENIED: usize = 500;

/// The longest progress message or URI passed on while a call runs, in bytes.
const MAX_MESSAGE: usize = 4 << 10;

/// The denials of a call that are kept and audited one by one; further ones are only counted.
const KEPT_DENIALS: u64 = 100;

/// Shared between the sandbox and what it passes to WASI.
#[derive(Clone)]
pub struct Journal(Arc<JournalShared>);

struct JournalShared {
    entries: Mutex<Entries>,
    /// Wakes the task that polls the call.
    call: AtomicWaker,
    mask: Arc<Mask>,
    audit: Option<Arc<CallAudit>>,
    watcher: Option<Arc<dyn Watcher>>,
    can_ask: QuestionKinds,
    operations: Operations,
    clock: CallClock,
}

struct Entries {
    lines: Vec<LogLine>,
    /// Unfinished lines of stdout and stderr.
    open: [Vec<u8>; 2],
    bytes: usize,
    bound: ByteSize,
    /// The first denial.
    denied: Option<String>,
    denials: u64,
    stop: Option<StopReason>,
}

impl Journal {
    pub(crate) fn new(
        bound: ByteSize,
        mask: Arc<Mask>,
        audit: Option<Arc<CallAudit>>,
        context: &RunContext,
        clock: CallClock,
    ) -> Self {
        let entries = Entries {
            lines: Vec::new(),
            open: Default::default(),
            bytes: 0,
            bound,
            denied: None,
            denials: 0,
            stop: None,
        };
        Journal(Arc::new(JournalShared {
            entries: Mutex::new(entries),
            call: AtomicWaker::new(),
            mask,
            audit,
            watcher: context.watcher.clone(),
            can_ask: context.can_ask,
            operations: Operations::default(),
            clock,
        }))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        locks::lock(&self.0.entries)
    }

    /// The mask for secrets.
    pub fn mask(&self) -> &Mask {
        &self.0.mask
    }

    /// The clock of the call's deadline.
    pub(crate) fn clock(&self) -> &CallClock {
        &self.0.clock
    }

    /// The host's file operations for the call.
    pub(crate) fn operations(&self) -> &Operations {
        &self.0.operations
    }

    /// Adds a line; an error once the log is full.
    pub(crate) fn line(&self, source: LogSource, text: String) -> Result<(), StopReason> {
        self.entries().charge(text.len() + LINE_COST)?;
        self.keep(vec![LogLine::new(source, text)]);
        Ok(())
    }

    /// As [`line`](Journal::line), where no error can reach the call: a full log ends it.
    pub fn log(&self, source: LogSource, text: String) {
        if let Err(StopReason::Limit(limit, bound)) = self.line(source, text) {
            self.over(limit, bound);
        }
    }

    /// Adds lines that have been counted.
    fn keep(&self, lines: Vec<LogLine>) {
        if let Some(watcher) = &self.0.watcher {
            for line in &lines {
                let mut line = line.clone();
                self.mask().text(&mut line.text);
                watcher.logged(&line);
            }
        }
        self.entries().lines.extend(lines);
    }

    /// Adds what the guest writes to a stream.
    fn write(&self, source: LogSource, bytes: &[u8]) -> Result<(), StopReason> {
        let mut lines = Vec::new();
        let written = self.entries().write(source, bytes, &mut lines);
        self.keep(lines);
        written
    }

    /// Reports the guest's progress.
    pub fn progress(&self, mut progress: Progress) {
        let traced = tracing::enabled!(tracing::Level::DEBUG);
        if self.0.watcher.is_none() && !traced || self.mask().is_in_number(progress.done) {
            return;
        }
        let total = progress.total.take();
        progress.total = total.filter(|total| !self.mask().is_in_number(*total));
        let message = progress.message.take();
        progress.message = message.map(|message| self.mask().beginning(message, MAX_MESSAGE));
        tracing::debug!(?progress);
        if let Some(watcher) = &self.0.watcher {
            watcher.progressed(&progress);
        }
    }

    /// Reports that a resource has changed.
    pub(crate) fn resource_updated(&self, mut uri: String) {
        if let Some(watcher) = &self.0.watcher
            && uri.len() <= MAX_MESSAGE
        {
            self.mask().text(&mut uri);
            watcher.resource_updated(&uri);
        }
    }

    /// Reports that the plugin's list of resources has changed.
    pub(crate) fn resources_changed(&self) {
        if let Some(watcher) = &self.0.watcher {
            watcher.resources_changed();
        }
    }

    /// Whether there is somebody to answer this kind of question.
    pub fn can_ask(&self, kind: QuestionKind) -> bool {
        self.0.can_ask.contains(kind)
    }

    /// Records a denial.
    pub(crate) fn deny(&self, what: String) {
        // The guest chooses the text, which ends up in an error.
        let what = self.mask().beginning(what, MAX_DENIED);
        let mut entries = self.entries();
        entries.denials += 1;
        if entries.denials > KEPT_DENIALS {
            return;
        }
        tracing::info!("denied: {what}");
        if let Some(audit) = &self.0.audit {
            audit.denial(&what);
        }
        entries.denied.get_or_insert(what);
    }

    /// The first denial.
    pub(crate) fn denied(&self) -> Option<String> {
        self.entries().denied.clone()
    }

    /// The number of denials.
    pub(crate) fn denials(&self) -> u64 {
        self.entries().denials
    }

    /// Ends the call, where no error can reach it.
    pub(crate) fn over(&self, limit: Limit, bound: impl Into<Bound>) {
        let stop = StopReason::Limit(limit, bound.into());
        self.entries().stop.get_or_insert(stop);
        self.0.call.wake();
    }

    /// Whether the call must end; if not, `waker` is woken when it must.
    pub(crate) fn stop(&self, waker: &Waker) -> Option<StopReason> {
        self.0.call.register(waker);
        self.entries().stop
    }

    /// The lines so far, unfinished ones included.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        let mut entries = self.entries();
        entries.finish();
        entries.lines.clone()
    }

    /// Takes the lines so far, unfinished ones included.
    pub fn take_lines(&self) -> Vec<LogLine> {
        let mut entries = self.entries();
        entries.finish();
        std::mem::take(&mut entries.lines)
    }
}

impl Entries {
    /// Ends unfinished lines.
    fn finish(&mut self) {
        for source in [LogSource::Stdout, LogSource::Stderr] {
            let rest = std::mem::take(self.open_line(source));
            if !rest.is_empty() {
                self.lines.push(LogLine::new(source, text(&rest)));
            }
        }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), StopReason> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes as u64 > self.bound.as_u64() {
            return Err(StopReason::Limit(Limit::Log, self.bound.into()));
        }
        Ok(())
    }

    fn open_line(&mut self, source: LogSource) -> &mut Vec<u8> {
        &mut self.open[usize::from(source == LogSource::Stderr)]
    }

    /// Takes written bytes; `lines` gets the lines that they finish.
    fn write(
        &mut self,
        source: LogSource,
        bytes: &[u8],
        lines: &mut Vec<LogLine>,
    ) -> Result<(), StopReason> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, ended) = match part.strip_suffix(b"\n") {
                Some(part) => (part, true),
                None => (part, false),
            };
            self.charge(part.len() + if ended { LINE_COST } else { 0 })?;
            self.open_line(source).extend_from_slice(part);
            if ended {
                let line = std::mem::take(self.open_line(source));
                lines.push(LogLine::new(source, text(&line)));
            }
        }
        Ok(())
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

/// A guest's stdout or stderr.
#[derive(Clone)]
pub(super) enum GuestStream {
    /// It goes to the log.
    Log(Journal, LogSource),
    /// It is the result.
    Captured(Journal, CapturedOutput),
}

impl GuestStream {
    fn take_in(&self, bytes: &[u8]) -> Result<(), StopReason> {
        match self {
            GuestStream::Log(journal, source) => journal.write(*source, bytes),
            GuestStream::Captured(_, output) => output.write(bytes),
        }
    }

    fn journal(&self) -> &Journal {
        match self {
            GuestStream::Log(journal, _) | GuestStream::Captured(journal, _) => journal,
        }
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.take_in(&bytes)
            .map_err(|stop| StreamError::Trap(stop.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_SIZE)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(match self.take_in(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(stop) => {
                // No error here ends the call.
                if let StopReason::Limit(limit, bound) = stop {
                    self.journal().over(limit, bound);
                }
                // wasmtime-wasi logs a warning about any other.
                Err(io::ErrorKind::BrokenPipe.into())
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
