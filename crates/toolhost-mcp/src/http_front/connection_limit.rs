//! The connection limit, and eviction. At the limit, the connection that has been idle longest
//! makes room for the next one; if too much unread data is held, the one that has read nothing for
//! longest is closed. So a client cannot keep others out by being idle.

pub(super) mod activity;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::unread_bytes::UnreadBytes;
use activity::{Activity, STALL_TIMEOUT};
use toolhost_core::locks;

pub(super) struct ConnectionLimit {
    most: AtomicUsize,
    open: Mutex<OpenConnections>,
    /// A connection has ended, or become idle.
    changed: Notify,
    pub(super) unsent: UnreadBytes,
}

#[derive(Default)]
struct OpenConnections {
    next: u64,
    connections: BTreeMap<u64, Arc<Activity>>,
}

/// The permit of one connection.
pub(super) struct ConnectionPermit {
    slots: Arc<ConnectionLimit>,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

impl ConnectionLimit {
    pub(super) fn new(most: usize, unsent: UnreadBytes) -> ConnectionLimit {
        ConnectionLimit {
            most: AtomicUsize::new(most),
            open: Mutex::default(),
            changed: Notify::default(),
            unsent,
        }
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        locks::lock(&self.open)
    }

    /// Changes the limit. Open connections stay.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits for a permit. Only one caller may wait at a time.
    pub(super) async fn take(self: &Arc<Self>) -> ConnectionPermit {
        loop {
            if let Some(slot) = self.try_take() {
                return slot;
            }
            // A connection that stalls sends no signal.
            let _ = tokio::time::timeout(STALL_TIMEOUT, self.changed.notified()).await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let mut open = self.open();
        if open.connections.len() >= self.most.load(Ordering::Relaxed) {
            evict(&open, Activity::idle_since);
            return None;
        }
        let number = open.next;
        open.next += 1;
        let activity = Arc::new(Activity::new(Arc::downgrade(self), self.unsent.clone()));
        open.connections.insert(number, Arc::clone(&activity));
        Some(ConnectionPermit {
            slots: Arc::clone(self),
            number,
            activity,
        })
    }

    /// Evicts the connection that has been idle longest; its permit is soon free.
    pub(super) fn make_room(&self) {
        evict(&self.open(), Activity::idle_since);
    }

    /// If too much unread data is held, evicts the connection that has read nothing for longest.
    pub(super) fn relieve(&self) {
        if self.unsent.is_over() {
            evict(&self.open(), Activity::stalled_since);
        }
    }

    /// A connection has no more requests.
    pub(super) fn became_idle(&self) {
        self.changed.notify_one();
    }
}

/// One at a time: it ends soon.
fn evict(open: &OpenConnections, since: impl Fn(&Activity) -> Option<Instant>) {
    let connections = || open.connections.values();
    if connections().any(|activity| activity.evicted.is_cancelled()) {
        return;
    }
    let idle = connections().filter_map(|activity| Some((since(activity)?, activity)));
    if let Some((_, activity)) = idle.min_by_key(|(since, _)| *since) {
        activity.evicted.cancel();
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let slots = &self.slots;
        slots.open().connections.remove(&self.number);
        slots.changed.notify_one();
        // Others may have read as little.
        slots.relieve();
    }
}
