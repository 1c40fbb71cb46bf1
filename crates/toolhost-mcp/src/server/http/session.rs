//! A session over HTTP, of a client that speaks one of the older protocol versions.
//!
//! # How requests are answered
//!
//! Until it has begun, a session is served by rmcp's loop, which reads [`SessionTransport`]; after
//! that the loop handles only notifications and the server's requests to the client. The client's
//! requests bypass it, so that none waits for another:
//!
//! | state | begins with | requests | ends with |
//! | --- | --- | --- | --- |
//! | created | `initialize` | go to rmcp's loop, through the inbox | `notifications/initialized` |
//! | ready | its [`HandlerSlot`] is filled | are each answered by the handler in the slot | `DELETE`, its timeout, eviction, or shutdown |
//! | closed | `closed` is cancelled | are refused: no such session | |
//!
//! A plain tool call ([`HttpSession::call`]) is polled once on its connection's own task. Most
//! calls complete in that poll and are answered with a JSON body: they need neither a stream nor a
//! task. A call that does not, or that has sent a message meanwhile, gets both: the same future
//! moves to a task, which puts its answer on the stream. Whether a stream is needed is decided
//! under the lock of the streams ([`Streams::finish`]), so that no message sent in between is lost.
//! All other requests get a task from the start.

use std::convert::Infallible;
use std::future::{self, poll_fn};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorData, GetExtensions, GetMeta,
    JsonRpcMessage, JsonRpcRequest, RequestId, ServerJsonRpcMessage, ServerResult,
};
use rmcp::service::{Peer, RequestContext};
use rmcp::transport::Transport;
use rmcp::transport::streamable_http_server::SessionId;
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::http_front::{BodyRoom, Principal, UnreadBytes};
use crate::server::caller::{self, Caller};
use crate::server::handler::{HandlerSlot, ReadyHandler};
use crate::server::http::event_log::{EventReader, UNDELIVERED_TTL, UndeliveredAnswers};
use crate::server::http::fast_path::FastCall;
use crate::server::http::stream_routing::{AcceptedRequest, RefusedRequest, Route, Streams};
use crate::server::stream_id::StreamId;
use toolhost_core::locks::lock;

/// Messages of a client that may wait to be handled.
const INBOX_MESSAGES: usize = 64;

/// How long a session may take to become ready after its client sent `notifications/initialized`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a session looks for state that has expired.
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// A session that is open, or was until now.
pub(crate) struct HttpSession {
    /// The client that began it. Session ids are not credentials: only the owner may use the
    /// session.
    pub(crate) owner: OnceLock<Arc<str>>,
    inbox: mpsc::Sender<ClientJsonRpcMessage>,
    streams: Mutex<Streams>,
    pub(crate) closed: CancellationToken,
    /// Answers its requests; filled by a request that has it in its extensions.
    pub(crate) handler: HandlerSlot,
}

/// Why a message is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("no such session")]
    Unknown,
    #[error("the session has ended")]
    Over,
    #[error("could not generate a session id: the system RNG failed")]
    Random,
}

/// The immediate outcome of a request.
pub(crate) enum RequestOutcome {
    /// It is complete.
    Json(Box<ServerJsonRpcMessage>),
    /// It runs, or has sent a message already: all its messages, and finally its answer. Empty if
    /// it was cancelled.
    Stream(EventReader),
}

/// In the extensions of an HTTP request whose client does not accept event streams.
#[derive(Clone, Copy)]
pub(crate) struct JsonOnly;

/// In the extensions of an HTTP request that rmcp handles for a session: the answer is put here,
/// and written by our own code.
#[derive(Clone, Default)]
pub(crate) struct AnswerSlot(Arc<Mutex<Option<RequestOutcome>>>);

impl AnswerSlot {
    pub(crate) fn leave(&self, answer: RequestOutcome) {
        *lock(&self.0) = Some(answer);
    }

    pub(crate) fn take(&self) -> Option<RequestOutcome> {
        lock(&self.0).take()
    }
}

impl HttpSession {
    /// A session without a request ends after `timeout`.
    pub(crate) fn open(
        id: SessionId,
        undelivered: Arc<UndeliveredAnswers>,
        unsent: UnreadBytes,
        timeout: Duration,
    ) -> (Arc<HttpSession>, SessionTransport) {
        let (inbox, messages) = mpsc::channel(INBOX_MESSAGES);
        let session = Arc::new(HttpSession {
            owner: OnceLock::new(),
            inbox,
            streams: Mutex::new(Streams::new(id, undelivered.clone(), unsent)),
            closed: CancellationToken::new(),
            handler: HandlerSlot::default(),
        });
        let expire = HttpSession::expire(Arc::downgrade(&session), undelivered, timeout);
        tokio::spawn(expire);
        let transport = SessionTransport {
            session: session.clone(),
            messages,
        };
        (session, transport)
    }

    /// How long nothing has run and nothing was sent.
    pub(crate) fn idle(&self) -> Duration {
        lock(&self.streams).idle()
    }

    pub(crate) fn close(&self) {
        lock(&self.streams).end();
        self.closed.cancel();
    }

    /// Calls a tool, in a session that has begun.
    ///
    /// # Errors
    ///
    /// The session has ended.
    pub(crate) async fn call(
        self: Arc<Self>,
        handler: ReadyHandler,
        call: FastCall,
        principal: Principal,
        room: Option<BodyRoom>,
        is_json_only: bool,
    ) -> Result<RequestOutcome, SessionError> {
        let id = call.id;
        let accepted = lock(&self.streams).begin(&id, is_json_only);
        let AcceptedRequest { stream, cancel } = match accepted {
            Ok(accepted) => accepted,
            Err(RefusedRequest::Over) => return Err(SessionError::Over),
            Err(RefusedRequest::Answer(answer)) => return Ok(RequestOutcome::Json(answer)),
        };
        let answer = async move {
            let ReadyHandler { session, client } = handler;
            let caller = session.caller_of(&client, Some(principal), cancel);
            let caller = Caller {
                token: call.token,
                meta: call.meta,
                _room: room,
                ..caller
            };
            session.answer_call(call.incoming, caller.on(stream)).await
        };
        let mut answer = answered(id.clone(), answer).boxed();
        let at_once = poll_fn(|context| Poll::Ready(answer.poll_unpin(context))).await;
        let mut streams = lock(&self.streams);
        let answer = match at_once {
            Poll::Ready(answer) if streams.finish(&id, stream) => {
                return Ok(RequestOutcome::Json(Box::new(answer)));
            }
            Poll::Ready(answer) => future::ready(answer).boxed(),
            Poll::Pending => answer,
        };
        let reader = streams.read(stream);
        drop(streams);
        tokio::spawn(self.deliver(id, stream, answer));
        Ok(RequestOutcome::Stream(reader))
    }

    /// Handles a request that rmcp has read. It is answered on a stream.
    ///
    /// # Errors
    ///
    /// The session has ended.
    pub(crate) async fn request(
        self: Arc<Self>,
        mut request: JsonRpcRequest<ClientRequest>,
    ) -> Result<RequestOutcome, SessionError> {
        let handler = self.handler.ready();
        // A request that cannot be queued at once is not begun.
        let place = match handler {
            Some(_) => None,
            None => Some(self.inbox.reserve().await.map_err(|_| SessionError::Over)?),
        };
        let id = request.id.clone();
        let is_json_only = caller::of_http::<JsonOnly>(request.request.extensions()).is_some();
        let (AcceptedRequest { stream, cancel }, reader) = {
            let mut streams = lock(&self.streams);
            match streams.begin(&id, is_json_only) {
                Ok(accepted) => {
                    let reader = streams.read(accepted.stream);
                    (accepted, reader)
                }
                Err(RefusedRequest::Over) => return Err(SessionError::Over),
                Err(RefusedRequest::Answer(answer)) => return Ok(RequestOutcome::Json(answer)),
            }
        };
        request.request.extensions_mut().insert(stream);
        if let Some(place) = place {
            place.send(JsonRpcMessage::Request(request));
        } else if let Some(handler) = handler {
            // Boxed: it is large, and a task is moved when it begins and ends.
            let answer = answer(handler.clone(), request, cancel).boxed();
            tokio::spawn(self.clone().deliver(id, stream, answer));
        }
        Ok(RequestOutcome::Stream(reader))
    }

    /// Handles a message that rmcp has read and that is not a request.
    ///
    /// # Errors
    ///
    /// The session has ended.
    pub(crate) async fn message(&self, message: ClientJsonRpcMessage) -> Result<(), SessionError> {
        let begins = matches!(&message, JsonRpcMessage::Notification(notification)
            if matches!(notification.notification, ClientNotification::InitializedNotification(_)));
        lock(&self.streams).on_client_message(&message);
        let sent = self.inbox.send(message).await;
        sent.map_err(|_| SessionError::Over)?;
        if begins {
            // The session must be ready for what the client sends after this is answered.
            let ready = timeout(HANDSHAKE_TIMEOUT, self.handler.wait());
            let _ = self.closed.run_until_cancelled(ready).await;
        }
        Ok(())
    }

    /// Sends an answer on the stream of its request, once it is there.
    async fn deliver(
        self: Arc<Self>,
        request: RequestId,
        stream: StreamId,
        answer: impl Future<Output = ServerJsonRpcMessage>,
    ) {
        let answer = answer.await;
        let route = lock(&self.streams).route_response(&request, Some(stream));
        self.send(route, answer).await;
    }

    /// Sends a message to the client, unless the session ends before the client has caught up.
    async fn send(&self, route: Option<Route>, message: ServerJsonRpcMessage) {
        let Some(route) = route else { return };
        let answers = route.answers();
        let sent = self.closed.run_until_cancelled(route.send(message)).await;
        if sent.is_some()
            && let Some(number) = answers
        {
            lock(&self.streams).answered(number);
        }
    }

    /// The stream of a `GET`: the standalone stream, or the events after the last one that the
    /// client received, on any stream. If that event is no longer known the stream is empty, so
    /// that the client does not ask for it again.
    pub(crate) fn events(self: Arc<Self>, last: Option<&str>) -> BoxStream<'static, Event> {
        let Some(last) = last else {
            let priming = lock(&self.streams).priming();
            return stream::iter(priming)
                .chain(self.standalone_stream())
                .boxed();
        };
        let known = lock(&self.streams).resume(last);
        let Some((events, after)) = known else {
            tracing::debug!("a client resumes after an event that is no longer known");
            return stream::empty().boxed();
        };
        // It has received no event of the standalone stream yet, so it may be a second reader.
        if after == 0 && Arc::ptr_eq(&events, &lock(&self.streams).common()) {
            return self.standalone_stream().boxed();
        }
        events.read(Some(after)).boxed()
    }

    /// The standalone stream. A second reader waits until the first is gone: if it took over, both
    /// would reconnect and take it from each other forever.
    fn standalone_stream(self: Arc<Self>) -> impl Stream<Item = Event> + Send + 'static {
        let reader = async move {
            loop {
                let common = {
                    let mut streams = lock(&self.streams);
                    let common = streams.common();
                    if !common.is_read() {
                        return Some(common.read(None));
                    }
                    common
                };
                self.closed.run_until_cancelled(common.unread()).await?;
            }
        };
        stream::once(reader).flat_map(|reader| stream::iter(reader).flatten())
    }

    /// Ends a session that is not used.
    async fn expire(
        session: Weak<HttpSession>,
        undelivered: Arc<UndeliveredAnswers>,
        timeout: Duration,
    ) {
        let mut wait = timeout;
        loop {
            tokio::time::sleep(wait.min(EXPIRY_CHECK_INTERVAL)).await;
            undelivered.forget(None);
            let Some(session) = session.upgrade() else {
                return;
            };
            let mut streams = lock(&session.streams);
            streams.give_up(UNDELIVERED_TTL);
            let idle = streams.idle();
            if idle >= timeout {
                streams.end();
                drop(streams);
                return session.closed.cancel();
            }
            wait = timeout - idle;
        }
    }
}

/// Answers a request as rmcp's loop would.
async fn answer(
    ReadyHandler { session, client }: ReadyHandler,
    request: JsonRpcRequest<ClientRequest>,
    cancel: CancellationToken,
) -> ServerJsonRpcMessage {
    let JsonRpcRequest {
        id, mut request, ..
    } = request;
    let mut context = RequestContext::new(id.clone(), Peer::clone(&client.peer));
    context.ct = cancel;
    std::mem::swap(&mut context.meta, request.get_meta_mut());
    std::mem::swap(&mut context.extensions, request.extensions_mut());
    answered(id, session.answer(request, context)).await
}

/// The response of a request. A panic of the server becomes that request's error and affects no
/// other.
async fn answered(
    id: RequestId,
    result: impl Future<Output = Result<ServerResult, ErrorData>>,
) -> ServerJsonRpcMessage {
    match AssertUnwindSafe(result).catch_unwind().await {
        Ok(Ok(result)) => JsonRpcMessage::response(result, id),
        Ok(Err(error)) => JsonRpcMessage::error(error, Some(id)),
        Err(_) => {
            let error = ErrorData::internal_error("the server failed to answer", None);
            JsonRpcMessage::error(error, Some(id))
        }
    }
}

/// The transport of a session, as rmcp's loop sees it.
pub(crate) struct SessionTransport {
    session: Arc<HttpSession>,
    messages: mpsc::Receiver<ClientJsonRpcMessage>,
}

impl Transport<RoleServer> for SessionTransport {
    type Error = Infallible;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        let route = lock(&self.session.streams).route(&message);
        let session = self.session.clone();
        async move {
            session.send(route, message).await;
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let message = self.messages.recv();
        self.session.closed.run_until_cancelled(message).await?
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        self.session.close();
        Ok(())
    }
}

impl Drop for SessionTransport {
    fn drop(&mut self) {
        self.session.close();
    }
}
