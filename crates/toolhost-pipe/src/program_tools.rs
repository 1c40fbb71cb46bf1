//! [`ProgramTools`]: functions of the program at the other end as tools. A call is sent as a `call` frame and waits for
//! its `answer`, until the deadline at the latest: the host answers then, whatever the function does.
//!
//! A function that runs on after its call has ended keeps its slot until its answer comes, so that functions which hang
//! cannot pile up without bound. What a function runs is nested in its call ([`Program::parent`]). Each depth of nesting
//! has its own slots, and the host admits no more calls at one depth: a call never waits for the slot of one that waits
//! for it.
//!
//! | a call | next |
//! | --- | --- |
//! | waits for a slot | `open`, or fails near its deadline if functions that run on hold all slots |
//! | open | answered, or `overdue` when the host ends it: the client gets `cancel` |
//! | overdue: ended, its function still runs | its `answer` frees the slot |

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout_at};
use toolhost_core::host::ParentCall;
use toolhost_core::limits::{ByteSize, Limit, Limits};
use toolhost_core::locks::{lock, read, write};
use toolhost_core::provider::{
    CallContext, CallableTools, ProvidedTool, RunOutcome, ToolProvider, output,
};
use toolhost_core::watch::Owner;
use toolhost_core::{BoxFuture, CallError, Output, Tool, ToolCall};

use crate::outbox::Outbox;
use crate::protocol::{
    Answer, AnswerError, Block, CallRequest, FrameId, HostFrame, ToolDeclaration,
};

/// The name of the provider, as in [`Tool::plugin`].
pub(crate) const NAME: &str = "program";

/// How many functions run at once, unless the client says otherwise.
pub(crate) const DEFAULT_MAX_CALLS: usize = 64;

/// How long a function may run on before that is reported.
const GRACE: Duration = Duration::from_secs(1);

/// A call that gets no slot fails this long before its deadline, or a quarter of its time, to say why.
const MARGIN: Duration = Duration::from_millis(250);

/// The functions, and their calls.
pub(crate) struct Program {
    outbox: Arc<Outbox>,
    offered: RwLock<Offered>,
    /// Counts declarations.
    changes: watch::Sender<u64>,
    calls: Mutex<HashMap<u64, FunctionCall>>,
    next: AtomicU64,
    /// How many functions run.
    running: watch::Sender<usize>,
    /// By the depth of their calls.
    slots: Mutex<Vec<Arc<Semaphore>>>,
    max_calls: usize,
}

#[derive(Default)]
struct Offered {
    tools: Arc<[Arc<ProvidedTool>]>,
    /// The deadlines of those that have their own.
    timeouts: HashMap<String, Duration>,
}

/// A function that runs.
struct FunctionCall {
    tool: String,
    state: CallState,
    as_parent: Option<ParentCall>,
    _slot: OwnedSemaphorePermit,
}

enum CallState {
    Open(oneshot::Sender<Result<Output, CallError>>),
    Overdue(Instant),
}

/// The call that a run is nested in.
pub(crate) enum Parent {
    Runs(ParentCall),
    /// Its function has returned.
    Ended,
}

/// A tool that cannot be offered, and why.
#[derive(Debug)]
pub(crate) struct InvalidDeclaration(pub(crate) String);

impl Program {
    pub(crate) fn new(outbox: Arc<Outbox>, max_calls: usize) -> Arc<Program> {
        Arc::new(Program {
            outbox,
            offered: RwLock::default(),
            changes: watch::Sender::new(0),
            calls: Mutex::default(),
            next: AtomicU64::new(1),
            running: watch::Sender::new(0),
            slots: Mutex::default(),
            max_calls,
        })
    }

    /// Replaces the functions.
    ///
    /// # Errors
    ///
    /// One of them cannot be a tool; nothing is replaced then.
    pub(crate) fn declare(&self, declared: Vec<ToolDeclaration>) -> Result<(), InvalidDeclaration> {
        let mut tools: Vec<Arc<ProvidedTool>> = Vec::new();
        let mut timeouts = HashMap::new();
        for declaration in declared {
            let name = declaration.name.clone();
            if tools.iter().any(|known| known.tool().name == name) {
                return Err(InvalidDeclaration(format!(
                    "two functions are tools named `{name}`"
                )));
            }
            if let Some(timeout) = declaration.timeout_ms {
                timeouts.insert(name, Duration::from_millis(timeout));
            }
            let tool = Tool::new(declaration.name, declaration.description)
                .with_title(declaration.title)
                .with_input_schema(declaration.input_schema)
                .with_output_schema(declaration.output_schema)
                .with_annotations(declaration.annotations.into())
                .with_plugin(NAME)
                .with_sandboxed(false);
            let tool =
                ProvidedTool::new(tool).map_err(|error| InvalidDeclaration(error.to_string()))?;
            tools.push(Arc::new(tool));
        }
        *write(&self.offered) = Offered {
            tools: tools.into(),
            timeouts,
        };
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    /// Takes the answer of a function.
    pub(crate) fn answered(&self, answer: Answer) {
        let Some(call) = self.remove(answer.id) else {
            tracing::debug!(
                "an answer to call {}, which is not open, was dropped",
                answer.id
            );
            return;
        };
        match call.state {
            // Without a receiver, the call has just ended.
            CallState::Open(reply) => drop(reply.send(outcome(answer))),
            CallState::Overdue(since) if since.elapsed() >= GRACE => {
                let late = since.elapsed().as_secs_f64();
                tracing::warn!(
                    "`{}` returned {late:.1} s after its call had ended",
                    call.tool
                );
            }
            CallState::Overdue(_) => {}
        }
    }

    /// The call of that id, as the parent of a run.
    ///
    /// # Errors
    ///
    /// There was none.
    pub(crate) fn parent(&self, id: u64) -> Result<Parent, String> {
        if id == 0 || id >= self.next.load(Ordering::Relaxed) {
            return Err(format!(
                "`parent` names a call that the host has not made: {id}"
            ));
        }
        let calls = lock(&self.calls);
        let parent = calls.get(&id).and_then(|call| call.as_parent.clone());
        Ok(parent.map_or(Parent::Ended, Parent::Runs))
    }

    /// Completes once a function runs.
    pub(crate) async fn is_running(&self) {
        let mut running = self.running.subscribe();
        // The sender is here.
        let _ = running.wait_for(|running| *running > 0).await;
    }

    fn add(&self, id: u64, call: FunctionCall) {
        lock(&self.calls).insert(id, call);
        self.running.send_modify(|running| *running += 1);
    }

    fn remove(&self, id: u64) -> Option<FunctionCall> {
        let call = lock(&self.calls).remove(&id)?;
        self.running.send_modify(|running| *running -= 1);
        Some(call)
    }

    fn slots(&self, depth: usize) -> Arc<Semaphore> {
        let mut slots = lock(&self.slots);
        while slots.len() <= depth {
            slots.push(Arc::new(Semaphore::new(self.max_calls)));
        }
        slots[depth].clone()
    }

    /// Waits for a slot.
    ///
    /// # Errors
    ///
    /// None became free before the deadline.
    async fn slot(
        &self,
        depth: usize,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, CallError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let until = deadline - MARGIN.min(left / 4);
        match timeout_at(until.into(), self.slots(depth).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(CallError::failed(self.why_full())),
        }
    }

    fn why_full(&self) -> String {
        let calls = lock(&self.calls);
        let mut overdue: Vec<(&str, Duration)> = calls
            .values()
            .filter_map(|call| match &call.state {
                CallState::Overdue(since) => Some((&*call.tool, since.elapsed())),
                CallState::Open(_) => None,
            })
            .collect();
        overdue.sort_by_key(|(_, late)| std::cmp::Reverse(*late));
        let longest: Vec<String> = overdue
            .iter()
            .take(3)
            .map(|(tool, late)| format!("{tool} (for {:.1} s)", late.as_secs_f64()))
            .collect();
        format!(
            "not run: {} of the program's {} slots are held by functions that run on after their calls ended: {}",
            overdue.len(),
            self.max_calls,
            longest.join(", ")
        )
    }

    /// Sends a call, and waits for its answer.
    async fn call(
        self: &Arc<Self>,
        tool: &ProvidedTool,
        call: &ToolCall,
        context: &CallContext<'_>,
        deadline: Instant,
    ) -> Result<Output, CallError> {
        let arguments: &RawValue = serde_json::from_str(call.arguments_text())
            .map_err(|error| CallError::invalid_arguments("", error.to_string()))?;
        let as_parent = ParentCall::of(context);
        let depth = as_parent.as_ref().map_or(0, ParentCall::depth);
        let slot = self.slot(depth, deadline).await?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let name = &tool.tool().name;
        let open = FunctionCall {
            tool: name.clone(),
            state: CallState::Open(reply),
            as_parent,
            _slot: slot,
        };
        self.add(id, open);
        let ends = EndsCall { program: self, id };
        let request = HostFrame::Call(CallRequest {
            id,
            run: match context.owner {
                Owner::Session(run) => Some(*run),
                _ => None,
            },
            tool: name,
            arguments,
            call_id: call.id.as_deref(),
            client: context.client(),
            timeout_ms: deadline
                .saturating_duration_since(Instant::now())
                .as_millis() as u64,
        });
        if let Err(error) = self.outbox.send(&request) {
            ends.forget();
            return Err(CallError::over(
                Limit::Input,
                ByteSize::b(error.longest as u64),
            ));
        }
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::internal("the program has left")),
        }
    }

    /// The call has ended: its function may still run.
    fn ended(self: &Arc<Self>, id: u64) {
        {
            let mut calls = lock(&self.calls);
            let Some(call) = calls.get_mut(&id) else {
                return;
            };
            call.state = CallState::Overdue(Instant::now());
        }
        let _ = self.outbox.send(&HostFrame::Cancel(FrameId { id }));
        let program = self.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                sleep(GRACE).await;
                program.report(id);
            });
        }
    }

    /// Reports a function that runs on.
    fn report(&self, id: u64) {
        if let Some(call) = lock(&self.calls).get(&id) {
            tracing::warn!(
                "`{}` still runs {} s after its call ended, and keeps one of {} slots until it returns",
                call.tool,
                GRACE.as_secs(),
                self.max_calls
            );
        }
    }
}

/// Ends an open call when it is dropped.
struct EndsCall<'p> {
    program: &'p Arc<Program>,
    id: u64,
}

impl EndsCall<'_> {
    /// For a call that was never sent.
    fn forget(self) {
        self.program.remove(self.id);
    }
}

impl Drop for EndsCall<'_> {
    fn drop(&mut self) {
        self.program.ended(self.id);
    }
}

fn outcome(answer: Answer) -> Result<Output, CallError> {
    if let Some(AnswerError { code, message }) = answer.error {
        return Err(match code.as_deref() {
            Some("invalid-arguments") => CallError::invalid_arguments("", message),
            Some("denied") => CallError::denied(message),
            Some("cancelled") => CallError::Cancelled,
            _ => CallError::failed(message),
        });
    }
    let content = answer.content.into_iter().map(Block::into_content);
    let content: Vec<_> = content
        .collect::<Result<_, _>>()
        .map_err(CallError::failed)?;
    let structured = answer.structured.map(|it| it.get().to_owned());
    output(content, structured).map_err(CallError::failed)
}

/// The functions as a provider of one host: with its limits.
pub(crate) struct ProgramTools {
    program: Arc<Program>,
    limits: Limits,
}

impl ProgramTools {
    pub(crate) fn new(program: Arc<Program>, limits: Limits) -> ProgramTools {
        ProgramTools { program, limits }
    }
}

impl ToolProvider for ProgramTools {
    fn name(&self) -> &str {
        NAME
    }

    fn title(&self) -> String {
        "program".to_owned()
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        read(&self.program.offered).tools.clone()
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.program.changes.subscribe())
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn max_concurrency(&self) -> Option<usize> {
        Some(self.program.max_calls)
    }

    fn max_suspended(&self) -> Option<usize> {
        Some(self.program.max_calls)
    }

    fn callable_tools(&self) -> CallableTools<'_> {
        CallableTools::All
    }

    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        call: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        let own = read(&self.program.offered)
            .timeouts
            .get(&tool.tool().name)
            .copied();
        Box::pin(async move {
            let deadline = context.deadline();
            let Some((timeout, until)) = own
                .map(|timeout| (timeout, Instant::now() + timeout))
                .filter(|(_, until)| *until < deadline)
            else {
                return self
                    .program
                    .call(tool, call, &context, deadline)
                    .await
                    .into();
            };
            let called = self.program.call(tool, call, &context, until);
            let ended = timeout_at(until.into(), called).await;
            ended
                .unwrap_or(Err(CallError::Timeout { after: timeout }))
                .into()
        })
    }
}
