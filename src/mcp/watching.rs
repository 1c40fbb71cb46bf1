//! Progress and logs of a call, as notifications on their way while it runs.

// Logging, sampling and roots are deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use rmcp::RoleServer;
use rmcp::model::{
    LoggingLevel, LoggingMessageNotification, LoggingMessageNotificationParam,
    ProgressNotification, ProgressNotificationParam, ProgressToken, ServerNotification,
};
use rmcp::service::Peer;

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

/// Most calls leave no note, and many come: it is cheap to make.
pub(super) struct Notes {
    wanted: Wanted,
    teller: Arc<Teller>,
    peer: Peer<RoleServer>,
    /// Log lines are bounded by the call's `max-log`, progress by what is on its way.
    queue: Mutex<Queue>,
    sender: AtomicWaker,
}

struct Queue {
    notes: VecDeque<Note>,
    progress: usize,
    /// How far the guest last said it is.
    last: f64,
}

enum Note {
    Log(ServerNotification),
    Progress(ServerNotification),
}

impl Notes {
    pub(super) fn new(wanted: Wanted, teller: Arc<Teller>, peer: Peer<RoleServer>) -> Arc<Notes> {
        Arc::new(Notes {
            wanted,
            teller,
            peer,
            queue: Mutex::new(Queue {
                notes: VecDeque::new(),
                progress: 0,
                last: f64::NEG_INFINITY,
            }),
            sender: AtomicWaker::new(),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<ServerNotification> {
        let mut queue = self.queue();
        match queue.notes.pop_front()? {
            Note::Log(notification) => Some(notification),
            Note::Progress(notification) => {
                queue.progress -= 1;
                Some(notification)
            }
        }
    }

    /// Sends notes while `run` runs, and what is left of them before its result goes out.
    pub(super) async fn during<T>(&self, run: impl Future<Output = T>) -> T {
        let mut run = std::pin::pin!(run);
        loop {
            let next = poll_fn(|context| {
                self.sender.register(context.waker());
                if let Some(note) = self.take() {
                    return Poll::Ready(Err(note));
                }
                run.as_mut().poll(context).map(Ok)
            });
            match next.await {
                Ok(result) => {
                    while let Some(note) = self.take() {
                        self.send(note).await;
                    }
                    return result;
                }
                Err(note) => self.send(note).await,
            }
        }
    }

    async fn send(&self, note: ServerNotification) {
        // A client that is gone has its call cancelled elsewhere.
        let _ = self.peer.send_notification(note).await;
    }
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
        let note = Note::Log(LoggingMessageNotification::new(param).into());
        self.queue().notes.push_back(note);
        self.sender.wake();
    }

    fn progressed(&self, progress: &Progress) {
        let Some(token) = &self.wanted.token else {
            return;
        };
        let mut queue = self.queue();
        // The protocol has it grow, whatever the guest says.
        let grows = progress.done.is_finite() && progress.done > queue.last;
        if !grows || queue.progress >= MAX_PROGRESS {
            return;
        }
        queue.last = progress.done;
        queue.progress += 1;
        let mut param = ProgressNotificationParam::new(token.clone(), progress.done);
        param.total = progress.total.filter(|total| total.is_finite());
        param.message = progress.message.clone();
        let note = Note::Progress(ProgressNotification::new(param).into());
        queue.notes.push_back(note);
        drop(queue);
        self.sender.wake();
    }

    fn resource_updated(&self, uri: &str) {
        self.teller.resource_updated(uri);
    }

    fn resources_changed(&self) {
        self.teller.resources_changed();
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
