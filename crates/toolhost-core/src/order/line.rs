//! The line of a domain: which calls run, and which wait. First come, first served within a client; in
//! turn between parties, and between the clients of each.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use futures_util::task::AtomicWaker;

use super::{Access, Ahead, Client, Party};

/// Where a request waits for its grant.
#[derive(Default)]
pub(super) struct Waiter {
    granted: AtomicBool,
    waker: AtomicWaker,
}

impl Waiter {
    pub(super) fn is_granted(&self) -> bool {
        self.granted.load(Ordering::Acquire)
    }

    pub(super) async fn granted(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            match self.is_granted() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    pub(super) fn grant(&self) {
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
    /// The clients of `waiting`, by their parties; the next to be served first. A queue may be empty: its calls were
    /// cancelled.
    clients: HashMap<Party, VecDeque<Client>>,
    /// The parties of `clients`, the next to be served first.
    turns: VecDeque<Party>,
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
    /// Whether it may not run yet, whoever is before it. Calls of its client wait for it, others pass it by.
    is_held: bool,
}

impl Line {
    /// Adds a call; it has no waiter where it may run at once. One that is held does not run before it is
    /// [released](Line::release).
    pub(super) fn enter(
        &mut self,
        client: Client,
        access: Access,
        is_held: bool,
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
        if !is_held && self.turns.is_empty() && self.admits(access) {
            self.hold(entry);
            return (ticket, None);
        }
        let waiter = Arc::new(Waiter::default());
        self.queue(client).push_back(Waiting {
            entry,
            waiter: waiter.clone(),
            is_held,
        });
        // Those before it may all be held.
        self.advance();
        (ticket, Some(waiter))
    }

    /// A call that was held may run in its turn.
    pub(super) fn release(&mut self, client: Client, ticket: u64) {
        if let Some((queue, at)) = self.find(client, ticket) {
            queue[at].is_held = false;
            self.advance();
        }
    }

    fn queue(&mut self, client: Client) -> &mut VecDeque<Waiting> {
        self.waiting.entry(client).or_insert_with(|| {
            let of_party = self.clients.entry(client.party()).or_insert_with(|| {
                self.turns.push_back(client.party());
                VecDeque::new()
            });
            of_party.push_back(client);
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

    /// Grants what may run now: a call of each party in turn. The next in turn is never passed by, unless it is held.
    fn advance(&mut self) {
        // Parties whose next calls are held keep their turns.
        let mut passed = 0;
        while let Some(party) = self.turns.get(passed).copied() {
            let found = self.next_of(party);
            let Some(clients) = self.clients.get(&party).filter(|it| !it.is_empty()) else {
                self.turns.remove(passed);
                self.clients.remove(&party);
                continue;
            };
            let Some((turn, next)) = found else {
                passed += 1;
                continue;
            };
            let client = clients[turn];
            let access = self.waiting.get(&client).map(|it| it[next].entry.access);
            if !access.is_some_and(|access| self.admits(access)) {
                return;
            }
            let granted = self.remove(client, next);
            self.turns.remove(passed);
            if self.clients.contains_key(&party) {
                self.turns.push_back(party);
            }
            if let Some(Waiting { entry, waiter, .. }) = granted {
                waiter.grant();
                self.hold(entry);
            }
        }
    }

    /// The next call of a party, unless all are held: which of its clients' it is, and which of that client's. Clients
    /// without calls are dropped.
    fn next_of(&mut self, party: Party) -> Option<(usize, usize)> {
        let clients = self.clients.get_mut(&party)?;
        let mut turn = 0;
        while let Some(client) = clients.get(turn).copied() {
            let Some(queue) = self.waiting.get(&client).filter(|it| !it.is_empty()) else {
                self.waiting.remove(&client);
                clients.remove(turn);
                continue;
            };
            if let Some(next) = next(queue) {
                return Some((turn, next));
            }
            turn += 1;
        }
        None
    }

    /// Takes out a call that waits, after which it is another client's turn in its party.
    fn remove(&mut self, client: Client, at: usize) -> Option<Waiting> {
        let queue = self.waiting.get_mut(&client)?;
        let removed = queue.remove(at);
        let is_empty = queue.is_empty();
        if is_empty {
            self.waiting.remove(&client);
        }
        let party = client.party();
        let clients = self.clients.get_mut(&party)?;
        clients.retain(|it| *it != client);
        if !is_empty {
            clients.push_back(client);
        }
        if clients.is_empty() {
            self.clients.remove(&party);
        }
        removed
    }

    /// Takes all of another line, whose places keep their tickets.
    pub(super) fn append(&mut self, mut other: Line) {
        self.changing += other.changing;
        self.holders.append(&mut other.holders);
        let parties = other.turns.into_iter();
        let clients = parties.flat_map(|party| other.clients.remove(&party).unwrap_or_default());
        for client in clients {
            let waiting = other.waiting.remove(&client).unwrap_or_default();
            let own = self.queue(client);
            own.extend(waiting);
            own.make_contiguous()
                .sort_by_key(|waiting| waiting.entry.ticket);
        }
        self.advance();
    }
}

/// The call of a client that is next to run: calls that read pass by held ones that read as well.
fn next(queue: &VecDeque<Waiting>) -> Option<usize> {
    let is_passed = |it: &&Waiting| it.is_held && it.entry.access == Access::Read;
    let at = queue.iter().take_while(is_passed).count();
    let next = queue.get(at)?;
    let passes = at == 0 || next.entry.access == Access::Read;
    (passes && !next.is_held).then_some(at)
}
