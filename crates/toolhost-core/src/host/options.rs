//! What calls, batches and other requests are run with beside their arguments.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use toolhost_wire::Responder;

use super::{Narrowed, Places, Whose};
use crate::input::QuestionKinds;
use crate::order::Client;
use crate::tool::ToolCall;
use crate::watch::{AllowedTools, Owner, RunContext, Watcher};

/// What calls and other requests are run with beside their arguments; the same for one call
/// ([`ToolHost::call_with`](crate::ToolHost::call_with)), a batch ([`ToolHost::run_with`](crate::ToolHost::run_with)), resources and prompts.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use std::time::Duration;
///
/// use toolhost::{CallOptions, CancellationToken};
///
/// let stop = CancellationToken::new();
/// let options = CallOptions::new()
///     .timeout(Duration::from_secs(5))
///     .cancellation(stop.clone());
/// ```
#[derive(Clone, Default)]
pub struct CallOptions {
    pub(super) watcher: Option<Arc<dyn Watcher>>,
    /// Who answers what tools ask.
    #[doc(hidden)]
    pub responder: Option<Arc<dyn Responder>>,
    pub(super) can_ask: QuestionKinds,
    pub(super) cancel: Option<CancellationToken>,
    timeout: Option<Duration>,
    /// What makes a call once only.
    pub(super) key: Option<Arc<str>>,
    begun: Option<Arc<AtomicBool>>,
    /// Whose calls they are, and what they have for that.
    #[doc(hidden)]
    pub whose: Whose,
    /// Whose calls run in the order that they are made; a client of its own when `None`.
    pub(super) order: Option<Client>,
    /// Whose results the call may read on in.
    pub(crate) owner: Owner,
    /// The tools that the call may be of, beside those of the host itself.
    pub(crate) allowed: AllowedTools,
    /// The places in order of the first call with these options.
    places: Option<Arc<Mutex<Places>>>,
}

impl CallOptions {
    /// Nothing is watched, nobody is asked, and the limits of each provider hold.
    pub fn new() -> Self {
        CallOptions::default()
    }

    /// Tells `watcher` what goes on while a call runs.
    #[must_use]
    pub fn watcher(mut self, watcher: Arc<dyn Watcher>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Has `responder` answer what tools ask.
    #[must_use]
    pub fn responder(mut self, responder: Arc<dyn Responder>) -> Self {
        self.responder = Some(responder);
        self
    }

    /// Tells tools that they can ask such questions, though nobody here answers: their call then fails with
    /// [`CallError::InputRequired`](crate::CallError::InputRequired), and whoever takes that answers it.
    #[must_use]
    pub fn advertise(mut self, kinds: QuestionKinds) -> Self {
        self.can_ask = kinds;
        self
    }

    /// Ends what still runs once `token` is cancelled: it fails with [`CallError::Cancelled`](crate::CallError::Cancelled).
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{CallOptions, CancellationToken, Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # # let math = NativeTools::new("math").tool_with_schema(
    /// # #     Tool::new("double", "Doubles a number").read_only(),
    /// # #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// # #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # # );
    /// # # let host = Loader::new(Manifest::default()).provider(math).load().await?;
    /// let stop = CancellationToken::new();
    /// let options = CallOptions::new().cancellation(stop.clone());
    /// stop.cancel();
    /// let result = host.call_with(ToolCall::new("call_1", "double", r#"{"n": 1}"#), &options).await;
    /// assert_eq!(result.outcome.unwrap_err().code(), "cancelled");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// The longest that a call may run, where its provider's `timeout` is longer: it fails with
    /// [`CallError::Timeout`](crate::CallError::Timeout) then. Waiting for its turn is not running.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whose calls they are. The audit log has the name, tools of your program can ask for it, and where the manifest grants
    /// a folder with `${client}`, the calls have that client's:
    ///
    /// ```toml
    /// permissions.files = [{ host = "users/${client}", guest = "/notes", access = "read-write", create = true }]
    /// ```
    ///
    /// It is for whom your program knows: never take it from a model or unchecked from a request. Calls of a plugin with
    /// such a folder fail with [`CallError::InvalidOptions`](crate::CallError::InvalidOptions) without one.
    #[must_use]
    pub fn client(mut self, name: impl Into<Arc<str>>) -> Self {
        self.whose.client = Some(name.into());
        self
    }

    /// Lets the calls touch less of, or instead, than the manifest grants: what [`ToolHost::narrow`](crate::ToolHost::narrow) made of a
    /// [`Narrowing`](crate::Narrowing).
    #[must_use]
    pub fn narrowed(mut self, narrowed: &Narrowed) -> Self {
        self.whose.narrowed = Some(narrowed.clone());
        self
    }

    /// Runs a call once: with the same key it is not run again, but has the first call's result, also while that runs. For
    /// calls that are made again because nobody knows whether they ran.
    ///
    /// - The key is the client's own; the same one for another tool, or other arguments, fails with
    ///   [`CallError::InvalidOptions`](crate::CallError::InvalidOptions). Of a call in a batch it is the key, a `/`, and the call's id, or its position where it
    ///   has none.
    /// - A call that ran and failed has run: it fails again, with the same error. One that did not run (invalid arguments,
    ///   no place in the queue, cancelled before its turn) is run the next time.
    /// - What counts of the options is what the first call had. It ends when nobody waits for it any more.
    /// - The host knows a key for an hour after its call ended, at most 10,000 of them and 32 MiB of results; it forgets them
    ///   when it ends or is replaced. A call whose result was too much to keep fails, and is not run again.
    /// - A call that asked has not run. Made again with replies, under the same key, it is the same call.
    /// - Resources and prompts have none.
    ///
    /// Tools of your program get it from their context, MCP servers as `toolhost/idempotency-key` in `_meta`.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{CallOptions, Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # # let math = NativeTools::new("math").tool_with_schema(
    /// # #     Tool::new("double", "Doubles a number").read_only(),
    /// # #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// # #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # # );
    /// # # let host = Loader::new(Manifest::default()).provider(math).load().await?;
    /// let options = CallOptions::new().client("alice").idempotency_key("payment-7");
    /// let call = ToolCall::new("call_1", "double", r#"{"n": 21}"#);
    /// assert_eq!(host.call_with(call.clone(), &options).await.to_text(), "42");
    /// // The first call's result: it is not run again.
    /// assert_eq!(host.call_with(call, &options).await.to_text(), "42");
    /// // Not that of other arguments.
    /// let other = ToolCall::new("call_2", "double", r#"{"n": 1}"#);
    /// let error = host.call_with(other, &options).await.outcome.unwrap_err();
    /// assert_eq!(error.code(), "invalid-options");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same without an idempotency key.
    #[doc(hidden)]
    pub fn without_key(mut self) -> Self {
        self.key = None;
        self
    }

    /// The same for one call of several.
    pub(super) fn of_one(&self, call: &ToolCall, position: usize) -> Cow<'_, CallOptions> {
        let Some(key) = &self.key else {
            return Cow::Borrowed(self);
        };
        let key = match &call.id {
            Some(id) => format!("{key}/{id}"),
            None => format!("{key}/{position}"),
        };
        Cow::Owned(self.clone().idempotency_key(key))
    }

    /// Says when the provider of the call is called.
    pub(super) fn begun(mut self, begun: Arc<AtomicBool>) -> Self {
        self.begun = Some(begun);
        self
    }

    /// Has the call keep its place among those of `client`.
    #[doc(hidden)]
    pub fn of_client(mut self, client: Client) -> Self {
        self.order = Some(client);
        self
    }

    /// Has the call read on in results of `owner`.
    #[doc(hidden)]
    pub fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// Has the call find these tools alone, and those of the host itself.
    #[doc(hidden)]
    pub fn allowed(mut self, tools: AllowedTools) -> Self {
        self.allowed = tools;
        self
    }

    /// Has the call keep places that were taken for it.
    #[doc(hidden)]
    pub fn placed(mut self, places: Option<Places>) -> Self {
        self.places = places.map(|places| Arc::new(Mutex::new(places)));
        self
    }

    /// The places that were taken for a call, if any were.
    pub(super) fn take_places(&self) -> Places {
        let Some(places) = &self.places else {
            return Places::default();
        };
        let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *places)
    }

    /// A token that a batch may cancel without cancelling what else the options are for.
    pub(super) fn own_token(&self) -> CancellationToken {
        match &self.cancel {
            Some(token) => token.child_token(),
            None => CancellationToken::new(),
        }
    }

    pub(super) fn order(&self) -> Client {
        self.order.unwrap_or_else(|| self.new_client())
    }

    /// One that is no other, and has its turns with all others of the same name.
    pub(super) fn new_client(&self) -> Client {
        match self.whose.client() {
            Some(name) => Client::new().named(name),
            None => Client::new(),
        }
    }

    /// `never` is for what stands in for a token.
    pub(super) fn context<'c>(&'c self, never: &'c OnceLock<CancellationToken>) -> RunContext<'c> {
        RunContext {
            cancel: match &self.cancel {
                Some(cancel) => cancel,
                None => never.get_or_init(CancellationToken::new),
            },
            timeout: self.timeout,
            watcher: self.watcher.clone(),
            can_ask: match &self.responder {
                Some(responder) => responder.kinds(),
                None => self.can_ask,
            },
            client: self.order(),
            owner: self.owner.clone(),
            allowed: self.allowed.clone(),
            key: self.key.clone(),
            begun: self.begun.clone(),
        }
    }
}
