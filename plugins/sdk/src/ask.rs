//! Questions to the client's user, to its model, and about its roots: elicitation, sampling and roots in MCP.
//!
//! A question looks like an ordinary call:
//!
//! ```
//! use toolhost_plugin::{Error, arguments, ask, tool};
//!
//! #[arguments]
//! struct Person {
//!     /// As in your passport.
//!     name: String,
//!     age: Option<u8>,
//! }
//!
//! /// Greets the user.
//! #[tool]
//! fn greet() -> Result<String, Error> {
//!     let who: Person = ask::form("who", "Who are you?")?;
//!     Ok(format!("Hello, {}!", who.name))
//! }
//! # fn main() {}
//! ```
//!
//! The instance does not wait for the answer, however. Without a reply, the function returns an [`Error`] with the
//! question, `?` ends the call, and the host asks the question. It then calls the tool again with the reply, in a new
//! instance: the code runs from the beginning, and each question finds its reply by its key. Therefore:
//!
//! - Each question of a tool needs its own key.
//! - Code before a question runs again in every round. It should be cheap and have no side effects; otherwise, use
//!   [`remember`].
//! - The error must be returned unchanged.
//!
//! The replies of earlier rounds are part of a state that the host signs. Clients may be able to read it, so it must not
//! contain secrets.
//!
//! By default, a question that the user declines is an error. To continue instead, ask with [`maybe`] and match on the
//! [`Answer`]. To ask several questions in one round, use [`all`].

mod kinds;
mod session;

use crate::Error;
pub use crate::bindings::toolhost::plugin::types::{
    Completion, Question, QuestionKind as Kind, Reply, Root,
};
pub use kinds::{Form, Page, Roots, Sample};
use serde::Serialize;
use serde::de::DeserializeOwned;
pub(crate) use session::begin;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use session::end;

/// Asks the user to fill in a form with the fields of a struct. A field can be a string, a number, a boolean, an enum
/// without data, or a list of such enums. An `Option` or a default makes a field optional. The user sees the doc
/// comments.
///
/// If the reply does not match the type, the question is asked again.
///
/// ```
/// use toolhost_plugin::{Error, arguments, ask};
///
/// #[arguments]
/// struct Order {
///     size: Size,
///     /// Anything else?
///     #[serde(default)]
///     remarks: String,
/// }
///
/// #[arguments]
/// #[serde(rename_all = "lowercase")]
/// enum Size {
///     Small,
///     Large,
/// }
///
/// fn order() -> Result<Order, Error> {
///     ask::form("order", "What would you like?")
/// }
/// ```
///
/// # Errors
///
/// The question, until there is a reply; then [`Error::failed`] if the user did not accept.
pub fn form<T: DeserializeOwned + crate::JsonSchema>(
    key: impl Into<String>,
    message: impl Into<String>,
) -> Result<T, Error> {
    one(Form::new(key, message))
}

/// As [`form`], with a JSON Schema for the form.
///
/// ```
/// use toolhost_plugin::{Error, ask, serde_json::{Value, json}};
///
/// fn sure() -> Result<Value, Error> {
///     ask::form_of(
///         "sure",
///         "Are you sure?",
///         json!({ "type": "object", "properties": { "sure": { "type": "boolean" } } }),
///     )
/// }
/// ```
///
/// # Errors
///
/// As for [`form`].
pub fn form_of<T: DeserializeOwned>(
    key: impl Into<String>,
    message: impl Into<String>,
    schema: serde_json::Value,
) -> Result<T, Error> {
    one(Form::of(key, message, schema))
}

/// Asks the user to open a web page, for example to log in. If they accept, they may still be busy there.
///
/// # Errors
///
/// As for [`form`].
///
/// ```
/// use toolhost_plugin::{Error, ask};
///
/// fn log_in() -> Result<String, Error> {
///     ask::page("login", "Log in to the shop.", "https://shop.example/login")?;
///     Ok("logged in".to_owned())
/// }
///
/// assert_eq!(log_in().unwrap_err().questions()[0].0, "login");
/// ```
pub fn page(
    key: impl Into<String>,
    message: impl Into<String>,
    url: impl Into<String>,
) -> Result<(), Error> {
    one(Page::new(key, message, url))
}

/// Asks the client's model to answer a text. For several messages, and settings, see [`Sample`].
///
/// ```
/// use toolhost_plugin::{Error, ask};
///
/// fn summary(text: &str) -> Result<String, Error> {
///     let answer = ask::sample("summary", format!("Summarize this:\n{text}"))?;
///     Ok(answer.text())
/// }
/// ```
///
/// # Errors
///
/// As for [`form`].
pub fn sample(key: impl Into<String>, text: impl Into<String>) -> Result<Completion, Error> {
    one(Sample::new(key).user(text.into()))
}

/// Asks for the client's roots: the folders that the user works in. The question's key is `roots`.
///
/// # Errors
///
/// As for [`form`].
///
/// ```
/// use toolhost_plugin::{Error, ask};
///
/// fn folders() -> Result<String, Error> {
///     let uris: Vec<String> = ask::roots()?.into_iter().map(|root| root.uri).collect();
///     Ok(uris.join("\n"))
/// }
///
/// assert_eq!(folders().unwrap_err().questions()[0].0, "roots");
/// ```
pub fn roots() -> Result<Vec<Root>, Error> {
    one(Roots::new("roots"))
}

/// Asks one question.
///
/// # Errors
///
/// As for [`form`].
///
/// ```
/// use toolhost_plugin::{Error, ask};
///
/// fn haiku() -> Result<String, Error> {
///     let poet = ask::Sample::new("haiku").system("You are a poet.").user("A haiku, please.");
///     Ok(ask::one(poet)?.text())
/// }
///
/// assert_eq!(haiku().unwrap_err().questions()[0].0, "haiku");
/// ```
pub fn one<Q: Ask>(question: Q) -> Result<Q::Answer, Error> {
    all((question,)).map(|(answer,)| answer)
}

/// Asks several questions in one round: a tuple or a vector of them. A question that has a reply is not asked again, and
/// `None` is skipped.
///
/// ```
/// use toolhost_plugin::{Error, ask, serde_json::{Value, json}};
///
/// fn plan() -> Result<String, Error> {
///     let name = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
///     let (who, motto, folders) = ask::all((
///         ask::Form::<Value>::of("who", "Who are you?", name),
///         ask::Sample::new("motto").user("A motto, please.").max_tokens(50),
///         ask::can(ask::Kind::Roots).then(|| ask::Roots::new("folders")),
///     ))?;
///     let folders = folders.map_or(0, |folders| folders.len());
///     Ok(format!("{}: {} ({folders} folders)", who["name"], motto.text()))
/// }
/// ```
///
/// # Errors
///
/// All questions without a reply, together; [`Error::failed`] if the user did not accept one of them.
pub fn all<Q: AskAll>(questions: Q) -> Result<Q::Answers, Error> {
    let mut missing = Missing::default();
    let answers = questions.answers(&mut missing)?;
    match answers {
        Some(answers) if missing.0.is_empty() => Ok(answers),
        _ => Err(Error::input_required(missing.0, session::state()?)),
    }
}

/// Makes a question whose answer can be a refusal.
///
/// ```
/// use toolhost_plugin::{Error, ask::{self, Answer}};
///
/// fn login() -> Result<&'static str, Error> {
///     let page = ask::Page::new("login", "Please log in.", "https://example.com/login");
///     Ok(match ask::one(ask::maybe(page))? {
///         Answer::Accepted(()) => "with an account",
///         Answer::Declined | Answer::Dismissed => "as a guest",
///     })
/// }
/// ```
pub fn maybe<Q: Ask>(question: Q) -> Maybe<Q> {
    Maybe(question)
}

/// Whether the client of this call can answer questions of this kind.
///
/// ```
/// use toolhost_plugin::{Error, ask};
///
/// fn confirm() -> Result<(), Error> {
///     match ask::can(ask::Kind::Page) {
///         true => ask::page("confirm", "Confirm the order.", "https://shop.example/confirm"),
///         false => Err(Error::failed("confirm the order at https://shop.example/confirm, and try again")),
///     }
/// }
///
/// assert!(confirm().is_err());
/// ```
#[must_use]
pub fn can(kind: Kind) -> bool {
    crate::host::can_ask(kind)
}

/// Computes a value in the first round and keeps it for later ones: for values that are expensive, or that would differ.
/// Clients may be able to read it.
///
/// ```
/// use toolhost_plugin::{Error, ask};
///
/// # fn order() -> Result<u32, Error> { Ok(17) }
/// fn confirmed_order() -> Result<String, Error> {
///     let number = ask::remember("order", order)?;
///     ask::page("pay", "Please pay.", format!("https://example.com/pay/{number}"))?;
///     Ok(format!("Order {number} is paid."))
/// }
/// ```
///
/// # Errors
///
/// The error of `make`, or the value cannot be serialized as JSON.
pub fn remember<T: Serialize + DeserializeOwned>(
    key: &str,
    make: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    if let Some(kept) = session::kept(key)
        && let Ok(value) = serde_json::from_value(kept)
    {
        return Ok(value);
    }
    let value = make()?;
    session::keep(key, serde_json::to_value(&value)?);
    Ok(value)
}

/// The answer to a question that was asked with [`maybe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// The user accepted.
    Accepted(T),
    /// The user declined.
    Declined,
    /// The user closed the question without an answer.
    Dismissed,
}

impl<T> Answer<T> {
    /// The value, if the user accepted.
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accepted(answer) => Some(answer),
            Self::Declined | Self::Dismissed => None,
        }
    }
}

/// A question: [`Form`], [`Page`], [`Sample`], [`Roots`], or [`maybe`] one of these.
pub trait Ask {
    /// The type of the answer.
    type Answer;

    /// The key of the question and its reply.
    fn key(&self) -> &str;

    /// The question in the types of the plugin interface.
    ///
    /// # Errors
    ///
    /// It cannot be asked; for example, a form has a field of a type that forms do not support.
    fn question(&self) -> Result<Question, Error>;

    /// Reads the answer from a reply.
    ///
    /// # Errors
    ///
    /// Why the reply does not match the question.
    fn hear(&self, reply: Reply) -> Result<Answer<Self::Answer>, String>;

    /// Converts an answer to the value that the tool gets.
    ///
    /// # Errors
    ///
    /// The user did not accept, unless the question was asked with [`maybe`].
    fn settle(&self, answer: Answer<Self::Answer>) -> Result<Self::Answer, Error> {
        match answer {
            Answer::Accepted(answer) => Ok(answer),
            Answer::Declined => Err(Error::failed(format!(
                "the user declined to answer the question `{}`",
                self.key()
            ))),
            Answer::Dismissed => Err(Error::failed(format!(
                "the user dismissed the question `{}` without an answer",
                self.key()
            ))),
        }
    }
}

/// A question whose answer can be a refusal: see [`maybe`].
#[derive(Clone, Debug)]
pub struct Maybe<Q>(Q);

impl<Q: Ask> Ask for Maybe<Q> {
    type Answer = Answer<Q::Answer>;

    fn key(&self) -> &str {
        self.0.key()
    }

    fn question(&self) -> Result<Question, Error> {
        self.0.question()
    }

    fn hear(&self, reply: Reply) -> Result<Answer<Self::Answer>, String> {
        self.0.hear(reply).map(Answer::Accepted)
    }
}

/// One of several questions, or `None`.
pub trait AskEach {
    /// The type of the answer.
    type Answer;

    #[doc(hidden)]
    fn answer(&self, missing: &mut Missing) -> Result<Option<Self::Answer>, Error>;
}

impl<Q: Ask> AskEach for Q {
    type Answer = Q::Answer;

    fn answer(&self, missing: &mut Missing) -> Result<Option<Q::Answer>, Error> {
        missing.answer(self)
    }
}

impl<Q: Ask> AskEach for Option<Q> {
    type Answer = Option<Q::Answer>;

    fn answer(&self, missing: &mut Missing) -> Result<Option<Option<Q::Answer>>, Error> {
        match self {
            Some(question) => Ok(missing.answer(question)?.map(Some)),
            None => Ok(Some(None)),
        }
    }
}

/// Several questions: a tuple of up to eight, or a vector.
pub trait AskAll {
    /// The types of the answers, in the same order.
    type Answers;

    #[doc(hidden)]
    fn answers(self, missing: &mut Missing) -> Result<Option<Self::Answers>, Error>;
}

/// The questions that have no reply yet.
#[doc(hidden)]
#[derive(Default)]
pub struct Missing(Vec<(String, Question)>);

impl Missing {
    fn answer<Q: Ask>(&mut self, question: &Q) -> Result<Option<Q::Answer>, Error> {
        let key = question.key();
        if let Some(reply) = session::reply(key) {
            match question.hear(reply) {
                Ok(answer) => return question.settle(answer).map(Some),
                Err(why) => {
                    crate::log::warn(format!("the reply to `{key}` does not fit: {why}"));
                    session::forget(key);
                }
            }
        }
        if self.0.iter().any(|(other, _)| other == key) {
            return Err(Error::failed(format!("two questions have the key `{key}`")));
        }
        self.0.push((key.to_owned(), question.question()?));
        Ok(None)
    }
}

macro_rules! tuples {
    ($($question:ident)+) => {
        impl<$($question: AskEach),+> AskAll for ($($question,)+) {
            type Answers = ($($question::Answer,)+);

            #[allow(non_snake_case)]
            fn answers(self, missing: &mut Missing) -> Result<Option<Self::Answers>, Error> {
                let ($($question,)+) = self;
                // Collect all missing ones before returning.
                $(let $question = $question.answer(missing)?;)+
                Ok((|| Some(($($question?,)+)))())
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);

impl<Q: AskEach> AskAll for Vec<Q> {
    type Answers = Vec<Q::Answer>;

    fn answers(self, missing: &mut Missing) -> Result<Option<Self::Answers>, Error> {
        let mut answers = Vec::with_capacity(self.len());
        for question in &self {
            answers.push(question.answer(missing)?);
        }
        Ok(answers.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
