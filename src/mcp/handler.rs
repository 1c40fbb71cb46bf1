//! One session's requests, answered by the host.

// Logging, sampling and roots are deprecated from 2026-07-28 on, and what older clients have.
#![expect(deprecated)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::FutureExt;
use rmcp::model::*;
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::SetOnce;
use tokio::task;
use tokio_util::sync::CancellationToken;

use super::asking;
use super::hub::{Hub, SessionPermit};
use super::pages::page;
use super::requests::{self, Binding, Caller, Known};
use super::streams::Origin;
use super::subscriptions::{self, Listening, Subscriptions};
use super::{Server, convert, tasks};
use crate::error::CallError;
use crate::host::Places;
use crate::input::{InputRequired, QuestionKinds};
use crate::order;
use crate::prompt::{Completing, Subject};
use crate::serve::Principal;
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
    heard: Mutex<HashMap<Option<task::Id>, Listening>>,
    /// Its place among the sessions that are open.
    permit: OnceLock<SessionPermit>,
    /// Itself, once it has begun its session.
    known: OnceLock<Arc<Known>>,
    /// Itself, to what keeps calls in order.
    order: order::Client,
}

/// Who answers the requests of a session, once it has begun.
#[derive(Clone, Default)]
pub(super) struct Answerer(pub(super) Arc<SetOnce<Begun>>);

/// A session that has begun.
#[derive(Clone)]
pub(super) struct Begun {
    pub(super) session: Session,
    pub(super) client: Arc<Known>,
}

impl Answerer {
    pub(super) fn begun(&self) -> Option<&Begun> {
        self.0.get()
    }

    pub(super) fn set(&self, begun: Begun) {
        let _ = self.0.set(begun);
    }
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
                room: requests::room(context),
                ..known
            };
        }
        let version = context.protocol_version();
        let is_stateless = version.as_ref().is_some_and(requests::is_stateless);
        let capabilities = context.client_capabilities().unwrap_or_default();
        Caller {
            principal,
            owner: self.owner(principal),
            order: self.client.order,
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
            takes_tasks: capabilities.supports_tasks(),
            task: None,
            meta: requests::meta(meta),
            room: requests::room(context),
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
            owner: self.owner(principal),
            order: self.client.order,
            is_stateless: false,
            can_ask: match origin.is_none_or(Origin::can_ask) {
                true => known.can_ask,
                false => QuestionKinds::default(),
            },
            token,
            level: Some(self.level()),
            origin,
            cancel,
            peer: known.peer.clone(),
            takes_tasks: known.takes_tasks,
            task: None,
            meta: None,
            room: None,
        }
    }

    /// Whose its tasks are, and the results that are kept.
    pub(super) fn owner(&self, principal: Option<&Principal>) -> Owner {
        match (self.client.permit.get(), principal) {
            (Some(permit), _) => permit.owner(),
            (None, Some(principal)) => Owner::Principal(principal.name.clone()),
            (None, None) => Owner::Principal("".into()),
        }
    }

    /// What the client of a session wants of the log.
    fn level(&self) -> LoggingLevel {
        let level = self.client.level.lock();
        let level = *level.unwrap_or_else(PoisonError::into_inner);
        level.unwrap_or(LoggingLevel::Info)
    }

    /// Takes the places in order of a call that comes now.
    pub(super) fn places(&self, call: &ToolCall, principal: Option<&Principal>) -> Places {
        let allowed = requests::allowed(principal);
        let host = &self.hub.offer().host;
        host.places(call, self.client.order, allowed.as_deref())
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
        if self.client.permit.get().is_none() {
            let _ = self.client.permit.set(self.hub.permit());
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
                takes_tasks: client.capabilities.supports_tasks(),
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
        let is_whole = caller.takes_tasks || offer.info.task_only.is_empty();
        let is_for_all = caller.principal.is_none_or(|it| it.tools.is_none());
        let (tools, next) = match is_whole && is_for_all {
            true => page(&offer.tools, |tool| &*tool.name, request, size)?,
            false => {
                let tools = offer.tools.iter().filter(|tool| {
                    offer.may_call(caller.principal, &tool.name)
                        && (caller.takes_tasks || !offer.info.task_only.contains(&*tool.name))
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
        self.call_by_rmcp(request, context).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: Context,
    ) -> Result<GetTaskResult, ErrorData> {
        let owner = self.caller(&context).owner;
        let task = self.hub.tasks.get(&owner, &request.task_id);
        Ok(GetTaskResult::new(task.ok_or_else(tasks::unknown)?))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        let owner = self.caller(&context).owner;
        let responses = request.input_responses;
        self.hub.tasks.update(&owner, &request.task_id, responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        let owner = self.caller(&context).owner;
        self.hub.tasks.cancel(&owner, &request.task_id)
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
        let listed = self.hub.run("resources", &caller, run).await?;
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
        let binding = Binding::new(&offer.plugins, caller.principal, "resources/read", &uri, "");
        let (state, responses) = (request.request_state, request.input_responses);
        let resumed = requests::resumption(&self.hub.seal, &binding, state, responses)?;
        let (host, read) = (&offer.host, uri.as_str());
        let run =
            |options| async move { host.read_resource(read, resumed, &options).await }.boxed();
        match self.hub.run("resources", &caller, run).await? {
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
        let (hub, caller, uri) = (&self.hub, self.caller(&context), &request.uri);
        let client = &requests::client(caller.principal);
        let run = |options| async move { hub.subscribe(client, uri, &options).await }.boxed();
        let poll = self.hub.run("resources", &caller, run).await?;
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
        let accepted = subscriptions::accepted(requested);
        // The client is told that it listens before `listen` is called, which the same task does.
        let mut heard = self
            .client
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        heard.insert(task::try_id(), Listening::to(&self.hub.teller, &accepted));
        Some(accepted)
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
        let to = || Listening::to(&self.hub.teller, stream.accepted());
        let listening = heard.unwrap_or_else(to);
        let client = requests::client(requests::principal(stream.request_context()));
        Box::pin(subscriptions::listen(&self.hub, &client, listening, stream)).await;
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
        let binding = Binding::new(
            &offer.plugins,
            caller.principal,
            "prompts/get",
            &name,
            &text,
        );
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
        match self.hub.run("prompts", &caller, run).await? {
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
        let found = self
            .hub
            .run("completion", &self.caller(&context), run)
            .await?;
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
