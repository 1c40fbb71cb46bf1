//! [`OpenBatch`]: a batch whose calls arrive one by one from a streamed model response.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_util::stream::{Stream, StreamExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{CallOptions, EarlyCalls, ToolHost};
use crate::error::CallError;
use crate::tool::{ToolCall, ToolResult};

/// A batch that calls can still be added to. Each call starts when it is added, as far as the caps
/// and the calls before it allow.
///
/// Dropping it cancels its running calls.
pub struct OpenBatch {
    host: ToolHost,
    running: JoinSet<(usize, ToolResult)>,
    options: CallOptions,
    early: EarlyCalls,
    cancel: CancellationToken,
}

impl std::fmt::Debug for OpenBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBatch")
            .field("host", &self.host)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

impl OpenBatch {
    pub(super) fn new(host: ToolHost, options: CallOptions) -> Self {
        let cancel = options.own_token();
        let client = options.new_client();
        OpenBatch {
            host,
            running: JoinSet::new(),
            options: options.cancellation(cancel.clone()).of_client(client),
            early: EarlyCalls::default(),
            cancel,
        }
    }

    /// Adds a call. Its result will carry `number`.
    pub fn add(&mut self, number: usize, call: ToolCall) {
        let host = self.host.clone();
        let options = self.options.of_one(&call, number).into_owned();
        let arrived = host.hand_over(call, &options);
        self.running.spawn(async move {
            let result = host.run_handed_over(arrived, &options).await;
            (number, result)
        });
    }

    /// Adds a call of an answer that is still streaming. `position` is its position among the
    /// answer's calls, and the number of its result.
    ///
    /// It starts at once if it can change nothing (its tool is marked read-only or its plugin is
    /// granted nothing) and no earlier call of the answer may change what it reads. Any other call
    /// starts with [`complete`](OpenBatch::complete), in the order of the positions.
    pub fn add_early(&mut self, position: usize, call: ToolCall) {
        let whose = &self.options.whose;
        if self
            .early
            .may_start(&self.host, whose, (position, 0), &call)
        {
            self.early.note(position);
            self.add(position, call);
        } else {
            self.early.defer(&self.host, whose, (position, 0), call);
        }
    }

    /// Drops a deferred call that, as the answer turned out, must not run.
    pub fn forget(&mut self, position: usize) {
        self.early.forget(position);
    }

    /// The answer is complete: starts the deferred calls.
    pub fn complete(&mut self) {
        for (position, call) in self.abandon() {
            self.add(position, call);
        }
    }

    /// The answer broke off: returns the deferred calls, which are not run.
    pub fn abandon(&mut self) -> Vec<(usize, ToolCall)> {
        let deferred = self.early.take_deferred().into_iter();
        deferred
            .map(|((position, _), call)| (position, call))
            .collect()
    }

    /// Answers a call with an error, without running it; see [`ToolHost::refuse`].
    pub fn refuse(&self, call: &ToolCall, error: CallError) -> ToolResult {
        self.host.refuse_with(call, error, &self.options)
    }

    /// The number of started calls that have no result yet.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The next result, with its call's number; `None` if no call is running.
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(usize, ToolResult)> {
        StreamExt::next(self).await
    }

    /// Cancels running calls and starts no more; those that have not completed result in
    /// [`CallError::Cancelled`].
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The token that cancels the batch.
    pub fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }
}

/// Yields the results of what was added so far. It ends when no call is running, and continues
/// after another is added.
impl Stream for OpenBatch {
    type Item = (usize, ToolResult);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.running.poll_join_next(context)) {
                None => return Poll::Ready(None),
                Some(Ok(done)) => return Poll::Ready(Some(done)),
                // Happens only while the runtime shuts down.
                Some(Err(error)) => tracing::debug!("a call was lost: {error}"),
            }
        }
    }
}

impl ToolHost {
    /// Opens a batch whose calls arrive one by one.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # let math = NativeTools::new("math").tool_with_schema(
    /// #     Tool::new("double", "Doubles a number").read_only(),
    /// #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # );
    /// # let host = Loader::new(Manifest::default()).provider(math).load().await?;
    /// // Calls as a stream of a model's answer brings them: what can change nothing starts at once.
    /// let mut batch = host.open_batch();
    /// batch.add_early(0, ToolCall::new("call_1", "double", r#"{"n": 1}"#));
    /// batch.add_early(1, ToolCall::new("call_2", "double", r#"{"n": 2}"#));
    /// // The answer is complete.
    /// batch.complete();
    /// let mut texts = Vec::new();
    /// while let Some((position, result)) = batch.next().await {
    ///     texts.push((position, result.to_text()));
    /// }
    /// texts.sort();
    /// assert_eq!(texts, [(0, "2".to_owned()), (1, "4".to_owned())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_batch(&self) -> OpenBatch {
        self.open_batch_with(CallOptions::new())
    }

    /// As [`open_batch`](ToolHost::open_batch), with these options for every call.
    pub fn open_batch_with(&self, options: CallOptions) -> OpenBatch {
        OpenBatch::new(self.clone(), options)
    }

    /// Answers a call with an error, without running it: a call that a user refused, for example,
    /// or whose arguments were cut off. It is audited like any other.
    pub fn refuse(&self, call: &ToolCall, error: CallError) -> ToolResult {
        self.refuse_with(call, error, &CallOptions::new())
    }

    /// As [`refuse`](ToolHost::refuse), for a call with these options: its audit line names their
    /// client.
    pub fn refuse_with(
        &self,
        call: &ToolCall,
        error: CallError,
        options: &CallOptions,
    ) -> ToolResult {
        self.refuse_since(Instant::now(), call, &options.whose, error)
    }
}
