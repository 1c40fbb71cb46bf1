//! The queue: permits of a plugin, of the host's memory and of the host, shared fairly between
//! clients; how many calls may wait for them, of all clients and of one, and for how long.
//!
//! A call waits in three steps: for its place in order, holding nothing ([`CallQueue::in_order`]); for
//! its provider's permit; then for memory and for the host's permit, in that order, so that a call
//! that waits for one of them holds only what others do not need. A call that finds all three free
//! takes them at once and is never counted as waiting. A paused client's calls
//! wait before they take any ([`CallQueue::permits`]). `max-queue` bounds the waiting calls,
//! `queue-timeout` all of their waiting, `order-timeout` how long a call ahead may run.
//!
//! A call that may call tools keeps its memory and its instance while it waits for them, and lends
//! its other permits. It needs one more permit, which it takes first, before its place in order: that
//! of a suspended call at its depth. Their number always leaves the memory for one more call of any
//! plugin, and each depth has its own, so that calls at one depth never wait for those at another.
//! Such a call then takes its memory before its provider's permit, the reverse of the others: when
//! it takes back what it lent, it has its memory already. See docs/adr/0025.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::limits::{Bound, Limit};
use crate::locks;
use crate::manifest::HostConfig;
use crate::order::{FairSemaphore, Party, Permit, PlaceInOrder};
use crate::registry::Registered;
use crate::watch::RunContext;

/// Memory is counted in WebAssembly pages.
const PAGE: u64 = 64 << 10;

pub(super) struct CallQueue {
    max_concurrency: usize,
    calls: FairSemaphore<Party>,
    /// Permits for memory, if `total-memory` can be exceeded.
    memory: Option<FairSemaphore<Party>>,
    /// Permits for calls that may call tools, by their depth.
    suspended: Vec<FairSemaphore<Party>>,
    /// `None` if the number of waiting calls has no bound.
    places: Option<Arc<QueuePlaces>>,
    pub(super) timeout: Option<Duration>,
    /// How long a call may wait for a running one that may change the same data.
    order_timeout: Duration,
}

/// The waiting calls, and how many there may be.
struct QueuePlaces {
    most: usize,
    /// The maximum of one named client.
    most_of_one: usize,
    taken: Mutex<WaitingCounts>,
}

#[derive(Default)]
struct WaitingCounts {
    all: usize,
    by: HashMap<Party, usize>,
}

impl QueuePlaces {
    /// Takes a place for a party; `more` places exist in addition to the configured ones.
    fn take(self: &Arc<Self>, party: Party, more: usize) -> Option<QueueTicket> {
        let most_of_one = match party {
            Party::Named(_) => self.most_of_one,
            _ => self.most,
        };
        let mut taken = self.taken();
        let own = taken.by.get(&party).copied().unwrap_or(0);
        let is_full = taken.all >= self.most.saturating_add(more);
        if is_full || own >= most_of_one.saturating_add(more) {
            return None;
        }
        taken.all += 1;
        taken.by.insert(party, own + 1);
        Some(QueueTicket {
            places: self.clone(),
            party,
        })
    }

    fn taken(&self) -> MutexGuard<'_, WaitingCounts> {
        locks::lock(&self.taken)
    }
}

/// A counted place in the bounded queue, freed on drop.
pub(super) struct QueueTicket {
    places: Arc<QueuePlaces>,
    party: Party,
}

impl Drop for QueueTicket {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(own) = taken.by.get_mut(&self.party) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.party);
            }
        }
    }
}

/// The permits that a call holds while it runs.
pub(super) struct Permits<'a> {
    suspended: Option<Permit<'a, Party>>,
    _memory: Option<Permit<'a, Party>>,
    turn: Option<Turn<'a>>,
}

/// The permits that a call lends while it waits for others.
struct Turn<'a> {
    own: Option<Permit<'a, Party>>,
    host: Permit<'a, Party>,
}

impl Turn<'_> {
    fn keep(self) {
        self.own.map(Permit::keep);
        self.host.keep();
    }
}

impl Permits<'_> {
    /// Keeps what the call lends while it waits, until it is [lent](CallQueue::lend).
    pub(super) fn keep_turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            turn.keep();
        }
    }
}

/// Which calls may be suspended, while they wait for calls that they made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Suspension {
    /// How many at each depth.
    pub(super) calls: usize,
    pub(super) depths: usize,
    /// The memory of one, in pages.
    pages: u64,
}

impl Suspension {
    /// The suspension of a host with plugins of these memories, in pages, and their `max-depth` if
    /// they may call tools. `None` if it has not the memory for one call at each depth and one that
    /// is called by the last.
    pub(super) fn new(host: &HostConfig, plugins: &[(u64, Option<u32>)]) -> Option<Suspension> {
        let callers = plugins.iter().filter(|(_, depth)| depth.is_some());
        let Some(pages) = callers.clone().map(|(pages, _)| *pages).max() else {
            return Some(Suspension::default());
        };
        let depths = callers.filter_map(|(_, depth)| *depth).max().unwrap_or(0) as usize;
        let largest = plugins.iter().map(|(pages, _)| *pages).max().unwrap_or(0);
        let mut calls = host.suspended();
        if let Some(total) = host.total_memory {
            let of_callers = pages_in(total).saturating_sub(largest);
            let at_each_depth = of_callers / (pages.max(1) * depths as u64);
            calls = calls.min(usize::try_from(at_each_depth).unwrap_or(usize::MAX));
        }
        (calls > 0).then_some(Suspension {
            calls,
            depths,
            pages,
        })
    }

    /// The most calls that are suspended at once.
    pub(super) fn most(&self) -> usize {
        self.calls * self.depths
    }
}

impl CallQueue {
    /// `most_of_one` is the maximum number of waiting calls of one client.
    pub(super) fn new(
        host: &HostConfig,
        most_of_one: Option<usize>,
        suspension: Suspension,
        providers: &[Arc<Registered>],
    ) -> CallQueue {
        let most = providers.iter().map(|it| pages(it)).max();
        let most = most
            .unwrap_or(0)
            .saturating_mul(host.max_concurrency as u64);
        let most_suspended = suspension.pages.saturating_mul(suspension.most() as u64);
        let most = most.saturating_add(most_suspended);
        let of_depth = |_| FairSemaphore::new(suspension.calls as u64);
        // No permits are needed if all calls fit anyway.
        let total = host.total_memory.map(pages_in);
        let total = total.filter(|total| *total < most);
        CallQueue {
            max_concurrency: host.max_concurrency,
            calls: FairSemaphore::new(host.max_concurrency as u64),
            memory: total.map(FairSemaphore::new),
            suspended: (0..suspension.depths).map(of_depth).collect(),
            places: host.max_queue.map(|most| {
                Arc::new(QueuePlaces {
                    most,
                    most_of_one: most_of_one.unwrap_or(most),
                    taken: Mutex::default(),
                })
            }),
            timeout: host.queue_timeout,
            order_timeout: host.order_timeout,
        }
    }

    /// Whether the queue is bounded, so that calls can be refused.
    pub(super) fn is_bounded(&self) -> bool {
        self.places.is_some()
    }

    /// Takes a place. `None` if the queue has no bound.
    ///
    /// # Errors
    ///
    /// All places are taken, or all that one client may have.
    pub(super) fn enter(&self, party: Party) -> Result<Option<QueueTicket>, CallError> {
        self.enter_beside(party, 0)
    }

    /// The same for a call that a user is asked about first. It is not known yet whether it will
    /// wait for its turn, so as many additional places exist as calls may run.
    ///
    /// # Errors
    ///
    /// As for [`enter`](CallQueue::enter).
    pub(super) fn enter_before_others(
        &self,
        party: Party,
    ) -> Result<Option<QueueTicket>, CallError> {
        self.enter_beside(party, self.max_concurrency)
    }

    fn enter_beside(&self, party: Party, more: usize) -> Result<Option<QueueTicket>, CallError> {
        let Some(places) = &self.places else {
            return Ok(None);
        };
        match places.take(party, more) {
            Some(ticket) => Ok(Some(ticket)),
            None => {
                let most = Bound::Count(places.most as u64);
                Err(CallError::over(Limit::Queue, most))
            }
        }
    }

    /// Waits for a call's turn: first for its place in order, holding nothing, then for its
    /// permits. `ticket` is its entry in the queue if it has one already; `entering` is dropped
    /// once it is in the queue or needs no entry.
    ///
    /// # Errors
    ///
    /// The queue is full, or a timeout has passed.
    pub(super) async fn wait<'a>(
        &'a self,
        by: &'a Registered,
        queued: Instant,
        context: &RunContext,
        (ticket, entering): (Option<QueueTicket>, Option<oneshot::Sender<()>>),
        place: Option<&PlaceInOrder>,
    ) -> Result<Permits<'a>, CallError> {
        let (cancel, party) = (&context.cancel, context.client.party());
        if cancel.is_cancelled() {
            return Err(CallError::Cancelled);
        }
        let suspension = self.suspended(by, context.depth);
        let mut suspended = suspension.and_then(|permits| permits.try_acquire(1));
        let is_suspendable = suspension.is_none() || suspended.is_some();
        if is_suspendable && let Some(place) = place {
            place.release();
        }
        let is_behind = || place.is_some_and(|place| !place.is_granted());
        if is_suspendable
            && !is_behind()
            && !context.is_paused()
            && let Some(mut permits) = self.permits_now(by)
        {
            permits.suspended = suspended;
            return Ok(permits);
        }
        let _ticket = match ticket {
            Some(ticket) => Some(ticket),
            None => self.enter(party)?,
        };
        drop(entering);
        if let Some(permits) = suspension.filter(|_| !is_suspendable) {
            suspended = Some(
                self.in_time(queued, cancel, permits.acquire(party, 1))
                    .await?,
            );
            // Its place was held until now, so that no call waits for it which the suspended calls
            // wait for.
            if let Some(place) = place {
                place.release();
            }
        }
        if let Some(place) = place.filter(|_| is_behind()) {
            self.in_order(place, queued, cancel).await?;
        }
        let mut permits = self
            .in_time(queued, cancel, self.permits(by, context))
            .await?;
        permits.suspended = suspended;
        Ok(permits)
    }

    /// Waits until the queue timeout at most.
    ///
    /// # Errors
    ///
    /// It has passed, or the call is cancelled.
    async fn in_time<T>(
        &self,
        queued: Instant,
        cancel: &CancellationToken,
        wait: impl Future<Output = T>,
    ) -> Result<T, CallError> {
        let wait = cancel.run_until_cancelled(wait);
        let waited = match self.timeout {
            None => wait.await,
            Some(timeout) => {
                let until = queued.checked_add(timeout).unwrap_or_else(far_future);
                let waited = tokio::time::timeout_at(until.into(), wait).await;
                waited.map_err(|_| CallError::over(Limit::QueueTime, timeout))?
            }
        };
        waited.ok_or(CallError::Cancelled)
    }

    /// Waits until the calls ahead, which may change the same data, are over.
    ///
    /// # Errors
    ///
    /// A call ahead runs for too long, the queue timeout has passed, or the call is cancelled.
    pub(super) async fn in_order(
        &self,
        place: &PlaceInOrder,
        queued: Instant,
        cancel: &CancellationToken,
    ) -> Result<(), CallError> {
        let begun = Instant::now();
        let after = |since: Instant, timeout| since.checked_add(timeout).unwrap_or_else(far_future);
        let end = self
            .timeout
            .map(|timeout| (timeout, after(queued, timeout)));
        let mut granted = pin!(cancel.run_until_cancelled(place.granted()));
        loop {
            let now = Instant::now();
            let ahead = place.ahead();
            // A call ahead that still waits for permits is held up by unrelated calls: only its
            // running time counts.
            let running = ahead.as_ref().and_then(|ahead| ahead.running);
            let blocked = after(
                running.map_or(now, |running| running.max(begun)),
                self.order_timeout,
            );
            let (timeout, until) = match end {
                Some((timeout, end)) if end < blocked => (timeout, end),
                _ => (self.order_timeout, blocked),
            };
            if until <= now {
                return Err(CallError::OutOfTurn {
                    after: timeout,
                    ahead: ahead.and_then(|ahead| ahead.label),
                });
            }
            match tokio::time::timeout_at(until.into(), &mut granted).await {
                Ok(Some(())) => return Ok(()),
                Ok(None) => return Err(CallError::Cancelled),
                Err(_) => {}
            }
        }
    }

    fn permits_now<'a>(&'a self, by: &'a Registered) -> Option<Permits<'a>> {
        let own = match &by.permits {
            Some(permits) => Some(permits.try_acquire(1)?),
            None => None,
        };
        let memory = match &self.memory {
            Some(memory) => Some(memory.try_acquire(pages(by))?),
            None => None,
        };
        let host = self.calls.try_acquire(1)?;
        Some(Permits {
            suspended: None,
            _memory: memory,
            turn: Some(Turn { own, host }),
        })
    }

    /// The permits for a call that may call tools.
    fn suspended<'a>(
        &'a self,
        by: &'a Registered,
        depth: usize,
    ) -> Option<&'a FairSemaphore<Party>> {
        let shared = || by.suspends_at(depth).then(|| self.suspended.get(depth))?;
        by.suspended_at(depth).or_else(shared)
    }

    /// Waits for the permits of a client that is not paused.
    async fn permits<'a>(&'a self, by: &'a Registered, context: &RunContext) -> Permits<'a> {
        loop {
            context.resumed().await;
            let permits = self.acquire(by, context).await;
            // It may have been paused while it waited. Other clients can use the permits.
            if !context.is_paused() {
                return permits;
            }
        }
    }

    /// Acquires the provider's permit first and the host's last, so that a call waiting for its
    /// provider or for memory blocks no other. For calls that may call tools see above.
    async fn acquire<'a>(&'a self, by: &'a Registered, context: &RunContext) -> Permits<'a> {
        let party = context.client.party();
        let own = async || match &by.permits {
            Some(permits) => Some(permits.acquire(party, 1).await),
            None => None,
        };
        let memory = async || match &self.memory {
            Some(memory) => Some(memory.acquire(party, pages(by)).await),
            None => None,
        };
        let (own, memory) = match by.suspends_at(context.depth) {
            false => {
                let own = own().await;
                (own, memory().await)
            }
            true => {
                let memory = memory().await;
                (own().await, memory)
            }
        };
        let host = self.calls.acquire(party, 1).await;
        Permits {
            suspended: None,
            _memory: memory,
            turn: Some(Turn { own, host }),
        }
    }

    /// Gives others the turn of a call that waits for calls which it made.
    pub(super) fn lend(&self, by: &Registered) {
        if let Some(permits) = &by.permits {
            permits.give_back(1);
        }
        self.calls.give_back(1);
    }

    /// Takes back a turn that was lent, ahead of new calls. `keeps` says whether it is still wanted
    /// then.
    pub(super) async fn take_back(&self, by: &Registered, keeps: impl FnOnce() -> bool) {
        let own = match &by.permits {
            Some(permits) => Some(permits.take_back(1).await),
            None => None,
        };
        let host = self.calls.take_back(1).await;
        let turn = Turn { own, host };
        if keeps() {
            turn.keep();
        }
    }
}

fn pages(by: &Registered) -> u64 {
    pages_of(by.provider.memory())
}

/// Whole pages in `memory`.
pub(super) fn pages_in(memory: ByteSize) -> u64 {
    memory.as_u64() / PAGE
}

/// Pages needed for `memory`.
pub(super) fn pages_of(memory: ByteSize) -> u64 {
    memory.as_u64().div_ceil(PAGE)
}

fn far_future() -> Instant {
    Instant::now() + crate::limits::MAX_TIMEOUT
}
