//! Conversations to begin with: [`Prompt`].
//!
//! The shapes follow MCP's prompts.

use serde::Serialize;
use toolhost_wire::setters;

use crate::input::{Message, Resumption};
use crate::tool::Icon;

/// A conversation that a user can begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Prompt {
    /// What it is asked for by: `[A-Za-z0-9_-]{1,64}`, the plugin's prefix included.
    pub name: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Icons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
    /// What it has to be told.
    pub arguments: Vec<PromptArgument>,
}

impl Prompt {
    /// A prompt without arguments.
    pub fn new(name: impl Into<String>) -> Self {
        Prompt {
            name: name.into(),
            ..Prompt::default()
        }
    }
}

setters!(Prompt into {
    with_title: title: Option<String>,
    with_description: description: Option<String>,
    with_icons: icons: Vec<Icon>,
    with_arguments: arguments: Vec<PromptArgument>,
});

/// Something that a [`Prompt`] has to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PromptArgument {
    /// Its name.
    pub name: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether there is no prompt without it.
    pub required: bool,
}

impl PromptArgument {
    /// One that need not be given.
    pub fn new(name: impl Into<String>) -> Self {
        PromptArgument {
            name: name.into(),
            ..PromptArgument::default()
        }
    }
}

setters!(PromptArgument {
    with_required: required: bool,
} into {
    with_title: title: Option<String>,
    with_description: description: Option<String>,
});

/// A prompt that is asked for: [`ToolHost::get_prompt`](crate::ToolHost::get_prompt).
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::prompt::PromptRequest;
///
/// let request = PromptRequest::new("review").argument("language", "Rust");
/// assert_eq!(request.arguments, [("language".to_owned(), "Rust".to_owned())]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PromptRequest {
    /// Its name.
    pub name: String,
    /// What it is told.
    pub arguments: Vec<(String, String)>,
    /// What came of what its plugin asked, when it was asked for before.
    pub resumed: Option<Resumption>,
}

impl PromptRequest {
    /// The prompt of that name, without arguments.
    pub fn new(name: impl Into<String>) -> Self {
        PromptRequest {
            name: name.into(),
            ..PromptRequest::default()
        }
    }

    /// Tells it an argument.
    #[must_use]
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.arguments.push((name.into(), value.into()));
        self
    }

    /// Goes on with the replies to what its plugin asked.
    #[must_use]
    pub fn resumed(mut self, resumption: Resumption) -> Self {
        self.resumed = Some(resumption);
        self
    }
}

/// A [`Prompt`] that was told its arguments.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RenderedPrompt {
    /// What it is for.
    pub description: Option<String>,
    /// What is said.
    pub messages: Vec<Message>,
}

/// Whose argument is to be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompletionTarget {
    /// The prompt's of this name.
    Prompt(String),
    /// A variable of this template.
    Template(String),
}

/// An argument that somebody is typing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletionRequest {
    /// Whose argument it is.
    pub of: CompletionTarget,
    /// Its name.
    pub argument: String,
    /// What is typed so far.
    pub value: String,
    /// The arguments that are known already.
    pub others: Vec<(String, String)>,
}

impl CompletionRequest {
    /// What is typed of an argument, where no other is known.
    pub fn new(
        of: CompletionTarget,
        argument: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        CompletionRequest {
            of,
            argument: argument.into(),
            value: value.into(),
            others: Vec::new(),
        }
    }

    /// Says another argument, which is known already.
    #[must_use]
    pub fn other(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.others.push((name.into(), value.into()));
        self
    }
}

/// What an argument could be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Suggestions {
    /// The likeliest first.
    pub values: Vec<String>,
    /// How many there are in all, if that is known.
    pub total: Option<u32>,
}
