//! One session's requests, answered by the host.

// Logging, sampling and roots are deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rmcp::model::*;
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::task;
use tokio_util::sync::CancellationToken;

use super::asking::{self, Asked};
use super::hub::{Change, Hub};
use super::pages::page;
use super::requests::{self, Binding, Caller, Known};
use super::sessions::{Answerer, Begun};
use super::streams::Origin;
use super::subscriptions::{self, Subscriptions};
use super::watching::{Notes, Wanted};
use super::{Server, convert};
use crate::error::CallError;
use crate::host::{CallOptions, Canceller};
use crate::input::InputRequired;
use crate::order::{self, Place};
use crate::prompt::{Completing, Subject};
use crate::serve::Principal;
use crate::tool::ToolCall;

/// How long a client may go by a list without asking again; it is told of changes before.
const LIST_TTL_MS: u64 = 60_000;

/// The methods that take parameters.
const METHODS: [&str; 8] = [
    "completion/complete",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "tools/call",
    "tools/list",
];

/// Those of the older protocols alone.
const SESSION_METHODS: [&str; 4] = [
    "initialize",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
];

/// Those of the stateless protocol alone.
const STATELESS_METHODS: [&str; 1] = ["subscriptions/listen"];

/// What one client is to the server; clones are the same one. Cheap to make: a stateless client has one
/// for every request.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) hub: Arc<Hub>,
    client: Arc<Client>,
}

#[derive(Default)]
struct Client {
    /// What it wants of the logs of its calls.
    level: Mutex<Option<LoggingLevel>>,
    subscriptions: Subscriptions,
    /// Changes since streams were asked for that are not begun yet, by the task that is about to.
    heard: Mutex<HashMap<Option<task::Id>, broadcast::Receiver<Change>>>,
    /// Its place among the sessions that are open.
    place: OnceLock<OwnedSemaphorePermit>,
    /// Itself, once it has begun its session.
    known: OnceLock<Arc<Known>>,
    /// Itself, to what keeps calls in order.
    order: order::Client,
}

impl Server {
    pub(super) fn session(&self) -> Session {
        Session {
            hub: self.hub.clone(),
            client: Arc::default(),
        }
    }
}

pub(super) type Context = RequestContext<RoleServer>;

impl Session {
    /// Who makes a request that came by rmcp.
    pub(super) fn caller<'c>(&self, context: &'c Context) -> Caller<'c> {
        let (principal, meta) = (requests::principal(context), &context.meta);
        let token = meta.get_progress_token();
        let origin = context.extensions.get().copied();
        if let Some(known) = self.known(context) {
            let known = self.known_caller(known, principal, token, origin, &context.ct);
            return Caller {
                meta: requests::meta(meta),
                ..known
            };
        }
        let version = context.protocol_version();
        let is_stateless = version.as_ref().is_some_and(requests::is_stateless);
        let capabilities = context.client_capabilities().unwrap_or_default();
        Caller {
            principal,
            is_stateless,
            can_ask: asking::kinds(&capabilities),
            token,
            level: match is_stateless {
                true => meta.log_level(),
                false => Some(self.level()),
            },
            origin,
            cancel: &context.ct,
            peer: Arc::new(context.peer.clone()),
            meta: requests::meta(meta),
        }
    }

    /// The client of a session that has begun, where a request says nothing else of it.
    pub(super) fn known(&self, context: &Context) -> Option<&Known> {
        let known = self.client.known.get()?;
        let meta = &context.meta;
        let is_own = meta.protocol_version().is_some() || meta.client_capabilities().is_some();
        (!known.is_stateless && !is_own).then_some(&**known)
    }

    /// Who makes a request of such a session.
    pub(super) fn known_caller<'c>(
        &self,
        known: &Known,
        principal: Option<&'c Principal>,
        token: Option<ProgressToken>,
        origin: Option<Origin>,
        cancel: &'c CancellationToken,
    ) -> Caller<'c> {
        Caller {
            principal,
            is_stateless: false,
            can_ask: known.can_ask,
            token,
            level: Some(self.level()),
            origin,
            cancel,
            peer: known.peer.clone(),
            meta: None,
        }
    }

    /// What the client of a session wants of the log.
    fn level(&self) -> LoggingLevel {
        let level = self.client.level.lock();
        let level = *level.unwrap_or_else(PoisonError::into_inner);
        level.unwrap_or(LoggingLevel::Info)
    }

    /// The place in order of a call that comes now, where it has to keep one.
    pub(super) fn place(&self, id: &RequestId, tool: &str) -> Option<Place> {
        let call = ToolCall::new(id.to_string(), tool, "");
        self.hub.offer().host.place(&call, self.client.order)
    }

    /// Runs what answers a request: with its notifications on their way, and until it is cancelled or
    /// the server has to stop.
    ///
    /// What is run is boxed: it is large, and rmcp moves the future that all of them are in.
    pub(super) async fn run<'r, T>(
        &self,
        logger: &str,
        caller: &Caller<'_>,
        run: impl FnOnce(CallOptions) -> BoxFuture<'r, T>,
    ) -> Result<T, ErrorData> {
        let _running = self.hub.enter()?;
        let options = CallOptions::new()
            .cancelled_by(Canceller::of(caller.cancel.clone()))
            .of_client(self.client.order);
        let options = match caller.is_stateless {
            true => options.asking(caller.can_ask),
            false => options.answered_by(Arc::new(Asked {
                origin: caller.origin,
                peer: caller.peer.clone(),
                kinds: caller.can_ask,
            })),
        };
        let teller = self.hub.teller.clone();
        if caller.token.is_none() && caller.level.is_none() {
            let run = run(options.watched_by(teller));
            return Ok(self.until_stop(caller.cancel, run).await);
        }
        let wanted = Wanted {
            origin: caller.origin,
            token: caller.token.clone(),
            level: caller.level,
            logger: logger.to_owned(),
        };
        let notes = Notes::new(wanted, teller, caller.peer.clone());
        let run = run(options.watched_by(notes.clone()));
        let run = pin!(self.until_stop(caller.cancel, run));
        Ok(notes.during(run).await)
    }

    async fn until_stop<T>(&self, cancel: &CancellationToken, mut run: BoxFuture<'_, T>) -> T {
        tokio::select! {
            biased;
            result = &mut run => result,
            () = self.hub.stop().cancelled() => {
                cancel.cancel();
                run.await
            }
        }
    }

    /// What a client of the stateless protocol is told that it is asked.
    pub(super) fn ask(
        &self,
        input: InputRequired,
        caller: &Caller<'_>,
        binding: &Binding,
    ) -> Result<InputRequiredResult, ErrorData> {
        requests::input_required(input, caller.can_ask, &self.hub.seal, binding)
    }
}

impl ServerHandler for Session {
    fn get_info(&self) -> ServerConfig {
        self.hub.config()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: Context,
    ) -> Result<InitializeResult, ErrorData> {
        if self.client.known.get().is_some() {
            let message = "the session has begun already";
            return Err(ErrorData::invalid_request(message, None));
        }
        if self.client.place.get().is_none() {
            let place = self.hub.place().ok_or_else(|| {
                let message = "there are too many sessions: try again later";
                ErrorData::internal_error(message, None)
            })?;
            let _ = self.client.place.set(place);
        }
        context.peer.set_peer_info(request.clone());
        self.negotiate_initialize(&request)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if let Some(client) = context.peer.peer_info() {
            let client = Arc::new(Known {
                peer: Arc::new(context.peer.clone()),
                is_stateless: requests::is_stateless(&client.protocol_version),
                can_ask: asking::kinds(&client.capabilities),
            });
            let _ = self.client.known.set(client.clone());
            // Over HTTP its requests need not go through rmcp's loop.
            if let Some(parts) = context.extensions.get::<http::request::Parts>()
                && let Some(answerer) = parts.extensions.get::<Answerer>()
            {
                let session = self.clone();
                answerer.set(Begun { session, client });
            }
        }
        self.client.subscriptions.begin(&self.hub, context.peer);
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        if self.caller(&context).is_stateless {
            return Err(ErrorData::method_not_found::<SetLevelRequestMethod>());
        }
        let level = self.client.level.lock();
        *level.unwrap_or_else(PoisonError::into_inner) = Some(request.level);
        Ok(())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.hub.offer().tool(name).cloned()
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: Context,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method;
        let others = match self.caller(&context).is_stateless {
            true => &STATELESS_METHODS[..],
            false => &SESSION_METHODS,
        };
        // With parameters of another shape, a request is taken for one of some other method.
        if METHODS.iter().chain(others).any(|known| *known == method) {
            let message = format!("the parameters are not those of {method}");
            return Err(ErrorData::invalid_params(message, None));
        }
        let message = format!("method not found: {method}");
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let (offer, caller) = (self.hub.offer(), self.caller(&context));
        let size = offer.info.page_size;
        let (tools, next) = match caller
            .principal
            .and_then(|principal| principal.tools.as_ref())
        {
            None => page(&offer.tools, |tool| &*tool.name, request, size)?,
            Some(allowed) => {
                let tools = offer
                    .tools
                    .iter()
                    .filter(|tool| allowed.contains(&*tool.name));
                let tools: Vec<Tool> = tools.cloned().collect();
                page(&tools, |tool| &*tool.name, request, size)?
            }
        };
        let mut result = ListToolsResult::with_all_items(tools);
        (result.ttl_ms, result.cache_scope) = caller.cache(LIST_TTL_MS);
        result.next_cursor = next;
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call_by_rmcp(request, context).await
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let offer = self.hub.offer();
        if !offer.host.has_resources() {
            return Err(ErrorData::method_not_found::<ListResourcesRequestMethod>());
        }
        let host = &offer.host;
        let run = |options| async move { host.list_resources(&options).await }.boxed();
        let caller = self.caller(&context);
        let listed = self.run("resources", &caller, run).await?;
        let listed: Vec<Resource> = listed.into_iter().map(convert::resource).collect();
        let size = offer.info.page_size;
        let (resources, next) = page(&listed, |resource| &resource.uri, request, size)?;
        let mut result = ListResourcesResult::with_all_items(resources);
        (result.ttl_ms, result.cache_scope) = caller.cache(0);
        result.next_cursor = next;
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let offer = self.hub.offer();
        if !offer.host.has_resources() {
            return Err(ErrorData::method_not_found::<
                ListResourceTemplatesRequestMethod,
            >());
        }
        let size = offer.info.page_size;
        let (templates, next) = page(
            &offer.templates,
            |template| &template.uri_template,
            request,
            size,
        )?;
        let mut result = ListResourceTemplatesResult::with_all_items(templates);
        (result.ttl_ms, result.cache_scope) = self.caller(&context).cache(LIST_TTL_MS);
        result.next_cursor = next;
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let offer = self.hub.offer();
        if !offer.host.has_resources() {
            return Err(ErrorData::method_not_found::<ReadResourceRequestMethod>());
        }
        let (uri, caller) = (request.uri, self.caller(&context));
        let binding = Binding::new(caller.principal, "resources/read", &uri, "");
        let (state, responses) = (request.request_state, request.input_responses);
        let resumed = requests::resumption(&self.hub.seal, &binding, state, responses)?;
        let (host, read) = (&offer.host, uri.as_str());
        let run =
            |options| async move { host.read_resource(read, resumed, &options).await }.boxed();
        match self.run("resources", &caller, run).await? {
            Ok(contents) => {
                let contents = contents.into_iter().map(convert::contents).collect();
                let mut result = ReadResourceResult::new(contents);
                (result.ttl_ms, result.cache_scope) = caller.cache(0);
                Ok(result.into())
            }
            Err(CallError::InputRequired(input)) if caller.is_stateless => {
                Ok(self.ask(*input, &caller, &binding)?.into())
            }
            Err(error @ CallError::NotFound { .. }) => Err(ErrorData::resource_not_found(
                error.to_string(),
                Some(serde_json::json!({ "uri": uri })),
            )),
            Err(error) => Err(requests::failure(error)),
        }
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        if !self.hub.offer().host.has_resources() {
            return Err(ErrorData::method_not_found::<SubscribeRequestMethod>());
        }
        let hub = &self.hub;
        let run = |_| hub.poll(&request.uri).boxed();
        let poll = self.run("resources", &self.caller(&context), run).await?;
        let poll = poll.map_err(requests::failure)?;
        let added = self.client.subscriptions.add(request.uri, poll);
        added.map_err(requests::failure)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: Context,
    ) -> Result<(), ErrorData> {
        if !self.hub.offer().host.has_resources() {
            return Err(ErrorData::method_not_found::<UnsubscribeRequestMethod>());
        }
        self.client.subscriptions.remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        // The client is told that it listens before `listen` is called, which the same task does.
        let mut heard = self
            .client
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        heard.insert(task::try_id(), self.hub.teller.listen());
        Some(requested.clone())
    }

    async fn listen(&self, stream: SubscriptionContext) -> Result<(), ErrorData> {
        let heard = {
            let mut heard = self
                .client
                .heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            heard.remove(&task::try_id())
        };
        let changes = heard.unwrap_or_else(|| self.hub.teller.listen());
        Box::pin(subscriptions::listen(&self.hub, changes, stream)).await;
        Ok(())
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let offer = self.hub.offer();
        if offer.prompts.is_empty() {
            return Err(ErrorData::method_not_found::<ListPromptsRequestMethod>());
        }
        let size = offer.info.page_size;
        let (prompts, next) = page(&offer.prompts, |prompt| &prompt.name, request, size)?;
        let mut result = ListPromptsResult::with_all_items(prompts);
        (result.ttl_ms, result.cache_scope) = self.caller(&context).cache(LIST_TTL_MS);
        result.next_cursor = next;
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let offer = self.hub.offer();
        if offer.prompts.is_empty() {
            return Err(ErrorData::method_not_found::<GetPromptRequestMethod>());
        }
        let name = request.name;
        let arguments = request.arguments.unwrap_or_default();
        let text = serde_json::to_string(&arguments).unwrap_or_default();
        let caller = self.caller(&context);
        let binding = Binding::new(caller.principal, "prompts/get", &name, &text);
        let (state, responses) = (request.request_state, request.input_responses);
        let resumed = requests::resumption(&self.hub.seal, &binding, state, responses)?;
        let arguments = arguments.into_iter().map(|(name, value)| match value {
            serde_json::Value::String(text) => (name, text),
            value => (name, value.to_string()),
        });
        let arguments = arguments.collect();
        let (host, named) = (&offer.host, name.as_str());
        let run = |options| {
            async move { host.get_prompt(named, arguments, resumed, &options).await }.boxed()
        };
        match self.run("prompts", &caller, run).await? {
            Ok(filled) => Ok(convert::filled(filled).into()),
            Err(CallError::InputRequired(input)) if caller.is_stateless => {
                Ok(self.ask(*input, &caller, &binding)?.into())
            }
            // A prompt has no URI: that it is unknown is wrong of the parameters.
            Err(error @ CallError::NotFound { .. }) => {
                Err(ErrorData::invalid_params(error.to_string(), None))
            }
            Err(error) => Err(requests::failure(error)),
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: Context,
    ) -> Result<CompleteResult, ErrorData> {
        let offer = self.hub.offer();
        if !offer.host.completes() {
            return Err(ErrorData::method_not_found::<CompleteRequestMethod>());
        }
        let others = request.context.and_then(|context| context.arguments);
        let mut others: Vec<_> = others.unwrap_or_default().into_iter().collect();
        others.sort();
        let completing = Completing {
            of: match request.r#ref {
                Reference::Prompt(prompt) => Subject::Prompt(prompt.name),
                Reference::Resource(template) => Subject::Template(template.uri),
                _ => return Err(ErrorData::invalid_params("unknown kind of `ref`", None)),
            },
            argument: request.argument.name,
            value: request.argument.value,
            others,
        };
        let host = &offer.host;
        let run = |options| async move { host.complete(completing, &options).await }.boxed();
        let found = self.run("completion", &self.caller(&context), run).await?;
        let found = found.map_err(|error| match error {
            error @ CallError::NotFound { .. } => {
                ErrorData::invalid_params(error.to_string(), None)
            }
            error => requests::failure(error),
        })?;
        let mut values = found.values;
        let all = values.len();
        values.truncate(CompletionInfo::MAX_VALUES);
        let more = all > values.len() || found.total.is_some_and(|total| total as usize > all);
        let mut info = CompletionInfo::default();
        info.values = values;
        info.total = found.total.or(u32::try_from(all).ok());
        info.has_more = Some(more);
        Ok(CompleteResult::new(info))
    }
}
