//! Progress and logs of a call, as notifications on their way while it runs.
//!
//! A guest that logs must not wait for its client, so what it says goes to a queue ([`CallNotifications`] is the call's
//! [`Watcher`]), and is sent by whoever polls the call ([`CallNotifications::during`]): no task of its own, as most
//! calls say nothing. Each poll of the call is followed by one of the sender, a loop that never ends and is made only
//! once there is something to send. When the call is over, its result waits until the queue is empty and nothing is
//! being sent, for a second at most: what was said comes before the result.

// Logging, sampling and roots are deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use rmcp::RoleServer;
use rmcp::model::{
    LoggingLevel, LoggingMessageNotification, LoggingMessageNotificationParam, NumberOrString,
    ProgressNotification, ProgressNotificationParam, ProgressToken, ServerNotification,
};
use rmcp::service::Peer;
use tokio::time::timeout;

use crate::server::changes::Changes;
use crate::server::lock;
use crate::server::stream_id::StreamId;
use crate::server::tasks::task::Task;
use crate::tool::{LogLine, LogSource};
use crate::watch::{Progress, Watcher};

/// Progress that is on its way; of what comes faster than the client takes it, the rest is left out.
const MAX_PROGRESS: usize = 256;

/// A call's progress that is told at once, and how much of it is in a second after that.
const PROGRESS_AT_ONCE: u32 = 100;
const PROGRESS_A_SECOND: u32 = 100;

/// What is left of a call's notes gets so long to be taken.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// A longer token of progress is none: it would be in every note.
const MAX_TOKEN: usize = 256;

/// What a request asked to be told.
pub(crate) struct Requested {
    /// What is told because of it goes out with its answer.
    pub(crate) stream: Option<StreamId>,
    pub(crate) token: Option<ProgressToken>,
    pub(crate) level: Option<LoggingLevel>,
    /// Who logs.
    pub(crate) logger: Cow<'static, str>,
    /// What the call may become: a task is asked for how far it is, and tells nothing by itself.
    pub(crate) task: Option<Arc<Task>>,
}

/// Most calls leave no note, and many come: it is cheap to make.
pub(crate) struct CallNotifications {
    requested: Requested,
    changes: Arc<Changes>,
    peer: Arc<Peer<RoleServer>>,
    /// Log lines are bounded by the call's `max-log`, progress by what is on its way.
    queue: Mutex<Queue>,
    sender: AtomicWaker,
}

struct Queue {
    notes: VecDeque<Note>,
    progress: usize,
    is_sending: bool,
    /// How far the guest last said it is.
    last: f64,
    /// When it has its whole allowance of progress again.
    whole_at: Option<Instant>,
}

impl Queue {
    /// Whether so much progress may be told, which is counted.
    fn may_tell(&mut self) -> bool {
        let interval = Duration::from_secs(1) / PROGRESS_A_SECOND;
        let now = Instant::now();
        let next = self.whole_at.unwrap_or(now).max(now) + interval;
        let is_within = next <= now + interval * PROGRESS_AT_ONCE;
        if is_within {
            self.whole_at = Some(next);
        }
        is_within
    }
}

enum Note {
    Log(ServerNotification),
    Progress(ServerNotification),
}

impl CallNotifications {
    pub(crate) fn new(
        mut requested: Requested,
        changes: Arc<Changes>,
        peer: Arc<Peer<RoleServer>>,
    ) -> Arc<CallNotifications> {
        requested.token = requested.token.filter(|ProgressToken(token)| match token {
            NumberOrString::String(text) => text.len() <= MAX_TOKEN,
            NumberOrString::Number(_) => true,
        });
        Arc::new(CallNotifications {
            requested,
            changes,
            peer,
            queue: Mutex::new(Queue {
                notes: VecDeque::new(),
                progress: 0,
                is_sending: false,
                last: f64::NEG_INFINITY,
                whole_at: None,
            }),
            sender: AtomicWaker::new(),
        })
    }

    /// The task that the call has become.
    fn task(&self) -> Option<&Task> {
        let task = self.requested.task.as_deref();
        task.filter(|task| !task.is_held())
    }

    fn take(&self) -> Option<ServerNotification> {
        let is_task = self.task().is_some();
        let mut queue = lock(&self.queue);
        if is_task {
            queue.notes.clear();
            queue.progress = 0;
        }
        let note = queue.notes.pop_front()?;
        queue.is_sending = true;
        match note {
            Note::Log(notification) => Some(notification),
            Note::Progress(notification) => {
                queue.progress -= 1;
                Some(notification)
            }
        }
    }

    /// Sends notes while `run` runs, and what is left of them before its result goes out. A client that
    /// does not take them holds nothing up: neither the call, nor for long its result.
    pub(crate) async fn during<T>(&self, mut run: Pin<&mut impl Future<Output = T>>) -> T {
        let mut sending = None;
        let result = poll_fn(|context| {
            let result = run.as_mut().poll(context);
            self.send(&mut sending, context);
            result
        });
        let result = result.await;
        let rest = poll_fn(|context| {
            self.send(&mut sending, context);
            let queue = lock(&self.queue);
            match queue.notes.is_empty() && !queue.is_sending {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        let _ = timeout(FLUSH_TIMEOUT, rest).await;
        result
    }

    /// Sends what there is, by a future that is made when there is something.
    fn send<'s>(&'s self, sending: &mut Option<BoxFuture<'s, ()>>, context: &mut Context<'_>) {
        if sending.is_none() {
            self.sender.register(context.waker());
            if lock(&self.queue).notes.is_empty() {
                return;
            }
        }
        let sending = sending.get_or_insert_with(|| self.send_all().boxed());
        // It never ends.
        let _ = sending.poll_unpin(context);
    }

    async fn send_all(&self) {
        loop {
            let note = poll_fn(|context| {
                self.sender.register(context.waker());
                match self.take() {
                    Some(note) => Poll::Ready(note),
                    None => Poll::Pending,
                }
            });
            let note = note.await;
            // A client that is gone has its call cancelled elsewhere.
            let _ = self.peer.send_notification(note).await;
            lock(&self.queue).is_sending = false;
        }
    }
}

impl Watcher for CallNotifications {
    fn logged(&self, line: &LogLine) {
        let level = level(line.source);
        if self.task().is_some() {
            return;
        }
        if self
            .requested
            .level
            .is_none_or(|least| severity(level) < severity(least))
        {
            return;
        }
        let mut param = LoggingMessageNotificationParam::new(level, line.text.clone().into());
        param.logger = Some(self.requested.logger.to_string());
        let mut notification = LoggingMessageNotification::new(param);
        if let Some(stream) = self.requested.stream {
            notification.extensions.insert(stream);
        }
        lock(&self.queue)
            .notes
            .push_back(Note::Log(notification.into()));
        self.sender.wake();
    }

    fn progressed(&self, progress: &Progress) {
        if let Some(task) = self.task() {
            return task.progressed(in_words(progress));
        }
        let Some(token) = &self.requested.token else {
            return;
        };
        let mut queue = lock(&self.queue);
        // The protocol has it grow, whatever the guest says.
        let grows = progress.done.is_finite() && progress.done > queue.last;
        if !grows || queue.progress >= MAX_PROGRESS || !queue.may_tell() {
            return;
        }
        queue.last = progress.done;
        queue.progress += 1;
        let mut param = ProgressNotificationParam::new(token.clone(), progress.done);
        param.total = progress.total.filter(|total| total.is_finite());
        param.message = progress.message.clone();
        let mut notification = ProgressNotification::new(param);
        if let Some(stream) = self.requested.stream {
            notification.extensions.insert(stream);
        }
        queue.notes.push_back(Note::Progress(notification.into()));
        drop(queue);
        self.sender.wake();
    }

    fn resource_updated(&self, uri: &str) {
        self.changes.resource_updated(uri);
    }

    fn resources_changed(&self) {
        self.changes.resources_changed();
    }
}

fn in_words(progress: &Progress) -> String {
    let done = match progress.total {
        Some(total) => format!("{} of {total}", progress.done),
        None => progress.done.to_string(),
    };
    match &progress.message {
        Some(message) => format!("{done}: {message}"),
        None => done,
    }
}

fn level(source: LogSource) -> LoggingLevel {
    match source {
        LogSource::Info => LoggingLevel::Info,
        LogSource::Notice => LoggingLevel::Notice,
        LogSource::Warning => LoggingLevel::Warning,
        LogSource::Error => LoggingLevel::Error,
        // What is written to stdout and stderr is for whoever looks for a fault.
        _ => LoggingLevel::Debug,
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
