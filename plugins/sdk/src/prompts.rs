//! Prompts: templates of conversations that users start from.

use crate::Error;
use crate::bindings::prompts::exports::toolhost::plugin::prompts::Filled;
use crate::bindings::toolhost::plugin::types::Content;

pub use crate::bindings::toolhost::plugin::types::{Message, Role};

/// The messages of a rendered prompt, in order.
///
/// ```
/// use toolhost_plugin::{Conversation, arguments, prompt};
///
/// #[arguments]
/// struct Review {
///     /// The code to review.
///     code: String,
/// }
///
/// /// Asks for a code review.
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
    /// A conversation without messages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message of the user.
    #[must_use]
    pub fn user(self, content: impl Into<Content>) -> Self {
        self.with(Message::user(content))
    }

    /// Adds a message of the model.
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

    /// Sets a description, if that of the prompt is not specific enough.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The messages.
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

/// A return type of prompts: text, which is a message of the user, a [`Conversation`], or a `Result` of one of these.
///
/// ```
/// use toolhost_plugin::{Conversation, prompt};
///
/// /// Reviews a change.
/// #[prompt]
/// fn review() -> Conversation {
///     Conversation::new().user("Review this change.").assistant("Which one?")
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a prompt cannot return `{Self}`",
    label = "not what a prompt can return",
    note = "return a `String`, which is what the user says, a `Conversation` of several messages, or a `Result` of one \
            of these"
)]
pub trait IntoConversation {
    /// Converts it to the messages.
    ///
    /// # Errors
    ///
    /// The prompt failed.
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
