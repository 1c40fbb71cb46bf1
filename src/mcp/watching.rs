//! Progress and logs of a call, as notifications on their way while it runs.

// Logging, sampling and roots are deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::RoleServer;
use rmcp::model::{
    LoggingLevel, LoggingMessageNotification, LoggingMessageNotificationParam,
    ProgressNotification, ProgressNotificationParam, ProgressToken, ServerNotification,
};
use rmcp::service::Peer;
use tokio::sync::mpsc;

use super::hub::Teller;
use crate::tool::{LogLine, LogSource};
use crate::watch::{Progress, Watcher};

/// Progress that is on its way; of what comes faster than the client takes it, the rest is left out.
const MAX_PROGRESS: usize = 256;

/// What a request asked to be told.
pub(super) struct Wanted {
    pub(super) token: Option<ProgressToken>,
    pub(super) level: Option<LoggingLevel>,
    /// Who logs.
    pub(super) logger: String,
}

pub(super) struct Notes {
    wanted: Wanted,
    teller: Arc<Teller>,
    /// Log lines are bounded by the call's `max-log`, progress by what is on its way.
    sender: mpsc::UnboundedSender<Note>,
    on_its_way: Arc<AtomicUsize>,
    last: Mutex<f64>,
}

enum Note {
    Log(ServerNotification),
    Progress(ServerNotification),
}

/// The other end of [`Notes`].
pub(super) struct Outbox {
    peer: Peer<RoleServer>,
    notes: mpsc::UnboundedReceiver<Note>,
    on_its_way: Arc<AtomicUsize>,
}

pub(super) fn notes(
    wanted: Wanted,
    teller: Arc<Teller>,
    peer: Peer<RoleServer>,
) -> (Arc<Notes>, Outbox) {
    let (sender, notes) = mpsc::unbounded_channel();
    let on_its_way = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox {
        peer,
        notes,
        on_its_way: on_its_way.clone(),
    };
    let notes = Notes {
        wanted,
        teller,
        sender,
        on_its_way,
        last: Mutex::new(f64::NEG_INFINITY),
    };
    (Arc::new(notes), outbox)
}

impl Watcher for Notes {
    fn logged(&self, line: &LogLine) {
        let level = level(line.source);
        if self
            .wanted
            .level
            .is_none_or(|least| severity(level) < severity(least))
        {
            return;
        }
        let mut param = LoggingMessageNotificationParam::new(level, line.text.clone().into());
        param.logger = Some(self.wanted.logger.clone());
        let _ = self
            .sender
            .send(Note::Log(LoggingMessageNotification::new(param).into()));
    }

    fn progressed(&self, progress: &Progress) {
        let Some(token) = &self.wanted.token else {
            return;
        };
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            // The protocol has it grow, whatever the guest says.
            if !progress.done.is_finite() || progress.done <= *last {
                return;
            }
            if self.on_its_way.fetch_add(1, Ordering::Relaxed) >= MAX_PROGRESS {
                self.on_its_way.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            *last = progress.done;
        }
        let mut param = ProgressNotificationParam::new(token.clone(), progress.done);
        param.total = progress.total.filter(|total| total.is_finite());
        param.message = progress.message.clone();
        let _ = self
            .sender
            .send(Note::Progress(ProgressNotification::new(param).into()));
    }

    fn resource_updated(&self, uri: &str) {
        self.teller.resource_updated(uri);
    }

    fn resources_changed(&self) {
        self.teller.resources_changed();
    }
}

impl Outbox {
    /// Sends notes while `run` runs, and what is left of them before its result goes out.
    pub(super) async fn during<T>(mut self, run: impl Future<Output = T>) -> T {
        let mut run = std::pin::pin!(run);
        let result = loop {
            tokio::select! {
                biased;
                Some(note) = self.notes.recv() => self.send(note).await,
                result = &mut run => break result,
            }
        };
        while let Ok(note) = self.notes.try_recv() {
            self.send(note).await;
        }
        result
    }

    async fn send(&self, note: Note) {
        let notification = match note {
            Note::Log(notification) => notification,
            Note::Progress(notification) => {
                self.on_its_way.fetch_sub(1, Ordering::Relaxed);
                notification
            }
        };
        // A client that is gone has its call cancelled elsewhere.
        let _ = self.peer.send_notification(notification).await;
    }
}

fn level(source: LogSource) -> LoggingLevel {
    match source {
        LogSource::Stdout | LogSource::Stderr | LogSource::Debug => LoggingLevel::Debug,
        LogSource::Info => LoggingLevel::Info,
        LogSource::Notice => LoggingLevel::Notice,
        LogSource::Warning => LoggingLevel::Warning,
        LogSource::Error => LoggingLevel::Error,
    }
}

fn severity(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        _ => 7,
    }
}
