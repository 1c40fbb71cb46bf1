//! Calls that ask questions: the tool is called again with the replies, each time in a fresh
//! instance and with a new turn.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use toolhost_wire::Responder;

use super::idempotency::KeyDecision;
use super::{Arrival, CallOptions, HandedOver, HostShared, ToolHost};
use crate::error::{CallError, said_by};
use crate::input::{InputRequired, Resumption};
use crate::provider::ToolProvider;
use crate::tool::{ToolCall, ToolResult};

/// How many rounds of questions one call may have.
pub const MAX_ROUNDS: usize = 16;

impl ToolHost {
    /// As [`call`](ToolHost::call), with options. With a responder, the tool's questions go to it
    /// and the tool is called again with the replies; no instance and no permit is held meanwhile.
    /// Without one, a call that asks fails with [`CallError::InputRequired`].
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use std::time::Duration;
    ///
    /// use serde_json::{Value, json};
    /// use toolhost::{CallOptions, Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # let math = NativeTools::new("math").tool_with_schema(
    /// #     Tool::new("double", "Doubles a number").read_only(),
    /// #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # );
    /// # let host = Loader::new(Manifest::default()).provider(math).load().await?;
    /// let options = CallOptions::new().timeout(Duration::from_secs(1)).client("alice");
    /// let call = ToolCall::new("call_1", "double", r#"{"n": 21}"#);
    /// assert_eq!(host.call_with(call, &options).await.to_text(), "42");
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_with(
        &self,
        call: ToolCall,
        options: &CallOptions,
    ) -> impl Future<Output = ToolResult> + Send {
        let arrived = self.hand_over(call, options);
        self.run_handed_over(arrived, options)
    }

    /// Marks a call of that tool as waiting for replies, by the state that it will resume with.
    #[doc(hidden)]
    pub fn asked(&self, tool: &str, state: &[u8]) -> Option<AskedCall> {
        let (_, registered, _) = self.registry.find(tool)?;
        Some(AskedCall {
            provider: registered.provider.clone(),
            host: Arc::downgrade(&self.shared),
            state: state.to_owned(),
        })
    }

    /// The same for a call that was handed over.
    pub(super) async fn run_handed_over(
        &self,
        arrived: HandedOver,
        options: &CallOptions,
    ) -> ToolResult {
        match arrived {
            HandedOver::One(arrival, call) => self.call_answered(arrival, call, options).await,
            HandedOver::Several(arrivals, unpacked) => {
                // Boxed to keep the future of ordinary calls small.
                Box::pin(self.run_unpacked(arrivals, &unpacked, options)).await
            }
            HandedOver::Once(call, run, is_repeat) => {
                Box::pin(self.result_of(call, run, is_repeat, options)).await
            }
            HandedOver::Refused(call, error) => {
                self.refuse_since(Instant::now(), &call, &options.whose, error)
            }
        }
    }

    /// The result of a call with an idempotency key.
    async fn result_of(
        &self,
        call: ToolCall,
        run: KeyDecision,
        is_repeat: bool,
        options: &CallOptions,
    ) -> ToolResult {
        let queued = Instant::now();
        let result = match run {
            KeyDecision::Ended(result) => Some(result),
            KeyDecision::Runs(run) => {
                let cancel = options.cancel.clone().filter(|_| is_repeat);
                cancel.unwrap_or_default().run_until_cancelled(run).await
            }
            KeyDecision::New => None,
        };
        match result {
            Some(result) if is_repeat => self.repeated(queued, &call, options, &result),
            Some(result) => Arc::unwrap_or_clone(result),
            None => self.refuse_since(queued, &call, &options.whose, CallError::Cancelled),
        }
    }

    /// The same for a single call.
    pub(super) async fn call_answered(
        &self,
        mut arrival: Arrival,
        mut call: ToolCall,
        options: &CallOptions,
    ) -> ToolResult {
        let context = options.context();
        let Some(responder) = options.responder.as_deref() else {
            return self.run_call(&call, &context, options, arrival).await;
        };
        let mut _asked = None;
        for _ in 0..MAX_ROUNDS {
            let running = self.run_call(&call, &context, options, arrival);
            let mut result = running.await;
            let Err(CallError::InputRequired(input)) = &result.outcome else {
                return result;
            };
            _asked = self.asked(&call.name, &input.state);
            match replies(&call.name, input, responder, &context.cancel).await {
                Ok(resumption) => call.resumed = Some(Box::new(resumption)),
                Err(error) => {
                    result.outcome = Err(error);
                    return result;
                }
            }
            // Other calls may have changed the folder meanwhile: the resumed call takes a new place
            // behind them.
            let taken = self.take(
                &call,
                options.order(),
                options.allowed.as_deref(),
                &options.whose,
            );
            arrival = Arrival::new(taken);
            // The hooks have let this call run already.
            arrival.taken.hooks = None;
        }
        self.refuse_with(&call, asked_too_often(), options)
    }
}

/// A call that waits for replies. Dropping this before the call has resumed abandons it.
pub struct AskedCall {
    provider: Arc<dyn ToolProvider>,
    host: Weak<HostShared>,
    state: Vec<u8>,
}

impl Drop for AskedCall {
    fn drop(&mut self) {
        self.provider.abandon(&self.state);
        if let Some(host) = self.host.upgrade() {
            host.waiting.forget(&self.state);
        }
    }
}

/// Makes a request that is not a call and, if it asks questions and there is a responder, repeats
/// it with the replies.
pub(super) async fn answered<'r, T>(
    method: &str,
    mut resumed: Option<Resumption>,
    options: &CallOptions,
    request: impl Fn(Option<Resumption>) -> BoxFuture<'r, Result<T, CallError>>,
) -> Result<T, CallError> {
    let Some(responder) = options.responder.as_deref() else {
        return request(resumed).await;
    };
    let cancel = options.cancel.clone().unwrap_or_default();
    for _ in 0..MAX_ROUNDS {
        let input = match request(resumed.take()).await {
            Err(CallError::InputRequired(input)) => input,
            other => return other,
        };
        resumed = Some(replies(method, &input, responder, &cancel).await?);
    }
    Err(asked_too_often())
}

/// The error for a call that still asks after the last round.
pub fn asked_too_often() -> CallError {
    let message = format!("it asked for input {MAX_ROUNDS} times and still has no result");
    CallError::Failed { message }
}

/// Asks the questions one after the other, as a user expects.
///
/// # Errors
///
/// Why there is no reply.
async fn replies(
    tool: &str,
    input: &InputRequired,
    responder: &dyn Responder,
    cancel: &CancellationToken,
) -> Result<Resumption, CallError> {
    let asked = AssertUnwindSafe(asked(tool, input, responder)).catch_unwind();
    match cancel.run_until_cancelled(asked).await {
        Some(Ok(replies)) => replies,
        Some(Err(panic)) => {
            let said = said_by(&*panic);
            Err(CallError::failed(format!(
                "its questions have no answers: the responder panicked: {said}"
            )))
        }
        None => Err(CallError::Cancelled),
    }
}

/// # Errors
///
/// As of [`replies`].
async fn asked(
    tool: &str,
    input: &InputRequired,
    responder: &dyn Responder,
) -> Result<Resumption, CallError> {
    let kinds = responder.kinds();
    let mut replies = Vec::new();
    for (key, question) in &input.questions {
        if !kinds.contains(question.kind()) {
            let message = question.message();
            return Err(CallError::failed(format!(
                "no one is available to answer: {message}"
            )));
        }
        replies.push((key.clone(), responder.reply(tool, question).await?));
    }
    Ok(Resumption::new(&*input.state, replies))
}
