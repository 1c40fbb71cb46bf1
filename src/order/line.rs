//! Who runs in a domain, and who waits: first come first served within a client, in turn between
//! clients.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use super::{Access, Client};

/// Where a call waits for its grant.
#[derive(Default)]
pub(super) struct Waiter {
    granted: AtomicBool,
    waker: AtomicWaker,
}

impl Waiter {
    pub(super) fn is_granted(&self) -> bool {
        self.granted.load(Ordering::Acquire)
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    fn grant(&self) {
        self.granted.store(true, Ordering::Release);
        self.waker.wake();
    }
}

#[derive(Default)]
pub(super) struct Line {
    /// Those that may run: any number that read, or one that changes. After two lines became one there
    /// may be others beside it, until they have left.
    holders: Vec<Entry>,
    /// Clients with calls that wait; the first is served next.
    queues: VecDeque<Queue>,
}

struct Queue {
    client: Client,
    waiting: VecDeque<Waiting>,
}

struct Entry {
    ticket: u64,
    access: Access,
    label: String,
}

struct Waiting {
    entry: Entry,
    waiter: Arc<Waiter>,
}

impl Line {
    /// Adds a call; it has no waiter where it may run at once.
    pub(super) fn enter(
        &mut self,
        client: Client,
        access: Access,
        label: impl FnOnce() -> String,
    ) -> (u64, Option<Arc<Waiter>>) {
        // One counter for all lines, so that tickets stay in order when lines become one.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ticket = NEXT.fetch_add(1, Ordering::Relaxed);
        let entry = Entry {
            ticket,
            access,
            label: label(),
        };
        if self.queues.is_empty() && self.admits(access) {
            self.holders.push(entry);
            return (ticket, None);
        }
        let waiter = Arc::new(Waiter::default());
        self.queue(client).push_back(Waiting {
            entry,
            waiter: waiter.clone(),
        });
        (ticket, Some(waiter))
    }

    fn queue(&mut self, client: Client) -> &mut VecDeque<Waiting> {
        let known = self.queues.iter().position(|queue| queue.client == client);
        let at = known.unwrap_or_else(|| {
            self.queues.push_back(Queue {
                client,
                waiting: VecDeque::new(),
            });
            self.queues.len() - 1
        });
        &mut self.queues[at].waiting
    }

    fn admits(&self, access: Access) -> bool {
        match access {
            Access::Change => self.holders.is_empty(),
            Access::Read => {
                let mut holders = self.holders.iter();
                holders.all(|holder| holder.access == Access::Read)
            }
        }
    }

    /// Where a call waits: its client's queue, and its place in that.
    fn find(&self, client: Client, ticket: u64) -> Option<(usize, usize)> {
        let queue = self
            .queues
            .iter()
            .position(|queue| queue.client == client)?;
        let waiting = &self.queues[queue].waiting;
        let at = waiting.binary_search_by_key(&ticket, |waiting| waiting.entry.ticket);
        Some((queue, at.ok()?))
    }

    pub(super) fn leave(&mut self, client: Client, ticket: u64) {
        if let Some((queue, at)) = self.find(client, ticket) {
            self.queues[queue].waiting.remove(at);
            if self.queues[queue].waiting.is_empty() {
                self.queues.remove(queue);
            }
        } else {
            let mut holders = self.holders.iter();
            if let Some(at) = holders.position(|holder| holder.ticket == ticket) {
                self.holders.swap_remove(at);
            }
        }
        self.advance();
    }

    /// What a call that waits is waiting for.
    pub(super) fn ahead(&self, client: Client, ticket: u64) -> Option<String> {
        let (queue, at) = self.find(client, ticket)?;
        if let Some(holder) = self.holders.first() {
            return Some(holder.label.clone());
        }
        let before = self.queues[queue].waiting.get(at.checked_sub(1)?)?;
        Some(before.entry.label.clone())
    }

    /// Grants what may run now: a call of each client in turn. The next in turn is never passed by.
    fn advance(&mut self) {
        while let Some(next) = self.queues.front().and_then(|queue| queue.waiting.front())
            && self.admits(next.entry.access)
            && let Some(mut queue) = self.queues.pop_front()
        {
            if let Some(granted) = queue.waiting.pop_front() {
                granted.waiter.grant();
                self.holders.push(granted.entry);
            }
            if !queue.waiting.is_empty() {
                self.queues.push_back(queue);
            }
        }
    }

    /// Takes all of another line, whose places keep their tickets.
    pub(super) fn append(&mut self, other: Line) {
        self.holders.extend(other.holders);
        for queue in other.queues {
            let own = self.queue(queue.client);
            own.extend(queue.waiting);
            own.make_contiguous()
                .sort_by_key(|waiting| waiting.entry.ticket);
        }
        self.advance();
    }
}
