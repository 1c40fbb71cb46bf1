//! Resources that are subscribed to are asked for their version from time to time. That is computing for a client that
//! does not ask for it each time: a client's resources are asked one after the other, in a part of the time, however
//! many they are and however long each takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::error::CallError;
use crate::host::CallOptions;
use crate::server::catalogue::Catalogue;
use crate::server::changes::{Change, Changes, Interest};
use crate::server::lock;

/// How often a resource is asked for its version, if it is its turn.
const INTERVAL: Duration = Duration::from_secs(2);

/// A client's resources are asked for a tenth of the time, and for so long at once.
const SHARE: u32 = 10;
const AT_ONCE: Duration = Duration::from_secs(1);

/// So many are asked side by side, of all clients.
const BESIDE: usize = 2;

/// One client may subscribe to so many resources, and all together to so many.
pub(crate) const MAX_SUBSCRIPTIONS: usize = 1_000;
const MAX_POLLS: usize = 10_000;

/// A longer URI is of no resource.
const MAX_URI: usize = 8 << 10;

/// What all clients subscribe to.
pub(crate) struct Polls {
    clients: Mutex<HashMap<Arc<str>, Weak<Poller>>>,
    source: Arc<Source>,
}

/// Whose resources are asked for their versions, and who is told that one is another.
struct Source {
    catalogue: watch::Receiver<Arc<Catalogue>>,
    changes: Arc<Changes>,
    beside: Semaphore,
}

/// Asks the resources of one client.
struct Poller {
    polls: Mutex<HashMap<Arc<str>, Weak<PolledResource>>>,
    /// There is another.
    added: Arc<Notify>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// A resource that is asked for its version, as long as somebody holds it.
pub(crate) struct PolledResource {
    uri: Arc<str>,
    /// What it is, once that is known.
    known: Mutex<KnownVersion>,
    /// Whether it was ever asked.
    asked: watch::Sender<bool>,
    /// Ends what asks it now.
    end: CancellationToken,
    poller: Arc<Poller>,
    _interest: Interest,
}

struct KnownVersion {
    version: Option<String>,
    asked: Instant,
}

impl Drop for PolledResource {
    fn drop(&mut self) {
        self.end.cancel();
        let mut polls = lock(&self.poller.polls);
        // There may be another of the same by now.
        if polls
            .get(&self.uri)
            .is_some_and(|it| it.strong_count() == 0)
        {
            polls.remove(&self.uri);
        }
    }
}

impl PolledResource {
    /// It was asked; whether it is another than before. What cannot say is asked again.
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

    /// Comes once it was asked.
    pub(crate) async fn was_asked(&self) {
        let mut asked = self.asked.subscribe();
        let _ = asked.wait_for(|asked| *asked).await;
    }
}

impl Poller {
    /// The resource that was not asked for longest.
    fn next(&self) -> Option<(Weak<PolledResource>, Arc<str>, CancellationToken, Instant)> {
        // Dropped with the lock held, the last of one would want it again.
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

impl Source {
    async fn version(&self, uri: &str, options: &CallOptions) -> Result<String, CallError> {
        let catalogue = self.catalogue.borrow().clone();
        catalogue.host.resource_version(uri, options).await
    }
}

impl Polls {
    pub(crate) fn new(catalogue: watch::Receiver<Arc<Catalogue>>, changes: Arc<Changes>) -> Polls {
        Polls {
            clients: Mutex::default(),
            source: Arc::new(Source {
                catalogue,
                changes,
                beside: Semaphore::new(BESIDE),
            }),
        }
    }

    /// Subscribes a client to a resource whose version is asked for now.
    ///
    /// # Errors
    ///
    /// There is no such resource, or too many are subscribed to.
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
    /// Too many are subscribed to.
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
            // Dropped here, it would want the lock.
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
            None => now.checked_sub(INTERVAL).unwrap_or(now),
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

    /// A client's, and how many resources all clients subscribe to.
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
        let asks = ask(
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

/// Asks one resource after the other, as long as there are any.
async fn ask(client: Arc<str>, source: Arc<Source>, poller: Weak<Poller>, added: Arc<Notify>) {
    // When the client's share of the time is whole again.
    let mut whole_at = Instant::now();
    loop {
        let Some(next) = poller.upgrade().map(|poller| poller.next()) else {
            return;
        };
        let now = Instant::now();
        let at_least = whole_at.checked_sub(AT_ONCE * SHARE).unwrap_or(now);
        let due = match &next {
            Some((.., asked)) => (*asked + INTERVAL).max(at_least),
            // The last is just gone, or the first about to come.
            None => now + INTERVAL,
        };
        if due > now {
            // What is added may be due before.
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
        whole_at = whole_at.max(begun) + begun.elapsed() * SHARE;
        if let Some(poll) = poll.upgrade() {
            let version = answer.and_then(|(version, _)| version.ok());
            if poll.was_found(version) {
                source.changes.tell(Change::Resource(poll.uri.clone()));
            }
        }
        // Others have their turn.
        tokio::task::yield_now().await;
    }
}
