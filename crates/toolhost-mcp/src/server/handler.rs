//! One session's requests, answered by the host.

// Logging, sampling and roots are deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use rmcp::model::*;
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler, Service};
use tokio::sync::SetOnce;
use tokio::task;
use tokio_util::sync::CancellationToken;

use crate::http_front::Principal;
use crate::server::caller::{self, Caller, KnownClient};
use crate::server::catalogue::Catalogue;
use crate::server::dispatch::{IncomingCall, dispatch};
use crate::server::pagination::page;
use crate::server::request_state::{self, Binding};
use crate::server::server_state::{ServerState, SessionPermit};
use crate::server::subscriptions::{self, Listening, Subscriptions};
use crate::server::{convert, running_requests, tasks};
use toolhost_core::error::CallError;
use toolhost_core::host::{CallOptions, TakenPlaces};
use toolhost_core::input::InputRequired;
use toolhost_core::locks::lock;
use toolhost_core::order;
use toolhost_core::prompt::{CompletionRequest, CompletionTarget, PromptRequest};
use toolhost_core::resource::ResourceRequest;
use toolhost_core::tool::ToolCall;
use toolhost_core::watch::{Owner, Paused};

/// How long a client may go by a list without asking again; it is told of changes before.
const LIST_TTL_MS: u64 = 60_000;

/// The methods that take parameters.
const METHODS: [&str; 11] = [
    "completion/complete",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "tasks/cancel",
    "tasks/get",
    "tasks/update",
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

const OTHER_REVISION: &str = "this protocol revision does not have it";

/// A client of the server; clones are the same client. Cheap to create: a stateless client gets one
/// per request.
#[derive(Clone)]
pub(crate) struct ClientSession {
    pub(crate) server: Arc<ServerState>,
    client: Arc<ClientState>,
}

#[derive(Default)]
struct ClientState {
    /// The log level set by the session (`logging/setLevel`).
    level: Mutex<Option<LoggingLevel>>,
    subscriptions: Subscriptions,
    /// Subscriptions to changes whose streams have not started yet, by the task that is about to
    /// start them.
    heard: Mutex<HashMap<Option<task::Id>, Listening>>,
    /// Its permit among the open sessions.
    permit: OnceLock<SessionPermit>,
    /// What is known of the client, once its session has begun.
    known: OnceLock<Arc<KnownClient>>,
    /// The client for ordering calls.
    order: order::OrderClient,
    /// Cancelled at the end of its input, over stdio.
    gone: CancellationToken,
    /// Whether it has to read answers before more may start, over stdio.
    paused: OnceLock<Paused>,
}

/// The handler of a session's requests; empty until the session has begun.
#[derive(Clone, Default)]
pub(crate) struct HandlerSlot(Arc<SetOnce<ReadyHandler>>);

/// The handler of a session that has begun.
#[derive(Clone)]
pub(crate) struct ReadyHandler {
    pub(crate) session: ClientSession,
    pub(crate) client: Arc<KnownClient>,
}

impl HandlerSlot {
    pub(crate) fn ready(&self) -> Option<&ReadyHandler> {
        self.0.get()
    }

    /// Waits until there is one.
    pub(crate) async fn wait(&self) {
        self.0.wait().await;
    }
}

pub(crate) type Context = RequestContext<RoleServer>;

impl ClientSession {
    pub(crate) fn new(server: Arc<ServerState>) -> ClientSession {
        ClientSession {
            server,
            client: Arc::default(),
        }
    }

    /// Starts none of its requests while this is paused.
    pub(crate) fn unless_paused(&self, paused: Paused) {
        let _ = self.client.paused.set(paused);
    }

    /// Cancelled when its client will send nothing more, and receives no notifications any more.
    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.client.gone
    }

    /// Answers a request as rmcp's dispatch would. Calls of a client whose session has begun bypass
    /// that: its future has room for every kind of request, and most requests are calls.
    pub(crate) fn answer(
        &self,
        request: ClientRequest,
        context: Context,
    ) -> BoxFuture<'_, Result<ServerResult, ErrorData>> {
        match request {
            ClientRequest::CallToolRequest(request) if self.known(&context).is_some() => {
                let caller = self.caller(&context);
                let call = IncomingCall::of(request.params, &context.id, &context.extensions);
                self.answer_call(call, caller).boxed()
            }
            request @ ClientRequest::SubscriptionsListenRequest(_) => {
                self.listen_until_gone(request, context).boxed()
            }
            request => {
                let answer = self.handle_request(request, context);
                answer.map_err(with_reason).boxed()
            }
        }
    }

    /// A `subscriptions/listen` stream. It ends with the client's input even if rmcp keeps it open:
    /// rmcp sends no notification after that, and shutdown would wait for the stream.
    async fn listen_until_gone(
        &self,
        request: ClientRequest,
        context: Context,
    ) -> Result<ServerResult, ErrorData> {
        let mut result = SubscriptionsListenResult::complete(context.id.clone());
        let answer = self.handle_request(request, context);
        match self.client.gone.run_until_cancelled(answer).await {
            Some(answer) => answer,
            None => {
                result
                    .meta
                    .set_server_info(self.server.config().server_info);
                Ok(ServerResult::SubscriptionsListenResult(result))
            }
        }
    }

    /// Answers a call of a client whose session has begun.
    pub(crate) fn answer_call(
        &self,
        call: IncomingCall,
        caller: Caller,
    ) -> impl Future<Output = Result<ServerResult, ErrorData>> + Send + use<> {
        dispatch(&self.server, call, caller).map(|answer| {
            let mut result = ServerResult::from(answer?);
            convert::for_session(&mut result);
            Ok(result)
        })
    }

    /// The caller of a request that came through rmcp.
    pub(crate) fn caller(&self, context: &Context) -> Caller {
        let (principal, meta) = (caller::of_http(&context.extensions).cloned(), &context.meta);
        let caller = match self.known(context) {
            Some(known) => self.caller_of(known, principal, context.ct.clone()),
            None => {
                let version = context.protocol_version();
                let capabilities = context.client_capabilities().unwrap_or_default();
                let known = KnownClient::new(&context.peer, version.as_ref(), &capabilities);
                self.caller_of(&known, principal, context.ct.clone())
            }
        };
        let caller = Caller {
            level: match caller.is_stateless {
                true => meta.log_level(),
                false => caller.level,
            },
            token: meta.get_progress_token(),
            meta: caller::meta(meta),
            _room: caller::of_http(&context.extensions).cloned(),
            ..caller
        };
        match context.extensions.get() {
            Some(stream) => caller.on(*stream),
            None => caller,
        }
    }

    /// The client of a session that has begun, unless the request itself says who it is.
    fn known(&self, context: &Context) -> Option<&KnownClient> {
        let known = self.client.known.get()?;
        let meta = &context.meta;
        let is_own = meta.protocol_version().is_some() || meta.client_capabilities().is_some();
        (!known.is_stateless && !is_own).then_some(&**known)
    }

    /// The caller of a request, from what its client said.
    pub(crate) fn caller_of(
        &self,
        known: &KnownClient,
        principal: Option<Principal>,
        cancel: CancellationToken,
    ) -> Caller {
        let order = self.order(principal.as_ref());
        Caller {
            owner: self.owner(principal.as_ref()),
            principal,
            order,
            is_stateless: known.is_stateless,
            can_ask: known.can_ask,
            takes_tasks: known.takes_tasks,
            peer: known.peer.clone(),
            level: (!known.is_stateless).then(|| self.level()),
            token: None,
            stream: None,
            cancel,
            task: None,
            meta: None,
            paused: self.client.paused.get().cloned(),
            _room: None,
        }
    }

    /// The owner of its tasks and kept results.
    pub(crate) fn owner(&self, principal: Option<&Principal>) -> Owner {
        match (self.client.permit.get(), principal) {
            (Some(permit), _) => permit.owner(),
            (None, Some(principal)) => Owner::Principal(principal.name.clone()),
            (None, None) => Owner::Principal("".into()),
        }
    }

    /// The client of these calls in the order. All sessions and requests of one name are one party;
    /// so are all requests without a name and a session.
    fn order(&self, principal: Option<&Principal>) -> order::OrderClient {
        let own = self.client.order;
        match principal.and_then(Principal::own_name) {
            Some(name) => own.named(&name),
            None if self.client.permit.get().is_none() => own.passing(),
            None => own,
        }
    }

    /// The log level of the session's client.
    fn level(&self) -> LoggingLevel {
        lock(&self.client.level).unwrap_or(LoggingLevel::Info)
    }

    /// Takes the places in order of a call that arrives now.
    pub(crate) fn places(&self, call: &ToolCall, principal: Option<&Principal>) -> TakenPlaces {
        let catalogue = self.server.catalogue();
        let options = catalogue.options(principal, self.order(principal));
        catalogue.host.places(call, &options)
    }

    /// The catalogue, if it offers this; methods that were not declared are unknown.
    fn offering<M: ConstString>(
        &self,
        has: impl FnOnce(&Catalogue) -> bool,
    ) -> Result<Arc<Catalogue>, ErrorData> {
        let catalogue = self.server.catalogue();
        match has(&catalogue) {
            true => Ok(catalogue),
            false => {
                let kind = M::VALUE.split('/').next().unwrap_or_default();
                Err(method_not_found(
                    M::VALUE,
                    &format!("this server has no {kind}"),
                ))
            }
        }
    }

    /// The result that asks a client of the stateless protocol a question.
    fn ask(
        &self,
        input: &InputRequired,
        caller: &Caller,
        binding: &Binding,
    ) -> Result<InputRequiredResult, ErrorData> {
        let states = &self.server.request_states;
        request_state::input_required(input, caller.can_ask, states, binding)
    }

    /// Runs a request other than a call.
    fn run<'r, T: Send + 'r>(
        &'r self,
        catalogue: &Catalogue,
        logger: &'static str,
        caller: &'r Caller,
        run: impl FnOnce(CallOptions) -> BoxFuture<'r, T>,
    ) -> impl Future<Output = Result<T, ErrorData>> + Send {
        running_requests::run(&self.server, catalogue, logger.into(), caller, run)
    }
}

/// For a method that the revision of a request does not have, rmcp's message is the method alone.
fn with_reason(error: ErrorData) -> ErrorData {
    let mut known = STATELESS_METHODS.iter().chain(&SESSION_METHODS);
    match error.code == ErrorCode::METHOD_NOT_FOUND && known.any(|known| *known == error.message) {
        true => method_not_found(&error.message, OTHER_REVISION),
        false => error,
    }
}

fn method_not_found(method: &str, why: &str) -> ErrorData {
    let shown: String = method.chars().take(100).collect();
    let message = format!("method not found: {shown}: {why}");
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None)
}

impl ServerHandler for ClientSession {
    fn get_info(&self) -> ServerConfig {
        self.server.config()
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
            let message = "the session has already started";
            return Err(ErrorData::invalid_request(message, None));
        }
        if self.client.permit.get().is_none() {
            let _ = self.client.permit.set(self.server.permit());
        }
        context.peer.set_peer_info(request.clone());
        self.negotiate_initialize(&request)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if let Some(client) = context.peer.peer_info() {
            let (version, capabilities) = (&client.protocol_version, &client.capabilities);
            let client = KnownClient::new(&context.peer, Some(version), capabilities);
            let client = Arc::new(client);
            let _ = self.client.known.set(client.clone());
            // Over HTTP its requests can bypass rmcp's loop from now on.
            if let Some(slot) = caller::of_http::<HandlerSlot>(&context.extensions) {
                let session = self.clone();
                let _ = slot.0.set(ReadyHandler { session, client });
            }
        }
        self.client.subscriptions.begin(&self.server, context.peer);
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        if self.caller(&context).is_stateless {
            let why = "in this revision the `_meta` of each request sets the log level";
            return Err(method_not_found(SetLevelRequestMethod::VALUE, why));
        }
        *lock(&self.client.level) = Some(request.level);
        Ok(())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.server.catalogue().tool(name).cloned()
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
        // rmcp takes a request with malformed parameters for one of an unknown method.
        if METHODS.iter().chain(others).any(|known| *known == method) {
            let message = format!("invalid parameters for {method}");
            return Err(ErrorData::invalid_params(message, None));
        }
        let is_of_others = STATELESS_METHODS.iter().chain(&SESSION_METHODS);
        let why = match is_of_others.copied().any(|known| known == method) {
            true => OTHER_REVISION,
            false => "unknown method",
        };
        Err(method_not_found(&method, why))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let (catalogue, caller) = (self.server.catalogue(), self.caller(&context));
        let size = catalogue.info.page_size;
        let is_whole = caller.takes_tasks || catalogue.info.task_only.is_empty();
        let is_for_all = caller
            .principal
            .as_ref()
            .is_none_or(|it| it.tools.is_none());
        let (tools, next) = match is_whole && is_for_all {
            true => page(&catalogue.tools, |tool| &*tool.name, request, size)?,
            false => {
                let tools = catalogue.tools.iter().filter(|tool| {
                    catalogue.may_call(caller.principal.as_ref(), &tool.name)
                        && (caller.takes_tasks || !catalogue.info.task_only.contains(&*tool.name))
                });
                let principal = caller.principal.as_ref();
                let allowed = principal.and_then(|it| it.tools.as_deref());
                let tools = tools.map(|tool| catalogue.described(tool, allowed));
                let tools: Vec<Tool> = tools.collect();
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
        let caller = self.caller(&context);
        let call = IncomingCall::of(request, &context.id, &context.extensions);
        dispatch(&self.server, call, caller).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: Context,
    ) -> Result<GetTaskResult, ErrorData> {
        let owner = self.caller(&context).owner;
        let task = self.server.tasks.get(&owner, &request.task_id);
        Ok(GetTaskResult::new(task.ok_or_else(tasks::unknown)?))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        let owner = self.caller(&context).owner;
        let responses = request.input_responses;
        self.server
            .tasks
            .update(&owner, &request.task_id, responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        let owner = self.caller(&context).owner;
        self.server.tasks.cancel(&owner, &request.task_id)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let catalogue = self.offering::<ListResourcesRequestMethod>(has_resources)?;
        let host = &catalogue.host;
        let run = |options| async move { host.list_resources(&options).await }.boxed();
        let caller = self.caller(&context);
        let listed = self.run(&catalogue, "resources", &caller, run).await?;
        let listed: Vec<Resource> = listed.into_iter().map(convert::resource).collect();
        let size = catalogue.info.page_size;
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
        let catalogue = self.offering::<ListResourceTemplatesRequestMethod>(has_resources)?;
        let size = catalogue.info.page_size;
        let (templates, next) = page(
            &catalogue.templates,
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
        let catalogue = self.offering::<ReadResourceRequestMethod>(has_resources)?;
        let (uri, caller) = (request.uri, self.caller(&context));
        let binding = Binding::new(
            &catalogue.plugins,
            caller.principal.as_ref(),
            "resources/read",
            &uri,
            "",
        );
        let (state, responses) = (request.request_state, request.input_responses);
        let resumed =
            request_state::resumption(&self.server.request_states, &binding, state, responses)?;
        let mut request = ResourceRequest::new(&*uri);
        request.resumed = resumed;
        let host = &catalogue.host;
        let run = |options| async move { host.read_resource(request, &options).await }.boxed();
        match self.run(&catalogue, "resources", &caller, run).await? {
            Ok(contents) => {
                let contents = contents.into_iter().map(convert::contents).collect();
                let mut result = ReadResourceResult::new(contents);
                (result.ttl_ms, result.cache_scope) = caller.cache(0);
                Ok(result.into())
            }
            Err(CallError::InputRequired(input)) if caller.is_stateless => {
                Ok(self.ask(&input, &caller, &binding)?.into())
            }
            Err(error @ CallError::NotFound { .. }) => Err(ErrorData::resource_not_found(
                error.to_string(),
                Some(serde_json::json!({ "uri": uri })),
            )),
            Err(error) => Err(caller::failure(error)),
        }
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        let catalogue = self.offering::<SubscribeRequestMethod>(has_resources)?;
        let (server, caller, uri) = (&self.server, self.caller(&context), &request.uri);
        let client = &caller::client(caller.principal.as_ref());
        let run =
            |options| async move { server.polls.subscribe(client, uri, &options).await }.boxed();
        let poll = self.run(&catalogue, "resources", &caller, run).await?;
        let poll = poll.map_err(caller::failure)?;
        let added = self.client.subscriptions.add(request.uri, poll);
        added.map_err(caller::failure)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: Context,
    ) -> Result<(), ErrorData> {
        self.offering::<UnsubscribeRequestMethod>(has_resources)?;
        self.client.subscriptions.remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        let accepted = subscriptions::accepted(requested);
        // rmcp tells the client that it listens before it calls `listen`, in the same task.
        let mut heard = lock(&self.client.heard);
        heard.insert(
            task::try_id(),
            Listening::to(&self.server.changes, &accepted),
        );
        Some(accepted)
    }

    async fn listen(&self, stream: SubscriptionContext) -> Result<(), ErrorData> {
        let heard = lock(&self.client.heard).remove(&task::try_id());
        let to = || Listening::to(&self.server.changes, stream.accepted());
        let listening = heard.unwrap_or_else(to);
        let client = caller::client(caller::of_http(&stream.request_context().extensions));
        Box::pin(subscriptions::listen(
            &self.server,
            &client,
            listening,
            stream,
        ))
        .await;
        Ok(())
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let catalogue = self.offering::<ListPromptsRequestMethod>(has_prompts)?;
        let size = catalogue.info.page_size;
        let (prompts, next) = page(&catalogue.prompts, |prompt| &prompt.name, request, size)?;
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
        let catalogue = self.offering::<GetPromptRequestMethod>(has_prompts)?;
        let name = request.name;
        let arguments = request.arguments.unwrap_or_default();
        let text = serde_json::to_string(&arguments).unwrap_or_default();
        let caller = self.caller(&context);
        let binding = Binding::new(
            &catalogue.plugins,
            caller.principal.as_ref(),
            "prompts/get",
            &name,
            &text,
        );
        let (state, responses) = (request.request_state, request.input_responses);
        let resumed =
            request_state::resumption(&self.server.request_states, &binding, state, responses)?;
        let arguments = arguments.into_iter().map(|(name, value)| match value {
            serde_json::Value::String(text) => (name, text),
            value => (name, value.to_string()),
        });
        let arguments = arguments.collect();
        let mut request = PromptRequest::new(&*name);
        request.arguments = arguments;
        request.resumed = resumed;
        let host = &catalogue.host;
        let run = |options| async move { host.get_prompt(request, &options).await }.boxed();
        match self.run(&catalogue, "prompts", &caller, run).await? {
            Ok(filled) => Ok(convert::filled(filled).into()),
            Err(CallError::InputRequired(input)) if caller.is_stateless => {
                Ok(self.ask(&input, &caller, &binding)?.into())
            }
            // A prompt has no URI: an unknown one is an error of the parameters.
            Err(error @ CallError::NotFound { .. }) => {
                Err(ErrorData::invalid_params(error.to_string(), None))
            }
            Err(error) => Err(caller::failure(error)),
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: Context,
    ) -> Result<CompleteResult, ErrorData> {
        let catalogue = self.offering::<CompleteRequestMethod>(|it| it.host.completes())?;
        let others = request.context.and_then(|context| context.arguments);
        let mut others: Vec<_> = others.unwrap_or_default().into_iter().collect();
        others.sort();
        let target = match request.r#ref {
            Reference::Prompt(prompt) => CompletionTarget::Prompt(prompt.name),
            Reference::Resource(template) => CompletionTarget::Template(template.uri),
            _ => return Err(ErrorData::invalid_params("unknown kind of `ref`", None)),
        };
        let (argument, value) = (request.argument.name, request.argument.value);
        let mut completing = CompletionRequest::new(target, argument, value);
        completing.others = others;
        let host = &catalogue.host;
        let run = |options| async move { host.complete(completing, &options).await }.boxed();
        let found = self
            .run(&catalogue, "completion", &self.caller(&context), run)
            .await?;
        let found = found.map_err(|error| match error {
            error @ CallError::NotFound { .. } => {
                ErrorData::invalid_params(error.to_string(), None)
            }
            error => caller::failure(error),
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

fn has_resources(catalogue: &Catalogue) -> bool {
    catalogue.host.has_resources()
}

fn has_prompts(catalogue: &Catalogue) -> bool {
    !catalogue.prompts.is_empty()
}
