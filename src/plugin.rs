//! A plugin: loaded once, called many times, each call in an instance of its own.

mod call;
pub(crate) mod component;
mod convert;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::bindings::PluginPre;
use crate::bindings::toolhost::plugin::types as wit;
use crate::digest::sha256;
use crate::engine::Engine;
use crate::error::{CallError, Diagnostic, similar};
use crate::limits::{Limit, Limits};
use crate::manifest::PluginConfig;
use crate::permissions::Secret;
use crate::sandbox::{Folder, Grants, Journal, Sandbox};
use crate::schema::Schema;
use crate::tool::{Tool, ToolCall};
pub(crate) use call::Served;

/// A plugin may offer no more tools: a model could not choose among them.
const MAX_TOOLS: usize = 1000;

pub(crate) struct Plugin {
    pub(crate) config: PluginConfig,
    pub(crate) tools: Vec<PluginTool>,
    /// Where the plugin has a cap of its own.
    pub(crate) permits: Option<Semaphore>,
    /// The SHA-256 digest of its file, in hexadecimal.
    pub(crate) sha256: Arc<str>,
    /// What it imports, such as `wasi:cli/environment@0.2.6`.
    pub(crate) imports: Vec<String>,
    /// The permissions that it can make use of, as the manifest has them.
    pub(crate) usable: Vec<&'static str>,
    pre: PluginPre<Sandbox>,
    grants: Arc<Grants>,
}

pub(crate) struct PluginTool {
    /// As the model sees it.
    pub(crate) tool: Tool,
    /// As the plugin has it, without the manifest's prefix.
    own_name: String,
    schema: Schema,
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

    /// Asks the plugin for its tools, with no permission at all and the limits of a call, and
    /// takes those that the manifest offers.
    pub(crate) async fn list_tools(self, manifest: &Path) -> Result<Plugin, Vec<Diagnostic>> {
        let limits = &self.config.limits;
        let ended = call::in_instance(
            &self.pre,
            &Grants::none(limits, &self.config.permissions),
            Journal::new(limits.max_log, Arc::default(), None),
            limits.deadline(Instant::now()),
            &CancellationToken::new(),
            async |store, plugin| plugin.toolhost_plugin_tools().call_list_tools(store).await,
        )
        .await;
        let listed = ended.outcome.map_err(|error| {
            let message = format!("`list-tools` failed: {error}");
            vec![Diagnostic::new(&self.config.path, None, message)]
        })?;
        let tools = offered(listed, &self.config, manifest)?;
        let component = self.pre.instance_pre().component();
        let imports = component::imports(component);
        Ok(Plugin {
            sha256: self.sha256.into(),
            usable: component::usable_permissions(component, &imports),
            imports,
            permits: self.config.max_concurrency.map(Semaphore::new),
            config: self.config,
            tools,
            pre: self.pre,
            grants: self.grants,
        })
    }
}

impl PluginTool {
    /// The arguments as the plugin gets them, if they are what the tool asks for.
    pub(crate) fn arguments<'a>(
        &self,
        call: &'a ToolCall,
        limits: &Limits,
    ) -> Result<&'a str, CallError> {
        let arguments = match call.arguments.trim_ascii() {
            "" => "{}",
            arguments => arguments,
        };
        if arguments.len() as u64 > limits.max_input.as_u64() {
            return Err(CallError::over(Limit::Input, limits.max_input));
        }
        self.schema.check(arguments)?;
        Ok(arguments)
    }
}

impl Plugin {
    /// Drops a cap of its own that the host's makes needless.
    pub(crate) fn bound_by(&mut self, max_concurrency: usize) {
        if self.config.max_concurrency >= Some(max_concurrency) {
            self.permits = None;
        }
    }

    /// The secrets of its manifest.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.grants.secrets.values()
    }

    /// Serves one call; its deadline counts from `start`.
    pub(crate) async fn call(
        &self,
        tool: &PluginTool,
        call: ToolCall,
        start: Instant,
        cancel: &CancellationToken,
        journal: Journal,
    ) -> Served {
        let limits = &self.config.limits;
        let arguments = match tool.arguments(&call, limits) {
            Ok(arguments) => arguments.to_owned(),
            Err(error) => return Served::refused(error),
        };
        let request = wit::Call {
            name: tool.own_name.clone(),
            arguments,
            id: call.id.unwrap_or_default(),
        };
        call::in_instance(
            &self.pre,
            &self.grants,
            journal,
            limits.deadline(start),
            cancel,
            async |store, plugin| {
                let tools = plugin.toolhost_plugin_tools();
                tools.call_call_tool(store, &request).await
            },
        )
        .await
        .into_served(limits)
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
fn offered(
    listed: Vec<wit::Tool>,
    config: &PluginConfig,
    manifest: &Path,
) -> Result<Vec<PluginTool>, Vec<Diagnostic>> {
    let problem = |message: String| Diagnostic::new(&config.path, None, message);
    if listed.len() > MAX_TOOLS {
        let count = listed.len();
        let message = format!("offers {count} tools, and a plugin may offer {MAX_TOOLS}");
        return Err(vec![problem(message)]);
    }
    if listed.is_empty() {
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
    for (wanted, at) in config.tools.iter().flatten() {
        if !names.contains(wanted) {
            let message = format!("`plugin.{}` offers no tool named `{wanted}`", config.name);
            let near = similar(wanted, names.iter().map(String::as_str));
            let help = match near.first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it offers: {}", names.join(", ")),
            };
            problems.push(Diagnostic::new(manifest, Some(*at), message).help(help));
        }
    }
    if problems.is_empty() {
        Ok(tools)
    } else {
        Err(problems)
    }
}
