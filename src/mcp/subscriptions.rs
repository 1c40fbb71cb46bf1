//! Who is told of what changed: sessions of the older protocols by themselves, those of 2026-07-28 on
//! the streams they listen on. Resources that are subscribed to are asked for their version from time
//! to time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    PromptListChangedNotification, ResourceListChangedNotification, ResourceUpdatedNotification,
    ResourceUpdatedNotificationParam, ServerNotification, ToolListChangedNotification,
};
use rmcp::service::Peer;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;

use super::hub::{Change, Hub};
use crate::error::CallError;
use crate::host::CallOptions;

/// How often a resource that is subscribed to is asked for its version.
const INTERVAL: Duration = Duration::from_secs(2);

/// A session may subscribe to so many resources, and all sessions together to so many.
const MAX_SUBSCRIPTIONS: usize = 1_000;
const MAX_POLLS: usize = 10_000;

/// The resources that are asked for their versions.
#[derive(Default)]
pub(super) struct Polls(HashMap<String, Weak<Poll>>);

/// Asks a resource for its version as long as somebody holds it.
pub(super) struct Poll {
    _task: AbortOnDropHandle<()>,
}

/// What one session of the older protocols is told.
#[derive(Default)]
pub(super) struct Subscriptions {
    resources: Arc<Mutex<HashMap<String, Arc<Poll>>>>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Hub {
    /// Begins to watch a resource.
    ///
    /// # Errors
    ///
    /// There is no such resource, or too many are watched.
    pub(super) async fn poll(self: &Arc<Self>, uri: &str) -> Result<Arc<Poll>, CallError> {
        let options = CallOptions::new().watched_by(self.teller.clone());
        let version = self.offer().host.resource_version(uri, &options).await?;
        let mut polls = self.polls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(poll) = polls.0.get(uri).and_then(Weak::upgrade) {
            return Ok(poll);
        }
        polls.0.retain(|_, poll| poll.strong_count() > 0);
        if polls.0.len() >= MAX_POLLS {
            let message = format!("{MAX_POLLS} resources are subscribed to, and no more may be");
            return Err(CallError::Failed { message });
        }
        let task = tokio::spawn(watch(Arc::downgrade(self), uri.to_owned(), version));
        let poll = Arc::new(Poll {
            _task: AbortOnDropHandle::new(task),
        });
        polls.0.insert(uri.to_owned(), Arc::downgrade(&poll));
        Ok(poll)
    }
}

async fn watch(hub: Weak<Hub>, uri: String, mut known: String) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(hub) = hub.upgrade() else {
            return;
        };
        let options = CallOptions::new().watched_by(hub.teller.clone());
        let version = hub.offer().host.resource_version(&uri, &options).await;
        // What cannot say is asked again.
        if let Ok(version) = version
            && version != known
        {
            known = version;
            hub.teller.tell(Change::Resource(uri.as_str().into()));
        }
    }
}

impl Subscriptions {
    /// Passes changes on to a client for as long as its session is.
    pub(super) fn begin(&self, hub: &Hub, peer: Peer<RoleServer>) {
        let mut changes = hub.teller.listen();
        let resources = self.resources.clone();
        let task = tokio::spawn(async move {
            loop {
                let Some(news) = news(changes.recv().await) else {
                    return;
                };
                for change in news {
                    if let Change::Resource(uri) = &change {
                        let subscribed = resources.lock().unwrap_or_else(PoisonError::into_inner);
                        if !subscribed.contains_key(&**uri) {
                            continue;
                        }
                    }
                    if peer.send_notification(notification(change)).await.is_err() {
                        return;
                    }
                }
            }
        });
        let mut own = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        *own = Some(AbortOnDropHandle::new(task));
    }

    pub(super) fn add(&self, uri: String, poll: Arc<Poll>) -> Result<(), CallError> {
        let mut resources = self
            .resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if resources.len() >= MAX_SUBSCRIPTIONS && !resources.contains_key(&uri) {
            let message = format!("a session may subscribe to {MAX_SUBSCRIPTIONS} resources");
            return Err(CallError::Failed { message });
        }
        resources.insert(uri, poll);
        Ok(())
    }

    pub(super) fn remove(&self, uri: &str) {
        let mut resources = self
            .resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        resources.remove(uri);
    }
}

/// What came; of what was missed, all that may have changed. `None` when nothing comes any more.
fn news(came: Result<Change, RecvError>) -> Option<Vec<Change>> {
    match came {
        Ok(change) => Some(vec![change]),
        Err(RecvError::Lagged(_)) => Some(vec![Change::Tools, Change::Prompts, Change::Resources]),
        Err(RecvError::Closed) => None,
    }
}

pub(super) fn notification(change: Change) -> ServerNotification {
    match change {
        Change::Tools => ToolListChangedNotification::default().into(),
        Change::Prompts => PromptListChangedNotification::default().into(),
        Change::Resources => ResourceListChangedNotification::default().into(),
        Change::Resource(uri) => {
            let param = ResourceUpdatedNotificationParam::new(&*uri);
            ResourceUpdatedNotification::new(param).into()
        }
    }
}

/// Tells a stream of 2026-07-28 what it listens for, until it is closed or the server stops.
pub(super) async fn listen(hub: &Arc<Hub>, stream: rmcp::service::SubscriptionContext) {
    let accepted = stream.accepted().clone();
    let mut changes = hub.teller.listen();
    let uris: HashSet<&String> = accepted.resource_subscriptions.iter().flatten().collect();
    let mut polls = Vec::new();
    for uri in uris.into_iter().take(MAX_SUBSCRIPTIONS) {
        match hub.poll(uri).await {
            Ok(poll) => polls.push(poll),
            Err(error) => tracing::debug!("no subscription to {uri}: {error}"),
        }
    }
    loop {
        let change = tokio::select! {
            () = stream.cancelled() => return,
            () = hub.stop().cancelled() => return,
            () = hub.draining() => return,
            change = changes.recv() => change,
        };
        for change in news(change).into_iter().flatten() {
            // The sink leaves out what the client did not ask for.
            if let Err(rmcp::service::SubscriptionSendError::Service(_)) =
                stream.sink().send(notification(change)).await
            {
                return;
            }
        }
    }
}
