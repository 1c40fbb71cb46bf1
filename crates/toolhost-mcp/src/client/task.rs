//! Calls that a server runs as tasks: it answers at once, and is polled for the result. Supports
//! the extension `io.modelcontextprotocol/tasks` and the form of 2025-11-25.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::call_result::{bounded_failure, failed, value};
use super::encode::Written;
use super::questions::{self, Responses};
use super::request::CallRequests;
use super::running_call::RunningCall;
use toolhost_core::error::CallError;
use toolhost_core::limits::Limits;
use toolhost_core::watch::Progress;

/// The polling interval for a server that suggests none.
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest polling interval.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The longest polling interval.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// The state of a task.
struct RemoteTask {
    id: String,
    status: String,
    message: Option<String>,
    interval: Duration,
    /// All members of its state.
    said: BTreeMap<String, Box<RawValue>>,
}

impl RemoteTask {
    /// Parses a result, if it is a task.
    fn read(result: &str) -> Option<RemoteTask> {
        let mut result: BTreeMap<String, &RawValue> = serde_json::from_str(result).ok()?;
        if result.contains_key("content") {
            return None;
        }
        // In 2025-11-25 it is nested in a member of its own.
        if !result.contains_key("taskId")
            && let Some(task) = result.remove("task")
        {
            result = serde_json::from_str(task.get()).ok()?;
        }
        let text = |member: &str| match value(result.get(member)?) {
            Value::String(text) => Some(text),
            _ => None,
        };
        let (id, status) = (text("taskId")?, text("status")?);
        let message = text("statusMessage");
        let interval = result
            .get("pollIntervalMs")
            .or_else(|| result.get("pollInterval"));
        let interval = interval.and_then(|it| value(it).as_f64());
        let interval = interval.filter(|it| *it >= 0.0);
        let interval = interval.map(|it| Duration::from_millis(it.min(1e9) as u64));
        Some(RemoteTask {
            id,
            status,
            message,
            interval: interval
                .unwrap_or(DEFAULT_POLL_INTERVAL)
                .clamp(MIN_POLL_INTERVAL, MAX_POLL_INTERVAL),
            said: (result.into_iter())
                .map(|(member, said)| (member, said.to_owned()))
                .collect(),
        })
    }
}

/// The final result of a call: its answer, or the result of the task that it was answered with.
/// Dropping this cancels the task.
pub(super) async fn result(
    result: String,
    asking: &CallRequests,
    running: &RunningCall,
    limits: &Limits,
) -> Result<String, CallError> {
    let Some(mut task) = RemoteTask::read(&result) else {
        return Ok(result);
    };
    running.is_task(&task.id);
    let mut unfinished = UnfinishedTask(Some((asking.clone(), task.id.clone())));
    let params = json!({ "taskId": task.id });
    let request = |method, written| asking.request(method, params.clone(), written, running);
    let mut answered = HashSet::new();
    let (mut told, mut messages) = (None, 0.0);
    loop {
        running.note_activity();
        if let Some(message) = task.message.take().filter(|it| told.as_ref() != Some(it)) {
            // Only increasing progress is accepted everywhere.
            messages += 1.0;
            running.progress(Progress::new(messages).with_message(message.clone()));
            told = Some(message);
        }
        match &*task.status {
            "completed" => {
                unfinished.0 = None;
                return match task.said.remove("result") {
                    Some(result) => Ok(Box::<str>::from(result).into()),
                    None => request("tasks/result", Written::default()).await,
                };
            }
            "failed" => {
                unfinished.0 = None;
                let error = task.said.get("error").map(|error| value(error));
                let error =
                    error.and_then(|error| Some(error.get("message")?.as_str()?.to_owned()));
                let why = match error.or(told) {
                    Some(why) => why,
                    // The result may explain the failure.
                    None => return request("tasks/result", Written::default()).await,
                };
                return Err(bounded_failure(why, limits));
            }
            "cancelled" => {
                unfinished.0 = None;
                let why = told.map(|why| format!(": {why}")).unwrap_or_default();
                return Err(failed(format!("its server cancelled the task{why}")));
            }
            "input_required" => match task.said.get("inputRequests") {
                Some(requests) => {
                    let mut asked = questions::requests(requests).map_err(failed)?;
                    // The server may not have seen the replies yet.
                    asked.retain(|(key, _)| answered.insert(key.clone()));
                    if !asked.is_empty() {
                        let responses = running.responses(asked).await.map_err(failed)?;
                        request("tasks/update", input_responses(&responses)?).await?;
                    }
                }
                // In 2025-11-25 it asks by requests, once its result is awaited.
                None => {
                    let result = request("tasks/result", Written::default()).await;
                    unfinished.0 = None;
                    return result;
                }
            },
            _ => {}
        }
        tokio::time::sleep(task.interval).await;
        let state = request("tasks/get", Written::default()).await;
        let state = state.map_err(|error| match error {
            CallError::Failed { message } => failed(format!(
                "it runs as a task, which cannot be polled: {message}"
            )),
            error => error,
        })?;
        task = RemoteTask::read(&state)
            .ok_or_else(|| failed("its server's answer to `tasks/get` is not a task"))?;
    }
}

fn input_responses(responses: &Responses) -> Result<Written, CallError> {
    let responses = to_raw_value(responses).map_err(CallError::internal)?;
    let members = BTreeMap::from([("inputResponses".to_owned(), responses)]);
    Ok(Written(Arc::new(members)))
}

/// A task that a server works on. Dropping it cancels the task.
struct UnfinishedTask(Option<(CallRequests, String)>);

impl Drop for UnfinishedTask {
    fn drop(&mut self) {
        if let Some((asking, id)) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                asking
                    .send_best_effort("tasks/cancel", json!({ "taskId": id }))
                    .await
            });
        }
    }
}
