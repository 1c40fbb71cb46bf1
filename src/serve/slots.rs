//! The connections that may be open at once. When all are, the one that has been idle for longest
//! makes room for the next, so that nobody keeps others out by doing nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::activity::Activity;

pub(super) struct Slots {
    most: AtomicUsize,
    open: Mutex<Open>,
    /// One ended, or has no request any more.
    changed: Arc<Notify>,
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
    pub(super) fn new(most: usize) -> Slots {
        Slots {
            most: AtomicUsize::new(most),
            open: Mutex::default(),
            changed: Arc::default(),
        }
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
            self.changed.notified().await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.connections.len() >= self.most.load(Ordering::Relaxed) {
            evict(&open);
            return None;
        }
        let number = open.next;
        open.next += 1;
        let activity = Arc::new(Activity::new(Arc::clone(&self.changed)));
        open.connections.insert(number, Arc::clone(&activity));
        Some(Slot {
            slots: Arc::clone(self),
            number,
            activity,
        })
    }

    /// Ends the one that has been idle for longest, which takes a place's time to be free.
    pub(super) fn make_room(&self) {
        evict(&self.open.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn evict(open: &Open) {
    let connections = || open.connections.values();
    if connections().any(|activity| activity.evicted.is_cancelled()) {
        return;
    }
    let idle = connections().filter_map(|activity| Some((activity.idle_since()?, activity)));
    if let Some((_, activity)) = idle.min_by_key(|(since, _)| *since) {
        activity.evicted.cancel();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let slots = &self.slots;
        let mut open = slots.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.connections.remove(&self.number);
        drop(open);
        slots.changed.notify_one();
    }
}
