//! Change notifications for lists and resources. A plugin may report changes as often as it likes:
//! they are sent at a bounded rate, coalesced, and for resources only to subscribers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::server::pending_questions::decrement;
use toolhost_core::locks::lock;
use toolhost_core::watch::Watcher;

/// The most changes that a session may lag behind.
const MAX_LAG: usize = 256;

/// After a change is sent, further ones are collected for this long; then this many are sent.
const COALESCE_INTERVAL: Duration = Duration::from_millis(100);
const AT_ONCE: usize = 64;

/// A change that clients are notified of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    Tools,
    Prompts,
    Resources,
    Resource(Arc<str>),
}

/// Broadcasts changes to subscribers; clones share the channel.
#[derive(Clone)]
pub(crate) struct ChangeNotifier(Arc<ChangeChannel>);

struct ChangeChannel {
    changes: broadcast::Sender<Change>,
    state: Mutex<PendingChanges>,
}

#[derive(Default)]
struct PendingChanges {
    /// The changes to send next, in the order first reported.
    waiting: VecDeque<Change>,
    known: HashSet<Change>,
    /// Whether one was sent just now, so that further ones are collected.
    is_pausing: bool,
    /// The number of subscriptions to each resource.
    subscribed: HashMap<Arc<str>, usize>,
}

/// A subscription to a resource, ended on drop.
pub(crate) struct ResourceSubscription {
    changes: ChangeNotifier,
    uri: Arc<str>,
}

impl ChangeNotifier {
    pub(crate) fn new() -> ChangeNotifier {
        ChangeNotifier(Arc::new(ChangeChannel {
            changes: broadcast::channel(MAX_LAG).0,
            state: Mutex::default(),
        }))
    }

    pub(crate) fn subscribe_all(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Subscribes to changes of a resource.
    pub(crate) fn subscribe(&self, uri: &str) -> ResourceSubscription {
        let uri: Arc<str> = uri.into();
        *lock(&self.0.state)
            .subscribed
            .entry(uri.clone())
            .or_default() += 1;
        ResourceSubscription {
            changes: self.clone(),
            uri,
        }
    }

    pub(crate) fn notify(&self, change: Change) {
        let mut state = lock(&self.0.state);
        if let Change::Resource(uri) = &change
            && !state.subscribed.contains_key(uri)
        {
            return;
        }
        if state.is_pausing {
            // Bounded: there are no more of them than subscriptions.
            if state.known.insert(change.clone()) {
                state.waiting.push_back(change);
            }
            return;
        }
        // There may be no receiver.
        let _ = self.0.changes.send(change);
        if let Ok(runtime) = Handle::try_current() {
            state.is_pausing = true;
            runtime.spawn(self.clone().tell_on());
        }
    }

    /// Sends collected changes until none is left.
    async fn tell_on(self) {
        loop {
            tokio::time::sleep(COALESCE_INTERVAL).await;
            let mut state = lock(&self.0.state);
            if state.waiting.is_empty() {
                state.is_pausing = false;
                return;
            }
            let next = state.waiting.len().min(AT_ONCE);
            let next: Vec<Change> = state.waiting.drain(..next).collect();
            for change in next {
                state.known.remove(&change);
                let _ = self.0.changes.send(change);
            }
        }
    }
}

impl Drop for ResourceSubscription {
    fn drop(&mut self) {
        decrement(
            &mut lock(&self.changes.0.state).subscribed,
            &self.uri,
            |it| it,
        );
    }
}

/// Changes reported by plugins when their call is not watched.
impl Watcher for ChangeNotifier {
    fn resource_updated(&self, uri: &str) {
        self.notify(Change::Resource(uri.into()));
    }

    fn resources_changed(&self) {
        self.notify(Change::Resources);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn told(changes: &mut broadcast::Receiver<Change>) -> Vec<Change> {
        std::iter::from_fn(|| changes.try_recv().ok()).collect()
    }

    async fn next(changes: &mut broadcast::Receiver<Change>) -> Change {
        let next = tokio::time::timeout(PATIENCE, changes.recv()).await;
        next.expect("it is told").unwrap()
    }

    #[tokio::test]
    async fn what_is_said_again_and_again_is_told_once_in_a_while_and_in_order() {
        let source = ChangeNotifier::new();
        let mut changes = source.subscribe_all();
        let _interest = ["a", "b"].map(|uri| source.subscribe(uri));
        let resource = |uri: &str| Change::Resource(uri.into());
        // The runtime has one thread: nothing else runs meanwhile.
        for _ in 0..1_000 {
            source.resources_changed();
            for uri in ["a", "b", "of nobody"] {
                source.resource_updated(uri);
            }
        }
        assert_eq!(told(&mut changes), [Change::Resources]);
        for change in [resource("a"), resource("b"), Change::Resources] {
            assert_eq!(next(&mut changes).await, change);
        }
        while lock(&source.0.state).is_pausing {
            tokio::time::sleep(COALESCE_INTERVAL / 10).await;
        }
        assert_eq!(told(&mut changes), []);
        source.resource_updated("b");
        assert_eq!(told(&mut changes), [resource("b")], "at once");
    }

    #[tokio::test]
    async fn what_nobody_subscribes_to_any_more_is_not_told() {
        let source = ChangeNotifier::new();
        let mut changes = source.subscribe_all();
        let [one, other] = [0, 1].map(|_| source.subscribe("a"));
        drop(one);
        source.resource_updated("a");
        assert_eq!(told(&mut changes).len(), 1);
        drop(other);
        source.resource_updated("a");
        assert!(lock(&source.0.state).waiting.is_empty());
        assert!(lock(&source.0.state).subscribed.is_empty());
    }
}
