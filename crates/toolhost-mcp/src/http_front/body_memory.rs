//! Memory for request bodies: large bodies wait for room before they are read, fairly between
//! clients, until their requests have been answered. Short ones are read first, since many of them
//! never wait, or end what others wait for. One client gets at most half.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use axum::response::Response;
use bytesize::ByteSize;
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refuse::refuse_for;
use super::request_rate_limit::RateClient;
use toolhost_core::locks;

/// Bodies up to this size are read without room: connections bound their number. A request that
/// outlives its connection needs [room](Short::room) later.
pub(super) const SMALL_BODY: usize = 16 << 10;

/// The least that a waiting request takes beside its body.
const REQUEST_COST: usize = 8 << 10;

/// The unit of permits.
const PAGE: usize = 4 << 10;

/// The `Retry-After` if there is no room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Idle clients are forgotten beyond this number of clients.
const MAX_IDLE_CLIENTS: usize = 1_000;

pub(super) struct Bodies {
    all: Arc<Semaphore>,
    /// The most pages of all clients, and of one.
    most: (usize, usize),
    clients: Mutex<HashMap<RateClient, Weak<Semaphore>>>,
}

/// Room reserved for a body, for as long as any of it may be kept. Clones share the reservation.
#[derive(Clone, Debug)]
pub(crate) struct BodyRoom {
    _held: Arc<BodyPermits>,
}

#[derive(Debug)]
struct BodyPermits {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// Room taken before the size is known.
pub(super) struct ReservedRoom {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

/// A short body that has arrived. In its request's extensions, for the handler that knows whether
/// the request will wait.
#[derive(Clone)]
pub(crate) struct Short {
    bodies: Arc<Bodies>,
    client: RateClient,
    bytes: usize,
    patience: Duration,
}

impl Short {
    pub(super) fn new(
        bodies: &Arc<Bodies>,
        client: RateClient,
        bytes: usize,
        patience: Duration,
    ) -> Short {
        Short {
            bodies: bodies.clone(),
            client,
            bytes,
            patience,
        }
    }

    /// Reserves room for it, and for its request's work until it is answered.
    ///
    /// # Errors
    ///
    /// There is no room in time: the response that says so.
    pub(crate) async fn room(self) -> Result<BodyRoom, Box<Response>> {
        if let Some(taken) = self.bodies.try_take(&self.client, self.bytes) {
            return Ok(taken.room());
        }
        // Boxed: it is rare, and the futures around it are moved.
        let taken = Box::pin(self.bodies.take(&self.client, self.bytes));
        match tokio::time::timeout(self.patience, taken).await {
            Ok(Some(taken)) => Ok(taken.room()),
            _ => Err(Box::new(no_room())),
        }
    }
}

impl Bodies {
    /// Room for `most` bytes, and for at least one body of the longest.
    pub(super) fn new(most: ByteSize, longest: ByteSize) -> Bodies {
        let pages = |size: ByteSize| {
            let pages = size.as_u64().div_ceil(PAGE as u64);
            usize::try_from(pages).unwrap_or(usize::MAX)
        };
        let bound = (u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        let beside = ByteSize::b(REQUEST_COST as u64);
        let longest = pages(longest + beside).clamp(1, bound);
        let all = pages(most).clamp(longest, bound);
        Bodies {
            all: Arc::new(Semaphore::new(all)),
            most: (all, (all / 2).max(longest)),
            clients: Mutex::default(),
        }
    }

    /// Waits for room; shorter bodies need none.
    pub(super) async fn room(&self, client: RateClient, bytes: usize) -> Option<ReservedRoom> {
        if bytes <= SMALL_BODY {
            return None;
        }
        self.take(&client, bytes).await
    }

    async fn take(&self, client: &RateClient, bytes: usize) -> Option<ReservedRoom> {
        let (own, pages) = (self.of(client), self.pages(bytes));
        // The semaphores are never closed.
        let own = own.acquire_many_owned(pages).await.ok()?;
        let all = self.all.clone().acquire_many_owned(pages).await.ok()?;
        Some(ReservedRoom { own, all })
    }

    /// Takes room that is free and nobody waits for.
    fn try_take(&self, client: &RateClient, bytes: usize) -> Option<ReservedRoom> {
        let (own, pages) = (self.of(client), self.pages(bytes));
        let own = own.try_acquire_many_owned(pages).ok()?;
        let all = self.all.clone().try_acquire_many_owned(pages).ok()?;
        Some(ReservedRoom { own, all })
    }

    /// The pages for a body of that length; at most what one client can have.
    fn pages(&self, bytes: usize) -> u32 {
        let pages = pages_of(bytes).min(self.most.1);
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    fn of(&self, client: &RateClient) -> Arc<Semaphore> {
        let mut clients = locks::lock(&self.clients);
        if let Some(own) = clients.get(client).and_then(Weak::upgrade) {
            return own;
        }
        if clients.len() >= MAX_IDLE_CLIENTS {
            clients.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.most.1));
        clients.insert(client.clone(), Arc::downgrade(&own));
        own
    }
}

fn pages_of(bytes: usize) -> usize {
    bytes.saturating_add(REQUEST_COST).div_ceil(PAGE)
}

impl ReservedRoom {
    fn room(self) -> BodyRoom {
        let held = BodyPermits {
            _own: self.own,
            _all: self.all,
        };
        BodyRoom {
            _held: Arc::new(held),
        }
    }

    /// Keeps only what a body that has arrived needs.
    pub(super) fn shrunk(mut self, bytes: usize) -> Option<BodyRoom> {
        if bytes <= SMALL_BODY {
            return None;
        }
        let pages = pages_of(bytes);
        for permit in [&mut self.own, &mut self.all] {
            drop(permit.split(permit.num_permits().saturating_sub(pages)));
        }
        Some(self.room())
    }
}

/// The response to a request that there is no room for.
pub(super) fn no_room() -> Response {
    let why = "unanswered requests already fill `max-in-flight`";
    refuse_for(StatusCode::SERVICE_UNAVAILABLE, why, RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const HALF: usize = 64 << 10;

    fn bodies() -> Bodies {
        Bodies::new(ByteSize::kib(128), ByteSize::kib(32))
    }

    fn name(name: &str) -> RateClient {
        RateClient::Named(name.into())
    }

    #[tokio::test]
    async fn one_client_has_half_and_what_is_given_back_is_for_the_next() {
        let bodies = bodies();
        let taken = bodies.room(name("a"), HALF).await.unwrap();
        let second = bodies.room(name("a"), SMALL_BODY + 1);
        let mut second = std::pin::pin!(second);
        assert!(second.as_mut().now_or_never().is_none());
        assert!(bodies.room(name("a"), SMALL_BODY).now_or_never().is_some());
        let other = bodies.room(name("b"), HALF).now_or_never();
        assert!(other.is_some(), "the other half is for others");
        let room = taken.shrunk(HALF - 2 * SMALL_BODY - REQUEST_COST).unwrap();
        assert!(second.as_mut().now_or_never().is_some());
        drop(room);
    }

    #[tokio::test]
    async fn short_waiting_bodies_share_half_of_the_memory() {
        let bodies = Arc::new(bodies());
        let short = |client| Short::new(&bodies, name(client), 100, Duration::from_secs(60));
        let mut held = Vec::new();
        while let Some(Ok(room)) = short("a").room().now_or_never() {
            held.push(room);
            assert!(held.len() < 100, "there is no end to it");
        }
        // Three pages each, of sixteen.
        assert_eq!(held.len(), 5);
        let waiting = short("a").room();
        let mut waiting = std::pin::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(matches!(short("b").room().now_or_never(), Some(Ok(_))));
        held.pop();
        assert!(matches!(waiting.as_mut().now_or_never(), Some(Ok(_))));
    }

    #[tokio::test]
    async fn a_short_body_that_came_without_a_length_gives_all_back() {
        let bodies = bodies();
        let taken = bodies.room(name("a"), HALF).await.unwrap();
        assert!(taken.shrunk(SMALL_BODY).is_none());
        assert!(bodies.room(name("a"), HALF).now_or_never().is_some());
    }
}
