//! The kinds of questions.

use super::{Answer, Ask, Completion, Question, Reply, Root};
use crate::bindings::toolhost::plugin::types::{
    Form as WitForm, Message, Page as WitPage, Prompt, Role,
};
use crate::{Content, Error, JsonSchema, schema};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::marker::PhantomData;

/// A form, answered with a `T`: see [`form`](super::form).
#[derive(Clone, Debug)]
pub struct Form<T> {
    key: String,
    message: String,
    schema: Result<Value, String>,
    answer: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema> Form<T> {
    /// A form with the fields of a struct.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
            schema: schema::of_form::<T>(),
            answer: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Form<T> {
    /// A form with a JSON Schema: a flat object of strings, numbers, booleans and enums.
    pub fn of(key: impl Into<String>, message: impl Into<String>, schema: Value) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
            schema: Ok(schema),
            answer: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Ask for Form<T> {
    type Answer = T;

    fn key(&self) -> &str {
        &self.key
    }

    fn question(&self) -> Result<Question, Error> {
        let schema = self.schema.as_ref().map_err(Error::failed)?;
        Ok(Question::Form(WitForm {
            message: self.message.clone(),
            schema: schema.to_string(),
        }))
    }

    fn hear(&self, reply: Reply) -> Result<Answer<T>, String> {
        match reply {
            Reply::Accepted(Some(json)) => crate::arguments::parse(&json)
                .map(Answer::Accepted)
                .map_err(|error| error.message().to_owned()),
            Reply::Accepted(None) => Err("the form is not filled in".to_owned()),
            other => refusal(&other),
        }
    }
}

/// A web page to open: see [`page`](super::page).
#[derive(Clone, Debug)]
pub struct Page {
    key: String,
    page: WitPage,
}

impl Page {
    /// A page by its URL.
    pub fn new(key: impl Into<String>, message: impl Into<String>, url: impl Into<String>) -> Self {
        let (key, url) = (key.into(), url.into());
        Self {
            page: WitPage {
                message: message.into(),
                id: crate::digest([key.as_bytes(), url.as_bytes()]),
                url,
            },
            key,
        }
    }

    /// Sets the id of the request; by default, a hash of key and URL.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.page.id = id.into();
        self
    }
}

impl Ask for Page {
    type Answer = ();

    fn key(&self) -> &str {
        &self.key
    }

    fn question(&self) -> Result<Question, Error> {
        Ok(Question::Page(self.page.clone()))
    }

    fn hear(&self, reply: Reply) -> Result<Answer<()>, String> {
        match reply {
            Reply::Accepted(_) => Ok(Answer::Accepted(())),
            other => refusal(&other),
        }
    }
}

/// A conversation for the client's model to continue: see [`sample`](super::sample).
///
/// ```
/// use toolhost_plugin::{Error, ask};
///
/// fn verdict(essay: &str) -> Result<String, Error> {
///     let question = ask::Sample::new("verdict")
///         .system("You are a strict teacher.")
///         .user("Read my essay.")
///         .assistant("Go ahead.")
///         .user(essay)
///         .max_tokens(200);
///     Ok(ask::one(question)?.text())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sample {
    key: String,
    prompt: Prompt,
}

impl Sample {
    /// A conversation without messages, whose answer has at most 1000 tokens.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            prompt: Prompt {
                messages: Vec::new(),
                system_prompt: None,
                max_tokens: 1000,
                temperature: None,
                stop_sequences: Vec::new(),
            },
        }
    }

    /// Adds a message of the user.
    #[must_use]
    pub fn user(mut self, content: impl Into<Content>) -> Self {
        self.prompt.messages.push(Message::user(content));
        self
    }

    /// Adds a message of the model.
    #[must_use]
    pub fn assistant(mut self, content: impl Into<Content>) -> Self {
        self.prompt.messages.push(Message::assistant(content));
        self
    }

    /// Sets the system prompt.
    #[must_use]
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.prompt.system_prompt = Some(text.into());
        self
    }

    /// Sets the maximum number of tokens of the answer.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.prompt.max_tokens = tokens;
        self
    }

    /// Sets the sampling temperature.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.prompt.temperature = Some(temperature);
        self
    }

    /// Adds a stop sequence.
    #[must_use]
    pub fn stop_at(mut self, text: impl Into<String>) -> Self {
        self.prompt.stop_sequences.push(text.into());
        self
    }
}

impl Ask for Sample {
    type Answer = Completion;

    fn key(&self) -> &str {
        &self.key
    }

    fn question(&self) -> Result<Question, Error> {
        Ok(Question::Prompt(self.prompt.clone()))
    }

    fn hear(&self, reply: Reply) -> Result<Answer<Completion>, String> {
        match reply {
            Reply::Completion(completion) => Ok(Answer::Accepted(completion)),
            other => refusal(&other),
        }
    }
}

/// The client's roots: see [`roots`](super::roots).
#[derive(Clone, Debug)]
pub struct Roots {
    key: String,
}

impl Roots {
    /// A question with this key.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into() }
    }
}

impl Ask for Roots {
    type Answer = Vec<Root>;

    fn key(&self) -> &str {
        &self.key
    }

    fn question(&self) -> Result<Question, Error> {
        Ok(Question::Roots)
    }

    fn hear(&self, reply: Reply) -> Result<Answer<Vec<Root>>, String> {
        match reply {
            Reply::Roots(roots) => Ok(Answer::Accepted(roots)),
            other => refusal(&other),
        }
    }
}

fn refusal<T>(reply: &Reply) -> Result<Answer<T>, String> {
    match reply {
        Reply::Declined => Ok(Answer::Declined),
        Reply::Dismissed => Ok(Answer::Dismissed),
        Reply::Accepted(_) | Reply::Completion(_) | Reply::Roots(_) => {
            Err("it is the reply to a question of another kind".to_owned())
        }
    }
}

impl Completion {
    /// The model's answer if it is text; otherwise empty.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.content {
            Content::Text(text) => text.clone(),
            _ => String::new(),
        }
    }
}

impl Message {
    /// A message of the user.
    pub fn user(content: impl Into<Content>) -> Self {
        Self {
            role: Role::User,
            content: content.into(),
        }
    }

    /// A message of the model.
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self {
            role: Role::Assistant,
            content: content.into(),
        }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Content {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}
