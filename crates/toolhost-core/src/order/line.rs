//! The line of a domain: which calls run and which wait, first come first served within a client,
//! in turn between parties, and between the clients of a party.
//!
//! | state of a place | next |
//! | --- | --- |
//! | held (`is_held`): a hook has not decided yet | waiting, by [`DomainLine::release`] |
//! | waiting | holder, by [`DomainLine::advance`], which grants whatever may run |
//! | holder without permits (`running` is `None`) | running, by [`DomainLine::begin`] |
//! | running | (gone) |
//!
//! [`DomainLine::leave`] takes a place out in any state. A held call blocks the later calls of its client
//! (readers pass a held reader) and of no other client. `advance` never passes by a waiting party
//! whose turn it is, so that readers cannot starve a writer; a party whose next calls are all held
//! keeps its turn. A holder without permits already excludes others, since its permits may come at
//! any time, but calls behind it do not count that time against it.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use futures_util::task::AtomicWaker;

use super::{Ahead, DomainAccess, OrderClient, Party};

/// Where a place waits for its grant.
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
pub(super) struct DomainLine {
    /// Calls that may run: any number of readers, or one writer. After two lines were merged there
    /// may be more, until they have left.
    holders: Vec<LineHolder>,
    /// The number of holders that change something.
    changing: usize,
    waiting: HashMap<OrderClient, VecDeque<LineWaiter>>,
    /// The clients of `waiting` by party, the next in turn first. The queue of a client may be
    /// empty, if its calls were cancelled.
    clients: HashMap<Party, VecDeque<OrderClient>>,
    /// The parties of `clients`, the next in turn first.
    turns: VecDeque<Party>,
}

struct LineEntry {
    ticket: u64,
    client: OrderClient,
    access: DomainAccess,
    label: String,
}

struct LineHolder {
    entry: LineEntry,
    /// When it began to run; `None` while it waits for its permits.
    running: Option<Instant>,
}

struct LineWaiter {
    entry: LineEntry,
    waiter: Arc<Waiter>,
    /// Whether it may not run yet, whatever is ahead. Calls of its client wait for it, others pass
    /// it by.
    is_held: bool,
}

impl DomainLine {
    /// Adds a call; returns no waiter if it may run at once. A held call does not run before it is
    /// [released](DomainLine::release).
    pub(super) fn enter(
        &mut self,
        client: OrderClient,
        access: DomainAccess,
        is_held: bool,
        label: impl FnOnce() -> String,
    ) -> (u64, Option<Arc<Waiter>>) {
        // One counter for all lines, so that tickets stay in order when lines are merged.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ticket = NEXT.fetch_add(1, Ordering::Relaxed);
        let entry = LineEntry {
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
        self.queue(client).push_back(LineWaiter {
            entry,
            waiter: waiter.clone(),
            is_held,
        });
        // Those ahead of it may all be held.
        self.advance();
        (ticket, Some(waiter))
    }

    /// Releases a held call.
    pub(super) fn release(&mut self, client: OrderClient, ticket: u64) {
        if let Some((queue, at)) = self.find(client, ticket) {
            queue[at].is_held = false;
            self.advance();
        }
    }

    fn queue(&mut self, client: OrderClient) -> &mut VecDeque<LineWaiter> {
        self.waiting.entry(client).or_insert_with(|| {
            let of_party = self.clients.entry(client.party()).or_insert_with(|| {
                self.turns.push_back(client.party());
                VecDeque::new()
            });
            of_party.push_back(client);
            VecDeque::new()
        })
    }

    fn admits(&self, access: DomainAccess) -> bool {
        match access {
            DomainAccess::Change => self.holders.is_empty(),
            DomainAccess::Read => self.changing == 0,
        }
    }

    fn hold(&mut self, entry: LineEntry) {
        self.changing += usize::from(entry.access == DomainAccess::Change);
        self.holders.push(LineHolder {
            entry,
            running: None,
        });
    }

    /// Notes that a holder has its permits.
    pub(super) fn begin(&mut self, ticket: u64) {
        let mut holders = self.holders.iter_mut().rev();
        if let Some(holder) = holders.find(|holder| holder.entry.ticket == ticket) {
            holder.running = Some(Instant::now());
        }
    }

    pub(super) fn leave(&mut self, client: OrderClient, ticket: u64) {
        if let Some((queue, at)) = self.find(client, ticket) {
            queue.remove(at);
        } else if let Some(at) = self
            .holders
            .iter()
            .position(|holder| holder.entry.ticket == ticket)
        {
            let left = self.holders.swap_remove(at).entry;
            self.changing -= usize::from(left.access == DomainAccess::Change);
        }
        self.advance();
    }

    /// Finds a waiting call.
    fn find(
        &mut self,
        client: OrderClient,
        ticket: u64,
    ) -> Option<(&mut VecDeque<LineWaiter>, usize)> {
        let queue = self.waiting.get_mut(&client)?;
        let at = queue.binary_search_by_key(&ticket, |waiting| waiting.entry.ticket);
        Some((queue, at.ok()?))
    }

    /// The call that the next one of `client` waits for.
    pub(super) fn ahead(&self, client: OrderClient) -> Option<Ahead> {
        // The one that has run longest; one that waits for permits is not itself the cause.
        let running = self
            .holders
            .iter()
            .min_by_key(|holder| (holder.running.is_none(), holder.running));
        let LineHolder { entry, running } = running?;
        // What other clients call must not show.
        let is_own = entry.client == client;
        Some(Ahead {
            label: is_own.then(|| entry.label.clone()),
            running: *running,
        })
    }

    /// Grants what may run now, one call of each party in turn. The party whose turn it is is never
    /// passed by, unless its calls are held.
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
            if let Some(LineWaiter { entry, waiter, .. }) = granted {
                waiter.grant();
                self.hold(entry);
            }
        }
    }

    /// The next call of a party that is not held: the position of its client, and its position in the
    /// client's queue. Drops clients without calls.
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

    /// Takes out a waiting call; then it is another client's turn in its party.
    fn remove(&mut self, client: OrderClient, at: usize) -> Option<LineWaiter> {
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

    /// Takes over another line, whose places keep their tickets.
    pub(super) fn append(&mut self, mut other: DomainLine) {
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

/// The next call of a client that may run: readers pass held readers.
fn next(queue: &VecDeque<LineWaiter>) -> Option<usize> {
    let is_passed = |it: &&LineWaiter| it.is_held && it.entry.access == DomainAccess::Read;
    let at = queue.iter().take_while(is_passed).count();
    let next = queue.get(at)?;
    let passes = at == 0 || next.entry.access == DomainAccess::Read;
    (passes && !next.is_held).then_some(at)
}
