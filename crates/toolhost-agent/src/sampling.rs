//! Tools may ask for an answer of a model: the agent asks its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::client::{Begun, Client};
use toolhost_core::Responder;
use toolhost_core::error::CallError;
use toolhost_core::input::{Conversation, Question, QuestionKind, QuestionKinds, Reply, Role};
use toolhost_core::manifest::AgentConfig;
use toolhost_core::tool::Content;
use toolhost_core::wire::{Request, Stop};

/// Answers for the model, and has somebody else answer the rest.
pub(super) struct Sampler {
    pub(super) client: Arc<Client>,
    pub(super) config: AgentConfig,
    pub(super) others: Option<Arc<dyn Responder>>,
}

impl Responder for Sampler {
    fn kinds(&self) -> QuestionKinds {
        let others = self.others.as_ref();
        let others = others.map(|others| others.kinds()).unwrap_or_default();
        others.with(QuestionKind::Prompt)
    }

    fn reply<'a>(
        &'a self,
        tool: &'a str,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        Box::pin(async move {
            match (question, &self.others) {
                (Question::Prompt(conversation), _) => {
                    self.sample(conversation).await.map_err(CallError::failed)
                }
                (question, Some(others)) => others.reply(tool, question).await,
                (question, None) => {
                    let message = format!("no one is available to answer: {}", question.message());
                    Err(CallError::failed(message))
                }
            }
        })
    }
}

impl Sampler {
    async fn sample(&self, conversation: &Conversation) -> Result<Reply, String> {
        let format = self.client.format;
        let api = format.api().expect("a provider's format has an API");
        let mut messages = Vec::new();
        for message in &conversation.messages {
            let Content::Text(text) = &message.content else {
                return Err("the agent's model takes text only".to_owned());
            };
            messages.push(match message.role {
                Role::User => api.user(text),
                Role::Assistant => api.assistant(text),
            });
        }
        // What the conversation carries is not for this.
        let mut request = Request::new(&self.client.model, &messages);
        request.system = conversation.system_prompt.as_deref();
        request.temperature = conversation.temperature.or(self.config.temperature);
        request.max_tokens = Some(conversation.max_tokens.into());
        request.is_own_api = self.client.is_own_api;
        request.extra = Some(&self.config.request);
        let body = api.request(&request);
        let mut tries = 0;
        let answer = loop {
            let failure = match self.client.send(&body, false).await {
                Ok(Begun::Whole(answer)) => break answer,
                // It was asked for whole.
                Ok(Begun::Events(_)) => {
                    return Err("the model API sent a stream that was not asked for".to_owned());
                }
                Err(failure) => failure,
            };
            tries += 1;
            if !failure.may_retry || tries > self.config.max_retries {
                return Err(format!("no answer from the model: {}", failure.error));
            }
            let wait = failure
                .wait
                .unwrap_or(Duration::from_millis(500 << tries.min(5)));
            tokio::time::sleep(wait).await;
        };
        let reply = toolhost_core::wire::reply(&answer, format);
        let reply = reply.map_err(|error| format!("cannot parse the model's answer: {error}"))?;
        let mut text = reply.text;
        let stops = conversation.stop_sequences.iter();
        let stops = stops.filter(|stop| !stop.is_empty());
        let first = stops.filter_map(|stop| text.find(stop)).min();
        if let Some(end) = first {
            text.truncate(end);
        }
        let stop_reason = match (first, &reply.stop) {
            (Some(_), _) => "stopSequence",
            (None, Stop::Length) => "maxTokens",
            (None, _) => "endTurn",
        };
        Ok(Reply::Completion {
            role: Role::Assistant,
            content: Content::Text(text),
            model: self.client.model.clone(),
            stop_reason: Some(stop_reason.to_owned()),
        })
    }
}
