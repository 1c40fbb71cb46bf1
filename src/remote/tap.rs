//! Stands between a transport and rmcp, and takes out what concerns the log of a call: in the order in
//! which the server said it, and ahead of the call's answer. A request of a call has its [`Running`] with
//! it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{
    ClientJsonRpcMessage, GetExtensions, GetMeta, JsonRpcMessage, LoggingLevel,
    LoggingMessageNotificationParam, NumberOrString, ProgressNotificationParam, ProgressToken,
    ServerJsonRpcMessage, ServerNotification,
};
use rmcp::transport::Transport;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::sandbox::Journal;
use crate::tool::LogSource;
use crate::watch::Progress;

pub(super) struct Tap<T> {
    transport: T,
    calls: Calls,
    /// Messages on their way to the server.
    unsent: Arc<AtomicUsize>,
    most_unsent: usize,
    /// Ends the connection.
    end: CancellationToken,
}

/// A call that runs: where its server is heard.
#[derive(Clone)]
pub(super) struct Running(Arc<Heard>);

struct Heard {
    journal: Journal,
    /// When the server last said something of the call.
    last: Mutex<Instant>,
}

/// The calls that run on a connection, by their progress tokens.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<HashMap<String, Weak<Heard>>>>);

impl Running {
    pub(super) fn new(journal: Journal) -> Self {
        let last = Mutex::new(Instant::now());
        Running(Arc::new(Heard { journal, last }))
    }

    /// The server said something of the call.
    pub(super) fn heard(&self) {
        *self.0.last() = Instant::now();
    }

    pub(super) fn progress(&self, progress: Progress) {
        self.heard();
        self.0.journal.progress(progress);
    }

    fn log(&self, source: LogSource, text: String) {
        self.heard();
        self.0.journal.log(source, text);
    }

    /// Ends once the server has said nothing of the call for so long.
    pub(super) async fn silent_for(&self, bound: Duration) {
        loop {
            let until = *self.0.last() + bound;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

impl Heard {
    fn last(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Tap<T> {
    /// A server that lets more than `most_unsent` messages wait is not listening.
    pub(super) fn new(
        transport: T,
        calls: Calls,
        most_unsent: usize,
        end: CancellationToken,
    ) -> Self {
        Tap {
            transport,
            calls,
            unsent: Arc::default(),
            most_unsent,
            end,
        }
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Tap<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        self.calls.sent(&message);
        let unsent = Unsent::new(&self.unsent);
        if self.unsent.load(Ordering::Relaxed) > self.most_unsent {
            tracing::warn!("an MCP server does not read what it is sent: it is given up");
            self.end.cancel();
        }
        let sent = self.transport.send(message);
        async move {
            let _unsent = unsent;
            sent.await
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            let message = self.transport.receive().await?;
            if let Some(message) = self.calls.received(message) {
                return Some(message);
            }
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.transport.close()
    }
}

/// Counts for as long as it is there.
struct Unsent(Arc<AtomicUsize>);

impl Unsent {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Unsent(count.clone())
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Calls {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Weak<Heard>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, message: &ClientJsonRpcMessage) {
        let JsonRpcMessage::Request(request) = message else {
            return;
        };
        let inner = &request.request;
        if let Some(Running(heard)) = inner.extensions().get::<Running>()
            && let Some(token) = inner.get_meta().get_progress_token()
        {
            let mut all = self.all();
            all.retain(|_, heard| heard.strong_count() > 0);
            all.insert(key(&token), Arc::downgrade(heard));
        }
    }

    /// The message, unless it was for a call's log.
    fn received(&self, message: ServerJsonRpcMessage) -> Option<ServerJsonRpcMessage> {
        if let JsonRpcMessage::Notification(notification) = &message {
            match &notification.notification {
                ServerNotification::ProgressNotification(progress) => {
                    self.progress(&progress.params);
                    return None;
                }
                ServerNotification::LoggingMessageNotification(line) => {
                    self.log(&line.params);
                    return None;
                }
                _ => {}
            }
        }
        Some(message)
    }

    fn progress(&self, progress: &ProgressNotificationParam) {
        let heard = self.all().get(&key(&progress.progress_token)).cloned();
        if let Some(heard) = heard.and_then(|heard| heard.upgrade()) {
            Running(heard).progress(Progress {
                done: progress.progress,
                total: progress.total,
                message: progress.message.clone(),
            });
        }
    }

    /// A line does not say which call it is of: it can be told only where there is one.
    fn log(&self, line: &LoggingMessageNotificationParam) {
        let text = match &line.data {
            serde_json::Value::String(text) => text.clone(),
            data => data.to_string(),
        };
        self.say(source(line.level), text);
    }

    /// Adds a line to the log of the only call that runs, or else to our own.
    pub(super) fn say(&self, source: LogSource, text: String) {
        let running: Vec<_> = self.all().values().filter_map(Weak::upgrade).collect();
        match running.first() {
            Some(first) if running.iter().all(|it| Arc::ptr_eq(it, first)) => {
                Running(first.clone()).log(source, text);
            }
            _ => tracing::debug!("an MCP server logs: {text}"),
        }
    }
}

/// A token is a number, which some servers send back as text.
fn key(token: &ProgressToken) -> String {
    match &token.0 {
        NumberOrString::Number(number) => number.to_string(),
        NumberOrString::String(text) => text.to_string(),
    }
}

fn source(level: LoggingLevel) -> LogSource {
    match level {
        LoggingLevel::Debug => LogSource::Debug,
        LoggingLevel::Info => LogSource::Info,
        LoggingLevel::Notice => LogSource::Notice,
        LoggingLevel::Warning => LogSource::Warning,
        _ => LogSource::Error,
    }
}
