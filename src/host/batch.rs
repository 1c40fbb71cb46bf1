//! The calls of one model response, run side by side.
//!
//! The stream takes calls from its iterator into lanes, one for each plugin, and starts workers. A
//! worker runs one call after another by itself, so that a short call costs no new task and nobody
//! need be woken for it to start.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::stream::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ToolHost;
use crate::error::CallError;
use crate::tool::{ToolCall, ToolResult, Usage};

/// Calls taken from the iterator ahead of their turn, while others of their plugin fill its cap:
/// what comes after them may be for a plugin that is free.
const LOOKAHEAD: usize = 1024;

/// A running batch: a stream of results as they complete, each with the position of its call.
#[must_use = "a batch runs while it is polled and ends when it is dropped"]
pub struct Batch<I> {
    calls: Fuse<I>,
    /// Calls taken so far.
    taken: usize,
    /// Results yielded so far.
    done: usize,
    shared: Arc<Shared>,
    results: mpsc::Receiver<(usize, ToolResult)>,
    sender: mpsc::Sender<(usize, ToolResult)>,
    _cancel_on_drop: DropGuard,
}

/// What the stream and its workers share.
struct Shared {
    host: ToolHost,
    begun: Instant,
    cancel: CancellationToken,
    lanes: Mutex<Lanes>,
}

/// Calls that wait and run. Whatever its order here, each call ends up with one result.
struct Lanes {
    /// One for each plugin, and one for calls of unknown tools.
    all: Vec<Lane>,
    /// Calls waiting in all of them.
    waiting: usize,
    workers: usize,
    most_workers: usize,
}

#[derive(Default)]
struct Lane {
    running: usize,
    most: usize,
    waiting: VecDeque<(usize, ToolCall)>,
}

/// A call whose turn it is.
struct Turn {
    lane: usize,
    index: usize,
    call: ToolCall,
}

impl<I: Iterator<Item = ToolCall>> Batch<I> {
    pub(super) fn new(host: ToolHost, calls: I) -> Self {
        let cap = host.shared.max_concurrency;
        let plugins = host.shared.registry.plugins.iter();
        let most = plugins.map(|plugin| plugin.config.max_concurrency.unwrap_or(cap).min(cap));
        let lane = |most| Lane {
            most,
            ..Lane::default()
        };
        let lanes = Lanes {
            all: most.chain([cap]).map(lane).collect(),
            waiting: 0,
            workers: 0,
            most_workers: cap,
        };
        let (sender, results) = mpsc::channel(cap);
        let cancel = CancellationToken::new();
        Batch {
            calls: calls.fuse(),
            taken: 0,
            done: 0,
            shared: Arc::new(Shared {
                host,
                begun: Instant::now(),
                cancel: cancel.clone(),
                lanes: Mutex::new(lanes),
            }),
            results,
            sender,
            _cancel_on_drop: cancel.drop_guard(),
        }
    }

    /// Ends what runs and starts nothing more; what has not completed results in
    /// [`CallError::Cancelled`].
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
    }

    /// The results in the order of the calls.
    pub async fn collect_in_order(mut self) -> Vec<ToolResult> {
        let mut results: Vec<Option<ToolResult>> = Vec::with_capacity(self.calls.size_hint().0);
        while let Some((index, result)) = self.next().await {
            if results.len() <= index {
                results.resize_with(index + 1, || None);
            }
            results[index] = Some(result);
        }
        results.into_iter().flatten().collect()
    }

    /// Takes calls as there is room for them, and starts workers as there are calls.
    fn fill(&mut self) {
        let mut lanes = self.shared.lanes();
        // As many wait as run at most, so that no worker runs dry before this stream is polled
        // again; more only where they wait for a plugin at its cap.
        while lanes.ready() < lanes.most_workers && lanes.waiting < LOOKAHEAD {
            // The iterator is the caller's code, so not under the lock.
            drop(lanes);
            let Some(call) = self.calls.next() else {
                lanes = self.shared.lanes();
                break;
            };
            let index = self.taken;
            self.taken += 1;
            let found = self.shared.host.shared.registry.find(&call.name);
            lanes = self.shared.lanes();
            let number = found.map_or(lanes.all.len() - 1, |(plugin, ..)| plugin);
            lanes.all[number].waiting.push_back((index, call));
            lanes.waiting += 1;
        }
        while lanes.workers < lanes.most_workers
            && let Some(turn) = lanes.take()
        {
            lanes.workers += 1;
            let work = Arc::clone(&self.shared).work(turn, self.sender.clone());
            tokio::spawn(work);
        }
    }
}

impl<I> Unpin for Batch<I> {}

impl<I: Iterator<Item = ToolCall>> Stream for Batch<I> {
    type Item = (usize, ToolResult);

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = self.get_mut();
        batch.fill();
        if batch.done == batch.taken {
            return Poll::Ready(None);
        }
        batch.results.poll_recv(context).map(|result| {
            batch.done += 1;
            result
        })
    }
}

impl Lanes {
    /// Calls that wait and could run at once, if nothing else ran.
    fn ready(&self) -> usize {
        if self.waiting == 0 {
            return 0;
        }
        let lanes = self.all.iter();
        lanes.map(|lane| lane.waiting.len().min(lane.most)).sum()
    }

    /// The call that came first among those whose lane has room.
    fn take(&mut self) -> Option<Turn> {
        if self.waiting == 0 {
            return None;
        }
        let lanes = self.all.iter().enumerate();
        let (_, lane) = lanes
            .filter(|(_, lane)| lane.running < lane.most)
            .filter_map(|(number, lane)| Some((lane.waiting.front()?.0, number)))
            .min()?;
        let (index, call) = self.all[lane].waiting.pop_front()?;
        self.waiting -= 1;
        self.all[lane].running += 1;
        Some(Turn { lane, index, call })
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs calls until none is ready.
    async fn work(self: Arc<Self>, first: Turn, results: mpsc::Sender<(usize, ToolResult)>) {
        let mut next = Some(first);
        while let Some(Turn { lane, index, call }) = next {
            let result = self.run(call).await;
            // The lane is free before the result is seen: whoever polls for more finds the room.
            next = {
                let mut lanes = self.lanes();
                lanes.all[lane].running -= 1;
                let next = lanes.take();
                if next.is_none() {
                    lanes.workers -= 1;
                }
                next
            };
            if results.send((index, result)).await.is_err() {
                // The batch was dropped.
                return;
            }
        }
    }

    async fn run(&self, call: ToolCall) -> ToolResult {
        let id = call.id.clone();
        let name = call.name.clone();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => ToolResult {
                id,
                name,
                outcome: Err(CallError::Cancelled),
                usage: Usage::default(),
                log: Vec::new(),
            },
            result = self.host.call_since(self.begun, call) => result,
        }
    }
}
