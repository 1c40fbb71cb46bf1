//! Stands between a transport and rmcp, and takes out what concerns the log of a call: in the order in
//! which the server said it, and ahead of the call's answer. A request of a call has its [`Running`] with
//! it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rmcp::RoleClient;
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, GetExtensions, GetMeta, JsonRpcMessage, LoggingLevel,
    LoggingMessageNotificationParam, NumberOrString, ProgressNotificationParam, ProgressToken,
    RequestId, ServerJsonRpcMessage, ServerNotification,
};
use rmcp::service::InboundStreamOrigin;
use rmcp::transport::Transport;
use tokio_util::sync::CancellationToken;

use super::running::{Heard, Running};
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

/// Requests that are over here and not at the server, and are kept one by one.
const MAX_OPEN: usize = 1000;

/// The calls that run on a connection, and those that may run at its server still.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    known: Vec<Known>,
    /// More are open than are kept.
    is_over: bool,
}

/// A request of a call: a task has several.
struct Known {
    id: RequestId,
    /// Its progress token.
    token: String,
    call: Weak<Heard>,
    is_answered: bool,
}

impl Known {
    /// Whether its call is over, and the server has not answered it: it may work on it still, and ask.
    fn is_open(&self) -> bool {
        !self.is_answered && self.call.strong_count() == 0
    }
}

impl State {
    fn answered(&mut self, id: &RequestId) {
        for known in self.known.iter_mut().filter(|known| known.id == *id) {
            known.is_answered = true;
        }
    }

    fn tidy(&mut self) {
        let is_alive = |known: &Known| known.call.strong_count() > 0;
        self.known
            .retain(|known| is_alive(known) || known.is_open());
        let open = self.known.iter().filter(|known| known.is_open());
        if open.count() > MAX_OPEN {
            self.is_over = true;
            self.known.retain(is_alive);
        }
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
            tracing::warn!("an MCP server is not reading its input: closing the connection");
            self.end.cancel();
        }
        let request = match &message {
            JsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let sent = self.transport.send(message);
        let calls = self.calls.clone();
        async move {
            let _unsent = unsent;
            let sent = sent.await;
            if let (Err(_), Some(id)) = (&sent, request) {
                // The server does not have it.
                calls.state().answered(&id);
            }
            sent
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, message: &ClientJsonRpcMessage) {
        let JsonRpcMessage::Request(request) = message else {
            return;
        };
        let inner = &request.request;
        // Of these a task has many, and none of them is what something is said of.
        if matches!(inner, ClientRequest::CustomRequest(it) if it.method == "tasks/get") {
            return;
        }
        if let Some(running) = inner.extensions().get::<Running>()
            && let Some(token) = inner.get_meta().get_progress_token()
        {
            let mut state = self.state();
            state.tidy();
            state.known.push(Known {
                id: request.id.clone(),
                token: key(&token),
                call: Arc::downgrade(running.heard_by()),
                is_answered: false,
            });
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
            JsonRpcMessage::Response(response) => self.state().answered(&response.id),
            JsonRpcMessage::Error(error) => {
                if let Some(id) = &error.id {
                    self.state().answered(id);
                }
            }
            JsonRpcMessage::Request(_) => {}
        }
        Some(message)
    }

    fn find(&self, is_it: impl Fn(&Known, &Heard) -> bool) -> Option<Running> {
        let state = self.state();
        let mut found = state.known.iter().filter_map(|known| {
            let call = known.call.upgrade()?;
            is_it(known, &call).then_some(call)
        });
        found.next().map(Running::of)
    }

    /// The only call that runs. One that waits for an answer runs, too; so does one that was given up, until the
    /// server has answered it: what it says then must not be taken for another's.
    fn only(&self) -> Option<Running> {
        let state = self.state();
        if state.is_over || state.known.iter().any(Known::is_open) {
            return None;
        }
        let mut calls = state.known.iter().filter_map(|known| known.call.upgrade());
        let first = calls.next()?;
        let is_only = calls.all(|call| Arc::ptr_eq(&call, &first));
        is_only.then(|| Running::of(first))
    }

    /// The call for which a server asks something: of the task that it names, else of the request on whose
    /// stream it came, else the only one that runs.
    pub(super) fn asking(
        &self,
        task: Option<&str>,
        origin: Option<&InboundStreamOrigin>,
    ) -> Option<Running> {
        if let Some(task) = task {
            return self.find(|_, call| call.has_task(task));
        }
        match origin {
            Some(InboundStreamOrigin::OutboundRequest(id)) => self.find(|known, _| known.id == *id),
            _ => self.only(),
        }
    }

    fn progress(&self, progress: &ProgressNotificationParam) {
        let token = key(&progress.progress_token);
        if let Some(running) = self.find(|known, _| known.token == token) {
            let told = Progress::new(progress.progress).with_total(progress.total);
            running.progress(told.with_message(progress.message.clone()));
        }
    }

    /// A line does not say which call it is of: it can be told only where there is one.
    fn log(&self, line: &LoggingMessageNotificationParam) {
        let text = match &line.data {
            serde_json::Value::String(text) => text.clone(),
            data => data.to_string(),
        };
        match self.only() {
            Some(running) => running.log(source(line.level), text),
            None => tracing::debug!("an MCP server logs: {text}"),
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
