//! Calls that a server runs as tasks: it answers at once, and is asked for the result from time to time. Both
//! forms are known, that of the extension `io.modelcontextprotocol/tasks` and that of 2025-11-25.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::answer::{bounded_failure, failed, value};
use super::encode::Written;
use super::questions::{self, Responses};
use super::request::Asking;
use super::running::Running;
use crate::error::CallError;
use crate::limits::Limits;
use crate::watch::Progress;

/// How often a server is asked that does not say.
const INTERVAL: Duration = Duration::from_secs(1);

/// A server may want to be asked as often, and no more.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);

/// A server that wants to be asked less often is asked all the same.
const MOST_INTERVAL: Duration = Duration::from_secs(30);

/// The state of a task.
struct Task {
    id: String,
    status: String,
    message: Option<String>,
    interval: Duration,
    /// All that was said of it.
    said: BTreeMap<String, Box<RawValue>>,
}

impl Task {
    /// Of a result, if that is one.
    fn read(result: &str) -> Option<Task> {
        let mut result: BTreeMap<String, &RawValue> = serde_json::from_str(result).ok()?;
        if result.contains_key("content") {
            return None;
        }
        // In 2025-11-25 it has a member of its own.
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
        Some(Task {
            id,
            status,
            message,
            interval: interval
                .unwrap_or(INTERVAL)
                .clamp(LEAST_INTERVAL, MOST_INTERVAL),
            said: (result.into_iter())
                .map(|(member, said)| (member, said.to_owned()))
                .collect(),
        })
    }
}

/// The result of a call, when it is there: what was answered, or what the task comes to that was answered
/// with. If this is dropped before, the server is told.
pub(super) async fn result(
    result: String,
    asking: &Asking,
    running: &Running,
    limits: &Limits,
) -> Result<String, CallError> {
    let Some(mut task) = Task::read(&result) else {
        return Ok(result);
    };
    running.is_task(&task.id);
    let mut unfinished = Unfinished(Some((asking.clone(), task.id.clone())));
    let params = json!({ "taskId": task.id });
    let request = |method, written| asking.request(method, params.clone(), written, running);
    let mut answered = HashSet::new();
    let (mut told, mut messages) = (None, 0.0);
    loop {
        running.heard();
        if let Some(message) = task.message.take().filter(|it| told.as_ref() != Some(it)) {
            // Only progress that grows is passed on everywhere.
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
                    // It may still say what it failed with.
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
                    // It may not have seen the answers yet.
                    asked.retain(|(key, _)| answered.insert(key.clone()));
                    if !asked.is_empty() {
                        let responses = running.responses(asked).await.map_err(failed)?;
                        request("tasks/update", input_responses(&responses)?).await?;
                    }
                }
                // In 2025-11-25 it asks by requests, once its result is waited for.
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
        task = Task::read(&state)
            .ok_or_else(|| failed("its server's answer to `tasks/get` is not a task"))?;
    }
}

fn input_responses(responses: &Responses) -> Result<Written, CallError> {
    let responses = to_raw_value(responses).map_err(CallError::internal)?;
    let members = BTreeMap::from([("inputResponses".to_owned(), responses)]);
    Ok(Written(Arc::new(members)))
}

/// A task that a server works on. If it is dropped, the server is told.
struct Unfinished(Option<(Asking, String)>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some((asking, id)) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime
                .spawn(async move { asking.tell("tasks/cancel", json!({ "taskId": id })).await });
        }
    }
}
