//! A call of a server's tool, from its request to its result, over all its turns: one more for each
//! round of questions.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::call_result::{self, failed};
use super::encode::Written;
use super::handed_on;
use super::questions::{self, Responses};
use super::request::{CallRequests, CallResponse};
use super::running_call::{RunningCall, ServerQuestions};
use super::supervisor::Supervisor;
use super::task;
use toolhost_core::error::CallError;
use toolhost_core::input::{QuestionKind, Reply};
use toolhost_core::limits::seconds;
use toolhost_core::provider::ProvidedTool;
use toolhost_core::sandbox::Journal;
use toolhost_core::tool::{LogLine, LogSource, Output, ToolCall};

/// The most rounds of questions that a call's results may ask.
const MAX_ROUNDS: usize = 16;

/// In `_meta`; the protocol has no name for it (SEP-3182 was not accepted).
const IDEMPOTENCY_KEY: &str = "toolhost/idempotency-key";

/// A call that its server works on. Dropping it cancels the call on the server.
pub(super) struct Flight {
    outcome: BoxFuture<'static, Result<Output, CallError>>,
    asked: mpsc::Receiver<ServerQuestions>,
    running: RunningCall,
    /// The log of earlier turns.
    log: Vec<LogLine>,
}

/// How a turn of a call ended.
pub(super) enum TurnEnd {
    Done(Result<Output, CallError>),
    Asks(ServerQuestions),
}

/// The call as sent to the server.
struct CallText {
    /// The tool's name on the server.
    tool: String,
    arguments: String,
    meta: Option<Map<String, Value>>,
}

impl Flight {
    pub(super) fn start(
        kept: &Arc<Supervisor>,
        tool: &ProvidedTool,
        call: &ToolCall,
        key: Option<&str>,
        journal: Journal,
    ) -> Flight {
        let mut meta = call.meta.as_deref().and_then(handed_on);
        if let Some(key) = key {
            let meta = meta.get_or_insert_default();
            meta.insert(IDEMPOTENCY_KEY.to_owned(), key.into());
        }
        let request = CallText {
            tool: tool.own_name.clone(),
            arguments: call.arguments_text().to_owned(),
            meta,
        };
        let (running, asked) = RunningCall::new(journal, &kept.settings.config);
        Flight {
            outcome: Box::pin(outcome(kept.clone(), request, running.clone())),
            asked,
            running,
            log: Vec::new(),
        }
    }

    /// Begins another turn.
    pub(super) fn turn(&mut self, journal: Journal) {
        // What the server sent between turns.
        let before = self.running.turn(journal);
        self.log.extend(before.take_lines());
    }

    pub(super) async fn step(&mut self) -> TurnEnd {
        tokio::select! {
            biased;
            outcome = &mut self.outcome => TurnEnd::Done(outcome),
            Some(asked) = self.asked.recv() => TurnEnd::Asks(asked),
        }
    }

    /// The log so far, with the lines of this turn.
    pub(super) fn log(&mut self, journal: &Journal) -> Vec<LogLine> {
        self.log.extend(journal.take_lines());
        self.log.clone()
    }
}

async fn outcome(
    kept: Arc<Supervisor>,
    request: CallText,
    running: RunningCall,
) -> Result<Output, CallError> {
    let Some(idle) = kept.settings.config.idle_timeout else {
        return answered(&kept, request, &running).await;
    };
    tokio::select! {
        outcome = answered(&kept, request, &running) => outcome,
        () = running.silent_for(idle) => {
            let line = format!("no message for {} (`idle-timeout`)", seconds(idle));
            running.log(LogSource::Warning, line);
            Err(CallError::Timeout { after: idle })
        }
    }
}

async fn answered(
    kept: &Arc<Supervisor>,
    request: CallText,
    running: &RunningCall,
) -> Result<Output, CallError> {
    let connection = kept.connection().await.map_err(failed)?;
    let as_task = kept.offers(&request.tool)?;
    let settings = kept.settings.clone();
    let limits = settings.config.limits.clone();
    let asking = CallRequests {
        settings,
        connection,
    };
    let arguments = RawValue::from_string(request.arguments).map_err(CallError::internal)?;
    let mut params = json!({ "name": request.tool });
    // If arguments have to be repeated in HTTP headers, rmcp must see them.
    if asking.connection.has_headers_of_arguments()
        && let Ok(value) = serde_json::from_str::<Value>(arguments.get())
    {
        params["arguments"] = value;
    }
    if let Some(meta) = request.meta {
        params["_meta"] = Value::Object(meta);
    }
    if as_task {
        params["task"] = json!({});
    }
    let mut written = Responses::from([("arguments".to_owned(), arguments)]);
    for _ in 0..MAX_ROUNDS {
        let members = Written(Arc::new(written.clone()));
        let result = match asking.call(params.clone(), members, running).await? {
            CallResponse::Result(result) => result,
            CallResponse::Pages { message, pages } => {
                visit(pages, message, running).await?;
                continue;
            }
        };
        let Some(asked) = questions::asking(&result).map_err(failed)? else {
            let result = task::result(result, &asking, running, &limits).await?;
            return call_result::output(&result, &limits);
        };
        written.remove("inputResponses");
        if !asked.questions.is_empty() {
            let responses = running.responses(asked.questions).await.map_err(failed)?;
            let responses = serde_json::value::to_raw_value(&responses);
            let responses = responses.map_err(CallError::internal)?;
            written.insert("inputResponses".to_owned(), responses);
        }
        written.remove("requestState");
        written.extend(asked.state.map(|state| ("requestState".to_owned(), state)));
    }
    Err(failed(format!(
        "its server asked for input {MAX_ROUNDS} times and still has no result"
    )))
}

/// Has the user visit the pages that the call requires.
///
/// # Errors
///
/// They were not visited: the server's own message.
async fn visit(
    pages: questions::Questions,
    message: String,
    running: &RunningCall,
) -> Result<(), CallError> {
    let count = pages.len();
    let accepted = match running.can_ask().contains(QuestionKind::Url) {
        true => running.replies(pages).await.map_err(failed)?,
        false => Vec::new(),
    };
    let accepted = accepted.iter();
    let accepted = accepted.filter(|(_, reply)| matches!(reply, Reply::Accepted(_)));
    match accepted.count() == count {
        true => Ok(()),
        false => Err(failed(message)),
    }
}
