//! The calls of one model response, run side by side.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::ToolHost;
use crate::error::CallError;
use crate::tool::{ToolCall, ToolResult, Usage};

/// Calls taken from the iterator ahead of their turn, while others of their plugin fill its cap:
/// what comes after them may be for a plugin that is free.
const LOOKAHEAD: usize = 1024;

/// A running batch: a stream of results as they complete, each with the position of its call.
#[must_use = "a batch runs while it is polled and ends when it is dropped"]
pub struct Batch<I> {
    host: ToolHost,
    begun: Instant,
    calls: Fuse<I>,
    /// Calls taken so far.
    taken: usize,
    running: FuturesUnordered<Running>,
    /// One for each plugin, and one for calls of unknown tools.
    lanes: Vec<Lane>,
    /// Calls waiting in the lanes.
    waiting: usize,
    cancel: CancellationToken,
}

/// The calls of one plugin.
#[derive(Default)]
struct Lane {
    running: usize,
    most: usize,
    waiting: VecDeque<(usize, ToolCall)>,
}

impl<I: Iterator<Item = ToolCall>> Batch<I> {
    pub(super) fn new(host: ToolHost, calls: I) -> Self {
        let cap = host.shared.max_concurrency;
        let plugins = host.shared.registry.plugins.iter();
        let mut lanes: Vec<Lane> = plugins
            .map(|plugin| Lane {
                most: plugin.config.max_concurrency.unwrap_or(cap).min(cap),
                ..Lane::default()
            })
            .collect();
        lanes.push(Lane {
            most: cap,
            ..Lane::default()
        });
        Batch {
            host,
            begun: Instant::now(),
            calls: calls.fuse(),
            taken: 0,
            running: FuturesUnordered::new(),
            lanes,
            waiting: 0,
            cancel: CancellationToken::new(),
        }
    }

    /// Ends what runs and starts nothing more; what has not completed results in
    /// [`CallError::Cancelled`].
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The results in the order of the calls.
    pub async fn collect_in_order(mut self) -> Vec<ToolResult> {
        let mut results: Vec<Option<ToolResult>> = Vec::new();
        while let Some((index, result)) = self.next().await {
            if results.len() <= index {
                results.resize_with(index + 1, || None);
            }
            results[index] = Some(result);
        }
        results.into_iter().flatten().collect()
    }

    /// Starts calls while there is room.
    fn fill(&mut self) {
        let room = self.host.shared.max_concurrency;
        while self.running.len() < room {
            let Some((lane, index, call)) = self.next_call() else {
                return;
            };
            self.lanes[lane].running += 1;
            self.start(lane, index, call);
        }
    }

    /// The next call whose lane has room.
    fn next_call(&mut self) -> Option<(usize, usize, ToolCall)> {
        if self.waiting > 0 {
            // The one that came first among those whose turn it may be.
            let ready = self
                .lanes
                .iter()
                .enumerate()
                .filter(|(_, lane)| lane.has_room());
            let first = ready
                .filter_map(|(number, lane)| Some((lane.waiting.front()?.0, number)))
                .min();
            if let Some((_, number)) = first
                && let Some((index, call)) = self.lanes[number].waiting.pop_front()
            {
                self.waiting -= 1;
                return Some((number, index, call));
            }
        }
        while self.waiting < LOOKAHEAD {
            let call = self.calls.next()?;
            let index = self.taken;
            self.taken += 1;
            let found = self.host.shared.registry.find(&call.name);
            let number = found.map_or(self.lanes.len() - 1, |(plugin, ..)| plugin);
            let lane = &mut self.lanes[number];
            if lane.has_room() {
                return Some((number, index, call));
            }
            lane.waiting.push_back((index, call));
            self.waiting += 1;
        }
        None
    }

    fn start(&mut self, lane: usize, index: usize, call: ToolCall) {
        let id = call.id.clone();
        let name = call.name.clone();
        let host = self.host.clone();
        let cancel = self.cancel.clone();
        let begun = self.begun;
        let task = tokio::spawn(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => None,
                result = host.call_since(begun, call) => Some(result),
            }
        });
        self.running.push(Running {
            lane,
            index,
            id,
            name,
            task: AbortOnDropHandle::new(task),
        });
    }
}

impl Lane {
    fn has_room(&self) -> bool {
        self.running < self.most
    }
}

/// Nothing in it is pinned, the iterator included.
impl<I> Unpin for Batch<I> {}

impl<I: Iterator<Item = ToolCall>> Stream for Batch<I> {
    type Item = (usize, ToolResult);

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = self.get_mut();
        batch.fill();
        batch.running.poll_next_unpin(context).map(|ended| {
            let (lane, index, result) = ended?;
            batch.lanes[lane].running -= 1;
            Some((index, result))
        })
    }
}

/// A call in a task of its own, with what its result needs should the task not give one.
struct Running {
    lane: usize,
    index: usize,
    id: Option<String>,
    name: String,
    task: AbortOnDropHandle<Option<ToolResult>>,
}

impl Future for Running {
    type Output = (usize, usize, ToolResult);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(context).map(|ended| {
            let error = match ended {
                Ok(Some(result)) => return (self.lane, self.index, result),
                Ok(None) => CallError::Cancelled,
                Err(error) => CallError::internal(error),
            };
            let result = ToolResult {
                id: self.id.take(),
                name: std::mem::take(&mut self.name),
                outcome: Err(error),
                usage: Usage::default(),
                log: Vec::new(),
            };
            (self.lane, self.index, result)
        })
    }
}
