//! Questions to the client: its user, its model, and itself.
//!
//! Asking reads like any other call:
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
//! /// Greets whoever is there.
//! #[tool]
//! fn greet() -> Result<String, Error> {
//!     let who: Person = ask::form("who", "Who are you?")?;
//!     Ok(format!("Hello, {}!", who.name))
//! }
//! # fn main() {}
//! ```
//!
//! Nothing waits, though. Without a reply, the function returns an [`Error`] that carries the question, `?` ends the run, and the
//! host passes the question on. With the reply it calls the tool again, in a fresh instance: the code runs
//! from the top, and each question finds its reply by its key. So
//!
//! - a key names one question: no two of a tool may share it,
//! - what comes before a question is done in every round: keep it cheap and without effect, or [`remember`] it,
//! - the error has to get through: do not turn it into another one.
//!
//! Replies of earlier rounds come along in a state that the host signs. Who asked can read it: no secret belongs there.
//!
//! The plain functions make an error of a no. To go on after one, ask with [`maybe`] and match on the [`Answer`]; to ask several
//! things in one round, use [`all`].

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

/// Has the user fill in a form, with a field for each field of the struct. These may be texts, numbers, booleans, enums without
/// data, and lists of such enums; an `Option` or a default makes a field optional. Doc comments are shown to the user.
///
/// An answer that does not fit the type is asked for again.
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
/// The question, until there is a reply; then [`Error::failed`] if the user said no.
pub fn form<T: DeserializeOwned + crate::JsonSchema>(
    key: impl Into<String>,
    message: impl Into<String>,
) -> Result<T, Error> {
    one(Form::new(key, message))
}

/// The same, with the form's JSON Schema in the author's words.
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

/// Has the user visit a page, to log in somewhere for instance. That they agreed does not mean that they are done there.
///
/// # Errors
///
/// As for [`form`].
pub fn page(
    key: impl Into<String>,
    message: impl Into<String>,
    url: impl Into<String>,
) -> Result<(), Error> {
    one(Page::new(key, message, url))
}

/// Has the client's model answer a text. For longer conversations and settings, see [`Sample`].
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

/// The folders that the client works on; the question's key is `roots`.
///
/// # Errors
///
/// As for [`form`].
pub fn roots() -> Result<Vec<Root>, Error> {
    one(Roots::new("roots"))
}

/// Asks one question.
///
/// # Errors
///
/// As for [`form`].
pub fn one<Q: Ask>(question: Q) -> Result<Q::Answer, Error> {
    all((question,)).map(|(answer,)| answer)
}

/// Asks several questions in one round: a tuple of them, or a vector. What is answered already is not asked again, and `None`
/// is not asked at all.
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
/// Those questions that have no reply yet, together; [`Error::failed`] as soon as one is refused.
pub fn all<Q: AskAll>(questions: Q) -> Result<Q::Answers, Error> {
    let mut missing = Missing::default();
    let answers = questions.answers(&mut missing)?;
    match answers {
        Some(answers) if missing.0.is_empty() => Ok(answers),
        _ => Err(Error::input_required(missing.0, session::state()?)),
    }
}

/// The same question, but one whose refusal is an answer.
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

/// Whether there is somebody who could answer such a question.
#[must_use]
pub fn can(kind: Kind) -> bool {
    crate::host::can_ask(kind)
}

/// Makes a value in the first round, and finds it again in later ones: for what is expensive to make, or would not be the same
/// twice. Who asked can read it.
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
/// When it could not be made, or cannot be JSON.
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

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// There is an answer.
    Accepted(T),
    /// The user said no.
    Declined,
    /// The user did not say.
    Dismissed,
}

impl<T> Answer<T> {
    /// The answer, if there is one.
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accepted(answer) => Some(answer),
            Self::Declined | Self::Dismissed => None,
        }
    }
}

/// A question: [`Form`], [`Page`], [`Sample`], [`Roots`], or [`maybe`] one of these.
pub trait Ask {
    /// What it is answered with.
    type Answer;

    /// The name that its reply has.
    fn key(&self) -> &str;

    /// The question as the host has it.
    ///
    /// # Errors
    ///
    /// When it cannot be put, a form of a type with fields that no form has for instance.
    fn question(&self) -> Result<Question, Error>;

    /// The answer in a reply.
    ///
    /// # Errors
    ///
    /// When the reply does not fit the question: why not.
    fn hear(&self, reply: Reply) -> Result<Answer<Self::Answer>, String>;

    /// The answer that a reply leads to.
    ///
    /// # Errors
    ///
    /// When it was refused, unless that is an answer too.
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

/// A question whose refusal is an answer: see [`maybe`].
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

/// A question among several, or none.
pub trait AskEach {
    /// What it is answered with.
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
    /// What they are answered with, in the same order.
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
                // All of them, before the first that is missing ends it.
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
