//! Tasks (extension `io.modelcontextprotocol/tasks`, SEP-2663): a call that outlasts its request
//! continues as a task, and the client polls for its result.

pub(crate) mod task;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rmcp::ErrorData;
use rmcp::model::{self as mcp, DetailedTask, JsonObject};
use tokio::sync::broadcast;

use crate::server::pending_questions::PendingQuestions;
use crate::server::tasks::task::{TASK_TTL, Task, failed};
use toolhost_core::client_store::{ClientStore, StoreBounds, unguessable};
use toolhost_core::locks::lock;
use toolhost_core::watch::Owner;

const BOUNDS: StoreBounds = StoreBounds {
    time: TASK_TTL,
    items: 1_000,
    bytes: 64 << 20,
    all_items: 10_000,
    all_bytes: 256 << 20,
};

/// The most running tasks of one owner, and of all. At the bound, calls are answered as without
/// tasks.
const MAX_RUNNING: usize = 100;
const MAX_ALL_RUNNING: usize = 2_000;

/// The most changes that a stream may lag behind.
const MAX_LAG: usize = 256;

/// The tasks of a server.
pub(crate) struct Tasks {
    running: Mutex<HashMap<String, Arc<Task>>>,
    ended: Mutex<ClientStore<Owner, DetailedTask>>,
    /// Broadcasts the ids of tasks whose status has changed.
    changes: broadcast::Sender<String>,
    questions: Arc<PendingQuestions>,
}

impl Tasks {
    pub(crate) fn new(questions: Arc<PendingQuestions>) -> Tasks {
        Tasks {
            questions,
            running: Mutex::default(),
            ended: Mutex::new(ClientStore::new(BOUNDS)),
            changes: broadcast::channel(MAX_LAG).0,
        }
    }

    /// A call that may become a task; `None` if the system RNG cannot name it.
    pub(crate) fn begin(&self, owner: Owner, client: Option<Arc<str>>) -> Option<Arc<Task>> {
        let task = Task::new(
            unguessable()?,
            owner,
            client,
            self.changes.clone(),
            self.questions.clone(),
        );
        Some(Arc::new(task))
    }

    /// Makes a call a task, unless its request has been answered or there are too many tasks.
    pub(crate) fn take_over(&self, task: &Arc<Task>) -> Option<mcp::CreateTaskResult> {
        let mut running = lock(&self.running);
        let of_owner = running.values().filter(|it| it.owner == task.owner);
        let of_owner = of_owner.count();
        if running.len() >= MAX_ALL_RUNNING
            || of_owner >= MAX_RUNNING
            || !lock(&self.ended).has_room(&task.owner, of_owner + 1)
        {
            return None;
        }
        let created = task.take_over()?;
        running.insert(task.id.clone(), task.clone());
        Some(mcp::CreateTaskResult::new(created))
    }

    /// A task has ended.
    pub(crate) fn end(&self, task: &Task, outcome: Result<JsonObject, ErrorData>) {
        let detailed = task.ended(outcome);
        let bytes = serde_json::to_vec(&detailed).map_or(0, |json| json.len());
        let mut running = lock(&self.running);
        // The client that could ask for it is gone.
        if running.remove(&task.id).is_none() {
            return;
        }
        let detailed = match lock(&self.ended).fits(bytes) {
            true => detailed,
            false => too_long(detailed),
        };
        lock(&self.ended).add(
            &task.owner,
            task.id.clone(),
            detailed,
            bytes.min(BOUNDS.bytes),
        );
        drop(running);
        let _ = self.changes.send(task.id.clone());
    }

    /// The present state of a task.
    pub(crate) fn get(&self, owner: &Owner, id: &str) -> Option<DetailedTask> {
        if let Some(task) = self.find(owner, id) {
            return Some(task.detailed());
        }
        lock(&self.ended).get(owner, id).cloned()
    }

    /// Takes replies to a task's questions; those to other questions are ignored.
    ///
    /// # Errors
    ///
    /// There is no such task, or a reply is malformed: then none is taken.
    pub(crate) fn update(
        &self,
        owner: &Owner,
        id: &str,
        responses: mcp::InputResponses,
    ) -> Result<(), ErrorData> {
        if let Some(task) = self.find(owner, id) {
            return task.update(responses);
        }
        self.known(owner, id)
    }

    /// Cancels a task, unless it has ended.
    pub(crate) fn cancel(&self, owner: &Owner, id: &str) -> Result<(), ErrorData> {
        if let Some(task) = self.find(owner, id) {
            task.cancel.cancel();
            return Ok(());
        }
        self.known(owner, id)
    }

    fn known(&self, owner: &Owner, id: &str) -> Result<(), ErrorData> {
        match lock(&self.ended).get(owner, id) {
            Some(_) => Ok(()),
            None => Err(unknown()),
        }
    }

    fn find(&self, owner: &Owner, id: &str) -> Option<Arc<Task>> {
        let running = lock(&self.running);
        let task = running.get(id)?;
        (task.owner == *owner).then(|| task.clone())
    }

    /// The ids of tasks whose status changes from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<String> {
        self.changes.subscribe()
    }

    /// Cancels all tasks of an owner that is gone.
    pub(crate) fn end_owner(&self, owner: &Owner) {
        lock(&self.running).retain(|_, task| {
            let is_over = task.owner == *owner;
            if is_over {
                task.cancel.cancel();
            }
            !is_over
        });
        lock(&self.ended).end(owner);
    }
}

/// The error for an unknown task, and for another client's: which of the two must not show.
pub(crate) fn unknown() -> ErrorData {
    let message = "unknown `taskId`: the task has expired, or belongs to another client";
    ErrorData::invalid_params(message, None)
}

fn too_long(task: DetailedTask) -> DetailedTask {
    let error = ErrorData::internal_error("the result is too long to keep", None);
    DetailedTask::new(task.task, failed(&error))
}
