//! The agent loop: against aimock, which speaks all four APIs, and against a peer of our own, which
//! keeps every byte that it is sent and can break off wherever it likes.

mod aimock;
mod approval;
mod asking;
mod bfcl;
mod command;
mod copies;
mod faults;
mod loops;
mod ollama;
mod order;
mod repairs;
mod requests;
mod results;
mod tls;
mod transcript;

use std::sync::Mutex;

use toolhost::agent::{Agent, Approval, Approving, Event, Observer};
use toolhost::manifest::AgentConfig;
use toolhost::wire::Format;
use toolhost::{Tool, ToolCall, ToolHost, ToolResult};
use toolhost_testing::{self as common, model as peer};

/// The formats that a model's API speaks, but for Ollama's, which streams no events and has tests of its
/// own.
fn apis() -> [Format; 4] {
    let apis = AgentConfig::providers().filter(|format| *format != Format::Ollama);
    let apis: Vec<Format> = apis.collect();
    apis.try_into().expect("four")
}

/// How an agent asks `model` at that address.
fn config(format: Format, url: &str) -> AgentConfig {
    let base = match format {
        Format::OpenaiChat | Format::OpenaiResponses => format!("{url}/v1"),
        _ => url.to_owned(),
    };
    let mut config = AgentConfig::default();
    config.provider = Some(format);
    config.model = Some("model".to_owned());
    config.base_url = Some(base.parse().unwrap());
    config
}

async fn host() -> ToolHost {
    common::host(&["calculator", "echo", "misbehave"]).await
}

fn agent(host: &ToolHost, config: AgentConfig, stream: bool) -> Agent {
    let agent = Agent::new(host.clone(), config).unwrap_or_else(|error| panic!("{error}"));
    agent.stream(stream)
}

/// What an agent did, as an observer saw it.
#[derive(Default)]
struct Seen {
    text: String,
    calls: Vec<ToolCall>,
    results: Vec<ToolResult>,
    retries: Vec<String>,
    turns: usize,
    /// Tools that somebody was asked about.
    asked: Vec<String>,
    /// What to answer to that.
    approvals: Mutex<Vec<Approval>>,
    on_retry: Option<Box<dyn FnMut() + Send>>,
    on_result: Option<Box<dyn FnMut() + Send>>,
}

impl Observer for Seen {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Turn { number } => {
                assert_eq!(number, self.turns);
                self.turns += 1;
            }
            Event::Text(text) => self.text.push_str(text),
            Event::Call { number, call } => {
                assert_eq!(number, self.calls.len());
                self.calls.push(call.clone());
            }
            Event::Result { number, result } => {
                assert_eq!(self.calls[number].name, result.name);
                self.results.push(result.clone());
                if let Some(act) = &mut self.on_result {
                    act();
                }
            }
            Event::Retry { why, .. } => {
                self.retries.push(why.to_owned());
                if let Some(act) = &mut self.on_retry {
                    act();
                }
            }
            _ => {}
        }
    }

    fn approve<'a>(&'a mut self, tool: &'a Tool, _: &'a ToolCall) -> Approving<'a> {
        self.asked.push(tool.name.clone());
        let approval = self.approvals.lock().unwrap().remove(0);
        Box::pin(std::future::ready(approval))
    }
}
