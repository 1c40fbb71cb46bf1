//! The calls of a batch that wait for their turn: a lane for each provider.

use std::collections::VecDeque;

use super::{Arrival, ToolHost};
use crate::error::CallError;
use crate::limits::Limit;
use crate::order::Party;
use crate::tool::ToolCall;

/// Calls taken from the iterator ahead of their turn, while others of their plugin fill its cap:
/// what comes after them may be for a plugin that is free. A larger cap looks as far as it reaches.
const LOOKAHEAD: usize = 1024;

/// The calls that wait, and how many run.
pub(super) struct Lanes {
    /// One for each provider, and one for calls of unknown tools.
    all: Vec<Lane>,
    /// Calls waiting in all of them.
    waiting: usize,
    /// Calls that wait for their place in order, outside of all lanes.
    held: usize,
    workers: usize,
    most_workers: usize,
    /// Whether nothing may wait any more.
    expired: bool,
}

#[derive(Default)]
struct Lane {
    running: usize,
    most: usize,
    waiting: VecDeque<Waiting>,
}

/// A call that waits.
pub(super) struct Waiting {
    pub(super) index: usize,
    pub(super) call: ToolCall,
    pub(super) arrival: Arrival,
}

/// A call whose turn it is.
pub(super) struct Turn {
    pub(super) lane: usize,
    pub(super) taken: Waiting,
}

/// A call that may not wait.
pub(super) struct Refused {
    pub(super) waiting: Waiting,
    pub(super) error: CallError,
}

impl Lanes {
    pub(super) fn new(host: &ToolHost) -> Self {
        let cap = host.shared.max_concurrency;
        let providers = host.registry.providers.iter();
        let own = providers.map(|registered| registered.provider.max_concurrency());
        let most = own.map(|own| own.unwrap_or(cap).min(cap));
        let lane = |most| Lane {
            most,
            ..Lane::default()
        };
        Lanes {
            all: most.chain([cap]).map(lane).collect(),
            waiting: 0,
            held: 0,
            workers: 0,
            most_workers: cap,
            expired: false,
        }
    }

    /// Has a call wait, unless it would have to and may not. Gives it back where others are before it in
    /// order: it comes into its lane when it is its turn there, so that it takes up no worker.
    pub(super) fn push(
        &mut self,
        host: &ToolHost,
        party: Party,
        mut waiting: Waiting,
    ) -> Result<Option<Waiting>, Box<Refused>> {
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
            Err(error) => return Err(Box::new(Refused { waiting, error })),
        }
        if is_behind {
            self.held += 1;
            return Ok(Some(waiting));
        }
        self.add(number, waiting);
        Ok(None)
    }

    /// Counts a call that waits and runs outside of all lanes.
    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    /// A call that was given back has come to its turn in order. It is refused where nothing may wait
    /// any more.
    pub(super) fn release(
        &mut self,
        host: &ToolHost,
        waiting: Waiting,
    ) -> Result<(), Box<Refused>> {
        self.held -= 1;
        if let Some(timeout) = host.shared.queue.timeout.filter(|_| self.expired) {
            let error = CallError::over(Limit::QueueTime, timeout);
            return Err(Box::new(Refused { waiting, error }));
        }
        self.add(self.number(host, &waiting.call), waiting);
        Ok(())
    }

    /// A call that waited outside of all lanes waits no more.
    pub(super) fn unhold(&mut self) {
        self.held -= 1;
    }

    fn number(&self, host: &ToolHost, call: &ToolCall) -> usize {
        let found = host.registry.find(&call.name);
        found.map_or(self.all.len() - 1, |(provider, ..)| provider)
    }

    fn add(&mut self, number: usize, waiting: Waiting) {
        self.all[number].waiting.push_back(waiting);
        self.waiting += 1;
    }

    /// Takes out everything that waits, and lets nothing wait any more.
    pub(super) fn expire(&mut self) -> Vec<Waiting> {
        self.expired = true;
        self.waiting = 0;
        let lanes = self.all.iter_mut();
        lanes.flat_map(|lane| lane.waiting.drain(..)).collect()
    }

    /// How many more calls to take: as many are to wait as run at most, so that no worker runs dry
    /// before the stream is polled again; more only where they wait for a plugin at its cap.
    pub(super) fn wanted(&self) -> usize {
        let lanes = self.all.iter();
        let ready: usize = lanes.map(|lane| lane.waiting.len().min(lane.most)).sum();
        if ready > self.most_workers / 2 {
            return 0;
        }
        let most_waiting = LOOKAHEAD.max(self.most_workers);
        (self.most_workers - ready).min(most_waiting.saturating_sub(self.waiting + self.held))
    }

    /// A call for a new worker, if there is one and there may be another.
    pub(super) fn start(&mut self) -> Option<Turn> {
        if self.workers == self.most_workers {
            return None;
        }
        let turn = self.take()?;
        self.workers += 1;
        Some(turn)
    }

    /// The call that came first among those whose lane has room.
    fn take(&mut self) -> Option<Turn> {
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
        Some(Turn { lane, taken })
    }

    /// A worker is done with a call of that lane, and takes the next if there is one.
    pub(super) fn next(&mut self, lane: usize) -> Option<Turn> {
        self.all[lane].running -= 1;
        let next = self.take();
        if next.is_none() {
            self.workers -= 1;
        }
        next
    }
}
