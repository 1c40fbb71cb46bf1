//! [`Narrowing`]: calls that may touch less than their providers are granted, or something else in
//! its place.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::permissions::{HttpRule, Secret, SocketRule};
use crate::printable;

/// Narrows the grants of providers for the calls of one user: the user's folder in place of a
/// granted one, the user's secrets, fewer hosts. [`ToolHost::narrow`](crate::ToolHost::narrow)
/// checks it once, and [`CallOptions::narrowed`](crate::CallOptions::narrowed) runs calls with it.
///
/// It never widens. Each entry replaces or takes away something that the manifest grants the
/// provider; anything else is a [`NarrowError`]. A folder inherits the access, the quota and the
/// guest path of the one it replaces, and the host's own files are protected in it. Your program
/// decides which folder replaces which: never take it unchecked from a model or a client.
///
/// ```no_run
/// # extern crate toolhost_core as toolhost;
/// use toolhost::{CallOptions, Manifest, Narrowing, ToolCall, ToolHost};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = ToolHost::load(Manifest::read("toolhost.toml")?).await?;
/// let alice = host.narrow(
///     Narrowing::new()
///         .client("alice")
///         .folder("notes", "/notes", "/srv/users/alice/notes")
///         .secret("github", "TOKEN", "ghp_…")
///         .http("fetch", ["https://api.github.com".parse()?]),
/// )?;
///
/// let options = CallOptions::new().narrowed(&alice);
/// let result = host.call_with(ToolCall::new("1", "list_notes", "{}"), &options).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a narrowing is checked by `ToolHost::narrow`"]
pub struct Narrowing {
    pub(crate) client: Option<Arc<str>>,
    pub(crate) providers: BTreeMap<String, ProviderNarrowing>,
}

impl Narrowing {
    /// Narrows nothing.
    pub fn new() -> Self {
        Narrowing::default()
    }

    /// The client of the calls: named in the audit log, and substituted for `${client}` in the
    /// manifest's grants.
    pub fn client(mut self, name: impl Into<Arc<str>>) -> Self {
        self.client = Some(name.into());
        self
    }

    /// Puts the folder `host` at the guest path of one of the provider's grants. The folder must
    /// exist.
    pub fn folder(
        mut self,
        provider: impl Into<String>,
        guest: impl Into<String>,
        host: impl Into<PathBuf>,
    ) -> Self {
        self.of_folder(provider, guest).host = Some(host.into());
        self
    }

    /// Makes a guest path of the provider's grants read-only.
    pub fn read_only(mut self, provider: impl Into<String>, guest: impl Into<String>) -> Self {
        self.of_folder(provider, guest).is_read_only = true;
        self
    }

    /// Removes a granted folder.
    pub fn without_folder(mut self, provider: impl Into<String>, guest: impl Into<String>) -> Self {
        self.of_folder(provider, guest).is_withheld = true;
        self
    }

    /// Replaces a granted secret. A secret that is for headers only stays so.
    pub fn secret(
        mut self,
        provider: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        let value = Secret::new(value.into());
        let secrets = &mut self.of(provider).secrets;
        secrets.insert(name.into(), Some(value));
        self
    }

    /// Removes a granted secret; headers that use it are not sent.
    pub fn without_secret(mut self, provider: impl Into<String>, name: impl Into<String>) -> Self {
        self.of(provider).secrets.insert(name.into(), None);
        self
    }

    /// Restricts the provider to requests of these rules, each within a granted one; an empty list
    /// allows none.
    pub fn http(
        mut self,
        provider: impl Into<String>,
        rules: impl IntoIterator<Item = HttpRule>,
    ) -> Self {
        self.of(provider).http = Some(rules.into_iter().collect());
        self
    }

    /// Restricts the provider to these hosts and ports, each a granted one; an empty list allows
    /// none.
    pub fn sockets(
        mut self,
        provider: impl Into<String>,
        rules: impl IntoIterator<Item = SocketRule>,
    ) -> Self {
        self.of(provider).sockets = Some(rules.into_iter().collect());
        self
    }

    fn of(&mut self, provider: impl Into<String>) -> &mut ProviderNarrowing {
        self.providers.entry(provider.into()).or_default()
    }

    fn of_folder(
        &mut self,
        provider: impl Into<String>,
        guest: impl Into<String>,
    ) -> &mut FolderNarrowing {
        self.of(provider).folders.entry(guest.into()).or_default()
    }
}

/// The part of a [`Narrowing`] for one provider. The host enforces it for plugins. A provider of
/// your program reads it from its [`CallContext`](crate::provider::CallContext) and must enforce it
/// itself; what is not named is not narrowed.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use serde_json::{Value, json};
/// use toolhost::{
///     CallOptions, Loader, Manifest, Narrowing, NativeContext, NativeTools, Tool, ToolCall,
/// };
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mail = NativeTools::new("mail").tool_with_schema(
///     Tool::new("login", "Logs in"),
///     json!({ "type": "object" }),
///     async |_: Value, context: NativeContext| {
///         let token = context.narrowing().and_then(|it| it.secret("TOKEN")).unwrap_or("shared");
///         // Not for the model: only the beginning.
///         token[..3].to_owned()
///     },
/// );
/// let host = Loader::new(Manifest::default()).provider(mail).load().await?;
/// let alice = host.narrow(Narrowing::new().client("alice").secret("mail", "TOKEN", "a1b2c3d4e5"))?;
/// let options = CallOptions::new().narrowed(&alice);
/// let result = host.call_with(ToolCall::new("1", "login", "{}"), &options).await;
/// assert_eq!(result.to_text(), "a1b");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProviderNarrowing {
    pub(crate) folders: BTreeMap<String, FolderNarrowing>,
    /// `None` for a secret that is removed.
    pub(crate) secrets: BTreeMap<String, Option<Secret>>,
    pub(crate) http: Option<Vec<HttpRule>>,
    pub(crate) sockets: Option<Vec<SocketRule>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FolderNarrowing {
    pub(crate) host: Option<PathBuf>,
    pub(crate) is_read_only: bool,
    pub(crate) is_withheld: bool,
}

impl ProviderNarrowing {
    /// The folder in place of the one at that path.
    pub fn folder(&self, guest: &str) -> Option<&Path> {
        self.folders.get(guest)?.host.as_deref()
    }

    /// Whether that path is read-only.
    pub fn is_read_only(&self, guest: &str) -> bool {
        self.folders.get(guest).is_some_and(|it| it.is_read_only)
    }

    /// Whether the folder at that path is removed.
    pub fn is_without_folder(&self, guest: &str) -> bool {
        self.folders.get(guest).is_some_and(|it| it.is_withheld)
    }

    /// The secret in place of the one of that name.
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name)?.as_ref().map(Secret::reveal)
    }

    /// Whether the secret of that name is removed.
    pub fn is_without_secret(&self, name: &str) -> bool {
        matches!(self.secrets.get(name), Some(None))
    }

    /// The requests that it may send, if restricted.
    pub fn http(&self) -> Option<&[HttpRule]> {
        self.http.as_deref()
    }

    /// The hosts that it may connect to, if restricted.
    pub fn sockets(&self) -> Option<&[SocketRule]> {
        self.sockets.as_deref()
    }
}

/// Why a [`Narrowing`] was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NarrowError {
    /// No provider has that name.
    #[error("unknown provider `{provider}` in the narrowing{}", meant(.similar))]
    UnknownProvider {
        /// The name.
        provider: String,
        /// Names that look like it, nearest first.
        similar: Vec<String>,
    },
    /// An MCP server cannot be narrowed: it has no sandbox.
    #[error(
        "`mcp.{server}` cannot be narrowed, as it is not sandboxed: start one per user, or offer its tools to \
         fewer users"
    )]
    NotEnforceable {
        /// Its name.
        server: String,
    },
    /// The provider is not granted what would be narrowed.
    #[error(
        "`plugin.{plugin}` is not granted {what}: a narrowing can only use what the manifest grants"
    )]
    NotGranted {
        /// Its name.
        plugin: String,
        /// What is not granted, such as "the folder `/notes`".
        what: String,
    },
    /// A folder cannot be opened.
    #[error("the folder {} cannot replace `{guest}` of `plugin.{plugin}`", printable::line(&.host.display().to_string()))]
    Folder {
        /// The plugin's name.
        plugin: String,
        /// The path of the grant.
        guest: String,
        /// The folder.
        host: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A folder lies in one that another plugin may write, which could replace it.
    #[error("the folder {} for `{guest}` of `plugin.{plugin}` is inside one that `plugin.{other}` can write to: \
             if this is intended, set `allow-nested = true` in the grant", printable::line(&.host.display().to_string()))]
    Nested {
        /// The plugin's name.
        plugin: String,
        /// The path of the grant.
        guest: String,
        /// The folder.
        host: PathBuf,
        /// The other plugin.
        other: String,
    },
    /// A secret is not valid.
    #[error("the secret `{name}` for `{provider}`: {problem}")]
    Secret {
        /// The provider's name.
        provider: String,
        /// The secret's name.
        name: String,
        /// What is wrong with it, without its value.
        problem: String,
    },
    /// The folders of the client cannot be opened.
    #[error("the folders of the client {client:?}: {problem}")]
    Client {
        /// Its name.
        client: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

fn meant(similar: &[String]) -> String {
    match similar.first() {
        Some(name) => format!(": did you mean `{name}`?"),
        None => String::new(),
    }
}
