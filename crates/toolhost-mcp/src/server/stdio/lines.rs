//! Reads a client's messages, one per line. Every request with a readable id is answered, also
//! malformed ones, which rmcp's own transport drops.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorData, GetExtensions,
    JsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerResult,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, Empty, empty};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::json_lines::{IdFinder, LineReader, ReadLine};
use crate::server::initialize;
use crate::server::json_rpc::{in_use, result_weight, unreadable, weight};
use crate::server::message_outline::{CallOutline, MessagePeek};
use toolhost_core::locks::lock;
use toolhost_core::watch::Paused;

const BOM: &[u8] = b"\xEF\xBB\xBF";

pub(crate) struct LineTransport<R, W: AsyncWrite> {
    lines: LineReader<R>,
    writer: AsyncRwTransport<RoleServer, Empty, W>,
    /// The refusal being sent; the next message is read after it.
    refusing: Option<JoinHandle<()>>,
    running: IdsInUse,
    /// A line that there is no room for yet.
    next: Option<ReadLine>,
    /// What is held for the client: its requests, and answers that it has not read.
    held: Arc<HeldBytes>,
    end: CancellationToken,
}

/// No further request starts while the client has not read this much of its answers. Reading goes
/// on, as it may cancel.
const MAX_UNREAD: usize = 64 << 20;

/// Reading stops while this much is held: other unread messages, such as answers to `ping`, or
/// requests not yet answered.
const MAX_OTHER_UNREAD: usize = 16 << 20;
const MAX_REQUESTS: usize = 256 << 20;

/// The minimum memory of a request until it is answered, in addition to its line.
const REQUEST_OVERHEAD: usize = 8 << 10;

#[derive(Default)]
struct HeldBytes {
    unread: AtomicUsize,
    other_unread: AtomicUsize,
    requests: AtomicUsize,
    /// Signals that less is held.
    less: Notify,
    /// Whether too much is unread to start more.
    paused: watch::Sender<bool>,
}

impl HeldBytes {
    fn pause_or_resume(&self) {
        self.paused.send_if_modified(|paused| {
            let is_over = self.unread.load(Ordering::Relaxed) > MAX_UNREAD;
            std::mem::replace(paused, is_over) != is_over
        });
    }

    /// Completes once more may be read.
    async fn room(&self) {
        loop {
            let less = self.less.notified();
            let is_over = self.other_unread.load(Ordering::Relaxed) > MAX_OTHER_UNREAD
                || self.requests.load(Ordering::Relaxed) > MAX_REQUESTS;
            if !is_over {
                return;
            }
            less.await;
        }
    }
}

/// A counted part of what is held, until it is dropped.
struct HeldPart {
    held: Arc<HeldBytes>,
    bytes: usize,
    of: fn(&HeldBytes) -> &AtomicUsize,
}

impl HeldPart {
    fn new(held: &Arc<HeldBytes>, bytes: usize, of: fn(&HeldBytes) -> &AtomicUsize) -> HeldPart {
        of(held).fetch_add(bytes, Ordering::Relaxed);
        held.pause_or_resume();
        HeldPart {
            held: held.clone(),
            bytes,
            of,
        }
    }
}

impl Drop for HeldPart {
    fn drop(&mut self) {
        let before = (self.of)(&self.held).fetch_sub(self.bytes, Ordering::Relaxed);
        self.held.pause_or_resume();
        // If there was room before, no reader waits.
        if before > MAX_OTHER_UNREAD.min(MAX_REQUESTS) {
            self.held.less.notify_waiters();
        }
    }
}

/// The ids in use. An id is in use until its answer has been sent: rmcp confuses two requests with
/// one id. A cancelled request is not answered, and its id is in use for as long as it runs.
#[derive(Clone, Default)]
struct IdsInUse(Arc<Mutex<HashMap<RequestId, IdInUse>>>);

struct IdInUse {
    runs: Weak<()>,
    is_cancelled: bool,
    /// Its answer, from its end until the transport has it.
    answer: Option<HeldPart>,
}

impl IdInUse {
    fn is_over(&self) -> bool {
        self.is_cancelled && self.runs.strong_count() == 0
    }
}

/// Held by a request while it runs, with the reservation for its line.
#[derive(Clone)]
pub(crate) struct Runs {
    _request: Arc<()>,
    line: Arc<HeldPart>,
    id: RequestId,
    running: IdsInUse,
}

impl Runs {
    /// Counts the request's answer as unread, before rmcp hands it to the transport.
    pub(crate) fn ended(&self, result: &ServerResult) {
        let bytes = result_weight(result);
        if let Some(request) = lock(&self.running.0).get_mut(&self.id)
            && !request.is_cancelled
        {
            let part = HeldPart::new(&self.line.held, bytes, |held| &held.unread);
            request.answer = Some(part);
        }
    }
}

impl IdsInUse {
    /// Marks an id as in use; `None` if it is already.
    fn begin(&self, id: &RequestId, line: HeldPart) -> Option<Runs> {
        let mut requests = lock(&self.0);
        if requests.get(id).is_some_and(|used| !used.is_over()) {
            return None;
        }
        let request = Arc::new(());
        let unanswered = IdInUse {
            runs: Arc::downgrade(&request),
            is_cancelled: false,
            answer: None,
        };
        requests.insert(id.clone(), unanswered);
        Some(Runs {
            _request: request,
            line: Arc::new(line),
            id: id.clone(),
            running: self.clone(),
        })
    }

    /// Frees an id. Returns what its answer was counted as.
    fn answered(&self, id: &RequestId) -> Option<HeldPart> {
        lock(&self.0).remove(id)?.answer
    }

    /// Notes that a request will not be answered, and frees such ids whose requests have ended.
    fn cancelled(&self, id: Option<&RequestId>) {
        let mut requests = lock(&self.0);
        if let Some(request) = id.and_then(|id| requests.get_mut(id)) {
            request.is_cancelled = true;
            request.answer = None;
        }
        requests.retain(|_, request| !request.is_over());
    }
}

impl<R, W> LineTransport<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    /// Cancels `end` at the end of input.
    pub(crate) fn new(reader: R, writer: W, longest: usize, end: CancellationToken) -> Self {
        LineTransport {
            lines: LineReader::new(reader, longest),
            writer: AsyncRwTransport::new_server(empty(), writer),
            refusing: None,
            running: IdsInUse::default(),
            next: None,
            held: Arc::default(),
            end,
        }
    }

    /// Whether too much is unread for another request to start.
    pub(crate) fn paused(&self) -> Paused {
        self.held.paused.subscribe()
    }

    /// The message of a line, or the refusal to send.
    fn read(
        &self,
        line: ReadLine,
    ) -> Result<ClientJsonRpcMessage, Option<Box<ServerJsonRpcMessage>>> {
        let line = match line {
            ReadLine::Whole(line) => line,
            ReadLine::TooLong(passed) => {
                let longest = self.lines.longest();
                tracing::error!("skipped a message of more than {longest} bytes");
                let text = format!("the message has more than {longest} bytes");
                let error = ErrorData::invalid_request(text, None);
                let id = passed.of_request();
                return Err(id.map(|id| Box::new(JsonRpcMessage::error(error, Some(id)))));
            }
        };
        let line = line.strip_prefix(BOM).unwrap_or(&line);
        if line.trim_ascii().is_empty() {
            return Err(None);
        }
        let peeked = MessagePeek::of(line);
        if let Some(refusal) = peeked.refusal() {
            return Err(Some(Box::new(refusal)));
        }
        let reduced = match peeked.is_initialize {
            true => initialize::reduced(line, true).map_err(Some)?,
            false => None,
        };
        let read = message(reduced.as_deref().unwrap_or(line), peeked.call);
        let mut message = read.map_err(|error| refusal(line, &error).map(Box::new))?;
        match &mut message {
            JsonRpcMessage::Request(request) => {
                let part = HeldPart::new(&self.held, line.len() + REQUEST_OVERHEAD, |held| {
                    &held.requests
                });
                match self.running.begin(&request.id, part) {
                    Some(runs) => drop(request.request.extensions_mut().insert(runs)),
                    None => return Err(Some(Box::new(in_use(request.id.clone())))),
                }
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(it) = &notification.notification {
                    self.running.cancelled(it.params.request_id.as_ref());
                }
            }
            _ => {}
        }
        Ok(message)
    }
}

/// Parses a line. The arguments of a call are kept as written and not parsed here.
fn message(line: &[u8], outline: Option<CallOutline>) -> serde_json::Result<ClientJsonRpcMessage> {
    let written = outline.as_ref().map(CallOutline::call);
    let rest = outline.and_then(|outline| outline.with_arguments("{}"));
    let mut message = serde_json::from_slice(rest.as_deref().unwrap_or(line))?;
    if let JsonRpcMessage::Request(request) = &mut message
        && let ClientRequest::CallToolRequest(call) = &mut request.request
        && let Some(written) = written
    {
        call.extensions.insert(written);
    }
    Ok(message)
}

/// The refusal of a malformed line; `None` for text without an id that is not JSON.
fn refusal(line: &[u8], error: &serde_json::Error) -> Option<ServerJsonRpcMessage> {
    tracing::debug!("skipped a line that is not a message: {error}");
    let id = IdFinder::of(line).of_request();
    match error.is_data() {
        true if is_notification(line) => return None,
        true => {}
        false => drop(id.as_ref()?),
    }
    Some(JsonRpcMessage::error(unreadable(line, error), id))
}

fn is_notification(line: &[u8]) -> bool {
    let read: Result<Value, _> = serde_json::from_slice(line);
    read.is_ok_and(|message| message.get("id").is_none() && message.get("method").is_some())
}

impl<R, W> Transport<RoleServer> for LineTransport<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let answered = match &message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        let part = answered.and_then(|id| self.running.answered(id));
        let other = || HeldPart::new(&self.held, weight(&message), |held| &held.other_unread);
        let part = part.unwrap_or_else(other);
        let sent = self.writer.send(message);
        async move {
            let sent = sent.await;
            drop(part);
            sent
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            // While a refusal is unsent, nothing more is read.
            if let Some(refusing) = &mut self.refusing {
                let _ = refusing.await;
                self.refusing = None;
            }
            // Kept in the struct: this future may be dropped. End of input must be seen at any
            // time.
            if self.next.is_none() {
                self.next = self.lines.next().await;
                if self.next.is_none() {
                    self.end.cancel();
                    return None;
                }
            }
            self.held.room().await;
            let Some(line) = self.next.take() else {
                continue;
            };
            match self.read(line) {
                Ok(message) => return Some(message),
                Err(None) => {}
                Err(Some(refusal)) => {
                    // In a task of its own: this future may be dropped, and the refusal with it.
                    let sent = self.writer.send(*refusal);
                    self.refusing = Some(tokio::spawn(async move { drop(sent.await) }));
                }
            }
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), io::Error>> + Send {
        self.writer.close()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn part() -> HeldPart {
        HeldPart::new(&Arc::default(), 0, |held| &held.requests)
    }

    #[tokio::test]
    async fn a_client_whose_requests_wait_is_not_read_however_small_they_are() {
        let most = MAX_REQUESTS / REQUEST_OVERHEAD;
        let lines: String = (0..most + 10)
            .map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n"))
            .collect();
        let end = CancellationToken::new();
        let mut transport = LineTransport::new(
            std::io::Cursor::new(lines.into_bytes()),
            tokio::io::sink(),
            1 << 20,
            end,
        );
        let mut waiting = Vec::new();
        while let Some(message) = transport.receive().now_or_never() {
            waiting.push(message.expect("there are more"));
        }
        assert!(waiting.len() > most / 2 && waiting.len() <= most + 1);
        // One of the requests is answered.
        waiting.pop();
        assert!(transport.receive().now_or_never().is_some());
    }

    #[test]
    fn an_id_is_in_use_until_its_answer_is_sent() {
        let running = IdsInUse::default();
        let id = RequestId::Number(1);
        drop(running.begin(&id, part()).expect("it is new"));
        // Its handler has returned, and its answer is on the way to the transport.
        assert!(running.begin(&id, part()).is_none());
        running.answered(&id);
        assert!(running.begin(&id, part()).is_some());
    }

    #[test]
    fn the_id_of_a_cancelled_request_is_in_use_until_that_is_over() {
        let running = IdsInUse::default();
        let id = RequestId::Number(1);
        let runs = running.begin(&id, part()).expect("it is new");
        running.cancelled(Some(&id));
        assert!(running.begin(&id, part()).is_none());
        drop(runs);
        assert!(running.begin(&id, part()).is_some());
        running.cancelled(Some(&id));
        assert!(lock(&running.0).is_empty());
    }
}
