//! A call whose questions are answered: it is called again with the replies, each time in a fresh
//! instance and in its turn.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use toolhost_wire::Responder;

use super::repeats::Found;
use super::{Arrival, CallOptions, HandedOver, ToolHost};
use crate::error::{CallError, said_by};
use crate::input::{InputRequired, Resumption};
use crate::provider::ToolProvider;
use crate::tool::{ToolCall, ToolResult};

/// A tool may ask so often for one call.
pub const MAX_ROUNDS: usize = 16;

impl ToolHost {
    /// As [`call`](ToolHost::call). Where there is a responder, it is asked what the tool asks, and the
    /// tool is called again with its replies: no instance and no permit waits for it meanwhile. Else
    /// such a call fails with [`CallError::InputRequired`].
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
    /// # # # let math = NativeTools::new("math").tool_with_schema(
    /// # # #     Tool::new("double", "Doubles a number").read_only(),
    /// # # #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// # # #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # # # );
    /// # # # let host = Loader::new(Manifest::default()).provider(math).load().await?;
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

    /// Holds a call of that tool which asked, with the state that it is to come back with.
    #[doc(hidden)]
    pub fn asked(&self, tool: &str, state: &[u8]) -> Option<AskedCall> {
        let (_, registered, _) = self.registry.find(tool)?;
        Some(AskedCall {
            provider: registered.provider.clone(),
            state: state.to_owned(),
        })
    }

    /// The same, for what has arrived.
    pub(super) async fn run_handed_over(
        &self,
        arrived: HandedOver,
        options: &CallOptions,
    ) -> ToolResult {
        match arrived {
            HandedOver::One(arrival, call) => self.call_answered(arrival, call, options).await,
            HandedOver::Several(arrivals, unpacked) => {
                // Boxed, so that other calls do not hold room for it.
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
        run: Found,
        is_repeat: bool,
        options: &CallOptions,
    ) -> ToolResult {
        let queued = Instant::now();
        let result = match run {
            Found::Ended(result) => Some(result),
            Found::Runs(run) => {
                let cancel = options.cancel.clone().filter(|_| is_repeat);
                cancel.unwrap_or_default().run_until_cancelled(run).await
            }
            Found::New => None,
        };
        match result {
            Some(result) if is_repeat => self.repeated(queued, &call, options, &result),
            Some(result) => Arc::unwrap_or_clone(result),
            None => self.refuse_since(queued, &call, &options.whose, CallError::Cancelled),
        }
    }

    /// The same, for a call that is none of several.
    pub(super) async fn call_answered(
        &self,
        mut arrival: Arrival,
        mut call: ToolCall,
        options: &CallOptions,
    ) -> ToolResult {
        let never = OnceLock::new();
        let context = options.context(&never);
        let Some(responder) = options.responder.as_deref() else {
            return self
                .run_call(&call, &context, &options.whose, arrival)
                .await;
        };
        let mut _asked = None;
        for _ in 0..MAX_ROUNDS {
            let running = self.run_call(&call, &context, &options.whose, arrival);
            let mut result = running.await;
            let Err(CallError::InputRequired(input)) = &result.outcome else {
                return result;
            };
            _asked = self.asked(&call.name, &input.state);
            let replies = context
                .cancel
                .run_until_cancelled(replies(&call.name, input, responder));
            let replies = replies.await;
            // Others of the same folder ran meanwhile: it takes its place behind them.
            let taken = self.take(
                &call,
                options.order(),
                options.allowed.as_deref(),
                &options.whose,
            );
            arrival = Arrival::new(taken);
            // That it may run has been decided.
            arrival.taken.hooks = None;
            match replies {
                Some(Ok(resumption)) => call.resumed = Some(Box::new(resumption)),
                Some(Err(error)) => {
                    result.outcome = Err(error);
                    return result;
                }
                None => {
                    result.outcome = Err(CallError::Cancelled);
                    return result;
                }
            }
        }
        self.refuse_with(&call, asked_too_often(), options)
    }
}

/// A call that asked. Unless it has gone on by the time that this is dropped, it does not any more.
pub struct AskedCall {
    provider: Arc<dyn ToolProvider>,
    state: Vec<u8>,
}

impl Drop for AskedCall {
    fn drop(&mut self) {
        self.provider.abandon(&self.state);
    }
}

/// Makes a request that is no call, and makes it again with the replies to what it asks, where there is
/// a responder.
pub(super) async fn answered<'r, T>(
    method: &str,
    mut resumed: Option<Resumption>,
    options: &CallOptions,
    request: impl Fn(Option<Resumption>) -> BoxFuture<'r, Result<T, CallError>>,
) -> Result<T, CallError> {
    let never = OnceLock::new();
    let context = options.context(&never);
    let Some(responder) = options.responder.as_deref() else {
        return request(resumed).await;
    };
    for _ in 0..MAX_ROUNDS {
        let input = match request(resumed.take()).await {
            Err(CallError::InputRequired(input)) => input,
            other => return other,
        };
        let replies = replies(method, &input, responder);
        let replies = context.cancel.run_until_cancelled(replies).await;
        let replies = replies.ok_or(CallError::Cancelled)?;
        resumed = Some(replies?);
    }
    Err(asked_too_often())
}

/// What answers a call that still asks after that.
pub fn asked_too_often() -> CallError {
    let message = format!("it asked for input {MAX_ROUNDS} times and still has no result");
    CallError::Failed { message }
}

/// Asks one question after the other, as a person would want to be asked.
///
/// # Errors
///
/// Why there is no reply.
async fn replies(
    tool: &str,
    input: &InputRequired,
    responder: &dyn Responder,
) -> Result<Resumption, CallError> {
    let asked = AssertUnwindSafe(asked(tool, input, responder));
    asked.catch_unwind().await.unwrap_or_else(|panic| {
        let said = said_by(&*panic);
        Err(CallError::failed(format!(
            "nobody answers what it asks: the responder panicked: {said}"
        )))
    })
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
