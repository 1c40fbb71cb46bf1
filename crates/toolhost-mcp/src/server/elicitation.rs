//! Elicitation, sampling and roots: questions of tools as the protocol's requests, and the replies.
//! Up to 2025-11-25 these are requests of the server; from 2026-07-28 on they travel with the
//! call's result and its repetition.

// Logging, sampling and roots are deprecated from 2026-07-28 on; older clients have them.
#![expect(deprecated)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::model as mcp;
use rmcp::model::GetExtensions;
use rmcp::service::Peer;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use toolhost_core::Responder;

use crate::server::convert;
use crate::server::pending_questions::PendingQuestions;
use crate::server::stream_id::StreamId;
use toolhost_core::error::CallError;
use toolhost_core::input::{
    Message, Question, QuestionKind, QuestionKinds, Reply, Role, Root, SamplingRequest,
};
use toolhost_core::limits::Limits;
use toolhost_core::schema::Schema;
use toolhost_core::schema::check_scheduling::{Allowed, apart};
use toolhost_core::tool::{Content, Media};
use toolhost_core::watch::Owner;

/// The time limit for validating a form's reply.
const MAX_CHECK: Duration = Duration::from_secs(10);

/// The kinds of questions that a client declared it supports.
pub(crate) fn kinds(capabilities: &mcp::ClientCapabilities) -> QuestionKinds {
    let elicitation = capabilities.elicitation.as_ref();
    // Before there were two modes, elicitation meant forms.
    let form = elicitation.is_some_and(|modes| modes.form.is_some() || modes.url.is_none());
    let page = elicitation.is_some_and(|modes| modes.url.is_some());
    [
        (form, QuestionKind::Form),
        (page, QuestionKind::Url),
        (capabilities.sampling.is_some(), QuestionKind::Sampling),
        (capabilities.roots.is_some(), QuestionKind::Roots),
    ]
    .into_iter()
    .filter_map(|(can, kind)| can.then_some(kind))
    .collect()
}

/// The capabilities that these questions need.
pub(crate) fn required<'q>(
    questions: impl Iterator<Item = &'q Question>,
) -> mcp::ClientCapabilities {
    let mut required = mcp::ClientCapabilities::default();
    for question in questions {
        match question {
            Question::Form { .. } => {
                let modes = required.elicitation.get_or_insert_default();
                modes.form = Some(Default::default());
            }
            Question::Url { .. } => {
                let modes = required.elicitation.get_or_insert_default();
                modes.url = Some(Default::default());
            }
            Question::Sampling(_) => required.sampling = Some(Default::default()),
            Question::Roots => required.roots = Some(Default::default()),
            _ => {}
        }
    }
    required
}

/// A question as a request of an `InputRequiredResult`.
///
/// # Errors
///
/// The protocol has no such question.
pub(crate) fn input_request(question: &Question) -> Result<mcp::InputRequest, String> {
    Ok(match question {
        Question::Form { .. } | Question::Url { .. } => {
            mcp::InputRequest::Elicitation(mcp::ElicitRequest::new(elicitation(question)?))
        }
        Question::Sampling(conversation) => mcp::InputRequest::CreateMessage(
            mcp::CreateMessageRequest::new(sampling(conversation)?),
        ),
        Question::Roots => mcp::InputRequest::ListRoots(mcp::ListRootsRequest::default()),
        _ => return Err("MCP has no request for such a question".to_owned()),
    })
}

fn elicitation(question: &Question) -> Result<mcp::ElicitRequestParams, String> {
    match question {
        Question::Form { message, schema } => {
            let requested_schema = serde_json::from_str(schema).map_err(|error| {
                format!("the schema of the form is not one that MCP allows: {error}")
            })?;
            Ok(mcp::ElicitRequestParams::FormElicitationParams {
                meta: None,
                message: message.clone(),
                requested_schema,
            })
        }
        Question::Url { message, url, id } => Ok(mcp::ElicitRequestParams::UrlElicitationParams {
            meta: None,
            message: message.clone(),
            url: url.clone(),
            elicitation_id: id.clone(),
        }),
        _ => Err("it is not for the user".to_owned()),
    }
}

fn sampling(conversation: &SamplingRequest) -> Result<mcp::CreateMessageRequestParams, String> {
    let message = |message: &Message| {
        let content = match convert::content(message.content.clone()) {
            mcp::ContentBlock::Text(text) => mcp::SamplingMessageContentBlock::Text(text),
            mcp::ContentBlock::Image(image) => mcp::SamplingMessageContentBlock::Image(image),
            mcp::ContentBlock::Audio(audio) => mcp::SamplingMessageContentBlock::Audio(audio),
            _ => return Err("sampling takes only text, images and audio".to_owned()),
        };
        Ok(mcp::SamplingMessage::new(
            convert::role(message.role),
            content,
        ))
    };
    let messages: Result<Vec<_>, String> = conversation.messages.iter().map(message).collect();
    let mut params = mcp::CreateMessageRequestParams::new(messages?, conversation.max_tokens);
    params.system_prompt = conversation.system_prompt.clone();
    params.temperature = conversation
        .temperature
        .map(|temperature| temperature as f32);
    if !conversation.stop_sequences.is_empty() {
        params.stop_sequences = Some(conversation.stop_sequences.clone());
    }
    Ok(params)
}

/// A reply that came with a repeated call. The question is not known here, so the reply's shape
/// decides.
///
/// # Errors
///
/// It is not a reply of the protocol.
pub(crate) fn reply(response: Value) -> Result<Reply, String> {
    let Value::Object(members) = &response else {
        return Err("is not an object".to_owned());
    };
    let parsed = if members.contains_key("action") {
        serde_json::from_value(response).map(elicited)
    } else if members.contains_key("roots") {
        serde_json::from_value(response).map(listed)
    } else if members.contains_key("content") {
        return serde_json::from_value(response)
            .map_err(|error| error.to_string())
            .and_then(sampled);
    } else {
        return Err("has no `action`, `content` or `roots`".to_owned());
    };
    parsed.map_err(|error| error.to_string())
}

fn elicited(result: mcp::ElicitResult) -> Reply {
    match result.action {
        mcp::ElicitationAction::Accept => {
            Reply::Accepted(result.content.map(|content| content.to_string()))
        }
        mcp::ElicitationAction::Decline => Reply::Declined,
        _ => Reply::Dismissed,
    }
}

fn listed(result: mcp::ListRootsResult) -> Reply {
    let root = |root: mcp::Root| Root::new(root.uri).with_name(root.name);
    Reply::Roots(result.roots.into_iter().map(root).collect())
}

fn sampled(result: mcp::CreateMessageResult) -> Result<Reply, String> {
    use base64::Engine;
    let media = |data: String, mime_type: String| {
        let data = base64::engine::general_purpose::STANDARD.decode(data);
        let data = data.map_err(|error| format!("has content that is not base64: {error}"))?;
        Ok::<_, String>(Media::new(data, mime_type))
    };
    let content = result.message.content.into_vec().into_iter().next();
    let content = match content {
        Some(mcp::SamplingMessageContentBlock::Text(text)) => Content::Text(text.text),
        Some(mcp::SamplingMessageContentBlock::Image(image)) => {
            Content::Image(media(image.data, image.mime_type)?)
        }
        Some(mcp::SamplingMessageContentBlock::Audio(audio)) => {
            Content::Audio(media(audio.data, audio.mime_type)?)
        }
        _ => return Err("has neither text nor media".to_owned()),
    };
    Ok(Reply::Completion {
        role: match result.message.role {
            mcp::Role::User => Role::User,
            mcp::Role::Assistant => Role::Assistant,
        },
        content,
        model: result.model,
        stop_reason: result.stop_reason,
    })
}

/// A [`Responder`] that asks the client by requests of the server.
pub(crate) struct PeerResponder {
    /// The stream of the request that caused the question.
    pub(crate) stream: Option<StreamId>,
    pub(crate) peer: Arc<Peer<RoleServer>>,
    pub(crate) kinds: QuestionKinds,
    pub(crate) questions: Arc<PendingQuestions>,
    pub(crate) owner: Owner,
    /// The name of the session's client.
    pub(crate) client: Option<Arc<str>>,
}

impl Responder for PeerResponder {
    fn kinds(&self) -> QuestionKinds {
        self.kinds
    }

    fn reply<'a>(
        &'a self,
        _: &'a str,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        Box::pin(async move { self.ask(question).await.map_err(CallError::failed) })
    }
}

impl PeerResponder {
    async fn ask(&self, question: &Question) -> Result<Reply, String> {
        let mut request: mcp::ServerRequest = match input_request(question)? {
            mcp::InputRequest::Elicitation(request) => request.into(),
            mcp::InputRequest::CreateMessage(request) => request.into(),
            mcp::InputRequest::ListRoots(request) => request.into(),
            _ => return Err("the client does not support this kind of question".to_owned()),
        };
        if let Some(stream) = self.stream {
            request.extensions_mut().insert(stream);
        }
        let failed = |error: rmcp::ServiceError| format!("the client did not answer: {error}");
        // The client is told a little before the wait ends here.
        let patience = self
            .questions
            .patience()
            .saturating_sub(Duration::from_millis(50));
        let options = rmcp::service::PeerRequestOptions::with_timeout(patience);
        let asked = async {
            let handle = self.peer.send_request_with_option(request, options).await?;
            handle.await_response().await
        };
        let result = self
            .questions
            .wait(&self.owner, self.client.as_ref(), asked);
        let result = result.await?.map_err(failed)?;
        let reply = match (question, result) {
            (
                Question::Form { .. } | Question::Url { .. },
                mcp::ClientResult::ElicitResult(result),
            ) => elicited(result),
            (Question::Sampling(_), mcp::ClientResult::CreateMessageResult(result)) => {
                sampled(*result).map_err(|what| format!("the client's answer {what}"))?
            }
            (Question::Roots, mcp::ClientResult::ListRootsResult(result)) => listed(result),
            _ => return Err("the client's answer does not match the question".to_owned()),
        };
        check(question, &reply).await?;
        Ok(reply)
    }
}

/// Validates a form's reply against its schema.
pub(crate) async fn check(question: &Question, reply: &Reply) -> Result<(), String> {
    let (Question::Form { schema, .. }, Reply::Accepted(json)) = (question, reply) else {
        return Ok(());
    };
    let (schema, json) = (schema.clone(), json.as_deref().unwrap_or("{}").to_owned());
    let allowed = Allowed {
        limits: &Limits::default().with_timeout(MAX_CHECK),
        start: Instant::now(),
        spent: Duration::ZERO,
        cancel: &CancellationToken::new(),
    };
    // No call runs meanwhile, and the schema is the plugin's: validate on another thread, with a
    // time limit.
    let (checked, _) = apart(allowed, move |watch| {
        let schema = match Schema::parse(&schema) {
            Ok((_, schema)) => schema,
            Err(message) => return Ok(Err(format!("the form's schema {message}"))),
        };
        let checked = schema.check_json(&json, watch)?;
        Ok(checked.map_err(|message| format!("the client's answer {message}")))
    })
    .await;
    checked.map_err(|error| format!("the client's answer cannot be checked: {error}"))?
}
