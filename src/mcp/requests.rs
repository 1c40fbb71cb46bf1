//! What a request brings beside its parameters: who makes it, by which protocol, and what the client
//! can be asked.

// Logging is deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::sync::Arc;

use rmcp::model::{
    CacheScope, JsonObject, LoggingLevel, MetaObject, ProgressToken, ProtocolVersion,
    RequestMetaObject,
};
use rmcp::service::{Peer, RequestContext};
use rmcp::{ErrorData, RoleServer};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::input::{InputRequired, QuestionKinds, Resumption};
use crate::order;
use crate::serve::{Principal, Room};
use crate::watch::{AllowedTools, Owner};

use super::asking;
use super::seal::Seal;
use super::streams::Origin;
use super::task::Task;

/// Who makes a request, what it wants to be told of it, and what it can be asked.
pub(super) struct Caller<'c> {
    pub(super) principal: Option<&'c Principal>,
    /// Whose its tasks are, and the results that are kept.
    pub(super) owner: Owner,
    /// Itself, to what keeps calls in order.
    pub(super) order: order::Client,
    /// Whether it speaks the stateless protocol, which has no requests of the server's.
    pub(super) is_stateless: bool,
    pub(super) can_ask: QuestionKinds,
    /// What it calls the request's progress.
    pub(super) token: Option<ProgressToken>,
    /// What it wants of the log.
    pub(super) level: Option<LoggingLevel>,
    pub(super) origin: Option<Origin>,
    pub(super) cancel: &'c CancellationToken,
    pub(super) peer: Arc<Peer<RoleServer>>,
    /// Whether a call may become a task.
    pub(super) takes_tasks: bool,
    /// What it may become.
    pub(super) task: Option<Arc<Task>>,
    /// The request's `_meta`, for tools of other servers.
    pub(super) meta: Option<Box<JsonObject>>,
    /// What its body takes, for as long as something of it is kept.
    pub(super) room: Option<Room>,
}

/// A request's `_meta`, if there is more in it than the token of its progress.
pub(super) fn meta(meta: &RequestMetaObject) -> Option<Box<JsonObject>> {
    let own = |key: &String| key != "progressToken";
    let RequestMetaObject(MetaObject(members)) = meta;
    members.keys().any(own).then(|| Box::new(members.clone()))
}

/// Whose subscriptions are counted together: all clients without a name are one.
pub(super) fn client(principal: Option<&Principal>) -> Arc<str> {
    let known = principal.filter(|principal| principal.is_known);
    known.map_or_else(|| "".into(), |principal| principal.name.clone())
}

impl Caller<'_> {
    /// For how many milliseconds, and for whom, a result may be kept; the older protocols do not say.
    pub(super) fn cache(&self, milliseconds: u64) -> (Option<u64>, Option<CacheScope>) {
        if !self.is_stateless {
            return (None, None);
        }
        // Where clients may be shown different lists, none is for another's eyes.
        let scope = match self.principal {
            None => CacheScope::Public,
            Some(_) => CacheScope::Private,
        };
        (Some(milliseconds), Some(scope))
    }
}

/// A client, as it was when it began its session.
pub(super) struct Known {
    pub(super) peer: Arc<Peer<RoleServer>>,
    pub(super) is_stateless: bool,
    pub(super) can_ask: QuestionKinds,
    pub(super) takes_tasks: bool,
}

/// Who makes a request, where that is known.
pub(super) fn principal(context: &RequestContext<RoleServer>) -> Option<&Principal> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    parts.extensions.get()
}

/// The tools that whoever makes it may call.
pub(super) fn allowed(principal: Option<&Principal>) -> AllowedTools {
    principal.and_then(|principal| principal.tools.clone())
}

/// What a request's body takes, where that is counted.
pub(super) fn room(context: &RequestContext<RoleServer>) -> Option<Room> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    parts.extensions.get().cloned()
}

pub(super) fn may_call(principal: Option<&Principal>, tool: &str) -> bool {
    let tools = principal.and_then(|principal| principal.tools.as_ref());
    tools.is_none_or(|tools| tools.contains(tool))
}

/// Whether a version of the protocol is stateless.
pub(super) fn is_stateless(version: &ProtocolVersion) -> bool {
    *version >= ProtocolVersion::V_2026_07_28
}

/// What a request's state is bound to: who serves it, who makes it, its method and its parameters.
pub(super) struct Binding {
    parts: [String; 5],
}

impl Binding {
    pub(super) fn new(
        plugins: &str,
        principal: Option<&Principal>,
        method: &str,
        name: &str,
        parameters: &str,
    ) -> Self {
        /// Longer parameters are kept as their digest.
        const LONG: usize = 1 << 10;
        let principal = principal.map_or("", |principal| &principal.name);
        let long = (parameters.len() > LONG).then(|| crate::digest::sha256(parameters));
        let parameters = long.as_deref().unwrap_or(parameters);
        Binding {
            parts: [plugins, principal, method, name, parameters].map(str::to_owned),
        }
    }

    fn digest(&self) -> Vec<u8> {
        let mut hasher = Sha256::new();
        for part in &self.parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().to_vec()
    }
}

/// What a request that is made again brings back.
///
/// # Errors
///
/// The state is not the host's own, or a response none of the protocol's.
pub(super) fn resumption(
    seal: &Seal,
    binding: &Binding,
    state: Option<String>,
    responses: Option<rmcp::model::InputResponses>,
) -> Result<Option<Resumption>, ErrorData> {
    if state.is_none() && responses.is_none() {
        return Ok(None);
    }
    let mut replies = Vec::new();
    for (key, response) in responses.unwrap_or_default() {
        let reply = asking::reply(response).map_err(|what| {
            ErrorData::invalid_params(format!("the input response {key:?} {what}"), None)
        })?;
        replies.push((key, reply));
    }
    let state = match state {
        None => Vec::new(),
        Some(sealed) => seal
            .open(&sealed, &binding.digest())
            .map_err(|message| ErrorData::invalid_params(message, None))?,
    };
    Ok(Some(Resumption { state, replies }))
}

/// Whether a client can be asked all that a tool asks.
///
/// # Errors
///
/// What it did not say that it can be asked.
pub(super) fn check_can_ask(
    input: &InputRequired,
    can_ask: QuestionKinds,
) -> Result<(), ErrorData> {
    let questions = input.questions.iter().map(|(_, question)| question);
    let mut missing = questions.filter(|question| !can_ask.contains(question.kind()));
    match missing.clone().next() {
        None => Ok(()),
        Some(_) => {
            let required = asking::required(missing.by_ref());
            Err(ErrorData::missing_required_client_capability(required))
        }
    }
}

/// What a client of the stateless protocol is told that it is asked.
///
/// # Errors
///
/// It said that it cannot be asked this, or the protocol has no such question.
pub(super) fn input_required(
    input: InputRequired,
    can_ask: QuestionKinds,
    seal: &Seal,
    binding: &Binding,
) -> Result<rmcp::model::InputRequiredResult, ErrorData> {
    check_can_ask(&input, can_ask)?;
    let mut requests = rmcp::model::InputRequests::new();
    for (key, question) in &input.questions {
        let request = asking::input_request(question)
            .map_err(|message| ErrorData::internal_error(format!("{key:?}: {message}"), None))?;
        requests.insert(key.clone(), request);
    }
    let state = (!input.state.is_empty()).then(|| seal.seal(&input.state, &binding.digest()));
    let requests = (!requests.is_empty()).then_some(requests);
    Ok(rmcp::model::InputRequiredResult::new(requests, state))
}

/// An error of a request that is no call.
pub(super) fn failure(error: CallError) -> ErrorData {
    match &error {
        CallError::NotFound { .. } => ErrorData::resource_not_found(error.to_string(), None),
        CallError::InvalidArguments { .. } => ErrorData::invalid_params(error.to_string(), None),
        _ => {
            let code = serde_json::json!({ "code": error.code() });
            ErrorData::internal_error(error.to_string(), Some(code))
        }
    }
}
