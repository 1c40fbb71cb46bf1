//! One call that may become a task, or is one: what it is doing, and what its client is asked.
//!
//! A call of a client that takes tasks runs in a task of the runtime from the start, and its request waits for either
//! of two things: its answer, or `task-after`. Both want to be first, so that which of them answers the request is
//! decided under the lock of [`Stage`]: [`Task::answer`] and [`Task::take_over`] succeed in `Held` alone.
//!
//! | stage | the request | the call | `tasks/get` |
//! | --- | --- | --- | --- |
//! | `Held` | waits | runs | unknown |
//! | `Answered` | has the answer | is over | unknown |
//! | `Working` | has a task | runs | `working` |
//! | `Asking` | has a task | waits for its client, in no instance | `input_required` |
//! | (ended) | has a task | is over | `completed`, `failed` or `cancelled`, for an hour: kept by [`Tasks`](super::Tasks) |
//!
//! | from | event | to | by |
//! | --- | --- | --- | --- |
//! | `Held` | the call is over, or asks by its result | `Answered` | [`Task::answer`] |
//! | `Held` | the client has waited long enough, and may have another task | `Working` | [`Task::take_over`] |
//! | `Working` | the tool asks | `Asking` | [`Task::ask`] |
//! | `Asking` | `tasks/update` has answered everything, or nobody will | `Working` | [`Task::update`], [`Task::ask`] |
//! | `Working`, `Asking` | the call is over, or was cancelled | (ended) | [`Task::ended`] |

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

use crate::error::CallError;
use crate::input::{InputRequired, Question, QuestionKinds, Reply, Resumption};
use crate::server::elicitation::{self, PeerResponder};
use crate::server::lock;
use crate::server::pending_questions::PendingQuestions;
use crate::watch::Owner;

/// What becomes of a task is kept for so long once it has ended.
pub(crate) const TASK_TTL: Duration = Duration::from_secs(60 * 60);

/// How often a client should ask.
const POLL_MS: u64 = 1_000;

/// A call that may become a task, or is one.
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) owner: Owner,
    /// Whose questions are counted together, in all sessions.
    client: Option<Arc<str>>,
    created: SystemTime,
    since: Instant,
    /// Ends it.
    pub(crate) cancel: CancellationToken,
    changes: broadcast::Sender<String>,
    questions: Arc<PendingQuestions>,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    message: Option<String>,
    updated: SystemTime,
    /// Every key that the client was asked under.
    keys: HashSet<String>,
    was_cancelled: bool,
}

enum Stage {
    /// Its request waits for the answer.
    Held,
    /// Its request has the answer.
    Answered,
    Working,
    Asking(Asking),
}

/// What the client is asked, and what it said so far.
struct Asking {
    /// By the keys that the client knows.
    open: InputRequests,
    /// The tool's own keys by those.
    keys: HashMap<String, String>,
    replies: Vec<(String, Reply)>,
    resume: oneshot::Sender<Vec<(String, Reply)>>,
}

/// Why a question of a task has no reply.
pub(crate) enum Unanswered {
    /// The task was cancelled.
    Cancelled,
    /// What to tell the model.
    Failed(String),
}

impl Task {
    /// One whose request waits for the answer.
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
            state: Mutex::new(State {
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

    /// Goes on without its request, if that is not answered yet.
    pub(crate) fn take_over(&self) -> Option<mcp::Task> {
        let mut state = lock(&self.state);
        let Stage::Held = state.stage else {
            return None;
        };
        state.stage = Stage::Working;
        Some(self.described(&state))
    }

    /// What it is once its call has come to an end.
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

    /// Gives the answer to its request; false where it has become a task.
    pub(crate) fn answer(&self) -> bool {
        let mut state = lock(&self.state);
        let is_held = matches!(state.stage, Stage::Held);
        if is_held {
            state.stage = Stage::Answered;
        }
        is_held
    }

    /// Its call ended because it was cancelled.
    pub(crate) fn was_cancelled(&self) {
        lock(&self.state).was_cancelled = true;
    }

    /// How far it is, in words.
    pub(crate) fn progressed(&self, message: String) {
        let mut state = lock(&self.state);
        state.message = Some(message);
        state.updated = SystemTime::now();
    }

    fn described(&self, state: &State) -> mcp::Task {
        let status = match &state.stage {
            Stage::Asking(_) => mcp::TaskStatus::InputRequired,
            _ => mcp::TaskStatus::Working,
        };
        let time = |time| humantime::format_rfc3339_millis(time).to_string();
        // It is kept for as long once it has ended: what that comes to is known only then.
        let ttl = self.since.elapsed() + TASK_TTL;
        let mut task = mcp::Task::new(&*self.id, status, time(self.created), time(state.updated));
        task.status_message = state.message.clone();
        task.ttl_ms = u64::try_from(ttl.as_millis()).ok();
        task.poll_interval_ms = Some(POLL_MS);
        task
    }

    /// What it is now.
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

    fn tell(&self) {
        // Nobody may be listening.
        let _ = self.changes.send(self.id.clone());
    }

    /// Asks the client, which finds the questions in `tasks/get`, until it has answered them all.
    pub(crate) async fn ask(
        &self,
        questions: &[(String, Question)],
    ) -> Result<Vec<(String, Reply)>, Unanswered> {
        let (resume, resumed) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            let (mut open, mut keys) = (InputRequests::new(), HashMap::new());
            for (key, question) in questions {
                let request = elicitation::input_request(question)
                    .map_err(|message| Unanswered::Failed(format!("{key:?}: {message}")))?;
                // No key comes twice in the life of a task.
                let mut known = key.clone();
                let mut number = 1;
                while !state.keys.insert(known.clone()) {
                    number += 1;
                    known = format!("{key}-{number}");
                }
                open.insert(known.clone(), request);
                keys.insert(known, key.clone());
            }
            state.stage = Stage::Asking(Asking {
                open,
                keys,
                replies: Vec::new(),
                resume,
            });
            state.updated = SystemTime::now();
        }
        self.tell();
        let replies = self
            .questions
            .wait(&self.owner, self.client.as_ref(), resumed);
        let why = match self.cancel.run_until_cancelled(replies).await {
            None => return Err(Unanswered::Cancelled),
            Some(Ok(Ok(replies))) => return Ok(replies),
            Some(Ok(Err(_))) => "the client did not answer the tool's question".to_owned(),
            Some(Err(why)) => why,
        };
        lock(&self.state).stage = Stage::Working;
        Err(Unanswered::Failed(why))
    }

    /// Takes what a client says to what it is asked. What it is not asked is passed over.
    ///
    /// # Errors
    ///
    /// A response is none of the protocol's: then none is taken.
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
        self.tell();
        Ok(())
    }
}

/// The client of a session: it is asked by requests of ours, or in its task once there is one.
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
                Err(Unanswered::Cancelled) => Err(CallError::failed("the task was cancelled")),
                Err(Unanswered::Failed(message)) => Err(CallError::failed(message)),
            }
        })
    }
}

/// What a tool of a task asks that goes on with the replies.
pub(crate) async fn answers(task: &Task, input: InputRequired) -> Result<Resumption, Unanswered> {
    let replies = task.ask(&input.questions).await?;
    Ok(Resumption::new(input.state, replies))
}

/// What a task is that an error of the protocol ended.
pub(crate) fn failed(error: &ErrorData) -> TaskPayload {
    let error = match serde_json::to_value(error) {
        Ok(Value::Object(error)) => error,
        _ => JsonObject::new(),
    };
    TaskPayload::Failed { error }
}
