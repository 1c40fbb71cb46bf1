//! The agent: the loop between a model and its tools. A question goes out, all calls of an answer
//! run in parallel, their results go back, until the model answers in text. Approval of calls is a
//! hook of the host: [`AskFirst`](toolhost_core::AskFirst).
//!
//! ```
//! # mod toolhost {
//! #     pub use toolhost_agent as agent;
//! #     pub use toolhost_core::*;
//! # }
//! # use std::io::{Read, Write};
//! use toolhost::agent::{Agent, Silent};
//! use toolhost::manifest::AgentConfig;
//! use toolhost::wire::Format;
//! use toolhost::{Manifest, ToolHost};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // A model that knows one answer.
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let url = format!("http://{}/v1", listener.local_addr()?);
//! # std::thread::spawn(move || {
//! #     let (mut stream, _) = listener.accept().unwrap();
//! #     let (mut request, mut piece) = (Vec::new(), [0; 4096]);
//! #     while !request.ends_with(b"}") {
//! #         let read = stream.read(&mut piece).unwrap();
//! #         request.extend_from_slice(&piece[..read]);
//! #     }
//! #     let body = r#"{"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "42"}}]}"#;
//! #     let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
//! #     write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
//! # });
//! let config = AgentConfig::default()
//!     .with_provider(Format::OpenaiChat)
//!     .with_model("qwen3".to_owned())
//!     .with_base_url(AgentConfig::parse_base_url(&url)?);
//! let host = ToolHost::load(Manifest::default()).await?;
//! let mut agent = Agent::new(host, config)?.stream(false);
//! let answer = agent.ask("What is 6 times 7?", &mut Silent).await?;
//! assert_eq!(answer.text, "42");
//! # Ok(())
//! # }
//! ```

#![warn(unreachable_pub)]

mod conversation;
mod error;
mod model_client;
mod observer;
mod results;
mod retry;
mod sampling;
mod turn;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::value::RawValue;

use conversation::{AdditionKind, Conversation};
pub use error::AgentError;
use model_client::ModelClient;
pub use observer::{Event, Observer, Silent};
use results::ModelResults;
use sampling::Sampler;
use toolhost_core::locks;
use toolhost_core::manifest::AgentConfig;
use toolhost_core::mask::Mask;
use toolhost_core::permissions::{HostFile, Purpose};
use toolhost_core::tool::{Tool, ToolCall, ToolResult};
use toolhost_core::wire::{
    self, Api, Format, LeftOut, Names, Reply, Request, Stop, Tokens, ToolChoice,
};
use toolhost_core::{CallOptions, CancellationToken, Responder, ToolHost};
use turn::AgentTurn;

/// A model with tools, and the conversation so far.
pub struct Agent {
    host: ToolHost,
    config: AgentConfig,
    client: Arc<ModelClient>,
    format: Format,
    names: Names,
    /// The declarations sent with every request.
    tools: Option<Box<RawValue>>,
    conversation: Conversation,
    results: ModelResults,
    /// The options of every call.
    options: CallOptions,
    stream: bool,
    interrupter: Interrupter,
    replacer: HostReplacer,
    summary: Summary,
    /// The number of calls so far.
    calls: usize,
}

/// The final answer of a model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FinalAnswer {
    /// Its text.
    pub text: String,
    /// Why it ended: [`Stop::End`], unless it was cut off or filtered.
    pub stop: Stop,
}

/// What an agent has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Requests that were answered.
    pub turns: usize,
    /// Calls that ended.
    pub calls: usize,
    /// Calls that ended in an error.
    pub errors: usize,
    /// Time during which calls ran.
    pub wall: Duration,
    /// The time they would have taken one after another.
    pub one_by_one: Duration,
    /// Tokens, as far as the API reports them.
    pub tokens: Tokens,
}

/// Cancels the calls that an agent is waiting for, from anywhere; the model is told.
#[derive(Clone, Default)]
pub struct Interrupter(Arc<Mutex<Option<CancellationToken>>>);

impl Interrupter {
    /// Cancels running calls. Returns false if there are none.
    pub fn interrupt(&self) -> bool {
        let running = locks::lock(&self.0);
        match &*running {
            Some(token) => {
                token.cancel();
                true
            }
            None => false,
        }
    }

    fn set(&self, token: Option<CancellationToken>) {
        *locks::lock(&self.0) = token;
    }
}

/// Replaces the host of an agent, from anywhere: its next turn has the new one.
#[derive(Clone, Default)]
pub struct HostReplacer(Arc<Mutex<Option<ToolHost>>>);

impl HostReplacer {
    /// Calls that run go on with the old host.
    pub fn replace(&self, host: ToolHost) {
        *locks::lock(&self.0) = Some(host);
    }
}

impl Agent {
    /// An agent with a new conversation.
    ///
    /// ```
    /// # mod toolhost {
    /// #     pub use toolhost_agent as agent;
    /// #     pub use toolhost_core::*;
    /// # }
    /// use toolhost::agent::Agent;
    /// use toolhost::manifest::AgentConfig;
    /// use toolhost::wire::Format;
    /// use toolhost::{Manifest, ToolHost};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AgentConfig::default()
    ///     .with_provider(Format::OpenaiChat)
    ///     .with_model("qwen3".to_owned())
    ///     .with_base_url(AgentConfig::parse_base_url("http://127.0.0.1:8080/v1")?)
    ///     .with_system_prompt("Be brief.".to_owned());
    /// let host = ToolHost::load(Manifest::default()).await?;
    /// let agent = Agent::new(host, config)?.stream(false);
    /// assert!(!agent.waits_for_model());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The configuration names no provider or model, its key cannot be read or must not be sent to
    /// its URL, or a plugin offers a tool named `read_result`.
    pub fn new(host: ToolHost, config: AgentConfig) -> Result<Agent, AgentError> {
        let client = Arc::new(ModelClient::new(&config)?);
        let format = client.format;
        let offers = |name: &str| host.tools().any(|tool| tool.name == name);
        if offers(results::READ_RESULT) {
            return Err(AgentError::setup(format!(
                "a plugin offers a tool named `{}`, but the agent has a built-in tool of that name: give the \
                 plugin a `prefix`",
                results::READ_RESULT
            )));
        }
        if let ToolChoice::Tool(tool) = &config.tool_choice
            && !offers(tool)
        {
            return Err(AgentError::setup(format!(
                "unknown tool in `tool-choice`: `{tool}`; use auto, none, required or the name of a tool"
            )));
        }
        let results = ModelResults::new(config.max_result_chars);
        let host = host.with_provider(results.provider());
        let (names, tools) = declared(&host, format);
        Ok(Agent {
            tools,
            names,
            conversation: Conversation::new(format),
            results,
            options: CallOptions::new(),
            stream: true,
            interrupter: Interrupter::default(),
            replacer: HostReplacer::default(),
            summary: Summary::default(),
            calls: 0,
            host,
            config,
            client,
            format,
        })
    }

    /// Whether answers are streamed, and calls start while they come in (the default).
    #[must_use]
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }

    /// Answers tools' questions with `responder`; sampling is answered by the agent's own model.
    #[must_use]
    pub fn responder(mut self, responder: Arc<dyn Responder>) -> Self {
        self.options = self.options.responder(responder);
        self
    }

    /// Runs every call with these options: for a client, for instance, or narrowed. Sampling is
    /// answered by the agent's own model, whatever their responder; [`responder`](Agent::responder)
    /// applies if they have none. An idempotency key has no effect, as every answer of the model
    /// would share it.
    #[must_use]
    pub fn options(mut self, options: CallOptions) -> Self {
        let responder = self.options.responder.take();
        self.options = options.without_key();
        self.options.responder = self.options.responder.take().or(responder);
        self
    }

    /// The options of calls, with their responder.
    fn call_options(&self) -> CallOptions {
        self.options.clone().responder(Arc::new(Sampler {
            client: self.client.clone(),
            config: self.config.clone(),
            others: self.options.responder.clone(),
        }))
    }

    /// Resumes a conversation from a transcript, and keeps appending to it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or was made with another provider.
    pub fn resume(&mut self, file: &Path) -> Result<(), AgentError> {
        self.protect(file)?;
        let (conversation, stored) = Conversation::resume(self.format, file)?;
        self.conversation = conversation;
        self.results.restore(stored);
        // Calls without results in the transcript: the API requires an answer to each.
        let open = self.conversation.open_calls();
        if !open.is_empty() {
            let refuse = |call: &ToolCall| {
                let error = toolhost_core::CallError::Cancelled;
                self.host.refuse_with(call, error, &self.options)
            };
            let results: Vec<ToolResult> = open.iter().map(refuse).collect();
            let answers: Vec<_> = results.iter().map(wire::Answer::new).collect();
            let messages = self.format.answers(&answers);
            self.conversation.push(AdditionKind::Results, messages)?;
        }
        Ok(())
    }

    /// Writes the conversation to a new file from now on, one JSON line for each addition: user
    /// messages, replies and results, in the API's own form.
    ///
    /// # Errors
    ///
    /// The file exists, or cannot be created.
    pub fn keep_transcript(&mut self, file: &Path) -> Result<(), AgentError> {
        self.protect(file)?;
        self.conversation.keep(file)?;
        // It exists now, and stays protected wherever its owner moves it.
        self.protect(file)
    }

    /// Protects a transcript from plugins, and refuses one that a plugin could have redirected.
    fn protect(&self, transcript: &Path) -> Result<(), AgentError> {
        let purpose = Purpose::Transcript;
        let protected = self.host.protect(&HostFile::new(transcript, purpose));
        protected.map_err(|error| AgentError::Transcript {
            path: transcript.to_owned(),
            message: error.to_string(),
        })
    }

    /// A handle that cancels running calls from elsewhere.
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// A handle that replaces the host from elsewhere, after a reload for instance. A host with a
    /// tool named `read_result` is not taken.
    pub fn host_replacer(&self) -> HostReplacer {
        self.replacer.clone()
    }

    /// The mask for the API key, for text that a program prints itself.
    pub fn mask(&self) -> Arc<Mask> {
        self.client.mask.clone()
    }

    /// What it has used so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Whether the conversation waits for the model, so that [`go_on`](Agent::go_on) has something
    /// to do.
    pub fn waits_for_model(&self) -> bool {
        self.conversation.waits_for_model()
    }

    /// Asks a question and returns the answer, after as many turns as it takes.
    ///
    /// # Errors
    ///
    /// The model cannot be reached or refuses, or it still calls tools after
    /// [`max_iterations`](AgentConfig::max_iterations) requests. The conversation is kept, and
    /// another question can be asked.
    pub async fn ask(
        &mut self,
        question: &str,
        observer: &mut dyn Observer,
    ) -> Result<FinalAnswer, AgentError> {
        let message = self.api().user(question);
        self.conversation.push(AdditionKind::User, vec![message])?;
        self.go_on(observer).await
    }

    /// Continues a conversation that waits for the model.
    ///
    /// # Errors
    ///
    /// As for [`ask`](Agent::ask).
    pub async fn go_on(&mut self, observer: &mut dyn Observer) -> Result<FinalAnswer, AgentError> {
        for iteration in 0..self.config.max_iterations {
            self.renew_tools();
            observer.event(Event::Turn {
                number: self.summary.turns,
            });
            // A model that must call a tool every time would never answer.
            let choice = match iteration {
                0 => self.config.tool_choice.named(&self.names),
                _ if self.config.tool_choice == ToolChoice::None => ToolChoice::None,
                _ => ToolChoice::Auto,
            };
            let (reply, results) = self.turn(choice, observer).await?;
            observer.event(Event::Reply {
                stop: &reply.stop,
                tokens: reply.tokens,
            });
            self.conversation
                .push(AdditionKind::Reply, reply.messages)?;
            if !reply.calls.is_empty() {
                self.conversation.push(AdditionKind::Results, results)?;
                continue;
            }
            // Some APIs pause in the middle of a long answer, and continue it when it is sent back.
            if reply.stop == Stop::Other("pause_turn".to_owned()) {
                continue;
            }
            if reply.text.is_empty() {
                return Err(AgentError::NoAnswer { stop: reply.stop });
            }
            return Ok(FinalAnswer {
                text: reply.text,
                stop: reply.stop,
            });
        }
        Err(AgentError::MaxIterations)
    }

    /// Declares the tools that providers offer now, if they have changed.
    fn renew_tools(&mut self) {
        let replacement = locks::lock(&self.replacer.0).take();
        if let Some(host) = replacement {
            if host.tool(results::READ_RESULT).is_some() {
                tracing::warn!(
                    "the reloaded plugins are not used: one offers a tool named `{}`, which the agent has built in",
                    results::READ_RESULT
                );
            } else {
                self.host = host.with_provider(self.results.provider());
                (self.names, self.tools) = declared(&self.host, self.format);
            }
        } else if self.host.tools_changed().now_or_never().is_some() {
            self.host = self.host.renewed();
            (self.names, self.tools) = declared(&self.host, self.format);
        }
    }

    fn api(&self) -> &'static dyn Api {
        self.format.api().expect("a provider's format has an API")
    }

    /// One request: the model's answer, and the messages of all results.
    async fn turn(
        &mut self,
        tool_choice: ToolChoice,
        observer: &mut dyn Observer,
    ) -> Result<(Reply, Vec<Box<RawValue>>), AgentError> {
        let mut request = Request::new(&self.client.model, self.conversation.messages());
        request.system = self.config.system_prompt.as_deref();
        request.tools = self.tools.as_deref();
        request.tool_choice = tool_choice;
        request.parallel = self.config.parallel;
        request.temperature = self.config.temperature;
        request.max_tokens = self.config.max_tokens;
        request.stream = self.stream;
        request.is_own_api = self.client.is_own_api;
        request.carried = Some(self.conversation.carried());
        request.extra = Some(&self.config.request);
        let body = self.api().request(&request);
        let turn = AgentTurn::new(self, observer);
        let (reply, ended) = turn.run(&body).await?;
        self.summary.turns += 1;
        self.summary.tokens += reply.tokens;
        self.conversation.carry(reply.carried.clone())?;
        let answers: Vec<_> = ended
            .iter()
            .map(|ended| {
                let mut answer = wire::Answer::new(&ended.result);
                answer.name = self.names.wire(&ended.result.name);
                answer.text.clone_from(&ended.text);
                answer
            })
            .collect();
        let messages = self.format.answers(&answers);
        self.conversation.store(self.results.take_new())?;
        Ok((reply, messages))
    }
}

/// The declarations of the tools, with names that the API accepts.
fn declared(host: &ToolHost, format: Format) -> (Names, Option<Box<RawValue>>) {
    let tools: Vec<&Tool> = host.offered_tools().collect();
    let names = Names::of_tools(format, &tools);
    // Without other tools there are no results to read on in.
    let has_tools = tools.iter().any(|tool| tool.name != results::READ_RESULT);
    let declared = has_tools.then(|| format.declare(&tools, &names));
    for LeftOut { tool, why, .. } in declared.iter().flat_map(|declared| &declared.left_out) {
        tracing::warn!("`{tool}` is omitted for {format}: it {why}");
    }
    (names, declared.map(|declared| declared.tools))
}
