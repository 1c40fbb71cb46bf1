//! The connections that may be open at once, and what is held for all of them that they have not taken.
//! Where there are too many connections, the one that has been idle for longest makes room for the next; where too much
//! is held, the one that has taken nothing for longest. So nobody keeps others out by doing nothing.

pub(super) mod activity;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::unsent::Unsent;
use activity::{Activity, STALLED};

pub(super) struct Slots {
    most: AtomicUsize,
    open: Mutex<Open>,
    /// One ended, or has no request any more.
    changed: Notify,
    pub(super) unsent: Unsent,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Arc<Activity>>,
}

/// The place of one connection, until it is dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

impl Slots {
    pub(super) fn new(most: usize, unsent: Unsent) -> Slots {
        Slots {
            most: AtomicUsize::new(most),
            open: Mutex::default(),
            changed: Notify::default(),
            unsent,
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are open now stay.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// A place, once there is one. Only one at a time may wait.
    pub(super) async fn take(self: &Arc<Self>) -> Slot {
        loop {
            if let Some(slot) = self.try_take() {
                return slot;
            }
            // Those that stall tell nobody.
            let _ = tokio::time::timeout(STALLED, self.changed.notified()).await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.open();
        if open.connections.len() >= self.most.load(Ordering::Relaxed) {
            evict(&open, Activity::idle_since);
            return None;
        }
        let number = open.next;
        open.next += 1;
        let activity = Arc::new(Activity::new(Arc::downgrade(self), self.unsent.clone()));
        open.connections.insert(number, Arc::clone(&activity));
        Some(Slot {
            slots: Arc::clone(self),
            number,
            activity,
        })
    }

    /// Ends the one that has been idle for longest, which takes a place's time to be free.
    pub(super) fn make_room(&self) {
        evict(&self.open(), Activity::idle_since);
    }

    /// Where too much is held, ends the one that has taken nothing of it for longest.
    pub(super) fn relieve(&self) {
        if self.unsent.is_over() {
            evict(&self.open(), Activity::stalled_since);
        }
    }

    /// A connection has no request any more.
    pub(super) fn became_idle(&self) {
        self.changed.notify_one();
    }
}

/// One at a time: it is soon gone.
fn evict(open: &Open, since: impl Fn(&Activity) -> Option<Instant>) {
    let connections = || open.connections.values();
    if connections().any(|activity| activity.evicted.is_cancelled()) {
        return;
    }
    let idle = connections().filter_map(|activity| Some((since(activity)?, activity)));
    if let Some((_, activity)) = idle.min_by_key(|(since, _)| *since) {
        activity.evicted.cancel();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let slots = &self.slots;
        slots.open().connections.remove(&self.number);
        slots.changed.notify_one();
        // Others may have taken as little.
        slots.relieve();
    }
}
