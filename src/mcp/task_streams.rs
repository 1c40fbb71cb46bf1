//! `notifications/tasks` on the streams of `subscriptions/listen`, over HTTP. rmcp knows no `taskIds` in
//! a subscription: it answers the rest of it, and the tasks join its stream here.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use http::{Request, StatusCode};
use rmcp::ErrorData;
use rmcp::model::{
    ClientCapabilities, DetailedTask, GetMeta, JsonRpcMessage, RequestId, RequestMetaObject,
    ServerJsonRpcMessage, ServerNotification, TaskStatusNotification, TaskStatusNotificationParams,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::accept::event_data;
use super::events::message_text;
use super::hub::Hub;
use super::refusing::refuse;
use crate::watch::Owner;

/// Tasks that one stream tells of.
const MAX_TASKS: usize = 1_000;

/// A subscription to tasks.
pub(super) struct TaskSubscription {
    request: RequestId,
    tasks: Vec<String>,
    takes_tasks: bool,
}

#[derive(Deserialize)]
struct Message {
    id: RequestId,
    method: String,
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    notifications: Notifications,
    #[serde(rename = "_meta")]
    meta: RequestMetaObject,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notifications {
    task_ids: Vec<String>,
}

impl TaskSubscription {
    /// What a request asks for, if it is one; rmcp refuses what is wrong of it.
    pub(super) fn of(request: &Request<Bytes>) -> Option<TaskSubscription> {
        let method = request.headers().get("mcp-method")?;
        if method != "subscriptions/listen" {
            return None;
        }
        let message: Message = serde_json::from_slice(request.body()).ok()?;
        if message.method != "subscriptions/listen" {
            return None;
        }
        let capabilities = message.params.meta.client_capabilities();
        Some(TaskSubscription {
            request: message.id,
            tasks: message.params.notifications.task_ids,
            takes_tasks: capabilities.is_some_and(|it| it.supports_tasks()),
        })
    }

    /// The response to one of a client that takes no tasks.
    pub(super) fn refusal(&self) -> Option<Response> {
        if self.takes_tasks {
            return None;
        }
        let needed = ClientCapabilities::builder().enable_tasks().build();
        let error = ErrorData::missing_required_client_capability(needed);
        let id = Some(self.request.clone());
        Some(refuse(StatusCode::BAD_REQUEST, error, id))
    }

    /// The stream of the other notifications, with those of an owner's tasks among them.
    pub(super) fn join(self, hub: Arc<Hub>, owner: Owner, response: Response) -> Response {
        let changes = hub.tasks.listen();
        let tasks = self.tasks.into_iter().take(MAX_TASKS);
        let joined = Joined {
            tasks: tasks
                .filter(|id| hub.tasks.get(&owner, id).is_some())
                .collect(),
            request: self.request,
            hub,
            owner,
            changes,
            begun: Vec::new(),
            is_begun: false,
            ready: VecDeque::new(),
        };
        response.map(|body| Body::from_stream(joined.stream(body.into_data_stream())))
    }
}

struct Joined {
    hub: Arc<Hub>,
    owner: Owner,
    request: RequestId,
    tasks: HashSet<String>,
    changes: Receiver<String>,
    /// What came of the acknowledgement, until that is whole.
    begun: Vec<u8>,
    is_begun: bool,
    /// What is to be sent next.
    ready: VecDeque<Bytes>,
}

impl Joined {
    fn stream(self, rest: BodyDataStream) -> impl Stream<Item = Result<Bytes, axum::Error>> {
        stream::unfold((self, rest), async |(mut joined, mut rest)| {
            let next = joined.next(&mut rest).await?;
            Some((next, (joined, rest)))
        })
    }

    async fn next(&mut self, rest: &mut BodyDataStream) -> Option<Result<Bytes, axum::Error>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(Ok(ready));
            }
            tokio::select! {
                data = rest.next() => match data? {
                    Ok(data) if self.is_begun => return Some(Ok(data)),
                    Ok(data) => self.begin(&data),
                    Err(error) => return Some(Err(error)),
                },
                changed = self.changes.recv(), if self.is_begun => match changed {
                    Ok(id) if self.tasks.contains(&id) => self.tell(&id),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => self.tell_all(|_| true),
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    /// Takes in the acknowledgement, which says which tasks are told of. What became of them before is
    /// told at once: nothing else would.
    fn begin(&mut self, data: &[u8]) {
        self.begun.extend_from_slice(data);
        let Some(end) = self.begun.windows(2).position(|it| it == b"\n\n") else {
            return;
        };
        self.is_begun = true;
        let rest = self.begun.split_off(end + 2);
        let event = std::mem::take(&mut self.begun);
        let message = serde_json::from_slice::<Value>(&event_data(&event)).ok();
        match message {
            Some(mut message) if message["params"]["notifications"].is_object() => {
                let mut tasks: Vec<&String> = self.tasks.iter().collect();
                tasks.sort();
                message["params"]["notifications"]["taskIds"] = json!(tasks);
                self.ready.push_back(format!("data: {message}\n\n").into());
            }
            // An error, which ends the stream.
            _ => self.ready.push_back(event.into()),
        }
        if !rest.is_empty() {
            self.ready.push_back(rest.into());
        }
        self.tell_all(|task| task.status() != rmcp::model::TaskStatus::Working);
    }

    fn tell_all(&mut self, is_told: impl Fn(&DetailedTask) -> bool) {
        let tasks = self.tasks.iter();
        let told = tasks.filter_map(|id| self.hub.tasks.get(&self.owner, id));
        let told: Vec<DetailedTask> = told.filter(is_told).collect();
        for task in told {
            self.push(task);
        }
    }

    fn tell(&mut self, id: &str) {
        if let Some(task) = self.hub.tasks.get(&self.owner, id) {
            self.push(task);
        }
    }

    fn push(&mut self, task: DetailedTask) {
        let params = TaskStatusNotificationParams::new(task);
        let notification = TaskStatusNotification::new(params);
        let mut notification = ServerNotification::TaskStatusNotification(notification);
        let meta = notification.get_meta_mut();
        meta.set_subscription_id(self.request.clone());
        let message: ServerJsonRpcMessage = JsonRpcMessage::notification(notification);
        let event = format!("data: {}\n\n", message_text(&message));
        self.ready.push_back(event.into());
    }
}
