//! What a model is asked, in no API's words.

use std::str::FromStr;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A request to a model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// Which model.
    pub model: &'a str,
    /// What it is told ahead of the conversation.
    pub system: Option<&'a str>,
    /// The conversation, in the API's own form.
    pub messages: &'a [Box<RawValue>],
    /// The tools, as [`Wire::declare`](super::Wire::declare) has them; none where there are none.
    pub tools: Option<&'a RawValue>,
    /// Whether it must call tools.
    pub tool_choice: ToolChoice,
    /// Whether it may ask for several calls at once.
    pub parallel: bool,
    /// The sampling temperature.
    pub temperature: Option<f64>,
    /// The maximum length of an answer, in tokens.
    pub max_tokens: Option<u64>,
    /// Whether the answer is to come as an event stream.
    pub stream: bool,
    /// Whether it goes to the API's maker, and not to another server that speaks it: the bound on the answer has the name
    /// that OpenAI's own models want (`max_completion_tokens`), or else the one that other servers know (`max_tokens`).
    pub is_own_api: bool,
    /// What the last answer had for this request: [`Reply::carried`](super::Reply::carried).
    pub carried: Option<&'a Map<String, Value>>,
    /// More of the API's own parameters; they replace ours.
    pub extra: Option<&'a Map<String, Value>>,
}

impl<'a> Request<'a> {
    /// A request to a model with the conversation so far: without tools, and with all else as the API has it. Calls may be
    /// parallel, and the answer comes whole.
    ///
    /// ```
    /// use toolhost_wire::wire::{Format, Names, Request};
    /// use toolhost_wire::Tool;
    ///
    /// let format = Format::OpenaiChat;
    /// let api = format.api().expect("a model speaks it");
    /// let messages = [api.user("What is the weather in Oslo?")];
    /// let weather = Tool::new("weather", "The weather at a place.");
    /// let tools = format.declare(&[&weather], &Names::of_tools(format, &[&weather])).tools;
    ///
    /// let mut request = Request::new("gpt-5", &messages);
    /// request.tools = Some(&tools);
    /// request.temperature = Some(0.2);
    /// let body = api.request(&request);
    /// assert!(body.get().contains(r#""model":"gpt-5""#));
    /// ```
    pub fn new(model: &'a str, messages: &'a [Box<RawValue>]) -> Self {
        Request {
            model,
            system: None,
            messages,
            tools: None,
            tool_choice: ToolChoice::Auto,
            parallel: true,
            temperature: None,
            max_tokens: None,
            stream: false,
            is_own_api: true,
            carried: None,
            extra: None,
        }
    }
}

/// Whether a model must call tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it sees fit.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must call one at least.
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

/// A request's body: what is set of it, then what replaces that.
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

    pub(super) fn set_all(&mut self, members: Option<&Map<String, Value>>) {
        for (key, value) in members.into_iter().flatten() {
            self.set(key, value);
        }
    }

    /// The body as JSON.
    pub(super) fn with(mut self, extra: Option<&Map<String, Value>>) -> Box<RawValue> {
        for (key, value) in extra.into_iter().flatten() {
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
