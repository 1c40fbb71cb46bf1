//! What a tool asks before it can answer: [`InputRequired`] goes out, a [`Resumption`] comes back,
//! and nothing waits in between.
//!
//! The shapes follow MCP's elicitation and sampling.

use crate::content::Content;
use crate::setters;

/// What has to be known before there can be an answer.
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
    /// The questions, each with a key of its own, which its reply will have.
    pub questions: Vec<(String, Question)>,
    /// What to come back with; empty when there is nothing to remember.
    pub state: Vec<u8>,
}

impl InputRequired {
    /// Questions, each with a key of its own, and the state to come back with.
    pub fn new(questions: Vec<(String, Question)>, state: impl Into<Vec<u8>>) -> Self {
        InputRequired {
            questions,
            state: state.into(),
        }
    }

    /// Its bytes, as the `max-output` limit counts them.
    pub fn size(&self) -> usize {
        let questions = self.questions.iter().map(|(key, question)| {
            key.len()
                + match question {
                    Question::Form { message, schema } => message.len() + schema.len(),
                    Question::Page { message, url, id } => message.len() + url.len() + id.len(),
                    Question::Prompt(conversation) => {
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

/// Something that only the client can tell.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Question {
    /// The user is to fill in a form.
    Form {
        /// What it is for.
        message: String,
        /// JSON Schema of the answer, an object, as text.
        schema: String,
    },
    /// The user is to visit a page.
    Page {
        /// What for.
        message: String,
        /// Where.
        url: String,
        /// Names this visit.
        id: String,
    },
    /// The client's model is to go on with a conversation.
    Prompt(Conversation),
    /// Which folders the client works on.
    Roots,
}

/// A conversation that a model is to go on with.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Conversation {
    /// What was said so far.
    pub messages: Vec<Message>,
    /// The system prompt.
    pub system_prompt: Option<String>,
    /// The maximum length of an answer, in tokens.
    pub max_tokens: u32,
    /// The sampling temperature.
    pub temperature: Option<f64>,
    /// What ends the answer.
    pub stop_sequences: Vec<String>,
}

impl Conversation {
    /// What was said so far, and the maximum length of an answer, in tokens.
    pub fn new(messages: Vec<Message>, max_tokens: u32) -> Self {
        Conversation {
            messages,
            max_tokens,
            ..Conversation::default()
        }
    }
}

setters!(Conversation into {
    with_system_prompt: system_prompt: Option<String>,
    with_temperature: temperature: Option<f64>,
    with_stop_sequences: stop_sequences: Vec<String>,
});

/// One piece of a conversation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: Content,
}

impl Message {
    /// What `role` says.
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        Message {
            role,
            content: content.into(),
        }
    }
}

/// Who says something. There is nobody else.
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
    /// [`Question::Page`]
    Page,
    /// [`Question::Prompt`]
    Prompt,
    /// [`Question::Roots`]
    Roots,
}

impl Question {
    /// Its kind.
    pub fn kind(&self) -> QuestionKind {
        match self {
            Question::Form { .. } => QuestionKind::Form,
            Question::Page { .. } => QuestionKind::Page,
            Question::Prompt(_) => QuestionKind::Prompt,
            Question::Roots => QuestionKind::Roots,
        }
    }

    /// Every text of the question except a conversation's messages, to be masked.
    #[doc(hidden)]
    pub fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let (texts, more) = match self {
            Question::Form { message, schema } => (vec![message, schema], None),
            Question::Page { message, url, id } => (vec![message, url, id], None),
            Question::Prompt(conversation) => {
                let system = conversation.system_prompt.iter_mut();
                (system.collect(), Some(&mut conversation.stop_sequences))
            }
            Question::Roots => (Vec::new(), None),
        };
        texts.into_iter().chain(more.into_iter().flatten())
    }

    /// What the user is told, or what the question is.
    pub fn message(&self) -> &str {
        match self {
            Question::Form { message, .. } | Question::Page { message, .. } => message,
            Question::Prompt(_) => "a completion from the client's model",
            Question::Roots => "the client's workspace folders",
        }
    }
}

/// A set of [`QuestionKind`]s.
///
/// ```
/// use toolhost_wire::input::{QuestionKind, QuestionKinds};
///
/// let kinds: QuestionKinds = [QuestionKind::Form, QuestionKind::Page].into_iter().collect();
/// assert!(kinds.contains(QuestionKind::Form));
/// assert!(!kinds.contains(QuestionKind::Roots));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuestionKinds(u8);

impl QuestionKinds {
    /// Whether it is one of them.
    pub fn contains(self, kind: QuestionKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// These and another.
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

/// What came of a [`Question`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// The user agreed; for a form with a JSON object, as text.
    Accepted(Option<String>),
    /// The user said no.
    Declined,
    /// The user did not say.
    Dismissed,
    /// What the client's model said.
    Completion {
        /// As whom.
        role: Role,
        /// What.
        content: Content,
        /// Which model it was.
        model: String,
        /// Why it said no more.
        stop_reason: Option<String>,
    },
    /// The folders that the client works on.
    Roots(Vec<Root>),
}

/// A folder that a client works on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Root {
    /// Most often a `file:` URL.
    pub uri: String,
    /// A name for it.
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

/// What came of the questions: what a call goes on with.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Resumption {
    /// The state that was to come back.
    pub state: Vec<u8>,
    /// Replies by the questions' keys.
    pub replies: Vec<(String, Reply)>,
}

impl Resumption {
    /// The state that was to come back, and the replies by the questions' keys.
    pub fn new(state: impl Into<Vec<u8>>, replies: Vec<(String, Reply)>) -> Self {
        Resumption {
            state: state.into(),
            replies,
        }
    }
}
