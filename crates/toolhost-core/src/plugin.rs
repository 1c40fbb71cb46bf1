//! `Plugin`: a component that is loaded once and called many times, each time in a fresh
//! instance.

mod async_features;
mod call;
mod client_grants;
mod code;
pub(crate) mod component;
mod component_size;
mod convert;
mod core_module;
mod declared;
pub(crate) mod listing;
mod naming;
mod questions;
mod resources_and_prompts;
mod tools;
mod typed;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use http::HeaderValue;
use wasmtime::Store;

use crate::bindings::prompts::exports::toolhost::plugin::prompts as wit_prompts;
use crate::bindings::resources::exports::toolhost::plugin::resources as wit_resources;
use crate::bindings::toolhost::plugin::types as wit;
use crate::bounded_read;
use crate::call_clock::CallClock;
use crate::digest::sha256;
use crate::engine::Engines;
use crate::error::{CallError, Diagnostic};
use crate::limits::{ByteSize, Limits, size};
use crate::manifest::{Order, PluginConfig};
use crate::order::GrantedFolders;
use crate::paths::Paths;
use crate::permissions::{Access, HttpHeader, Secret};
use crate::provider::narrowed_grants::folders_of;
use crate::provider::{
    CallContext, ProvidedTool, Provider, RunOutcome, ToolNote, ToolProvider, validated,
};
use crate::resource::ResourceTemplate;
use crate::sandbox::{Folder, Grants, Journal, Sandbox};
use crate::schema::check_scheduling::{Allowed, computed};
use crate::tool::{Tool, ToolCall, is_tool_name};
use crate::tool_caller::CallableTools;
use crate::watch::RunContext;
use call::InstanceEnd;
use client_grants::Clients;
use code::{Code, LaterCode};
use component::Linked;
use declared::Declared;
use listing::{Listing, Listings};
pub(crate) use resources_and_prompts::PluginPrompt;
use resources_and_prompts::{OptionalExports, OptionalListings};
use tools::Tools;
use typed::{CallBounds, Documentation, Functions};

/// The most tools of a plugin: a model could not choose among more.
pub const MAX_TOOLS: usize = 1000;

/// The most memory for the compiled schemas of a plugin.
const MAX_SCHEMAS: ByteSize = ByteSize::mib(256);

/// The longest `.wit` file.
const MAX_WIT: ByteSize = ByteSize::mib(1);

pub(crate) struct Plugin {
    pub(crate) config: PluginConfig,
    pub(crate) tools: Arc<[Arc<ProvidedTool>]>,
    pub(crate) listed: OptionalListings,
    /// The SHA-256 digest of its file, in hexadecimal.
    sha256: Arc<str>,
    /// Its imports, such as `wasi:cli/environment@0.2.6`.
    pub(crate) imports: Vec<String>,
    /// The permissions it can use, by their names in the manifest.
    pub(crate) usable: Vec<&'static str>,
    /// Functions that are no tools, and tools without a description.
    pub(crate) notes: Vec<ToolNote>,
    code: Code,
    exported: OptionalExports,
    grants: Arc<Grants>,
    lacking: Vec<Diagnostic>,
    clients: Option<Clients>,
}

/// How a plugin's secrets are treated at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// They are read, and a missing one is an error.
    Required,
    /// They are read; a missing one is an error of the calls.
    AtCalls,
    /// They are not read, since no call will run.
    Unread,
}

/// A plugin whose file was read, with what it is granted.
pub(crate) struct Granted {
    config: PluginConfig,
    sha256: String,
    grants: Arc<Grants>,
    /// What its calls need and is missing: if there is anything, no call runs.
    lacking: Vec<Diagnostic>,
}

/// A plugin that is compiled and linked, and has not run yet.
pub(crate) struct Compiled {
    pub(crate) granted: Granted,
    linked: Linked,
    documentation: Option<Documentation>,
}

/// What a plugin offers, and its code.
struct Offer {
    tools: Vec<ProvidedTool>,
    listed: OptionalListings,
    imports: Vec<String>,
    asks_for_secrets: bool,
    notes: Vec<ToolNote>,
    code: Code,
    exported: OptionalExports,
}

impl Granted {
    /// Counts the contents of its folders with a quota.
    ///
    /// # Errors
    ///
    /// They cannot be read, or contain too much.
    pub(crate) async fn count_folders(&self, manifest: &Path) -> Result<(), Vec<Diagnostic>> {
        count_folders(&self.config, &self.grants, manifest).await
    }

    /// Reads and checks a plugin; returns its component as well. With its secrets unread it cannot be
    /// called.
    pub(crate) fn read(
        config: PluginConfig,
        manifest: &Path,
        paths: &Arc<Paths>,
        secrets: Secrets,
    ) -> Result<(Granted, Vec<u8>), Vec<Diagnostic>> {
        let (mut problems, mut lacking) = (Vec::new(), Vec::new());
        let of_secrets = match secrets {
            Secrets::AtCalls => &mut lacking,
            Secrets::Required | Secrets::Unread => &mut problems,
        };
        let (secrets, headers) = match secrets {
            Secrets::Unread => Default::default(),
            _ => resolve_secrets(&config, manifest, paths, of_secrets),
        };
        let mut grants = resolve(&config, manifest, paths, &mut problems);
        (grants.secrets, grants.headers) = (secrets, headers);
        let read = component::read(&config.path, config.limits.max_component, paths)
            .map_err(|message| match config.at {
                // Most often the path is wrong, so point at it.
                Some(at) => {
                    let path = config.path.display();
                    let message = format!("`plugin.{}`: {path} {message}", config.name);
                    Diagnostic::new(manifest, Some(at), message)
                }
                None => Diagnostic::new(&config.path, None, message),
            })
            .and_then(|bytes| {
                let sha256 = sha256(&bytes);
                check_pin(&config, &sha256, manifest)?;
                Ok((sha256, bytes))
            });
        match read {
            Ok((sha256, bytes)) if problems.is_empty() => {
                let granted = Granted {
                    config,
                    sha256,
                    grants: Arc::new(grants),
                    lacking,
                };
                Ok((granted, bytes))
            }
            Ok(_) => Err(problems),
            Err(problem) => {
                problems.push(problem);
                Err(problems)
            }
        }
    }

    /// What it listed when it was last loaded.
    pub(crate) fn listing(&self, listings: &Listings) -> Option<Listing> {
        // Descriptions of functions are in another file; with it, the component is looked at.
        match self.config.wit {
            None => listings.recall(&self.sha256, &self.config.limits),
            Some(_) => None,
        }
    }

    /// Compiles its component: seconds of CPU if it is not in the cache.
    pub(crate) fn compile(
        self,
        bytes: &[u8],
        manifest: &Path,
        paths: &Paths,
        engines: &Engines,
    ) -> Result<Compiled, Vec<Diagnostic>> {
        let linked = component::check_before_compiling(bytes)
            .and_then(|()| component::compile(bytes, engines))
            .and_then(|(component, engine)| component::link(&component, &engine));
        let linked =
            linked.map_err(|message| vec![Diagnostic::new(&self.config.path, None, message)])?;
        let documentation = documentation(&self.config, &linked, manifest, paths);
        Ok(Compiled {
            documentation: documentation.map_err(|problem| vec![problem])?,
            granted: self,
            linked,
        })
    }

    /// The plugin, by what it listed before. Its code is loaded when it is needed.
    pub(crate) async fn listed(
        self,
        bytes: Vec<u8>,
        listing: Listing,
        manifest: &Path,
        engines: Arc<Engines>,
    ) -> Result<Plugin, Vec<Diagnostic>> {
        let (imports, asks_for_secrets) = (listing.imports.clone(), listing.asks_for_secrets);
        let (config, file) = (self.config.clone(), manifest.to_owned());
        let selected =
            computed(move || select_tools(listing.declared(), false, &config, &file)).await?;
        let (tools, notes) = selected;
        let code = LaterCode::new(bytes, engines, self.config.limits.max_compile);
        Ok(self.into_plugin(Offer {
            tools,
            listed: OptionalListings::default(),
            imports,
            asks_for_secrets,
            notes,
            code: Code::Later(Box::new(code)),
            exported: OptionalExports::default(),
        }))
    }

    fn into_plugin(self, offer: Offer) -> Plugin {
        Plugin {
            sha256: self.sha256.into(),
            usable: component::usable_permissions(&offer.imports, offer.asks_for_secrets),
            imports: offer.imports,
            notes: offer.notes,
            code: offer.code,
            exported: offer.exported,
            grants: self.grants,
            lacking: self.lacking,
            clients: Clients::of(&self.config.permissions.files),
            config: self.config,
            tools: offer.tools.into_iter().map(Arc::new).collect(),
            listed: offer.listed,
        }
    }
}

impl Compiled {
    /// A linked component with default limits and no permissions.
    pub(crate) fn ungranted(config: PluginConfig, sha256: String, linked: Linked) -> Compiled {
        Compiled {
            granted: Granted {
                grants: Grants::none(&config.limits, &config.permissions),
                lacking: Vec::new(),
                config,
                sha256,
            },
            linked,
            documentation: None,
        }
    }

    /// Discovers the plugin's tools, with no permission and the limits of a call, and selects those
    /// the manifest offers. What it lists is kept for the next time.
    pub(crate) async fn discover(
        self,
        manifest: &Path,
        listings: &Listings,
    ) -> Result<Plugin, Vec<Diagnostic>> {
        let component = self.linked.instance_pre().component();
        let imports = component::imports(component);
        let asks_for_secrets = component::asks_for_secrets(component);
        let config = &self.granted.config;
        let failed = |message| vec![Diagnostic::new(&config.path, None, message)];
        let exports = component::exports(component);
        let exported =
            OptionalExports::new(self.linked.instance_pre(), &exports).map_err(failed)?;
        let mut listing = None;
        let (code, declared, mut notes) = match &self.linked {
            Linked::Plugin(tools) => {
                let listed = self.list("list-tools", async |store| tools.list(store).await);
                let declared: Vec<Declared> =
                    listed.await?.into_iter().map(convert::declared).collect();
                if exported.is_empty() {
                    listing = Some(Listing::new(&imports, asks_for_secrets, &declared));
                }
                (Code::Tools(tools.clone()), declared, Vec::new())
            }
            Linked::Functions(pre) => {
                let found = typed::find(pre, config, self.documentation.as_ref());
                let found = found.map_err(failed)?;
                let code = Code::Functions(found.functions);
                (code, found.declared, found.left_out)
            }
        };
        // Their schemas are compiled, which no deadline interrupts.
        let something_else = !exported.is_empty();
        let (of_tools, file) = (config.clone(), manifest.to_owned());
        let selected =
            computed(move || select_tools(declared, something_else, &of_tools, &file)).await?;
        let (tools, undescribed) = selected;
        if let Some(listing) = listing {
            listings.keep(&self.granted.sha256, &config.limits, &listing);
        }
        notes.extend(undescribed);
        let mut listed = OptionalListings::default();
        if let Some(pre) = &exported.resources {
            let templates = self.list("list-templates", async |store| {
                let plugin = pre.instantiate_async(&mut *store).await?;
                let resources = plugin.toolhost_plugin_resources();
                resources.call_list_templates(store).await
            });
            listed.templates = self.templates(templates.await?)?;
        }
        if let Some(pre) = &exported.prompts {
            let prompts = self.list("list-prompts", async |store| {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin
                    .toolhost_plugin_prompts()
                    .call_list_prompts(store)
                    .await
            });
            listed.prompts = self.prompts(prompts.await?)?;
        }
        Ok(self.granted.into_plugin(Offer {
            tools,
            listed,
            imports,
            asks_for_secrets,
            notes,
            code,
            exported,
        }))
    }

    /// Runs one of its listings.
    async fn list<R>(
        &self,
        export: &str,
        run: impl AsyncFnOnce(&mut Store<Sandbox>) -> wasmtime::Result<R>,
    ) -> Result<R, Vec<Diagnostic>> {
        let limits = &self.granted.config.limits;
        let context = RunContext::alone();
        let grants = Grants::none(limits, &self.granted.config.permissions);
        let ended = call::in_sandbox(
            self.linked.instance_pre().engine(),
            &grants,
            Journal::new(
                limits.max_log,
                Arc::default(),
                None,
                &context,
                CallClock::default(),
            ),
            call::CallTime {
                deadline: limits.deadline(Instant::now()),
                timeout: limits.timeout,
                spent: Duration::ZERO,
            },
            &context.cancel,
            run,
        );
        ended.await.outcome.map_err(|error| {
            let message = format!("`{export}` failed: {error}");
            let mut lines = message.lines().map(str::to_owned);
            let first = lines.next().unwrap_or_default();
            vec![Diagnostic::new(&self.granted.config.path, None, first).lines(lines)]
        })
    }

    fn templates(
        &self,
        listed: Vec<wit_resources::Template>,
    ) -> Result<Vec<ResourceTemplate>, Vec<Diagnostic>> {
        self.check_count(listed.len(), "resource templates")?;
        let templates = listed.into_iter().map(|listed| {
            let template = resources_and_prompts::template(listed);
            template.check().map_err(|problem| {
                let name = template.name.chars().take(100).collect::<String>();
                let message = format!("offers a resource template named {name:?} that {problem}");
                vec![Diagnostic::new(&self.granted.config.path, None, message)]
            })?;
            Ok(template)
        });
        templates.collect()
    }

    fn prompts(
        &self,
        listed: Vec<wit_prompts::Prompt>,
    ) -> Result<Vec<PluginPrompt>, Vec<Diagnostic>> {
        self.check_count(listed.len(), "prompts")?;
        let mut prompts: Vec<PluginPrompt> = Vec::new();
        let mut problems = Vec::new();
        for prompt in listed {
            let name = format!("{}{}", self.granted.config.prefix, prompt.name);
            let problem = match &prompt.name {
                own if !is_tool_name(own) || !is_tool_name(&name) => {
                    let name = name.chars().take(100).collect::<String>();
                    format!("offers a prompt named {name:?}; names match [A-Za-z0-9_-]{{1,64}}")
                }
                _ if prompts.iter().any(|other| other.prompt.name == name) => {
                    format!("offers two prompts named `{name}`")
                }
                _ => {
                    prompts.push(resources_and_prompts::prompt(prompt, name));
                    continue;
                }
            };
            problems.push(Diagnostic::new(&self.granted.config.path, None, problem));
        }
        if problems.is_empty() {
            Ok(prompts)
        } else {
            Err(problems)
        }
    }

    fn check_count(&self, count: usize, what: &str) -> Result<(), Vec<Diagnostic>> {
        if count <= MAX_TOOLS {
            return Ok(());
        }
        let message = format!("offers {count} {what}, but a plugin may offer at most {MAX_TOOLS}");
        Err(vec![Diagnostic::new(
            &self.granted.config.path,
            None,
            message,
        )])
    }
}

impl Plugin {
    /// Why none of its calls can run, for instance for lack of a secret.
    pub(crate) fn lacks(&self) -> Option<CallError> {
        let problem = self.lacking.first()?;
        let message = problem.message.clone();
        Some(CallError::Failed { message })
    }

    /// The folders that it is granted.
    pub(crate) fn folders(&self) -> GrantedFolders {
        folders_of(&self.grants)
    }

    /// Makes an instance and calls an export of it.
    async fn run<R>(
        &self,
        engine: &wasmtime::Engine,
        context: CallContext<'_>,
        run: impl AsyncFnOnce(&mut Store<Sandbox>) -> wasmtime::Result<R>,
    ) -> InstanceEnd<R> {
        let time = call::CallTime {
            deadline: context.deadline(),
            timeout: context.limits.timeout,
            spent: context.spent,
        };
        let cancel = context.cancel;
        let narrowed = context.narrowed.and_then(|it| it.sandboxed.as_ref());
        let grants = narrowed.map_or(&self.grants, |narrowed| &narrowed.grants);
        let caller = context.caller.cloned();
        let run = async move |store: &mut Store<Sandbox>| {
            if let Some(caller) = caller {
                store.data_mut().set_caller(caller);
            }
            run(store).await
        };
        call::in_sandbox(engine, grants, context.journal, time, cancel, run).await
    }

    async fn call_function(
        &self,
        functions: &Functions,
        tool: &ProvidedTool,
        call: &ToolCall,
        context: CallContext<'_>,
    ) -> RunOutcome {
        let (limits, deadline) = (context.limits, context.deadline());
        let run = async |store: &mut Store<Sandbox>| {
            let bounds = CallBounds { limits, deadline };
            let (name, arguments) = (&tool.own_name, call.arguments_text());
            functions.call(store, name, arguments, bounds).await
        };
        // Its output is of its type, and so fits its schema.
        let ended = self.run(functions.engine(), context, run);
        ended.await.into_called(limits)
    }

    async fn serve(
        &self,
        tools: &Tools,
        tool: &ProvidedTool,
        request: wit::Call,
        context: CallContext<'_>,
    ) -> RunOutcome {
        let (limits, start, cancel) = (context.limits, context.start, context.cancel);
        let clock = context.journal.clock().clone();
        let run = async |store: &mut Store<Sandbox>| tools.call(store, &request).await;
        let ended = self.run(tools.pre().engine(), context, run).await;
        let served = ended.into_served(limits, convert::output);
        if tool.output.is_none() {
            return served;
        }
        let allowed = Allowed {
            limits,
            start: clock.deadline(start).unwrap_or(start),
            spent: served.cpu,
            cancel,
        };
        // Boxed to keep the future of ordinary calls small.
        Box::pin(validated(served, tool.output.as_ref(), allowed)).await
    }
}

impl ToolProvider for Plugin {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn title(&self) -> String {
        format!("plugin `{}`", self.config.name)
    }

    fn provenance(&self) -> Provider<'_> {
        Provider::Plugin(&self.config)
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        self.tools.clone()
    }

    fn ends_calls(&self) -> bool {
        true
    }

    fn limits(&self) -> &Limits {
        &self.config.limits
    }

    fn memory(&self) -> ByteSize {
        self.config.limits.memory
    }

    fn max_concurrency(&self) -> Option<usize> {
        self.config.max_concurrency
    }

    fn order(&self) -> Order {
        self.config.order
    }

    /// Whether a tool may change something: it is not marked read-only, and there is something it
    /// could write.
    fn may_change(&self, tool: &Tool) -> bool {
        let files = &self.config.permissions.files;
        tool.annotations.read_only != Some(true)
            && files.iter().any(|it| it.access == Access::ReadWrite)
    }

    fn is_isolated(&self) -> bool {
        self.config.permissions.is_nothing()
    }

    /// Whether it has nothing but its arguments, tools, a clock and randomness.
    fn is_repeatable(&self) -> bool {
        let granted = &self.config.permissions;
        granted.files.is_empty() && granted.http.is_empty() && granted.sockets.is_empty()
    }

    fn callable_tools(&self) -> CallableTools<'_> {
        CallableTools::Matching(&self.config.permissions.tools)
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.grants.secrets.values().collect()
    }

    fn sha256(&self) -> Option<&str> {
        Some(&self.sha256)
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), Vec<Diagnostic>>> {
        Box::pin(async {
            if !self.lacking.is_empty() {
                return Err(self.lacking.clone());
            }
            let loaded = self.code.load().await;
            loaded.map_err(|message| vec![Diagnostic::new(&self.config.path, None, message)])
        })
    }

    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        call: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        if let Code::Functions(functions) = &self.code {
            return Box::pin(self.call_function(functions, tool, call, context));
        }
        let request = wit::Call {
            name: tool.own_name.clone(),
            arguments: call.arguments_text().to_owned(),
            id: call.id.clone().unwrap_or_default(),
            resumed: call.resumed.as_deref().cloned().map(questions::resumption),
        };
        if let Some(tools) = self.code.tools() {
            return Box::pin(self.serve(tools, tool, request, context));
        }
        Box::pin(async move {
            match self.code.load_tools().await {
                Ok(tools) => self.serve(tools, tool, request, context).await,
                Err(message) => RunOutcome::refused(CallError::internal(message)),
            }
        })
    }
}

fn check_pin(config: &PluginConfig, found: &str, manifest: &Path) -> Result<(), Diagnostic> {
    let Some(pinned) = &config.sha256 else {
        return Ok(());
    };
    if found == pinned {
        return Ok(());
    }
    let message = format!(
        "`plugin.{}` is pinned to sha256 {pinned}, but {} has {found}",
        config.name,
        config.path.display()
    );
    Err(Diagnostic::new(manifest, config.at, message)
        .help("if the change is intended, pin the new digest"))
}

/// Counts the contents of folders with a quota.
async fn count_folders(
    config: &PluginConfig,
    grants: &Arc<Grants>,
    manifest: &Path,
) -> Result<(), Vec<Diagnostic>> {
    let folders = grants.folders.iter();
    let folders: Vec<_> = folders.filter(|it| !it.is_counted()).cloned().collect();
    if folders.is_empty() {
        return Ok(());
    }
    let counted = tokio::task::spawn_blocking(move || {
        let failed = folders.into_iter().filter_map(|folder| {
            let error = folder.count().err()?;
            Some((folder, error))
        });
        failed.collect::<Vec<_>>()
    });
    let failed = counted.await.expect("counting does not panic");
    let problems = failed.into_iter().map(|(folder, error)| {
        let (name, host) = (&config.name, folder.host().display());
        let message = format!("cannot measure the folder {host} of `plugin.{name}`: {error}");
        Diagnostic::new(manifest, config.at, message)
            .help("grant a smaller folder, or remove `max-disk` and `max-files`")
    });
    match problems.collect::<Vec<_>>() {
        problems if problems.is_empty() => Ok(()),
        problems => Err(problems),
    }
}

/// Resolves the grants of a manifest, except secrets and what uses them.
fn resolve(
    config: &PluginConfig,
    manifest: &Path,
    paths: &Arc<Paths>,
    problems: &mut Vec<Diagnostic>,
) -> Grants {
    let mut folders = Vec::new();
    for grant in &config.permissions.files {
        if let Some((message, help)) = grant.client_problem() {
            problems.push(Diagnostic::new(manifest, config.at, message).help(help));
        }
        // Those are opened for each client.
        if grant.is_per_client() {
            continue;
        }
        match Folder::open(grant, paths) {
            Ok(folder) => folders.push(Arc::new(folder)),
            Err(error) => {
                let (name, host) = (&config.name, grant.host.display());
                let message = format!("cannot open the folder {host} of `plugin.{name}`: {error}");
                problems.push(Diagnostic::new(manifest, config.at, message));
            }
        }
    }
    Grants {
        folders,
        paths: paths.clone(),
        limits: config.limits.clone(),
        permissions: config.permissions.clone(),
        narrowed_http: None,
        headers: Vec::new(),
        secrets: BTreeMap::new(),
        config: config.config.clone(),
        resources: Default::default(),
    }
}

/// Reads its secrets, and builds the headers that the host sends for it.
fn resolve_secrets(
    config: &PluginConfig,
    manifest: &Path,
    paths: &Paths,
    problems: &mut Vec<Diagnostic>,
) -> (BTreeMap<String, Secret>, Vec<(HttpHeader, HeaderValue)>) {
    let before = problems.len();
    let mut secrets = BTreeMap::new();
    for (name, source) in &config.permissions.secrets {
        match source.read(paths) {
            Ok(secret) => {
                secrets.insert(name.clone(), secret);
            }
            Err(error) => {
                let message = format!("secret `{name}` of `plugin.{}`{error}", config.name);
                problems.push(Diagnostic::new(manifest, config.at, message));
            }
        }
    }
    let mut headers = Vec::new();
    // Headers that lack a secret would only repeat the problem.
    if problems.len() == before {
        for header in &config.permissions.http_headers {
            match header.value(|name| secrets.get(name).map(Secret::reveal)) {
                Ok(value) => headers.push((header.clone(), value)),
                Err(error) => {
                    let message = format!("header {header} of `plugin.{}`: {error}", config.name);
                    problems.push(Diagnostic::new(manifest, config.at, message));
                }
            }
        }
    }
    (secrets, headers)
}

/// The documentation of a component's functions, if the manifest names a file of it.
fn documentation(
    config: &PluginConfig,
    linked: &Linked,
    manifest: &Path,
    paths: &Paths,
) -> Result<Option<Documentation>, Diagnostic> {
    let Some(file) = &config.wit else {
        return Ok(None);
    };
    if matches!(linked, Linked::Plugin(_)) {
        let message = format!(
            "`plugin.{}.wit` describes functions, but this component has the plugin interface and \
             describes its tools itself",
            config.name
        );
        return Err(Diagnostic::new(manifest, config.at, message));
    }
    let text = paths
        .open_regular(file)
        .and_then(|opened| bounded_read::text(&opened, MAX_WIT.as_u64()))
        .map_err(|error| format!("cannot be read: {error}"));
    text.and_then(|text| Documentation::parse(file, &text))
        .map(Some)
        .map_err(|message| Diagnostic::new(file, None, message))
}

/// The discovered tools as the manifest offers them, with notes on those without a description, or
/// everything that is wrong with them.
///
/// A plugin that offers `something_else` need not have tools.
fn select_tools(
    mut declared: Vec<Declared>,
    something_else: bool,
    config: &PluginConfig,
    manifest: &Path,
) -> Result<(Vec<ProvidedTool>, Vec<ToolNote>), Vec<Diagnostic>> {
    let problem = |message: String| Diagnostic::new(&config.path, None, message);
    let chosen = naming::chosen(config);
    let is_chosen = |it: &Declared| chosen.as_ref().is_none_or(|chosen| it.is_among(chosen));
    // Of functions, those that are not chosen are no tools.
    let count = declared
        .iter()
        .filter(|it| it.path.is_none() || is_chosen(it));
    let count = count.count();
    if count > MAX_TOOLS {
        let message = format!("offers {count} tools, but a plugin may offer at most {MAX_TOOLS}");
        return Err(vec![problem(message)]);
    }
    if declared.is_empty() && !something_else {
        return Err(vec![problem("offers no tools".to_owned())]);
    }
    let mut problems = naming::check(&declared, config, manifest);
    naming::describe(&mut declared, config, manifest, &mut problems);
    let mut tools: Vec<ProvidedTool> = Vec::new();
    let mut notes = Vec::new();
    let mut schemas = 0;
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for declared in declared {
        let is_chosen = is_chosen(&declared);
        if declared.refused.is_some() || declared.path.is_some() && !is_chosen {
            continue;
        }
        let own = declared.tool.name.clone();
        let renamed = config.rename.iter();
        let mut renamed = renamed.filter(|(old, _)| declared.is_called(old));
        let new = renamed.next().map_or(&own, |(_, (new, _))| new);
        let name = format!("{}{new}", config.prefix);
        if !is_tool_name(new) || !is_tool_name(&name) {
            let name = name.chars().take(100).collect::<String>();
            let message =
                format!("offers a tool named {name:?}; names match [A-Za-z0-9_-]{{1,64}}");
            problems.push(problem(message));
            continue;
        }
        let full = declared.full_name().to_owned();
        if let Some(other) = taken.insert(name.clone(), full.clone()) {
            let message = format!("offers two tools named `{name}`");
            problems.push(match other == full {
                true => problem(message),
                false => problem(format!("{message}: `{other}` and `{full}`")).help(format!(
                    "call one of them by another name: `rename.\"{full}\" = \"…\"` in `[plugin.{}]`",
                    config.name
                )),
            });
            continue;
        }
        if !is_chosen {
            continue;
        }
        if !declared.is_described {
            let why = format!(
                "has no description but its signature: set `describe.{own}`, or `wit` to the file of its interface"
            );
            notes.push(ToolNote::new(&name, why));
        }
        match declared.provided(name, config) {
            Ok(tool) => {
                schemas += tool.schema_bytes();
                tools.push(tool);
            }
            Err(message) => problems.push(problem(message)),
        }
        if schemas > MAX_SCHEMAS.as_u64() {
            let most = size(MAX_SCHEMAS);
            let message = format!("the schemas of its tools would take more than {most} of memory");
            return Err(vec![problem(message)]);
        }
    }
    match problems.is_empty() {
        true => Ok((tools, notes)),
        false => Err(problems),
    }
}
