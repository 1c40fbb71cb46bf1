//! The calls of a batch that wait for their turn: a lane for each plugin.

use std::collections::VecDeque;

use super::ToolHost;
use super::queue::Ticket;
use crate::error::CallError;
use crate::limits::Limit;
use crate::tool::ToolCall;

/// Calls taken from the iterator ahead of their turn, while others of their plugin fill its cap:
/// what comes after them may be for a plugin that is free. A larger cap looks as far as it reaches.
const LOOKAHEAD: usize = 1024;

/// The calls that wait, and how many run.
pub(super) struct Lanes {
    /// One for each plugin, and one for calls of unknown tools.
    all: Vec<Lane>,
    /// Calls waiting in all of them.
    waiting: usize,
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

/// A call that waits, with its place in the queue if it has needed one.
pub(super) struct Waiting {
    pub(super) index: usize,
    pub(super) call: ToolCall,
    pub(super) ticket: Option<Ticket>,
}

/// A call whose turn it is.
pub(super) struct Turn {
    pub(super) lane: usize,
    pub(super) taken: Waiting,
}

/// A call that may not wait.
pub(super) struct Refused {
    pub(super) index: usize,
    pub(super) call: ToolCall,
    pub(super) error: CallError,
}

impl Lanes {
    pub(super) fn new(host: &ToolHost) -> Self {
        let cap = host.shared.max_concurrency;
        let plugins = host.shared.registry.plugins.iter();
        let most = plugins.map(|plugin| plugin.config.max_concurrency.unwrap_or(cap).min(cap));
        let lane = |most| Lane {
            most,
            ..Lane::default()
        };
        Lanes {
            all: most.chain([cap]).map(lane).collect(),
            waiting: 0,
            workers: 0,
            most_workers: cap,
            expired: false,
        }
    }

    /// Has a call wait, unless it would have to and may not.
    pub(super) fn push(
        &mut self,
        host: &ToolHost,
        index: usize,
        call: ToolCall,
    ) -> Result<(), Box<Refused>> {
        let found = host.shared.registry.find(&call.name);
        let number = found.map_or(self.all.len() - 1, |(plugin, ..)| plugin);
        let lane = &self.all[number];
        let starts_now =
            self.workers < self.most_workers && lane.waiting.is_empty() && lane.running < lane.most;
        let queue = &host.shared.queue;
        let ticket = match queue.timeout {
            _ if starts_now => Ok(None),
            Some(timeout) if self.expired => Err(CallError::over(Limit::QueueTime, timeout)),
            _ => queue.enter(),
        };
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(error) => return Err(Box::new(Refused { index, call, error })),
        };
        self.all[number].waiting.push_back(Waiting {
            index,
            call,
            ticket,
        });
        self.waiting += 1;
        Ok(())
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
        (self.most_workers - ready).min(most_waiting.saturating_sub(self.waiting))
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
