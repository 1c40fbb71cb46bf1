//! [`Prompt`]: conversations that a user can start from.
//!
//! The types follow MCP's prompts.

use serde::Serialize;

use crate::input::Message;
use crate::tool::Icon;

/// A prompt: a conversation that a user can start from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Prompt {
    /// Its name: `[A-Za-z0-9_-]{1,64}`, the plugin's prefix included.
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
    /// Its arguments.
    pub arguments: Vec<PromptArgument>,
}

/// An argument of a [`Prompt`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PromptArgument {
    /// Its name.
    pub name: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it is mandatory.
    pub required: bool,
}

/// A [`Prompt`] rendered with its arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilledPrompt {
    /// What it is for.
    pub description: Option<String>,
    /// The messages.
    pub messages: Vec<Message>,
}

/// What an argument to be completed belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The prompt of this name.
    Prompt(String),
    /// The resource template with this URI.
    Template(String),
}

/// A request to complete an argument while it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completing {
    /// What the argument belongs to.
    pub of: Subject,
    /// Its name.
    pub argument: String,
    /// The text typed so far.
    pub value: String,
    /// The arguments that are known already.
    pub others: Vec<(String, String)>,
}

/// Suggested values of an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestions {
    /// The most likely first.
    pub values: Vec<String>,
    /// The total number of matches, if known.
    pub total: Option<u32>,
}
