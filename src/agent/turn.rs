//! One answer of the model: the request, tried again where that may help, and the calls, which start
//! while the answer comes in and are run once whatever happens to the request.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::StreamExt;
use serde_json::value::RawValue;

use super::client::{Begun, Failure};
use super::observer::{Approval, Event, Observer};
use super::results::{READ_RESULT, key};
use super::{Agent, AgentError};
use crate::OpenBatch;
use crate::error::CallError;
use crate::tool::{ToolCall, ToolResult};
use crate::wire::{DecodeError, Delta, Events, Format, Received, Reply, event_data};

/// A call that is run, or was.
struct Run {
    call: ToolCall,
    key: (String, String),
    /// Of all calls of the agent.
    number: usize,
    result: Option<ToolResult>,
    /// Whether a call of the answer has it for its own.
    is_claimed: bool,
}

/// A result, and what the model gets for its text if that is another.
pub(super) struct Ended {
    pub(super) result: ToolResult,
    pub(super) text: Option<String>,
}

pub(super) struct Turn<'t> {
    agent: &'t mut Agent,
    observer: &'t mut dyn Observer,
    batch: OpenBatch,
    /// The number of the first call, of all calls of the agent.
    first: usize,
    /// All that began, in whichever try.
    runs: Vec<Run>,
    /// For each call of the answer, its run.
    calls: Vec<Option<usize>>,
    /// Calls that somebody must allow first, by their places in the answer.
    unapproved: Vec<(usize, ToolCall)>,
    /// Runs that wait for the one before, where calls are not to be parallel.
    waiting: VecDeque<usize>,
    began: Option<Instant>,
    /// Until the last call ended, from when the first began.
    wall: Duration,
}

impl<'t> Turn<'t> {
    pub(super) fn new(agent: &'t mut Agent, observer: &'t mut dyn Observer) -> Self {
        let batch = agent.host.open_batch_with(agent.call_options());
        Turn {
            batch,
            first: agent.calls,
            agent,
            observer,
            runs: Vec::new(),
            calls: Vec::new(),
            unapproved: Vec::new(),
            waiting: VecDeque::new(),
            began: None,
            wall: Duration::ZERO,
        }
    }

    /// The model's answer, and a result for each of its calls.
    pub(super) async fn run(mut self, body: &RawValue) -> Result<(Reply, Vec<Ended>), AgentError> {
        let mut waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(20))
            .with_max_times(self.agent.config.max_retries)
            .build();
        let received = loop {
            let failure = match self.attempt(body).await {
                Ok(received) => break received,
                Err(failure) => failure,
            };
            let wait = waits.next().filter(|_| failure.may_retry);
            let Some(wait) = wait.map(|wait| failure.wait.unwrap_or(wait)) else {
                self.finish().await;
                return Err(failure.error);
            };
            let why = failure.error.to_string();
            self.observer.event(Event::Retry { why: &why, wait });
            self.forget_answer();
            self.pause(wait).await;
        };
        let ended = self.results(&received).await;
        let mut reply = received.reply;
        if self.agent.format == Format::OpenaiChat {
            give_ids(&mut reply, &ended);
        }
        self.finish().await;
        Ok((reply, ended))
    }

    /// Sends the request once, and starts calls as they come.
    async fn attempt(&mut self, body: &RawValue) -> Result<Received, Failure> {
        let begun = self.agent.client.send(body, self.agent.stream).await?;
        let events = match begun {
            Begun::Events(events) => events,
            Begun::Whole(text) => return self.whole(&text),
        };
        let mut decoder =
            Events::new(Some(self.agent.format)).expect("a provider's format streams");
        let mut data = std::pin::pin!(event_data(events));
        loop {
            let is_running = self.batch.running() > 0;
            let event = tokio::select! {
                biased;
                event = data.next() => event,
                Some((run, result)) = self.batch.next(), if is_running => {
                    self.ended(run, result);
                    continue;
                }
            };
            let Some(event) = event else { break };
            let deltas = event.and_then(|data| decoder.event(&data));
            let deltas = deltas.map_err(|error| self.agent.client.undecoded(error))?;
            self.take(deltas);
        }
        let finished = decoder.finish();
        let (deltas, received) = finished.map_err(|error| self.agent.client.undecoded(error))?;
        if !received.is_complete {
            let why = "it ended before the answer did".to_owned();
            return Err(self.agent.client.undecoded(DecodeError::Broken { why }));
        }
        self.take(deltas);
        Ok(received)
    }

    /// An answer that came whole: as it was asked for, or because a server does not stream.
    fn whole(&mut self, text: &str) -> Result<Received, Failure> {
        let reply = self.agent.api().reply(text);
        let reply = reply.map_err(|error| self.agent.client.undecoded(error))?;
        if !reply.text.is_empty() {
            self.observer.event(Event::Text(&reply.text));
        }
        let calls = reply.calls.iter().enumerate();
        let calls: Vec<Delta> = calls
            .filter(|(position, _)| !reply.cut.contains(position))
            .map(|(position, call)| Delta::Call {
                position,
                call: call.clone(),
            })
            .collect();
        self.take(calls);
        Ok(Received {
            reply,
            is_complete: true,
        })
    }

    fn take(&mut self, deltas: Vec<Delta>) {
        for delta in deltas {
            match delta {
                Delta::Text(text) => self.observer.event(Event::Text(&text)),
                Delta::Call { position, call } => self.call(position, call),
            }
        }
    }

    /// A call is known whole: it starts, unless it has already, or somebody must allow it.
    fn call(&mut self, position: usize, mut call: ToolCall) {
        self.agent.names.restore(std::slice::from_mut(&mut call));
        // OpenAI's results need an id, and some servers give none.
        if self.agent.format == Format::OpenaiChat && call.id.as_deref().is_none_or(str::is_empty) {
            call.id = Some(format!("call_{}", self.first + position));
        }
        if self.claim(position, &call) {
            return;
        }
        if self.needs_approval(&call) {
            self.unapproved.push((position, call));
            return;
        }
        self.start(position, call);
    }

    /// Has a call of the answer have the run of the same call in a try that failed.
    fn claim(&mut self, position: usize, call: &ToolCall) -> bool {
        let key = key(call);
        let runs = self.runs.iter_mut().enumerate();
        let mut same = runs.filter(|(_, run)| !run.is_claimed && run.key == key);
        let Some((index, run)) = same.next() else {
            return false;
        };
        run.is_claimed = true;
        run.call.id.clone_from(&call.id);
        self.place(position, index);
        true
    }

    fn place(&mut self, position: usize, run: usize) {
        if self.calls.len() <= position {
            self.calls.resize(position + 1, None);
        }
        self.calls[position] = Some(run);
    }

    fn needs_approval(&self, call: &ToolCall) -> bool {
        let agent = &self.agent;
        let mut tools = agent.host.tools();
        // What is no tool fails by itself.
        let tool = tools.find(|tool| tool.name == call.name);
        agent.asks_first
            && tool.is_some_and(|tool| tool.annotations.read_only != Some(true))
            && !agent.always.contains(&call.name)
    }

    fn begin(&mut self, position: usize, call: ToolCall) -> usize {
        self.began.get_or_insert_with(Instant::now);
        let number = self.agent.calls;
        self.agent.calls += 1;
        // Ahead of the event: whoever hears of a call can interrupt it.
        let canceller = self.batch.canceller();
        self.agent.interrupter.set(Some(canceller));
        self.observer.event(Event::Call {
            number,
            call: &call,
        });
        self.runs.push(Run {
            key: key(&call),
            call,
            number,
            result: None,
            is_claimed: true,
        });
        self.place(position, self.runs.len() - 1);
        self.runs.len() - 1
    }

    fn start(&mut self, position: usize, call: ToolCall) {
        let run = self.begin(position, call);
        if self.runs[run].call.name == READ_RESULT {
            let result = self.agent.results.read(&self.runs[run].call);
            self.ended(run, result);
        } else if self.agent.config.parallel || self.batch.running() == 0 {
            self.add(run);
        } else {
            self.waiting.push_back(run);
        }
    }

    fn add(&mut self, run: usize) {
        self.batch.add(run, self.runs[run].call.clone());
    }

    fn ended(&mut self, run: usize, result: ToolResult) {
        self.observer.event(Event::Result {
            number: self.runs[run].number,
            result: &result,
        });
        let summary = &mut self.agent.summary;
        summary.calls += 1;
        summary.errors += usize::from(result.outcome.is_err());
        summary.one_by_one += result.usage.run;
        if let Some(began) = self.began {
            self.wall = began.elapsed();
        }
        self.runs[run].result = Some(result);
        if self.batch.running() == 0
            && let Some(next) = self.waiting.pop_front()
        {
            self.add(next);
        }
        if self.batch.running() == 0 {
            self.agent.interrupter.set(None);
        }
    }

    /// The answer so far is void; what runs goes on.
    fn forget_answer(&mut self) {
        self.calls.clear();
        self.unapproved.clear();
        for run in &mut self.runs {
            run.is_claimed = false;
        }
    }

    /// Waits, and meanwhile takes the results of what runs.
    async fn pause(&mut self, wait: Duration) {
        let mut over = std::pin::pin!(tokio::time::sleep(wait));
        loop {
            let is_running = self.batch.running() > 0;
            tokio::select! {
                () = &mut over => break,
                Some((run, result)) = self.batch.next(), if is_running => self.ended(run, result),
            }
        }
    }

    /// A result for each call of the answer, in their order.
    async fn results(&mut self, received: &Received) -> Vec<Ended> {
        for position in &received.reply.cut {
            let mut call = received.reply.calls[*position].clone();
            self.agent.names.restore(std::slice::from_mut(&mut call));
            let run = self.begin(*position, call);
            let result = self
                .agent
                .host
                .refuse(&self.runs[run].call, CallError::cut_off());
            self.ended(run, result);
        }
        self.approve().await;
        // Not for what only a try that failed asked for.
        let is_open = |turn: &Self| {
            let mut runs = turn.calls.iter().flatten();
            runs.any(|run| turn.runs[*run].result.is_none())
        };
        while is_open(self)
            && let Some((run, result)) = self.batch.next().await
        {
            self.ended(run, result);
        }
        let is_interrupted = self.batch.canceller().is_cancelled();
        let mut all = Vec::new();
        for (position, call) in received.reply.calls.iter().enumerate() {
            let Some(run) = self.calls.get(position).copied().flatten() else {
                let result = self.agent.host.refuse(call, CallError::cut_off());
                all.push(Ended { result, text: None });
                continue;
            };
            let run = &mut self.runs[run];
            let result = run.result.take();
            let refuse = || self.agent.host.refuse(&run.call, CallError::Cancelled);
            let mut result = result.unwrap_or_else(refuse);
            result.id.clone_from(&run.call.id);
            let text = match result.outcome {
                Err(CallError::Cancelled) if is_interrupted => {
                    Some(format!("{} by the user", result.to_text()))
                }
                _ => self.agent.results.text(&run.call, &result),
            };
            all.push(Ended { result, text });
        }
        all
    }

    /// Asks for the calls that need to be allowed, one after the other, while the others run.
    async fn approve(&mut self) {
        for (position, call) in std::mem::take(&mut self.unapproved) {
            let mut tools = self.agent.host.tools();
            let tool = tools.find(|tool| tool.name == call.name);
            let approval = match tool {
                // Allowed meanwhile, or nothing more is to run.
                _ if self.agent.always.contains(&call.name) => Approval::Yes,
                _ if self.batch.canceller().is_cancelled() => Approval::No,
                Some(tool) => self.observer.approve(tool, &call).await,
                None => Approval::Yes,
            };
            drop(tools);
            if approval == Approval::Always {
                self.agent.always.insert(call.name.clone());
            }
            if approval == Approval::No {
                let run = self.begin(position, call);
                let what = "the user did not allow this call".to_owned();
                let refused = CallError::Denied { what };
                let result = self.agent.host.refuse(&self.runs[run].call, refused);
                self.ended(run, result);
            } else {
                self.start(position, call);
            }
        }
    }

    /// Ends what still runs: calls that only a try that failed asked for.
    async fn finish(&mut self) {
        self.batch.cancel();
        while let Some((run, result)) = self.batch.next().await {
            self.ended(run, result);
        }
        self.agent.interrupter.set(None);
        self.agent.summary.wall += self.wall;
    }
}

/// Gives the calls of a message the ids that their results have, where it has none.
fn give_ids(reply: &mut Reply, ended: &[Ended]) {
    let lacks_id = |call: &ToolCall| call.id.as_deref().is_none_or(str::is_empty);
    if !reply.calls.iter().any(lacks_id) {
        return;
    }
    for message in &mut reply.messages {
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(message.get()) else {
            continue;
        };
        let Some(calls) = value["tool_calls"].as_array_mut() else {
            continue;
        };
        for (call, ended) in calls.iter_mut().zip(ended) {
            call["id"] = ended.result.id.clone().into();
        }
        if let Ok(raw) = serde_json::value::to_raw_value(&value) {
            *message = raw;
        }
    }
}
