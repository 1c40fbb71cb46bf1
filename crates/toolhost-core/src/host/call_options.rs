//! [`CallOptions`]: what calls, batches and other requests are run with beside their arguments.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use toolhost_wire::Responder;

use super::{Narrowed, TakenPlaces, Whose};
use crate::input::QuestionKinds;
use crate::locks;
use crate::order::OrderClient;
use crate::tool::ToolCall;
use crate::watch::{AllowedTools, Owner, Paused, RunContext, Watcher};

/// Options of calls and other requests: the same for one call
/// ([`ToolHost::call_with`](crate::ToolHost::call_with)), a batch
/// ([`ToolHost::run_with`](crate::ToolHost::run_with)), resources and prompts.
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
    /// Answers the questions of tools.
    #[doc(hidden)]
    pub responder: Option<Arc<dyn Responder>>,
    pub(super) can_ask: QuestionKinds,
    pub(super) cancel: Option<CancellationToken>,
    timeout: Option<Duration>,
    /// The idempotency key.
    pub(super) key: Option<Arc<str>>,
    begun: Option<Arc<AtomicBool>>,
    /// The client of the calls and its narrowed grants.
    #[doc(hidden)]
    pub whose: Whose,
    /// The client whose calls keep their order; a client of its own when `None`.
    pub(super) order: Option<OrderClient>,
    /// Whose kept results the call may read.
    pub(crate) owner: Owner,
    /// The tools that may be called beside the host's own.
    pub(crate) allowed: AllowedTools,
    paused: Option<Paused>,
    /// Places in order that were taken ahead for the first call with these options.
    places: Option<Arc<Mutex<TakenPlaces>>>,
}

impl CallOptions {
    /// No watcher, no responder, and the limits of each provider.
    pub fn new() -> Self {
        CallOptions::default()
    }

    /// Reports progress and log lines of running calls to `watcher`.
    #[must_use]
    pub fn watcher(mut self, watcher: Arc<dyn Watcher>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Answers the questions of tools with `responder`.
    #[must_use]
    pub fn responder(mut self, responder: Arc<dyn Responder>) -> Self {
        self.responder = Some(responder);
        self
    }

    /// Tells tools that they may ask questions of these kinds though there is no responder: such a
    /// call fails with [`CallError::InputRequired`](crate::CallError::InputRequired), and the
    /// caller answers it.
    #[must_use]
    pub fn advertise(mut self, kinds: QuestionKinds) -> Self {
        self.can_ask = kinds;
        self
    }

    /// Cancels what runs once `token` is cancelled: it fails with
    /// [`CallError::Cancelled`](crate::CallError::Cancelled).
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{CallOptions, CancellationToken, Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # let math = NativeTools::new("math").tool_with_schema(
    /// #     Tool::new("double", "Doubles a number").read_only(),
    /// #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # );
    /// # let host = Loader::new(Manifest::default()).provider(math).load().await?;
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

    /// The timeout of a call, if shorter than its provider's: it then fails with
    /// [`CallError::Timeout`](crate::CallError::Timeout). Queue time does not count.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The client of the calls. The audit log names it, native tools can read it, and a folder that
    /// the manifest grants with `${client}` becomes that client's:
    ///
    /// ```toml
    /// permissions.files = [{ host = "users/${client}", guest = "/notes", access = "read-write", create = true }]
    /// ```
    ///
    /// Name only clients that your program has authenticated: never take the name from a model or
    /// unchecked from a request. Without a client, calls of a plugin with such a folder fail with
    /// [`CallError::InvalidOptions`](crate::CallError::InvalidOptions).
    #[must_use]
    pub fn client(mut self, name: impl Into<Arc<str>>) -> Self {
        self.whose.client = Some(name.into());
        self
    }

    /// The client that was named.
    #[doc(hidden)]
    pub fn client_name(&self) -> Option<&str> {
        self.whose.client().map(|name| &**name)
    }

    /// Narrows what the calls may touch, or replaces it, with what
    /// [`ToolHost::narrow`](crate::ToolHost::narrow) made of a [`Narrowing`](crate::Narrowing).
    #[must_use]
    pub fn narrowed(mut self, narrowed: &Narrowed) -> Self {
        self.whose.narrowed = Some(narrowed.clone());
        self
    }

    /// Runs a call at most once: a call with the same key does not run again but gets the first
    /// call's result, also while that one still runs. For calls that are retried because it is
    /// unknown whether they ran.
    ///
    /// - Keys belong to a client; the same key for another tool or other arguments fails with
    ///   [`CallError::InvalidOptions`](crate::CallError::InvalidOptions). A call in a batch has the
    ///   key, a `/`, and its id, or its position if it has none.
    /// - A call that ran and failed has run: it fails again with the same error. One that did not
    ///   run (invalid arguments, a full queue, cancelled before its turn) is run next time.
    /// - The other options are those of the first call. It is cancelled when no caller waits for it
    ///   any more.
    /// - The host remembers a key for an hour after its call ended, up to 10,000 keys and 32 MiB of
    ///   results, and forgets them when it ends or is replaced. A call whose result was too large
    ///   to keep fails, and is not run again.
    /// - A call that asked a question has not run. Repeated under the same key with the replies, it
    ///   is the same call.
    /// - Requests for resources and prompts take no key.
    ///
    /// Native tools find the key in their context, MCP servers as `toolhost/idempotency-key` in
    /// `_meta`.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
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

    /// The same options without an idempotency key.
    #[doc(hidden)]
    pub fn without_key(mut self) -> Self {
        self.key = None;
        self
    }

    /// The options for one call of a batch.
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

    /// Sets `begun` when the provider is called.
    pub(super) fn begun(mut self, begun: Arc<AtomicBool>) -> Self {
        self.begun = Some(begun);
        self
    }

    /// Orders the call among those of `client`.
    #[doc(hidden)]
    pub fn of_client(mut self, client: OrderClient) -> Self {
        self.order = Some(client);
        self
    }

    /// Lets the call read the kept results of `owner`.
    #[doc(hidden)]
    pub fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// Restricts the call to these tools and the host's own.
    #[doc(hidden)]
    pub fn allowed(mut self, tools: AllowedTools) -> Self {
        self.allowed = tools;
        self
    }

    /// Starts nothing while this is paused: what has to wait holds no permit. Queue time.
    #[doc(hidden)]
    pub fn unless_paused(mut self, paused: Option<Paused>) -> Self {
        self.paused = paused;
        self
    }

    /// Uses places in order that were taken ahead for the call.
    #[doc(hidden)]
    pub fn placed(mut self, places: Option<TakenPlaces>) -> Self {
        self.places = places.map(|places| Arc::new(Mutex::new(places)));
        self
    }

    /// The places that were taken ahead, if any.
    pub(super) fn take_places(&self) -> TakenPlaces {
        let Some(places) = &self.places else {
            return TakenPlaces::default();
        };
        let mut places = locks::lock(places);
        std::mem::take(&mut *places)
    }

    /// A token that cancels a batch and nothing else that has these options.
    pub(super) fn own_token(&self) -> CancellationToken {
        match &self.cancel {
            Some(token) => token.child_token(),
            None => CancellationToken::new(),
        }
    }

    pub(super) fn order(&self) -> OrderClient {
        self.order.unwrap_or_else(|| self.new_client())
    }

    /// A new client in the order, which takes turns together with all others of the same name.
    pub(super) fn new_client(&self) -> OrderClient {
        match self.whose.client() {
            Some(name) => OrderClient::new().named(name),
            None => OrderClient::new(),
        }
    }

    /// The options of the calls that a call with these options makes. They belong to the same client
    /// and have no more rights; their progress is not reported. If the call `is_repeatable`, their
    /// questions end it.
    pub(super) fn of_nested(&self, context: &RunContext, is_repeatable: bool) -> CallOptions {
        CallOptions {
            cancel: Some(context.cancel.clone()),
            whose: self.whose.clone(),
            order: Some(context.client.beside()),
            owner: self.owner.clone(),
            allowed: self.allowed.clone(),
            paused: self.paused.clone(),
            responder: self.responder.clone().filter(|_| !is_repeatable),
            can_ask: match is_repeatable {
                true => context.can_ask,
                false => QuestionKinds::default(),
            },
            ..CallOptions::default()
        }
    }

    pub(super) fn context(&self) -> RunContext {
        RunContext {
            cancel: self.cancel.clone().unwrap_or_default(),
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
            paused: self.paused.clone(),
            depth: self.whose.depth(),
        }
    }
}
