//! What calls may touch less of, or instead, than their providers are granted: [`Narrowing`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::permissions::{HttpRule, Secret, SocketRule};
use crate::printable;

/// Narrows what providers are granted, for the calls of one user: a folder of theirs in place of a granted one, their
/// secrets, fewer hosts. [`ToolHost::narrow`](crate::ToolHost::narrow) checks it, once, and
/// [`CallOptions::narrowed`](crate::CallOptions::narrowed) has calls run with it.
///
/// It never widens. Each entry replaces or takes away something that the manifest grants the provider; any other is a
/// [`NarrowError`]. A folder has the access, the quota and the guest path of the one whose place it takes, and the host's
/// own files are protected in it. Which folder stands in for which is the word of your program: never take it from a model
/// or a client unchecked.
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
    /// Nothing is narrowed.
    pub fn new() -> Self {
        Narrowing::default()
    }

    /// Whose calls they are: the audit log has the name, and `${client}` in the manifest's grants stands for it.
    pub fn client(mut self, name: impl Into<Arc<str>>) -> Self {
        self.client = Some(name.into());
        self
    }

    /// Has the provider find `host` at the guest path of one of its grants. The folder must exist.
    pub fn folder(
        mut self,
        provider: impl Into<String>,
        guest: impl Into<String>,
        host: impl Into<PathBuf>,
    ) -> Self {
        self.of_folder(provider, guest).host = Some(host.into());
        self
    }

    /// Lets the provider read what is at a guest path of its grants, and not write it.
    pub fn read_only(mut self, provider: impl Into<String>, guest: impl Into<String>) -> Self {
        self.of_folder(provider, guest).is_read_only = true;
        self
    }

    /// Takes a granted folder away.
    pub fn without_folder(mut self, provider: impl Into<String>, guest: impl Into<String>) -> Self {
        self.of_folder(provider, guest).is_withheld = true;
        self
    }

    /// Has a granted secret be this one. One that is for headers stays for headers.
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

    /// Takes a granted secret away; headers that it is part of are not sent.
    pub fn without_secret(mut self, provider: impl Into<String>, name: impl Into<String>) -> Self {
        self.of(provider).secrets.insert(name.into(), None);
        self
    }

    /// Lets the provider send the requests of these rules only, each within a granted one; none for an empty list.
    pub fn http(
        mut self,
        provider: impl Into<String>,
        rules: impl IntoIterator<Item = HttpRule>,
    ) -> Self {
        self.of(provider).http = Some(rules.into_iter().collect());
        self
    }

    /// Lets the provider connect to these hosts and ports only, each a granted one; to none for an empty list.
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

/// The part of a [`Narrowing`] that is for one provider. The host holds plugins to it. A provider in your program reads it
/// in its [`CallContext`](crate::provider::CallContext), and holds itself to it: what is not named is not narrowed.
#[derive(Clone, Debug, Default)]
pub struct ProviderNarrowing {
    pub(crate) folders: BTreeMap<String, FolderNarrowing>,
    /// `None` is for one that is taken away.
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
    /// The folder that stands in for the one at that path.
    pub fn folder(&self, guest: &str) -> Option<&Path> {
        self.folders.get(guest)?.host.as_deref()
    }

    /// Whether what is at that path may be read only.
    pub fn is_read_only(&self, guest: &str) -> bool {
        self.folders.get(guest).is_some_and(|it| it.is_read_only)
    }

    /// Whether what is at that path is taken away.
    pub fn is_without_folder(&self, guest: &str) -> bool {
        self.folders.get(guest).is_some_and(|it| it.is_withheld)
    }

    /// The secret in place of the one of that name.
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name)?.as_ref().map(Secret::reveal)
    }

    /// Whether the secret of that name is taken away.
    pub fn is_without_secret(&self, name: &str) -> bool {
        matches!(self.secrets.get(name), Some(None))
    }

    /// The requests that it may send, where they are fewer.
    pub fn http(&self) -> Option<&[HttpRule]> {
        self.http.as_deref()
    }

    /// Where it may connect, where that is less.
    pub fn sockets(&self) -> Option<&[SocketRule]> {
        self.sockets.as_deref()
    }
}

/// Why calls cannot be narrowed so; see [`Narrowing`].
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
    /// An MCP server, which is in no sandbox.
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
        /// What it is not granted, such as "the folder `/notes`".
        what: String,
    },
    /// A folder cannot be had.
    #[error("the folder {} cannot replace `{guest}` of `plugin.{plugin}`", printable::line(&.host.display().to_string()))]
    Folder {
        /// The plugin's name.
        plugin: String,
        /// The path of the grant.
        guest: String,
        /// The folder.
        host: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder lies in one that another plugin writes, which decides what is there.
    #[error("the folder {} for `{guest}` of `plugin.{plugin}` is inside one that `plugin.{other}` can write to: \
             if this is intended, set `allow-nested = true` in the grant", printable::line(&.host.display().to_string()))]
    Nested {
        /// The plugin's name.
        plugin: String,
        /// The path of the grant.
        guest: String,
        /// The folder.
        host: PathBuf,
        /// Who may write around it.
        other: String,
    },
    /// A secret cannot be used.
    #[error("the secret `{name}` for `{provider}`: {problem}")]
    Secret {
        /// The provider's name.
        provider: String,
        /// The secret's name.
        name: String,
        /// What is wrong with it, without its value.
        problem: String,
    },
    /// The folders of the client cannot be had.
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
