//! Questions of plugins and their replies: converts between the plugin interface's types and the
//! library's.

use serde_json::Value;

use super::convert;
use crate::bindings::toolhost::plugin::types as wit;
use crate::input::{InputRequired, Message, Question, Reply, Resumption, Role, SamplingRequest};
use crate::sandbox::to_wit;

/// The most questions that a plugin may ask at once: somebody has to answer them.
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
        wit::Question::Page(page) => Question::Url {
            message: page.message,
            url: page.url,
            id: page.id,
        },
        wit::Question::Prompt(prompt) => {
            let messages = prompt.messages.into_iter().map(message).collect();
            let conversation = SamplingRequest::new(messages, prompt.max_tokens)
                .with_system_prompt(prompt.system_prompt)
                .with_temperature(prompt.temperature)
                .with_stop_sequences(prompt.stop_sequences);
            Question::Sampling(conversation)
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
            content: to_wit::content(content),
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
