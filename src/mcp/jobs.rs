//! A call that may outlast its request: it runs by itself, and becomes a task once its client has
//! waited long enough.

// Logging is deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use rmcp::model::{CallToolResponse, JsonObject, LoggingLevel, ProgressToken, ServerResult};
use rmcp::service::Peer;
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;
use tokio::task::{JoinError, JoinHandle};

use super::convert::for_session;
use super::hub::{Hub, Offer};
use super::long;
use super::requests::{self, Binding, Caller};
use super::streams::Origin;
use super::task::{Task, Unanswered, answers};
use crate::error::CallError;
use crate::host::{CallOptions, MAX_ROUNDS, Places, asked_too_often};
use crate::input::QuestionKinds;
use crate::order;
use crate::serve::{Principal, Room};
use crate::tool::{ToolCall, ToolResult};
use crate::watch::Owner;

/// A call, with everything of its client that it needs once the request is over.
pub(super) struct Job {
    hub: Arc<Hub>,
    offer: Arc<Offer>,
    call: ToolCall,
    binding: Binding,
    principal: Option<Principal>,
    owner: Owner,
    order: order::Client,
    places: Option<Places>,
    is_stateless: bool,
    can_ask: QuestionKinds,
    token: Option<ProgressToken>,
    level: Option<LoggingLevel>,
    origin: Option<Origin>,
    peer: Arc<Peer<RoleServer>>,
    room: Option<Room>,
}

type Answer = Result<CallToolResponse, ErrorData>;

impl Job {
    pub(super) fn new(
        hub: Arc<Hub>,
        offer: Arc<Offer>,
        call: ToolCall,
        binding: Binding,
        caller: &Caller<'_>,
    ) -> Job {
        Job {
            hub,
            offer,
            call,
            binding,
            principal: caller.principal.cloned(),
            owner: caller.owner.clone(),
            order: caller.order,
            places: None,
            is_stateless: caller.is_stateless,
            can_ask: caller.can_ask,
            token: caller.token.clone(),
            level: caller.level,
            origin: caller.origin,
            peer: caller.peer.clone(),
            room: caller.room.clone(),
        }
    }

    /// Has the call keep the places in order that were taken for it.
    pub(super) fn placed(mut self, places: Places) -> Job {
        self.places = Some(places);
        self
    }

    /// The answer to the request: of the call, or the task that it has become. A call whose request is
    /// cancelled, or dropped, before it is a task ends with it.
    pub(super) async fn answer(self, caller: &Caller<'_>) -> Answer {
        let hub = self.hub.clone();
        let (after, is_stateless) = (self.offer.info.task_after, self.is_stateless);
        let client = self.principal.as_ref().map(|it| it.name.clone());
        let task = hub.tasks.begin(self.owner.clone(), client);
        let task = task.ok_or_else(|| ErrorData::internal_error("the system RNG failed", None))?;
        let guard = task.cancel.clone().drop_guard();
        let mut job = tokio::spawn(self.run(task.clone()));
        let mut is_waited_for = true;
        let mut patience = pin!(tokio::time::sleep(after));
        let created = loop {
            if is_waited_for && after.is_zero() {
                is_waited_for = false;
                if let Some(created) = hub.tasks.take_over(&task) {
                    break created;
                }
            }
            tokio::select! {
                biased;
                answer = &mut job => return answered(answer),
                () = caller.cancel.cancelled(), if !task.cancel.is_cancelled() => {
                    task.cancel.cancel();
                }
                () = &mut patience, if is_waited_for => {
                    is_waited_for = false;
                    if let Some(created) = hub.tasks.take_over(&task) {
                        break created;
                    }
                }
            }
        };
        guard.disarm();
        tokio::spawn(see_to_its_end(hub, task, job, is_stateless));
        Ok(CallToolResponse::Task(created))
    }

    async fn run(mut self, task: Arc<Task>) -> Answer {
        let mut _asked = None;
        for _ in 0..MAX_ROUNDS {
            let places = self.places.take();
            let mut result = self.call_once(&task, places).await?;
            if let Err(CallError::InputRequired(input)) = result.outcome {
                requests::check_can_ask(&input, self.can_ask)?;
                if task.answer() {
                    let seal = &self.hub.seal;
                    let asked =
                        requests::input_required(*input, self.can_ask, seal, &self.binding)?;
                    return Ok(asked.into());
                }
                _asked = self.offer.host.asked(&self.call.name, &input.state);
                result.outcome = match answers(&task, *input).await {
                    Ok(resumption) => {
                        self.call.resumed = Some(Box::new(resumption));
                        continue;
                    }
                    Err(Unanswered::Cancelled) => Err(CallError::Cancelled),
                    Err(Unanswered::Failed(message)) => Err(CallError::Failed { message }),
                };
            }
            if let Err(CallError::Cancelled) = result.outcome {
                task.was_cancelled();
            }
            task.answer();
            return Ok(self.shown(result));
        }
        task.answer();
        let refused = self.offer.host.refuse(&self.call, asked_too_often());
        Ok(self.shown(refused))
    }

    fn shown(&self, result: ToolResult) -> CallToolResponse {
        long::shown(self.offer.long.as_deref(), result, &self.owner).into()
    }

    async fn call_once(
        &self,
        task: &Arc<Task>,
        places: Option<Places>,
    ) -> Result<ToolResult, ErrorData> {
        let caller = Caller {
            principal: self.principal.as_ref(),
            owner: self.owner.clone(),
            order: self.order,
            is_stateless: self.is_stateless,
            can_ask: self.can_ask,
            token: self.token.clone(),
            level: self.level,
            origin: self.origin,
            cancel: &task.cancel,
            peer: self.peer.clone(),
            takes_tasks: true,
            task: Some(task.clone()),
            meta: None,
            room: self.room.clone(),
        };
        let (host, call) = (&self.offer.host, self.call.clone());
        let run = |options: CallOptions| {
            let options = options.placed(places);
            async move { host.call_with(call, &options).await }.boxed()
        };
        self.hub.run(&self.call.name, &caller, run).await
    }
}

/// A panic of the server's is that request's error and nobody else's.
fn answered(answer: Result<Answer, JoinError>) -> Answer {
    answer.unwrap_or_else(|_| {
        let message = "the server failed to answer";
        Err(ErrorData::internal_error(message, None))
    })
}

async fn see_to_its_end(
    hub: Arc<Hub>,
    task: Arc<Task>,
    job: JoinHandle<Answer>,
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
    hub.tasks.end(&task, outcome);
}
