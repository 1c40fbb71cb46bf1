//! Filters messages between a transport and rmcp: progress and log notifications of calls are taken
//! out here, in the server's order and ahead of the call's answer. A request of a call carries its
//! [`RunningCall`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use rmcp::RoleClient;
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, GetExtensions, GetMeta, JsonRpcMessage, LoggingLevel,
    LoggingMessageNotificationParam, NumberOrString, ProgressNotificationParam, ProgressToken,
    RequestId, ServerJsonRpcMessage, ServerNotification,
};
use rmcp::service::InboundStreamOrigin;
use rmcp::transport::Transport;
use tokio_util::sync::CancellationToken;

use super::running_call::{CallEntry, RunningCall};
use toolhost_core::locks;
use toolhost_core::tool::LogSource;
use toolhost_core::watch::Progress;

pub(super) struct Tap<T> {
    transport: T,
    calls: ConnectionCalls,
    /// Messages on their way to the server.
    unsent: Arc<AtomicUsize>,
    most_unsent: usize,
    /// Closes the connection.
    end: CancellationToken,
}

/// The most requests kept one by one that have ended here but not at the server.
const MAX_OPEN: usize = 1000;

/// The running calls of a connection, and those that may still run at its server.
#[derive(Clone, Default)]
pub(super) struct ConnectionCalls(Arc<Mutex<OpenRequests>>);

#[derive(Default)]
struct OpenRequests {
    known: Vec<CallRequest>,
    /// More are open than are kept.
    is_over: bool,
}

/// A request of a call: a task has several.
struct CallRequest {
    id: RequestId,
    /// Its progress token.
    token: String,
    call: Weak<CallEntry>,
    is_answered: bool,
}

impl CallRequest {
    /// Whether its call has ended without an answer of the server, which may still work on it, and
    /// ask.
    fn is_open(&self) -> bool {
        !self.is_answered && self.call.strong_count() == 0
    }
}

impl OpenRequests {
    fn answered(&mut self, id: &RequestId) {
        for known in self.known.iter_mut().filter(|known| known.id == *id) {
            known.is_answered = true;
        }
    }

    fn tidy(&mut self) {
        let is_alive = |known: &CallRequest| known.call.strong_count() > 0;
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
    /// A server that lets more than `most_unsent` messages wait is not reading.
    pub(super) fn new(
        transport: T,
        calls: ConnectionCalls,
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
        let unsent = UnsentMessage::new(&self.unsent);
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
                // The server never received it.
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

/// A counted unsent message.
struct UnsentMessage(Arc<AtomicUsize>);

impl UnsentMessage {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        UnsentMessage(count.clone())
    }
}

impl Drop for UnsentMessage {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionCalls {
    fn state(&self) -> MutexGuard<'_, OpenRequests> {
        locks::lock(&self.0)
    }

    fn sent(&self, message: &ClientJsonRpcMessage) {
        let JsonRpcMessage::Request(request) = message else {
            return;
        };
        let inner = &request.request;
        // A task has many of these, and the server sends nothing about them.
        if matches!(inner, ClientRequest::CustomRequest(it) if it.method == "tasks/get") {
            return;
        }
        if let Some(running) = inner.extensions().get::<RunningCall>()
            && let Some(token) = inner.get_meta().get_progress_token()
        {
            let mut state = self.state();
            state.tidy();
            state.known.push(CallRequest {
                id: request.id.clone(),
                token: key(&token),
                call: Arc::downgrade(running.heard_by()),
                is_answered: false,
            });
        }
    }

    /// Passes the message on, unless it was for a call's log.
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

    fn find(&self, is_it: impl Fn(&CallRequest, &CallEntry) -> bool) -> Option<RunningCall> {
        let state = self.state();
        let mut found = state.known.iter().filter_map(|known| {
            let call = known.call.upgrade()?;
            is_it(known, &call).then_some(call)
        });
        found.next().map(RunningCall::of)
    }

    /// The only call that can be meant. Calls that wait for a reply count, and so do cancelled ones
    /// until the server has answered them: what it sends about them must not be attributed to
    /// another.
    fn only(&self) -> Option<RunningCall> {
        let state = self.state();
        if state.is_over || state.known.iter().any(CallRequest::is_open) {
            return None;
        }
        let mut calls = state.known.iter().filter_map(|known| known.call.upgrade());
        let first = calls.next()?;
        let is_only = calls.all(|call| Arc::ptr_eq(&call, &first));
        is_only.then(|| RunningCall::of(first))
    }

    /// The call for which a server asks something: by the task that it names, else by the request
    /// on whose stream the question came, else the only one that runs.
    pub(super) fn asking(
        &self,
        task: Option<&str>,
        origin: Option<&InboundStreamOrigin>,
    ) -> Option<RunningCall> {
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

    /// A log line does not name its call: it can only be attributed if a single call runs.
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

/// Tokens are numbers, which some servers return as text.
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
