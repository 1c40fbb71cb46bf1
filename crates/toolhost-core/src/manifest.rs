//! `toolhost.toml`: the plugins, what each is granted, and the limits.
//!
//! [`Manifest::read`] turns the file into values that need no further checking, or reports
//! everything that is wrong with it at once. `docs/manifest.md` describes every key.

mod agent;
mod allowed_callers;
mod audit;
mod demands;
mod grants;
mod limits;
mod mcp;
mod named_tools;
mod reader;
mod reload_guard;
mod serve;
mod static_content;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use toml::de::DeTable;

use crate::bounded_read;
use crate::builtin;
use crate::error::{Diagnostic, LoadError, Location};
use crate::limits::Limits;
use crate::paths::{FolderHolder, HostFile, Paths, Purpose, SharedPaths, ToGrant};
use crate::permissions::{Access, Permissions, SecretSource};
use crate::summarize::Summarize;
use crate::tool::is_tool_name;
use crate::trust_folder;
pub use agent::AgentConfig;
use agent::read_agent;
#[doc(hidden)]
pub use agent::{is_in_the_clear, is_loopback};
pub use allowed_callers::AllowedCallers;
use allowed_callers::read_allowed_callers;
use audit::read_audit;
pub use audit::{AuditConfig, OnAuditError};
#[doc(hidden)]
pub use demands::{Demand, Use};
use grants::read_permissions;
use limits::{read_duration, read_limits, read_size};
#[doc(hidden)]
pub use mcp::lock_file;
use mcp::read_servers;
pub use mcp::{McpCommand, McpConfig, McpEndpoint, McpProtocol, McpTransport};
#[doc(hidden)]
pub(crate) use named_tools::unknown_tool;
pub use named_tools::unknown_tools;
use reader::{ManifestSource, ManifestTable, expect_string, expect_table, path_in, to_json};
#[doc(hidden)]
pub use reload_guard::lowers_guard;
use serve::read_serve;
pub use serve::{
    AuthConfig, Authority, Exposed, OauthConfig, Origin, ServeConfig, TlsConfig, TokenConfig,
    TokenDigest,
};
pub use static_content::{StaticBody, StaticPrompt, StaticResource};
use static_content::{read_prompts, read_resources};
use toolhost_wire::setters;

/// The file name of a manifest by default.
pub const FILE_NAME: &str = "toolhost.toml";

/// The upper bound of `total-memory`: a pebibyte, so that sums do not overflow.
const MOST_MEMORY: ByteSize = ByteSize::pib(1);

/// The longest manifest, in bytes.
#[doc(hidden)]
pub const MAX_MANIFEST: u64 = 1 << 20;

/// The upper bound of `max-concurrency`.
#[doc(hidden)]
pub const MAX_CONCURRENCY: usize = 10_000;

/// A checked manifest: everything that a host is made of.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Manifest {
    /// The file it was read from, for messages; its relative paths are relative to that file's
    /// folder.
    pub file: PathBuf,
    /// Settings of the host and of all plugins.
    pub host: HostConfig,
    /// The audit log.
    pub audit: Option<AuditConfig>,
    /// How the agent loop asks a model.
    pub agent: AgentConfig,
    /// How the server is reached, and by which clients.
    pub serve: ServeConfig,
    /// A folder whose components are loaded as plugins.
    pub plugin_dir: Option<PathBuf>,
    /// The plugins by name: those listed and those found in `plugin-dir`.
    pub plugins: Vec<PluginConfig>,
    /// Other MCP servers by name, whose tools are offered too.
    pub mcp: Vec<McpConfig>,
    /// Resources written in the manifest.
    pub resources: Vec<StaticResource>,
    /// Prompts written in the manifest.
    pub prompts: Vec<StaticPrompt>,
    /// The keys that the file sets, such as `serve.tls`.
    keys: BTreeSet<String>,
    /// Opens its files.
    paths: SharedPaths,
}

setters!(Manifest {
    with_host: host: HostConfig,
    with_agent: agent: AgentConfig,
    with_serve: serve: ServeConfig,
} into {
    with_audit: audit: Option<AuditConfig>,
    with_plugin_dir: plugin_dir: Option<PathBuf>,
    with_plugins: plugins: Vec<PluginConfig>,
    with_mcp: mcp: Vec<McpConfig>,
    with_resources: resources: Vec<StaticResource>,
    with_prompts: prompts: Vec<StaticPrompt>,
});

/// `[host]`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostConfig {
    /// Calls that run at once; further ones wait.
    pub max_concurrency: usize,
    /// Calls that may wait; further ones are refused.
    pub max_queue: Option<usize>,
    /// How many of them may be of one client. [`Manifest::queue_of_one`] has the default.
    pub max_queue_per_client: Option<usize>,
    /// How long a call may wait for its permits.
    pub queue_timeout: Option<Duration>,
    /// How long a call may wait for others that may change the same data.
    pub order_timeout: Duration,
    /// Calls at each depth that may wait for calls which they made, and hold their memory but no
    /// turn meanwhile; as many as `max_concurrency` when `None`.
    pub max_suspended: Option<usize>,
    /// The memory of all running calls: each counts with its `memory` limit, and waits until it
    /// fits.
    pub total_memory: Option<ByteSize>,
    /// The limits of each call, unless its plugin sets others.
    pub limits: Limits,
    /// Whether unambiguous mistakes in arguments are repaired (default: true).
    pub repair_arguments: bool,
    /// Whether results are compacted for the model.
    pub summarize: bool,
    /// The bounds of that.
    pub summary: Summarize,
}

setters!(HostConfig {
    with_max_concurrency: max_concurrency: usize,
    with_order_timeout: order_timeout: Duration,
    with_limits: limits: Limits,
    with_repair_arguments: repair_arguments: bool,
    with_summarize: summarize: bool,
    with_summary: summary: Summarize,
} into {
    with_max_queue: max_queue: Option<usize>,
    with_max_queue_per_client: max_queue_per_client: Option<usize>,
    with_queue_timeout: queue_timeout: Option<Duration>,
    with_max_suspended: max_suspended: Option<usize>,
    with_total_memory: total_memory: Option<ByteSize>,
});

impl Default for HostConfig {
    fn default() -> Self {
        HostConfig {
            max_concurrency: 16,
            max_queue: None,
            max_queue_per_client: None,
            queue_timeout: None,
            order_timeout: Duration::from_secs(60),
            max_suspended: None,
            total_memory: None,
            limits: Limits::default(),
            repair_arguments: true,
            summarize: false,
            summary: Summarize::default(),
        }
    }
}

impl HostConfig {
    /// [`max_suspended`](HostConfig::max_suspended) with its default.
    pub fn suspended(&self) -> usize {
        self.max_suspended.unwrap_or(self.max_concurrency)
    }
}

/// Which calls run in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Calls that may change something run alone, after all calls before them and before all calls
    /// after them: for a plugin with a read-write folder, the calls of tools not marked read-only;
    /// for an MCP server, those of tools it marks as changing or destructive.
    #[default]
    Auto,
    /// None of them.
    Parallel,
    /// All of them run alone and in order.
    InOrder,
}

/// `[plugin.NAME]`
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PluginConfig {
    /// Its name in the manifest, or the name of its file.
    pub name: String,
    /// The component's file, or `builtin:NAME` for a plugin inside the program.
    pub path: PathBuf,
    /// Its location in the manifest.
    pub at: Option<Location>,
    /// The SHA-256 digest that the file must have, in lower-case hexadecimal.
    pub sha256: Option<String>,
    /// The limits of each of its calls.
    pub limits: Limits,
    /// Calls of this plugin that run at once, within the host's own limit.
    pub max_concurrency: Option<usize>,
    /// Whether its calls run in order.
    pub order: Order,
    /// A prefix for the names of its tools.
    pub prefix: String,
    /// The tools to offer, by the plugin's own names; all when `None`.
    pub tools: Option<Vec<(String, Location)>>,
    /// New names for its tools, by the plugin's own names.
    pub rename: BTreeMap<String, (String, Location)>,
    /// Descriptions of its tools by the plugin's own names, and as `TOOL.ARGUMENT` of arguments.
    pub describe: BTreeMap<String, (String, Location)>,
    /// A `.wit` file whose comments describe the functions of a component without the plugin
    /// interface.
    pub wit: Option<PathBuf>,
    /// Who may call its tools, for APIs that distinguish callers.
    pub allowed_callers: AllowedCallers,
    /// What it is granted.
    pub permissions: Permissions,
    /// Its configuration; values that are not strings are JSON.
    pub config: BTreeMap<String, String>,
}

setters!(PluginConfig {
    with_limits: limits: Limits,
    with_order: order: Order,
    with_allowed_callers: allowed_callers: AllowedCallers,
    with_permissions: permissions: Permissions,
} into {
    with_sha256: sha256: Option<String>,
    with_max_concurrency: max_concurrency: Option<usize>,
    with_prefix: prefix: String,
    with_tools: tools: Option<Vec<(String, Location)>>,
    with_rename: rename: BTreeMap<String, (String, Location)>,
    with_describe: describe: BTreeMap<String, (String, Location)>,
    with_wit: wit: Option<PathBuf>,
    with_config: config: BTreeMap<String, String>,
});

impl PluginConfig {
    /// A plugin with default limits and no permissions.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use std::time::Duration;
    ///
    /// use toolhost::Manifest;
    /// use toolhost::limits::Limits;
    /// use toolhost::manifest::PluginConfig;
    /// use toolhost::permissions::{FileGrant, Permissions};
    ///
    /// let notes = FileGrant::new("/srv/notes", "/notes");
    /// let plugin = PluginConfig::new("notes", "/srv/notes.wasm")
    ///     .with_limits(Limits::default().with_timeout(Duration::from_secs(5)))
    ///     .with_permissions(Permissions::default().with_files(vec![notes]));
    /// let manifest = Manifest::default().with_plugins(vec![plugin]);
    /// assert_eq!(manifest.plugins[0].name, "notes");
    /// ```
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        PluginConfig {
            name: name.into(),
            path: path.into(),
            ..PluginConfig::default()
        }
    }

    /// The component's file, unless the plugin is inside the program.
    #[doc(hidden)]
    pub fn file(&self) -> Option<&Path> {
        builtin::name_of(&self.path)
            .is_none()
            .then_some(&*self.path)
    }
}

impl Manifest {
    /// Reads and checks a manifest, including its `plugin-dir`.
    ///
    /// # Errors
    ///
    /// [`LoadError::Read`] if there is no such file, else [`LoadError::Invalid`] with everything
    /// that is wrong.
    pub fn read(file: impl AsRef<Path>) -> Result<Manifest, LoadError> {
        let file = file.as_ref();
        let failed = |source| LoadError::Read {
            path: file.to_owned(),
            source,
        };
        let opened = bounded_read::open(file).map_err(failed)?;
        let text = bounded_read::text(&opened, MAX_MANIFEST).map_err(failed)?;
        let (manifest, mut problems) = Manifest::parsed(&text, file);
        if !problems.is_empty() {
            problems.extend(manifest.missing_plugins());
            return Err(invalid(problems));
        }
        // The file was opened by name. Only once parsed does it say which folders a guest may
        // write, and whether one could have put a link there.
        manifest.paths.check(file, &opened).map_err(failed)?;
        Ok(manifest)
    }

    /// As [`read`](Manifest::read), for text at hand; `file` is what relative paths and messages
    /// refer to.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use toolhost::Manifest;
    ///
    /// let manifest = Manifest::parse(r#"
    ///     [host]
    ///     max-concurrency = 4
    ///
    ///     [plugin.notes]
    ///     path = "notes.wasm"
    ///     timeout = "5s"
    ///     permissions.http = ["https://notes.example.com"]
    /// "#, "/srv/toolhost.toml")?;
    /// assert_eq!(manifest.host.max_concurrency, 4);
    /// assert_eq!(manifest.plugins[0].path, std::path::Path::new("/srv/notes.wasm"));
    ///
    /// let error = Manifest::parse("[host]\nmax-concurency = 4", "toolhost.toml").unwrap_err();
    /// assert!(error.to_string().starts_with("toolhost.toml:2:1: "), "{error}");
    /// # Ok::<(), toolhost::LoadError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`LoadError::Invalid`] with everything that is wrong.
    pub fn parse(text: &str, file: impl AsRef<Path>) -> Result<Manifest, LoadError> {
        match Manifest::parsed(text, file.as_ref()) {
            (manifest, problems) if problems.is_empty() => Ok(manifest),
            (_, problems) => Err(invalid(problems)),
        }
    }

    /// The manifest as far as it can be read, and everything that is wrong with it.
    fn parsed(text: &str, file: &Path) -> (Manifest, Vec<Diagnostic>) {
        let mut source = ManifestSource::new(file, text);
        let (document, syntax_errors) = DeTable::parse_recoverable(text);
        for error in &syntax_errors {
            let span = error.span().unwrap_or(0..0);
            source.problem(span, error.message());
        }
        let mut manifest = Manifest::default();
        // What the parser recovered may lack keys, so further messages would mislead.
        if syntax_errors.is_empty() {
            manifest = read_manifest(document.get_ref(), &mut source);
        }
        (manifest, source.problems)
    }

    /// The listed plugins whose files do not exist; loading would report them if it got that far.
    fn missing_plugins(&self) -> Vec<Diagnostic> {
        let listed = self.plugins.iter();
        let listed = listed
            .filter(|it| it.at.is_some() && it.file().is_some_and(|it| !it.as_os_str().is_empty()));
        let missing = listed.filter_map(|plugin| {
            let error = std::fs::metadata(&plugin.path).err()?;
            let path = plugin.path.display();
            let message = format!("`plugin.{}`: cannot read {path}: {error}", plugin.name);
            Some(Diagnostic::new(&self.file, plugin.at, message))
        });
        missing.collect()
    }

    /// The files that decide what runs and what it is granted: the manifest, the plugins, the files
    /// of secrets, and the audit log.
    #[doc(hidden)]
    pub fn own_files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.file.clone()];
        files.extend(self.audit.iter().map(|audit| audit.path.clone()));
        if let Some(SecretSource::File(path)) = &self.agent.key {
            files.push(path.clone());
        }
        if let Some(tls) = &self.serve.tls {
            files.extend([tls.certificate.clone(), tls.key.clone()]);
        }
        for plugin in &self.plugins {
            files.extend(plugin.file().map(Path::to_owned));
            let secrets = plugin.permissions.secrets.values();
            files.extend(secrets.filter_map(|secret| match secret {
                SecretSource::File(path) => Some(path.clone()),
                SecretSource::Env(_) => None,
            }));
            files.extend(plugin.wit.clone());
        }
        for secret in self.mcp.iter().flat_map(McpConfig::secret_sources) {
            if let SecretSource::File(path) = secret {
                files.push(path.clone());
            }
        }
        files
    }

    /// The files and folders that plugins must not touch, wherever they may write: see
    /// [`HostFile`]. Includes the user's [trust store](crate::trust_folder).
    #[doc(hidden)]
    pub fn host_files(&self) -> Vec<HostFile> {
        let mut files = Vec::new();
        let mut add = |path: &Path, purpose| files.push(HostFile::new(path, purpose));
        if !self.file.as_os_str().is_empty() {
            add(&self.file, Purpose::Manifest);
            add(&lock_file(&self.file), Purpose::LockFile);
            // The temporary files that replace them.
            add(&beside(&self.file), Purpose::Manifest);
            add(&beside(&lock_file(&self.file)), Purpose::LockFile);
        }
        if let Some(audit) = &self.audit {
            add(&audit.path, Purpose::AuditLog);
        }
        if let Some(tls) = &self.serve.tls {
            add(&tls.certificate, Purpose::Certificate);
            add(&tls.key, Purpose::Key);
        }
        if let Some(dir) = &self.plugin_dir {
            add(dir, Purpose::PluginDir);
        }
        let secrets = self.plugins.iter().flat_map(|plugin| {
            let secrets = &plugin.permissions.secrets;
            secrets.values()
        });
        let secrets = secrets.chain(self.mcp.iter().flat_map(McpConfig::secret_sources));
        for secret in secrets.chain(&self.agent.key) {
            if let SecretSource::File(path) = secret {
                add(path, Purpose::Secret);
            }
        }
        for plugin in &self.plugins {
            if let Some(file) = plugin.file() {
                add(file, Purpose::Plugin);
            }
            if let Some(wit) = &plugin.wit {
                add(wit, Purpose::Documentation);
            }
            for grant in &plugin.permissions.files {
                add(&grant.root(), Purpose::Folder);
            }
        }
        for resource in &self.resources {
            match &resource.body {
                StaticBody::File(path) if !resource.is_writable => add(path, Purpose::Resource),
                StaticBody::File(_) | StaticBody::Text(_) => {}
            }
        }
        files.extend(self.mcp.iter().flat_map(McpConfig::host_files));
        let trust = trust_folder::of_user();
        files.extend(trust.map(|it| HostFile::new(it, Purpose::Trust)));
        files
    }

    /// Checks whether a file may be opened by its name.
    ///
    /// # Errors
    ///
    /// A plugin may have put a link on the path to it.
    #[doc(hidden)]
    pub fn check_way(&self, file: &HostFile) -> std::io::Result<()> {
        self.paths.check_way(file)
    }

    /// How its files are opened while its plugins are granted these folders; `before` is that of
    /// the host it replaces.
    pub(crate) fn ways(&self, before: Option<&Paths>) -> Paths {
        let grants = self.plugins.iter().flat_map(|it| &it.permissions.files);
        let granted = grants.map(|grant| match grant.client_folders() {
            // Folders of clients may be created by anyone, so none may be a link.
            Some(folders) => ToGrant {
                path: folders.base.into(),
                is_writable: true,
                holder: FolderHolder::Nobody,
            },
            None => ToGrant {
                path: (&*grant.host).into(),
                is_writable: grant.access == Access::ReadWrite,
                holder: FolderHolder::Everyone,
            },
        });
        Paths::new(granted, before)
    }

    /// The maximum number of waiting calls of one named client, if waiting calls are bounded. By
    /// default half of them, if there can be several clients. Clients get their names from
    /// `[serve.auth]` and [`CallOptions::client`](crate::CallOptions::client).
    pub fn queue_of_one(&self) -> Option<usize> {
        let most = self.host.max_queue?;
        let auth = &self.serve.auth;
        let of_one = self.host.max_queue_per_client.unwrap_or_else(|| {
            match auth.is_required() && auth.is_of_one() {
                true => most,
                false => most.div_ceil(2),
            }
        });
        Some(of_one.min(most))
    }

    /// Gives every call this timeout, whatever the manifest says.
    #[doc(hidden)]
    pub fn override_timeout(&mut self, timeout: Duration) {
        self.host.limits.timeout = timeout;
        for plugin in &mut self.plugins {
            plugin.limits.timeout = timeout;
        }
        for server in &mut self.mcp {
            server.limits.timeout = timeout;
        }
    }

    /// Lowers `timeout`, `cpu`, `memory`, `max-stack`, `max-component` and `max-compile` to their
    /// defaults for loading the plugins of an untrusted manifest. Returns whether any was higher.
    #[doc(hidden)]
    pub fn lower_limits_to_defaults(&mut self) -> bool {
        let plugins = self.plugins.iter_mut().map(|it| &mut it.limits);
        let all = plugins.chain([&mut self.host.limits]);
        all.fold(false, |lowered, limits| limits.lower_to_load() | lowered)
    }
}

/// The problems in the order of their locations.
fn invalid(mut problems: Vec<Diagnostic>) -> LoadError {
    problems.sort_by_key(|problem| problem.at.map_or((0, 0), |at| (at.line, at.column)));
    LoadError::Invalid(problems)
}

/// The temporary file that is written beside a file before it replaces it.
#[doc(hidden)]
pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    file.with_file_name(name)
}

fn read_manifest(document: &DeTable, source: &mut ManifestSource) -> Manifest {
    let mut root = ManifestTable::new(document, "");
    let folder = source.file.parent().unwrap_or(Path::new("")).to_owned();

    let mut host = HostConfig::default();
    if let Some(table) = root.table("host", source) {
        host = read_host(table, source);
    }
    let audit = root.get("audit").and_then(|value| {
        let table = expect_table(value, "audit".to_owned(), source)?;
        if !table.has("path") {
            source.problem(value.span(), "`audit` needs `path`");
        }
        read_audit(table, &folder, source)
    });
    let agent = root.table("agent", source);
    let agent = agent.map(|table| read_agent(table, &folder, source));
    let resources = root.table("resource", source);
    let resources = resources.map(|table| read_resources(table, &folder, source));
    let prompts = root.table("prompt", source);
    let prompts = prompts.map(|table| read_prompts(table, source));
    let serve = root.table("serve", source);
    let serve = serve.map(|table| read_serve(table, &folder, source));
    let plugin_dir = root.get("plugin-dir").and_then(|value| {
        Some((
            path_in(&folder, expect_string(value, "plugin-dir", source)?),
            value,
        ))
    });

    let mut plugins = BTreeMap::new();
    if let Some(table) = root.table("plugin", source) {
        for (key, value, path) in table.entries() {
            let name = key.get_ref().to_string();
            if !is_name(&name) {
                let message =
                    format!("`{name}` is not a plugin name: use A-Z, a-z, 0-9, `_` and `-`");
                source.problem(key.span(), message);
            }
            let at = source.location(key.span());
            let Some(table) = expect_table(value, path, source) else {
                continue;
            };
            let mut plugin = PluginConfig::new(&name, "");
            plugin.at = Some(at);
            plugin.limits = host.limits.clone();
            let has_path = table.has("path");
            read_plugin(table, &mut plugin, &folder, source);
            if !has_path {
                match &plugin_dir {
                    Some((dir, _)) => plugin.path = dir.join(format!("{name}.wasm")),
                    None => source.problem(
                        key.span(),
                        format!(
                            "`plugin.{name}` has no `path`, and there is no `plugin-dir` to find \
                                 {name}.wasm in"
                        ),
                    ),
                }
            }
            plugins.insert(name, plugin);
        }
    }
    if let Some((dir, value)) = &plugin_dir {
        match find_plugins(dir) {
            Ok(found) => {
                for (name, path) in found {
                    // A plugin listed under another name is not found a second time.
                    if plugins
                        .values()
                        .any(|listed: &PluginConfig| is_same_file(&listed.path, &path))
                    {
                        continue;
                    }
                    if !is_name(&name) {
                        let message = format!(
                            "the file name of {} is not a plugin name: rename it, using only A-Z, a-z, 0-9, `_` \
                             and `-`",
                            path.display()
                        );
                        source.problem(value.span(), message);
                    }
                    let mut plugin = PluginConfig::new(&name, path);
                    plugin.limits = host.limits.clone();
                    plugins.entry(name).or_insert(plugin);
                }
            }
            Err(error) => source.problem(
                value.span(),
                format!("cannot list `plugin-dir` {}: {error}", dir.display()),
            ),
        }
    }
    let mut mcp = Vec::new();
    if let Some(table) = root.table("mcp", source) {
        mcp = read_servers(table, &host, &folder, source);
        for server in &mcp {
            if plugins.contains_key(&server.name) {
                let message = format!(
                    "`{0}` is the name of both a plugin and an MCP server",
                    server.name
                );
                source.problem_at(server.at, message);
            }
        }
    }
    root.finish(source);
    let mut manifest = Manifest {
        file: source.file.to_owned(),
        host,
        audit,
        agent: agent.unwrap_or_default(),
        serve: serve.unwrap_or_default(),
        plugin_dir: plugin_dir.map(|(dir, _)| dir),
        plugins: plugins.into_values().collect(),
        mcp,
        resources: resources.unwrap_or_default(),
        prompts: prompts.unwrap_or_default(),
        keys: reload_guard::keys_of(document),
        paths: SharedPaths::default(),
    };
    let paths = SharedPaths::new(manifest.ways(None));
    manifest.agent.paths = paths.clone();
    if let Some(tls) = &mut manifest.serve.tls {
        tls.paths = paths.clone();
    }
    manifest.paths = paths;
    manifest
}

fn read_host(mut table: ManifestTable, source: &mut ManifestSource) -> HostConfig {
    let mut host = HostConfig::default();
    if let Some(count) = table.count("max-concurrency", MAX_CONCURRENCY, source) {
        host.max_concurrency = count;
    }
    host.max_queue = table.count_from("max-queue", 0, usize::MAX, source);
    host.max_queue_per_client = table.count_from("max-queue-per-client", 0, usize::MAX, source);
    host.queue_timeout = read_duration(&mut table, "queue-timeout", source);
    if let Some(timeout) = read_duration(&mut table, "order-timeout", source) {
        host.order_timeout = timeout;
    }
    host.max_suspended = table.count("max-suspended", MAX_CONCURRENCY, source);
    host.total_memory = read_size(&mut table, "total-memory", MOST_MEMORY, source);
    read_limits(&mut table, &mut host.limits, source);
    if let Some(repair) = table.bool("repair-arguments", source) {
        host.repair_arguments = repair;
    }
    host.summarize = table.bool("summarize", source).unwrap_or_default();
    if let Some(items) = table.count("summarize-items", usize::MAX, source) {
        host.summary.items = items;
    }
    if let Some(chars) = table.count("summarize-chars", usize::MAX, source) {
        host.summary.chars = chars;
    }
    table.finish(source);
    host
}

fn read_plugin(
    mut table: ManifestTable,
    plugin: &mut PluginConfig,
    folder: &Path,
    source: &mut ManifestSource,
) {
    if let Some(path) = table.string("path", source) {
        plugin.path = match builtin::name_of(Path::new(path)) {
            Some(_) => path.into(),
            None => path_in(folder, path),
        };
    }
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    plugin.sha256 = table.parsed(
        "sha256",
        "64 hexadecimal digits",
        |text| is_digest(text).then(|| text.to_ascii_lowercase()),
        source,
    );
    read_limits(&mut table, &mut plugin.limits, source);
    plugin.max_concurrency = table.count("max-concurrency", MAX_CONCURRENCY, source);
    plugin.order = read_order(&mut table, source);
    (plugin.prefix, plugin.tools) = read_naming(&mut table, source);
    plugin.rename = read_texts(&mut table, "rename", source);
    for (old, (new, at)) in &plugin.rename {
        if !is_tool_name(new) {
            let message = format!(
                "`plugin.{}.rename.{old}` is not a tool name: use 1 to 64 of A-Z, a-z, 0-9, `_` and `-`",
                plugin.name
            );
            source.problem_at(Some(*at), message);
        }
    }
    plugin.describe = read_texts(&mut table, "describe", source);
    plugin.wit = table
        .string("wit", source)
        .map(|path| path_in(folder, path));
    plugin.allowed_callers = read_allowed_callers(&mut table, source);
    if let Some(table) = table.table("permissions", source) {
        plugin.permissions = read_permissions(table, folder, source);
    }
    if let Some(table) = table.table("config", source) {
        for (key, value, _) in table.entries() {
            let text = match value.get_ref().as_str() {
                Some(text) => text.to_owned(),
                None => to_json(value.get_ref()).to_string(),
            };
            plugin.config.insert(key.get_ref().to_string(), text);
        }
    }
    table.finish(source);
}

fn read_order(table: &mut ManifestTable, source: &mut ManifestSource) -> Order {
    let parse = |text: &str| match text {
        "auto" => Some(Order::Auto),
        "parallel" => Some(Order::Parallel),
        "in-order" => Some(Order::InOrder),
        _ => None,
    };
    let expected = "\"auto\", \"parallel\" or \"in-order\"";
    table
        .parsed("order", expected, parse, source)
        .unwrap_or_default()
}

/// A table of strings, with the location of each.
fn read_texts(
    table: &mut ManifestTable,
    key: &'static str,
    source: &mut ManifestSource,
) -> BTreeMap<String, (String, Location)> {
    let mut texts = BTreeMap::new();
    let table = table.table(key, source);
    for (name, value, path) in table.iter().flat_map(ManifestTable::entries) {
        if let Some(text) = expect_string(value, &path, source) {
            let at = source.location(name.span());
            texts.insert(name.get_ref().to_string(), (text.to_owned(), at));
        }
    }
    texts
}

/// The tools to offer, by their own names, with their locations.
type Chosen = Option<Vec<(String, Location)>>;

/// Reads the prefix of the tools' names, and which tools to offer.
fn read_naming(table: &mut ManifestTable, source: &mut ManifestSource) -> (String, Chosen) {
    let prefix = table.parsed(
        "prefix",
        "at most 32 of A-Z, a-z, 0-9, `_` and `-`",
        |text| (is_name(text) && text.len() <= 32).then(|| text.to_owned()),
        source,
    );
    let path = table.path("tools");
    let tools = table.array("tools", source).map(|items| {
        let mut tools = Vec::new();
        for item in items {
            if let Some(tool) = expect_string(item, &path, source) {
                tools.push((tool.to_owned(), source.location(item.span())));
            }
        }
        tools
    });
    (prefix.unwrap_or_default(), tools)
}

/// The `*.wasm` files of a folder and their names, ordered by name.
fn find_plugins(dir: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
            && let Some(name) = path.file_stem()
        {
            found.push((name.to_string_lossy().into_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let same = || Some(a.canonicalize().ok()? == b.canonicalize().ok()?);
    a == b || same().unwrap_or(false)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
