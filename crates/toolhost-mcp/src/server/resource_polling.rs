//! Polls the versions of subscribed resources. A client's resources are polled one after the other
//! and with a bounded share of the time, however many there are and however long each takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::server::catalogue::Catalogue;
use crate::server::change_notifications::{Change, ChangeNotifier, ResourceSubscription};
use toolhost_core::error::CallError;
use toolhost_core::host::CallOptions;
use toolhost_core::locks::lock;

/// The polling interval of a resource, if its client's share allows.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// A client's resources are polled for a tenth of the time; one poll may take this long.
const CLIENT_SHARE: u32 = 10;
const AT_ONCE: Duration = Duration::from_secs(1);

/// The most polls that run at once, of all clients.
const MAX_PARALLEL_POLLS: usize = 2;

/// The most subscriptions of one client, and of all clients.
pub(crate) const MAX_SUBSCRIPTIONS: usize = 1_000;
const MAX_POLLS: usize = 10_000;

/// A longer URI belongs to no resource.
const MAX_URI: usize = 8 << 10;

/// The subscriptions of all clients.
pub(crate) struct Polls {
    clients: Mutex<HashMap<Arc<str>, Weak<Poller>>>,
    source: Arc<PollSource>,
}

/// The host whose resources are polled, and where changes are reported.
struct PollSource {
    catalogue: watch::Receiver<Arc<Catalogue>>,
    changes: Arc<ChangeNotifier>,
    beside: Semaphore,
}

/// Polls the resources of one client.
struct Poller {
    polls: Mutex<HashMap<Arc<str>, Weak<PolledResource>>>,
    /// Signals that one was added.
    added: Arc<Notify>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// A polled resource, polled for as long as it is held.
pub(crate) struct PolledResource {
    uri: Arc<str>,
    /// Its version, once known.
    known: Mutex<KnownVersion>,
    /// Whether it has been polled at all.
    asked: watch::Sender<bool>,
    /// Cancels a poll that is running.
    end: CancellationToken,
    poller: Arc<Poller>,
    _interest: ResourceSubscription,
}

struct KnownVersion {
    version: Option<String>,
    asked: Instant,
}

impl Drop for PolledResource {
    fn drop(&mut self) {
        self.end.cancel();
        let mut polls = lock(&self.poller.polls);
        // Another of the same URI may have replaced it.
        if polls
            .get(&self.uri)
            .is_some_and(|it| it.strong_count() == 0)
        {
            polls.remove(&self.uri);
        }
    }
}

impl PolledResource {
    /// Records a polled version. Returns whether it differs from the last one. A failed poll is
    /// repeated later.
    fn was_found(&self, version: Option<String>) -> bool {
        let mut known = lock(&self.known);
        known.asked = Instant::now();
        let is_other = version.is_some() && known.version.is_some() && version != known.version;
        if version.is_some() {
            known.version = version;
        }
        drop(known);
        self.asked.send_replace(true);
        is_other
    }

    /// Completes once it has been polled.
    pub(crate) async fn was_asked(&self) {
        let mut asked = self.asked.subscribe();
        let _ = asked.wait_for(|asked| *asked).await;
    }
}

impl Poller {
    /// The resource that was polled longest ago.
    fn next(&self) -> Option<(Weak<PolledResource>, Arc<str>, CancellationToken, Instant)> {
        // Dropping the last handle takes this lock, so drop them after it is released.
        let polls: Vec<Arc<PolledResource>> = {
            let polls = lock(&self.polls);
            polls.values().filter_map(Weak::upgrade).collect()
        };
        let polls = polls.iter().map(|poll| (poll, lock(&poll.known).asked));
        let (poll, asked) = polls.min_by_key(|(_, asked)| *asked)?;
        let weak = Arc::downgrade(poll);
        Some((weak, poll.uri.clone(), poll.end.clone(), asked))
    }
}

impl PollSource {
    async fn version(&self, uri: &str, options: &CallOptions) -> Result<String, CallError> {
        let catalogue = self.catalogue.borrow().clone();
        catalogue.host.resource_version(uri, options).await
    }
}

impl Polls {
    pub(crate) fn new(
        catalogue: watch::Receiver<Arc<Catalogue>>,
        changes: Arc<ChangeNotifier>,
    ) -> Polls {
        Polls {
            clients: Mutex::default(),
            source: Arc::new(PollSource {
                catalogue,
                changes,
                beside: Semaphore::new(MAX_PARALLEL_POLLS),
            }),
        }
    }

    /// Subscribes a client to a resource, and polls its version now.
    ///
    /// # Errors
    ///
    /// There is no such resource, or there are too many subscriptions.
    pub(crate) async fn subscribe(
        &self,
        client: &Arc<str>,
        uri: &str,
        options: &CallOptions,
    ) -> Result<Arc<PolledResource>, CallError> {
        let version = self.source.version(uri, options).await?;
        self.poll(client, uri, Some(version))
    }

    /// Subscribes a client to a resource, whose version may be known.
    ///
    /// # Errors
    ///
    /// There are too many subscriptions.
    pub(crate) fn poll(
        &self,
        client: &Arc<str>,
        uri: &str,
        version: Option<String>,
    ) -> Result<Arc<PolledResource>, CallError> {
        let failed = |message: String| CallError::Failed { message };
        if uri.len() > MAX_URI {
            return Err(failed(format!("a URI may have at most {MAX_URI} bytes")));
        }
        let (poller, all) = self.poller(client);
        let mut polls = lock(&poller.polls);
        if let Some(poll) = polls.get(uri).and_then(Weak::upgrade) {
            // Its drop would take the lock.
            drop(polls);
            return Ok(poll);
        }
        if polls.len() >= MAX_SUBSCRIPTIONS {
            return Err(failed(format!(
                "a client may subscribe to at most {MAX_SUBSCRIPTIONS} resources"
            )));
        }
        if all >= MAX_POLLS {
            return Err(failed(format!(
                "too many subscribed resources: the server polls at most {MAX_POLLS}"
            )));
        }
        let now = Instant::now();
        let asked = match &version {
            Some(_) => now,
            None => now.checked_sub(POLL_INTERVAL).unwrap_or(now),
        };
        let poll = Arc::new(PolledResource {
            uri: uri.into(),
            asked: watch::Sender::new(version.is_some()),
            known: Mutex::new(KnownVersion { version, asked }),
            end: CancellationToken::new(),
            poller: poller.clone(),
            _interest: self.source.changes.subscribe(uri),
        });
        polls.insert(poll.uri.clone(), Arc::downgrade(&poll));
        drop(polls);
        poller.added.notify_one();
        Ok(poll)
    }

    /// The poller of a client, and the number of subscriptions of all clients.
    fn poller(&self, client: &Arc<str>) -> (Arc<Poller>, usize) {
        let mut clients = lock(&self.clients);
        clients.retain(|_, poller| poller.strong_count() > 0);
        let pollers = clients.values().filter_map(Weak::upgrade);
        let all = pollers.map(|poller| lock(&poller.polls).len()).sum();
        if let Some(poller) = clients.get(client).and_then(Weak::upgrade) {
            return (poller, all);
        }
        let poller = Arc::new(Poller {
            polls: Mutex::default(),
            added: Arc::default(),
            task: Mutex::default(),
        });
        let asks = poll_in_turn(
            client.clone(),
            self.source.clone(),
            Arc::downgrade(&poller),
            poller.added.clone(),
        );
        let task = tokio::spawn(asks);
        *lock(&poller.task) = Some(AbortOnDropHandle::new(task));
        clients.insert(client.clone(), Arc::downgrade(&poller));
        (poller, all)
    }
}

/// Polls one resource after the other, for as long as there are any.
async fn poll_in_turn(
    client: Arc<str>,
    source: Arc<PollSource>,
    poller: Weak<Poller>,
    added: Arc<Notify>,
) {
    // When the client's share of the time is restored.
    let mut whole_at = Instant::now();
    loop {
        let Some(next) = poller.upgrade().map(|poller| poller.next()) else {
            return;
        };
        let now = Instant::now();
        let at_least = whole_at.checked_sub(AT_ONCE * CLIENT_SHARE).unwrap_or(now);
        let due = match &next {
            Some((.., asked)) => (*asked + POLL_INTERVAL).max(at_least),
            // The last is just gone, or the first about to come.
            None => now + POLL_INTERVAL,
        };
        if due > now {
            // An added resource may be due earlier.
            let _ = timeout_at(due, added.notified()).await;
            let now = Instant::now();
            if at_least > now {
                sleep_until(at_least.min(due)).await;
            }
            continue;
        }
        let Some((poll, uri, end, _)) = next else {
            continue;
        };
        let asks = async {
            let _beside = source.beside.acquire().await;
            let begun = Instant::now();
            let name = Some(client.clone()).filter(|name| !name.is_empty());
            let options = source.catalogue.borrow().options_of(name);
            let options = options.watcher(source.changes.clone());
            let version = source.version(&uri, &options).await;
            (version, begun)
        };
        let waited = Instant::now();
        let answer = end.run_until_cancelled(asks).await;
        let begun = answer.as_ref().map_or(waited, |(_, begun)| *begun);
        whole_at = whole_at.max(begun) + begun.elapsed() * CLIENT_SHARE;
        if let Some(poll) = poll.upgrade() {
            let version = answer.and_then(|(version, _)| version.ok());
            if poll.was_found(version) {
                source.changes.notify(Change::Resource(poll.uri.clone()));
            }
        }
        // Lets other tasks run.
        tokio::task::yield_now().await;
    }
}
