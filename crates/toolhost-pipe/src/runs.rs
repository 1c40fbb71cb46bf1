//! Runs: the calls of one `run` frame. [`Runs`] knows those that are open, a [`Job`] is what one of them works with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use futures_util::StreamExt;
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use toolhost_core::host::ParentCall;
use toolhost_core::limits::{ByteSize, Limit};
use toolhost_core::locks::lock;
use toolhost_core::wire::{self, Answer, Format};
use toolhost_core::{CallError, CallOptions, ToolCall, ToolResult};

use crate::active_host::ActiveHost;
use crate::outbox::{Expected, Outbox};
use crate::protocol::{
    Done, ErrorCode, HostFrame, IndexedResult, ResultBody, ResultFrame, RunFailure,
};

/// Nothing more is read while the frames of open runs have this many bytes, unless functions run, whose answers and
/// nested runs must be read.
const MAX_HELD: usize = 256 << 20;

/// No run is opened while they have this many.
const MAX_HELD_AT_ALL: usize = 4 * MAX_HELD;

/// What a run holds at least, in addition to its frame.
const OVERHEAD: usize = 4 << 10;

/// The runs that are not done.
#[derive(Default)]
pub(crate) struct Runs {
    open: Mutex<HashMap<u64, OpenRun>>,
    held: AtomicUsize,
    /// Signals that a run is done.
    less: Notify,
}

struct OpenRun {
    cancel: CancellationToken,
    stream: Option<mpsc::UnboundedSender<StreamPiece>>,
    held: usize,
}

/// A piece of a run's stream.
pub(crate) enum StreamPiece {
    Data(String),
    /// Its end, with the reason if it ended early.
    End(Option<String>),
}

impl Runs {
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.open).is_empty()
    }

    /// Opens a run, which `cancel` cancels.
    ///
    /// # Errors
    ///
    /// Its id is in use, or open runs hold too much.
    pub(crate) fn open(
        self: &Arc<Self>,
        id: u64,
        bytes: usize,
        cancel: CancellationToken,
        stream: Option<mpsc::UnboundedSender<StreamPiece>>,
    ) -> Result<(), (ErrorCode, String)> {
        let mut open = lock(&self.open);
        if open.contains_key(&id) {
            let message = format!("the id {id} is in use: each open run needs its own");
            return Err((ErrorCode::InvalidFrame, message));
        }
        if self.held.load(Ordering::Relaxed) >= MAX_HELD_AT_ALL {
            let message = format!(
                "the runs that are not done have more than {} MiB: wait for some of them",
                MAX_HELD_AT_ALL >> 20
            );
            return Err((ErrorCode::TooLarge, message));
        }
        let held = bytes + OVERHEAD;
        let run = OpenRun {
            cancel,
            stream,
            held,
        };
        open.insert(id, run);
        self.held.fetch_add(held, Ordering::Relaxed);
        Ok(())
    }

    /// Cancels a run, if it is open.
    pub(crate) fn cancel(&self, id: u64) {
        if let Some(run) = lock(&self.open).get(&id) {
            run.cancel.cancel();
        }
    }

    pub(crate) fn cancel_all(&self) {
        lock(&self.open)
            .values()
            .for_each(|run| run.cancel.cancel());
    }

    /// Gives a run a piece of its stream. What comes after its end is dropped.
    pub(crate) fn feed(&self, id: u64, piece: StreamPiece) {
        if let Some(OpenRun {
            stream: Some(stream),
            ..
        }) = lock(&self.open).get(&id)
        {
            let _ = stream.send(piece);
        }
    }

    /// Ends a run; `last` sends its last frame.
    fn close(&self, id: u64, last: impl FnOnce()) {
        let mut open = lock(&self.open);
        if let Some(run) = open.remove(&id) {
            self.held.fetch_sub(run.held, Ordering::Relaxed);
        }
        last();
        drop(open);
        self.less.notify_waiters();
    }

    /// Completes once another frame may be read.
    pub(crate) async fn room(&self) {
        self.until(|| self.held.load(Ordering::Relaxed) < MAX_HELD)
            .await;
    }

    /// Completes once no run is open.
    pub(crate) async fn idle(&self) {
        self.until(|| self.is_empty()).await;
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let less = self.less.notified();
            if is_so() {
                return;
            }
            less.await;
        }
    }
}

/// What the client wants to know of a run.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// Each result.
    pub(crate) results: bool,
    /// The messages that answer the response.
    pub(crate) messages: bool,
    /// The model's own message.
    pub(crate) reply: bool,
}

/// A run, and what it needs.
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) host: Arc<ActiveHost>,
    pub(crate) options: CallOptions,
    pub(crate) cancel: CancellationToken,
    /// The call whose function runs it.
    pub(crate) parent: Option<ParentCall>,
    pub(crate) wanted: Wanted,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) runs: Arc<Runs>,
    /// Whether nothing else runs or waits to be read.
    pub(crate) is_alone: bool,
    /// While it may send a result soon.
    pub(crate) expected: Option<Expected>,
}

/// Calls, and how they go back.
#[derive(Default)]
pub(crate) struct DecodedCalls {
    pub(crate) calls: Vec<ToolCall>,
    /// The positions of calls that must not run, and the error that answers them.
    pub(crate) cut: Vec<usize>,
    pub(crate) cut_error: Option<CallError>,
    pub(crate) format: Option<Format>,
    /// The model's message.
    pub(crate) reply: Vec<Box<RawValue>>,
}

impl DecodedCalls {
    /// The calls of a whole response.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn of_response(
        response: &[u8],
        format: Option<Format>,
        host: &ActiveHost,
    ) -> Result<DecodedCalls, wire::DecodeError> {
        let (format, mut calls) = wire::decode(response, format)?;
        // Not the reply of something else that the response contains.
        let reply = wire::reply(response, format).ok();
        let reply = reply.filter(|reply| reply.calls == calls);
        host.names(format).restore(&mut calls);
        let cut_error = reply.as_ref().map(|reply| reply.cut_error());
        let (cut, reply) = reply
            .map(|reply| (reply.cut, reply.messages))
            .unwrap_or_default();
        Ok(DecodedCalls {
            calls,
            cut,
            cut_error,
            format: Some(format),
            reply,
        })
    }
}

/// A run's results, and how they go back.
#[derive(Default)]
pub(crate) struct Finished {
    /// How many results there will be, if that is known: the last goes with `done`.
    expected: Option<usize>,
    /// Which calls have ended, by position.
    ended: BTreeSet<usize>,
    /// The results that are still needed, by position.
    results: BTreeMap<usize, ToolResult>,
    /// The position of the result that goes with `done`.
    last: Option<usize>,
    pub(crate) format: Option<Format>,
    pub(crate) reply: Vec<Box<RawValue>>,
    pub(crate) failure: Option<RunFailure>,
}

impl Finished {
    /// Takes a result, and sends it.
    pub(crate) fn take(&mut self, job: &Job, index: usize, result: ToolResult) {
        self.ended.insert(index);
        if let Some(parent) = &job.parent {
            parent.note(&result);
        }
        if Some(self.ended.len()) == self.expected {
            self.last = Some(index);
        } else if job.wanted.results {
            job.send_result(index, &result);
        }
        if self.last.is_some() || job.wanted.messages {
            self.results.insert(index, result);
        }
    }

    /// Whether the call at this position has its result.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.ended.contains(&index)
    }
}

/// Waits for calls, while the call that they are nested in, if there is one, lends its turn.
pub(crate) async fn suspending<T>(
    parent: Option<&ParentCall>,
    calls: impl Future<Output = T>,
) -> T {
    match parent {
        Some(parent) => parent.suspended(calls).await,
        None => calls.await,
    }
}

impl Job {
    /// Hands the calls over now, so that they keep their places in order, and runs them in a task.
    pub(crate) fn start(self, decoded: DecodedCalls) {
        let DecodedCalls {
            mut calls,
            mut cut,
            cut_error,
            format,
            reply,
        } = decoded;
        cut.retain(|at| *at < calls.len());
        cut.sort_unstable();
        cut.dedup();
        let positions: Vec<usize> = (0..calls.len())
            .filter(|at| cut.binary_search(at).is_err())
            .collect();
        // From the last, so that the others keep their positions.
        let refused: Vec<_> = cut
            .iter()
            .rev()
            .map(|at| (*at, calls.remove(*at)))
            .collect();
        let mut finished = Finished {
            expected: Some(calls.len() + refused.len()),
            format,
            reply,
            ..Finished::default()
        };
        for (at, call) in refused.into_iter().rev() {
            let error = cut_error.clone().unwrap_or_else(CallError::cut_off);
            let result = self.host.host.refuse_with(&call, error, &self.options);
            finished.take(&self, at, result);
        }
        match calls.len() {
            0 => self.done(finished),
            1 => {
                let call = calls.remove(0);
                let places = self.host.host.places(&call, &self.options);
                let options = self.options.clone().placed(Some(places));
                let index = positions[0];
                let is_alone = self.is_alone;
                let mut run = Box::pin(async move {
                    let result = self.host.host.call_with(call, &options);
                    let result = suspending(self.parent.as_ref(), result).await;
                    finished.take(&self, index, result);
                    self.done(finished);
                });
                // Most calls end in their first poll, and waking another thread takes longer than that. A guest that
                // computes gives way at its next tick.
                let mut context = Context::from_waker(Waker::noop());
                if !is_alone || run.as_mut().poll(&mut context).is_pending() {
                    tokio::spawn(run);
                }
            }
            _ => {
                let mut batch = self.host.host.run_with(calls, self.options.clone());
                tokio::spawn(async move {
                    let results = async {
                        while let Some((index, result)) = batch.next().await {
                            finished.take(&self, positions[index], result);
                        }
                    };
                    suspending(self.parent.as_ref(), results).await;
                    self.done(finished);
                });
            }
        }
    }

    fn send_result(&self, index: usize, result: &ToolResult) {
        let frame = |result: ResultBody<'_>| {
            self.outbox.send(&HostFrame::Result(ResultFrame {
                run: self.id,
                index,
                result,
            }))
        };
        if let Err(error) = frame(self.body(result)) {
            let _ = frame(ResultBody::of(&too_large(result, error.longest), None));
        }
    }

    fn body<'a>(&self, result: &'a ToolResult) -> ResultBody<'a> {
        ResultBody::of(result, self.host.summary(result))
    }

    /// Ends a run that has no calls, because its response cannot be read.
    pub(crate) fn fail(self, code: ErrorCode, error: &wire::DecodeError) {
        let message = error.to_string();
        self.done(Finished {
            failure: Some(RunFailure { code, message }),
            ..Finished::default()
        });
    }

    /// Ends the run.
    pub(crate) fn done(mut self, finished: Finished) {
        // What follows soon are the results of others.
        self.expected = None;
        let Finished {
            results,
            last,
            format,
            reply,
            failure,
            ..
        } = finished;
        let messages = (self.wanted.messages && failure.is_none()).then(|| match format {
            Some(format) => {
                let names = self.host.names(format);
                let results = results.values();
                let answers: Vec<Answer> = results.map(|it| self.host.answer(it, &names)).collect();
                format.answers(&answers)
            }
            None => Vec::new(),
        });
        let last = last.filter(|_| self.wanted.results);
        let last = last.and_then(|index| Some((index, results.get(&index)?)));
        let body: Vec<IndexedResult> = last
            .map(|(index, result)| IndexedResult {
                index,
                result: self.body(result),
            })
            .into_iter()
            .collect();
        let reply = self.wanted.reply.then_some(&*reply);
        let done = Done {
            run: self.id,
            results: &body,
            format: format.map(Format::name),
            messages: messages.as_deref(),
            reply,
            failure: failure.as_ref(),
        };
        self.runs.close(self.id, || {
            let Err(error) = self.outbox.send(&HostFrame::Done(done)) else {
                return;
            };
            let replaced = last.map(|(index, result)| (index, too_large(result, error.longest)));
            let body: Vec<IndexedResult> = replaced
                .iter()
                .map(|(index, result)| IndexedResult {
                    index: *index,
                    result: ResultBody::of(result, None),
                })
                .collect();
            let failure = messages.is_some().then(|| RunFailure {
                code: ErrorCode::TooLarge,
                message: format!(
                    "the messages that answer the response have more than {} bytes: set `summarize` or a lower \
                     `max-output` in the manifest",
                    error.longest
                ),
            });
            let _ = self.outbox.send(&HostFrame::Done(Done {
                run: self.id,
                results: &body,
                format: format.map(Format::name),
                messages: None,
                reply: None,
                failure: failure.as_ref(),
            }));
        });
    }
}

/// In place of a result that the client does not read.
fn too_large(result: &ToolResult, longest: usize) -> ToolResult {
    let error = CallError::over(Limit::Output, ByteSize::b(longest as u64));
    ToolResult::new(&result.name, Err(error))
        .with_id(result.id.clone())
        .with_usage(result.usage)
}
