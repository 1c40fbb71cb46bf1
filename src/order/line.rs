//! The line of a domain: which calls run, and which wait. First come, first served within a client; in
//! turn between clients.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

use futures_util::task::AtomicWaker;

use super::{Access, Ahead, Client};

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
    /// Calls that may run: any number that read, or one that changes. After two lines were merged there
    /// may be others beside it, until they have left.
    holders: Vec<Holder>,
    /// Holders that change.
    changing: usize,
    waiting: HashMap<Client, VecDeque<Waiting>>,
    /// The clients of `waiting`, the next to be served first. A queue may be empty: its calls were
    /// cancelled.
    turns: VecDeque<Client>,
}

struct Entry {
    ticket: u64,
    client: Client,
    access: Access,
    label: String,
}

struct Holder {
    entry: Entry,
    /// Since when it runs; `None` while it waits for its permits.
    running: Option<Instant>,
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
        // One counter for all lines, so that tickets stay in order when lines are merged.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ticket = NEXT.fetch_add(1, Ordering::Relaxed);
        let entry = Entry {
            ticket,
            client,
            access,
            label: label(),
        };
        self.advance();
        if self.turns.is_empty() && self.admits(access) {
            self.hold(entry);
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
        self.waiting.entry(client).or_insert_with(|| {
            self.turns.push_back(client);
            VecDeque::new()
        })
    }

    fn admits(&self, access: Access) -> bool {
        match access {
            Access::Change => self.holders.is_empty(),
            Access::Read => self.changing == 0,
        }
    }

    fn hold(&mut self, entry: Entry) {
        self.changing += usize::from(entry.access == Access::Change);
        self.holders.push(Holder {
            entry,
            running: None,
        });
    }

    /// A call that may run has its permits.
    pub(super) fn begin(&mut self, ticket: u64) {
        let mut holders = self.holders.iter_mut().rev();
        if let Some(holder) = holders.find(|holder| holder.entry.ticket == ticket) {
            holder.running = Some(Instant::now());
        }
    }

    pub(super) fn leave(&mut self, client: Client, ticket: u64) {
        if let Some((queue, at)) = self.find(client, ticket) {
            queue.remove(at);
        } else if let Some(at) = self
            .holders
            .iter()
            .position(|holder| holder.entry.ticket == ticket)
        {
            let left = self.holders.swap_remove(at).entry;
            self.changing -= usize::from(left.access == Access::Change);
        }
        self.advance();
    }

    /// Where a call waits.
    fn find(&mut self, client: Client, ticket: u64) -> Option<(&mut VecDeque<Waiting>, usize)> {
        let queue = self.waiting.get_mut(&client)?;
        let at = queue.binary_search_by_key(&ticket, |waiting| waiting.entry.ticket);
        Some((queue, at.ok()?))
    }

    /// The call that one of `client` waits for.
    pub(super) fn ahead(&self, client: Client) -> Option<Ahead> {
        // The one that has run for the longest; one that waits for permits holds up nobody by itself.
        let running = self
            .holders
            .iter()
            .min_by_key(|holder| (holder.running.is_none(), holder.running));
        let Holder { entry, running } = running?;
        // What another client calls is none of this one's business.
        let is_own = entry.client == client;
        Some(Ahead {
            label: is_own.then(|| entry.label.clone()),
            running: *running,
        })
    }

    /// Grants what may run now: a call of each client in turn. The next in turn is never passed by.
    fn advance(&mut self) {
        while let Some(client) = self.turns.front().copied() {
            let queue = self.waiting.get(&client);
            let next = queue.and_then(|queue| queue.front());
            match next.map(|next| next.entry.access) {
                Some(access) if !self.admits(access) => return,
                _ => {}
            }
            self.turns.pop_front();
            let Some(queue) = self.waiting.get_mut(&client) else {
                continue;
            };
            let granted = queue.pop_front();
            match queue.is_empty() {
                true => drop(self.waiting.remove(&client)),
                false => self.turns.push_back(client),
            }
            if let Some(Waiting { entry, waiter }) = granted {
                waiter.grant();
                self.hold(entry);
            }
        }
    }

    /// Takes all of another line, whose places keep their tickets.
    pub(super) fn append(&mut self, mut other: Line) {
        self.changing += other.changing;
        self.holders.append(&mut other.holders);
        for client in other.turns {
            let waiting = other.waiting.remove(&client).unwrap_or_default();
            let own = self.queue(client);
            own.extend(waiting);
            own.make_contiguous()
                .sort_by_key(|waiting| waiting.entry.ticket);
        }
        self.advance();
    }
}
