//! The loop between a model and its tools: a question goes out, all calls of an answer run in parallel,
//! their results go back, until the model answers in text. Who has to allow calls is a hook of the host:
//! [`AskFirst`](toolhost_core::AskFirst).
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

mod client;
mod conversation;
mod error;
mod observer;
mod results;
mod sampling;
mod turn;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::value::RawValue;

use client::Client;
use conversation::{Conversation, Kind};
pub use error::AgentError;
pub use observer::{Event, Observer, Silent};
use results::Results;
use sampling::Sampler;
use toolhost_core::manifest::AgentConfig;
use toolhost_core::mask::Mask;
use toolhost_core::permissions::{HostFile, Purpose};
use toolhost_core::tool::{Tool, ToolCall, ToolResult};
use toolhost_core::wire::{
    self, Api, Format, LeftOut, Names, Reply, Request, Stop, Tokens, ToolChoice,
};
use toolhost_core::{CallOptions, CancellationToken, Responder, ToolHost};
use turn::Turn;

/// A model with tools, and what was said so far.
pub struct Agent {
    host: ToolHost,
    config: AgentConfig,
    client: Arc<Client>,
    format: Format,
    names: Names,
    /// As every request has them.
    tools: Option<Box<RawValue>>,
    conversation: Conversation,
    results: Results,
    /// Those of every call.
    options: CallOptions,
    stream: bool,
    interrupter: Interrupter,
    summary: Summary,
    /// Calls so far.
    calls: usize,
}

/// What a model answered in the end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Its words.
    pub text: String,
    /// Why it ended: [`Stop::End`], unless it was cut off or filtered.
    pub stop: Stop,
}

/// What an agent took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Requests that were answered.
    pub turns: usize,
    /// Calls that ended.
    pub calls: usize,
    /// Those that ended in an error.
    pub errors: usize,
    /// Time during which calls ran.
    pub wall: Duration,
    /// What they would have taken one after another.
    pub one_by_one: Duration,
    /// Tokens, as far as the API tells.
    pub tokens: Tokens,
}

/// Ends the calls that an agent is waiting for, from wherever it is; the model is told.
#[derive(Clone, Default)]
pub struct Interrupter(Arc<Mutex<Option<CancellationToken>>>);

impl Interrupter {
    /// Cancels the calls that run; false where there are none.
    pub fn interrupt(&self) -> bool {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*running {
            Some(token) => {
                token.cancel();
                true
            }
            None => false,
        }
    }

    fn set(&self, token: Option<CancellationToken>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
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
    /// The configuration names no provider or no model, or its key cannot be had or must not be
    /// sent where it would go, or a plugin offers a tool named `read_result`.
    pub fn new(host: ToolHost, config: AgentConfig) -> Result<Agent, AgentError> {
        let client = Arc::new(Client::new(&config)?);
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
        let results = Results::new(config.max_result_chars);
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
            summary: Summary::default(),
            calls: 0,
            host,
            config,
            client,
            format,
        })
    }

    /// Whether answers come as event streams, their calls starting while they do (the default).
    #[must_use]
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }

    /// Has `responder` answer what tools ask of people; what they ask of a model, the agent's own
    /// answers.
    #[must_use]
    pub fn responder(mut self, responder: Arc<dyn Responder>) -> Self {
        self.options = self.options.responder(responder);
        self
    }

    /// Runs every call with these options: for a client, or narrowed, for instance. The agent's own model answers what
    /// tools ask of a model, whoever is their responder; the one of [`responder`](Agent::responder) stays where these have
    /// none. An idempotency key has no effect: it would be that of every answer of the model.
    #[must_use]
    pub fn options(mut self, options: CallOptions) -> Self {
        let responder = self.options.responder.take();
        self.options = options.without_key();
        self.options.responder = self.options.responder.take().or(responder);
        self
    }

    /// How calls are run: who answers what they ask.
    fn call_options(&self) -> CallOptions {
        self.options.clone().responder(Arc::new(Sampler {
            client: self.client.clone(),
            config: self.config.clone(),
            others: self.options.responder.clone(),
        }))
    }

    /// Goes on from a transcript, and keeps adding to it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or was made with another provider.
    pub fn resume(&mut self, file: &Path) -> Result<(), AgentError> {
        self.protect(file)?;
        let (conversation, stored) = Conversation::resume(self.format, file)?;
        self.conversation = conversation;
        self.results.restore(stored);
        // Calls whose results were never kept: the API wants an answer to each.
        let open = self.conversation.open_calls();
        if !open.is_empty() {
            let refuse = |call: &ToolCall| {
                let error = toolhost_core::CallError::Cancelled;
                self.host.refuse_with(call, error, &self.options)
            };
            let results: Vec<ToolResult> = open.iter().map(refuse).collect();
            let answers: Vec<_> = results.iter().map(wire::Answer::new).collect();
            let messages = self.format.answers(&answers);
            self.conversation.push(Kind::Results, messages)?;
        }
        Ok(())
    }

    /// Keeps every message in a new file from now on, a line of JSON for each that is added: what
    /// the user says, what the model answers, and the results, in the API's own form.
    ///
    /// # Errors
    ///
    /// The file exists, or cannot be made.
    pub fn keep_transcript(&mut self, file: &Path) -> Result<(), AgentError> {
        self.protect(file)?;
        self.conversation.keep(file)?;
        // It is there now, and stays protected wherever its owner moves it.
        self.protect(file)
    }

    /// Keeps plugins from a transcript, and us from one that they could have led elsewhere.
    fn protect(&self, transcript: &Path) -> Result<(), AgentError> {
        let purpose = Purpose::Transcript;
        let protected = self.host.protect(&HostFile::new(transcript, purpose));
        protected.map_err(|error| AgentError::Transcript {
            path: transcript.to_owned(),
            message: error.to_string(),
        })
    }

    /// What ends running calls from elsewhere.
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// What finds the API's key, for what a program prints of its own.
    pub fn mask(&self) -> Arc<Mask> {
        self.client.mask.clone()
    }

    /// What it took so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Whether the conversation waits for the model: [`go_on`](Agent::go_on) has something to do.
    pub fn waits_for_model(&self) -> bool {
        self.conversation.waits_for_model()
    }

    /// Asks a question and returns the answer, after as many turns as it takes.
    ///
    /// # Errors
    ///
    /// The model cannot be reached or refuses, or it still calls tools after
    /// [`max_iterations`](AgentConfig::max_iterations) requests. What was said is kept, and another
    /// question can be asked.
    pub async fn ask(
        &mut self,
        question: &str,
        observer: &mut dyn Observer,
    ) -> Result<Answer, AgentError> {
        let message = self.api().user(question);
        self.conversation.push(Kind::User, vec![message])?;
        self.go_on(observer).await
    }

    /// Goes on where the conversation waits for the model.
    ///
    /// # Errors
    ///
    /// As [`ask`](Agent::ask).
    pub async fn go_on(&mut self, observer: &mut dyn Observer) -> Result<Answer, AgentError> {
        for iteration in 0..self.config.max_iterations {
            self.renew_tools();
            observer.event(Event::Turn {
                number: self.summary.turns,
            });
            // Who must call a tool each time never answers.
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
            self.conversation.push(Kind::Reply, reply.messages)?;
            if !reply.calls.is_empty() {
                self.conversation.push(Kind::Results, results)?;
                continue;
            }
            // Some APIs pause in the middle of a long answer, and want it back to go on.
            if reply.stop == Stop::Other("pause_turn".to_owned()) {
                continue;
            }
            if reply.text.is_empty() {
                return Err(AgentError::NoAnswer { stop: reply.stop });
            }
            return Ok(Answer {
                text: reply.text,
                stop: reply.stop,
            });
        }
        Err(AgentError::MaxIterations)
    }

    /// Declares the tools that providers offer now, where they are others than before.
    fn renew_tools(&mut self) {
        if self.host.tools_changed().now_or_never().is_some() {
            self.host = self.host.renewed();
            (self.names, self.tools) = declared(&self.host, self.format);
        }
    }

    fn api(&self) -> &'static dyn Api {
        self.format.api().expect("a provider's format has an API")
    }

    /// One request: what the model answers, and the messages of all results.
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
        let turn = Turn::new(self, observer);
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

/// The tools as every request has them, by names that the API takes.
fn declared(host: &ToolHost, format: Format) -> (Names, Option<Box<RawValue>>) {
    let tools: Vec<&Tool> = host.tools().collect();
    let names = Names::of_tools(format, &tools);
    // Where there is no other, nothing is there to read on in.
    let has_tools = tools.iter().any(|tool| tool.name != results::READ_RESULT);
    let declared = has_tools.then(|| format.declare(&tools, &names));
    for LeftOut { tool, why, .. } in declared.iter().flat_map(|declared| &declared.left_out) {
        tracing::warn!("`{tool}` is omitted for {format}: it {why}");
    }
    (names, declared.map(|declared| declared.tools))
}
