//! Who is told of what changed: sessions of the older protocols by themselves, those of 2026-07-28 on
//! the streams they listen on.

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

use crate::error::CallError;
use crate::server::changes::{Change, Changes, Interest};
use crate::server::lock;
use crate::server::polling::{MAX_SUBSCRIPTIONS, PolledResource};
use crate::server::server_state::ServerState;

/// How long a stream may wait until it is known how its resources are.
const FIRST_VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// What one session of the older protocols is told.
#[derive(Default)]
pub(crate) struct Subscriptions {
    resources: Arc<Mutex<HashMap<String, Arc<PolledResource>>>>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Subscriptions {
    /// Passes changes on to a client for as long as its session is.
    pub(crate) fn begin(&self, server: &ServerState, peer: Peer<RoleServer>) {
        let mut changes = server.changes.listen();
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

/// What came; of what was missed, all that may have changed. `None` when nothing comes any more.
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

/// What a stream is told of, of what it asks for: no more resources than a client may subscribe to.
pub(crate) fn accepted(requested: &SubscriptionFilter) -> SubscriptionFilter {
    let mut accepted = requested.clone();
    if let Some(uris) = &mut accepted.resource_subscriptions {
        uris.truncate(MAX_SUBSCRIPTIONS);
        uris.shrink_to_fit();
    }
    accepted
}

/// What comes for a stream from the moment on at which its client is told that it listens.
pub(crate) struct Listening {
    changes: Receiver<Change>,
    _interests: Vec<Interest>,
}

impl Listening {
    pub(crate) fn to(changes: &Changes, accepted: &SubscriptionFilter) -> Listening {
        let uris = accepted.resource_subscriptions.iter().flatten();
        Listening {
            _interests: uris.map(|uri| changes.subscribe(uri)).collect(),
            changes: changes.listen(),
        }
    }
}

/// Tells a stream of 2026-07-28 what it listens for, until it is closed or the server stops.
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
            // The sink leaves out what the client did not ask for.
            if let Err(rmcp::service::SubscriptionSendError::Service(_)) =
                stream.sink().send(notification(change)).await
            {
                return;
            }
        }
    }
}
