//! Progress and log notifications of a call, sent while it runs.
//!
//! A guest that logs must not wait for its client, so messages go to a queue ([`CallNotifications`]
//! is the call's [`Watcher`]) and are sent by the task that polls the call
//! ([`CallNotifications::during`]), not by one of their own, as most calls send none. Each poll of
//! the call is followed by a poll of the sender, an endless loop that is created only once there is
//! something to send. When the call has ended, its result is held back until the queue is empty,
//! for a second at most, so that notifications precede the result.

// Logging, sampling and roots are deprecated from 2026-07-28 on; older clients have them.
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

use crate::server::change_notifications::ChangeNotifier;
use crate::server::stream_id::StreamId;
use crate::server::tasks::task::Task;
use toolhost_core::locks::lock;
use toolhost_core::tool::{LogLine, LogSource};
use toolhost_core::watch::{Progress, Watcher};

/// The most queued progress notifications; those beyond are dropped.
const MAX_PROGRESS: usize = 256;

/// A burst of a call's progress notifications, and their rate per second after it.
const PROGRESS_AT_ONCE: u32 = 100;
const PROGRESS_A_SECOND: u32 = 100;

/// How long a result may be held back for the notifications before it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// A longer progress token is ignored: it would be in every notification.
const MAX_TOKEN: usize = 256;

/// The notifications that a request asked for.
pub(crate) struct Requested {
    /// The stream of the request's answer.
    pub(crate) stream: Option<StreamId>,
    pub(crate) token: Option<ProgressToken>,
    pub(crate) level: Option<LoggingLevel>,
    /// The name of the logger.
    pub(crate) logger: Cow<'static, str>,
    /// The task that the call may become. Progress of a task is polled, not notified.
    pub(crate) task: Option<Arc<Task>>,
}

/// The queue of a call's notifications. Cheap to create, as most calls send none.
pub(crate) struct CallNotifications {
    requested: Requested,
    changes: Arc<ChangeNotifier>,
    peer: Arc<Peer<RoleServer>>,
    /// Log lines are bounded by the call's `max-log`, progress by the queue.
    queue: Mutex<NotificationQueue>,
    sender: AtomicWaker,
}

struct NotificationQueue {
    notes: VecDeque<Note>,
    progress: usize,
    is_sending: bool,
    /// The last progress sent.
    last: f64,
    /// When its rate allowance is fully restored.
    whole_at: Option<Instant>,
}

impl NotificationQueue {
    /// Takes one notification from the rate allowance, if there is one left.
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
        changes: Arc<ChangeNotifier>,
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
            queue: Mutex::new(NotificationQueue {
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

    /// Sends notifications while `run` runs, and the rest before returning its result. A client
    /// that does not read delays neither the call nor, beyond a second, its result.
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

    /// Polls the sender, which is created when there is something to send.
    fn send<'s>(&'s self, sending: &mut Option<BoxFuture<'s, ()>>, context: &mut Context<'_>) {
        if sending.is_none() {
            self.sender.register(context.waker());
            if lock(&self.queue).notes.is_empty() {
                return;
            }
        }
        let sending = sending.get_or_insert_with(|| self.send_all().boxed());
        // The loop never ends.
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
            // If the client is gone, its call is cancelled elsewhere.
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
        // The protocol requires progress to increase, whatever the guest reports.
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
        // Stdout and stderr are for debugging.
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
