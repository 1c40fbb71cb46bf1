//! Batches: the calls of one model response, run side by side.
//!
//! Calls are taken from the iterator into queues, one per provider (see `lanes`), and up to the cap
//! as many workers are started. A worker runs one call after another, so a short call costs neither
//! a task nor a wake-up. The states of a call:
//!
//! | state | next |
//! | --- | --- |
//! | in the iterator | `queued`, `held`, `apart` or refused, in [`Batch::fill`] |
//! | queued | `running`, when a worker is free and its provider below its cap |
//! | held: behind other calls of its order domain | `queued`, when its place is granted |
//! | apart: a task of its own | `running`, in its turn |
//! | running | result |
//!
//! Waiting calls are refused when the queue is full or its timeout has passed.
//!
//! A held call is in no queue, so that it keeps no worker; `hold` puts it into its queue when its
//! place in order is granted. A call that may wait for a person runs apart for the same reason. A
//! worker sends its results as they come to a stream, and all at once to [`run_all`], which needs
//! no wake-up before the last. How far ahead calls are taken is decided by [`PluginQueues::wanted`].

use std::collections::VecDeque;
use std::iter::Fuse;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::stream::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::plugin_queues::{NextCall, PluginQueues, QueuedCall, RefusedCall};
use super::{Arrival, CallOptions, HandedOver, ToolHost};
use crate::error::CallError;
use crate::limits::Limit;
use crate::locks;
use crate::order::PlaceInOrder;
use crate::tool::{ToolCall, ToolResult};

/// A result and the position of its call.
type Indexed = (usize, ToolResult);

/// A running batch: a stream that yields each result, with the position of its call, as it
/// completes.
#[must_use = "a batch ends when it is dropped"]
pub struct Batch<I> {
    calls: Fuse<I>,
    /// The number of calls taken from the iterator so far.
    taken: usize,
    /// The number of results yielded so far.
    done: usize,
    shared: Arc<BatchShared>,
    ready: std::vec::IntoIter<Indexed>,
    /// Results of calls that were refused when they were taken.
    refused: VecDeque<Indexed>,
    results: mpsc::UnboundedReceiver<Vec<Indexed>>,
    sender: mpsc::UnboundedSender<Vec<Indexed>>,
    _cancel_on_drop: DropGuard,
}

/// State shared by a batch and its workers.
struct BatchShared {
    host: ToolHost,
    /// The options of every call.
    options: CallOptions,
    begun: Instant,
    cancel: CancellationToken,
    /// Whether results are sent one by one (a stream) or only when a worker ends.
    stream: bool,
    /// Whether calls may wait for a hook or a responder.
    waits_for_others: bool,
    lanes: Mutex<PluginQueues>,
}

impl<I: Iterator<Item = ToolCall>> Batch<I> {
    pub(super) fn new(host: ToolHost, calls: I, options: CallOptions) -> Self {
        let (sender, results) = mpsc::unbounded_channel();
        let shared = Arc::new(BatchShared::new(host, options, true));
        shared.expire_in_time(&sender);
        let mut batch = Batch {
            calls: calls.fuse(),
            taken: 0,
            done: 0,
            ready: Vec::new().into_iter(),
            refused: VecDeque::new(),
            results,
            sender,
            _cancel_on_drop: shared.cancel.clone().drop_guard(),
            shared,
        };
        // Hand over now, so that two batches keep the order in which they were made, whichever is
        // polled first.
        if tokio::runtime::Handle::try_current().is_ok() {
            batch.fill();
        }
        batch
    }

    /// Cancels running calls and starts no more; those that have not completed result in
    /// [`CallError::Cancelled`](crate::CallError::Cancelled).
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
    }

    /// Collects the results in the order of the calls.
    pub async fn collect_in_order(mut self) -> Vec<ToolResult> {
        let mut results = Vec::new();
        while let Some(result) = self.next().await {
            results.push(result);
        }
        in_order(results)
    }

    /// Takes calls while there is room and starts workers for them. If calls can be refused (a
    /// bounded queue), all are taken, up to the first that is refused.
    fn fill(&mut self) {
        let bounded = self.shared.host.shared.queue.is_bounded();
        while self.refused.is_empty() {
            let wanted = match bounded {
                true => 1,
                false => self.shared.lanes().wanted(),
            };
            // The iterator is the caller's code: do not run it under the lock.
            let calls: Vec<ToolCall> = self.calls.by_ref().take(wanted).collect();
            if calls.is_empty() {
                break;
            }
            let begin = self.taken;
            self.taken += calls.len();
            let refused = self.shared.take(begin, calls, &self.sender);
            self.refused.extend(refused);
        }
        self.shared.start(&self.sender);
    }
}

/// Runs calls and returns the results in their order. No result is seen before the last is there,
/// so workers send none before they end.
pub(super) fn run_all(
    host: ToolHost,
    calls: impl Iterator<Item = ToolCall>,
    options: CallOptions,
) -> impl Future<Output = Vec<ToolResult>> + Send {
    let shared = Arc::new(BatchShared::new(host, options, false));
    let cancel_on_drop = shared.cancel.clone().drop_guard();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    shared.expire_in_time(&sender);
    let calls: Vec<ToolCall> = calls.collect();
    let total = calls.len();
    let mut results = Vec::with_capacity(total);
    results.extend(shared.take(0, calls, &sender));
    async move {
        let _cancel_on_drop = cancel_on_drop;
        shared.start(&sender);
        while results.len() < total
            && let Some(kept) = receiver.recv().await
        {
            results.extend(kept);
        }
        in_order(results)
    }
}

fn in_order(mut results: Vec<Indexed>) -> Vec<ToolResult> {
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

impl<I> Unpin for Batch<I> {}

impl<I: Iterator<Item = ToolCall>> Stream for Batch<I> {
    type Item = (usize, ToolResult);

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = self.get_mut();
        batch.fill();
        loop {
            if let Some(result) = batch.refused.pop_front().or_else(|| batch.ready.next()) {
                batch.done += 1;
                return Poll::Ready(Some(result));
            }
            if batch.done == batch.taken {
                return Poll::Ready(None);
            }
            match batch.results.poll_recv(context) {
                // An empty message: the queue timeout has passed, and calls not yet taken are
                // refused.
                Poll::Ready(Some(results)) if results.is_empty() => batch.fill(),
                Poll::Ready(Some(results)) => batch.ready = results.into_iter(),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl BatchShared {
    fn new(host: ToolHost, options: CallOptions, stream: bool) -> Self {
        let cancel = options.own_token();
        let client = options.order();
        BatchShared {
            waits_for_others: host.shared.hooks.is_some() || options.responder.is_some(),
            options: options.cancellation(cancel.clone()).of_client(client),
            begun: Instant::now(),
            cancel,
            stream,
            lanes: Mutex::new(PluginQueues::new(&host)),
            host,
        }
    }

    fn lanes(&self) -> MutexGuard<'_, PluginQueues> {
        locks::lock(&self.lanes)
    }

    /// Queues calls, the first of which has number `begin`. Returns the results of those refused.
    fn take(
        self: &Arc<Self>,
        begin: usize,
        calls: Vec<ToolCall>,
        results: &mpsc::UnboundedSender<Vec<Indexed>>,
    ) -> Vec<Indexed> {
        let bounded = self.host.shared.queue.is_bounded();
        let mut refused = Vec::new();
        let mut lanes = self.lanes();
        for (index, call) in (begin..).zip(calls) {
            let own = self.options.of_one(&call, index);
            let (arrival, call) = match self.host.hand_over(call, &own) {
                HandedOver::One(arrival, call) => (arrival, call),
                apart => {
                    lanes.hold();
                    let run = self.clone().run_apart(index, apart, results.clone());
                    tokio::spawn(run);
                    continue;
                }
            };
            let mut waiting = QueuedCall {
                index,
                call,
                arrival: Arrival {
                    queued: self.begun,
                    ..arrival
                },
            };
            let place = &waiting.arrival.taken.place;
            let is_held = place.as_ref().is_some_and(PlaceInOrder::is_held);
            if self.waits_for_others || is_held {
                let queue = &self.host.shared.queue;
                match queue.enter_before_others(own.order().party()) {
                    Ok(ticket) => waiting.arrival.ticket = ticket,
                    Err(error) => {
                        refused.push(Box::new(RefusedCall { waiting, error }));
                        continue;
                    }
                }
                // They may wait for a person: no worker may wait with them.
                lanes.hold();
                let arrived = HandedOver::One(waiting.arrival, waiting.call);
                let run = self.clone().run_apart(index, arrived, results.clone());
                tokio::spawn(run);
                continue;
            }
            match lanes.push(&self.host, own.order().party(), waiting) {
                Err(call) => refused.push(call),
                Ok(Some(behind)) => drop(tokio::spawn(self.clone().hold(behind, results.clone()))),
                // Whether the next call has to queue depends on whether this one starts.
                Ok(None) if bounded => self.start_under(&mut lanes, results),
                Ok(None) => {}
            }
        }
        drop(lanes);
        refused.into_iter().map(|call| self.refuse(*call)).collect()
    }

    /// Runs what takes no worker: several calls in one, each of which waits for its own turn, and
    /// calls that may wait for a hook or a responder.
    async fn run_apart(
        self: Arc<Self>,
        index: usize,
        arrived: HandedOver,
        results: mpsc::UnboundedSender<Vec<Indexed>>,
    ) {
        let result = self.host.run_handed_over(arrived, &self.options).await;
        self.lanes().unhold();
        let _ = results.send(vec![(index, result)]);
    }

    /// Holds a call until its place in order is granted, then queues it.
    async fn hold(
        self: Arc<Self>,
        waiting: QueuedCall,
        results: mpsc::UnboundedSender<Vec<Indexed>>,
    ) {
        let queue = &self.host.shared.queue;
        let in_order = match &waiting.arrival.taken.place {
            Some(place) => queue.in_order(place, self.begun, &self.cancel).await,
            None => Ok(()),
        };
        let refused = match in_order {
            Ok(()) => {
                let mut lanes = self.lanes();
                let released = lanes.release(&self.host, waiting);
                self.start_under(&mut lanes, &results);
                released.err().map(|refused| *refused)
            }
            Err(error) => {
                self.lanes().unhold();
                Some(RefusedCall { waiting, error })
            }
        };
        if let Some(refused) = refused {
            let _ = results.send(vec![self.refuse(refused)]);
        }
    }

    fn refuse(&self, RefusedCall { waiting, error }: RefusedCall) -> Indexed {
        let QueuedCall { index, call, .. } = waiting;
        let whose = &self.options.whose;
        (
            index,
            self.host.refuse_since(self.begun, &call, whose, error),
        )
    }

    /// Refuses all waiting calls once the queue timeout has passed.
    fn expire_in_time(self: &Arc<Self>, results: &mpsc::UnboundedSender<Vec<Indexed>>) {
        let Some(timeout) = self.host.shared.queue.timeout else {
            return;
        };
        let shared = self.clone();
        // Held weakly, so that the channel closes when the workers are gone.
        let results = results.downgrade();
        tokio::spawn(async move {
            let passes = tokio::time::sleep(timeout);
            if shared.cancel.run_until_cancelled(passes).await.is_none() {
                return;
            }
            let expired = shared.lanes().expire();
            let ended = expired.into_iter().map(|waiting| {
                shared.refuse(RefusedCall {
                    waiting,
                    error: CallError::over(Limit::QueueTime, timeout),
                })
            });
            let ended: Vec<Indexed> = ended.collect();
            // Sent even if empty: it wakes a stream.
            if let Some(results) = results.upgrade() {
                let _ = results.send(ended);
            }
        });
    }

    /// Starts workers while there are calls for them and the cap allows.
    fn start(self: &Arc<Self>, results: &mpsc::UnboundedSender<Vec<Indexed>>) {
        self.start_under(&mut self.lanes(), results);
    }

    fn start_under(
        self: &Arc<Self>,
        lanes: &mut PluginQueues,
        results: &mpsc::UnboundedSender<Vec<Indexed>>,
    ) {
        while let Some(turn) = lanes.start() {
            tokio::spawn(Arc::clone(self).work(turn, results.clone()));
        }
    }

    /// A worker: runs calls until none is ready.
    async fn work(self: Arc<Self>, first: NextCall, results: mpsc::UnboundedSender<Vec<Indexed>>) {
        let mut kept = Vec::new();
        let mut next = Some(first);
        while let Some(NextCall { lane, taken }) = next {
            let QueuedCall {
                index,
                call,
                arrival,
            } = taken;
            let context = self.options.context();
            let running = self.host.run_call(&call, &context, &self.options, arrival);
            let result = running.await;
            kept.push((index, result));
            // Free the provider's room before the result is seen, so that a consumer that polls for
            // more finds it. Sending never blocks: the next call may hold a place that others wait
            // for.
            next = self.lanes().next(lane);
            if (self.stream || next.is_none()) && results.send(std::mem::take(&mut kept)).is_err() {
                // The batch was dropped.
                return;
            }
        }
    }
}
