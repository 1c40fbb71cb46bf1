//! [`ToolHost`]: every call gets its place in order, a permit in its turn, and one result.

mod asking;
mod batch;
mod early;
mod fit;
mod hooks;
mod lanes;
mod load;
mod narrow;
mod nested;
mod offers;
mod open;
mod options;
mod parallel;
mod queue;
mod repeats;

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

use crate::audit::{AuditLog, CallAudit};
use crate::error::{CallError, LoadError, said_by};
use crate::limits::Limits;
use crate::manifest::{Manifest, McpConfig, PluginConfig};
use crate::mask::Mask;
use crate::order::{Client, Place};
use crate::paths::Paths;
use crate::permissions::HostFile;
use crate::plugin::Plugin;
use crate::provider::narrowed::GrantsOfCall;
use crate::provider::{
    self, CallContext, NarrowedGrants, NotStarted, Payload, Pin, ProvidedTool, Provider,
    RunOutcome, SchemaOf, ToolNote, ToolProvider,
};
use crate::registry::{Registered, Registry};
use crate::resource::ResourceOwners;
use crate::sandbox::{Journal, Operations};
use crate::schema::Unenforced;
use crate::schema::checking::Allowed;
use crate::seldom::Seldom;
use crate::tool::{CallOrigin, LogLine, Output, Repair, Tool, ToolCall, ToolResult, Usage};
use crate::watch::RunContext;
pub use asking::{MAX_ROUNDS, asked_too_often};
pub use batch::Batch;
pub use early::{At, EarlyCalls};
use fit::Fit;
use hooks::{HookPlaces, Hooks};
pub use load::{LoadEvent, Loader, Servers};
pub use narrow::Narrowed;
pub use narrow::Whose;
pub use open::OpenBatch;
pub use options::CallOptions;
pub use parallel::Unpacked;
use queue::{Queue, Ticket};
use repeats::{Found, Repeats};

/// Runs the tool calls of a model, each in a fresh sandbox.
///
/// It is cheap to clone, and clones share their caps. Its methods run on the tokio runtime they
/// are called on, of either flavour; the multi-threaded one lets calls compute in parallel.
#[derive(Clone)]
pub struct ToolHost {
    /// The tools of one time: see [`ToolHost::renewed`].
    registry: Arc<Registry>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for ToolHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.tools().map(|tool| &tool.name))
            .finish()
    }
}

struct Shared {
    /// Those of the providers that offer more than tools.
    plugins: Vec<LoadedPlugin>,
    own: offers::Own,
    owners: Arc<ResourceOwners>,
    queue: Queue,
    max_concurrency: usize,
    /// The secrets of all providers.
    mask: Arc<Mask>,
    audit: Option<Arc<AuditLog>>,
    hooks: Option<Hooks>,
    repeats: Repeats,
    /// Plugins that could not list their resources.
    unlisted: Seldom,
    /// Whether arguments are repaired.
    repairs: bool,
    /// Whether it is only there to be looked at.
    is_survey: bool,
    /// Where guests may write, and where they may not.
    paths: Arc<Paths>,
}

/// What a call proves to be as it is handed over: its places are taken then.
enum HandedOver {
    One(Arrival, ToolCall),
    /// Several calls in one.
    Several(Vec<Arrival>, Unpacked),
    /// One with an idempotency key, and whether it was made before.
    Once(ToolCall, Found, bool),
    Refused(ToolCall, CallError),
}

/// The places that were taken for a call ahead of its run: its own, or those of the calls inside.
#[derive(Default)]
pub struct Places {
    /// The tools of the host that they were taken at.
    registry: Weak<Registry>,
    taken: std::vec::IntoIter<Taken>,
}

/// A call's place in order, where it has to keep one, and what it has of what its provider is granted.
pub(crate) struct Taken {
    place: Option<Place>,
    narrowed: GrantsOfCall,
    /// Where the hooks have yet to decide.
    hooks: Option<HookPlaces>,
}

/// A call that runs in its place. The place is left once all that the call began with files has
/// returned: a call that is ended or dropped in the middle of a write does not stop the write.
struct InOrder {
    place: Option<Place>,
    operations: Operations,
}

impl Drop for InOrder {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else {
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

/// How a call came to its host.
struct Arrival {
    queued: Instant,
    /// Its place among the calls that wait, where those are bounded.
    ticket: Option<Ticket>,
    /// Dropped once it runs or is among those that wait, for the one behind it.
    entering: Option<oneshot::Sender<()>>,
    taken: Taken,
}

impl Arrival {
    fn new(taken: Taken) -> Arrival {
        Arrival {
            queued: Instant::now(),
            ticket: None,
            entering: None,
            taken,
        }
    }
}

/// A plugin that is loaded; see [`ToolHost::plugins`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PluginInfo<'a> {
    /// Its configuration.
    pub config: &'a PluginConfig,
    /// What its component imports, such as `wasi:cli/environment@0.2.6`.
    pub imports: &'a [String],
    /// The permissions that it can make use of, as the manifest has them.
    pub permissions: &'a [&'static str],
}

/// What running a call would be; see [`ToolHost::plan`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan<'a> {
    /// The tool that is called.
    pub tool: &'a Tool,
    /// What would serve it.
    pub by: Provider<'a>,
    /// The arguments as the tool would get them.
    pub arguments: String,
    /// What is repaired in them.
    pub repairs: Vec<Repair>,
}

impl ToolHost {
    /// Keeps plugins from a file; whether it may be used by its name is what is returned.
    #[doc(hidden)]
    pub fn protect(&self, file: &HostFile) -> std::io::Result<()> {
        self.shared.paths.check_way(file)
    }

    /// Loads the plugins of a manifest with default options; see [`Loader`] for others.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the plugins.
    pub async fn load(manifest: Manifest) -> Result<ToolHost, LoadError> {
        Loader::new(manifest).load().await
    }

    /// The tools, in the order of the plugins' names and of each plugin's own listing; then those of the
    /// MCP servers.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeTools, Tool};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # # # let math = NativeTools::new("math").tool_with_schema(
    /// # # #     Tool::new("double", "Doubles a number").read_only(),
    /// # # #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// # # #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # # # );
    /// # # # let host = Loader::new(Manifest::default()).provider(math).load().await?;
    /// let tool = host.tools().next().unwrap();
    /// assert_eq!((&*tool.name, tool.sandboxed), ("double", false));
    /// # Ok(())
    /// # }
    /// ```
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.registry.tools.iter().map(|tool| &tool.tool)
    }

    /// The tool that a call of that name is for: the one that has it, or the only one that is left when
    /// what a model's template left on the name is taken off, such as `functions.`.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        let (_, _, tool) = self.registry.find(name)?;
        Some(&tool.tool)
    }

    /// The same, for a client that may call these tools alone, and those of the host itself.
    ///
    /// # Errors
    ///
    /// There is none for it.
    #[doc(hidden)]
    pub fn tool_for(
        &self,
        name: &str,
        allowed: Option<&BTreeSet<String>>,
    ) -> Result<&Tool, CallError> {
        let (_, _, tool) = self.registry.find_allowed(name, allowed)?;
        Ok(&tool.tool)
    }

    /// The plugins, in the order of their names.
    pub fn plugins(&self) -> impl Iterator<Item = PluginInfo<'_>> {
        self.shared.plugins.iter().map(|loaded| {
            let plugin = &loaded.plugin;
            PluginInfo {
                config: &plugin.config,
                imports: &plugin.imports,
                permissions: &plugin.usable,
            }
        })
    }

    /// The MCP servers, in the order of their names.
    pub fn servers(&self) -> impl Iterator<Item = &McpConfig> {
        let providers = self.registry.providers.iter();
        providers.filter_map(|registered| match registered.provider.provenance() {
            Provider::Server(server) => Some(server),
            _ => None,
        })
    }

    /// What is to be said of tools of MCP servers, beside what is offered: those that are left out, and why.
    pub fn left_out(&self) -> impl Iterator<Item = (&McpConfig, ToolNote)> {
        self.of_servers(|server| server.left_out())
    }

    /// What the tools of MCP servers say of themselves.
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

    /// What of the tools' schemas is shown to models and not held against values: patterns that cannot be
    /// matched in one pass over a text, with look-around or a backreference. Each is the end of a sentence that begins
    /// with the tool's name.
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

    /// What a call would run, without running it. Arguments that take long to check are checked on the thread at
    /// hand, for as long as a call of the tool may take.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # # # let math = NativeTools::new("math").tool_with_schema(
    /// # # #     Tool::new("double", "Doubles a number").read_only(),
    /// # # #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// # # #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # # # );
    /// # # # let host = Loader::new(Manifest::default()).provider(math).load().await?;
    /// let call = ToolCall::new("call_1", "double", r#"{"n": "21"}"#);
    /// let plan = host.plan(&call).unwrap();
    /// assert_eq!(plan.arguments, r#"{"n":21}"#);
    /// assert_eq!(plan.repairs[0].path, "/n");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// There is no such tool, or the arguments are not what it asks for: what the call would fail with.
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

    /// The same host with the tools that its providers offer now. Clones keep those they have.
    pub fn renewed(&self) -> ToolHost {
        self.with_providers([])
    }

    /// Has what these calls need, of a host that was loaded [lazily](Loader::lazy): starts the MCP servers whose tools
    /// they are. To know a tool that no provider is known to have, all servers are started. The host that is returned
    /// has the tools that the servers list now.
    ///
    /// # Errors
    ///
    /// [`LoadError::Invalid`]: a server does not start, or a secret cannot be had. Where a tool is not found, any server may
    /// be the one that has it.
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
        // The tools of a server that does not start are not known to be there.
        if !others.is_empty() && !renewed.needed_for(calls).1 {
            problems.append(&mut others);
        }
        others.iter().for_each(|it| tracing::warn!("{it}"));
        match problems[..] {
            [] => Ok(renewed),
            _ => Err(LoadError::Invalid(problems)),
        }
    }

    /// The providers of the tools that are called, and whether all of these are known.
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

    /// The same host with another provider beside its own.
    #[doc(hidden)]
    pub fn with_provider(&self, provider: Arc<dyn ToolProvider>) -> ToolHost {
        let registered = Registered::new(provider, self.shared.max_concurrency, None);
        self.with_providers([Arc::new(registered)])
    }

    fn with_providers(&self, more: impl IntoIterator<Item = Arc<Registered>>) -> ToolHost {
        ToolHost {
            registry: Arc::new(self.registry.renewed(more)),
            shared: self.shared.clone(),
        }
    }

    /// Waits until a provider offers other tools than this host knows of, which its
    /// [renewal](ToolHost::renewed) has; for ever where none can.
    pub async fn tools_changed(&self) {
        self.registry.outdated().await;
    }

    /// The longest that a result may be, of whichever tool, in bytes.
    #[doc(hidden)]
    pub fn longest_output(&self) -> u64 {
        let providers = self.registry.providers.iter();
        let limits = providers.map(|registered| registered.provider.limits());
        limits.map(|it| it.max_output.as_u64()).max().unwrap_or(0)
    }

    /// What finds the secrets of the manifest, as it is done to every result and log: for what a
    /// program prints of its own, such as traces.
    pub fn mask(&self) -> Arc<Mask> {
        self.shared.mask.clone()
    }

    /// Runs one call. It waits for its turn if as many run as may; dropping the future ends the
    /// call wherever it is.
    ///
    /// A call that may change data which others read or change, or reads such data, takes its place in
    /// order now, not when the future is first polled: hold no such future without polling it, since
    /// later calls wait for it.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # # # let math = NativeTools::new("math").tool_with_schema(
    /// # # #     Tool::new("double", "Doubles a number").read_only(),
    /// # # #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// # # #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # # # );
    /// # # # let host = Loader::new(Manifest::default()).provider(math).load().await?;
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

    /// A call that is handed over now, unless its places were taken before.
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
        let Places {
            registry,
            taken: mut before,
        } = options.take_places();
        let is_own = std::ptr::eq(registry.as_ptr(), &*self.registry);
        let mut arrival = |call: &ToolCall| {
            let before = before.next();
            Arrival::new(match before {
                Some(before) if is_own => before,
                // What it has is what this host grants; its place it keeps.
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

    /// Takes the places that a call with these options has to keep, behind the calls that the same client made before.
    #[doc(hidden)]
    pub fn places(&self, call: &ToolCall, options: &CallOptions) -> Places {
        let (client, allowed) = (options.order(), options.allowed.as_deref());
        let take = |call: &ToolCall| self.take(call, client, allowed, &options.whose);
        let taken: Vec<_> = match self.unpack(call) {
            None => vec![take(call)],
            Some(Ok(unpacked)) => unpacked.calls().iter().map(take).collect(),
            Some(Err(_)) => Vec::new(),
        };
        Places {
            registry: Arc::downgrade(&self.registry),
            taken: taken.into_iter(),
        }
    }

    /// The place of a call that is none of several, and what it has.
    fn take(
        &self,
        call: &ToolCall,
        client: Client,
        allowed: Option<&BTreeSet<String>>,
        whose: &Whose,
    ) -> Taken {
        self.take_at(None, call, (client, allowed), whose)
    }

    /// The same for a call that has a place which another host gave it, if that is in the right line.
    fn take_at(
        &self,
        place: Option<Place>,
        call: &ToolCall,
        (client, allowed): (Client, Option<&BTreeSet<String>>),
        whose: &Whose,
    ) -> Taken {
        let mut taken = Taken {
            place: None,
            narrowed: Ok(None),
            hooks: None,
        };
        let found = self.registry.find_for(&call.name, allowed);
        let Some((_, registered, tool)) = found.filter(|_| call.void().is_none()) else {
            return taken;
        };
        taken.narrowed = self.grants_of(registered, whose);
        let Ok(narrowed) = &taken.narrowed else {
            return taken;
        };
        let hooks = self.shared.hooks.as_ref();
        taken.hooks = hooks.map(|hooks| hooks.enter(&tool.tool, client));
        let label = || label(call, self.mask_of(whose));
        let order = registered.order(tool, narrowed.as_deref());
        let is_held = self.shared.hooks.is_some();
        taken.place = order.map(|(domain, access)| match place {
            Some(place) if place.serves(domain, access, is_held) => place,
            _ if is_held => domain.enter_held(client, access, label),
            _ => domain.enter(client, access, label),
        });
        taken
    }

    /// What would serve a call, whatever its arguments are; nothing serves one that must not be run.
    fn serving(&self, call: &ToolCall) -> Option<(&Registered, &ProvidedTool)> {
        let found = self.registry.find(&call.name);
        let (_, by, tool) = found.filter(|_| call.void().is_none())?;
        Some((by, tool))
    }

    /// As [`call`](ToolHost::call), for a call that has arrived and may be cancelled.
    async fn run_call(
        &self,
        call: &ToolCall,
        context: &RunContext<'_>,
        whose: &Whose,
        arrival: Arrival,
    ) -> ToolResult {
        let mut fit = self.fit(call, context.allowed.as_deref());
        let running = self.run_fit(call, &mut fit, context, whose, arrival);
        let result = running.await;
        if let Some(hooks) = &self.shared.hooks {
            hooks.after(&fit, &result);
        }
        result
    }

    async fn run_fit<'h>(
        &'h self,
        call: &ToolCall,
        fit: &mut Fit<'h, '_>,
        context: &RunContext<'_>,
        whose: &Whose,
        arrival: Arrival,
    ) -> ToolResult {
        let Arrival {
            mut queued,
            ticket,
            entering,
            taken:
                Taken {
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
        let cancel = context.cancel;
        let ready = self.ready(narrowed, cancel).await;
        if let Some(error) = ready.err().or_else(|| registered.lacks()) {
            return ended.refused::<Output>(error).into();
        }
        let is_decided = undecided.is_none();
        if let Some(hooks) = &self.shared.hooks {
            // Nobody waits for a call that waits for its permits.
            if let Some(places) = undecided.filter(|_| !fit.is_unchecked) {
                let decided = Box::pin(hooks.before(&fit.call, &tool.tool, places, cancel)).await;
                // Whoever decides may take long: that is no time in the queue.
                queued = Instant::now();
                ended.queued = queued;
                if let Some(outcome) = decided {
                    return ended.at(queued, queued, outcome, 0).into();
                }
            }
            if let Some(place) = &place {
                place.release();
            }
        }
        let queue = &self.shared.queue;
        let permits = queue.wait(
            registered,
            queued,
            cancel,
            (ticket, entering),
            context.client.party(),
            place.as_ref(),
        );
        let _permits = match permits.await {
            Ok(permits) => permits,
            Err(error) => return ended.refused::<Output>(error).into(),
        };
        let provider = &registered.provider;
        let limits = &*within(provider.limits(), context.timeout);
        let start = Instant::now();
        let mut spent = Duration::ZERO;
        if fit.is_unchecked {
            let allowed = Allowed {
                limits,
                start,
                spent,
                cancel,
            };
            // Boxed, so that other calls do not hold room for it.
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
            // What is written down is the call as it runs.
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
        let journal = Journal::new(
            limits.max_log,
            ended.mask.clone(),
            ended.audit.clone(),
            context,
        );
        if let Some(place) = &place {
            place.begin();
        }
        let _in_order = InOrder {
            place,
            operations: journal.operations().clone(),
        };
        let span = debug_span!(
            "call",
            id = call.id,
            tool = call.name,
            plugin = provider.name()
        );
        let turn = CallContext {
            start,
            limits,
            spent,
            cancel,
            owner: &context.owner,
            client: whose.client().map(|it| &**it),
            narrowed,
            key: context.key.as_deref(),
            journal: journal.clone(),
        };
        if let Some(begun) = &context.begun {
            begun.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        let served = match provider.ends_calls() {
            true => serve(span, provider.call(tool, call, turn)).await,
            false => serve(span, provider::run(&**provider, tool, call, turn)).await,
        };
        ended
            .at(start, Instant::now(), served, journal.denials())
            .into()
    }

    /// Answers a call that is not run.
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
        fit: &Fit,
        whose: &Whose,
        narrowed: Option<&NarrowedGrants>,
    ) -> Ending {
        let (call, by) = ((&*fit.call, fit.tool()), fit.found.map(|(by, _)| by));
        self.ending(queued, call, by, &fit.repairs, (whose, narrowed))
    }

    /// `tool` is what audit calls it, whatever the caller did.
    fn ending(
        &self,
        queued: Instant,
        (call, tool): (&ToolCall, &str),
        by: Option<&Registered>,
        repairs: &[Repair],
        (whose, narrowed): (&Whose, Option<&NarrowedGrants>),
    ) -> Ending {
        let mask = self.mask_of(whose);
        let by = by.map(|by| (by.provider.name(), by.provider.sha256()));
        let mut repairs = repairs.to_vec();
        for repair in &mut repairs {
            mask.text(&mut repair.path);
        }
        Ending {
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
                Arc::new(audit.repaired(&repairs).of(client, folders, mask))
            }),
            repairs,
        }
    }

    /// Whether a call may run that has this.
    ///
    /// # Errors
    ///
    /// Why not.
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

    /// Runs a batch, up to the caps at once, and yields each result as it completes with the
    /// position of its call.
    ///
    /// Calls are taken from the iterator as room comes up, so memory grows with the caps and not
    /// with the batch; where the manifest has a `max-queue` they have all come, and what finds the queue
    /// full is refused. Dropping the stream cancels what runs; [`Batch::cancel`] does so and still
    /// yields a result for every call.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use futures_util::StreamExt;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # # # let math = NativeTools::new("math").tool_with_schema(
    /// # # #     Tool::new("double", "Doubles a number").read_only(),
    /// # # #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// # # #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # # # );
    /// # # # let host = Loader::new(Manifest::default()).provider(math).load().await?;
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

    /// Runs a batch and returns the results in the order of the calls. It takes all calls at once, as
    /// it holds all results in the end; [`run`](ToolHost::run) does neither.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # # # let math = NativeTools::new("math").tool_with_schema(
    /// # # #     Tool::new("double", "Doubles a number").read_only(),
    /// # # #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// # # #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # # # );
    /// # # # let host = Loader::new(Manifest::default()).provider(math).load().await?;
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

/// The limits of a call that may run so long at most.
pub(super) fn within(limits: &Limits, timeout: Option<Duration>) -> Cow<'_, Limits> {
    match timeout.filter(|timeout| *timeout < limits.timeout) {
        None => Cow::Borrowed(limits),
        Some(timeout) => Cow::Owned(Limits {
            timeout,
            ..limits.clone()
        }),
    }
}

/// As calls behind it name it.
fn label(call: &ToolCall, mask: &Mask) -> String {
    // Both are the model's, and of any length.
    let shown = |text: &str| mask.beginning(text.to_owned(), 100);
    match &call.id {
        Some(id) => format!("{} ({})", shown(&call.name), shown(id)),
        None => shown(&call.name),
    }
}

async fn serve<T: Payload>(
    span: tracing::Span,
    served: impl Future<Output = RunOutcome<T>>,
) -> RunOutcome<T> {
    let served = AssertUnwindSafe(served.instrument(span))
        .catch_unwind()
        .await;
    served.unwrap_or_else(|panic| RunOutcome::refused(panicked(&*panic)))
}

/// What is known of a result before it is there.
struct Ending {
    id: Option<String>,
    name: String,
    origin: Option<Box<CallOrigin>>,
    queued: Instant,
    mask: Arc<Mask>,
    audit: Option<Arc<CallAudit>>,
    repairs: Vec<Repair>,
}

impl Drop for Ending {
    /// A call that was dropped where it was has run as far as that.
    fn drop(&mut self) {
        if let Some(audit) = self.audit.take() {
            audit.abandoned(self.queued.elapsed());
        }
    }
}

impl Ending {
    /// The result of a call that never ran: it waited for all of its time.
    fn refused<T: Payload>(self, error: CallError) -> Ended<T> {
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
    ) -> Ended<T> {
        served.hide(&self.mask);
        let mut usage = Usage::default();
        usage.queue = start.saturating_duration_since(self.queued);
        usage.run = end - start;
        usage.cpu = served.cpu;
        usage.peak_memory = served.peak_memory;
        usage.output_bytes = served.outcome.as_ref().map_or(0, Payload::len);
        let mut outcome = served.outcome;
        // What nobody can account for is not handed out.
        if let Some(audit) = self.audit.take()
            && let Err(error) = audit.ended(outcome.as_ref().err(), &usage, denials)
        {
            outcome = Err(CallError::internal(error));
        }
        Ended {
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

/// A [`ToolResult`], or that of any other request.
struct Ended<T> {
    id: Option<String>,
    name: String,
    origin: Option<Box<CallOrigin>>,
    outcome: Result<T, CallError>,
    usage: Usage,
    log: Vec<LogLine>,
    repairs: Vec<Repair>,
}

impl From<Ended<Output>> for ToolResult {
    fn from(ended: Ended<Output>) -> Self {
        ToolResult::new(ended.name, ended.outcome)
            .with_id(ended.id)
            .with_usage(ended.usage)
            .with_log(ended.log)
            .with_repairs(ended.repairs)
            .with_origin(ended.origin)
    }
}

/// A panic of the host while it served a call is that call's error and nobody else's.
fn panicked(panic: &(dyn Any + Send)) -> CallError {
    CallError::internal(format!("the host panicked: {}", said_by(panic)))
}
