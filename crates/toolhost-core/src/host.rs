//! [`ToolHost`]: takes calls, gives each its place in order, its permits and exactly one result.

mod asking;
mod batch;
mod call_options;
mod call_validation;
mod code_mode;
mod early_calls;
mod hooks;
mod idempotency;
mod lent_turn;
mod load;
mod multi_tool_use;
mod narrowing;
mod nested_calls;
mod nested_grants;
mod open_batch;
mod plugin_queues;
mod question_rounds;
mod queue;
mod replay;
mod resources_and_prompts;

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span};

use crate::ancestor::Ancestor;
use crate::audit::{AuditLog, CallAudit};
use crate::error::{CallError, LoadError, said_by};
use crate::limits::Limits;
use crate::log_throttle::LogThrottle;
use crate::manifest::{Manifest, McpConfig, PluginConfig};
use crate::mask::Mask;
use crate::order::{Domain, DomainAccess, OrderClient, PlaceInOrder};
use crate::paths::Paths;
use crate::permissions::HostFile;
use crate::plugin::Plugin;
use crate::provider::narrowed_grants::GrantsOfCall;
use crate::provider::{
    self, CallContext, NarrowedGrants, NotStarted, Payload, Pin, ProvidedTool, Provider,
    RunOutcome, SchemaOf, ToolNote, ToolProvider,
};
use crate::registry::{MAX_DEPTH, Registered, Registry};
use crate::resource::ResourceOwners;
use crate::sandbox::{Journal, Operations};
use crate::schema::Unenforced;
use crate::schema::check_scheduling::Allowed;
use crate::tool::{CallOrigin, LogLine, Output, Repair, Tool, ToolCall, ToolResult, Usage};
use crate::tool_caller::ToolCaller;
use crate::watch::RunContext;
pub use batch::Batch;
pub use call_options::CallOptions;
use call_validation::FittedCall;
pub use early_calls::{CallPosition, EarlyCalls};
use hooks::{HookPlaces, Hooks};
use idempotency::{KeyDecision, Repeats};
use lent_turn::LentTurn;
pub use load::{LoadEvent, Loader, Servers};
pub use multi_tool_use::Unpacked;
pub use narrowing::Narrowed;
pub use narrowing::Whose;
#[doc(hidden)]
pub use nested_calls::ParentCall;
use nested_calls::{EndNested, NestedCalls, ToolGrant};
pub use open_batch::OpenBatch;
pub use question_rounds::{MAX_ROUNDS, asked_too_often};
use queue::{CallQueue, QueueTicket};
use replay::{CallLog, NestedUsage, WaitingCalls};

/// Runs the tool calls of a model, each in a fresh sandbox.
///
/// Cheap to clone; clones share their concurrency limits. Its methods run on the tokio runtime they
/// are called on, of either flavour; with the multi-threaded one, calls compute in parallel.
#[derive(Clone)]
pub struct ToolHost {
    /// A snapshot of the tools; [`ToolHost::renewed`] makes a newer one.
    registry: Arc<Registry>,
    shared: Arc<HostShared>,
    /// The only tools that can be called directly, beside the host's own; all when `None`.
    front: Option<Arc<BTreeSet<String>>>,
}

impl std::fmt::Debug for ToolHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.tools().map(|tool| &tool.name))
            .finish()
    }
}

struct HostShared {
    /// The plugins that offer resources, prompts or completion.
    plugins: Vec<LoadedPlugin>,
    own: resources_and_prompts::StaticContent,
    owners: Arc<ResourceOwners>,
    queue: CallQueue,
    max_concurrency: usize,
    /// The secrets of all providers.
    mask: Arc<Mask>,
    audit: Option<Arc<AuditLog>>,
    hooks: Option<Hooks>,
    repeats: Repeats,
    waiting: WaitingCalls,
    /// Throttles the warnings of plugins that cannot list their resources.
    unlisted: LogThrottle,
    /// Whether arguments are repaired before they are validated.
    repairs: bool,
    /// Whether the host was loaded by [`Loader::survey`](crate::Loader::survey): it lists tools and
    /// runs none.
    is_survey: bool,
    /// Which folders guests may write, and which files are protected there.
    paths: Arc<Paths>,
}

/// What kind of call was handed over. Its places in order are taken at that moment.
enum HandedOver {
    One(Arrival, ToolCall),
    /// Several calls in one (`multi_tool_use.parallel`).
    Several(Vec<Arrival>, Unpacked),
    /// A call with an idempotency key, and whether the key was seen before.
    Once(ToolCall, KeyDecision, bool),
    Refused(ToolCall, CallError),
}

/// The places in order taken for a call before it runs: its own, or those of the calls inside it.
#[derive(Default)]
pub struct TakenPlaces {
    /// The tools of the host that took the places.
    registry: Weak<Registry>,
    taken: std::vec::IntoIter<TakenPlace>,
}

/// The place in order of a call, if it needs one, and its narrowed grants, if it has any.
pub(crate) struct TakenPlace {
    place: Option<PlaceInOrder>,
    narrowed: GrantsOfCall,
    /// The call's places in the lines of the hooks that have not decided yet.
    hooks: Option<HookPlaces>,
}

/// A running call that holds a place in order. The place is released only when every file operation
/// that the call started has returned: dropping the call does not stop a write that is under way.
struct InOrder<'a> {
    place: Option<PlaceInOrder>,
    /// What has the place of a call that calls tools.
    nested: Option<&'a NestedCalls>,
    operations: Operations,
}

impl Drop for InOrder<'_> {
    fn drop(&mut self) {
        let of_nested = || self.nested.and_then(NestedCalls::place);
        let Some(place) = self.place.take().or_else(of_nested) else {
            return;
        };
        if self.operations.is_settled() {
            return;
        }
        let operations = self.operations.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                operations.settled().await;
                drop(place);
            });
        }
    }
}

#[derive(Clone)]
struct LoadedPlugin {
    plugin: Arc<Plugin>,
    registered: Arc<Registered>,
}

/// The state of a call between hand-over and run.
struct Arrival {
    queued: Instant,
    /// Its ticket in the bounded queue, if the queue is bounded.
    ticket: Option<QueueTicket>,
    /// Dropped once the call runs or is queued, so that the call behind it may enter the queue.
    entering: Option<oneshot::Sender<()>>,
    taken: TakenPlace,
}

impl Arrival {
    fn new(taken: TakenPlace) -> Arrival {
        Arrival {
            queued: Instant::now(),
            ticket: None,
            entering: None,
            taken,
        }
    }
}

/// A loaded plugin; see [`ToolHost::plugins`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PluginInfo<'a> {
    /// Its configuration.
    pub config: &'a PluginConfig,
    /// The imports of its component, such as `wasi:cli/environment@0.2.6`.
    pub imports: &'a [String],
    /// The permissions that it can use, as written in the manifest.
    pub permissions: &'a [&'static str],
    /// Functions that are left out, and tools without a description.
    pub notes: &'a [ToolNote],
}

/// What a call would run; see [`ToolHost::plan`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan<'a> {
    /// The tool to call.
    pub tool: &'a Tool,
    /// The provider of the tool.
    pub by: Provider<'a>,
    /// The arguments that the tool would get.
    pub arguments: String,
    /// The repairs made to them.
    pub repairs: Vec<Repair>,
}

impl ToolHost {
    /// Protects a file from plugins. Returns whether it may be opened by its name.
    #[doc(hidden)]
    pub fn protect(&self, file: &HostFile) -> std::io::Result<()> {
        self.shared.paths.check_way(file)
    }

    /// Loads the plugins of a manifest with default options; [`Loader`] has others.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the plugins.
    pub async fn load(manifest: Manifest) -> Result<ToolHost, LoadError> {
        Loader::new(manifest).load().await
    }

    /// The tools, ordered by plugin name and each plugin's own listing, then those of the MCP
    /// servers.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeTools, Tool};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # let math = NativeTools::new("math").tool_with_schema(
    /// #     Tool::new("double", "Doubles a number").read_only(),
    /// #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # );
    /// # let host = Loader::new(Manifest::default()).provider(math).load().await?;
    /// let tool = host.tools().next().unwrap();
    /// assert_eq!((&*tool.name, tool.sandboxed), ("double", false));
    /// # Ok(())
    /// # }
    /// ```
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.registry.tools.iter().map(|tool| &tool.tool)
    }

    /// The description of a tool for a client that may only call `allowed`: that of a tool that calls
    /// others names only those.
    #[doc(hidden)]
    pub fn description_for<'h>(
        &'h self,
        tool: &'h Tool,
        allowed: Option<&BTreeSet<String>>,
    ) -> Cow<'h, str> {
        match allowed {
            None => Cow::Borrowed(&tool.description),
            Some(_) => self.registry.description_for(tool, allowed),
        }
    }

    /// Finds the tool for a name: an exact match, or the only match once a prefix that a model's
    /// template added (such as `functions.`) is removed.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        let (_, _, tool) = self.registry.find(name)?;
        Some(&tool.tool)
    }

    /// As [`tool`](ToolHost::tool), for a client that may only call `allowed` and the host's own
    /// tools.
    ///
    /// # Errors
    ///
    /// There is no such tool for this client.
    #[doc(hidden)]
    pub fn tool_for(
        &self,
        name: &str,
        allowed: Option<&BTreeSet<String>>,
    ) -> Result<&Tool, CallError> {
        let (_, _, tool) = self.registry.find_allowed(name, allowed)?;
        Ok(&tool.tool)
    }

    /// The plugins, ordered by name.
    pub fn plugins(&self) -> impl Iterator<Item = PluginInfo<'_>> {
        self.shared.plugins.iter().map(|loaded| {
            let plugin = &loaded.plugin;
            PluginInfo {
                config: &plugin.config,
                imports: &plugin.imports,
                permissions: &plugin.usable,
                notes: &plugin.notes,
            }
        })
    }

    /// The MCP servers, ordered by name.
    pub fn servers(&self) -> impl Iterator<Item = &McpConfig> {
        let providers = self.registry.providers.iter();
        providers.filter_map(|registered| match registered.provider.provenance() {
            Provider::Server(server) => Some(server),
            _ => None,
        })
    }

    /// The tools of MCP servers that are left out or changed, and why.
    pub fn left_out(&self) -> impl Iterator<Item = (&McpConfig, ToolNote)> {
        self.of_servers(|server| server.left_out())
    }

    /// The pins of the MCP servers' tools: digests of what each tool says about itself.
    pub fn pins(&self) -> impl Iterator<Item = (&McpConfig, Pin)> {
        self.of_servers(|server| server.pins())
    }

    /// The MCP servers that were not started: see [`Loader::survey`].
    pub fn not_started(&self) -> impl Iterator<Item = (&McpConfig, NotStarted)> {
        self.of_servers(|server| server.not_started().into_iter().collect())
    }

    fn of_servers<T>(
        &self,
        what: impl Fn(&dyn ToolProvider) -> Vec<T>,
    ) -> impl Iterator<Item = (&McpConfig, T)> {
        let providers = self.registry.providers.iter();
        let servers = providers.filter_map(|registered| match registered.provider.provenance() {
            Provider::Server(server) => Some((server, &*registered.provider)),
            _ => None,
        });
        servers.flat_map(move |(server, provider)| {
            let what = what(provider).into_iter();
            what.map(move |it| (server, it))
        })
    }

    /// Schema patterns that models see but that arguments are not checked against: those with
    /// look-around or backreferences, which cannot be matched in linear time. Each text is the end
    /// of a sentence that begins with the tool's name.
    pub fn unenforced(&self) -> impl Iterator<Item = (&Tool, String)> {
        self.registry.tools.iter().flat_map(|tool| {
            let unenforced = tool.unenforced();
            unenforced.map(|(of, it)| {
                let of = match of {
                    SchemaOf::Input => "input",
                    SchemaOf::Output => "output",
                };
                let Unenforced { place, what } = it;
                let why = format!(
                    "has a part in its {of} schema that is not enforced, at {place}: {what}; look-around, \
                     backreferences and very large patterns are only shown to the model"
                );
                (&tool.tool, why)
            })
        })
    }

    /// A digest of the plugins' names and files.
    #[doc(hidden)]
    pub fn plugins_sha256(&self) -> String {
        let plugins = self.shared.plugins.iter().map(|loaded| &loaded.plugin);
        let files = plugins.map(|it| (it.name(), it.sha256().unwrap_or_default()));
        let files: Vec<String> = files
            .map(|(name, sha256)| format!("{name} {sha256}"))
            .collect();
        crate::digest::sha256(files.join("\n"))
    }

    /// Plans a call without running it. Arguments that take long to validate are validated on the
    /// current thread, for up to the tool's timeout.
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
    /// let call = ToolCall::new("call_1", "double", r#"{"n": "21"}"#);
    /// let plan = host.plan(&call).unwrap();
    /// assert_eq!(plan.arguments, r#"{"n": 21}"#);
    /// assert_eq!(plan.repairs[0].path, "/n");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The error that the call would fail with: no such tool, or invalid arguments.
    pub fn plan(&self, call: &ToolCall) -> Result<Plan<'_>, CallError> {
        let fit = self.fit_here(call);
        let (registered, tool) = fit.served_by?;
        Ok(Plan {
            arguments: fit.call.arguments_text().to_owned(),
            repairs: fit.repairs,
            tool: &tool.tool,
            by: registered.provider.provenance(),
        })
    }

    /// A host with the tools that its providers offer now. Existing clones keep their snapshot.
    pub fn renewed(&self) -> ToolHost {
        self.with_providers([])
    }

    /// Prepares a [lazily](Loader::lazy) loaded host for these calls: starts the MCP servers that
    /// offer their tools, or all servers if no provider is known to offer one of them. Returns a
    /// host with the tools that the servers list now.
    ///
    /// # Errors
    ///
    /// [`LoadError::Invalid`]: a server does not start, or a secret cannot be read. For an unknown
    /// tool every server counts, since any of them may offer it.
    pub async fn ready_for(&self, calls: &[ToolCall]) -> Result<ToolHost, LoadError> {
        let (needed, is_known) = self.needed_for(calls);
        let providers = self.registry.providers.iter().enumerate();
        let prepared = providers.filter_map(|(index, registered)| {
            let is_server = matches!(registered.provider.provenance(), Provider::Server(_));
            let is_needed = needed.contains(&index);
            (is_needed || !is_known && is_server)
                .then_some(async move { (is_needed, registered.provider.prepare().await) })
        });
        let (mut problems, mut others) = (Vec::new(), Vec::new());
        for (is_needed, prepared) in futures_util::future::join_all(prepared).await {
            match prepared {
                Err(found) if is_needed => problems.extend(found),
                Err(found) => others.extend(found),
                Ok(()) => {}
            }
        }
        let renewed = self.renewed();
        // If a server does not start, it is unknown whether it offers the tool.
        if !others.is_empty() && !renewed.needed_for(calls).1 {
            problems.append(&mut others);
        }
        others.iter().for_each(|it| tracing::warn!("{it}"));
        match problems[..] {
            [] => Ok(renewed),
            _ => Err(LoadError::Invalid(problems)),
        }
    }

    /// The providers of the called tools, and whether all of the tools are known.
    fn needed_for(&self, calls: &[ToolCall]) -> (BTreeSet<usize>, bool) {
        let mut needed = BTreeSet::new();
        let mut is_known = true;
        for call in calls {
            let unpacked = self.unpack(call).and_then(Result::ok);
            let calls = match &unpacked {
                Some(unpacked) => unpacked.calls(),
                None => std::slice::from_ref(call),
            };
            for call in calls {
                match self.registry.find(&call.name) {
                    Some((provider, _, _)) => drop(needed.insert(provider)),
                    None => is_known = false,
                }
            }
        }
        (needed, is_known)
    }

    /// The same host with one more provider.
    #[doc(hidden)]
    pub fn with_provider(&self, provider: Arc<dyn ToolProvider>) -> ToolHost {
        let registered = Registered::new(provider, self.shared.max_concurrency, None);
        self.with_providers([Arc::new(registered)])
    }

    fn with_providers(&self, more: impl IntoIterator<Item = Arc<Registered>>) -> ToolHost {
        ToolHost {
            registry: Arc::new(self.registry.renewed(more)),
            shared: self.shared.clone(),
            front: self.front.clone(),
        }
    }

    /// Waits until a provider's tools differ from this snapshot; [`renewed`](ToolHost::renewed)
    /// then has the new ones. Waits forever if no provider can change its tools.
    pub async fn tools_changed(&self) {
        self.registry.outdated().await;
    }

    /// The largest `max-output` of all tools, in bytes.
    #[doc(hidden)]
    pub fn longest_output(&self) -> u64 {
        let providers = self.registry.providers.iter();
        let limits = providers.map(|registered| registered.provider.limits());
        limits.map(|it| it.max_output.as_u64()).max().unwrap_or(0)
    }

    /// The mask for the manifest's secrets, as applied to every result and log line: for text that
    /// a program prints itself, such as traces.
    pub fn mask(&self) -> Arc<Mask> {
        self.shared.mask.clone()
    }

    /// Runs one call, after waiting for its turn if the host is at a concurrency limit. Dropping
    /// the future ends the call wherever it is.
    ///
    /// A call that may change data which others use, or reads such data, takes its place in order
    /// now, not when the future is first polled. Do not hold the future without polling it: later
    /// calls wait for it.
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
    /// let result = host.call(ToolCall::new("call_1", "double", r#"{"n": 21}"#)).await;
    /// assert_eq!(result.to_text(), "42");
    /// let result = host.call(ToolCall::new("call_2", "double", "{}")).await;
    /// assert_eq!(result.outcome.unwrap_err().code(), "invalid-arguments");
    /// # Ok(())
    /// # }
    /// ```
    pub fn call(&self, call: ToolCall) -> impl Future<Output = ToolResult> + Send {
        let options = CallOptions::new();
        let arrived = self.hand_over(call, &options);
        async move { self.run_handed_over(arrived, &options).await }
    }

    /// Hands a call over now. Its places are taken here unless the options carry places taken
    /// earlier.
    fn hand_over(&self, call: ToolCall, options: &CallOptions) -> HandedOver {
        let key = match self.key_of(&call, options) {
            Ok(None) => return self.hand_over_to_run(call, options),
            Ok(Some(key)) => key,
            Err(error) => return HandedOver::Refused(call, error),
        };
        let begin = |has_begun| {
            let (host, options) = (self.clone(), options.clone().begun(has_begun));
            let arrived = self.hand_over_to_run(call.clone(), &options);
            let run = async move { host.run_handed_over(arrived, &options).await };
            run.boxed()
        };
        match self.run_once(key, begin) {
            Ok((run, is_repeat)) => HandedOver::Once(call, run, is_repeat),
            Err(error) => HandedOver::Refused(call, error),
        }
    }

    fn hand_over_to_run(&self, call: ToolCall, options: &CallOptions) -> HandedOver {
        let (client, allowed) = (options.order(), options.allowed.as_deref());
        let TakenPlaces {
            registry,
            taken: mut before,
        } = options.take_places();
        let is_own = std::ptr::eq(registry.as_ptr(), &*self.registry);
        let mut arrival = |call: &ToolCall| {
            let before = before.next();
            Arrival::new(match before {
                Some(before) if is_own => before,
                // After a reload: the call keeps its place, but gets the grants of this host.
                before => {
                    let place = before.and_then(|it| it.place);
                    self.take_at(place, call, (client, allowed), &options.whose)
                }
            })
        };
        match self.unpack(&call) {
            None => HandedOver::One(arrival(&call), call),
            Some(Ok(unpacked)) => {
                let arrivals = unpacked.calls().iter().map(arrival).collect();
                HandedOver::Several(arrivals, unpacked)
            }
            Some(Err(error)) => HandedOver::Refused(call, error),
        }
    }

    /// Takes the places in order that a call with these options needs, behind the earlier calls of
    /// the same client.
    #[doc(hidden)]
    pub fn places(&self, call: &ToolCall, options: &CallOptions) -> TakenPlaces {
        let (client, allowed) = (options.order(), options.allowed.as_deref());
        let take = |call: &ToolCall| self.take(call, client, allowed, &options.whose);
        let taken: Vec<_> = match self.unpack(call) {
            None => vec![take(call)],
            Some(Ok(unpacked)) => unpacked.calls().iter().map(take).collect(),
            Some(Err(_)) => Vec::new(),
        };
        TakenPlaces {
            registry: Arc::downgrade(&self.registry),
            taken: taken.into_iter(),
        }
    }

    /// Takes the place of a single call and resolves its grants.
    fn take(
        &self,
        call: &ToolCall,
        client: OrderClient,
        allowed: Option<&BTreeSet<String>>,
        whose: &Whose,
    ) -> TakenPlace {
        self.take_at(None, call, (client, allowed), whose)
    }

    /// The same for a call that has a place of another host; the place is kept if it is in the
    /// right line.
    fn take_at(
        &self,
        place: Option<PlaceInOrder>,
        call: &ToolCall,
        (client, allowed): (OrderClient, Option<&BTreeSet<String>>),
        whose: &Whose,
    ) -> TakenPlace {
        let mut taken = TakenPlace {
            place: None,
            narrowed: Ok(None),
            hooks: None,
        };
        let found = self.registry.find_for(&call.name, allowed);
        let Some((_, registered, tool)) = found.filter(|_| call.void().is_none()) else {
            return taken;
        };
        if whose.depth() > MAX_DEPTH {
            let message = format!("calls are nested more than {MAX_DEPTH} deep");
            taken.narrowed = Err(Box::new(CallError::denied(message)));
            return taken;
        }
        taken.narrowed = self.grants_of(registered, whose);
        let Ok(narrowed) = &taken.narrowed else {
            return taken;
        };
        let hooks = self.shared.hooks.as_ref();
        taken.hooks = hooks.map(|hooks| hooks.enter(&tool.tool, client));
        let label = || label(call, self.mask_of(whose));
        let order = registered.order(tool, narrowed.as_deref());
        // What suspends takes its place in order only once it may be suspended.
        let is_held = self.shared.hooks.is_some() || registered.suspends_at(whose.depth());
        if let Some((domain, access)) = order
            && let Some(by) = whose.by.as_ref()
            && let Some(ancestor) = by.in_the_way(domain, access)
        {
            let (tool, own) = (&ancestor.tool, &tool.tool.name);
            let what = format!(
                "{own} from within a call of {tool}, which uses the same data: it would wait for itself"
            );
            taken.narrowed = Err(Box::new(CallError::denied(what)));
            return taken;
        }
        taken.place = order.map(|(domain, access)| match place {
            Some(place) if place.serves(domain, access, is_held) => place,
            _ if is_held => domain.enter_held(client, access, label),
            _ => domain.enter(client, access, label),
        });
        taken
    }

    /// The provider and tool for a call, whatever its arguments; `None` for a call that must not
    /// run.
    fn serving(&self, call: &ToolCall) -> Option<(&Registered, &ProvidedTool)> {
        let found = self.registry.find(&call.name);
        let (_, by, tool) = found.filter(|_| call.void().is_none())?;
        Some((by, tool))
    }

    /// Runs a call that was handed over: hooks, queue, permits, provider, result.
    async fn run_call(
        &self,
        call: &ToolCall,
        context: &RunContext,
        options: &CallOptions,
        arrival: Arrival,
    ) -> ToolResult {
        let mut fit = self.fit(call, context.allowed.as_deref());
        let running = self.run_fit(call, &mut fit, context, options, arrival);
        let result = running.await;
        if let Some(hooks) = &self.shared.hooks {
            hooks.after(&fit, &result);
        }
        result
    }

    async fn run_fit<'h>(
        &'h self,
        call: &ToolCall,
        fit: &mut FittedCall<'h, '_>,
        context: &RunContext,
        options: &CallOptions,
        arrival: Arrival,
    ) -> ToolResult {
        let whose = &options.whose;
        let Arrival {
            mut queued,
            ticket,
            entering,
            taken:
                TakenPlace {
                    place,
                    narrowed,
                    hooks: undecided,
                },
        } = arrival;
        let (narrowed, misfit) = match narrowed {
            Ok(narrowed) => (narrowed, None),
            Err(error) => (None, Some(*error)),
        };
        let narrowed = narrowed.as_deref();
        let mut ended = self.ending_of(queued, fit, whose, narrowed);
        let (registered, tool) = match (fit.served_by.clone(), misfit) {
            (Ok(found), None) => found,
            (Ok(_), Some(error)) | (Err(error), _) => {
                return ended.refused::<Output>(error).into();
            }
        };
        if context.depth == 0 && self.is_hidden(&tool.tool.name) {
            let error = self.hidden(&tool.tool.name);
            return ended.refused::<Output>(error).into();
        }
        let cancel = &context.cancel;
        let ready = self.ready(narrowed, cancel).await;
        if let Some(error) = ready.err().or_else(|| registered.lacks()) {
            return ended.refused::<Output>(error).into();
        }
        let is_decided = undecided.is_none();
        if let Some(hooks) = &self.shared.hooks {
            // No other call waits for a call that waits for its permits.
            if let Some(places) = undecided.filter(|_| !fit.is_unchecked) {
                let decided = Box::pin(hooks.before(&fit.call, &tool.tool, places, cancel)).await;
                // Hooks may take long; that is not queue time.
                queued = Instant::now();
                ended.queued = queued;
                if let Some(outcome) = decided {
                    return ended.at(queued, queued, outcome, 0).into();
                }
            }
        }
        let queue = &self.shared.queue;
        let permits = queue.wait(
            registered,
            queued,
            context,
            (ticket, entering),
            place.as_ref(),
        );
        let mut permits = match permits.await {
            Ok(permits) => permits,
            Err(error) => return ended.refused::<Output>(error).into(),
        };
        let provider = &registered.provider;
        let limits = &*within(provider.limits(), context.timeout);
        let tools = provider.callable_tools();
        let grant = ToolGrant::of(provider.name(), tools, limits, context.depth);
        let start = Instant::now();
        let mut spent = Duration::ZERO;
        if fit.is_unchecked {
            let allowed = Allowed {
                limits,
                start,
                spent,
                cancel,
            };
            // Boxed to keep the future of ordinary calls small.
            let checked = AssertUnwindSafe(Box::pin(self.fit_apart(call, tool, allowed)));
            let checked = checked.catch_unwind().await;
            let checked = checked.unwrap_or_else(|panic| (Err(panicked(&*panic)), Duration::ZERO));
            spent = checked.1;
            match checked.0 {
                Ok(changes) => fit.change(changes),
                Err(error) => {
                    let mut served = RunOutcome::<Output>::refused(error);
                    served.cpu = spent;
                    return ended.at(start, Instant::now(), served, 0).into();
                }
            }
            // The audit line is about the call as it runs, with its repaired arguments.
            ended.audit = None;
            ended = self.ending_of(queued, fit, whose, narrowed);
            if let Some(hooks) = self.shared.hooks.as_ref().filter(|_| !is_decided) {
                let places = hooks.enter(&tool.tool, context.client);
                let decided = Box::pin(hooks.before(&fit.call, &tool.tool, places, cancel)).await;
                if let Some(outcome) = decided {
                    return ended.at(start, Instant::now(), outcome, 0).into();
                }
            }
        }
        let call = &*fit.call;
        let waiting = &self.shared.waiting;
        let log = match waiting.resume(&context.owner, call, context.can_ask) {
            Ok(log) => log,
            Err(error) => {
                let served = RunOutcome::<Output>::refused(error);
                return ended.at(start, Instant::now(), served, 0).into();
            }
        };
        // It is run from its start, and does not know that it was run before.
        let again = log.is_some().then(|| {
            let mut again = Box::new(call.clone());
            again.resumed = None;
            again
        });
        let call = again.as_deref().unwrap_or(call);
        let (place, nested) = match grant {
            None => (place, None),
            Some(grant) => {
                let log = match provider.is_repeatable() {
                    true => log.or_else(|| CallLog::new(context.can_ask)),
                    false => None,
                };
                permits.keep_turn();
                let order = registered.order(tool, narrowed);
                let nested = self.nested_calls(
                    call,
                    (registered, order),
                    grant,
                    (options, context),
                    place,
                    (limits, log),
                );
                (None, Some(EndNested(nested)))
            }
        };
        let admitted = Admitted {
            ended,
            nested: nested.as_ref().map(|nested| &nested.0),
            place,
            start,
            spent,
            limits,
            context,
            client: whose.client().map(|it| &**it),
            narrowed,
            span: debug_span!(
                "call",
                id = call.id,
                tool = call.name,
                plugin = provider.name()
            ),
        };
        let run = async |context: CallContext<'_>| match provider.ends_calls() {
            true => provider.call(tool, call, context).await,
            false => provider::run(&**provider, tool, call, context).await,
        };
        admitted.run(run).await.into()
    }

    /// The calls that a call makes, which has its permits and its place.
    fn nested_calls(
        &self,
        call: &ToolCall,
        (by, order): (&Arc<Registered>, Option<(&Arc<Domain>, DomainAccess)>),
        grant: ToolGrant,
        (options, context): (&CallOptions, &RunContext),
        place: Option<PlaceInOrder>,
        (limits, log): (&Limits, Option<CallLog>),
    ) -> Arc<NestedCalls> {
        let whose = &options.whose;
        let ancestor = Ancestor {
            id: call.id.as_deref().unwrap_or(&call.name).into(),
            tool: (&*call.name).into(),
            depth: context.depth,
            order: order.map(|(domain, access)| (domain.clone(), access)),
            by: whose.by.clone(),
        };
        let order = order
            .map(|(domain, access)| (domain.clone(), access, label(call, self.mask_of(whose))));
        let turn = LentTurn::new(
            self.shared.clone(),
            by.clone(),
            context.client,
            order,
            place,
        );
        let options = options.of_nested(context, log.is_some());
        let arguments = log.as_ref().map(|_| call.arguments.clone());
        Arc::new(NestedCalls::new(
            self,
            ancestor,
            grant,
            options,
            limits,
            turn,
            log.zip(arguments),
        ))
    }

    /// Answers a call that does not run.
    fn refuse_since(
        &self,
        queued: Instant,
        call: &ToolCall,
        whose: &Whose,
        error: CallError,
    ) -> ToolResult {
        self.answer_since(queued, call, whose, Err(error))
    }

    fn answer_since(
        &self,
        queued: Instant,
        call: &ToolCall,
        whose: &Whose,
        outcome: Result<Output, CallError>,
    ) -> ToolResult {
        let fit = self.fit(call, None);
        let (ended, now) = (self.ending_of(queued, &fit, whose, None), Instant::now());
        let result = ended.at(now, now, RunOutcome::of(outcome), 0).into();
        if let Some(hooks) = &self.shared.hooks {
            hooks.after(&fit, &result);
        }
        result
    }

    fn ending_of(
        &self,
        queued: Instant,
        fit: &FittedCall,
        whose: &Whose,
        narrowed: Option<&NarrowedGrants>,
    ) -> PendingEnd {
        let by = fit.found.map(|(by, _)| &**by);
        let call = (&*fit.call, fit.tool());
        self.ending(queued, call, by, &fit.repairs, (whose, narrowed))
    }

    /// `tool` is the name for the audit log, whatever the caller wrote.
    fn ending(
        &self,
        queued: Instant,
        (call, tool): (&ToolCall, &str),
        by: Option<&Registered>,
        repairs: &[Repair],
        (whose, narrowed): (&Whose, Option<&NarrowedGrants>),
    ) -> PendingEnd {
        let mask = self.mask_of(whose);
        let by = by.map(|by| (by.provider.name(), by.provider.sha256()));
        let mut repairs = repairs.to_vec();
        for repair in &mut repairs {
            mask.text(&mut repair.path);
        }
        PendingEnd {
            id: call.id.clone(),
            name: call.name.clone(),
            origin: call.origin.clone(),
            queued,
            mask: mask.clone(),
            audit: self.shared.audit.as_ref().map(|log| {
                let audit = CallAudit::new(log, call, tool, by, mask);
                let folders = narrowed.into_iter().flat_map(NarrowedGrants::own_folders);
                let folders = folders.map(|it| (it.guest.clone(), it.host().to_owned()));
                let client = whose.client().map(|it| &**it);
                let audit = audit.repaired(&repairs).of(client, folders, mask);
                let parent = whose.by.as_ref().map(|by| &*by.id);
                Arc::new(audit.made_by(parent, mask))
            }),
            repairs,
        }
    }

    /// Checks whether a call with these grants may run.
    ///
    /// # Errors
    ///
    /// Why it may not.
    async fn ready(
        &self,
        narrowed: Option<&NarrowedGrants>,
        cancel: &CancellationToken,
    ) -> Result<(), CallError> {
        self.may_run()?;
        let Some(narrowed) = narrowed else {
            return Ok(());
        };
        let counted = cancel.run_until_cancelled(Box::pin(narrowed.count()));
        counted.await.unwrap_or(Err(CallError::Cancelled))
    }

    fn may_run(&self) -> Result<(), CallError> {
        if self.shared.is_survey {
            let message = "not run: the host was loaded for inspection only".to_owned();
            return Err(CallError::Failed { message });
        }
        match &self.shared.audit {
            Some(log) => log.ready().map_err(CallError::internal),
            None => Ok(()),
        }
    }

    /// Runs a batch, up to the concurrency limits at once, and yields each result with the position
    /// of its call as it completes.
    ///
    /// Calls are taken from the iterator as there is room, so memory grows with the limits and not
    /// with the batch. With a `max-queue` in the manifest all calls are taken at once, and those
    /// that find the queue full are refused. Dropping the stream cancels the running calls;
    /// [`Batch::cancel`] cancels them and still yields a result for every call.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use futures_util::StreamExt;
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
    /// let calls = (0..3).map(|n| ToolCall::new(format!("call_{n}"), "double", json!({ "n": n }).to_string()));
    /// let mut batch = host.run(calls);
    /// // In the order in which they end.
    /// while let Some((position, result)) = batch.next().await {
    ///     assert_eq!(result.to_text(), (position * 2).to_string());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn run<I>(&self, calls: I) -> Batch<I::IntoIter>
    where
        I: IntoIterator<Item = ToolCall>,
    {
        self.run_with(calls, CallOptions::new())
    }

    /// As [`run`](ToolHost::run), with these options for every call.
    pub fn run_with<I>(&self, calls: I, options: CallOptions) -> Batch<I::IntoIter>
    where
        I: IntoIterator<Item = ToolCall>,
    {
        Batch::new(self.clone(), calls.into_iter(), options)
    }

    /// Runs a batch and returns the results in the order of the calls. Takes all calls at once and
    /// holds all results; [`run`](ToolHost::run) does neither.
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
    /// let calls = ["1", "2"].map(|n| ToolCall::new(n, "double", format!(r#"{{"n": {n}}}"#)));
    /// let results = host.run_all(calls).await;
    /// assert_eq!(results[1].to_text(), "4");
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_all<I>(&self, calls: I) -> impl Future<Output = Vec<ToolResult>> + Send + use<I>
    where
        I: IntoIterator<Item = ToolCall>,
    {
        self.run_all_with(calls, CallOptions::new())
    }

    /// As [`run_all`](ToolHost::run_all), with these options for every call.
    pub fn run_all_with<I>(
        &self,
        calls: I,
        options: CallOptions,
    ) -> impl Future<Output = Vec<ToolResult>> + Send + use<I>
    where
        I: IntoIterator<Item = ToolCall>,
    {
        batch::run_all(self.clone(), calls.into_iter(), options)
    }
}

/// The limits, with a timeout of at most `timeout`.
pub(super) fn within(limits: &Limits, timeout: Option<Duration>) -> Cow<'_, Limits> {
    match timeout.filter(|timeout| *timeout < limits.timeout) {
        None => Cow::Borrowed(limits),
        Some(timeout) => Cow::Owned(Limits {
            timeout,
            ..limits.clone()
        }),
    }
}

/// How calls behind this one name it in their errors.
fn label(call: &ToolCall, mask: &Mask) -> String {
    // Name and id come from the model and may be of any length.
    let shown = |text: &str| mask.beginning(text.to_owned(), 100);
    match &call.id {
        Some(id) => format!("{} ({})", shown(&call.name), shown(id)),
        None => shown(&call.name),
    }
}

/// A call, or another request of a plugin, that has its permits.
struct Admitted<'a> {
    ended: PendingEnd,
    /// The calls that it makes, if it may make any. They have its place then.
    nested: Option<&'a Arc<NestedCalls>>,
    place: Option<PlaceInOrder>,
    start: Instant,
    /// The CPU time that it has used before it runs.
    spent: Duration,
    limits: &'a Limits,
    context: &'a RunContext,
    client: Option<&'a str>,
    narrowed: Option<&'a NarrowedGrants>,
    span: tracing::Span,
}

impl Admitted<'_> {
    /// Runs it. A panic of the host ends this call and no other.
    async fn run<T: Payload>(
        self,
        run: impl AsyncFnOnce(CallContext<'_>) -> RunOutcome<T>,
    ) -> CallEnded<T> {
        let Admitted {
            ended,
            place,
            start,
            context,
            nested,
            ..
        } = self;
        let journal = Journal::new(
            self.limits.max_log,
            ended.mask.clone(),
            ended.audit.clone(),
            context,
            nested
                .map(|nested| nested.clock().clone())
                .unwrap_or_default(),
        );
        if let Some(place) = &place {
            place.begin();
        }
        let caller = nested.map(|nested| {
            nested.begin(journal.operations());
            nested.clone() as Arc<dyn ToolCaller>
        });
        let _in_order = InOrder {
            place,
            nested: nested.map(|nested| &**nested),
            operations: journal.operations().clone(),
        };
        let turn = CallContext {
            start,
            limits: self.limits,
            spent: self.spent,
            cancel: &context.cancel,
            owner: &context.owner,
            client: self.client,
            narrowed: self.narrowed,
            key: context.key.as_deref(),
            caller: caller.as_ref(),
            journal: journal.clone(),
        };
        if let Some(begun) = &context.begun {
            begun.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        let served = AssertUnwindSafe(run(turn).instrument(self.span));
        let served = served.catch_unwind().await;
        let mut served = served.unwrap_or_else(|panic| RunOutcome::refused(panicked(&*panic)));
        if let Some(nested) = nested {
            let NestedUsage { calls, cpu } = nested.end();
            served.calls += calls;
            served.cpu += cpu;
            if matches!(served.outcome, Ok(_) | Err(CallError::Failed { .. }))
                && let Some(error) = nested.difference()
            {
                served.outcome = Err(error);
            }
        }
        ended.at(start, Instant::now(), served, journal.denials())
    }
}

/// What a result needs beside the outcome, known before the call ends.
struct PendingEnd {
    id: Option<String>,
    name: String,
    origin: Option<Box<CallOrigin>>,
    queued: Instant,
    mask: Arc<Mask>,
    audit: Option<Arc<CallAudit>>,
    repairs: Vec<Repair>,
}

impl Drop for PendingEnd {
    /// Writes the audit line of a call that was dropped while it ran.
    fn drop(&mut self) {
        if let Some(audit) = self.audit.take() {
            audit.abandoned(self.queued.elapsed());
        }
    }
}

impl PendingEnd {
    /// The result of a call that never ran: all of its time was queue time.
    fn refused<T: Payload>(self, error: CallError) -> CallEnded<T> {
        let now = Instant::now();
        self.at(now, now, RunOutcome::refused(error), 0)
    }

    /// The result of a call that ran from `start` to `end`.
    fn at<T: Payload>(
        mut self,
        start: Instant,
        end: Instant,
        mut served: RunOutcome<T>,
        denials: u64,
    ) -> CallEnded<T> {
        served.mask(&self.mask);
        let mut usage = Usage::default();
        usage.queue = start.saturating_duration_since(self.queued);
        usage.run = end - start;
        usage.cpu = served.cpu;
        usage.calls = served.calls;
        usage.peak_memory = served.peak_memory;
        usage.output_bytes = served.outcome.as_ref().map_or(0, Payload::len);
        let mut outcome = served.outcome;
        // A result that cannot be audited is withheld.
        if let Some(audit) = self.audit.take()
            && let Err(error) = audit.ended(outcome.as_ref().err(), &usage, denials)
        {
            outcome = Err(CallError::internal(error));
        }
        CallEnded {
            id: self.id.take(),
            name: std::mem::take(&mut self.name),
            origin: self.origin.take(),
            outcome,
            usage,
            log: served.log,
            repairs: std::mem::take(&mut self.repairs),
        }
    }
}

/// A [`ToolResult`], or the result of another request.
struct CallEnded<T> {
    id: Option<String>,
    name: String,
    origin: Option<Box<CallOrigin>>,
    outcome: Result<T, CallError>,
    usage: Usage,
    log: Vec<LogLine>,
    repairs: Vec<Repair>,
}

impl From<CallEnded<Output>> for ToolResult {
    fn from(ended: CallEnded<Output>) -> Self {
        ToolResult::new(ended.name, ended.outcome)
            .with_id(ended.id)
            .with_usage(ended.usage)
            .with_log(ended.log)
            .with_repairs(ended.repairs)
            .with_origin(ended.origin)
    }
}

/// A panic of the host while it serves a call becomes that call's error and affects no other.
fn panicked(panic: &(dyn Any + Send)) -> CallError {
    CallError::internal(format!("the host panicked: {}", said_by(panic)))
}
