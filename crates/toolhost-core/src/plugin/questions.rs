//! What a plugin asks and is told, between the plugin interface's types and the library's own.

use serde_json::Value;

use super::convert;
use crate::bindings::toolhost::plugin::types as wit;
use crate::input::{Conversation, InputRequired, Message, Question, Reply, Resumption, Role};
use crate::tool::{Content, ResourceBody};

/// A plugin may ask so much at once: somebody has to answer it.
const MAX_QUESTIONS: usize = 32;

/// # Errors
///
/// What is wrong with the questions.
pub(super) fn input_required(input: wit::InputRequired) -> Result<InputRequired, String> {
    if input.questions.len() > MAX_QUESTIONS {
        let count = input.questions.len();
        return Err(format!(
            "it asks {count} questions at once, but at most {MAX_QUESTIONS} are allowed"
        ));
    }
    if input.questions.is_empty() && input.state.is_empty() {
        return Err("it asks for input without a question".to_owned());
    }
    let mut questions: Vec<(String, Question)> = Vec::new();
    for (key, question) in input.questions {
        if questions.iter().any(|(asked, _)| *asked == key) {
            return Err(format!("it asks two questions with the key {key:?}"));
        }
        let question = self::question(question)
            .map_err(|message| format!("its question {key:?} {message}"))?;
        questions.push((key, question));
    }
    Ok(InputRequired::new(questions, input.state))
}

fn question(question: wit::Question) -> Result<Question, String> {
    Ok(match question {
        wit::Question::Form(form) => {
            match serde_json::from_str::<Value>(&form.schema) {
                Ok(Value::Object(_)) => {}
                Ok(_) => return Err("has a schema that is not an object".to_owned()),
                Err(error) => return Err(format!("has a schema that is not JSON: {error}")),
            }
            Question::Form {
                message: form.message,
                schema: form.schema,
            }
        }
        wit::Question::Page(page) => Question::Page {
            message: page.message,
            url: page.url,
            id: page.id,
        },
        wit::Question::Prompt(prompt) => {
            let messages = prompt.messages.into_iter().map(message).collect();
            let conversation = Conversation::new(messages, prompt.max_tokens)
                .with_system_prompt(prompt.system_prompt)
                .with_temperature(prompt.temperature)
                .with_stop_sequences(prompt.stop_sequences);
            Question::Prompt(conversation)
        }
        wit::Question::Roots => Question::Roots,
    })
}

pub(super) fn message(message: wit::Message) -> Message {
    let role = match message.role {
        wit::Role::User => Role::User,
        wit::Role::Assistant => Role::Assistant,
    };
    Message::new(role, convert::content(message.content))
}

pub(super) fn resumption(resumption: Resumption) -> wit::Resumption {
    let reply = |(key, reply)| (key, self::reply(reply));
    wit::Resumption {
        state: resumption.state,
        replies: resumption.replies.into_iter().map(reply).collect(),
    }
}

fn reply(reply: Reply) -> wit::Reply {
    match reply {
        Reply::Accepted(json) => wit::Reply::Accepted(json),
        Reply::Declined => wit::Reply::Declined,
        Reply::Dismissed => wit::Reply::Dismissed,
        Reply::Completion {
            role,
            content,
            model,
            stop_reason,
        } => wit::Reply::Completion(wit::Completion {
            role: match role {
                Role::User => wit::Role::User,
                Role::Assistant => wit::Role::Assistant,
            },
            content: self::content(content),
            model,
            stop_reason,
        }),
        Reply::Roots(roots) => wit::Reply::Roots(
            roots
                .into_iter()
                .map(|root| wit::Root {
                    uri: root.uri,
                    name: root.name,
                })
                .collect(),
        ),
        _ => wit::Reply::Dismissed,
    }
}

fn content(content: Content) -> wit::Content {
    let media = |media: crate::tool::Media| wit::Media {
        data: media.data,
        mime_type: media.mime_type,
    };
    match content {
        Content::Text(text) => wit::Content::Text(text),
        Content::Image(image) => wit::Content::Image(media(image)),
        Content::Audio(audio) => wit::Content::Audio(media(audio)),
        Content::Link(link) => wit::Content::Link(wit::ResourceLink {
            uri: link.uri,
            name: link.name,
            description: link.description,
            mime_type: link.mime_type,
        }),
        Content::Embedded(resource) => wit::Content::Embedded(wit::EmbeddedResource {
            uri: resource.uri,
            mime_type: resource.mime_type,
            body: match resource.body {
                ResourceBody::Text(text) => wit::ResourceBody::Text(text),
                ResourceBody::Blob(bytes) => wit::ResourceBody::Blob(bytes),
            },
        }),
        // The plugin interface has no other.
        other => wit::Content::Text(other.to_text()),
    }
}
