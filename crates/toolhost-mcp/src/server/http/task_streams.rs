//! `notifications/tasks` on `subscriptions/listen` streams over HTTP. rmcp does not know `taskIds`
//! in a subscription: it answers the rest, and the tasks' notifications join its stream here.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use http::{Request, StatusCode};
use rmcp::ErrorData;
use rmcp::model::{
    ClientCapabilities, DetailedTask, GetMeta, JsonRpcMessage, RequestId, RequestMetaObject,
    ServerNotification, TaskStatusNotification, TaskStatusNotificationParams,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::server::http::refusal::refuse;
use crate::server::http::sse;
use crate::server::server_state::ServerState;
use toolhost_core::watch::Owner;

/// The most tasks of one subscription.
const MAX_TASKS: usize = 1_000;

/// A subscription to tasks.
pub(crate) struct TaskSubscription {
    request: RequestId,
    tasks: Vec<String>,
    takes_tasks: bool,
}

#[derive(Deserialize)]
struct ListenMessage {
    id: RequestId,
    method: String,
    params: ListenParams,
}

#[derive(Deserialize)]
struct ListenParams {
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
    /// Reads the subscription from a request, if it is one; rmcp refuses malformed ones.
    pub(crate) fn of(request: &Request<Bytes>) -> Option<TaskSubscription> {
        let method = request.headers().get("mcp-method")?;
        if method != "subscriptions/listen" {
            return None;
        }
        let message: ListenMessage = serde_json::from_slice(request.body()).ok()?;
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

    /// The refusal, for a client that does not support tasks.
    pub(crate) fn refusal(&self) -> Option<Response> {
        if self.takes_tasks {
            return None;
        }
        let needed = ClientCapabilities::builder().enable_tasks().build();
        let error = ErrorData::missing_required_client_capability(needed);
        let id = Some(self.request.clone());
        Some(refuse(StatusCode::BAD_REQUEST, error, id))
    }

    /// Joins the notifications of an owner's tasks with the stream of the others.
    pub(crate) fn join(
        self,
        server: Arc<ServerState>,
        owner: Owner,
        response: Response,
    ) -> Response {
        let changes = server.tasks.subscribe();
        let tasks = self.tasks.into_iter().take(MAX_TASKS);
        let joined = Joined {
            tasks: tasks
                .filter(|id| server.tasks.get(&owner, id).is_some())
                .collect(),
            request: self.request,
            server,
            owner,
            changes,
            is_begun: false,
            ready: VecDeque::new(),
        };
        response.map(|body| Body::from_stream(joined.stream(sse::events(body))))
    }
}

/// A stream of written events.
trait WrittenEvents: Stream<Item = Result<Bytes, axum::Error>> + Send + 'static {}

impl<T: Stream<Item = Result<Bytes, axum::Error>> + Send + 'static> WrittenEvents for T {}

struct Joined {
    server: Arc<ServerState>,
    owner: Owner,
    request: RequestId,
    tasks: HashSet<String>,
    changes: Receiver<String>,
    is_begun: bool,
    /// The events to be sent next. A task is queued by its id, since its result may be long.
    ready: VecDeque<Ready>,
}

enum Ready {
    Event(Bytes),
    Task(String),
}

impl Joined {
    fn stream(self, rest: impl WrittenEvents) -> impl WrittenEvents {
        stream::unfold((self, Box::pin(rest)), async |(mut joined, mut rest)| {
            let next = joined.next(&mut rest).await?;
            Some((next, (joined, rest)))
        })
    }

    async fn next(
        &mut self,
        rest: &mut (impl WrittenEvents + Unpin),
    ) -> Option<Result<Bytes, axum::Error>> {
        loop {
            while let Some(ready) = self.ready.pop_front() {
                match ready {
                    Ready::Event(event) => return Some(Ok(event)),
                    Ready::Task(id) => {
                        if let Some(task) = self.server.tasks.get(&self.owner, &id) {
                            return Some(Ok(self.event_of(task)));
                        }
                    }
                }
            }
            tokio::select! {
                event = rest.next() => match event? {
                    Ok(event) if self.is_begun => return Some(Ok(event)),
                    Ok(event) => self.begin(event),
                    Err(error) => return Some(Err(error)),
                },
                changed = self.changes.recv(), if self.is_begun => match changed {
                    Ok(id) if self.tasks.contains(&id) => self.ready.push_back(Ready::Task(id)),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => self.tell_all(|_| true),
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    /// Handles the acknowledgement, which lists the tasks. Their present states are sent at once:
    /// there may be no further change.
    fn begin(&mut self, event: Bytes) {
        self.is_begun = true;
        let message = serde_json::from_slice::<Value>(&sse::data(&event)).ok();
        self.ready.push_back(Ready::Event(match message {
            Some(mut message) if message["params"]["notifications"].is_object() => {
                let mut tasks: Vec<&String> = self.tasks.iter().collect();
                tasks.sort();
                message["params"]["notifications"]["taskIds"] = json!(tasks);
                sse::event_of_text(message.to_string().as_bytes())
            }
            // An error, which ends the stream.
            _ => event,
        }));
        self.tell_all(|task| task.status() != rmcp::model::TaskStatus::Working);
    }

    fn tell_all(&mut self, is_told: impl Fn(&DetailedTask) -> bool) {
        let (server, owner) = (&self.server, &self.owner);
        let is_told = |id: &&String| server.tasks.get(owner, id).is_some_and(|it| is_told(&it));
        let told = self.tasks.iter().filter(is_told).cloned().map(Ready::Task);
        self.ready.extend(told);
    }

    fn event_of(&self, task: DetailedTask) -> Bytes {
        let params = TaskStatusNotificationParams::new(task);
        let notification = TaskStatusNotification::new(params);
        let mut notification = ServerNotification::TaskStatusNotification(notification);
        let meta = notification.get_meta_mut();
        meta.set_subscription_id(self.request.clone());
        sse::event_of(JsonRpcMessage::notification(notification))
    }
}
