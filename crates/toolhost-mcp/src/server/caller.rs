//! The caller of a request: its client, the protocol version, and what the client can be asked.

// Logging is deprecated from 2026-07-28 on; older clients have it.
#![expect(deprecated)]

use std::sync::Arc;

use rmcp::model::{
    CacheScope, ClientCapabilities, Extensions, JsonObject, LoggingLevel, MetaObject,
    ProgressToken, ProtocolVersion, RequestMetaObject,
};
use rmcp::service::Peer;
use rmcp::{ErrorData, RoleServer};
use tokio_util::sync::CancellationToken;

use crate::http_front::{BodyRoom, Principal};
use toolhost_core::error::CallError;
use toolhost_core::input::QuestionKinds;
use toolhost_core::order;
use toolhost_core::watch::{AllowedTools, Owner, Paused};

use crate::server::elicitation;
use crate::server::stream_id::StreamId;
use crate::server::tasks::task::Task;

/// Who makes a request, which notifications it wants, and what it can be asked.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Option<Principal>,
    /// The owner of its tasks and kept results.
    pub(crate) owner: Owner,
    /// The client for ordering calls.
    pub(crate) order: order::OrderClient,
    /// Whether it speaks the stateless protocol, in which the server sends no requests.
    pub(crate) is_stateless: bool,
    pub(crate) can_ask: QuestionKinds,
    /// Whether a call may become a task.
    pub(crate) takes_tasks: bool,
    pub(crate) peer: Arc<Peer<RoleServer>>,
    /// The lowest log level it wants.
    pub(crate) level: Option<LoggingLevel>,
    /// The progress token of the request.
    pub(crate) token: Option<ProgressToken>,
    /// The request's stream, in a session over HTTP.
    pub(crate) stream: Option<StreamId>,
    pub(crate) cancel: CancellationToken,
    /// The task that the request may become.
    pub(crate) task: Option<Arc<Task>>,
    /// The request's `_meta`, for tools of other servers.
    pub(crate) meta: Option<Box<JsonObject>>,
    /// Whether its client has to read answers before more may start, over stdio.
    pub(crate) paused: Option<Paused>,
    /// The reservation for its body, held for as long as something of it is kept.
    pub(crate) _room: Option<BodyRoom>,
}

/// A request's `_meta`, if it contains more than the progress token.
pub(crate) fn meta(meta: &RequestMetaObject) -> Option<Box<JsonObject>> {
    let own = |key: &String| key != "progressToken";
    let RequestMetaObject(MetaObject(members)) = meta;
    members.keys().any(own).then(|| Box::new(members.clone()))
}

/// The name under which subscriptions are counted; all unnamed clients count as one.
pub(crate) fn client(principal: Option<&Principal>) -> Arc<str> {
    let name = principal.and_then(Principal::own_name);
    name.unwrap_or_else(|| "".into())
}

impl Caller {
    /// For a request with a stream, whose client may not be able to answer questions.
    pub(crate) fn on(mut self, stream: StreamId) -> Caller {
        if !stream.can_ask() {
            self.can_ask = QuestionKinds::default();
        }
        self.stream = Some(stream);
        self
    }

    /// The tools that it may call.
    pub(crate) fn allowed(&self) -> AllowedTools {
        allowed(self.principal.as_ref())
    }

    /// The TTL in milliseconds and the cache scope of a result; older protocols have neither.
    pub(crate) fn cache(&self, milliseconds: u64) -> (Option<u64>, Option<CacheScope>) {
        if !self.is_stateless {
            return (None, None);
        }
        // If clients may see different lists, they must not share them.
        let scope = match &self.principal {
            None => CacheScope::Public,
            Some(_) => CacheScope::Private,
        };
        (Some(milliseconds), Some(scope))
    }
}

/// What is known of a client, from `initialize` or from the request.
pub(crate) struct KnownClient {
    pub(crate) peer: Arc<Peer<RoleServer>>,
    pub(crate) is_stateless: bool,
    pub(crate) can_ask: QuestionKinds,
    pub(crate) takes_tasks: bool,
}

impl KnownClient {
    pub(crate) fn new(
        peer: &Peer<RoleServer>,
        version: Option<&ProtocolVersion>,
        capabilities: &ClientCapabilities,
    ) -> KnownClient {
        KnownClient {
            peer: Arc::new(peer.clone()),
            is_stateless: version.is_some_and(|it| *it >= ProtocolVersion::V_2026_07_28),
            can_ask: elicitation::kinds(capabilities),
            takes_tasks: capabilities.supports_tasks(),
        }
    }
}

/// What the HTTP front or the endpoint put into the extensions of the HTTP request, such as the
/// principal.
pub(crate) fn of_http<T: Send + Sync + 'static>(extensions: &Extensions) -> Option<&T> {
    let parts = extensions.get::<http::request::Parts>()?;
    parts.extensions.get()
}

/// The tools that this principal may call.
pub(crate) fn allowed(principal: Option<&Principal>) -> AllowedTools {
    principal.and_then(|principal| principal.tools.clone())
}

/// The JSON-RPC error for a failed request other than a call.
pub(crate) fn failure(error: CallError) -> ErrorData {
    match &error {
        CallError::NotFound { .. } => ErrorData::resource_not_found(error.to_string(), None),
        CallError::InvalidArguments { .. } => ErrorData::invalid_params(error.to_string(), None),
        _ => {
            let code = serde_json::json!({ "code": error.code() });
            ErrorData::internal_error(error.to_string(), Some(code))
        }
    }
}
