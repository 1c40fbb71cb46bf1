//! Whose turn it is: permits of a plugin, of the host's memory and of the host, each in turn between clients; and how many
//! calls may wait for them, of all clients and of one, and how long.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::limits::{Bound, Limit};
use crate::manifest::HostConfig;
use crate::order::{Party, Permit, Place, Turns};
use crate::registry::Registered;

/// Memory is counted in pages of WebAssembly.
const PAGE: u64 = 64 << 10;

pub(super) struct Queue {
    max_concurrency: usize,
    calls: Turns<Party>,
    /// The memory that calls may use together, where it is bounded.
    memory: Option<Turns<Party>>,
    /// Where calls that wait are bounded.
    places: Option<Arc<Places>>,
    pub(super) timeout: Option<Duration>,
    /// How long a call may wait for one that runs and may change the same data.
    order_timeout: Duration,
}

/// The calls that wait, and how many may.
struct Places {
    most: usize,
    /// Of one client with a name.
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<Party, usize>,
}

impl Places {
    /// A place of a party, of so many more than may wait at other times.
    fn take(self: &Arc<Self>, party: Party, more: usize) -> Option<Ticket> {
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
        Some(Ticket {
            places: self.clone(),
            party,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the calls that wait.
pub(super) struct Ticket {
    places: Arc<Places>,
    party: Party,
}

impl Drop for Ticket {
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

/// What a call holds while it runs.
pub(super) struct Permits<'a> {
    _held: [Option<Permit<'a, Party>>; 3],
}

impl Queue {
    /// `most_of_one` is how many calls of one client may wait.
    pub(super) fn new(
        host: &HostConfig,
        most_of_one: Option<usize>,
        providers: &[Arc<Registered>],
    ) -> Queue {
        let most = providers.iter().map(|it| pages(it)).max();
        let most = most
            .unwrap_or(0)
            .saturating_mul(host.max_concurrency as u64);
        // Where all fit anyway nobody need ask.
        let total = host.total_memory.map(pages_in);
        let total = total.filter(|total| *total < most);
        Queue {
            max_concurrency: host.max_concurrency,
            calls: Turns::new(host.max_concurrency as u64),
            memory: total.map(Turns::new),
            places: host.max_queue.map(|most| {
                Arc::new(Places {
                    most,
                    most_of_one: most_of_one.unwrap_or(most),
                    taken: Mutex::default(),
                })
            }),
            timeout: host.queue_timeout,
            order_timeout: host.order_timeout,
        }
    }

    /// Whether calls can be refused because others wait.
    pub(super) fn is_bounded(&self) -> bool {
        self.places.is_some()
    }

    /// Takes a place; none is needed where there are places for all.
    ///
    /// # Errors
    ///
    /// All places are taken, or as many as one client may have.
    pub(super) fn enter(&self, party: Party) -> Result<Option<Ticket>, CallError> {
        self.enter_beside(party, 0)
    }

    /// The same for a call that somebody is asked about first: whether it will have to wait for its turn is not known, so
    /// that there are places for as many more as may run.
    ///
    /// # Errors
    ///
    /// As of [`enter`](Queue::enter).
    pub(super) fn enter_before_others(&self, party: Party) -> Result<Option<Ticket>, CallError> {
        self.enter_beside(party, self.max_concurrency)
    }

    fn enter_beside(&self, party: Party, more: usize) -> Result<Option<Ticket>, CallError> {
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

    /// Waits for a call's turn: first in order, holding nothing, then for its permits. It may have a
    /// place among those that wait already, and somebody may be told, by a drop, once it needs none or has one.
    ///
    /// # Errors
    ///
    /// There is no place, or it is not its turn in time.
    pub(super) async fn wait<'a>(
        &'a self,
        by: &'a Registered,
        queued: Instant,
        cancel: &CancellationToken,
        (ticket, entering): (Option<Ticket>, Option<oneshot::Sender<()>>),
        party: Party,
        place: Option<&Place>,
    ) -> Result<Permits<'a>, CallError> {
        if cancel.is_cancelled() {
            return Err(CallError::Cancelled);
        }
        let behind = place.filter(|place| !place.is_granted());
        if behind.is_none()
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
        let permits = cancel.run_until_cancelled(self.permits(by, party));
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

    /// Waits until the calls before it, which may change the same data, are over.
    ///
    /// # Errors
    ///
    /// One of them runs for too long, it is not this call's turn in time, or it is cancelled.
    pub(super) async fn in_order(
        &self,
        place: &Place,
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
            // A call that waits for its permits is behind calls that have nothing to do with this one.
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

    /// The provider's permit first, the host's last: a call that waits for its provider or for memory
    /// keeps nobody else from running.
    async fn permits<'a>(&'a self, by: &'a Registered, party: Party) -> Permits<'a> {
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

/// Pages that fit.
pub(super) fn pages_in(memory: ByteSize) -> u64 {
    memory.as_u64() / PAGE
}

/// Pages that are needed.
pub(super) fn pages_of(memory: ByteSize) -> u64 {
    memory.as_u64().div_ceil(PAGE)
}

fn far_future() -> Instant {
    Instant::now() + crate::limits::MAX_TIMEOUT
}
