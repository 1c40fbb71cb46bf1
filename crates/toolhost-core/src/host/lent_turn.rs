//! [`LentTurn`]: the permits and the place in order of a call that calls tools. It lends both while
//! it waits, so that what it waits for can run, and takes them back before it continues.
//!
//! A native tool may wait for several calls at once, so the waits are counted: the turn is lent with
//! the first and taken back with the last. Whoever takes it back while another wait has begun gives
//! it up again.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::HostShared;
use crate::call_clock::CallClock;
use crate::locks;
use crate::order::{Domain, DomainAccess, OrderClient, PlaceInOrder};
use crate::registry::Registered;
use crate::sandbox::Operations;

pub(super) struct LentTurn {
    shared: Arc<HostShared>,
    by: Arc<Registered>,
    client: OrderClient,
    /// What its place is taken with.
    order: Option<(Arc<Domain>, DomainAccess, String)>,
    clock: CallClock,
    operations: OnceLock<Operations>,
    state: Mutex<TurnState>,
    /// Only one takes the turn back.
    taking_back: tokio::sync::Mutex<()>,
}

struct TurnState {
    /// How many wait.
    waits: usize,
    has_permits: bool,
    place: Option<PlaceInOrder>,
    has_ended: bool,
}

/// The turn is lent while this is held.
pub(super) struct Lent<'t>(&'t LentTurn);

impl LentTurn {
    /// The turn of a call that has its permits and place.
    pub(super) fn new(
        shared: Arc<HostShared>,
        by: Arc<Registered>,
        client: OrderClient,
        order: Option<(Arc<Domain>, DomainAccess, String)>,
        place: Option<PlaceInOrder>,
    ) -> LentTurn {
        LentTurn {
            shared,
            by,
            client,
            order,
            clock: CallClock::stoppable(),
            operations: OnceLock::new(),
            state: Mutex::new(TurnState {
                waits: 0,
                has_permits: true,
                place,
                has_ended: false,
            }),
            taking_back: tokio::sync::Mutex::default(),
        }
    }

    /// The clock of the call, which stands still while it takes back its turn.
    pub(super) fn clock(&self) -> &CallClock {
        &self.clock
    }

    /// The call runs; these are the file operations that it will begin.
    pub(super) fn begin(&self, operations: &Operations) {
        if let Some(place) = &self.state().place {
            place.begin();
        }
        let _ = self.operations.set(operations.clone());
    }

    /// The call is over: gives up its permits, and returns its place.
    pub(super) fn end(&self) -> Option<PlaceInOrder> {
        let mut state = self.state();
        state.has_ended = true;
        let place = state.place.take();
        if std::mem::take(&mut state.has_permits) {
            drop(state);
            self.shared.queue.lend(&self.by);
        }
        place
    }

    /// Runs `wait` without the turn.
    pub(super) async fn without<T>(&self, wait: impl Future<Output = T>) -> T {
        let lent = self.lend();
        let value = wait.await;
        drop(lent);
        self.take_back().await;
        value
    }

    /// Lends the turn.
    pub(super) fn lend(&self) -> Lent<'_> {
        let mut state = self.state();
        state.waits += 1;
        if std::mem::take(&mut state.has_permits) {
            // A call with open files is in the middle of something: it keeps its place.
            let has_open_files = self
                .operations
                .get()
                .is_some_and(Operations::has_open_files);
            let place = if has_open_files {
                None
            } else {
                state.place.take()
            };
            drop(state);
            drop(place);
            self.shared.queue.lend(&self.by);
        }
        Lent(self)
    }

    /// Takes back the turn, if nothing else waits.
    pub(super) async fn take_back(&self) {
        let _only = self.taking_back.lock().await;
        if !self.state().is_wanted() {
            return;
        }
        let _stopped = self.clock.stop();
        let has_place = self.state().place.is_some();
        let place = match self.order.as_ref().filter(|_| !has_place) {
            Some((domain, access, label)) => {
                let place = domain.enter(self.client, *access, || label.clone());
                place.granted().await;
                place.begin();
                Some(place)
            }
            None => None,
        };
        let keep = || {
            let mut state = self.state();
            let is_wanted = state.is_wanted();
            if is_wanted {
                state.has_permits = true;
                state.place = place.or(state.place.take());
            }
            is_wanted
        };
        self.shared.queue.take_back(&self.by, keep).await;
    }

    fn state(&self) -> MutexGuard<'_, TurnState> {
        locks::lock(&self.state)
    }
}

impl TurnState {
    /// Whether the call is to have its turn and does not have it.
    fn is_wanted(&self) -> bool {
        self.waits == 0 && !self.has_permits && !self.has_ended
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.state().waits -= 1;
    }
}

impl Drop for LentTurn {
    fn drop(&mut self) {
        drop(self.end());
    }
}
