//! Conversations to begin with: [`Prompt`].
//!
//! The shapes follow MCP's prompts.

use serde::Serialize;

use crate::input::Message;
use crate::tool::Icon;

/// A conversation that a user can begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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

/// Something that a [`Prompt`] has to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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

/// A [`Prompt`] that was told its arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilledPrompt {
    /// What it is for.
    pub description: Option<String>,
    /// What is said.
    pub messages: Vec<Message>,
}

/// Whose argument is to be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The prompt's of this name.
    Prompt(String),
    /// A variable of this template.
    Template(String),
}

/// An argument that somebody is typing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completing {
    /// Whose argument it is.
    pub of: Subject,
    /// Its name.
    pub argument: String,
    /// What is typed so far.
    pub value: String,
    /// The arguments that are known already.
    pub others: Vec<(String, String)>,
}

/// What an argument could be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestions {
    /// The likeliest first.
    pub values: Vec<String>,
    /// How many there are in all, if that is known.
    pub total: Option<u32>,
}
