//! A plugin: loaded once, called many times, each call in an instance of its own. An MCP server takes
//! its place where tools come from one.

mod backend;
mod call;
mod call_tool;
pub(crate) mod component;
mod convert;
mod offers;
mod payload;
mod questions;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::Store;

use crate::bindings::PluginPre;
use crate::bindings::prompts::exports::toolhost::plugin::prompts as wit_prompts;
use crate::bindings::resources::exports::toolhost::plugin::resources as wit_resources;
use crate::bindings::toolhost::plugin::types as wit;
use crate::digest::sha256;
use crate::engine::Engine;
use crate::error::{CallError, Diagnostic, similar};
use crate::limits::{Limit, Limits};
use crate::manifest::{McpConfig, PluginConfig};
use crate::permissions::Secret;
use crate::resource::ResourceTemplate;
use crate::sandbox::{Folder, Grants, Journal, Sandbox};
use crate::schema::Schema;
use crate::tool::{Tool, ToolCall};
use crate::watch::CallContext;
#[cfg(feature = "mcp")]
pub(crate) use backend::Server;
use backend::{Backend, Component};
#[cfg(feature = "mcp")]
pub(crate) use call::{End, Meter, output_limit, stopped, until};
pub(crate) use call::{Payload, Served};
use call_tool::CallTool;
#[cfg(feature = "mcp")]
pub(crate) use convert::{checked_output, is_tool_name};
pub(crate) use offers::PluginPrompt;
use offers::{Exported, Listed};

/// A plugin may offer no more tools: a model could not choose among them.
pub(crate) const MAX_TOOLS: usize = 1000;

pub(crate) struct Plugin {
    pub(crate) config: PluginConfig,
    pub(crate) tools: Vec<PluginTool>,
    /// Where the plugin has a cap of its own.
    pub(crate) permits: Option<Semaphore>,
    pub(crate) listed: Listed,
    backend: Backend,
}

/// A call's turn to run.
pub(crate) struct Turn<'t> {
    /// What its deadline counts from.
    pub(crate) start: Instant,
    pub(crate) cancel: &'t CancellationToken,
    pub(crate) journal: Journal,
}

pub(crate) struct PluginTool {
    /// As the model sees it.
    pub(crate) tool: Tool,
    /// As the plugin has it, without the manifest's prefix.
    pub(crate) own_name: String,
    schema: Schema,
    /// Of its structured output.
    pub(crate) output: Option<Schema>,
}

/// A plugin that is compiled and linked, and has not yet run.
pub(crate) struct Compiled {
    config: PluginConfig,
    sha256: String,
    pre: PluginPre<Sandbox>,
    grants: Arc<Grants>,
}

impl Compiled {
    /// Reads, checks and compiles a plugin: seconds of computing when it is not in the cache.
    pub(crate) fn new(
        config: PluginConfig,
        manifest: &Path,
        engine: &Engine,
    ) -> Result<Compiled, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let grants = resolve(&config, manifest, &mut problems);
        let compiled = component::read(&config.path, config.limits.max_component)
            .map_err(|message| match config.at {
                // Most often it is the path that is wrong, and that is written there.
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
                let pre = component::compile(&bytes, &engine.engine)
                    .and_then(|component| component::link(&component, engine))
                    .map_err(|message| Diagnostic::new(&config.path, None, message))?;
                Ok((sha256, pre))
            });
        match compiled {
            Ok((sha256, pre)) if problems.is_empty() => Ok(Compiled {
                config,
                sha256,
                pre,
                grants: Arc::new(grants),
            }),
            Ok(_) => Err(problems),
            Err(problem) => {
                problems.push(problem);
                Err(problems)
            }
        }
    }

    /// A component with default limits and no permissions, linked.
    pub(crate) fn ungranted(
        config: PluginConfig,
        sha256: String,
        pre: PluginPre<Sandbox>,
    ) -> Compiled {
        Compiled {
            grants: Grants::none(&config.limits, &config.permissions),
            config,
            sha256,
            pre,
        }
    }

    /// Asks the plugin for what it offers, with no permission at all and the limits of a call, and
    /// takes what the manifest offers of it.
    pub(crate) async fn ask(self, manifest: &Path) -> Result<Plugin, Vec<Diagnostic>> {
        let component = self.pre.instance_pre().component();
        let imports = component::imports(component);
        let usable = component::usable_permissions(component, &imports);
        let failed = |message| vec![Diagnostic::new(&self.config.path, None, message)];
        let exports = component::exports(component);
        let exported = Exported::new(self.pre.instance_pre(), &exports).map_err(failed)?;
        let call_tool = CallTool::new(&self.pre).map_err(failed)?;
        let tools = self.list("list-tools", async |store| {
            let plugin = self.pre.instantiate_async(&mut *store).await?;
            plugin.toolhost_plugin_tools().call_list_tools(store).await
        });
        let tools = offered(tools.await?, !exported.is_empty(), &self.config, manifest)?;
        let mut listed = Listed::default();
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
        let component = Component {
            sha256: self.sha256.into(),
            usable,
            imports,
            call_tool,
            exported,
            grants: self.grants,
        };
        Ok(Plugin {
            permits: self.config.max_concurrency.map(Semaphore::new),
            config: self.config,
            tools,
            listed,
            backend: Backend::Component(Box::new(component)),
        })
    }

    /// Runs one of its listings.
    async fn list<R>(
        &self,
        export: &str,
        run: impl AsyncFnOnce(&mut Store<Sandbox>) -> wasmtime::Result<R>,
    ) -> Result<R, Vec<Diagnostic>> {
        let limits = &self.config.limits;
        let never = CancellationToken::new();
        let context = CallContext::alone(&never);
        let grants = Grants::none(limits, &self.config.permissions);
        let ended = call::in_sandbox(
            self.pre.engine(),
            &grants,
            Journal::new(limits.max_log, Arc::default(), None, &context),
            limits.deadline(Instant::now()),
            &never,
            run,
        );
        ended.await.outcome.map_err(|error| {
            let message = format!("`{export}` failed: {error}");
            vec![Diagnostic::new(&self.config.path, None, message)]
        })
    }

    fn templates(
        &self,
        listed: Vec<wit_resources::Template>,
    ) -> Result<Vec<ResourceTemplate>, Vec<Diagnostic>> {
        self.check_count(listed.len(), "resource templates")?;
        let templates = listed.into_iter().map(|listed| {
            let template = offers::template(listed);
            template.check().map_err(|problem| {
                let name = template.name.chars().take(100).collect::<String>();
                let message = format!("offers a resource template named {name:?} that {problem}");
                vec![Diagnostic::new(&self.config.path, None, message)]
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
            let name = format!("{}{}", self.config.prefix, prompt.name);
            let problem = match &prompt.name {
                own if !convert::is_tool_name(own) || !convert::is_tool_name(&name) => {
                    let name = name.chars().take(100).collect::<String>();
                    format!("offers a prompt named {name:?}; names match [A-Za-z0-9_-]{{1,64}}")
                }
                _ if prompts.iter().any(|other| other.prompt.name == name) => {
                    format!("offers two prompts named `{name}`")
                }
                _ => {
                    prompts.push(offers::prompt(prompt, name));
                    continue;
                }
            };
            problems.push(Diagnostic::new(&self.config.path, None, problem));
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
        let message = format!("offers {count} {what}, and a plugin may offer {MAX_TOOLS}");
        Err(vec![Diagnostic::new(&self.config.path, None, message)])
    }
}

impl PluginTool {
    /// `tool` as the model sees it, but for its schemas, which are yet to be read.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them.
    pub(crate) fn new(
        own_name: String,
        mut tool: Tool,
        input_schema: &str,
        output_schema: Option<&str>,
    ) -> Result<PluginTool, String> {
        let name = &tool.name;
        let (value, schema) = Schema::parse(input_schema)
            .map_err(|message| format!("the input schema of `{name}` {message}"))?;
        let output = output_schema.map(Schema::parse).transpose();
        let output =
            output.map_err(|message| format!("the output schema of `{name}` {message}"))?;
        let (output_schema, output) = output.unzip();
        tool.input_schema = value;
        tool.output_schema = output_schema;
        Ok(PluginTool {
            tool,
            own_name,
            schema,
            output,
        })
    }

    /// The arguments as the plugin gets them, if they are what the tool asks for.
    pub(crate) fn arguments<'a>(
        &self,
        call: &'a ToolCall,
        limits: &Limits,
    ) -> Result<Cow<'a, str>, CallError> {
        let arguments = call.json_arguments(&self.tool.input_schema)?;
        if arguments.len() as u64 > limits.max_input.as_u64() {
            return Err(CallError::over(Limit::Input, limits.max_input));
        }
        self.schema.check(&arguments)?;
        Ok(arguments)
    }
}

impl Plugin {
    /// The tools of an MCP server.
    #[cfg(feature = "mcp")]
    pub(crate) fn of_server(
        config: PluginConfig,
        server: Box<dyn Server>,
        mut tools: Vec<PluginTool>,
    ) -> Self {
        name_callers(&mut tools, &config);
        Plugin {
            permits: config.max_concurrency.map(Semaphore::new),
            config,
            tools,
            listed: Listed::default(),
            backend: Backend::Server(server),
        }
    }

    /// What it is, where it is no MCP server.
    pub(crate) fn component(&self) -> Option<&Component> {
        match &self.backend {
            Backend::Component(component) => Some(component),
            Backend::Server(_) => None,
        }
    }

    /// What it is, where it is one.
    pub(crate) fn server(&self) -> Option<&McpConfig> {
        match &self.backend {
            Backend::Component(_) => None,
            Backend::Server(server) => Some(server.config()),
        }
    }

    /// The SHA-256 digest of its file.
    pub(crate) fn sha256(&self) -> Option<&str> {
        Some(&self.component()?.sha256)
    }

    /// As messages name it.
    pub(crate) fn title(&self) -> String {
        let kind = match self.server() {
            Some(_) => "MCP server",
            None => "plugin",
        };
        format!("{kind} `{}`", self.config.name)
    }

    /// Drops a cap of its own that the host's makes needless.
    pub(crate) fn bound_by(&mut self, max_concurrency: usize) {
        if self.config.max_concurrency >= Some(max_concurrency) {
            self.permits = None;
        }
    }

    /// The secrets of its manifest.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        match &self.backend {
            Backend::Component(component) => component.grants.secrets.values().collect::<Vec<_>>(),
            Backend::Server(server) => server.secrets(),
        }
        .into_iter()
    }

    /// Serves one call.
    pub(crate) async fn call(&self, tool: &PluginTool, call: &ToolCall, turn: Turn<'_>) -> Served {
        let limits = &self.config.limits;
        let arguments = match tool.arguments(call, limits) {
            Ok(arguments) => arguments.into_owned(),
            Err(error) => return Served::refused(error),
        };
        match &self.backend {
            Backend::Component(component) => {
                let request = wit::Call {
                    name: tool.own_name.clone(),
                    arguments,
                    id: call.id.clone().unwrap_or_default(),
                    resumed: call.resumed.as_deref().cloned().map(questions::resumption),
                };
                component.call(request, tool, limits, turn).await
            }
            Backend::Server(server) => server.call(tool, arguments, turn).await,
        }
    }
}

/// Has tools say who may call them, as the manifest has it.
fn name_callers(tools: &mut [PluginTool], config: &PluginConfig) {
    for tool in tools {
        let callers = config.allowed_callers.of(&tool.own_name);
        tool.tool.allowed_callers = callers.to_vec();
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
        "`plugin.{}` is pinned to sha256 {pinned}, and {} has {found}",
        config.name,
        config.path.display()
    );
    Err(Diagnostic::new(manifest, config.at, message)
        .help("if the plugin was meant to change, pin the new digest"))
}

/// What a manifest grants, with the values of secrets.
fn resolve(config: &PluginConfig, manifest: &Path, problems: &mut Vec<Diagnostic>) -> Grants {
    let before = problems.len();
    let secrets = resolve_secrets(config, manifest, problems);
    let mut headers = Vec::new();
    // Those that lack a secret would only be told of twice.
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
    let mut folders = Vec::new();
    for grant in &config.permissions.files {
        match Folder::open(grant) {
            Ok(folder) => folders.push(folder),
            Err(error) => {
                let (name, host) = (&config.name, grant.host.display());
                let message =
                    format!("the folder {host} of `plugin.{name}` cannot be opened: {error}");
                problems.push(Diagnostic::new(manifest, config.at, message));
            }
        }
    }
    Grants {
        folders,
        limits: config.limits.clone(),
        permissions: config.permissions.clone(),
        headers,
        secrets,
        config: config.config.clone(),
    }
}

fn resolve_secrets(
    config: &PluginConfig,
    manifest: &Path,
    problems: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Secret> {
    let mut secrets = BTreeMap::new();
    for (name, source) in &config.permissions.secrets {
        match source.read() {
            Ok(secret) => {
                secrets.insert(name.clone(), secret);
            }
            Err(error) => {
                let message = format!("secret `{name}` of `plugin.{}`{error}", config.name);
                problems.push(Diagnostic::new(manifest, config.at, message));
            }
        }
    }
    secrets
}

/// The listed tools as the manifest offers them, or everything that is wrong with them.
///
/// A plugin that offers `something_else` need not have any.
fn offered(
    listed: Vec<wit::Tool>,
    something_else: bool,
    config: &PluginConfig,
    manifest: &Path,
) -> Result<Vec<PluginTool>, Vec<Diagnostic>> {
    let problem = |message: String| Diagnostic::new(&config.path, None, message);
    if listed.len() > MAX_TOOLS {
        let count = listed.len();
        let message = format!("offers {count} tools, and a plugin may offer {MAX_TOOLS}");
        return Err(vec![problem(message)]);
    }
    if listed.is_empty() && !something_else {
        return Err(vec![problem("offers no tools".to_owned())]);
    }
    let mut problems = Vec::new();
    let mut tools: Vec<PluginTool> = Vec::new();
    let names: Vec<String> = listed.iter().map(|tool| tool.name.clone()).collect();
    for (index, tool) in listed.into_iter().enumerate() {
        let name = format!("{}{}", config.prefix, tool.name);
        if !convert::is_tool_name(&tool.name) || !convert::is_tool_name(&name) {
            let name = name.chars().take(100).collect::<String>();
            let message =
                format!("offers a tool named {name:?}; names match [A-Za-z0-9_-]{{1,64}}");
            problems.push(problem(message));
            continue;
        }
        if names[..index].contains(&tool.name) {
            problems.push(problem(format!("offers two tools named `{name}`")));
            continue;
        }
        if let Some(wanted) = &config.tools
            && !wanted.iter().any(|(wanted, _)| *wanted == tool.name)
        {
            continue;
        }
        match convert::tool(tool, name, &config.name) {
            Ok(tool) => tools.push(tool),
            Err(message) => problems.push(problem(message)),
        }
    }
    name_callers(&mut tools, config);
    let wanted = config.tools.iter().flatten();
    let wanted = wanted.map(|(wanted, at)| (&**wanted, *at));
    for (wanted, at) in wanted.chain(config.allowed_callers.named()) {
        if !names.iter().any(|name| name == wanted) {
            let message = format!("`plugin.{}` offers no tool named `{wanted}`", config.name);
            let near = similar(wanted, names.iter().map(String::as_str));
            let help = match near.first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it offers: {}", names.join(", ")),
            };
            problems.push(Diagnostic::new(manifest, Some(at), message).help(help));
        }
    }
    if problems.is_empty() {
        Ok(tools)
    } else {
        Err(problems)
    }
}
