//! Conversations to begin with.

use crate::Error;
use crate::bindings::prompts::exports::toolhost::plugin::prompts::Filled;
use crate::bindings::toolhost::plugin::types::Content;

pub use crate::bindings::toolhost::plugin::types::{Message, Role};

/// What a prompt becomes: messages, in order.
///
/// ```
/// use toolhost_plugin::{Conversation, arguments, prompt};
///
/// #[arguments]
/// struct Review {
///     /// The code to look at.
///     code: String,
/// }
///
/// /// Has code reviewed.
/// #[prompt(title = "Code review")]
/// fn review(args: Review) -> Conversation {
///     Conversation::new()
///         .user("Please review my code.")
///         .assistant("Show me.")
///         .user(args.code)
/// }
/// # fn main() {}
/// ```
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    description: Option<String>,
    messages: Vec<Message>,
}

impl Conversation {
    /// No message yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the user says.
    #[must_use]
    pub fn user(self, content: impl Into<Content>) -> Self {
        self.with(Message::user(content))
    }

    /// Adds what the model says.
    #[must_use]
    pub fn assistant(self, content: impl Into<Content>) -> Self {
        self.with(Message::assistant(content))
    }

    /// Adds a message.
    #[must_use]
    pub fn with(mut self, message: Message) -> Self {
        self.messages.push(message);
        self
    }

    /// Says what this one is, when that is more than what the prompt is.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// What is in it so far.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }
}

impl From<Conversation> for Filled {
    fn from(conversation: Conversation) -> Self {
        Self {
            description: conversation.description,
            messages: conversation.messages,
        }
    }
}

#[diagnostic::on_unimplemented(
    message = "a prompt cannot return `{Self}`",
    label = "not what a prompt can return",
    note = "return a `String`, which is what the user says, a `Conversation` of several messages, or a `Result` of one \
            of these"
)]
/// What a prompt function may return: a text that the user says, a [`Conversation`], or a `Result` of one of these.
pub trait IntoConversation {
    /// The conversation, or why there is none.
    ///
    /// # Errors
    ///
    /// When the prompt said no.
    fn into_conversation(self) -> Result<Conversation, Error>;
}

impl IntoConversation for Conversation {
    fn into_conversation(self) -> Result<Conversation, Error> {
        Ok(self)
    }
}

impl IntoConversation for String {
    fn into_conversation(self) -> Result<Conversation, Error> {
        Ok(Conversation::new().user(self))
    }
}

impl IntoConversation for &'static str {
    fn into_conversation(self) -> Result<Conversation, Error> {
        Ok(Conversation::new().user(self))
    }
}

impl<T: IntoConversation, E: Into<Error>> IntoConversation for Result<T, E> {
    fn into_conversation(self) -> Result<Conversation, Error> {
        self.map_err(Into::into)?.into_conversation()
    }
}
