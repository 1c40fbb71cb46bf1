//! How much of the requests that are not answered yet may be held: bodies over a bound wait for room
//! before they are read, in turn, behind others of their client first. One client has half of it at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytesize::ByteSize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rate::Client;

/// Shorter bodies are not counted: they are bounded by the connections that they come on.
pub(super) const SMALL: usize = 16 << 10;

/// What is counted, so that a permit is for a page.
const PAGE: usize = 4 << 10;

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

impl Bodies {
    /// Room for so much, and in any case for one body of the longest.
    pub(super) fn new(most: ByteSize, longest: ByteSize) -> Bodies {
        let pages = |size: ByteSize| {
            let pages = size.as_u64().div_ceil(PAGE as u64);
            usize::try_from(pages).unwrap_or(usize::MAX)
        };
        let bound = (u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        let longest = pages(longest).clamp(1, bound);
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
        let own = self.of(client);
        let (all, of_one) = self.most;
        let pages = bytes.div_ceil(PAGE);
        let of = |most: usize| u32::try_from(pages.min(most)).unwrap_or(u32::MAX);
        // No semaphore is ever closed.
        let own = own.acquire_many_owned(of(of_one)).await.ok()?;
        let all = self.all.clone().acquire_many_owned(of(all)).await.ok()?;
        Some(Taken { own, all })
    }

    fn of(&self, client: Client) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = clients.get(&client).and_then(Weak::upgrade) {
            return own;
        }
        if clients.len() >= MANY {
            clients.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.most.1));
        clients.insert(client, Arc::downgrade(&own));
        own
    }
}

impl Taken {
    /// Keeps what a body needs that has come.
    pub(super) fn shrunk(mut self, bytes: usize) -> Option<Room> {
        if bytes <= SMALL {
            return None;
        }
        let pages = bytes.div_ceil(PAGE);
        for permit in [&mut self.own, &mut self.all] {
            drop(permit.split(permit.num_permits().saturating_sub(pages)));
        }
        let (own, all) = (self.own, self.all);
        let held = Held {
            _own: own,
            _all: all,
        };
        Some(Room {
            _held: Arc::new(held),
        })
    }
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
        let room = taken.shrunk(HALF - 2 * SMALL).unwrap();
        assert!(second.as_mut().now_or_never().is_some());
        drop(room);
    }

    #[tokio::test]
    async fn a_short_body_that_came_without_a_length_gives_all_back() {
        let bodies = bodies();
        let taken = bodies.room(name("a"), HALF).await.unwrap();
        assert!(taken.shrunk(SMALL).is_none());
        assert!(bodies.room(name("a"), HALF).now_or_never().is_some());
    }
}
