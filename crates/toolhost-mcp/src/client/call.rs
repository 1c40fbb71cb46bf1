//! A call of a server's tool, from its request to its result, over all turns that it takes: one more for each
//! time that it asks.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::answer::{self, failed};
use super::encode::Written;
use super::handed_on;
use super::kept::Kept;
use super::questions::{self, Responses};
use super::request::{Answered, Asking};
use super::running::{Asked, Running};
use super::task;
use crate::error::CallError;
use crate::input::{QuestionKind, Reply};
use crate::limits::seconds;
use crate::provider::ProvidedTool;
use crate::sandbox::Journal;
use crate::tool::{LogLine, LogSource, Output, ToolCall};

/// A server may ask so often by its results for one call.
const MAX_ROUNDS: usize = 16;

/// In `_meta`; the protocol has no name for it (SEP-3182 was not taken).
const IDEMPOTENCY_KEY: &str = "toolhost/idempotency-key";

/// A call that its server works on. If it is dropped, the server is told.
pub(super) struct Flight {
    outcome: BoxFuture<'static, Result<Output, CallError>>,
    asked: mpsc::Receiver<Asked>,
    running: Running,
    /// Of the turns before this one.
    log: Vec<LogLine>,
}

/// What ends a turn of a call.
pub(super) enum Step {
    Done(Result<Output, CallError>),
    Asks(Asked),
}

/// What is asked of the server.
struct Request {
    /// As the server has it.
    tool: String,
    arguments: String,
    meta: Option<Map<String, Value>>,
}

impl Flight {
    pub(super) fn start(
        kept: &Arc<Kept>,
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
        let request = Request {
            tool: tool.own_name.clone(),
            arguments: call.arguments_text().to_owned(),
            meta,
        };
        let (running, asked) = Running::new(journal, &kept.settings.config);
        Flight {
            outcome: Box::pin(outcome(kept.clone(), request, running.clone())),
            asked,
            running,
            log: Vec::new(),
        }
    }

    /// Gives it another turn.
    pub(super) fn turn(&mut self, journal: Journal) {
        // What the server said while nobody listened.
        let before = self.running.turn(journal);
        self.log.extend(before.take_lines());
    }

    pub(super) async fn step(&mut self) -> Step {
        tokio::select! {
            biased;
            outcome = &mut self.outcome => Step::Done(outcome),
            Some(asked) = self.asked.recv() => Step::Asks(asked),
        }
    }

    /// Its log so far, with the lines of this turn.
    pub(super) fn log(&mut self, journal: &Journal) -> Vec<LogLine> {
        self.log.extend(journal.take_lines());
        self.log.clone()
    }
}

async fn outcome(kept: Arc<Kept>, request: Request, running: Running) -> Result<Output, CallError> {
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
    kept: &Arc<Kept>,
    request: Request,
    running: &Running,
) -> Result<Output, CallError> {
    let connection = kept.connection().await.map_err(failed)?;
    let as_task = kept.offers(&request.tool)?;
    let settings = kept.settings.clone();
    let limits = settings.config.limits.clone();
    let asking = Asking {
        settings,
        connection,
    };
    let arguments = RawValue::from_string(request.arguments).map_err(CallError::internal)?;
    let mut params = json!({ "name": request.tool });
    // Some arguments have to be repeated in HTTP headers, which rmcp sees to.
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
            Answered::Result(result) => result,
            Answered::Pages { message, pages } => {
                visit(pages, message, running).await?;
                continue;
            }
        };
        let Some(asked) = questions::asking(&result).map_err(failed)? else {
            let result = task::result(result, &asking, running, &limits).await?;
            return answer::output(&result, &limits);
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

/// Has pages visited that have to be before the call can be made.
///
/// # Errors
///
/// They were not: the server's own words.
async fn visit(
    pages: questions::Questions,
    message: String,
    running: &Running,
) -> Result<(), CallError> {
    let count = pages.len();
    let accepted = match running.can_ask().contains(QuestionKind::Page) {
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
