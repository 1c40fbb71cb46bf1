//! Demands: what a manifest asks for beyond its own folder (programs to start, secrets, network,
//! files). The manifest found in a folder may be someone else's, so the user has to allow its
//! demands.
//!
//! Not listed, because no permission is needed: plugins without grants, folders below the
//! manifest's own, limits of plugins.

use std::path::{Component, Path, PathBuf};

use super::{AgentConfig, Manifest, McpConfig, McpTransport, PluginConfig, StaticBody};
use crate::digest::sha256;
use crate::paths::vcs;
use crate::permissions::client_folders::CLIENT;
use crate::permissions::{Access, FileGrant, Permissions, SecretSource};

/// The most tokens of an answer that need no permission: the default for the API that has none of
/// its own.
const FREE_TOKENS: u64 = 8192;

/// One thing that a manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Demand {
    /// The demand in one line: `mcp.files: runs "npx" "-y" "server" in "/home/me/project"`.
    pub what: String,
    /// Which commands need it.
    pub needed_for: Use,
}

/// What a [`Demand`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Use {
    /// Calling tools.
    Tools,
    /// Asking a model.
    Agent,
    /// Serving clients.
    Serve,
}

impl Demand {
    /// The SHA-256 digest of its text, which identifies it.
    pub fn digest(&self) -> String {
        sha256(&self.what)
    }
}

impl Manifest {
    /// Everything it asks for, except plugins that are granted nothing outside its folder.
    ///
    /// For a plugin with such a grant, all of its grants are listed. Links are followed: a demand
    /// names where they lead now.
    #[doc(hidden)]
    pub fn demands(&self) -> Vec<Demand> {
        let mut demands = Demands {
            own: OwnFolder::of(&self.file),
            found: Vec::new(),
        };
        if let Some(audit) = &self.audit
            && !demands.own.holds(&audit.path, Access::ReadWrite)
        {
            let path = real(&audit.path);
            demands.add(Use::Tools, format!("audit: writes {path:?}"));
        }
        for plugin in &self.plugins {
            demands.plugin(plugin);
        }
        for server in &self.mcp {
            demands.server(server);
        }
        demands.agent(self);
        demands.serve(self);
        for resource in &self.resources {
            if let StaticBody::File(path) = &resource.body
                && !demands.own.holds(path, Access::ReadOnly)
            {
                let (name, path) = (&resource.resource.name, real(path));
                demands.add(Use::Serve, format!("resource.{name:?}: offers {path:?}"));
            }
        }
        demands.found
    }
}

struct Demands {
    own: OwnFolder,
    found: Vec<Demand>,
}

impl Demands {
    fn add(&mut self, needed_for: Use, what: String) {
        self.found.push(Demand { what, needed_for });
    }

    fn plugin(&mut self, plugin: &PluginConfig) {
        let name = &plugin.name;
        let permissions = &plugin.permissions;
        // Literal variables are the manifest's own text; everything else leaves the sandbox.
        let outside = Permissions {
            env: Default::default(),
            // They are offered by this manifest, and ask for what they need themselves.
            tools: Vec::new(),
            files: (permissions.files.iter())
                .filter(|grant| grant.allow_vcs || !self.own.holds_grant(grant))
                .cloned()
                .collect(),
            ..permissions.clone()
        };
        // Its text reaches models.
        if let Some(wit) = &plugin.wit
            && !self.own.holds(wit, Access::ReadOnly)
        {
            let wit = real(wit);
            let what = format!("plugin.{name}: describes its tools by {wit:?}");
            self.add(Use::Tools, what);
        }
        if outside.is_nothing() {
            return;
        }
        let mut add = |what: String| self.add(Use::Tools, format!("plugin.{name}: {what}"));
        let file = plugin.file().map_or_else(|| plugin.path.clone(), real);
        match &plugin.sha256 {
            Some(digest) => add(format!("is {file:?} with the digest {digest}")),
            None => add(format!("is {file:?}")),
        }
        for grant in &permissions.files {
            let (host, access, guest) = (real_grant(grant), grant.access, &grant.guest);
            let vcs = match grant.allow_vcs {
                true => ", including version control",
                false => "",
            };
            add(format!("files {host:?}, {access}, as {guest:?}{vcs}"));
        }
        for rule in &permissions.http {
            add(format!("http {:?}", rule.to_string()));
        }
        for header in &permissions.http_headers {
            add(format!("http-headers {header}: {:?}", header.template()));
        }
        for rule in &permissions.sockets {
            add(format!("sockets {rule}"));
        }
        for (secret, source) in &permissions.secrets {
            let only = match permissions.is_for_headers(secret) {
                true => ", for headers only",
                false => "",
            };
            add(format!(
                "reads the secret {secret:?} from {}{only}",
                from(source)
            ));
        }
    }

    fn server(&mut self, server: &McpConfig) {
        let mut what = format!("mcp.{}: ", server.name);
        match &server.transport {
            McpTransport::Command(command) => {
                let program = match command.program.components().count() {
                    // A name to be looked up in `PATH`.
                    1 => command.program.clone(),
                    _ => absolute(&command.program),
                };
                what += &format!("runs {program:?}");
                let args = command.args.iter();
                args.for_each(|arg| what += &format!(" {arg:?}"));
                what += &format!(" in {:?}", real(&command.cwd));
                for (name, value) in &command.env {
                    what += &format!(", with {name}={value:?}");
                }
            }
            McpTransport::Url(endpoint) => {
                what += &format!("connects to {}", endpoint.url);
                for header in &endpoint.headers {
                    what += &format!(", with {}: {:?}", header.name(), header.template());
                }
                if let Some(token) = &endpoint.token {
                    what += &format!(", with a token from {}", from(token));
                }
            }
        }
        for (name, source) in &server.secrets {
            what += &format!(", with the secret {name:?} from {}", from(source));
        }
        let asks = server.asks();
        if !asks.is_empty() {
            what += &format!(", may ask for {}", asks.join(", "));
        }
        self.add(Use::Tools, what);
        // Lines of their own, so that restricting it later demands less.
        let name = &server.name;
        if server.tools.is_none() {
            self.add(
                Use::Tools,
                format!("mcp.{name}: offers all tools that it lists"),
            );
        }
        if server.pins.is_none() {
            self.add(
                Use::Tools,
                format!("mcp.{name}: offers tools that are not pinned"),
            );
        }
    }

    fn agent(&mut self, manifest: &Manifest) {
        let agent = &manifest.agent;
        let api = match (&agent.base_url, agent.provider) {
            (Some(url), _) => {
                self.add(Use::Agent, format!("agent: asks the model at {url}"));
                url.to_string()
            }
            (None, Some(provider)) => provider.to_string(),
            (None, None) => "whichever API is chosen".to_owned(),
        };
        if let Some(key) = &agent.key {
            let key = from(key);
            self.add(
                Use::Agent,
                format!("agent: sends the key from {key} to {api}"),
            );
        }
        // Any parameter of the API may be among them: tools of its own, which may be a third
        // party's server, or a more expensive service.
        for (name, value) in &agent.request {
            self.add(
                Use::Agent,
                format!("agent: adds {name:?} to requests: {value}"),
            );
        }
        // It steers what the user's model does with the user's key, and with all tools.
        if let Some(prompt) = &agent.system_prompt {
            self.add(
                Use::Agent,
                format!("agent: uses the system prompt {prompt:?}"),
            );
        }
        // The user pays for each request, by its length.
        let (most, default) = (agent.max_iterations, AgentConfig::default());
        if most > default.max_iterations {
            self.add(
                Use::Agent,
                format!("agent: may send {most} requests for one question"),
            );
        }
        let retries = agent.max_retries;
        if retries > default.max_retries {
            self.add(
                Use::Agent,
                format!("agent: may retry each request {retries} times"),
            );
        }
        if let Some(tokens) = agent.max_tokens.filter(|it| *it > FREE_TOKENS) {
            self.add(
                Use::Agent,
                format!("agent: allows {tokens} tokens per answer"),
            );
        }
    }

    fn serve(&mut self, manifest: &Manifest) {
        let serve = &manifest.serve;
        let mut add = |what: String| self.add(Use::Serve, format!("serve: {what}"));
        if let Some(instructions) = &serve.instructions {
            add(format!("gives models the instructions {instructions:?}"));
        }
        for host in &serve.hosts {
            add(format!("answers to the host name {host}"));
        }
        for origin in &serve.origins {
            add(format!("answers web pages from {origin}"));
        }
        for proxy in &serve.proxies {
            add(format!("trusts the proxy {proxy}"));
        }
        if let Some(tls) = &serve.tls {
            let (certificate, key) = (absolute(&tls.certificate), absolute(&tls.key));
            add(format!(
                "uses the certificate {certificate:?} with the key {key:?}"
            ));
        }
        for token in &serve.auth.tokens {
            let tools = match &token.tools {
                Some(tools) => format!("{tools:?}"),
                None => "all tools".to_owned(),
            };
            let (name, digest) = (&token.name, token.digest);
            add(format!("lets {name} call {tools}, with the token {digest}"));
        }
        if let Some(oauth) = &serve.auth.oauth {
            let tools = match &oauth.scopes {
                Some(scopes) => format!("{scopes:?}"),
                None => "all tools".to_owned(),
            };
            let keys = match &oauth.jwks {
                Some(jwks) => format!(", with the keys at {jwks}"),
                None => String::new(),
            };
            let (issuer, audience) = (&oauth.issuer_text, &oauth.audience_text);
            add(format!(
                "lets clients with a token from {issuer:?} for {audience:?} call {tools}{keys}"
            ));
        }
    }
}

/// What a manifest may use without permission: what is below its own folder.
struct OwnFolder {
    /// The folder without links. `None` if everything lies below it: a home folder, or its parents.
    folder: Option<PathBuf>,
    /// Whether the user created both the manifest and the folder.
    is_ours: bool,
}

impl OwnFolder {
    fn of(manifest: &Path) -> OwnFolder {
        let folder = match manifest.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let is_ours = is_ours(folder) && is_ours(manifest);
        let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
        let is_home = |folder: &PathBuf| home.as_ref().is_some_and(|it| it.starts_with(folder));
        let is_everything = |folder: &PathBuf| folder.parent().is_none() || is_home(folder);
        OwnFolder {
            folder: folder.canonicalize().ok().filter(|it| !is_everything(it)),
            is_ours,
        }
    }

    /// Whether a granted folder is below it. No link is followed in folders of clients, so none
    /// leads out of it.
    fn holds_grant(&self, grant: &FileGrant) -> bool {
        let Some(folders) = grant.client_folders() else {
            return self.holds(&grant.host, grant.access);
        };
        let is_free_of_vcs = || {
            let clients = folders.base.read_dir().into_iter().flatten().flatten();
            let mut own = clients.map(|client| folders.of(client.file_name()));
            !vcs::holds(&real_grant(grant)) && !own.any(|it| vcs::holds(&it) || vcs::is_beside(&it))
        };
        self.holds(&folders.base, grant.access)
            && (grant.access == Access::ReadOnly || is_free_of_vcs())
    }

    /// Whether a path is below the folder. A writable path must also be one in which version
    /// control runs nothing, now or later: in all others the sandbox keeps plugins from creating or
    /// changing such a folder.
    fn holds(&self, path: &Path, access: Access) -> bool {
        let path = real(path);
        let Some(below) = self
            .folder
            .as_ref()
            .and_then(|it| path.strip_prefix(it).ok())
        else {
            return false;
        };
        let is_plain = |part: Component| matches!(part, Component::Normal(_));
        if !below.components().all(is_plain) {
            return false;
        }
        match access {
            Access::ReadOnly => true,
            Access::ReadWrite => self.is_ours && !vcs::holds(&path) && !vcs::is_beside(&path),
        }
    }
}

/// The real path of a granted folder. Folders of clients lie below one that exists.
fn real_grant(grant: &FileGrant) -> PathBuf {
    match grant.client_folders() {
        None => real(&grant.host),
        Some(mut folders) => {
            folders.base = real(&folders.base);
            folders.of(CLIENT)
        }
    }
}

/// Whether the current user owns it.
#[cfg(unix)]
fn is_ours(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid().as_raw();
    path.metadata().is_ok_and(|it| it.uid() == user)
}

/// The sandbox cannot tell there which folder a file is in: see docs/adr/0016.
#[cfg(not(unix))]
fn is_ours(_: &Path) -> bool {
    false
}

/// The real path, through all links; for a path that does not exist yet, where it would be created.
fn real(path: &Path) -> PathBuf {
    real_in(path, 40)
}

/// Up to `links` dangling links are followed.
fn real_in(path: &Path, links: usize) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let path = absolute(path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return path;
    };
    match std::fs::read_link(&path) {
        Ok(target) if links > 0 => real_in(&folder.join(target), links - 1),
        _ => real_in(folder, links).join(name),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn from(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(variable) => format!("the environment variable {variable:?}"),
        SecretSource::File(path) => format!("{:?}", absolute(path)),
    }
}
