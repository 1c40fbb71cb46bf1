//! Changes of lists and resources, and who is told of them. A plugin may say so as often as it likes: changes are told
//! at a bounded rate, each once however often it was said meanwhile, and those of resources only where somebody
//! subscribes to them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::server::lock;
use crate::server::pending_questions::decrement;
use crate::watch::Watcher;

/// Changes that a session may be behind.
const CHANGES: usize = 256;

/// After a change, others wait for so long, and then so many are told.
const PAUSE: Duration = Duration::from_millis(100);
const AT_ONCE: usize = 64;

/// Something that clients are told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    Tools,
    Prompts,
    Resources,
    Resource(Arc<str>),
}

/// Passes changes on to whoever listens; clones are the same.
#[derive(Clone)]
pub(crate) struct Changes(Arc<Shared>);

struct Shared {
    changes: broadcast::Sender<Change>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is told next, in the order in which it was first said.
    waiting: VecDeque<Change>,
    known: HashSet<Change>,
    /// Whether something was told just now.
    is_pausing: bool,
    /// How often each resource is subscribed to.
    subscribed: HashMap<Arc<str>, usize>,
}

/// A subscription to a resource, until it is dropped.
pub(crate) struct Interest {
    changes: Changes,
    uri: Arc<str>,
}

impl Changes {
    pub(crate) fn new() -> Changes {
        Changes(Arc::new(Shared {
            changes: broadcast::channel(CHANGES).0,
            state: Mutex::default(),
        }))
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Has changes of a resource be told.
    pub(crate) fn subscribe(&self, uri: &str) -> Interest {
        let uri: Arc<str> = uri.into();
        *lock(&self.0.state)
            .subscribed
            .entry(uri.clone())
            .or_default() += 1;
        Interest {
            changes: self.clone(),
            uri,
        }
    }

    pub(crate) fn tell(&self, change: Change) {
        let mut state = lock(&self.0.state);
        if let Change::Resource(uri) = &change
            && !state.subscribed.contains_key(uri)
        {
            return;
        }
        if state.is_pausing {
            // There are no more of them than subscriptions.
            if state.known.insert(change.clone()) {
                state.waiting.push_back(change);
            }
            return;
        }
        // Nobody may be listening.
        let _ = self.0.changes.send(change);
        if let Ok(runtime) = Handle::try_current() {
            state.is_pausing = true;
            runtime.spawn(self.clone().tell_on());
        }
    }

    /// Tells what is said from now on, until nothing is said for a while.
    async fn tell_on(self) {
        loop {
            tokio::time::sleep(PAUSE).await;
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

impl Drop for Interest {
    fn drop(&mut self) {
        decrement(
            &mut lock(&self.changes.0.state).subscribed,
            &self.uri,
            |it| it,
        );
    }
}

/// What plugins tell while nobody watches their call.
impl Watcher for Changes {
    fn resource_updated(&self, uri: &str) {
        self.tell(Change::Resource(uri.into()));
    }

    fn resources_changed(&self) {
        self.tell(Change::Resources);
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
        let source = Changes::new();
        let mut changes = source.listen();
        let _interest = ["a", "b"].map(|uri| source.subscribe(uri));
        let resource = |uri: &str| Change::Resource(uri.into());
        // Nothing else runs meanwhile.
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
            tokio::time::sleep(PAUSE / 10).await;
        }
        assert_eq!(told(&mut changes), []);
        source.resource_updated("b");
        assert_eq!(told(&mut changes), [resource("b")], "at once");
    }

    #[tokio::test]
    async fn what_nobody_subscribes_to_any_more_is_not_told() {
        let source = Changes::new();
        let mut changes = source.listen();
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
