//! A call that may outlast its request: it runs in a task of its own, and becomes an MCP task once
//! its client has waited for `task-after`.

use std::pin::pin;
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, JsonObject, ServerResult};
use serde_json::Value;
use tokio::task::{JoinError, JoinHandle};

use crate::server::caller::Caller;
use crate::server::catalogue::Catalogue;
use crate::server::convert::for_session;
use crate::server::long_results;
use crate::server::request_state::{self, Binding};
use crate::server::running_requests::run_call;
use crate::server::server_state::ServerState;
use crate::server::tasks::task::{NoReply, Task, answers};
use toolhost_core::error::CallError;
use toolhost_core::host::{MAX_ROUNDS, TakenPlaces, asked_too_often};
use toolhost_core::tool::{ToolCall, ToolResult};

/// A call, with everything of its client that it needs after the request has ended.
pub(crate) struct Job {
    pub(crate) server: Arc<ServerState>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) call: ToolCall,
    pub(crate) caller: Caller,
    /// What its `requestState` is bound to, if it asks through its result.
    pub(crate) binding: Option<Binding>,
    pub(crate) places: Option<TakenPlaces>,
}

type JobAnswer = Result<CallToolResponse, ErrorData>;

impl Job {
    /// Takes the job out, for whoever runs the call from now on.
    pub(crate) fn take(&mut self) -> Job {
        Job {
            server: self.server.clone(),
            catalogue: self.catalogue.clone(),
            call: std::mem::take(&mut self.call),
            caller: self.caller.clone(),
            binding: self.binding.take(),
            places: self.places.take(),
        }
    }

    /// Answers the request: with the call's result, or with the task that the call has become. A
    /// call whose request is cancelled or dropped before that ends with it.
    pub(crate) async fn answer(mut self) -> JobAnswer {
        let server = self.server.clone();
        let (after, is_stateless) = (self.catalogue.info.task_after, self.caller.is_stateless);
        let client = self.caller.principal.as_ref().map(|it| it.name.clone());
        let task = server.tasks.begin(self.caller.owner.clone(), client);
        let task = task.ok_or_else(|| ErrorData::internal_error("the system RNG failed", None))?;
        // From now on the task cancels the call, and the request cancels the task while it waits.
        let request = std::mem::replace(&mut self.caller.cancel, task.cancel.clone());
        self.caller.task = Some(task.clone());
        let guard = task.cancel.clone().drop_guard();
        let mut job = tokio::spawn(self.run(task.clone()));
        let mut is_waited_for = true;
        let mut patience = pin!(tokio::time::sleep(after));
        let created = loop {
            if is_waited_for && after.is_zero() {
                is_waited_for = false;
                if let Some(created) = server.tasks.take_over(&task) {
                    break created;
                }
            }
            tokio::select! {
                biased;
                answer = &mut job => return answered(answer),
                () = request.cancelled(), if !task.cancel.is_cancelled() => {
                    task.cancel.cancel();
                }
                () = &mut patience, if is_waited_for => {
                    is_waited_for = false;
                    if let Some(created) = server.tasks.take_over(&task) {
                        break created;
                    }
                }
            }
        };
        guard.disarm();
        tokio::spawn(see_to_its_end(server, task, job, is_stateless));
        Ok(CallToolResponse::Task(created))
    }

    async fn run(mut self, task: Arc<Task>) -> JobAnswer {
        let can_ask = self.caller.can_ask;
        let mut _asked = None;
        for _ in 0..MAX_ROUNDS {
            let (call, places) = (self.call.clone(), self.places.take());
            let (server, catalogue) = (&self.server, &self.catalogue);
            let mut result = run_call(server, catalogue, call, &self.caller, places).await?;
            if let Err(CallError::InputRequired(input)) = result.outcome {
                request_state::check_can_ask(&input, can_ask)?;
                if let Some(binding) = &self.binding
                    && task.answer()
                {
                    let states = &self.server.request_states;
                    let asked = request_state::input_required(&input, can_ask, states, binding)?;
                    return Ok(asked.into());
                }
                _asked = catalogue.host.asked(&self.call.name, &input.state);
                result.outcome = match answers(&task, *input).await {
                    Ok(resumption) => {
                        self.call.resumed = Some(Box::new(resumption));
                        continue;
                    }
                    Err(NoReply::Cancelled) => Err(CallError::Cancelled),
                    Err(NoReply::Failed(message)) => Err(CallError::Failed { message }),
                };
            }
            if let Err(CallError::Cancelled) = result.outcome {
                task.was_cancelled();
            }
            task.answer();
            return Ok(self.shown(result));
        }
        task.answer();
        let (host, caller) = (&self.catalogue.host, &self.caller);
        let options = self
            .catalogue
            .options(caller.principal.as_ref(), caller.order);
        let refused = host.refuse_with(&self.call, asked_too_often(), &options);
        Ok(self.shown(refused))
    }

    pub(crate) fn shown(&self, result: ToolResult) -> CallToolResponse {
        let long = self.catalogue.long.as_deref();
        long_results::compacted_for_client(long, result, &self.caller.owner).into()
    }
}

/// A panic of the server becomes that request's error and affects no other.
fn answered(answer: Result<JobAnswer, JoinError>) -> JobAnswer {
    answer.unwrap_or_else(|_| {
        let message = "the server failed to answer";
        Err(ErrorData::internal_error(message, None))
    })
}

async fn see_to_its_end(
    server: Arc<ServerState>,
    task: Arc<Task>,
    job: JoinHandle<JobAnswer>,
    is_stateless: bool,
) {
    let outcome = answered(job.await).map(|answer| {
        let mut result = ServerResult::from(answer);
        if !is_stateless {
            for_session(&mut result);
        }
        match serde_json::to_value(result) {
            Ok(Value::Object(result)) => result,
            _ => JsonObject::new(),
        }
    });
    server.tasks.end(&task, outcome);
}
