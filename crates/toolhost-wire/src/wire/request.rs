//! [`Request`]: a request to a model, independent of the API.

use std::str::FromStr;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A request to a model.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The system prompt.
    pub system: Option<&'a str>,
    /// The conversation, in the API's own form.
    pub messages: &'a [Box<RawValue>],
    /// The tools, as [`Wire::declare`](super::Wire::declare) encodes them.
    pub tools: Option<&'a RawValue>,
    /// Whether it must call tools.
    pub tool_choice: &'a ToolChoice,
    /// Whether it may make several calls at once.
    pub parallel: bool,
    /// The sampling temperature.
    pub temperature: Option<f64>,
    /// The maximum length of an answer, in tokens.
    pub max_tokens: Option<u64>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the maximum length is sent under the name that OpenAI's own models require
    /// (`max_completion_tokens`), or under the one that other servers know (`max_tokens`).
    pub is_openai: bool,
    /// What the last answer carries over to this request:
    /// [`Reply::carried`](super::Reply::carried).
    pub carried: &'a Map<String, Value>,
    /// Further parameters of the API; they override ours.
    pub extra: &'a Map<String, Value>,
}

/// Whether a model must call tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it decides.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must call at least one.
    Required,
    /// It must call this one.
    Tool(String),
}

impl ToolChoice {
    /// The same, with the tool's name on the wire.
    pub fn named(&self, names: &super::Names) -> ToolChoice {
        match self {
            ToolChoice::Tool(tool) => ToolChoice::Tool(names.wire(tool).to_owned()),
            other => other.clone(),
        }
    }
}

impl FromStr for ToolChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            tool => ToolChoice::Tool(tool.to_owned()),
        })
    }
}

/// A request's body: the members that are set, and those that override them.
pub(super) struct Body(Vec<(String, Box<RawValue>)>);

impl Body {
    pub(super) fn new() -> Self {
        Body(Vec::new())
    }

    pub(super) fn set(&mut self, key: &str, value: &(impl serde::Serialize + ?Sized)) {
        self.0.push((key.to_owned(), super::raw(value)));
    }

    pub(super) fn set_some(&mut self, key: &str, value: Option<impl serde::Serialize>) {
        if let Some(value) = value {
            self.set(key, &value);
        }
    }

    pub(super) fn set_all(&mut self, members: &Map<String, Value>) {
        for (key, value) in members {
            self.set(key, value);
        }
    }

    /// The body as JSON.
    pub(super) fn with(mut self, extra: &Map<String, Value>) -> Box<RawValue> {
        for (key, value) in extra {
            self.0.retain(|(set, _)| set != key);
            self.set(key, value);
        }
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| format!("{}:{}", super::raw(key), value))
            .collect();
        RawValue::from_string(format!("{{{}}}", members.join(",")))
            .expect("members that are JSON make an object")
    }
}
