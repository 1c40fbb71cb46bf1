//! How much of the requests that are not answered yet may be held: bodies over a bound wait for room
//! before they are read, in turn, behind others of their client first. Shorter ones are read first: many of them
//! wait for nothing, or end what others wait for. One client has half of it at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::response::Response;
use bytesize::ByteSize;
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rate::Client;
use super::refuse::refuse_for;

/// Shorter bodies need no room to be read: they are bounded by the connections that they come on. What is done for
/// them goes on without its connection: that needs [room](Short::room).
pub(super) const SMALL: usize = 16 << 10;

/// What a request takes beside its body, at least, while it waits to be answered.
const BESIDE: usize = 8 << 10;

/// What is counted, so that a permit is for a page.
const PAGE: usize = 4 << 10;

/// When to come back where there is no room.
const RETRY: Duration = Duration::from_secs(1);

/// Clients that are remembered before those who hold nothing are forgotten.
const MANY: usize = 1_000;

pub(super) struct Bodies {
    all: Arc<Semaphore>,
    /// Pages of all, and of one client.
    most: (usize, usize),
    clients: Mutex<HashMap<Client, Weak<Semaphore>>>,
}

/// Room for a body. It is held for as long as anything of it may be: clones are the same room.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    _held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// Room that was taken before it was known how much is needed.
pub(super) struct Taken {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

/// A short body, that has come. It is in its request's extensions, for whoever knows whether that waits.
#[derive(Clone)]
pub(crate) struct Short {
    bodies: Arc<Bodies>,
    client: Client,
    bytes: usize,
    patience: Duration,
}

impl Short {
    pub(super) fn new(
        bodies: &Arc<Bodies>,
        client: Client,
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

    /// Room for it, and for what is done for it until it is answered.
    ///
    /// # Errors
    ///
    /// There is none for so long: the response that says so.
    pub(crate) async fn room(self) -> Result<Room, Box<Response>> {
        if let Some(taken) = self.bodies.try_take(&self.client, self.bytes) {
            return Ok(taken.room());
        }
        // Boxed: it is rare, and what it is in is moved about.
        let taken = Box::pin(self.bodies.take(&self.client, self.bytes));
        match tokio::time::timeout(self.patience, taken).await {
            Ok(Some(taken)) => Ok(taken.room()),
            _ => Err(Box::new(no_room())),
        }
    }
}

impl Bodies {
    /// Room for so much, and in any case for one body of the longest.
    pub(super) fn new(most: ByteSize, longest: ByteSize) -> Bodies {
        let pages = |size: ByteSize| {
            let pages = size.as_u64().div_ceil(PAGE as u64);
            usize::try_from(pages).unwrap_or(usize::MAX)
        };
        let bound = (u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        let beside = ByteSize::b(BESIDE as u64);
        let longest = pages(longest + beside).clamp(1, bound);
        let all = pages(most).clamp(longest, bound);
        Bodies {
            all: Arc::new(Semaphore::new(all)),
            most: (all, (all / 2).max(longest)),
            clients: Mutex::default(),
        }
    }

    /// Waits for room; shorter bodies need none.
    pub(super) async fn room(&self, client: Client, bytes: usize) -> Option<Taken> {
        if bytes <= SMALL {
            return None;
        }
        self.take(&client, bytes).await
    }

    async fn take(&self, client: &Client, bytes: usize) -> Option<Taken> {
        let (own, pages) = (self.of(client), self.pages(bytes));
        // No semaphore is ever closed.
        let own = own.acquire_many_owned(pages).await.ok()?;
        let all = self.all.clone().acquire_many_owned(pages).await.ok()?;
        Some(Taken { own, all })
    }

    /// Takes room, if there is some that nobody waits for.
    fn try_take(&self, client: &Client, bytes: usize) -> Option<Taken> {
        let (own, pages) = (self.of(client), self.pages(bytes));
        let own = own.try_acquire_many_owned(pages).ok()?;
        let all = self.all.clone().try_acquire_many_owned(pages).ok()?;
        Some(Taken { own, all })
    }

    /// What a request with so long a body takes; no more than one client can have.
    fn pages(&self, bytes: usize) -> u32 {
        let pages = pages_of(bytes).min(self.most.1);
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    fn of(&self, client: &Client) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = clients.get(client).and_then(Weak::upgrade) {
            return own;
        }
        if clients.len() >= MANY {
            clients.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.most.1));
        clients.insert(client.clone(), Arc::downgrade(&own));
        own
    }
}

fn pages_of(bytes: usize) -> usize {
    bytes.saturating_add(BESIDE).div_ceil(PAGE)
}

impl Taken {
    fn room(self) -> Room {
        let held = Held {
            _own: self.own,
            _all: self.all,
        };
        Room {
            _held: Arc::new(held),
        }
    }

    /// Keeps what a body needs that has come.
    pub(super) fn shrunk(mut self, bytes: usize) -> Option<Room> {
        if bytes <= SMALL {
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
    refuse_for(StatusCode::SERVICE_UNAVAILABLE, why, RETRY)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const HALF: usize = 64 << 10;

    fn bodies() -> Bodies {
        Bodies::new(ByteSize::kib(128), ByteSize::kib(32))
    }

    fn name(name: &str) -> Client {
        Client::Named(name.into())
    }

    #[tokio::test]
    async fn one_client_has_half_and_what_is_given_back_is_for_the_next() {
        let bodies = bodies();
        let taken = bodies.room(name("a"), HALF).await.unwrap();
        let second = bodies.room(name("a"), SMALL + 1);
        let mut second = std::pin::pin!(second);
        assert!(second.as_mut().now_or_never().is_none());
        assert!(bodies.room(name("a"), SMALL).now_or_never().is_some());
        let other = bodies.room(name("b"), HALF).now_or_never();
        assert!(other.is_some(), "the other half is for others");
        let room = taken.shrunk(HALF - 2 * SMALL - BESIDE).unwrap();
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
        assert!(taken.shrunk(SMALL).is_none());
        assert!(bodies.room(name("a"), HALF).now_or_never().is_some());
    }
}
