//! Questions of tools: [`InputRequired`] goes out, a [`Resumption`] comes back, and nothing waits
//! in between.
//!
//! The types follow MCP's elicitation and sampling.

use crate::content::Content;
use crate::setters;

/// What a tool needs to know before it can answer.
///
/// ```
/// use toolhost_wire::input::{InputRequired, Question, Reply, Resumption};
/// use toolhost_wire::{CallError, ToolCall};
///
/// // How a call goes on that failed with this.
/// fn go_on(call: ToolCall, input: &InputRequired) -> ToolCall {
///     let reply = |(key, question): &(String, Question)| match question {
///         Question::Form { .. } => (key.clone(), Reply::Accepted(Some(r#"{"name": "Ada"}"#.to_owned()))),
///         _ => (key.clone(), Reply::Declined),
///     };
///     let replies = input.questions.iter().map(reply).collect();
///     call.with_resumed(Box::new(Resumption::new(input.state.clone(), replies)))
/// }
/// # let form = Question::Form { message: "Who?".into(), schema: "{}".into() };
/// # let input = InputRequired::new(vec![("who".into(), form)], "7");
/// # let call = go_on(ToolCall::new("1", "greet", "{}"), &input);
/// # assert_eq!(call.resumed.unwrap().replies.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InputRequired {
    /// The questions, each with a key of its own for its reply.
    pub questions: Vec<(String, Question)>,
    /// State to come back with; empty if there is none.
    pub state: Vec<u8>,
}

impl InputRequired {
    /// Questions, each with a key of its own, and the state to send back with the replies.
    pub fn new(questions: Vec<(String, Question)>, state: impl Into<Vec<u8>>) -> Self {
        InputRequired {
            questions,
            state: state.into(),
        }
    }

    /// Its size in bytes, as counted by `max-output`.
    pub fn size(&self) -> usize {
        let questions = self.questions.iter().map(|(key, question)| {
            key.len()
                + match question {
                    Question::Form { message, schema } => message.len() + schema.len(),
                    Question::Url { message, url, id } => message.len() + url.len() + id.len(),
                    Question::Sampling(conversation) => {
                        let texts = conversation.system_prompt.iter();
                        let texts = texts.chain(&conversation.stop_sequences).map(String::len);
                        let messages = conversation.messages.iter();
                        let messages = messages.map(|message| message.content.size());
                        texts.sum::<usize>() + messages.sum::<usize>()
                    }
                    Question::Roots => 0,
                }
        });
        self.state.len() + questions.sum::<usize>()
    }
}

/// A question that only the client can answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Question {
    /// Elicitation: the user fills in a form.
    Form {
        /// The message to the user.
        message: String,
        /// JSON Schema of the reply, an object, as text.
        schema: String,
    },
    /// Elicitation by URL: the user visits a page.
    Url {
        /// The message to the user.
        message: String,
        /// The URL.
        url: String,
        /// Identifies this visit.
        id: String,
    },
    /// Sampling: the client's model continues a conversation.
    Sampling(SamplingRequest),
    /// The folders that the client works on.
    Roots,
}

/// A conversation for a model to continue.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SamplingRequest {
    /// The messages so far.
    pub messages: Vec<Message>,
    /// The system prompt.
    pub system_prompt: Option<String>,
    /// The maximum length of an answer, in tokens.
    pub max_tokens: u32,
    /// The sampling temperature.
    pub temperature: Option<f64>,
    /// Texts that end the answer.
    pub stop_sequences: Vec<String>,
}

impl SamplingRequest {
    /// The messages so far, and the maximum length of the answer in tokens.
    pub fn new(messages: Vec<Message>, max_tokens: u32) -> Self {
        SamplingRequest {
            messages,
            max_tokens,
            ..SamplingRequest::default()
        }
    }
}

setters!(SamplingRequest into {
    with_system_prompt: system_prompt: Option<String>,
    with_temperature: temperature: Option<f64>,
    with_stop_sequences: stop_sequences: Vec<String>,
});

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Its author.
    pub role: Role,
    /// Its content.
    pub content: Content,
}

impl Message {
    /// A message by `role`.
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        Message {
            role,
            content: content.into(),
        }
    }
}

/// The author of a message. There are no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// The kinds of [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuestionKind {
    /// [`Question::Form`]
    Form,
    /// [`Question::Url`]
    Url,
    /// [`Question::Sampling`]
    Sampling,
    /// [`Question::Roots`]
    Roots,
}

impl Question {
    /// Its kind.
    pub fn kind(&self) -> QuestionKind {
        match self {
            Question::Form { .. } => QuestionKind::Form,
            Question::Url { .. } => QuestionKind::Url,
            Question::Sampling(_) => QuestionKind::Sampling,
            Question::Roots => QuestionKind::Roots,
        }
    }

    /// Every text of the question except a conversation's messages, to be masked.
    #[doc(hidden)]
    pub fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let (texts, more) = match self {
            Question::Form { message, schema } => (vec![message, schema], None),
            Question::Url { message, url, id } => (vec![message, url, id], None),
            Question::Sampling(conversation) => {
                let system = conversation.system_prompt.iter_mut();
                (system.collect(), Some(&mut conversation.stop_sequences))
            }
            Question::Roots => (Vec::new(), None),
        };
        texts.into_iter().chain(more.into_iter().flatten())
    }

    /// The message to the user, or a description of the question.
    pub fn message(&self) -> &str {
        match self {
            Question::Form { message, .. } | Question::Url { message, .. } => message,
            Question::Sampling(_) => "a completion from the client's model",
            Question::Roots => "the client's workspace folders",
        }
    }
}

/// A set of [`QuestionKind`]s.
///
/// ```
/// use toolhost_wire::input::{QuestionKind, QuestionKinds};
///
/// let kinds: QuestionKinds = [QuestionKind::Form, QuestionKind::Url].into_iter().collect();
/// assert!(kinds.contains(QuestionKind::Form));
/// assert!(!kinds.contains(QuestionKind::Roots));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuestionKinds(u8);

impl QuestionKinds {
    /// Whether it contains that kind.
    pub fn contains(self, kind: QuestionKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// The set with another kind.
    #[must_use]
    pub fn with(self, kind: QuestionKind) -> Self {
        QuestionKinds(self.0 | (1 << kind as u8))
    }
}

impl FromIterator<QuestionKind> for QuestionKinds {
    fn from_iter<I: IntoIterator<Item = QuestionKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(QuestionKinds::default(), Self::with)
    }
}

/// The reply to a [`Question`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// The user agreed; for a form with a JSON object, as text.
    Accepted(Option<String>),
    /// The user declined.
    Declined,
    /// The user dismissed the question.
    Dismissed,
    /// The answer of the client's model.
    Completion {
        /// Its role.
        role: Role,
        /// Its content.
        content: Content,
        /// The model's name.
        model: String,
        /// Why the answer ended.
        stop_reason: Option<String>,
    },
    /// The folders that the client works on.
    Roots(Vec<Root>),
}

/// A folder that a client works on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Root {
    /// Usually a `file:` URL.
    pub uri: String,
    /// A name.
    pub name: Option<String>,
}

impl Root {
    /// A folder, most often by a `file:` URL.
    pub fn new(uri: impl Into<String>) -> Self {
        Root {
            uri: uri.into(),
            name: None,
        }
    }
}

setters!(Root into {
    with_name: name: Option<String>,
});

/// The replies to questions, with which a call is resumed.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Resumption {
    /// The state from the questions.
    pub state: Vec<u8>,
    /// The replies by the questions' keys.
    pub replies: Vec<(String, Reply)>,
}

impl Resumption {
    /// The state of the question, and the replies by the keys of the questions.
    pub fn new(state: impl Into<Vec<u8>>, replies: Vec<(String, Reply)>) -> Self {
        Resumption {
            state: state.into(),
            replies,
        }
    }
}
