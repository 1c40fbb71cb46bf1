//! The sessions of clients that speak the older protocols over HTTP.
//!
//! rmcp serves each by the messages that come and go here, except for requests once it has begun: each
//! is answered by itself, and its answer goes straight to its stream, if it needs one. Through rmcp's own sessions a call
//! took a dozen turns of two tasks that all calls of a session wait for, and a client that did not read
//! one stream held up the rest.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{self, poll_fn};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard, Weak};
use std::task::Poll;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures_util::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorCode, ErrorData, GetExtensions,
    GetMeta, JsonRpcMessage, JsonRpcRequest, RequestId, ServerJsonRpcMessage, ServerResult,
};
use rmcp::service::{Peer, RequestContext};
use rmcp::transport::Transport;
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use rmcp::transport::streamable_http_server::{SessionId, SessionManager};
use rmcp::{RoleServer, Service};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::asks::less;
use super::events::{LEFT_FOR, Left, Reader};
use super::handler::{Answerer, Begun};
use super::reading::Call;
use super::requests::Caller;
use super::streams::{JsonOnly, MAX_REQUESTS, Origin, Refused, Streams, Taken, Way};
use crate::serve::{Principal, Room, Unsent};

/// Messages of a client that wait to be looked at.
const INBOX: usize = 64;

/// What a session that a client says has begun may take for it.
const BEGIN: Duration = Duration::from_secs(1);

/// How often a session looks for what it need not keep any more.
const LOOK: Duration = Duration::from_secs(30);

/// A session may be ended to make room once it was not used for this part of the time after which it ends by itself.
const UNUSED: u32 = 10;

/// All that are open.
pub(super) struct Sessions {
    table: RwLock<Table>,
    left: Arc<Left>,
    unsent: Unsent,
    bounds: Bounds,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) all: usize,
    /// Of one client.
    pub(super) of_one: usize,
    /// A session without a request is over after so long.
    pub(super) timeout: Duration,
}

#[derive(Default)]
struct Table {
    open: HashMap<SessionId, Arc<Open>>,
    /// Those that clients are about to begin.
    coming: HashMap<Arc<str>, usize>,
}

/// The place of a session that is about to begin, until it is known whose it is.
pub(super) struct Coming {
    sessions: Arc<Sessions>,
    client: Arc<str>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        less(&mut self.sessions.table_mut().coming, &self.client, |it| it);
    }
}

impl Table {
    /// How many each client has.
    fn counts(&self) -> HashMap<Arc<str>, usize> {
        let mut counts = self.coming.clone();
        for owner in self.open.values().filter_map(|open| open.owner_of_open()) {
            *counts.entry(owner.clone()).or_default() += 1;
        }
        counts
    }

    /// The session that a client has not used for longest, and for so long at least.
    fn unused(&self, client: &str, at_least: Duration) -> Option<&Arc<Open>> {
        let own = self
            .open
            .values()
            .filter(|open| open.owner_of_open().is_some_and(|owner| **owner == *client));
        let idle = own.map(|open| (open.streams().idle(), open));
        let idle = idle.filter(|(idle, _)| *idle >= at_least);
        idle.max_by_key(|(idle, _)| *idle).map(|(_, open)| open)
    }
}

/// One of them.
pub(super) struct Open {
    /// Who began it: that its name is hard to guess does not make it a second password.
    owner: OnceLock<Arc<str>>,
    inbox: mpsc::Sender<ClientJsonRpcMessage>,
    streams: Mutex<Streams>,
    closed: CancellationToken,
    answerer: Answerer,
}

/// Why a message is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("there is no such session")]
    Unknown,
    #[error("it is over")]
    Over,
    #[error("could not generate a session id: the system RNG failed")]
    Random,
    #[error("its event is not known any more")]
    Event,
}

impl Sessions {
    pub(super) fn new(bounds: Bounds, unsent: Unsent) -> Sessions {
        Sessions {
            table: RwLock::default(),
            left: Arc::default(),
            unsent,
            bounds,
        }
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a session that a client is about to begin. Where it has as many as it may, the one that it has not
    /// used for longest makes room; where all together do, that of the client that has the most.
    pub(super) fn admit(self: &Arc<Self>, client: &Arc<str>) -> Option<Coming> {
        let Bounds {
            all,
            of_one,
            timeout,
        } = self.bounds;
        let mut table = self.table_mut();
        let counts = table.counts();
        let own = counts.get(client).copied().unwrap_or(0);
        let is_full = counts.values().sum::<usize>() >= all;
        if own >= of_one || is_full {
            let most = counts.iter().max_by_key(|(_, count)| **count);
            let gives_up = match most {
                Some((most, count)) if own < of_one && *count > own => most,
                _ => client,
            };
            table.unused(gives_up, timeout / UNUSED)?.close();
        }
        *table.coming.entry(client.clone()).or_default() += 1;
        drop(table);
        Some(Coming {
            sessions: self.clone(),
            client: client.clone(),
        })
    }

    /// Lets a request of a client into the session that it names. What is no session is not refused here.
    ///
    /// # Errors
    ///
    /// It is another client's: that it is there is not said.
    pub(super) fn enter(
        &self,
        id: &str,
        principal: &str,
    ) -> Result<Option<Arc<Open>>, SessionError> {
        let Some(open) = self.find(id) else {
            return Ok(None);
        };
        match open.owner.get().is_some_and(|owner| **owner == *principal) {
            true => Ok(Some(open)),
            false => Err(SessionError::Unknown),
        }
    }

    /// Says who began a session.
    pub(super) fn own(&self, id: &str, principal: Arc<str>) {
        if let Some(open) = self.find(id) {
            let _ = open.owner.set(principal);
        }
    }

    pub(super) fn end(&self, id: &str) {
        if let Some(open) = self.find(id) {
            open.close();
        }
    }

    fn find(&self, id: &str) -> Option<Arc<Open>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let open = table.open.get(id);
        open.filter(|open| !open.closed.is_cancelled()).cloned()
    }

    fn get(&self, id: &str) -> Result<Arc<Open>, SessionError> {
        self.find(id).ok_or(SessionError::Unknown)
    }
}

/// What comes of a call at first.
pub(super) enum Called {
    /// It is over.
    Answered(Box<ServerJsonRpcMessage>),
    /// It runs, or something was said because of it: all that is said, the answer at last. Nothing at
    /// all where it was cancelled.
    Runs(Reader),
}

impl Open {
    /// Whose it is, unless it is over or nobody's yet.
    fn owner_of_open(&self) -> Option<&Arc<str>> {
        self.owner.get().filter(|_| !self.closed.is_cancelled())
    }

    /// By whom its requests are answered; it is set by a request that has it in its extensions.
    pub(super) fn answerer(&self) -> &Answerer {
        &self.answerer
    }

    /// Calls a tool, if the session has begun. Most calls are over when they are first looked at: they
    /// need no stream, and no task.
    ///
    /// # Errors
    ///
    /// The session is over.
    pub(super) async fn call(
        self: Arc<Self>,
        begun: Begun,
        call: Call,
        principal: Principal,
        room: Option<Room>,
        is_json_only: bool,
    ) -> Result<Called, SessionError> {
        let id = call.id.clone();
        let taken = self.streams().begin(&id, is_json_only);
        let Taken { origin, cancel } = match taken {
            Ok(taken) => taken,
            Err(Refused::Over) => return Err(SessionError::Over),
            Err(Refused::InUse) => return Ok(Called::Answered(Box::new(in_use(id)))),
            Err(Refused::TooMany) => return Ok(Called::Answered(Box::new(too_many(id)))),
        };
        let answer = async move {
            let Begun { session, client } = begun;
            let Call {
                id,
                name,
                arguments,
                token,
                meta,
            } = call;
            let by = Some(&principal);
            let caller = session.known_caller(&client, by, token, Some(origin), &cancel);
            let caller = Caller {
                meta,
                room,
                ..caller
            };
            session
                .answer_call(id, name, arguments, &caller, None)
                .await
        };
        let mut answer = answered(id.clone(), answer).boxed();
        let at_once = poll_fn(|context| Poll::Ready(answer.poll_unpin(context))).await;
        let mut streams = self.streams();
        let answer = match at_once {
            Poll::Ready(answer) if streams.finish(&id, origin) => {
                return Ok(Called::Answered(Box::new(answer)));
            }
            Poll::Ready(answer) => future::ready(answer).boxed(),
            Poll::Pending => answer,
        };
        let reader = streams.read(origin);
        drop(streams);
        tokio::spawn(self.deliver(id, origin, answer));
        Ok(Called::Runs(reader))
    }

    /// Has an answer go out on the stream of its request, once it is there.
    async fn deliver(
        self: Arc<Self>,
        request: RequestId,
        origin: Origin,
        answer: impl Future<Output = ServerJsonRpcMessage>,
    ) {
        let answer = answer.await;
        let way = self.streams().way_of_answer(&request, Some(origin));
        self.send(way, answer).await;
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self, message: ClientJsonRpcMessage) -> Result<(), SessionError> {
        let sent = self.inbox.send(message).await;
        sent.map_err(|_| SessionError::Over)
    }

    /// Sends a message on its way, unless the session is over before the client has caught up.
    async fn send(&self, way: Option<Way>, message: ServerJsonRpcMessage) {
        let Some(way) = way else { return };
        let answers = way.answers();
        let sent = self.closed.run_until_cancelled(way.send(message)).await;
        if sent.is_some()
            && let Some(number) = answers
        {
            self.streams().answered(number);
        }
    }

    fn close(&self) {
        self.streams().end();
        self.closed.cancel();
    }

    /// What belongs to no request. Of two who read it the second waits: to take it over would have them
    /// take it from each other for ever.
    fn listen(self: Arc<Self>) -> impl Stream<Item = Event> + Send + Sync + 'static {
        let reader = async move {
            loop {
                let common = {
                    let mut streams = self.streams();
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

    /// Ends a session that nobody uses.
    async fn expire(open: Weak<Open>, left: Arc<Left>, timeout: Duration) {
        let mut wait = timeout;
        loop {
            tokio::time::sleep(wait.min(LOOK)).await;
            left.forget(None);
            let Some(open) = open.upgrade() else { return };
            let mut streams = open.streams();
            streams.give_up(LEFT_FOR);
            let idle = streams.idle();
            if idle >= timeout {
                streams.end();
                drop(streams);
                return open.closed.cancel();
            }
            wait = timeout - idle;
        }
    }
}

impl SessionManager for Sessions {
    type Error = SessionError;
    type Transport = Wire;

    async fn create_session(&self) -> Result<(SessionId, Wire), SessionError> {
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(|_| SessionError::Random)?;
        let id: SessionId = BASE64.encode(random).into();
        let (inbox, messages) = mpsc::channel(INBOX);
        let streams = Streams::new(id.clone(), self.left.clone(), self.unsent.clone());
        let open = Arc::new(Open {
            owner: OnceLock::new(),
            inbox,
            streams: Mutex::new(streams),
            closed: CancellationToken::new(),
            answerer: Answerer::default(),
        });
        let timeout = self.bounds.timeout;
        let expire = Open::expire(Arc::downgrade(&open), self.left.clone(), timeout);
        tokio::spawn(expire);
        self.table_mut().open.insert(id.clone(), open.clone());
        Ok((id, Wire { open, messages }))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, SessionError> {
        let answers = self.create_stream(id, message).await?;
        let mut answers = std::pin::pin!(answers);
        while let Some(event) = answers.next().await {
            if let Some(message) = event.message {
                return Ok(Arc::unwrap_or_clone(message));
            }
        }
        Err(SessionError::Over)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, SessionError> {
        Ok(self.find(id).is_some())
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), SessionError> {
        let closed = self.table_mut().open.remove(id);
        if let Some(open) = closed {
            open.close();
        }
        Ok(())
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = Event> + Send + Sync + 'static, SessionError> {
        let open = self.get(id)?;
        let JsonRpcMessage::Request(mut request) = message else {
            open.take(message).await?;
            return Ok(stream::iter(None).left_stream());
        };
        let begun = open.answerer.begun();
        // What cannot be handed on at once is not begun.
        let place = match begun {
            Some(_) => None,
            None => Some(open.inbox.reserve().await.map_err(|_| SessionError::Over)?),
        };
        let id = request.id.clone();
        let is_json_only = is_json_only(&request.request);
        let (Taken { origin, cancel }, reader) = {
            let mut streams = open.streams();
            match streams.begin(&id, is_json_only) {
                Ok(taken) => {
                    let reader = streams.read(taken.origin);
                    (taken, reader)
                }
                Err(Refused::Over) => return Err(SessionError::Over),
                Err(refused) => {
                    let answer = match refused {
                        Refused::TooMany => too_many(id),
                        _ => in_use(id),
                    };
                    let refused = Event::from_message(answer);
                    return Ok(stream::iter(Some(refused)).left_stream());
                }
            }
        };
        request.request.extensions_mut().insert(origin);
        if let Some(place) = place {
            place.send(JsonRpcMessage::Request(request));
        } else if let Some(begun) = begun {
            // Boxed: it is large, and a task is moved about when it begins and ends.
            let answer = answer(begun.clone(), request, cancel).boxed();
            tokio::spawn(open.clone().deliver(id, origin, answer));
        }
        Ok(reader.right_stream())
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), SessionError> {
        let open = self.get(id)?;
        let begins = matches!(&message, JsonRpcMessage::Notification(notification)
            if matches!(notification.notification, ClientNotification::InitializedNotification(_)));
        open.streams().took(&message);
        open.take(message).await?;
        if begins {
            // What the client sends once this is answered finds the session begun.
            let begun = timeout(BEGIN, open.answerer.0.wait());
            let _ = open.closed.run_until_cancelled(begun).await;
        }
        Ok(())
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = Event> + Send + Sync + 'static, SessionError> {
        let open = self.get(id)?;
        let priming = open.streams().priming();
        Ok(stream::iter(priming).chain(open.listen()))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = Event> + Send + Sync + 'static, SessionError> {
        let open = self.get(id)?;
        let known = open.streams().resume(&last_event_id);
        let (events, after) = known.ok_or(SessionError::Event)?;
        Ok(match after {
            // It had nothing yet of what belongs to no request: it may be the second to read it.
            0 if Arc::ptr_eq(&events, &open.streams().common()) => open.listen().left_stream(),
            _ => events.read(Some(after)).right_stream(),
        })
    }
}

/// Whether the client takes no events for the answer to a request.
fn is_json_only(request: &ClientRequest) -> bool {
    let parts = request.extensions().get::<http::request::Parts>();
    parts.is_some_and(|parts| parts.extensions.get::<JsonOnly>().is_some())
}

/// What rmcp's loop does with a request.
async fn answer(
    Begun { session, client }: Begun,
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
    answered(id, session.handle_request(request, context)).await
}

/// A result as the answer to a request. A panic of the server's is that request's error and nobody
/// else's.
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

/// Two answers to one id: neither could be told from the other.
pub(super) fn in_use(id: RequestId) -> ServerJsonRpcMessage {
    let text = format!("a request with the id {id} runs already");
    let error = ErrorData::new(ErrorCode::INVALID_REQUEST, text, None);
    JsonRpcMessage::error(error, Some(id))
}

fn too_many(id: RequestId) -> ServerJsonRpcMessage {
    let text = format!("{MAX_REQUESTS} requests of this session run, and no more may");
    JsonRpcMessage::error(ErrorData::internal_error(text, None), Some(id))
}

/// A session, as rmcp serves it.
pub(super) struct Wire {
    open: Arc<Open>,
    messages: mpsc::Receiver<ClientJsonRpcMessage>,
}

impl Transport<RoleServer> for Wire {
    type Error = Infallible;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        let way = self.open.streams().way(&message);
        let open = self.open.clone();
        async move {
            open.send(way, message).await;
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let message = self.messages.recv();
        self.open.closed.run_until_cancelled(message).await?
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        self.open.close();
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.open.close();
    }
}
