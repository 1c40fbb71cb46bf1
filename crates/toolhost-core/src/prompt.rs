//! [`Prompt`]: conversations that a user can start from.
//!
//! The types follow MCP's prompts.

use serde::Serialize;
use toolhost_wire::setters;

use crate::input::{Message, Resumption};
use crate::tool::Icon;

/// A prompt: a conversation that a user can start from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
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

/// An argument of a [`Prompt`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
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

impl PromptArgument {
    /// An optional argument.
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

/// A request for a prompt: see [`ToolHost::get_prompt`](crate::ToolHost::get_prompt).
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
    /// Its arguments.
    pub arguments: Vec<(String, String)>,
    /// The replies to its plugin's questions, if this continues an earlier request.
    pub resumed: Option<Resumption>,
}

impl PromptRequest {
    /// A request for the prompt of this name, without arguments.
    pub fn new(name: impl Into<String>) -> Self {
        PromptRequest {
            name: name.into(),
            ..PromptRequest::default()
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.arguments.push((name.into(), value.into()));
        self
    }

    /// Continues with the replies to its plugin's questions.
    #[must_use]
    pub fn resumed(mut self, resumption: Resumption) -> Self {
        self.resumed = Some(resumption);
        self
    }
}

/// A [`Prompt`] rendered with its arguments.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RenderedPrompt {
    /// What it is for.
    pub description: Option<String>,
    /// The messages.
    pub messages: Vec<Message>,
}

/// What an argument to be completed belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompletionTarget {
    /// The prompt of this name.
    Prompt(String),
    /// The resource template with this URI.
    Template(String),
}

/// A request to complete an argument while it is typed.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::prompt::{CompletionRequest, CompletionTarget};
/// use toolhost::{CallOptions, Manifest, ToolHost};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = "[prompt.greet]\ntext = 'Greet {{name}} in {{language}}'\n[prompt.greet.arguments.name]";
/// let host = ToolHost::load(Manifest::parse(text, "toolhost.toml")?).await?;
///
/// let prompt = CompletionTarget::Prompt("greet".to_owned());
/// let request = CompletionRequest::new(prompt, "name", "Ad").other("language", "en");
/// // Only plugins suggest values; this prompt is the manifest's own.
/// assert!(host.complete(request, &CallOptions::new()).await?.values.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletionRequest {
    /// What the argument belongs to.
    pub of: CompletionTarget,
    /// Its name.
    pub argument: String,
    /// The text typed so far.
    pub value: String,
    /// The arguments that are known already.
    pub others: Vec<(String, String)>,
}

impl CompletionRequest {
    /// Completes the typed text of an argument; no other argument is known.
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

    /// Adds another argument that is known already.
    #[must_use]
    pub fn other(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.others.push((name.into(), value.into()));
        self
    }
}

/// Suggested values of an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Suggestions {
    /// The most likely first.
    pub values: Vec<String>,
    /// The total number of matches, if known.
    pub total: Option<u32>,
}
