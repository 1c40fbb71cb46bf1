//! One answer of the model: the request, tried again where that may help, and the calls, which start
//! while the answer comes in and are run once whatever happens to the request.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use serde_json::value::RawValue;

use super::client::{Begun, Failure};
use super::observer::{Event, Observer};
use super::results::key;
use super::{Agent, AgentError};
use toolhost_core::error::CallError;
use toolhost_core::host::{At, EarlyCalls};
use toolhost_core::tool::{ToolCall, ToolResult};
use toolhost_core::wire::{self, DecodeError, Delta, Events, Format, Received, Reply, event_data};
use toolhost_core::{OpenBatch, Unpacked};

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

/// What answers a call of the answer.
#[derive(Clone, Default)]
struct Answering {
    /// Its run; those of the calls inside of it, where it stands for several.
    runs: Vec<Option<usize>>,
    unpacked: Option<Unpacked>,
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
    calls: Vec<Answering>,
    /// Calls that wait for the answer to be complete.
    early: EarlyCalls,
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
            early: EarlyCalls::default(),
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
            Begun::Whole(body) => return self.whole(&body),
        };
        let mut decoder =
            Events::new(Some(self.agent.format)).expect("a provider's format streams");
        let mut data = Box::pin(event_data(events));
        while !decoder.is_over() {
            let is_running = self.batch.running() > 0;
            // When it has said why it ended, and some time has passed.
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
        // The connection can serve the next request if its last bytes are read; nobody waits for them.
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

    /// An answer that came whole: as it was asked for, or because a server does not stream.
    fn whole(&mut self, body: &[u8]) -> Result<Received, Failure> {
        let reply = wire::reply(body, self.agent.format);
        // One without a word is an error of its own.
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

    /// A call is known whole: it starts if it may do so before the answer is complete, unless it has started already.
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

    fn call_at(&mut self, at: At, call: ToolCall) {
        // What ran for a try that failed has not seen what this answer changes before it.
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

    fn may_start_early(&self, at: At, call: &ToolCall) -> bool {
        let is_its_turn = self.agent.config.parallel || self.early.is_next(at);
        is_its_turn
            && self
                .early
                .may_start(&self.agent.host, &self.agent.options.whose, at, call)
    }

    /// Has a call begin and end with an error.
    fn refuse(&mut self, at: At, call: ToolCall, error: CallError) {
        let run = self.begin(at, call);
        let result = self.batch.refuse(&self.runs[run].call, error);
        self.ended(run, result);
    }

    /// Has a call of the answer have the run of the same call in a try that failed.
    fn claim(&mut self, at: At, call: &ToolCall) -> bool {
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

    fn answering(&mut self, position: usize) -> &mut Answering {
        if self.calls.len() <= position {
            self.calls.resize(position + 1, Answering::default());
        }
        &mut self.calls[position]
    }

    fn place(&mut self, (position, part): At, run: usize) {
        let runs = &mut self.answering(position).runs;
        if runs.len() <= part {
            runs.resize(part + 1, None);
        }
        runs[part] = Some(run);
    }

    fn begin(&mut self, at: At, call: ToolCall) -> usize {
        self.began.get_or_insert_with(Instant::now);
        let number = self.agent.calls;
        self.agent.calls += 1;
        // Ahead of the event: whoever hears of a call can interrupt it.
        let token = self.batch.cancellation();
        self.agent.interrupter.set(Some(token));
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
        self.place(at, self.runs.len() - 1);
        self.runs.len() - 1
    }

    fn start(&mut self, at: At, call: ToolCall) {
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

    /// The answer so far is void; what runs goes on.
    fn forget_answer(&mut self) {
        self.calls.clear();
        self.early = EarlyCalls::default();
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
            // One that waits has been cut off all the same where the API calls it malformed.
            self.early.forget(*position);
            *self.answering(*position) = Answering::default();
            let mut call = received.reply.calls[*position].clone();
            self.agent.names.restore(std::slice::from_mut(&mut call));
            self.refuse((*position, 0), call, received.reply.cut_error());
        }
        // In their order, now that the answer is complete.
        for (at, call) in self.early.take_deferred() {
            self.start(at, call);
        }
        // Not for what only a try that failed asked for.
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

    /// The result of a run, or that of a call that had none.
    fn end(&mut self, run: Option<usize>, call: &ToolCall) -> Ended {
        let Some(run) = run else {
            let result = self.batch.refuse(call, CallError::cut_off());
            return Ended { result, text: None };
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
        Ended { result, text }
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

/// The one result of a call that stands for several.
fn folded(unpacked: &Unpacked, ends: Vec<Ended>) -> Ended {
    let text = ends.iter().any(|ended| ended.text.is_some()).then(|| {
        let texts = ends.iter();
        let texts = texts.map(|ended| ended.text.clone().unwrap_or_else(|| ended.result.to_text()));
        unpacked.text(&texts.collect::<Vec<_>>())
    });
    let results = ends.into_iter().map(|ended| ended.result);
    Ended {
        result: unpacked.fold(results.collect()),
        text,
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
