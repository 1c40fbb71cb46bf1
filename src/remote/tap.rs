//! Stands between a transport and rmcp, and takes out what concerns the log of a call: in the order in
//! which the server said it, and ahead of the call's answer. For a call to be known by its answer, its
//! request has its [`Journal`] with it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::RoleClient;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, GetExtensions, GetMeta, JsonRpcMessage, LoggingLevel,
    LoggingMessageNotificationParam, ProgressNotificationParam, ProgressToken, RequestId,
    ServerJsonRpcMessage, ServerNotification,
};
use rmcp::transport::Transport;
use tokio_util::sync::CancellationToken;

use crate::sandbox::Journal;
use crate::tool::LogSource;
use crate::watch::Progress;

pub(super) struct Tap<T> {
    transport: T,
    calls: Arc<Calls>,
    /// Messages on their way to the server.
    unsent: Arc<AtomicUsize>,
    most_unsent: usize,
    /// Ends the connection.
    end: CancellationToken,
}

/// The calls that run on a connection.
#[derive(Default)]
struct Calls(Mutex<HashMap<RequestId, Call>>);

struct Call {
    progress: Option<ProgressToken>,
    journal: Journal,
}

impl<T> Tap<T> {
    /// A server that lets more than `most_unsent` messages wait is not listening.
    pub(super) fn new(transport: T, most_unsent: usize, end: CancellationToken) -> Self {
        Tap {
            transport,
            calls: Arc::default(),
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
    fn all(&self) -> MutexGuard<'_, HashMap<RequestId, Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, message: &ClientJsonRpcMessage) {
        match message {
            JsonRpcMessage::Request(request) => {
                let inner = &request.request;
                if let Some(journal) = inner.extensions().get::<Journal>() {
                    let call = Call {
                        progress: inner.get_meta().get_progress_token(),
                        journal: journal.clone(),
                    };
                    self.all().insert(request.id.clone(), call);
                }
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) =
                    &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.all().remove(id);
                }
            }
            _ => {}
        }
    }

    /// The message, unless it was for a call's log.
    fn received(&self, message: ServerJsonRpcMessage) -> Option<ServerJsonRpcMessage> {
        match &message {
            JsonRpcMessage::Notification(notification) => match &notification.notification {
                ServerNotification::ProgressNotification(progress) => {
                    self.progress(&progress.params);
                    return None;
                }
                ServerNotification::LoggingMessageNotification(line) => {
                    self.log(&line.params);
                    return None;
                }
                _ => {}
            },
            JsonRpcMessage::Response(response) => {
                self.all().remove(&response.id);
            }
            JsonRpcMessage::Error(error) => {
                if let Some(id) = &error.id {
                    self.all().remove(id);
                }
            }
            JsonRpcMessage::Request(_) => {}
        }
        Some(message)
    }

    fn progress(&self, progress: &ProgressNotificationParam) {
        let token = Some(&progress.progress_token);
        let calls = self.all();
        let call = calls.values().find(|call| call.progress.as_ref() == token);
        let journal = call.map(|call| call.journal.clone());
        drop(calls);
        if let Some(journal) = journal {
            journal.progress(Progress {
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
        let calls = self.all();
        let first = calls.values().next().filter(|_| calls.len() == 1);
        let only = first.map(|call| call.journal.clone());
        drop(calls);
        let Some(journal) = only else {
            tracing::debug!("an MCP server logs: {text}");
            return;
        };
        journal.log(source(line.level), text);
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
