//! A turn: one answer of the model, with its request, retries, and calls. Calls start while the
//! answer streams in, and each runs once whatever happens to the request.
//!
//! There are two lists. `calls` belongs to the present answer: one entry per call, pointing at its
//! runs. `runs` belongs to the turn: every call that was started, in whichever attempt. A failed
//! attempt clears the first and keeps the second, so that a retry that repeats a call gets the run
//! that is there.
//!
//! | a call of the answer | next |
//! | --- | --- |
//! | arrived ([`call_at`](AgentTurn::call_at)) | has a run: it claims that of a failed attempt, or starts, if it can change nothing and needs no approval; otherwise deferred |
//! | deferred (in `early`) | at the end of the answer ([`start_deferred`](AgentTurn::start_deferred)): started, or undecided |
//! | undecided | started or refused, by the user's decision; calls that it may affect wait with it |
//! | cut off, or refused | has a run that has ended with an error |
//!
//! | a run | by |
//! | --- | --- |
//! | waiting (in `waiting`), only if calls must not be parallel | [`start`](AgentTurn::start) |
//! | running in the batch | [`add`](AgentTurn::add) |
//! | has its result | [`ended`](AgentTurn::ended) |
//! | unclaimed: of a failed attempt; claimed by the same call of a later one, or cancelled with the turn | [`forget_answer`](AgentTurn::forget_answer), [`claim`](AgentTurn::claim), [`finish`](AgentTurn::finish) |

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use serde_json::value::RawValue;

use super::model_client::{FailedRequest, ResponseBody};
use super::observer::{Event, Observer};
use super::results::key;
use super::retry::backoff;
use super::{Agent, AgentError};
use toolhost_core::error::CallError;
use toolhost_core::host::{CallPosition, EarlyCalls};
use toolhost_core::tool::{ToolCall, ToolResult};
use toolhost_core::wire::{self, DecodeError, Delta, Events, Format, Received, Reply, event_data};
use toolhost_core::{OpenBatch, Unpacked};

/// A call that runs, or has run.
struct CallRun {
    call: ToolCall,
    key: (String, String),
    /// Its number among all calls of the agent.
    number: usize,
    result: Option<ToolResult>,
    /// Whether a call of the present answer has claimed it.
    is_claimed: bool,
}

/// The runs of one call of the answer.
#[derive(Clone, Default)]
struct AnsweredCall {
    /// Its run; for a call that stands for several, those of the inner calls.
    runs: Vec<Option<usize>>,
    unpacked: Option<Unpacked>,
}

/// A result, and the text for the model if that differs.
pub(super) struct CallEnd {
    pub(super) result: ToolResult,
    pub(super) text: Option<String>,
}

pub(super) struct AgentTurn<'t> {
    agent: &'t mut Agent,
    observer: &'t mut dyn Observer,
    batch: OpenBatch,
    /// The number of the first call, among all calls of the agent.
    first: usize,
    /// All runs, of every attempt.
    runs: Vec<CallRun>,
    calls: Vec<AnsweredCall>,
    /// Calls that wait for the answer to be complete.
    early: EarlyCalls,
    /// Runs that wait for the one before, if calls must not be parallel.
    waiting: VecDeque<usize>,
    began: Option<Instant>,
    /// The time from the first call's start to the last call's end.
    wall: Duration,
}

impl<'t> AgentTurn<'t> {
    pub(super) fn new(agent: &'t mut Agent, observer: &'t mut dyn Observer) -> Self {
        let batch = agent.host.open_batch_with(agent.call_options());
        AgentTurn {
            batch,
            first: agent.calls,
            agent,
            observer,
            runs: Vec::new(),
            calls: Vec::new(),
            early: EarlyCalls::default(),
            waiting: VecDeque::new(),
            began: None,
            wall: Duration::ZERO,
        }
    }

    /// The model's answer, and a result for each of its calls.
    pub(super) async fn run(
        mut self,
        body: &RawValue,
    ) -> Result<(Reply, Vec<CallEnd>), AgentError> {
        let mut waits = backoff(self.agent.config.max_retries);
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

    /// Sends the request once, and starts calls as they arrive.
    async fn attempt(&mut self, body: &RawValue) -> Result<Received, FailedRequest> {
        let begun = self.agent.client.send(body, self.agent.stream).await?;
        let events = match begun {
            ResponseBody::Events(events) => events,
            ResponseBody::Whole(body) => return self.whole(&body),
        };
        let mut decoder =
            Events::new(Some(self.agent.format)).expect("a provider's format streams");
        let mut data = Box::pin(event_data(events));
        while !decoder.is_over() {
            let is_running = self.batch.running() > 0;
            // Once the answer has ended and some time has passed.
            let until = decoder
                .until()
                .map(|until| tokio::time::sleep_until(until.into()));
            let until = OptionFuture::from(until);
            let event = tokio::select! {
                biased;
                event = data.next() => event,
                Some(()) = until => {
                    decoder.fell_silent();
                    break;
                }
                Some((run, result)) = self.batch.next(), if is_running => {
                    self.ended(run, result);
                    continue;
                }
            };
            let deltas = match event {
                None => break,
                Some(Ok(data)) => decoder.event(&data),
                Some(Err(error)) => decoder.broke(error).map(|()| Vec::new()),
            };
            let deltas = deltas.map_err(|error| self.agent.client.undecoded(error))?;
            self.take(deltas);
        }
        // The connection can be reused if its last bytes are read, which nobody needs to wait for.
        tokio::spawn(async move {
            let rest = data.for_each(|_| std::future::ready(()));
            tokio::time::timeout(Duration::from_secs(1), rest).await
        });
        let finished = decoder.finish();
        let (deltas, received) = finished.map_err(|error| self.agent.client.undecoded(error))?;
        if !received.is_complete {
            let why = "it ended before the answer was complete".to_owned();
            return Err(self.agent.client.undecoded(DecodeError::Broken { why }));
        }
        self.take(deltas);
        Ok(received)
    }

    /// An answer that was not streamed, by request or because a server does not stream.
    fn whole(&mut self, body: &[u8]) -> Result<Received, FailedRequest> {
        let reply = wire::reply(body, self.agent.format);
        // An empty one is an error of its own.
        let reply = reply.and_then(
            |reply| match reply.text.is_empty() && reply.calls.is_empty() {
                true => Ok(reply),
                false => wire::check_reply(&reply).map(|()| reply),
            },
        );
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
        Ok(Received::whole(reply))
    }

    fn take(&mut self, deltas: Vec<Delta>) {
        for delta in deltas {
            match delta {
                Delta::Text(text) => self.observer.event(Event::Text(&text)),
                Delta::Call { position, call } => self.call(position, call),
                _ => {}
            }
        }
    }

    /// A call has arrived: it starts if it may do so before the answer is complete, unless it is
    /// running already.
    fn call(&mut self, position: usize, mut call: ToolCall) {
        self.agent.names.restore(std::slice::from_mut(&mut call));
        // OpenAI's results need an id, and some servers give none.
        if self.agent.format == Format::OpenaiChat && call.id.as_deref().is_none_or(str::is_empty) {
            call.id = Some(format!("call_{}", self.first + position));
        }
        match self.agent.host.unpack(&call) {
            None => self.call_at((position, 0), call),
            Some(Ok(unpacked)) => {
                let calls = unpacked.calls().to_vec();
                self.answering(position).unpacked = Some(unpacked);
                for (part, mut call) in calls.into_iter().enumerate() {
                    self.agent.names.restore(std::slice::from_mut(&mut call));
                    self.call_at((position, part), call);
                }
            }
            Some(Err(error)) => self.refuse((position, 0), call, error),
        }
    }

    fn call_at(&mut self, at: CallPosition, call: ToolCall) {
        // A run of a failed attempt has not seen what this answer changes before it.
        let may_start = self.may_start_early(at, &call);
        if may_start && self.claim(at, &call) {
            self.early.note(at.0);
        } else if may_start {
            self.early.note(at.0);
            self.start(at, call);
        } else {
            self.early
                .defer(&self.agent.host, &self.agent.options.whose, at, call);
        }
    }

    fn may_start_early(&self, at: CallPosition, call: &ToolCall) -> bool {
        let is_its_turn = self.agent.config.parallel || self.early.is_next(at);
        is_its_turn
            && self
                .early
                .may_start(&self.agent.host, &self.agent.options.whose, at, call)
    }

    /// Begins and ends a call with an error.
    fn refuse(&mut self, at: CallPosition, call: ToolCall, error: CallError) {
        let run = self.begin(at, call);
        let result = self.batch.refuse(&self.runs[run].call, error);
        self.ended(run, result);
    }

    /// Gives a call of the answer the run of the same call from a failed attempt.
    fn claim(&mut self, at: CallPosition, call: &ToolCall) -> bool {
        let key = key(call);
        let runs = self.runs.iter_mut().enumerate();
        let mut same = runs.filter(|(_, run)| !run.is_claimed && run.key == key);
        let Some((index, run)) = same.next() else {
            return false;
        };
        run.is_claimed = true;
        run.call.id.clone_from(&call.id);
        run.call.origin.clone_from(&call.origin);
        self.place(at, index);
        true
    }

    fn answering(&mut self, position: usize) -> &mut AnsweredCall {
        if self.calls.len() <= position {
            self.calls.resize(position + 1, AnsweredCall::default());
        }
        &mut self.calls[position]
    }

    fn place(&mut self, (position, part): CallPosition, run: usize) {
        let runs = &mut self.answering(position).runs;
        if runs.len() <= part {
            runs.resize(part + 1, None);
        }
        runs[part] = Some(run);
    }

    fn begin(&mut self, at: CallPosition, call: ToolCall) -> usize {
        self.began.get_or_insert_with(Instant::now);
        let number = self.agent.calls;
        self.agent.calls += 1;
        // Before the event: its observer may interrupt the call.
        let token = self.batch.cancellation();
        self.agent.interrupter.set(Some(token));
        self.observer.event(Event::Call {
            number,
            call: &call,
        });
        self.runs.push(CallRun {
            key: key(&call),
            call,
            number,
            result: None,
            is_claimed: true,
        });
        self.place(at, self.runs.len() - 1);
        self.runs.len() - 1
    }

    fn start(&mut self, at: CallPosition, call: ToolCall) {
        let run = self.begin(at, call);
        if self.agent.config.parallel || self.batch.running() == 0 {
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

    /// Voids the answer so far; its runs go on.
    fn forget_answer(&mut self) {
        self.calls.clear();
        self.early = EarlyCalls::default();
        for run in &mut self.runs {
            run.is_claimed = false;
        }
    }

    /// Waits, and collects results meanwhile.
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
    async fn results(&mut self, received: &Received) -> Vec<CallEnd> {
        for position in &received.reply.cut {
            // A deferred call that the API calls malformed was cut off all the same.
            self.early.forget(*position);
            *self.answering(*position) = AnsweredCall::default();
            let mut call = received.reply.calls[*position].clone();
            self.agent.names.restore(std::slice::from_mut(&mut call));
            self.refuse((*position, 0), call, received.reply.cut_error());
        }
        // The answer is complete: the calls that waited for it start, in their order.
        for (at, call) in self.early.take_deferred() {
            self.start(at, call);
        }
        // Only runs that this answer has claimed count.
        let is_open = |turn: &Self| {
            let mut runs = turn.calls.iter().flat_map(|call| &call.runs).flatten();
            runs.any(|run| turn.runs[*run].result.is_none())
        };
        while is_open(self)
            && let Some((run, result)) = self.batch.next().await
        {
            self.ended(run, result);
        }
        let mut all = Vec::new();
        for (position, call) in received.reply.calls.iter().enumerate() {
            let answering = self.answering(position);
            let (runs, unpacked) = (answering.runs.clone(), answering.unpacked.take());
            let ended = match unpacked {
                None => self.end(runs.first().copied().flatten(), call),
                Some(unpacked) => {
                    let calls = unpacked.calls().iter().enumerate();
                    let ends =
                        calls.map(|(part, call)| self.end(runs.get(part).copied().flatten(), call));
                    folded(&unpacked, ends.collect())
                }
            };
            all.push(ended);
        }
        all
    }

    /// The result of a run, or of a call that has none.
    fn end(&mut self, run: Option<usize>, call: &ToolCall) -> CallEnd {
        let Some(run) = run else {
            let result = self.batch.refuse(call, CallError::cut_off());
            return CallEnd { result, text: None };
        };
        let is_interrupted = self.batch.cancellation().is_cancelled();
        let run = &mut self.runs[run];
        let result = run.result.take();
        let refuse = || self.batch.refuse(&run.call, CallError::Cancelled);
        let mut result = result.unwrap_or_else(refuse);
        result.id.clone_from(&run.call.id);
        result.origin.clone_from(&run.call.origin);
        let text = match result.outcome {
            Err(CallError::Cancelled) if is_interrupted => {
                Some(format!("{} by the user", result.to_text()))
            }
            _ => self.agent.results.text(&run.call, &result),
        };
        CallEnd { result, text }
    }

    /// Cancels what still runs: calls that only a failed attempt asked for.
    async fn finish(&mut self) {
        self.batch.cancel();
        while let Some((run, result)) = self.batch.next().await {
            self.ended(run, result);
        }
        self.agent.interrupter.set(None);
        self.agent.summary.wall += self.wall;
    }
}

/// The one result of a call that stands for several.
fn folded(unpacked: &Unpacked, ends: Vec<CallEnd>) -> CallEnd {
    let text = ends.iter().any(|ended| ended.text.is_some()).then(|| {
        let texts = ends.iter();
        let texts = texts.map(|ended| ended.text.clone().unwrap_or_else(|| ended.result.to_text()));
        unpacked.text(&texts.collect::<Vec<_>>())
    });
    let results = ends.into_iter().map(|ended| ended.result);
    CallEnd {
        result: unpacked.fold(results.collect()),
        text,
    }
}

/// Sets missing ids of a message's calls to those of their results.
fn give_ids(reply: &mut Reply, ended: &[CallEnd]) {
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
