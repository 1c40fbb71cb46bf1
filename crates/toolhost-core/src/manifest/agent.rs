//! `[agent]`: which model the agent loop asks, and how.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use url::{Host, Url};

use super::bounds::read_duration;
use super::grants::read_secret;
use super::reader::{Source, Table, expect_table, to_json};
use crate::error::InvalidValue;
use crate::lookup::is_localhost;
use crate::paths::SharedPaths;
use crate::permissions::SecretSource;
use crate::wire::{Format, ToolChoice};
use toolhost_wire::setters;

/// How the agent loop asks a model.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::manifest::AgentConfig;
/// use toolhost::wire::Format;
///
/// let config = AgentConfig::default()
///     .with_provider(Format::OpenaiChat)
///     .with_model("qwen3".to_owned())
///     .with_base_url(AgentConfig::parse_base_url("http://127.0.0.1:8080/v1")?);
/// assert_eq!(config.max_iterations, 10);
/// # Ok::<(), toolhost::error::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AgentConfig {
    /// Model API to use.
    pub provider: Option<Format>,
    /// The model, by the API's name for it.
    pub model: Option<String>,
    /// Where the API is, instead of the provider's own.
    pub base_url: Option<Url>,
    /// Where the API's key is; by default, for the provider's own API, in the environment variable
    /// that its own SDK reads.
    pub key: Option<SecretSource>,
    /// The system prompt.
    pub system_prompt: Option<String>,
    /// The sampling temperature.
    pub temperature: Option<f64>,
    /// The maximum length of an answer, in tokens.
    pub max_tokens: Option<u64>,
    /// Requests for one question.
    pub max_iterations: usize,
    /// Whether the model may ask for several calls at once.
    pub parallel: bool,
    /// Whether it must call tools, in its first answer to a question.
    pub tool_choice: ToolChoice,
    /// Results with more characters are compacted; the model can read on.
    pub max_result_chars: usize,
    /// How long to wait for the model without hearing of it.
    pub timeout: Duration,
    /// How often a request is tried again.
    pub max_retries: usize,
    /// More of the API's own parameters; they replace those above.
    pub request: Map<String, Value>,
    /// The way to the key.
    #[doc(hidden)]
    pub paths: SharedPaths,
}

setters!(AgentConfig {
    with_max_iterations: max_iterations: usize,
    with_parallel: parallel: bool,
    with_tool_choice: tool_choice: ToolChoice,
    with_max_result_chars: max_result_chars: usize,
    with_timeout: timeout: Duration,
    with_max_retries: max_retries: usize,
    with_request: request: Map<String, Value>,
} into {
    with_provider: provider: Option<Format>,
    with_model: model: Option<String>,
    with_base_url: base_url: Option<Url>,
    with_key: key: Option<SecretSource>,
    with_system_prompt: system_prompt: Option<String>,
    with_temperature: temperature: Option<f64>,
    with_max_tokens: max_tokens: Option<u64>,
});

impl Default for AgentConfig {
    fn default() -> Self {
        AgentConfig {
            provider: None,
            model: None,
            base_url: None,
            key: None,
            system_prompt: None,
            temperature: None,
            max_tokens: None,
            max_iterations: 10,
            parallel: true,
            tool_choice: ToolChoice::Auto,
            max_result_chars: 10_000,
            timeout: Duration::from_secs(120),
            max_retries: 4,
            request: Map::new(),
            paths: SharedPaths::default(),
        }
    }
}

impl AgentConfig {
    /// The formats that models' APIs speak, by name.
    pub fn providers() -> impl Iterator<Item = Format> {
        Format::ALL
            .into_iter()
            .filter(|format| format.api().is_some())
    }

    /// The environment variable that the provider's own SDK reads a key from, if it is set and the
    /// key would not go over the network in the clear.
    pub fn usual_key(&self) -> Option<SecretSource> {
        if self.base_url.as_ref().is_some_and(is_in_the_clear) {
            return None;
        }
        let names: &[&str] = match self.provider? {
            Format::Anthropic => &["ANTHROPIC_API_KEY"],
            Format::Gemini => &["GOOGLE_API_KEY", "GEMINI_API_KEY"],
            Format::Ollama => &["OLLAMA_API_KEY"],
            _ => &["OPENAI_API_KEY"],
        };
        let is_set = |name: &&&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let name = names.iter().find(is_set)?;
        Some(SecretSource::Env((*name).to_owned()))
    }

    /// Reads the URL of an API.
    ///
    /// # Errors
    ///
    /// What it must be.
    pub fn parse_base_url(text: &str) -> Result<Url, InvalidValue> {
        let expected = "must be an http or https URL without user, query or fragment, such as \"http://127.0.0.1:8080/v1\"";
        let url = Url::parse(text).map_err(|_| InvalidValue::new(expected))?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        match is_plain {
            true => Ok(url),
            false => Err(InvalidValue::new(expected)),
        }
    }
}

/// Whether others than this machine can read what goes there.
#[doc(hidden)]
pub fn is_in_the_clear(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

/// Whether it is this machine.
#[doc(hidden)]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

pub(super) fn read_agent(mut table: Table, folder: &Path, source: &mut Source) -> AgentConfig {
    let mut agent = AgentConfig::default();
    let providers: Vec<_> = AgentConfig::providers().map(Format::name).collect();
    let parse = |text: &str| AgentConfig::providers().find(|format| format.name() == text);
    let expected = format!("one of {}", providers.join(", "));
    agent.provider = table.parsed("provider", &expected, parse, source);
    agent.model = table.string("model", source).map(str::to_owned);
    if let Some(value) = table.get("base-url")
        && let Some(text) = table.string("base-url", source)
    {
        match AgentConfig::parse_base_url(text) {
            Ok(url) => agent.base_url = Some(url),
            // Not the text: a password may be in it.
            Err(expected) => source.problem(value.span(), format!("`agent.base-url` {expected}")),
        }
    }
    agent.key = table.get("key").and_then(|value| {
        let table = expect_table(value, "agent.key".to_owned(), source)?;
        read_secret(table, value.span(), folder, source)
    });
    agent.system_prompt = table.string("system-prompt", source).map(str::to_owned);
    agent.temperature = table.number("temperature", 0.0..=2.0, source);
    let longest = table.count("max-tokens", 10_000_000, source);
    agent.max_tokens = longest.map(|count| count as u64);
    if let Some(count) = table.count("max-iterations", 10_000, source) {
        agent.max_iterations = count;
    }
    agent.parallel = table.bool("parallel", source).unwrap_or(agent.parallel);
    if let Some(choice) = table.string("tool-choice", source) {
        let Ok(choice) = choice.parse();
        agent.tool_choice = choice;
    }
    if let Some(count) = table.count_from("max-result-chars", 100, usize::MAX, source) {
        agent.max_result_chars = count;
    }
    agent.timeout = read_duration(&mut table, "timeout", source).unwrap_or(agent.timeout);
    if let Some(count) = table.count_from("max-retries", 0, 100, source) {
        agent.max_retries = count;
    }
    if let Some(table) = table.table("request", source) {
        for (key, value, _) in table.entries() {
            let key = key.get_ref().to_string();
            agent.request.insert(key, to_json(value.get_ref()));
        }
    }
    table.finish(source);
    agent
}
