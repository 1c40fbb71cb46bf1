//! The queues of a batch, one per provider, so that calls of a plugin at its cap do not block those
//! of others.
//!
//! Which call runs next is decided here, under one lock and without waiting: [`PluginQueues::start`] for a
//! new worker, [`PluginQueues::next`] for one that has finished a call. Both take the earliest call whose
//! provider has room.

use std::collections::VecDeque;

use super::{Arrival, ToolHost};
use crate::error::CallError;
use crate::limits::Limit;
use crate::order::Party;
use crate::tool::ToolCall;

/// How many calls to take from the iterator while those of a plugin at its cap wait: later calls
/// may be for an idle plugin. A larger cap looks as far ahead as the cap.
const LOOKAHEAD: usize = 1024;

/// The queued calls of a batch, and how many of its calls run.
pub(super) struct PluginQueues {
    /// One queue for each provider, and a last one for calls of unknown tools.
    all: Vec<PluginQueue>,
    /// The number of calls in all queues.
    waiting: usize,
    /// The number of calls that wait outside the queues: for their place in order, or in a task of
    /// their own.
    held: usize,
    workers: usize,
    most_workers: usize,
    /// Whether the queue timeout has passed: no call may wait from then on.
    expired: bool,
}

#[derive(Default)]
struct PluginQueue {
    running: usize,
    most: usize,
    waiting: VecDeque<QueuedCall>,
}

/// A queued call.
pub(super) struct QueuedCall {
    pub(super) index: usize,
    pub(super) call: ToolCall,
    pub(super) arrival: Arrival,
}

/// A call to run now.
pub(super) struct NextCall {
    pub(super) lane: usize,
    pub(super) taken: QueuedCall,
}

/// A call that may not wait.
pub(super) struct RefusedCall {
    pub(super) waiting: QueuedCall,
    pub(super) error: CallError,
}

impl PluginQueues {
    pub(super) fn new(host: &ToolHost) -> Self {
        let cap = host.shared.max_concurrency;
        let providers = host.registry.providers.iter();
        let own = providers.map(|registered| registered.provider.max_concurrency());
        let most = own.map(|own| own.unwrap_or(cap).min(cap));
        let lane = |most| PluginQueue {
            most,
            ..PluginQueue::default()
        };
        PluginQueues {
            all: most.chain([cap]).map(lane).collect(),
            waiting: 0,
            held: 0,
            workers: 0,
            most_workers: cap,
            expired: false,
        }
    }

    /// Queues a call, or refuses it if it would have to wait and may not. A call that is behind
    /// others in order is returned: [`release`](PluginQueues::release) queues it when its place is
    /// granted, so that it keeps no worker until then.
    pub(super) fn push(
        &mut self,
        host: &ToolHost,
        party: Party,
        mut waiting: QueuedCall,
    ) -> Result<Option<QueuedCall>, Box<RefusedCall>> {
        let number = self.number(host, &waiting.call);
        let place = &waiting.arrival.taken.place;
        let is_behind = place.as_ref().is_some_and(|place| !place.is_granted());
        let lane = &self.all[number];
        let starts_now = !is_behind
            && self.workers < self.most_workers
            && lane.waiting.is_empty()
            && lane.running < lane.most;
        let queue = &host.shared.queue;
        let ticket = match queue.timeout {
            _ if starts_now => Ok(None),
            Some(timeout) if self.expired => Err(CallError::over(Limit::QueueTime, timeout)),
            _ => queue.enter(party),
        };
        match ticket {
            Ok(ticket) => waiting.arrival.ticket = ticket,
            Err(error) => return Err(Box::new(RefusedCall { waiting, error })),
        }
        if is_behind {
            self.held += 1;
            return Ok(Some(waiting));
        }
        self.add(number, waiting);
        Ok(None)
    }

    /// Counts a call that waits and runs outside the queues.
    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    /// Queues a call whose place in order was granted, unless the queue timeout has passed.
    pub(super) fn release(
        &mut self,
        host: &ToolHost,
        waiting: QueuedCall,
    ) -> Result<(), Box<RefusedCall>> {
        self.held -= 1;
        if let Some(timeout) = host.shared.queue.timeout.filter(|_| self.expired) {
            let error = CallError::over(Limit::QueueTime, timeout);
            return Err(Box::new(RefusedCall { waiting, error }));
        }
        self.add(self.number(host, &waiting.call), waiting);
        Ok(())
    }

    /// Stops counting a call that waited outside the queues.
    pub(super) fn unhold(&mut self) {
        self.held -= 1;
    }

    fn number(&self, host: &ToolHost, call: &ToolCall) -> usize {
        let found = host.registry.find(&call.name);
        found.map_or(self.all.len() - 1, |(provider, ..)| provider)
    }

    fn add(&mut self, number: usize, waiting: QueuedCall) {
        self.all[number].waiting.push_back(waiting);
        self.waiting += 1;
    }

    /// Empties the queues and lets no call wait from now on.
    pub(super) fn expire(&mut self) -> Vec<QueuedCall> {
        self.expired = true;
        self.waiting = 0;
        let lanes = self.all.iter_mut();
        lanes.flat_map(|lane| lane.waiting.drain(..)).collect()
    }

    /// How many more calls to take from the iterator. As many should be ready as may run, so that
    /// no worker idles before the stream is polled again; more are taken only while they wait for a
    /// plugin at its cap. Nothing is taken while half of the cap is ready, so that the iterator is
    /// asked for several calls at a time.
    pub(super) fn wanted(&self) -> usize {
        let lanes = self.all.iter();
        let ready: usize = lanes.map(|lane| lane.waiting.len().min(lane.most)).sum();
        if ready > self.most_workers / 2 {
            return 0;
        }
        let most_waiting = LOOKAHEAD.max(self.most_workers);
        (self.most_workers - ready).min(most_waiting.saturating_sub(self.waiting + self.held))
    }

    /// A call for a new worker, if one is ready and the cap allows another worker.
    pub(super) fn start(&mut self) -> Option<NextCall> {
        if self.workers == self.most_workers {
            return None;
        }
        let turn = self.take()?;
        self.workers += 1;
        Some(turn)
    }

    /// The earliest call whose provider has room.
    fn take(&mut self) -> Option<NextCall> {
        if self.waiting == 0 {
            return None;
        }
        let lanes = self.all.iter().enumerate();
        let (_, lane) = lanes
            .filter(|(_, lane)| lane.running < lane.most)
            .filter_map(|(number, lane)| Some((lane.waiting.front()?.index, number)))
            .min()?;
        let taken = self.all[lane].waiting.pop_front()?;
        self.waiting -= 1;
        self.all[lane].running += 1;
        Some(NextCall { lane, taken })
    }

    /// Called by a worker that has finished a call of that queue: its next call, or `None` if it
    /// should end.
    pub(super) fn next(&mut self, lane: usize) -> Option<NextCall> {
        self.all[lane].running -= 1;
        let next = self.take();
        if next.is_none() {
            self.workers -= 1;
        }
        next
    }
}
