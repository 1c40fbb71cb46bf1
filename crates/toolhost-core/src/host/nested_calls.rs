//! [`NestedCalls`]: the calls that a running call makes. Each is a call like any other, with its own
//! place, permits, deadline, grants and audit line; it may call what the caller of the running call
//! may, and its plugin is granted.
//!
//! Calls take their places in order when they are started. Up to `max-parallel-calls` workers then
//! run them in that order, each one call after another, as the workers of a batch do. They run on
//! whether the call that made them waits or computes, and are cancelled when it ends.
//!
//! A question of one of them waits until nothing else runs and the program waits. Then the program
//! ends with the question, and is run again with the reply (`replay.rs`); where it cannot be run
//! again, the question is answered while it waits (`asking.rs`), or is the error of that call.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use toolhost_wire::typescript;

use super::asking::Questions;
use super::lent_turn::LentTurn;
use super::question_rounds::AskedCall;
use super::replay::{CallLog, NestedUsage, Start, Started};
use super::{CallOptions, HandedOver, ToolHost};
use crate::ancestor::Ancestor;
use crate::call_clock::CallClock;
use crate::error::{CallError, similar};
use crate::input::Resumption;
use crate::limits::{Limit, Limits};
use crate::locks;
use crate::order::PlaceInOrder;
use crate::permissions::ToolPattern;
use crate::provider::CallContext;
use crate::readings::Readings;
use crate::sandbox::Operations;
use crate::tool::{Output, Tool, ToolCall, ToolResult};
use crate::tool_caller::{CallableTools, Ended, EndsCall, ToolCaller};

/// The host's cost of a call or timer beside its texts.
const COST: usize = 1 << 10;

/// The characters of a description in search results.
const SUMMARY: usize = 200;

/// The longest text to search for, in bytes.
const MAX_WORDS: usize = 1 << 10;

/// The calls that a running call makes.
pub(super) struct NestedCalls {
    host: ToolHost,
    own: Arc<Ancestor>,
    grant: ToolGrant,
    /// The options of its calls.
    options: CallOptions,
    cancel: CancellationToken,
    turn: LentTurn,
    max_calls: u32,
    max_parallel: usize,
    max_timers: usize,
    /// How much of results may be held before further calls wait.
    max_held: usize,
    /// The tools that may be called, once asked for.
    callable: OnceLock<BTreeSet<String>>,
    state: Mutex<NestedState>,
    /// Its `changed` wakes the call that waits.
    questions: Questions,
    /// The arguments of the call that makes them, if it may be run again.
    arguments: String,
    readings: Option<Arc<Readings>>,
}

/// What the plugin of the running call, or the native tool, may call at most.
pub(super) enum ToolGrant {
    /// All tools.
    All,
    /// The tools that a plugin is granted.
    Matching {
        patterns: Vec<ToolPattern>,
        /// The plugin, whose own tools are not among them unless it may be nested in itself.
        except: Option<String>,
    },
}

#[derive(Default)]
struct NestedState {
    calls: u32,
    last_number: u32,
    queued: VecDeque<(u32, HandedOver)>,
    workers: usize,
    /// Calls that have not ended.
    running: usize,
    timers: BTreeSet<(Instant, u32)>,
    ended: Vec<Ended>,
    /// The bytes of the arguments of each call that has not ended.
    arguments: BTreeMap<u32, usize>,
    /// The bytes of all arguments and results that are held.
    held: usize,
    usage: NestedUsage,
    is_over: bool,
    /// Of a call that may be run again.
    log: Option<CallLog>,
    /// The questions that the call ends with.
    asks: Option<CallError>,
}

/// A running call as the parent of others, for providers whose functions run elsewhere and call the
/// host from there.
#[doc(hidden)]
#[derive(Clone)]
pub struct ParentCall(Arc<NestedCalls>);

impl std::fmt::Debug for ParentCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ParentCall").field(&self.0.own).finish()
    }
}

impl ParentCall {
    /// The call of this context, if it may call tools.
    pub fn of(context: &CallContext<'_>) -> Option<ParentCall> {
        let caller: Arc<dyn Any + Send + Sync> = context.caller?.clone();
        caller.downcast().ok().map(ParentCall)
    }

    /// How many calls it is nested in.
    pub fn depth(&self) -> usize {
        self.0.own.depth
    }

    /// The options that nest calls in it: they are of its client, may do no more than it may, and
    /// are cancelled with it.
    pub fn options(&self) -> CallOptions {
        self.0.options.clone()
    }

    /// A token that is cancelled with it.
    pub fn cancellation(&self) -> CancellationToken {
        self.0.cancel.child_token()
    }

    /// Runs `wait` while the call lends its turn.
    pub async fn suspended<T>(&self, wait: impl Future<Output = T>) -> T {
        let lent = self.0.turn.lend();
        let value = wait.await;
        drop(lent);
        let taken_back = self.0.turn.take_back();
        self.0.cancel.run_until_cancelled(taken_back).await;
        value
    }

    /// Adds what a nested call has used to its own usage.
    pub fn note(&self, result: &ToolResult) {
        self.0.note(result);
    }
}

/// Ends nested calls with the call that made them.
pub(super) struct EndNested(pub(super) Arc<NestedCalls>);

impl Drop for EndNested {
    fn drop(&mut self) {
        self.0.end();
        drop(self.0.turn.end());
    }
}

impl ToolGrant {
    /// The grant of a provider's call at that depth; `None` if it may call nothing.
    pub(super) fn of(
        provider: &str,
        tools: CallableTools<'_>,
        limits: &Limits,
        depth: usize,
    ) -> Option<ToolGrant> {
        let (provider, patterns, max_depth) = match tools {
            CallableTools::None | CallableTools::Matching([]) => return None,
            CallableTools::All => return Some(ToolGrant::All),
            CallableTools::Matching(patterns) => (provider, patterns, limits.max_depth),
            CallableTools::MatchingOf {
                provider,
                patterns,
                max_depth,
            } => (provider, patterns, max_depth),
        };
        let most = max_depth as usize;
        let except = (depth + 1 >= most).then(|| provider.to_owned());
        (depth < most).then(|| ToolGrant::Matching {
            patterns: patterns.to_vec(),
            except,
        })
    }

    fn has(&self, tool: &Tool) -> bool {
        match self {
            ToolGrant::All => true,
            ToolGrant::Matching { patterns, except } => {
                except.as_ref() != Some(&tool.plugin)
                    && patterns.iter().any(|pattern| pattern.matches(&tool.name))
            }
        }
    }
}

impl NestedCalls {
    /// For a call with these options, limits and turn.
    pub(super) fn new(
        host: &ToolHost,
        own: Ancestor,
        grant: ToolGrant,
        options: CallOptions,
        limits: &Limits,
        turn: LentTurn,
        log: Option<(CallLog, String)>,
    ) -> NestedCalls {
        let (log, arguments) = log.unzip();
        let own = Arc::new(own);
        let cancel = options.own_token();
        let mut options = options.cancellation(cancel.clone());
        options.whose.by = Some(own.clone());
        let questions = Questions::default();
        options.responder = options.responder.map(|it| questions.counted_by(it));
        NestedCalls {
            host: host.clone(),
            own,
            grant,
            options,
            cancel,
            turn,
            max_calls: limits.max_tool_calls,
            max_parallel: limits.max_parallel_calls as usize,
            max_timers: limits.max_resources as usize,
            max_held: usize::try_from(limits.memory.as_u64()).unwrap_or(usize::MAX),
            callable: OnceLock::new(),
            questions,
            arguments: arguments.unwrap_or_default(),
            readings: log.as_ref().map(|log| log.readings().clone()),
            state: Mutex::new(NestedState {
                usage: log.as_ref().map(CallLog::usage).unwrap_or_default(),
                log,
                ..NestedState::default()
            }),
        }
    }

    /// The clock of the call that makes them.
    pub(super) fn clock(&self) -> &CallClock {
        self.turn.clock()
    }

    /// The call that makes them runs.
    pub(super) fn begin(&self, operations: &Operations) {
        self.turn.begin(operations);
    }

    /// The place in order of the call that makes them, which is over.
    pub(super) fn place(&self) -> Option<PlaceInOrder> {
        self.turn.end()
    }

    /// Cancels those that have not ended.
    pub(super) fn end(self: &Arc<Self>) -> NestedUsage {
        let mut state = self.state();
        state.is_over = true;
        state.ended.clear();
        state.timers.clear();
        let is_stuck = state.workers == 0 && !state.queued.is_empty();
        let usage = state.usage;
        drop(state);
        self.cancel.cancel();
        // Each call has its audit line.
        if is_stuck && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.state().workers += 1;
            runtime.spawn(self.clone().work());
        }
        usage
    }

    fn state(&self) -> MutexGuard<'_, NestedState> {
        locks::lock(&self.state)
    }

    /// The tools that may be called: those that the plugin is granted and the original caller may
    /// call.
    fn callable(&self) -> &BTreeSet<String> {
        self.callable.get_or_init(|| {
            let tools = self.host.tools().filter(|tool| self.may_call(tool));
            tools.map(|tool| tool.name.clone()).collect()
        })
    }

    fn may_call(&self, tool: &Tool) -> bool {
        let allowed = self.options.allowed.as_deref();
        let is_for_programs = self
            .host
            .front
            .as_ref()
            .is_none_or(|it| !it.contains(&tool.name));
        self.grant.has(tool)
            && is_for_programs
            && !self.host.is_own(&tool.name)
            && self.host.tool_for(&tool.name, allowed).is_ok()
    }

    /// The tools that may be called, in the host's order.
    fn tools(&self) -> impl Iterator<Item = &Tool> {
        let callable = self.callable();
        self.host
            .tools()
            .filter(|tool| callable.contains(&tool.name))
    }

    /// The tool of that name, if it may be called.
    ///
    /// # Errors
    ///
    /// It may not be called, or there is none for the original caller.
    fn tool(&self, name: &str) -> Result<&Tool, CallError> {
        let unknown = || CallError::UnknownTool {
            similar: similar(name, self.callable().iter().map(String::as_str)),
        };
        let allowed = self.options.allowed.as_deref();
        let tool = self.host.tool_for(name, allowed).map_err(|_| unknown())?;
        match self.callable().contains(&tool.name) {
            true => Ok(tool),
            false => Err(CallError::denied(format!(
                "tool {}: `permissions.tools` of the plugin of {} does not grant it",
                tool.name, self.own.tool
            ))),
        }
    }

    /// Runs calls until none is queued.
    async fn work(self: Arc<Self>) {
        while let Some((number, call)) = self.next() {
            let result = self.host.run_handed_over(call, &self.options).await;
            let asked = self.note(&result);
            self.ended(number, result.outcome, asked);
        }
    }

    fn next(&self) -> Option<(u32, HandedOver)> {
        let mut state = self.state();
        let is_full = !state.is_over && !state.ended.is_empty() && state.held > self.max_held;
        let next = match is_full {
            true => None,
            false => state.queued.pop_front(),
        };
        if next.is_none() {
            state.workers -= 1;
        }
        next
    }

    /// Starts workers for queued calls.
    fn start_workers(self: &Arc<Self>, state: &mut NestedState) {
        while state.workers < self.max_parallel.min(state.queued.len()) {
            state.workers += 1;
            tokio::spawn(self.clone().work());
        }
    }

    /// Adds up what a call has used. Returns what keeps its question open.
    fn note(&self, result: &ToolResult) -> Option<AskedCall> {
        let mut state = self.state();
        state.usage.calls += 1 + result.usage.calls;
        state.usage.cpu += result.usage.cpu;
        drop(state);
        match &result.outcome {
            Err(CallError::InputRequired(input)) => self.host.asked(&result.name, &input.state),
            _ => None,
        }
    }

    fn ended(&self, number: u32, outcome: Result<Output, CallError>, asked: Option<AskedCall>) {
        let mut state = self.state();
        let bytes = state.arguments.remove(&number).unwrap_or(0);
        state.held -= bytes;
        state.running -= 1;
        if state.is_over {
            // Outside of the lock: this may end a call of an MCP server.
            drop(state);
            drop(asked);
            return;
        }
        let log = state.log.as_mut();
        match (outcome, log) {
            (Err(CallError::InputRequired(input)), Some(log)) if log.can_ask(&input) => {
                log.ask(number, input, asked);
            }
            (outcome, _) => {
                state.held += size(&outcome);
                state.ended.push((number, outcome));
            }
        }
        drop(state);
        self.questions.changed.notify_one();
    }

    /// What has ended, each once. `None` if something runs and nothing has ended.
    fn take_ended(self: &Arc<Self>) -> Option<Vec<Ended>> {
        let mut state = self.state();
        if state.expire(Instant::now()) || !state.ended.is_empty() {
            let ended = std::mem::take(&mut state.ended);
            let bytes: usize = ended.iter().map(|(_, outcome)| size(outcome)).sum();
            state.held = state.held.saturating_sub(bytes);
            if let Some(log) = &mut state.log {
                log.note_ended(&ended, bytes);
            }
            self.start_workers(&mut state);
            return Some(ended);
        }
        let is_idle = state.running == 0 && state.timers.is_empty();
        is_idle.then(Vec::new)
    }

    /// What became of what is started, if the call started it when it ran before.
    fn before(&self, start: impl FnOnce() -> Start) -> Started {
        match &mut self.state().log {
            None => Started::Now(None),
            Some(log) => log.started(start()),
        }
    }

    fn restarted(&self, number: u32, started: Result<u32, CallError>) -> Result<u32, CallError> {
        if let Some(log) = &mut self.state().log {
            log.restarted(number, &started);
        }
        started
    }

    fn note_started(&self, start: Option<Start>, started: &Result<u32, CallError>) {
        if let (Some(log), Some(start)) = (&mut self.state().log, start) {
            log.note_started(start, started);
        }
    }

    /// Starts a call; `resumed` has the replies to its questions.
    fn start_call(
        self: Arc<Self>,
        name: &str,
        arguments: String,
        resumed: Option<Resumption>,
    ) -> Result<u32, CallError> {
        let name = self.tool(name)?.name.clone();
        let (id, number) = {
            let mut state = self.state();
            if state.is_over {
                return Err(CallError::Cancelled);
            }
            if state.calls >= self.max_calls {
                return Err(CallError::over(Limit::ToolCalls, self.max_calls));
            }
            state.calls += 1;
            let number = state.number();
            let bytes = arguments.len() + COST;
            state.arguments.insert(number, bytes);
            state.held += bytes;
            state.running += 1;
            (format!("{}/{}", self.own.id, state.calls), number)
        };
        let mut call = ToolCall::new(id, name, arguments);
        let is_resumed = resumed.is_some();
        call.resumed = resumed.map(Box::new);
        let mut call = self.host.hand_over(call, &self.options);
        if let HandedOver::One(arrival, _) = &mut call
            && is_resumed
        {
            // The hooks have let it run already.
            arrival.taken.hooks = None;
        }
        let mut state = self.state();
        state.queued.push_back((number, call));
        self.start_workers(&mut state);
        Ok(number)
    }

    fn set_timer(&self, after: Duration) -> Result<u32, CallError> {
        let mut state = self.state();
        if state.timers.len() >= self.max_timers {
            let most = u32::try_from(self.max_timers).unwrap_or(u32::MAX);
            return Err(CallError::over(Limit::Resources, most));
        }
        let end = Instant::now() + after.min(crate::limits::MAX_TIMEOUT);
        let number = state.number();
        state.held += COST;
        state.timers.insert((end, number));
        Ok(number)
    }

    /// What had ended before where the call waits now.
    fn replayed(&self) -> Option<Vec<Ended>> {
        self.state().log.as_mut()?.ended()
    }

    /// Ends the call with the questions of its nested calls, if nothing else can go on.
    fn ask(&self) {
        let mut state = self.state();
        if !state.must_ask() {
            return;
        }
        let Some(log) = state.log.take() else {
            return;
        };
        let usage = state.usage;
        drop(state);
        let call = (&*self.own.tool, &*self.arguments);
        let waiting = &self.host.shared.waiting;
        let asks = waiting.keep(&self.options.owner, call, log, usage);
        self.state().asks = Some(asks);
    }

    /// Why the call that makes them has not ended as it did: it was run again and did not do the
    /// same.
    pub(super) fn difference(&self) -> Option<CallError> {
        self.state().log.as_mut()?.difference_at_end()
    }

    /// Waits until something has ended, or nothing is left.
    async fn something_ended(&self) {
        loop {
            let next = {
                let mut state = self.state();
                if state.expire(Instant::now()) || !state.ended.is_empty() {
                    return;
                }
                if state.must_ask() || state.running == 0 && state.timers.is_empty() {
                    return;
                }
                state.timers.first().map(|(end, _)| *end)
            };
            // A person's time is not this call's. It is suspended here, so it cannot use that.
            let _stopped = self.questions.are_open().then(|| self.turn.clock().stop());
            let changed = self.questions.changed.notified();
            match next {
                Some(end) => drop(tokio::time::timeout_at(end.into(), changed).await),
                None => changed.await,
            }
        }
    }
}

impl NestedState {
    /// Numbers count from 1 and are given once.
    fn number(&mut self) -> u32 {
        self.last_number += 1;
        self.last_number
    }

    /// Whether nothing can go on before a question is answered.
    fn must_ask(&mut self) -> bool {
        if self.running > 0 || !self.ended.is_empty() {
            return false;
        }
        let Some(log) = &mut self.log else {
            return false;
        };
        let unanswerable = log.unanswerable();
        let bytes: usize = unanswerable.iter().map(|(_, outcome)| size(outcome)).sum();
        let is_asking = log.is_asking();
        self.held += bytes;
        self.ended.extend(unanswerable);
        is_asking
    }

    /// Ends the timers that are due. Returns whether there were any.
    fn expire(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some((end, number)) = self.timers.first().copied()
            && end <= now
        {
            self.timers.pop_first();
            // It has been counted as held since it was started.
            self.ended.push((number, Ok(Output::default())));
            any = true;
        }
        any
    }
}

fn call_name(call: &HandedOver) -> String {
    match call {
        HandedOver::One(_, call) | HandedOver::Once(call, ..) | HandedOver::Refused(call, _) => {
            call.name.clone()
        }
        HandedOver::Several(..) => String::new(),
    }
}

/// What the host holds of an outcome.
fn size(outcome: &Result<Output, CallError>) -> usize {
    let bytes = match outcome {
        Ok(output) => usize::try_from(output.len()).unwrap_or(usize::MAX),
        Err(error) => error.clone().texts().map(|text| text.len()).sum(),
    };
    bytes.saturating_add(COST)
}

impl ToolCaller for NestedCalls {
    fn start(self: Arc<Self>, name: &str, arguments: String) -> Result<u32, CallError> {
        let start = || Start::Call {
            name: name.to_owned(),
            arguments: arguments.clone(),
        };
        let before = self.before(start);
        match before {
            Started::Before(started) => {
                let mut state = self.state();
                state.calls += u32::from(started.is_ok());
                started.map(|_| state.number())
            }
            Started::Again(number, resumed) => {
                let started = self.clone().start_call(name, arguments, resumed);
                self.restarted(number, started)
            }
            Started::Now(start) => {
                let started = self.clone().start_call(name, arguments, None);
                self.note_started(start, &started);
                started
            }
        }
    }

    fn start_timer(&self, after: Duration) -> Result<u32, CallError> {
        match self.before(|| Start::Timer(after)) {
            Started::Before(started) => started.map(|_| self.state().number()),
            Started::Again(number, _) => self.restarted(number, self.set_timer(after)),
            Started::Now(start) => {
                let started = self.set_timer(after);
                self.note_started(start, &started);
                started
            }
        }
    }

    fn wait(self: Arc<Self>) -> BoxFuture<'static, Vec<Ended>> {
        Box::pin(async move {
            if let Some(ended) = self.replayed() {
                return ended;
            }
            self.ask();
            if let Some(ended) = self.take_ended() {
                return ended;
            }
            self.turn.without(self.something_ended()).await;
            self.ask();
            self.take_ended().unwrap_or_default()
        })
    }

    fn end(&self) -> Option<EndsCall> {
        let state = self.state();
        let difference = || state.log.as_ref().and_then(CallLog::difference);
        state.asks.clone().or_else(difference).map(EndsCall)
    }

    fn readings(&self) -> Option<Arc<Readings>> {
        self.readings.clone()
    }

    fn held(&self) -> usize {
        let state = self.state();
        state.held + state.log.as_ref().map_or(0, CallLog::bytes)
    }

    fn names(&self) -> Vec<String> {
        self.tools().map(|tool| tool.name.clone()).collect()
    }

    fn search(&self, words: &str, limit: usize) -> Vec<(String, String)> {
        let words = &words[..words.floor_char_boundary(MAX_WORDS)];
        let found = typescript::search(self.tools(), words);
        let summary = |tool: &Tool| {
            let beginning = tool.description.chars().take(SUMMARY).collect();
            (tool.name.clone(), beginning)
        };
        found.into_iter().take(limit).map(summary).collect()
    }

    fn describe(&self, name: &str) -> Result<String, CallError> {
        self.tool(name).map(typescript::declaration)
    }

    fn call(self: Arc<Self>, call: ToolCall) -> BoxFuture<'static, ToolResult> {
        let call = self.host.hand_over(call, &self.options);
        let name = call_name(&call);
        // A task of its own, or each level of nesting would take more of one stack.
        let runs = self.clone();
        let running = tokio::spawn(async move {
            let result = runs.host.run_handed_over(call, &runs.options).await;
            // Nobody resumes it.
            drop(runs.note(&result));
            result
        });
        let running = AbortOnDropHandle::new(running);
        Box::pin(async move {
            let result = self.turn.without(running).await;
            // Its task is lost only while the runtime shuts down.
            result.unwrap_or_else(|_| ToolResult::new(name, Err(CallError::Cancelled)))
        })
    }
}
