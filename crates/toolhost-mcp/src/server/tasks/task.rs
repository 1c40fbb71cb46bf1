//! A call that is, or may become, a task: its state and its questions.
//!
//! A call of a client that supports tasks runs in a tokio task from the start, and its request
//! waits for its answer or for `task-after`, whichever comes first. Which of the two answers the
//! request is decided under the lock of [`Stage`]: [`Task::answer`] and [`Task::take_over`] succeed
//! only in `Held`.
//!
//! | stage | the request | the call | `tasks/get` |
//! | --- | --- | --- | --- |
//! | `Held` | waits | runs | unknown |
//! | `Answered` | has the answer | has ended | unknown |
//! | `Working` | has a task | runs | `working` |
//! | `OpenQuestions` | has a task | waits for its client, without an instance | `input_required` |
//! | (ended) | has a task | has ended | `completed`, `failed` or `cancelled`, for an hour: kept by [`Tasks`](super::Tasks) |
//!
//! | from | event | to | by |
//! | --- | --- | --- | --- |
//! | `Held` | the call has ended, or asks through its result | `Answered` | [`Task::answer`] |
//! | `Held` | `task-after` has passed, and the client may have another task | `Working` | [`Task::take_over`] |
//! | `Working` | the tool asks | `OpenQuestions` | [`Task::ask`] |
//! | `OpenQuestions` | `tasks/update` has answered everything, or the questions are void | `Working` | [`Task::update`], [`Task::ask`] |
//! | `Working`, `OpenQuestions` | the call has ended, or was cancelled | (ended) | [`Task::ended`] |

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use rmcp::ErrorData;
use rmcp::model::{self as mcp, DetailedTask, InputRequests, JsonObject, TaskPayload};
use serde_json::Value;
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;
use toolhost_core::Responder;

use crate::server::elicitation::{self, PeerResponder};
use crate::server::pending_questions::PendingQuestions;
use toolhost_core::error::CallError;
use toolhost_core::input::{InputRequired, Question, QuestionKinds, Reply, Resumption};
use toolhost_core::locks::lock;
use toolhost_core::watch::Owner;

/// How long a task's result is kept after it has ended.
pub(crate) const TASK_TTL: Duration = Duration::from_secs(60 * 60);

/// The polling interval suggested to clients.
const POLL_MS: u64 = 1_000;

/// A call that is, or may become, a task.
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) owner: Owner,
    /// The client whose questions are counted, across its sessions.
    client: Option<Arc<str>>,
    created: SystemTime,
    since: Instant,
    /// Cancels the call.
    pub(crate) cancel: CancellationToken,
    changes: broadcast::Sender<String>,
    questions: Arc<PendingQuestions>,
    state: Mutex<TaskState>,
}

struct TaskState {
    stage: Stage,
    message: Option<String>,
    updated: SystemTime,
    /// All keys of questions that were ever used.
    keys: HashSet<String>,
    was_cancelled: bool,
}

enum Stage {
    /// Its request waits for the answer.
    Held,
    /// Its request has the answer.
    Answered,
    Working,
    Asking(OpenQuestions),
}

/// The questions to the client, and the replies so far.
struct OpenQuestions {
    /// By the keys that the client knows.
    open: InputRequests,
    /// The tool's own keys by the client's.
    keys: HashMap<String, String>,
    replies: Vec<(String, Reply)>,
    resume: oneshot::Sender<Vec<(String, Reply)>>,
}

/// Why a question of a task has no reply.
pub(crate) enum NoReply {
    /// The task was cancelled.
    Cancelled,
    /// The error for the model.
    Failed(String),
}

impl Task {
    /// A call whose request waits for the answer.
    pub(crate) fn new(
        id: String,
        owner: Owner,
        client: Option<Arc<str>>,
        changes: broadcast::Sender<String>,
        questions: Arc<PendingQuestions>,
    ) -> Task {
        let now = SystemTime::now();
        Task {
            id,
            owner,
            client,
            created: now,
            since: Instant::now(),
            cancel: CancellationToken::new(),
            changes,
            questions,
            state: Mutex::new(TaskState {
                stage: Stage::Held,
                message: None,
                updated: now,
                keys: HashSet::new(),
                was_cancelled: false,
            }),
        }
    }

    /// Whether its request still waits for the answer.
    pub(crate) fn is_held(&self) -> bool {
        matches!(lock(&self.state).stage, Stage::Held)
    }

    /// Makes it a task, unless its request has been answered.
    pub(crate) fn take_over(&self) -> Option<mcp::Task> {
        let mut state = lock(&self.state);
        let Stage::Held = state.stage else {
            return None;
        };
        state.stage = Stage::Working;
        Some(self.described(&state))
    }

    /// The final state, once its call has ended.
    pub(crate) fn ended(&self, outcome: Result<JsonObject, ErrorData>) -> DetailedTask {
        let mut state = lock(&self.state);
        state.stage = Stage::Answered;
        state.updated = SystemTime::now();
        let payload = match outcome {
            _ if state.was_cancelled => TaskPayload::Cancelled,
            Ok(result) => TaskPayload::Completed { result },
            Err(error) => {
                state.message = Some(error.message.to_string());
                failed(&error)
            }
        };
        DetailedTask::new(self.described(&state), payload)
    }

    /// Gives the answer to its request; false if it has become a task.
    pub(crate) fn answer(&self) -> bool {
        let mut state = lock(&self.state);
        let is_held = matches!(state.stage, Stage::Held);
        if is_held {
            state.stage = Stage::Answered;
        }
        is_held
    }

    /// Notes that its call ended because it was cancelled.
    pub(crate) fn was_cancelled(&self) {
        lock(&self.state).was_cancelled = true;
    }

    /// Sets the status message.
    pub(crate) fn progressed(&self, message: String) {
        let mut state = lock(&self.state);
        state.message = Some(message);
        state.updated = SystemTime::now();
    }

    fn described(&self, state: &TaskState) -> mcp::Task {
        let status = match &state.stage {
            Stage::Asking(_) => mcp::TaskStatus::InputRequired,
            _ => mcp::TaskStatus::Working,
        };
        let time = |time| humantime::format_rfc3339_millis(time).to_string();
        // It is kept for as long after its end, whose time is not known yet.
        let ttl = self.since.elapsed() + TASK_TTL;
        let mut task = mcp::Task::new(&*self.id, status, time(self.created), time(state.updated));
        task.status_message = state.message.clone();
        task.ttl_ms = u64::try_from(ttl.as_millis()).ok();
        task.poll_interval_ms = Some(POLL_MS);
        task
    }

    /// Its present state.
    pub(crate) fn detailed(&self) -> DetailedTask {
        let state = lock(&self.state);
        let payload = match &state.stage {
            Stage::Asking(asking) => TaskPayload::InputRequired {
                input_requests: asking.open.clone(),
            },
            _ => TaskPayload::Working,
        };
        DetailedTask::new(self.described(&state), payload)
    }

    fn notify_status(&self) {
        // There may be no receiver.
        let _ = self.changes.send(self.id.clone());
    }

    /// Asks the client, which finds the questions in `tasks/get`, until all are answered.
    pub(crate) async fn ask(
        &self,
        questions: &[(String, Question)],
    ) -> Result<Vec<(String, Reply)>, NoReply> {
        let (resume, resumed) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            let (mut open, mut keys) = (InputRequests::new(), HashMap::new());
            for (key, question) in questions {
                let request = elicitation::input_request(question)
                    .map_err(|message| NoReply::Failed(format!("{key:?}: {message}")))?;
                // No key is used twice in the life of a task.
                let mut known = key.clone();
                let mut number = 1;
                while !state.keys.insert(known.clone()) {
                    number += 1;
                    known = format!("{key}-{number}");
                }
                open.insert(known.clone(), request);
                keys.insert(known, key.clone());
            }
            state.stage = Stage::Asking(OpenQuestions {
                open,
                keys,
                replies: Vec::new(),
                resume,
            });
            state.updated = SystemTime::now();
        }
        self.notify_status();
        let replies = self
            .questions
            .wait(&self.owner, self.client.as_ref(), resumed);
        let why = match self.cancel.run_until_cancelled(replies).await {
            None => return Err(NoReply::Cancelled),
            Some(Ok(Ok(replies))) => return Ok(replies),
            Some(Ok(Err(_))) => "the client did not answer the tool's question".to_owned(),
            Some(Err(why)) => why,
        };
        lock(&self.state).stage = Stage::Working;
        Err(NoReply::Failed(why))
    }

    /// Takes replies to its questions; those to other questions are ignored.
    ///
    /// # Errors
    ///
    /// A reply is malformed: then none is taken.
    pub(crate) fn update(&self, responses: mcp::InputResponses) -> Result<(), ErrorData> {
        let mut state = lock(&self.state);
        let Stage::Asking(asking) = &mut state.stage else {
            return Ok(());
        };
        let mut replies = Vec::new();
        for (key, response) in responses {
            if asking.open.contains_key(&key) {
                let reply = elicitation::reply(response).map_err(|what| {
                    ErrorData::invalid_params(format!("the input response {key:?} {what}"), None)
                })?;
                replies.push((key, reply));
            }
        }
        for (key, reply) in replies {
            asking.open.remove(&key);
            let own = asking.keys.remove(&key).unwrap_or(key);
            asking.replies.push((own, reply));
        }
        state.updated = SystemTime::now();
        let is_answered = matches!(&state.stage, Stage::Asking(it) if it.open.is_empty());
        if is_answered
            && let Stage::Asking(asking) = std::mem::replace(&mut state.stage, Stage::Working)
        {
            // Its call may have been cancelled meanwhile.
            let _ = asking.resume.send(asking.replies);
        }
        drop(state);
        self.notify_status();
        Ok(())
    }
}

/// A [`Responder`] that asks the client of a session: by requests of the server, or through its
/// task once there is one.
pub(crate) struct TaskResponder {
    pub(crate) peer: PeerResponder,
    pub(crate) task: Arc<Task>,
}

impl Responder for TaskResponder {
    fn kinds(&self) -> QuestionKinds {
        self.peer.kinds()
    }

    fn reply<'a>(
        &'a self,
        tool: &'a str,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        if self.task.is_held() {
            return self.peer.reply(tool, question);
        }
        Box::pin(async move {
            let questions = [("question".to_owned(), question.clone())];
            match self.task.ask(&questions).await {
                Ok(replies) => {
                    let reply = replies.into_iter().next().map(|(_, reply)| reply);
                    let reply =
                        reply.ok_or_else(|| CallError::failed("the client did not answer"))?;
                    let checked = elicitation::check(question, &reply).await;
                    checked.map_err(CallError::failed)?;
                    Ok(reply)
                }
                Err(NoReply::Cancelled) => Err(CallError::failed("the task was cancelled")),
                Err(NoReply::Failed(message)) => Err(CallError::failed(message)),
            }
        })
    }
}

/// The replies to a task's questions, to resume the tool with.
pub(crate) async fn answers(task: &Task, input: InputRequired) -> Result<Resumption, NoReply> {
    let replies = task.ask(&input.questions).await?;
    Ok(Resumption::new(input.state, replies))
}

/// The state of a task that ended with a protocol error.
pub(crate) fn failed(error: &ErrorData) -> TaskPayload {
    let error = match serde_json::to_value(error) {
        Ok(Value::Object(error)) => error,
        _ => JsonObject::new(),
    };
    TaskPayload::Failed { error }
}
