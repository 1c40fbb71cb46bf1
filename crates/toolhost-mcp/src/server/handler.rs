//! One session's requests, answered by the host.

// Logging, sampling and roots are deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rmcp::model::*;
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler, Service};
use tokio::sync::SetOnce;
use tokio::task;
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::host::{CallOptions, Places};
use crate::http_front::Principal;
use crate::input::InputRequired;
use crate::order;
use crate::prompt::{CompletionRequest, CompletionTarget, PromptRequest};
use crate::resource::ResourceRequest;
use crate::server::caller::{self, Caller, KnownClient};
use crate::server::catalogue::Catalogue;
use crate::server::dispatch::{IncomingCall, dispatch};
use crate::server::pagination::page;
use crate::server::request_state::{self, Binding};
use crate::server::server_state::{ServerState, SessionPermit};
use crate::server::subscriptions::{self, Listening, Subscriptions};
use crate::server::{convert, lock, running, tasks};
use crate::tool::ToolCall;
use crate::watch::Owner;

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

/// What one client is to the server; clones are the same one. Cheap to make: a stateless client has one
/// for every request.
#[derive(Clone)]
pub(crate) struct ClientSession {
    pub(crate) server: Arc<ServerState>,
    client: Arc<ClientState>,
}

#[derive(Default)]
struct ClientState {
    /// What it wants of the logs of its calls.
    level: Mutex<Option<LoggingLevel>>,
    subscriptions: Subscriptions,
    /// Changes since streams were asked for that are not begun yet, by the task that is about to.
    heard: Mutex<HashMap<Option<task::Id>, Listening>>,
    /// Its place among the sessions that are open.
    permit: OnceLock<SessionPermit>,
    /// Itself, once it has begun its session.
    known: OnceLock<Arc<KnownClient>>,
    /// Itself, to what keeps calls in order.
    order: order::Client,
    /// Its input has come to its end, over stdio.
    gone: CancellationToken,
}

/// Who answers the requests of a session, once it has begun.
#[derive(Clone, Default)]
pub(crate) struct HandlerSlot(Arc<SetOnce<ReadyHandler>>);

/// A session that has begun.
#[derive(Clone)]
pub(crate) struct ReadyHandler {
    pub(crate) session: ClientSession,
    pub(crate) client: Arc<KnownClient>,
}

impl HandlerSlot {
    pub(crate) fn ready(&self) -> Option<&ReadyHandler> {
        self.0.get()
    }

    /// Comes when there is one.
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

    /// Cancelled when its client will send nothing more, and takes no notification any more.
    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.client.gone
    }

    /// Answers a request as rmcp's dispatch would. A call of a client whose session has begun goes past that: its
    /// future has room for every kind of request, and most are calls.
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
            request => self.handle_request(request, context).boxed(),
        }
    }

    /// A stream that a client listens on. It ends with the client's input, also while rmcp still tells the client that it
    /// listens: rmcp sends no notification after that, and the server would stay for as long as it waits for those that
    /// run.
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

    /// Who makes a request that came by rmcp.
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

    /// The client of a session that has begun, where a request says nothing else of it.
    fn known(&self, context: &Context) -> Option<&KnownClient> {
        let known = self.client.known.get()?;
        let meta = &context.meta;
        let is_own = meta.protocol_version().is_some() || meta.client_capabilities().is_some();
        (!known.is_stateless && !is_own).then_some(&**known)
    }

    /// Who makes a request, as far as its client says.
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
            _room: None,
        }
    }

    /// Whose its tasks are, and the results that are kept.
    pub(crate) fn owner(&self, principal: Option<&Principal>) -> Owner {
        match (self.client.permit.get(), principal) {
            (Some(permit), _) => permit.owner(),
            (None, Some(principal)) => Owner::Principal(principal.name.clone()),
            (None, None) => Owner::Principal("".into()),
        }
    }

    /// Itself, to what keeps calls in order. All sessions and requests of one name have their turns together; so do those
    /// of clients without a name and a session.
    fn order(&self, principal: Option<&Principal>) -> order::Client {
        let own = self.client.order;
        match principal.and_then(Principal::own_name) {
            Some(name) => own.named(&name),
            None if self.client.permit.get().is_none() => own.passing(),
            None => own,
        }
    }

    /// What the client of a session wants of the log.
    fn level(&self) -> LoggingLevel {
        lock(&self.client.level).unwrap_or(LoggingLevel::Info)
    }

    /// Takes the places in order of a call that comes now.
    pub(crate) fn places(&self, call: &ToolCall, principal: Option<&Principal>) -> Places {
        let catalogue = self.server.catalogue();
        let options = catalogue.options(principal, self.order(principal));
        catalogue.host.places(call, &options)
    }

    /// What is offered now, where that has something: what is not declared is an unknown method.
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

    /// What a client of the stateless protocol is told that it is asked.
    fn ask(
        &self,
        input: &InputRequired,
        caller: &Caller,
        binding: &Binding,
    ) -> Result<InputRequiredResult, ErrorData> {
        let states = &self.server.request_states;
        request_state::input_required(input, caller.can_ask, states, binding)
    }

    /// Runs what answers a request that is no call.
    fn run<'r, T: Send + 'r>(
        &'r self,
        catalogue: &Catalogue,
        logger: &'static str,
        caller: &'r Caller,
        run: impl FnOnce(CallOptions) -> BoxFuture<'r, T>,
    ) -> impl Future<Output = Result<T, ErrorData>> + Send {
        running::run(&self.server, catalogue, logger.into(), caller, run)
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
            // Over HTTP its requests need not go through rmcp's loop.
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
            let why = "in this revision a request says in its `_meta` what it is told of the log";
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
        // With parameters of another shape, a request is taken for one of some other method.
        if METHODS.iter().chain(others).any(|known| *known == method) {
            let message = format!("invalid parameters for {method}");
            return Err(ErrorData::invalid_params(message, None));
        }
        let is_of_others = STATELESS_METHODS.iter().chain(&SESSION_METHODS);
        let why = match is_of_others.copied().any(|known| known == method) {
            true => "it is not of the revision of the protocol that is spoken here",
            false => "there is no such method",
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
        // The client is told that it listens before `listen` is called, which the same task does.
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
            // A prompt has no URI: that it is unknown is wrong of the parameters.
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
