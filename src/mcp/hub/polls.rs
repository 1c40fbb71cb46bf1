//! Resources that are subscribed to are asked for their version from time to time. That is computing for a client that
//! does not ask for it each time: a client's resources are asked one after the other, in a part of the time, however
//! many they are and however long each takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Hub;
use crate::error::CallError;
use crate::host::CallOptions;
use crate::mcp::teller::{Change, Interest};

/// How often a resource is asked for its version, if it is its turn.
const INTERVAL: Duration = Duration::from_secs(2);

/// A client's resources are asked for a tenth of the time, and for so long at once.
const SHARE: u32 = 10;
const AT_ONCE: Duration = Duration::from_secs(1);

/// So many are asked side by side, of all clients.
const BESIDE: usize = 2;

/// One client may subscribe to so many resources, and all together to so many.
pub(in crate::mcp) const MAX_SUBSCRIPTIONS: usize = 1_000;
const MAX_POLLS: usize = 10_000;

/// A longer URI is of no resource.
const MAX_URI: usize = 8 << 10;

/// What all clients subscribe to.
pub(in crate::mcp) struct Polls {
    clients: Mutex<HashMap<Arc<str>, Weak<Poller>>>,
    beside: Semaphore,
}

/// Asks the resources of one client.
struct Poller {
    polls: Mutex<HashMap<Arc<str>, Weak<Poll>>>,
    /// There is another.
    added: Arc<Notify>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// A resource that is asked for its version, as long as somebody holds it.
pub(in crate::mcp) struct Poll {
    uri: Arc<str>,
    /// What it is, once that is known.
    known: Mutex<Known>,
    /// Whether it was ever asked.
    asked: watch::Sender<bool>,
    /// Ends what asks it now.
    end: CancellationToken,
    poller: Arc<Poller>,
    _interest: Interest,
}

struct Known {
    version: Option<String>,
    asked: Instant,
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.end.cancel();
        let mut polls = self.poller.polls();
        // There may be another of the same by now.
        if polls
            .get(&self.uri)
            .is_some_and(|it| it.strong_count() == 0)
        {
            polls.remove(&self.uri);
        }
    }
}

impl Poll {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was asked; whether it is another than before. What cannot say is asked again.
    fn was_found(&self, version: Option<String>) -> bool {
        let mut known = self.known();
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
    pub(in crate::mcp) async fn was_asked(&self) {
        let mut asked = self.asked.subscribe();
        let _ = asked.wait_for(|asked| *asked).await;
    }
}

impl Poller {
    fn polls(&self) -> MutexGuard<'_, HashMap<Arc<str>, Weak<Poll>>> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resource that was not asked for longest.
    fn next(&self) -> Option<(Weak<Poll>, Arc<str>, CancellationToken, Instant)> {
        // Dropped with the lock held, the last of one would want it again.
        let polls: Vec<Arc<Poll>> = {
            let polls = self.polls();
            polls.values().filter_map(Weak::upgrade).collect()
        };
        let polls = polls.iter().map(|poll| (poll, poll.known().asked));
        let (poll, asked) = polls.min_by_key(|(_, asked)| *asked)?;
        let weak = Arc::downgrade(poll);
        Some((weak, poll.uri.clone(), poll.end.clone(), asked))
    }
}

impl Polls {
    pub(in crate::mcp) fn new() -> Polls {
        Polls {
            clients: Mutex::default(),
            beside: Semaphore::new(BESIDE),
        }
    }
}

impl Hub {
    /// Subscribes a client to a resource whose version is asked for now.
    ///
    /// # Errors
    ///
    /// There is no such resource, or too many are subscribed to.
    pub(in crate::mcp) async fn subscribe(
        self: &Arc<Self>,
        client: &Arc<str>,
        uri: &str,
        options: &CallOptions,
    ) -> Result<Arc<Poll>, CallError> {
        let version = self.offer().host.resource_version(uri, options).await?;
        self.poll(client, uri, Some(version))
    }

    /// Subscribes a client to a resource, whose version may be known.
    ///
    /// # Errors
    ///
    /// Too many are subscribed to.
    pub(in crate::mcp) fn poll(
        self: &Arc<Self>,
        client: &Arc<str>,
        uri: &str,
        version: Option<String>,
    ) -> Result<Arc<Poll>, CallError> {
        let failed = |message: String| CallError::Failed { message };
        if uri.len() > MAX_URI {
            return Err(failed(format!("a URI may have {MAX_URI} bytes")));
        }
        let (poller, all) = self.poller(client);
        let mut polls = poller.polls();
        if let Some(poll) = polls.get(uri).and_then(Weak::upgrade) {
            // Dropped here, it would want the lock.
            drop(polls);
            return Ok(poll);
        }
        if polls.len() >= MAX_SUBSCRIPTIONS {
            return Err(failed(format!(
                "a client may subscribe to {MAX_SUBSCRIPTIONS} resources"
            )));
        }
        if all >= MAX_POLLS {
            return Err(failed(format!(
                "{MAX_POLLS} resources are subscribed to, and no more may be"
            )));
        }
        let now = Instant::now();
        let asked = match &version {
            Some(_) => now,
            None => now.checked_sub(INTERVAL).unwrap_or(now),
        };
        let poll = Arc::new(Poll {
            uri: uri.into(),
            asked: watch::Sender::new(version.is_some()),
            known: Mutex::new(Known { version, asked }),
            end: CancellationToken::new(),
            poller: poller.clone(),
            _interest: self.teller.subscribe(uri),
        });
        polls.insert(poll.uri.clone(), Arc::downgrade(&poll));
        drop(polls);
        poller.added.notify_one();
        Ok(poll)
    }

    /// A client's, and how many resources all clients subscribe to.
    fn poller(self: &Arc<Self>, client: &Arc<str>) -> (Arc<Poller>, usize) {
        let clients = self.polls.clients.lock();
        let mut clients = clients.unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, poller| poller.strong_count() > 0);
        let pollers = clients.values().filter_map(Weak::upgrade);
        let all = pollers.map(|poller| poller.polls().len()).sum();
        if let Some(poller) = clients.get(client).and_then(Weak::upgrade) {
            return (poller, all);
        }
        let poller = Arc::new(Poller {
            polls: Mutex::default(),
            added: Arc::default(),
            task: Mutex::default(),
        });
        let asks = ask(
            Arc::downgrade(self),
            Arc::downgrade(&poller),
            poller.added.clone(),
        );
        let task = tokio::spawn(asks);
        let mut own = poller.task.lock().unwrap_or_else(PoisonError::into_inner);
        *own = Some(AbortOnDropHandle::new(task));
        drop(own);
        clients.insert(client.clone(), Arc::downgrade(&poller));
        (poller, all)
    }
}

/// Asks one resource after the other, as long as there are any.
async fn ask(hub: Weak<Hub>, poller: Weak<Poller>, added: Arc<Notify>) {
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
        let Some(hub) = hub.upgrade() else {
            return;
        };
        let asks = async {
            let _beside = hub.polls.beside.acquire().await;
            let begun = Instant::now();
            let options = CallOptions::new().watcher(hub.teller.clone());
            let version = hub.offer().host.resource_version(&uri, &options).await;
            (version, begun)
        };
        let waited = Instant::now();
        let answer = end.run_until_cancelled(asks).await;
        let begun = answer.as_ref().map_or(waited, |(_, begun)| *begun);
        whole_at = whole_at.max(begun) + begun.elapsed() * SHARE;
        if let Some(poll) = poll.upgrade() {
            let version = answer.and_then(|(version, _)| version.ok());
            if poll.was_found(version) {
                hub.teller.tell(Change::Resource(poll.uri.clone()));
            }
        }
        // Others have their turn.
        tokio::task::yield_now().await;
    }
}
