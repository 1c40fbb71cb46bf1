//! What a request brings beside its parameters: who makes it, by which protocol, and what the client
//! can be asked.

// Logging is deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::sync::Arc;

use rmcp::model::{
    CacheScope, ClientCapabilities, Extensions, JsonObject, LoggingLevel, MetaObject,
    ProgressToken, ProtocolVersion, RequestMetaObject,
};
use rmcp::service::Peer;
use rmcp::{ErrorData, RoleServer};
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::http_front::{Principal, Room};
use crate::input::QuestionKinds;
use crate::order;
use crate::watch::{AllowedTools, Owner};

use crate::server::elicitation;
use crate::server::stream_id::StreamId;
use crate::server::tasks::task::Task;

/// Who makes a request, what it wants to be told of it, and what it can be asked.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Option<Principal>,
    /// Whose its tasks are, and the results that are kept.
    pub(crate) owner: Owner,
    /// Itself, to what keeps calls in order.
    pub(crate) order: order::Client,
    /// Whether it speaks the stateless protocol, which has no requests of the server's.
    pub(crate) is_stateless: bool,
    pub(crate) can_ask: QuestionKinds,
    /// Whether a call may become a task.
    pub(crate) takes_tasks: bool,
    pub(crate) peer: Arc<Peer<RoleServer>>,
    /// What it wants of the log.
    pub(crate) level: Option<LoggingLevel>,
    /// What it calls the request's progress.
    pub(crate) token: Option<ProgressToken>,
    /// The stream of its request, in a session over HTTP.
    pub(crate) stream: Option<StreamId>,
    pub(crate) cancel: CancellationToken,
    /// What the request may become.
    pub(crate) task: Option<Arc<Task>>,
    /// The request's `_meta`, for tools of other servers.
    pub(crate) meta: Option<Box<JsonObject>>,
    /// What its body takes, for as long as something of it is kept.
    pub(crate) _room: Option<Room>,
}

/// A request's `_meta`, if there is more in it than the token of its progress.
pub(crate) fn meta(meta: &RequestMetaObject) -> Option<Box<JsonObject>> {
    let own = |key: &String| key != "progressToken";
    let RequestMetaObject(MetaObject(members)) = meta;
    members.keys().any(own).then(|| Box::new(members.clone()))
}

/// Whose subscriptions are counted together: all clients without a name are one.
pub(crate) fn client(principal: Option<&Principal>) -> Arc<str> {
    let name = principal.and_then(Principal::own_name);
    name.unwrap_or_else(|| "".into())
}

impl Caller {
    /// A request with a stream, on which the client may have nobody to be asked.
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

    /// For how many milliseconds, and for whom, a result may be kept; the older protocols do not say.
    pub(crate) fn cache(&self, milliseconds: u64) -> (Option<u64>, Option<CacheScope>) {
        if !self.is_stateless {
            return (None, None);
        }
        // Where clients may be shown different lists, none is for another's eyes.
        let scope = match &self.principal {
            None => CacheScope::Public,
            Some(_) => CacheScope::Private,
        };
        (Some(milliseconds), Some(scope))
    }
}

/// What is known of a client: from the beginning of its session, or from what a request says.
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

/// What the front, or the endpoint, found of the HTTP request that a message came by: who makes it, for one.
pub(crate) fn of_http<T: Send + Sync + 'static>(extensions: &Extensions) -> Option<&T> {
    let parts = extensions.get::<http::request::Parts>()?;
    parts.extensions.get()
}

/// The tools that whoever makes it may call.
pub(crate) fn allowed(principal: Option<&Principal>) -> AllowedTools {
    principal.and_then(|principal| principal.tools.clone())
}

/// An error of a request that is no call.
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
