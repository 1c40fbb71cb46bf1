//! Subscriptions to change notifications: sessions of the older protocols get them by themselves,
//! clients of 2026-07-28 on the streams of `subscriptions/listen`.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    PromptListChangedNotification, ResourceListChangedNotification, ResourceUpdatedNotification,
    ResourceUpdatedNotificationParam, ServerNotification, SubscriptionFilter,
    ToolListChangedNotification,
};
use rmcp::service::Peer;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;

use crate::server::change_notifications::{Change, ChangeNotifier, ResourceSubscription};
use crate::server::resource_polling::{MAX_SUBSCRIPTIONS, PolledResource};
use crate::server::server_state::ServerState;
use toolhost_core::error::CallError;
use toolhost_core::locks::lock;

/// How long a stream may wait for the first versions of its resources.
const FIRST_VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// The subscriptions of one session of the older protocols.
#[derive(Default)]
pub(crate) struct Subscriptions {
    resources: Arc<Mutex<HashMap<String, Arc<PolledResource>>>>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Subscriptions {
    /// Forwards changes to a client for as long as its session lasts.
    pub(crate) fn begin(&self, server: &ServerState, peer: Peer<RoleServer>) {
        let mut changes = server.changes.subscribe_all();
        let resources = self.resources.clone();
        let task = tokio::spawn(async move {
            loop {
                let subscribed = || {
                    let resources = lock(&resources);
                    resources.keys().map(|uri| uri.as_str().into()).collect()
                };
                let Some(news) = news(changes.recv().await, subscribed) else {
                    return;
                };
                for change in news {
                    if let Change::Resource(uri) = &change {
                        let subscribed = lock(&resources);
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
        *lock(&self.task) = Some(AbortOnDropHandle::new(task));
    }

    pub(crate) fn add(&self, uri: String, poll: Arc<PolledResource>) -> Result<(), CallError> {
        let mut resources = lock(&self.resources);
        if resources.len() >= MAX_SUBSCRIPTIONS && !resources.contains_key(&uri) {
            let message =
                format!("a session may subscribe to at most {MAX_SUBSCRIPTIONS} resources");
            return Err(CallError::Failed { message });
        }
        resources.insert(uri, poll);
        Ok(())
    }

    pub(crate) fn remove(&self, uri: &str) {
        let mut resources = lock(&self.resources);
        resources.remove(uri);
    }
}

/// The next changes; after a gap, everything that may have changed. `None` at the end.
fn news(
    came: Result<Change, RecvError>,
    subscribed: impl FnOnce() -> Vec<Arc<str>>,
) -> Option<Vec<Change>> {
    match came {
        Ok(change) => Some(vec![change]),
        Err(RecvError::Lagged(_)) => {
            let lists = [Change::Tools, Change::Prompts, Change::Resources];
            let resources = subscribed().into_iter().map(Change::Resource);
            Some(lists.into_iter().chain(resources).collect())
        }
        Err(RecvError::Closed) => None,
    }
}

pub(crate) fn notification(change: Change) -> ServerNotification {
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

/// The part of a requested filter that is granted: no more resources than a client may subscribe
/// to.
pub(crate) fn accepted(requested: &SubscriptionFilter) -> SubscriptionFilter {
    let mut accepted = requested.clone();
    if let Some(uris) = &mut accepted.resource_subscriptions {
        uris.truncate(MAX_SUBSCRIPTIONS);
        uris.shrink_to_fit();
    }
    accepted
}

/// The changes for a stream from the moment its client is told that it listens.
pub(crate) struct Listening {
    changes: Receiver<Change>,
    _interests: Vec<ResourceSubscription>,
}

impl Listening {
    pub(crate) fn to(changes: &ChangeNotifier, accepted: &SubscriptionFilter) -> Listening {
        let uris = accepted.resource_subscriptions.iter().flatten();
        Listening {
            _interests: uris.map(|uri| changes.subscribe(uri)).collect(),
            changes: changes.subscribe_all(),
        }
    }
}

/// Sends a stream of 2026-07-28 its changes, until it is closed or the server stops.
pub(crate) async fn listen(
    server: &Arc<ServerState>,
    client: &Arc<str>,
    mut listening: Listening,
    stream: rmcp::service::SubscriptionContext,
) {
    let accepted = stream.accepted().clone();
    let uris = accepted.resource_subscriptions.iter().flatten();
    let subscribe = |uri: &String| match server.polls.poll(client, uri, None) {
        Ok(poll) => Some(poll),
        Err(error) => {
            tracing::debug!("no subscription to {uri}: {error}");
            None
        }
    };
    let polls: Vec<Arc<PolledResource>> = uris.filter_map(subscribe).collect();
    let begun = async {
        for poll in &polls {
            poll.was_asked().await;
        }
    };
    let mut over = pin!(async {
        tokio::select! {
            () = stream.cancelled() => {}
            () = server.draining() => {}
        }
    });
    tokio::select! {
        () = &mut over => return,
        _ = tokio::time::timeout(FIRST_VERSION_TIMEOUT, begun) => {}
    };
    loop {
        let change = tokio::select! {
            () = &mut over => return,
            change = listening.changes.recv() => change,
        };
        let subscribed = || {
            let uris = accepted.resource_subscriptions.iter().flatten();
            uris.map(|uri| uri.as_str().into()).collect()
        };
        for change in news(change, subscribed).into_iter().flatten() {
            // The sink filters what the client did not ask for.
            if let Err(rmcp::service::SubscriptionSendError::Service(_)) =
                stream.sink().send(notification(change)).await
            {
                return;
            }
        }
    }
}
