//! Loading: makes a [`ToolHost`] from a [`Manifest`]. Plugins are compiled and asked for their
//! tools in parallel.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::warn;

use super::hooks::Hooks;
use super::nested_grants::{Nested, PluginGrant, nested};
use super::queue::{CallQueue, Suspension, pages_in, pages_of};
use super::resources_and_prompts::StaticContent;
use super::{HostShared, LoadedPlugin, ToolHost};
use crate::audit::AuditLog;
use crate::engine::{CodeCache, EngineConfig, Engines, SIDE_FOLDER};
use crate::error::{Diagnostic, LoadError, said_by};
use crate::hook::Hook;
use crate::limits::{ByteSize, size};
use crate::manifest::StaticBody;
use crate::manifest::{HostConfig, MAX_CONCURRENCY, Manifest, McpConfig, Order, PluginConfig};
use crate::mask::Mask;
use crate::order::{Domain, GrantedFolders};
use crate::paths::{HostFile, Paths, Purpose};
use crate::permissions::Access;
use crate::plugin::listing::{Listing, Listings};
use crate::plugin::{Compiled, Granted, Plugin, Secrets, component};
use crate::provider::{Provider, ToolProvider};
use crate::registry::{Registered, Registry};
use crate::resource::ResourceOwners;
use crate::server_starter::{self, StartContext, Started};
use crate::trust_folder;

/// Plugins loaded at once. Compiling one uses all cores already.
const PARALLEL_LOADS: usize = 4;

/// Options for loading a [`ToolHost`].
pub struct Loader {
    manifest: Manifest,
    before: Option<ToolHost>,
    keeps_drop_ins: bool,
    cache: CodeCache,
    survey: Option<Servers>,
    is_lazy: bool,
    code_mode: bool,
    providers: Vec<Arc<dyn ToolProvider>>,
    hooks: Vec<Arc<dyn Hook>>,
    progress: Arc<dyn Fn(LoadEvent) + Send + Sync>,
}

/// How a [survey](Loader::survey) treats MCP servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Servers {
    /// Start them, with their secrets, and ask for their tools.
    Start,
    /// Do not start them. Their tools are those cached when they last ran.
    Recall,
}

/// Loading progress.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadEvent {
    /// Loading begins.
    Started {
        /// How many plugins and MCP servers there are to load.
        plugins: usize,
    },
    /// A plugin is being loaded, or an MCP server started.
    Loading {
        /// Its name.
        plugin: String,
    },
    /// It is loaded, or has failed to load.
    Done {
        /// Its name.
        plugin: String,
    },
    /// A plugin found in `plugin-dir` could not be loaded, and the others are: see
    /// [`Loader::keep_drop_ins`].
    Failed {
        /// Its name.
        plugin: String,
        /// What is wrong with it.
        why: String,
        /// Whether the replaced host's plugin goes on in its place.
        is_kept: bool,
    },
}

impl Loader {
    /// Default options: the user's code cache, no progress reports.
    pub fn new(manifest: Manifest) -> Self {
        Loader {
            manifest,
            before: None,
            keeps_drop_ins: false,
            cache: CodeCache::default(),
            survey: None,
            is_lazy: false,
            code_mode: false,
            providers: Vec::new(),
            hooks: Vec::new(),
            progress: Arc::new(|_| {}),
        }
    }

    /// Sets where compiled code is cached.
    #[must_use]
    pub fn code_cache(mut self, cache: CodeCache) -> Self {
        self.cache = cache;
        self
    }

    /// Loads what is needed to list tools, and nothing that calls need: no plugin's secret is read,
    /// no audit log is opened. Calls of such a host fail.
    #[must_use]
    pub fn survey(mut self, servers: Servers) -> Self {
        self.survey = Some(servers);
        self
    }

    /// Defers what not every call needs: an MCP server starts with the first call of one of its
    /// tools, which are those that it listed last, and a secret that cannot be read is an error only
    /// of the calls that need it. [`ToolHost::ready_for`] does all that ahead of the calls.
    #[must_use]
    pub fn lazy(mut self) -> Self {
        self.is_lazy = true;
        self
    }

    /// Code mode: the only tools that can be called directly are `run_script` of a plugin that may call
    /// tools, `search_tools` and `describe_tool`; programs call the others. See
    /// [`ToolHost::offered_tools`].
    #[must_use]
    pub fn code_mode(mut self, is_on: bool) -> Self {
        self.code_mode = is_on;
        self
    }

    /// Adds tools that are not in the manifest: [`NativeTools`](crate::NativeTools), or a provider
    /// of your own.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeTools, Tool};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// let math = NativeTools::new("math").tool_with_schema(
    ///     Tool::new("double", "Doubles a number").read_only(),
    ///     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    ///     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// );
    /// let host = Loader::new(Manifest::default()).provider(math).load().await?;
    ///
    /// assert!(host.tool("double").is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn provider(mut self, provider: impl ToolProvider + 'static) -> Self {
        self.providers.push(Arc::new(provider));
        self
    }

    /// Adds a hook that runs before each call and after each result. Hooks run in the order they
    /// were added.
    #[must_use]
    pub fn hook(mut self, hook: impl Hook + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Reports loading progress to `progress`, from several threads.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// use toolhost::{LoadEvent, Loader, Manifest};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// let total = Arc::new(AtomicUsize::new(usize::MAX));
    /// let told = total.clone();
    /// let loader = Loader::new(Manifest::default()).on_progress(move |event| {
    ///     if let LoadEvent::Started { plugins } = event {
    ///         told.store(plugins, Ordering::Relaxed);
    ///     }
    /// });
    /// loader.load().await?;
    /// assert_eq!(total.load(Ordering::Relaxed), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(LoadEvent) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Sets the host that this one replaces. Its guests are kept from this host's files, and
    /// folders that they could have replaced are not reopened by name.
    #[must_use]
    pub fn replacing(mut self, host: &ToolHost) -> Self {
        self.before = Some(host.clone());
        self
    }

    /// Does not fail for a plugin that was found in `plugin-dir` and cannot be loaded: the one of
    /// that name of the [replaced host](Loader::replacing) is kept, or it is left out if there was
    /// none, which [`LoadEvent::Failed`] reports. A plugin that the manifest lists must load.
    #[must_use]
    pub fn keep_drop_ins(mut self) -> Self {
        self.keeps_drop_ins = true;
        self
    }

    /// Loads every plugin.
    ///
    /// # Errors
    ///
    /// [`LoadError::Invalid`] with everything that is wrong with all of them, or
    /// [`LoadError::Engine`].
    pub async fn load(self) -> Result<ToolHost, LoadError> {
        let paths = self.paths();
        check_trust(&self.manifest.file, &paths)?;
        let cache = checked(&self.cache, &paths);
        let most_of_one = self.manifest.queue_of_one();
        let Manifest {
            file,
            host,
            audit,
            plugins,
            mcp,
            resources,
            prompts,
            ..
        } = self.manifest;
        check_caps(&file, &host, &plugins, &mcp)?;
        check_providers(&file, &self.providers)?;
        check_nested(&file, &plugins, &paths)?;
        let suspension = suspension(&file, &host, &plugins, &self.providers)?;
        let (survey, is_lazy) = (self.survey, self.is_lazy);
        let secrets = match (survey, is_lazy) {
            (Some(_), _) => Secrets::Unread,
            (None, true) => Secrets::AtCalls,
            (None, false) => Secrets::Required,
        };
        let audit = audit.and_then(|config| {
            let opened = match survey {
                Some(_) => AuditLog::check(&config, &paths).map(|()| None),
                None => AuditLog::open(&config, &paths).map(|log| Some(Arc::new(log))),
            };
            let failed = |error| {
                let path = config.path.display();
                let message = format!("cannot open the audit log {path}: {error}");
                LoadError::invalid(&file, message)
            };
            opened.map_err(failed).transpose()
        });
        let audit = audit.transpose()?;
        (self.progress)(LoadEvent::Started {
            plugins: plugins.len() + mcp.len(),
        });
        let engines = engines(&host, suspension, &plugins, &cache)?;
        let file = Arc::new(file);
        let turns = Arc::new(Semaphore::new(PARALLEL_LOADS));
        let mut loads = JoinSet::new();
        let memory = cache.folder(SIDE_FOLDER);
        let listings = Listings {
            folder: memory.clone(),
            // Elsewhere the code is needed anyway.
            recalls: is_lazy || survey.is_some(),
        };
        let first_server = plugins.len();
        let drop_ins: Vec<Option<DropIn>> = match self.keeps_drop_ins {
            true => plugins
                .iter()
                .map(|it| DropIn::of(it, self.before.as_ref()))
                .collect(),
            false => Vec::new(),
        };
        for (index, plugin) in plugins.into_iter().enumerate() {
            let (engine, listings, file, paths, turns, progress) = (
                engines[&plugin.limits.stack()].clone(),
                listings.clone(),
                file.clone(),
                paths.clone(),
                turns.clone(),
                self.progress.clone(),
            );
            loads.spawn(async move {
                let _turn = turns.acquire().await;
                let name = plugin.name.clone();
                progress(LoadEvent::Loading {
                    plugin: name.clone(),
                });
                let loaded = load_plugin(plugin, file, paths, engine, listings, secrets).await;
                progress(LoadEvent::Done { plugin: name });
                (index, loaded.map(|plugin| Loaded::Plugin(Arc::new(plugin))))
            });
        }
        // Servers compute in their own processes: start all at once.
        for (index, server) in mcp.into_iter().enumerate() {
            let (file, paths, memory) = (file.clone(), paths.clone(), memory.clone());
            let progress = self.progress.clone();
            loads.spawn(async move {
                let name = server.name.clone();
                progress(LoadEvent::Loading {
                    plugin: name.clone(),
                });
                let surroundings = StartContext {
                    manifest: &file,
                    paths: &paths,
                    memory: memory.as_deref(),
                };
                let loaded = load_server(server, surroundings, survey, is_lazy).await;
                progress(LoadEvent::Done { plugin: name });
                (first_server + index, loaded.map(Loaded::Other))
            });
        }
        let mut loaded = loads.join_all().await;
        loaded.sort_by_key(|(index, _)| *index);
        let mut plugins = Vec::new();
        let mut others = Vec::new();
        let mut problems = Vec::new();
        for (index, loaded) in loaded {
            match loaded {
                Ok(Loaded::Plugin(plugin)) => plugins.push(plugin),
                Ok(Loaded::Other(provider)) => others.push(provider),
                Err(found) => match drop_ins.get(index) {
                    Some(Some(drop_in)) => {
                        plugins.extend(drop_in.kept.clone());
                        (self.progress)(drop_in.failed(&found));
                    }
                    _ => problems.extend(found),
                },
            }
        }
        if !problems.is_empty() {
            return Err(LoadError::Invalid(problems));
        }
        let own = StaticContent { resources, prompts };
        for resource in &own.resources {
            if let StaticBody::File(path) = &resource.body {
                paths.accept(path);
            }
        }
        own.check(&file, &plugins).map_err(LoadError::Invalid)?;
        let plugins = in_order(plugins, host.max_concurrency);
        let owners = Arc::new(ResourceOwners {
            own: (own.resources.iter())
                .map(|own| own.resource.uri.clone())
                .collect(),
            plugins: plugins.iter().map(|it| it.plugin.owner()).collect(),
        });
        for (number, loaded) in plugins.iter().enumerate() {
            loaded.plugin.set_owners(owners.clone(), number);
        }
        let providers = plugins.iter().map(|loaded| loaded.registered.clone());
        let others = others.into_iter().chain(self.providers).map(|provider| {
            let domain = domain_of(&provider);
            Arc::new(Registered::new(provider, host.max_concurrency, domain))
        });
        let providers: Vec<_> = providers.chain(others).collect();
        let secrets = providers.iter().flat_map(|it| it.provider.secrets());
        let mask = Mask::new(secrets).map_err(|message| LoadError::invalid(&file, message))?;
        let loaded = ToolHost {
            shared: Arc::new(HostShared {
                plugins,
                queue: CallQueue::new(&host, most_of_one, suspension, &providers),
                own,
                owners,
                max_concurrency: host.max_concurrency,
                mask: Arc::new(mask),
                audit,
                hooks: Hooks::new(self.hooks),
                repeats: Default::default(),
                waiting: Default::default(),
                unlisted: Default::default(),
                repairs: host.repair_arguments,
                is_survey: survey.is_some(),
                paths,
            }),
            registry: Arc::new(Registry::new(providers, &file).map_err(LoadError::Invalid)?),
            front: None,
        };
        match self.code_mode {
            true => loaded.in_code_mode(&file),
            false => Ok(loaded),
        }
    }
}

impl Loader {
    /// Opens all files of the manifest, and collects what guests must not touch.
    fn paths(&self) -> Arc<Paths> {
        let before = self.before.as_ref().map(|host| &*host.shared.paths);
        let paths = self.manifest.ways(before);
        let cache = self.cache.folders();
        let cache = cache
            .into_iter()
            .map(|it| HostFile::new(it, Purpose::CodeCache));
        for file in self.manifest.host_files().into_iter().chain(cache) {
            let _ = paths.protect(&file);
        }
        if let Some(before) = before {
            paths.extend(before);
        }
        Arc::new(paths)
    }
}

/// The code cache, or none if a plugin may have put a link on the path to it: what is in the cache
/// gets executed.
fn checked(cache: &CodeCache, paths: &Paths) -> CodeCache {
    let folders = cache.folders();
    let mut files = folders
        .into_iter()
        .map(|it| HostFile::new(it, Purpose::CodeCache));
    match files.find_map(|file| paths.check_way(&file).err()) {
        None => cache.clone(),
        Some(error) => {
            warn!("compiled plugins are not cached: {error}");
            CodeCache::Off
        }
    }
}

/// The trust store is read by name, so a plugin must not be able to put a link on the path to it.
fn check_trust(manifest: &Path, paths: &Paths) -> Result<(), LoadError> {
    let folder = trust_folder::of_user();
    let Some(folder) = folder.map(|it| HostFile::new(it, Purpose::Trust)) else {
        return Ok(());
    };
    paths.check_way(&folder).map_err(|error| {
        let path = folder.path.display();
        let message = format!("cannot protect the folder of trusted manifests, {path}: {error}");
        LoadError::invalid(manifest, message)
    })
}

/// A plugin that was found in `plugin-dir`, and nowhere in the manifest.
struct DropIn {
    name: String,
    /// The one of the same name and limits that is being replaced.
    kept: Option<Arc<Plugin>>,
}

impl DropIn {
    fn of(plugin: &PluginConfig, before: Option<&ToolHost>) -> Option<DropIn> {
        if plugin.at.is_some() {
            return None;
        }
        let loaded = before.into_iter().flat_map(|host| &host.shared.plugins);
        let mut loaded = loaded.map(|loaded| &loaded.plugin);
        let kept = loaded.find(|it| {
            let config = &it.config;
            config.name == plugin.name && config.at.is_none() && config.limits == plugin.limits
        });
        Some(DropIn {
            name: plugin.name.clone(),
            kept: kept.cloned(),
        })
    }

    fn failed(&self, problems: &[Diagnostic]) -> LoadEvent {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        LoadEvent::Failed {
            plugin: self.name.clone(),
            why: problems.join("; "),
            is_kept: self.kept.is_some(),
        }
    }
}

enum Loaded {
    Plugin(Arc<Plugin>),
    Other(Arc<dyn ToolProvider>),
}

/// Registers plugins with their order domains: plugins with overlapping folders share one.
fn in_order(plugins: Vec<Arc<Plugin>>, max_concurrency: usize) -> Vec<LoadedPlugin> {
    let folders = plugins.iter().map(|plugin| match plugin.config.order {
        Order::Parallel => GrantedFolders::default(),
        Order::Auto | Order::InOrder => plugin.folders(),
    });
    // If any plugin may write, a narrowed call may write what others read.
    let mut grants = plugins.iter().flat_map(|it| &it.config.permissions.files);
    let may_be_written = grants.any(|grant| grant.access == Access::ReadWrite);
    let domains = Domain::of_folders(&folders.collect::<Vec<_>>(), may_be_written);
    let loaded = plugins.into_iter().zip(domains).map(|(plugin, domain)| {
        let by_hand = || {
            let path = plugin.config.path.display();
            let key = format!("plugin {} {path}", plugin.config.name);
            (plugin.config.order == Order::InOrder).then(|| Domain::named(&key))
        };
        let domain = domain.or_else(by_hand);
        let registered = Registered::of_plugin(plugin.clone(), max_concurrency, domain);
        LoadedPlugin {
            registered: Arc::new(registered),
            plugin,
        }
    });
    loaded.collect()
}

/// The order domain of a provider that is not a plugin.
fn domain_of(provider: &Arc<dyn ToolProvider>) -> Option<Arc<Domain>> {
    match provider.provenance() {
        Provider::Server(server) if server.order != Order::Parallel => {
            let (name, address) = (&server.name, server.address());
            Some(Domain::named(&format!("mcp {name} {address}")))
        }
        Provider::Native(_) if provider.order() != Order::Parallel => Some(Domain::new()),
        _ => None,
    }
}

/// The engines for each stack size, which is a setting of the engine.
fn engines(
    host: &HostConfig,
    suspension: Suspension,
    plugins: &[PluginConfig],
    cache: &CodeCache,
) -> Result<BTreeMap<ByteSize, Arc<Engines>>, LoadError> {
    let mut engines = BTreeMap::new();
    for plugin in plugins {
        let stack = plugin.limits.stack();
        if engines.contains_key(&stack) {
            continue;
        }
        let mut same = plugins.iter().filter(|it| it.limits.stack() == stack);
        let suspended = match same.any(|it| !it.permissions.tools.is_empty()) {
            true => suspension.most(),
            false => 0,
        };
        let config = EngineConfig {
            instances: host.max_concurrency + suspended + PARALLEL_LOADS,
            stack,
            cache: cache.clone(),
        };
        engines.insert(stack, Arc::new(Engines::new(config)?));
    }
    Ok(engines)
}

/// Checks the limits of the host and its plugins together, and for manifests made in code what the
/// parser checks.
fn check_caps(
    file: &Path,
    host: &HostConfig,
    plugins: &[PluginConfig],
    servers: &[McpConfig],
) -> Result<(), LoadError> {
    let own = plugins.iter().filter_map(|plugin| plugin.max_concurrency);
    let of_servers = servers.iter().filter_map(|server| server.max_concurrency);
    if let Some(cap) = own
        .chain(of_servers)
        .chain([host.max_concurrency])
        .find(|cap| !(1..=MAX_CONCURRENCY).contains(cap))
    {
        let message = format!("`max-concurrency` must be from 1 to {MAX_CONCURRENCY}, not {cap}");
        return Err(LoadError::invalid(file, message));
    }
    let Some(total) = host.total_memory else {
        return Ok(());
    };
    let too_large = plugins
        .iter()
        .filter(|plugin| pages_of(plugin.limits.memory) > pages_in(total));
    let problems: Vec<Diagnostic> = too_large
        .map(|plugin| {
            let (name, memory) = (&plugin.name, size(plugin.limits.memory));
            let total = size(total);
            let message = format!(
                "a call of `plugin.{name}` may use {memory}, more than the `total-memory` of {total}"
            );
            Diagnostic::new(file, plugin.at, message)
        })
        .collect();
    match problems[..] {
        [] => Ok(()),
        _ => Err(LoadError::Invalid(problems)),
    }
}

/// How many calls may be suspended while they wait for calls that they made.
///
/// # Errors
///
/// There is not enough memory for one and what it calls.
fn suspension(
    file: &Path,
    host: &HostConfig,
    plugins: &[PluginConfig],
    providers: &[Arc<dyn ToolProvider>],
) -> Result<Suspension, LoadError> {
    let of_plugins = plugins.iter().map(|plugin| {
        let calls_tools = !plugin.permissions.tools.is_empty();
        let depth = calls_tools.then_some(plugin.limits.max_depth);
        (pages_of(plugin.limits.memory), depth)
    });
    let of_providers = providers.iter().map(|it| (pages_of(it.memory()), None));
    let all: Vec<_> = of_plugins.chain(of_providers).collect();
    Suspension::new(host, &all).ok_or_else(|| {
        let caller = plugins.iter().find(|it| !it.permissions.tools.is_empty());
        let name = caller.map_or("", |it| &it.name);
        let total = host.total_memory.map(size).unwrap_or_default();
        let message = format!(
            "a call of `plugin.{name}` and the calls that it makes need more memory than the `total-memory` of \
             {total}"
        );
        let help = "raise `total-memory`, or lower `memory` or `max-depth` of the plugins";
        let problem = Diagnostic::new(file, caller.and_then(|it| it.at), message).help(help);
        LoadError::Invalid(vec![problem])
    })
}

/// Checks the providers of the embedding program.
fn check_providers(file: &Path, providers: &[Arc<dyn ToolProvider>]) -> Result<(), LoadError> {
    let mut problems = Vec::new();
    for provider in providers {
        let mut problem = |what: &str| {
            let message = format!("{}: {what}", provider.title());
            problems.push(Diagnostic::new(file, None, message));
        };
        provider.problems().iter().for_each(|it| problem(it));
        if provider.max_concurrency() == Some(0) {
            problem("its `max-concurrency` is 0, so none of its calls could ever run");
        }
    }
    match problems[..] {
        [] => Ok(()),
        _ => Err(LoadError::Invalid(problems)),
    }
}

/// Refuses a granted folder that lies in a folder another plugin may write: that plugin could
/// replace it.
fn check_nested(file: &Path, plugins: &[PluginConfig], paths: &Paths) -> Result<(), LoadError> {
    let granted = plugins.iter().flat_map(|plugin| {
        let grants = plugin.permissions.files.iter();
        grants.map(|grant| PluginGrant::of(&plugin.name, grant, paths))
    });
    let granted: Vec<_> = granted.collect();
    let problems = nested(&granted).into_iter();
    let problems = problems.map(|Nested { inner, outer }| {
        let (host, around) = (inner.grant.host.display(), outer.grant.host.display());
        let message = format!(
            "the folder {host} of `plugin.{}` is inside {around}, where `plugin.{}` can write and so replace it",
            inner.plugin, outer.plugin
        );
        let plugin = plugins.iter().find(|it| it.name == inner.plugin);
        let help = "if this is intended, set `allow-nested = true` in the grant";
        Diagnostic::new(file, plugin.and_then(|it| it.at), message).help(help)
    });
    match problems.collect::<Vec<_>>() {
        problems if problems.is_empty() => Ok(()),
        problems => Err(LoadError::Invalid(problems)),
    }
}

async fn load_server(
    server: McpConfig,
    surroundings: StartContext<'_>,
    survey: Option<Servers>,
    is_lazy: bool,
) -> Started {
    let Some(starter) = server_starter::starter() else {
        return Err(server_starter::missing(&server, surroundings.manifest));
    };
    match survey {
        Some(Servers::Recall) => Ok((starter.recall)(server, surroundings)),
        _ => (starter.start)(server, surroundings, is_lazy).await,
    }
}

/// How it is known what a plugin offers.
enum Known {
    /// It is to be asked.
    Code(Compiled),
    /// It was asked before.
    Listing(Granted, Vec<u8>, Listing),
}

impl Known {
    fn granted(&self) -> &Granted {
        match self {
            Known::Code(compiled) => &compiled.granted,
            Known::Listing(granted, ..) => granted,
        }
    }
}

async fn load_plugin(
    plugin: PluginConfig,
    manifest: Arc<PathBuf>,
    paths: Arc<Paths>,
    engines: Arc<Engines>,
    listings: Listings,
    secrets: Secrets,
) -> Result<Plugin, Vec<Diagnostic>> {
    let path = plugin.path.clone();
    let file = manifest.clone();
    let bound = plugin.limits.max_compile;
    let failed = |message: String| vec![Diagnostic::new(&path, None, message)];
    let (known, of_code) = (listings.clone(), engines.clone());
    let read = component::compiling(bound, move || {
        let (granted, bytes) = Granted::read(plugin, &file, &paths, secrets)?;
        match granted.listing(&known) {
            Some(listing) => Ok(Known::Listing(granted, bytes, listing)),
            None => {
                let compiled = granted.compile(&bytes, &file, &paths, &engines);
                compiled.map(Known::Code)
            }
        }
    });
    let known = read.await.map_err(failed)??;
    // Calls of a survey fail anyway.
    if secrets != Secrets::Unread {
        known.granted().count_folders(&manifest).await?;
    }
    let listed = async {
        match known {
            Known::Code(compiled) => compiled.discover(&manifest, &listings).await,
            Known::Listing(granted, bytes, listing) => {
                granted.listed(bytes, listing, &manifest, of_code).await
            }
        }
    };
    let listed = AssertUnwindSafe(listed).catch_unwind();
    let panicked = |panic: Box<dyn Any + Send>| {
        Err(failed(format!(
            "the host panicked while listing what the plugin offers: {}",
            said_by(&*panic)
        )))
    };
    listed.await.unwrap_or_else(panicked)
}
