//! The queue: permits of a plugin, of the host's memory and of the host, shared fairly between
//! clients; how many calls may wait for them, of all clients and of one, and for how long.
//!
//! A call waits in three steps: for its place in order, holding nothing ([`CallQueue::in_order`]); for
//! its provider's permit; then for memory and for the host's permit, in that order, so that a call
//! that waits for one of them holds only what others do not need. A call that finds all three free
//! takes them at once and is never counted as waiting. A paused client's calls
//! wait before they take any ([`CallQueue::permits`]). `max-queue` bounds the waiting calls,
//! `queue-timeout` all of their waiting, `order-timeout` how long a call ahead may run.

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
    _held: [Option<Permit<'a, Party>>; 3],
}

impl CallQueue {
    /// `most_of_one` is the maximum number of waiting calls of one client.
    pub(super) fn new(
        host: &HostConfig,
        most_of_one: Option<usize>,
        providers: &[Arc<Registered>],
    ) -> CallQueue {
        let most = providers.iter().map(|it| pages(it)).max();
        let most = most
            .unwrap_or(0)
            .saturating_mul(host.max_concurrency as u64);
        // No permits are needed if all calls fit anyway.
        let total = host.total_memory.map(pages_in);
        let total = total.filter(|total| *total < most);
        CallQueue {
            max_concurrency: host.max_concurrency,
            calls: FairSemaphore::new(host.max_concurrency as u64),
            memory: total.map(FairSemaphore::new),
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
        let behind = place.filter(|place| !place.is_granted());
        if behind.is_none()
            && !context.is_paused()
            && let Some(permits) = self.permits_now(by)
        {
            return Ok(permits);
        }
        let _ticket = match ticket {
            Some(ticket) => Some(ticket),
            None => self.enter(party)?,
        };
        drop(entering);
        if let Some(place) = behind {
            self.in_order(place, queued, cancel).await?;
        }
        let permits = cancel.run_until_cancelled(self.permits(by, context));
        let permits = match self.timeout {
            None => permits.await,
            Some(timeout) => {
                let until = queued.checked_add(timeout).unwrap_or_else(far_future);
                let permits = tokio::time::timeout_at(until.into(), permits).await;
                permits.map_err(|_| CallError::over(Limit::QueueTime, timeout))?
            }
        };
        permits.ok_or(CallError::Cancelled)
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
        Some(Permits {
            _held: [own, memory, Some(self.calls.try_acquire(1)?)],
        })
    }

    /// Waits for the permits of a client that is not paused.
    async fn permits<'a>(&'a self, by: &'a Registered, context: &RunContext) -> Permits<'a> {
        loop {
            context.resumed().await;
            let permits = self.acquire(by, context.client.party()).await;
            // It may have been paused while it waited. Other clients can use the permits.
            if !context.is_paused() {
                return permits;
            }
        }
    }

    /// Acquires the provider's permit first and the host's last, so that a call waiting for its
    /// provider or for memory blocks no other.
    async fn acquire<'a>(&'a self, by: &'a Registered, party: Party) -> Permits<'a> {
        let own = match &by.permits {
            Some(permits) => Some(permits.acquire(party, 1).await),
            None => None,
        };
        let memory = match &self.memory {
            Some(memory) => Some(memory.acquire(party, pages(by)).await),
            None => None,
        };
        Permits {
            _held: [own, memory, Some(self.calls.acquire(party, 1).await)],
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
