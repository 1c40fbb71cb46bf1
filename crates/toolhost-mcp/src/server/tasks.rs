//! Tasks (extension `io.modelcontextprotocol/tasks`, SEP-2663): a call that outlasts its request goes on
//! as one, and the client asks for what became of it.

pub(crate) mod task;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rmcp::ErrorData;
use rmcp::model::{self as mcp, DetailedTask, JsonObject};
use tokio::sync::broadcast;

use crate::kept::{Bounds, Kept, unguessable};
use crate::server::lock;
use crate::server::pending_questions::PendingQuestions;
use crate::server::tasks::task::{TASK_TTL, Task, failed};
use crate::watch::Owner;

const BOUNDS: Bounds = Bounds {
    time: TASK_TTL,
    items: 1_000,
    bytes: 64 << 20,
    all_items: 10_000,
    all_bytes: 256 << 20,
};

/// Tasks of one owner, and of all, that have not ended. Where there are as many, calls are answered as
/// without tasks.
const MAX_RUNNING: usize = 100;
const MAX_ALL_RUNNING: usize = 2_000;

/// Changes that a stream may be behind.
const CHANGES: usize = 256;

/// All tasks of a server.
pub(crate) struct Tasks {
    running: Mutex<HashMap<String, Arc<Task>>>,
    ended: Mutex<Kept<Owner, DetailedTask>>,
    /// The ids of those whose status is another.
    changes: broadcast::Sender<String>,
    questions: Arc<PendingQuestions>,
}

impl Tasks {
    pub(crate) fn new(questions: Arc<PendingQuestions>) -> Tasks {
        Tasks {
            questions,
            running: Mutex::default(),
            ended: Mutex::new(Kept::new(BOUNDS)),
            changes: broadcast::channel(CHANGES).0,
        }
    }

    /// A call that may become a task; none where there is no randomness to name it by.
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

    /// Makes a task of a call, if its request is not answered yet, and there may be another.
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

    /// A task has come to its end.
    pub(crate) fn end(&self, task: &Task, outcome: Result<JsonObject, ErrorData>) {
        let detailed = task.ended(outcome);
        let bytes = serde_json::to_vec(&detailed).map_or(0, |json| json.len());
        let mut running = lock(&self.running);
        // The client that could have asked for it is gone.
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

    /// What a task is now.
    pub(crate) fn get(&self, owner: &Owner, id: &str) -> Option<DetailedTask> {
        if let Some(task) = self.find(owner, id) {
            return Some(task.detailed());
        }
        lock(&self.ended).get(owner, id).cloned()
    }

    /// Takes what a client says to what it is asked. What it is not asked is passed over.
    ///
    /// # Errors
    ///
    /// There is no such task, or a response is none of the protocol's: then none is taken.
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

    /// Ends a task, unless it has ended.
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

    /// The ids of tasks whose status is another, from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<String> {
        self.changes.subscribe()
    }

    /// Ends all tasks of an owner that nobody will be any more.
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

/// There is no such task, or it is another client's: which of them, is not said.
pub(crate) fn unknown() -> ErrorData {
    let message = "unknown `taskId`: the task has expired, or belongs to another client";
    ErrorData::invalid_params(message, None)
}

fn too_long(task: DetailedTask) -> DetailedTask {
    let error = ErrorData::internal_error("the result is too long to keep", None);
    DetailedTask::new(task.task, failed(&error))
}
