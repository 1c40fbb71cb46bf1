//! The table of sessions over HTTP: bounds, owners, and the session manager for rmcp's HTTP
//! service.

use std::collections::HashMap;
use std::sync::{Arc, RwLock, RwLockWriteGuard};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures_util::stream::{self, Stream, StreamExt};
use rmcp::model::{ClientJsonRpcMessage, GetExtensions, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::ServerSseMessage as Event;
use rmcp::transport::streamable_http_server::{SessionId, SessionManager};

use crate::http_front::UnreadBytes;
use crate::server::caller;
use crate::server::http::event_log::UndeliveredAnswers;
use crate::server::http::session::{
    AnswerSlot, HttpSession, RequestOutcome, SessionError, SessionTransport,
};
use crate::server::pending_questions::decrement;
use toolhost_core::locks;

/// A session may be evicted once it has been unused for this part of its timeout.
const UNUSED: u32 = 10;

/// The open sessions.
pub(crate) struct HttpSessions {
    table: RwLock<SessionTable>,
    undelivered: Arc<UndeliveredAnswers>,
    unsent: UnreadBytes,
    bounds: SessionBounds,
}

/// Bounds of sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionBounds {
    pub(crate) all: usize,
    /// For one client.
    pub(crate) of_one: usize,
    /// A session without a request ends after this.
    pub(crate) timeout: Duration,
}

#[derive(Default)]
struct SessionTable {
    open: HashMap<SessionId, Arc<HttpSession>>,
    /// Sessions that clients are about to begin.
    admitted: HashMap<Arc<str>, usize>,
}

/// A reserved place for a session that is about to begin.
pub(crate) struct Admission {
    sessions: Arc<HttpSessions>,
    client: Arc<str>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        decrement(
            &mut self.sessions.table_mut().admitted,
            &self.client,
            |it| it,
        );
    }
}

impl SessionTable {
    /// The number of sessions of each client.
    fn counts(&self) -> HashMap<Arc<str>, usize> {
        let mut counts = self.admitted.clone();
        for owner in self.open.values().filter_map(|it| owner_of_open(it)) {
            *counts.entry(owner.clone()).or_default() += 1;
        }
        counts
    }

    /// The session that a client has not used for longest, if for at least `at_least`.
    fn unused(&self, client: &str, at_least: Duration) -> Option<&Arc<HttpSession>> {
        let own = self.open.values();
        let own = own.filter(|it| owner_of_open(it).is_some_and(|owner| **owner == *client));
        let idle = own.map(|session| (session.idle(), session));
        let idle = idle.filter(|(idle, _)| *idle >= at_least);
        idle.max_by_key(|(idle, _)| *idle)
            .map(|(_, session)| session)
    }
}

/// The owner of a session, if it is open and has one.
fn owner_of_open(session: &HttpSession) -> Option<&Arc<str>> {
    session
        .owner
        .get()
        .filter(|_| !session.closed.is_cancelled())
}

impl HttpSessions {
    pub(crate) fn new(bounds: SessionBounds, unsent: UnreadBytes) -> HttpSessions {
        HttpSessions {
            table: RwLock::default(),
            undelivered: Arc::default(),
            unsent,
            bounds,
        }
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, SessionTable> {
        locks::write(&self.table)
    }

    /// Reserves a place for a new session. If its client has as many as it may, its least recently
    /// used one is evicted; if all clients together do, one of the client with the most.
    pub(crate) fn admit(self: &Arc<Self>, client: &Arc<str>) -> Option<Admission> {
        let SessionBounds {
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
        *table.admitted.entry(client.clone()).or_default() += 1;
        drop(table);
        Some(Admission {
            sessions: self.clone(),
            client: client.clone(),
        })
    }

    /// Admits a request to the session that it names. An unknown session id is not refused here.
    ///
    /// # Errors
    ///
    /// It is another client's; that it exists must not show.
    pub(crate) fn enter(
        &self,
        id: &str,
        principal: &str,
    ) -> Result<Option<Arc<HttpSession>>, SessionError> {
        let Some(session) = self.find(id) else {
            return Ok(None);
        };
        match session
            .owner
            .get()
            .is_some_and(|owner| **owner == *principal)
        {
            true => Ok(Some(session)),
            false => Err(SessionError::Unknown),
        }
    }

    /// Sets the owner of a session.
    pub(crate) fn own(&self, id: &str, principal: Arc<str>) {
        if let Some(session) = self.find(id) {
            let _ = session.owner.set(principal);
        }
    }

    pub(crate) fn end(&self, id: &str) {
        if let Some(session) = self.find(id) {
            session.close();
        }
    }

    fn find(&self, id: &str) -> Option<Arc<HttpSession>> {
        let table = locks::read(&self.table);
        let open = table.open.get(id);
        open.filter(|session| !session.closed.is_cancelled())
            .cloned()
    }

    fn get(&self, id: &str) -> Result<Arc<HttpSession>, SessionError> {
        self.find(id).ok_or(SessionError::Unknown)
    }
}

impl SessionManager for HttpSessions {
    type Error = SessionError;
    type Transport = SessionTransport;

    async fn create_session(&self) -> Result<(SessionId, SessionTransport), SessionError> {
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(|_| SessionError::Random)?;
        let id: SessionId = BASE64.encode(random).into();
        let (undelivered, unsent) = (self.undelivered.clone(), self.unsent.clone());
        let (session, transport) =
            HttpSession::open(id.clone(), undelivered, unsent, self.bounds.timeout);
        self.table_mut().open.insert(id.clone(), session);
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, SessionError> {
        let JsonRpcMessage::Request(request) = message else {
            return Err(SessionError::Over);
        };
        let mut reader = match self.get(id)?.request(request).await? {
            RequestOutcome::Json(answer) => return Ok(*answer),
            RequestOutcome::Stream(reader) => reader,
        };
        while let Some(event) = reader.next().await {
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
        if let Some(session) = closed {
            session.close();
        }
        Ok(())
    }

    /// Puts the answer to a request into its [`AnswerSlot`].
    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = Event> + Send + Sync + 'static, SessionError> {
        let session = self.get(id)?;
        if let JsonRpcMessage::Request(request) = message {
            let slot = caller::of_http::<AnswerSlot>(request.request.extensions()).cloned();
            let answer = session.request(request).await?;
            if let Some(slot) = slot {
                slot.leave(answer);
            }
        }
        Ok(stream::empty())
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), SessionError> {
        self.get(id)?.message(message).await
    }

    /// `GET` does not reach rmcp: [`HttpSession::events`] is its stream.
    async fn create_standalone_stream(
        &self,
        _: &SessionId,
    ) -> Result<impl Stream<Item = Event> + Send + Sync + 'static, SessionError> {
        Err::<stream::Empty<Event>, _>(SessionError::Unknown)
    }

    async fn resume(
        &self,
        _: &SessionId,
        _: String,
    ) -> Result<impl Stream<Item = Event> + Send + Sync + 'static, SessionError> {
        Err::<stream::Empty<Event>, _>(SessionError::Unknown)
    }
}
