//! Calls that a server runs as tasks: it answers at once, and is asked for the result from time to time. Both
//! forms are known, that of the extension `io.modelcontextprotocol/tasks` and that of 2025-11-25.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::answer::{bounded_failure, failed};
use super::request::Asking;
use super::tap::Running;
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
    said: Map<String, Value>,
}

impl Task {
    /// Of a result, if that is one.
    fn read(result: &str) -> Option<Task> {
        let Ok(Value::Object(mut result)) = serde_json::from_str(result) else {
            return None;
        };
        if result.contains_key("content") {
            return None;
        }
        // In 2025-11-25 it has a member of its own.
        if !result.contains_key("taskId")
            && let Some(Value::Object(task)) = result.remove("task")
        {
            result = task;
        }
        let text = |member: &str| result.get(member).and_then(Value::as_str);
        let (id, status) = (text("taskId")?.to_owned(), text("status")?.to_owned());
        let message = text("statusMessage").map(str::to_owned);
        let interval = result
            .get("pollIntervalMs")
            .or_else(|| result.get("pollInterval"));
        let interval = interval.and_then(Value::as_f64).filter(|it| *it >= 0.0);
        let interval = interval.map(|it| Duration::from_millis(it.min(1e9) as u64));
        Some(Task {
            id,
            status,
            message,
            interval: interval
                .unwrap_or(INTERVAL)
                .clamp(LEAST_INTERVAL, MOST_INTERVAL),
            said: result,
        })
    }
}

/// The result of a call, when it is there: what was answered, or what the task comes to that was answered
/// with. If this is dropped before, the server is told.
pub(super) async fn result(
    answered: String,
    asking: &Asking,
    running: &Running,
    limits: &Limits,
) -> Result<String, CallError> {
    let Some(mut task) = Task::read(&answered) else {
        return Ok(answered);
    };
    let mut unfinished = Unfinished(Some((asking.clone(), task.id.clone())));
    let params = json!({ "taskId": task.id });
    let (mut told, mut messages) = (None, 0.0);
    loop {
        running.heard();
        if let Some(message) = task.message.take().filter(|it| told.as_ref() != Some(it)) {
            // Only progress that grows is passed on everywhere.
            messages += 1.0;
            running.progress(Progress {
                done: messages,
                total: None,
                message: Some(message.clone()),
            });
            told = Some(message);
        }
        match &*task.status {
            "completed" => {
                unfinished.0 = None;
                return match task.said.remove("result") {
                    Some(result) => Ok(result.to_string()),
                    None => asking.request("tasks/result", params, running).await,
                };
            }
            "failed" => {
                unfinished.0 = None;
                let error = task
                    .said
                    .get("error")
                    .and_then(|error| error.get("message"));
                let error = error.and_then(Value::as_str).map(str::to_owned);
                let why = match error.or(told) {
                    Some(why) => why,
                    // It may still say what it failed with.
                    None => return asking.request("tasks/result", params, running).await,
                };
                return Err(bounded_failure(why, limits));
            }
            "cancelled" => {
                unfinished.0 = None;
                let why = told.map(|why| format!(": {why}")).unwrap_or_default();
                return Err(failed(format!("its server cancelled the task{why}")));
            }
            "input_required" => {
                let why = "it asks for input, which is not passed on from MCP servers";
                return Err(failed(why));
            }
            _ => {}
        }
        tokio::time::sleep(task.interval).await;
        let state = asking.request("tasks/get", params.clone(), running).await;
        let state = state.map_err(|error| match error {
            CallError::Failed { message } => failed(format!(
                "it runs as a task, which cannot be asked for: {message}"
            )),
            error => error,
        })?;
        task = Task::read(&state)
            .ok_or_else(|| failed("its server answers `tasks/get` with what is no task"))?;
    }
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
