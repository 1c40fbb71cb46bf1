//! [`Permissions`]: what a plugin is granted. Nothing is granted by omission:
//! [`Permissions::default`] is empty.
//!
//! This module says what a grant means; the sandbox enforces it.

pub(crate) mod client_folders;
mod host_pattern;
pub(crate) mod http_header;
pub(crate) mod http_rule;
pub(crate) mod special_addresses;
mod tool_pattern;
mod warnings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

pub use host_pattern::{HostPattern, SocketRule};
pub use http_header::HttpHeader;
pub use http_rule::HttpRule;
pub use tool_pattern::ToolPattern;

use crate::limits::{ByteSize, size};
use crate::paths::Paths;
#[doc(hidden)]
pub use crate::paths::{HostFile, Purpose};
use toolhost_wire::setters;

/// The longest secret, in bytes: all output is searched for it.
const MAX_SECRET: u64 = 64 << 10;

/// The permissions that a manifest grants one plugin. Empty by default.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::permissions::{Access, FileGrant, Permissions};
///
/// let notes = FileGrant::new("/home/ada/notes", "/notes").with_access(Access::ReadWrite);
/// let permissions = Permissions::default()
///     .with_files(vec![notes])
///     .with_http(vec!["https://api.example.com/v1".parse()?]);
/// assert!(!permissions.is_nothing());
/// # Ok::<(), toolhost::error::InvalidValue>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permissions {
    /// Folders of this machine, and their guest paths.
    pub files: Vec<FileGrant>,
    /// The HTTP requests that it may send.
    pub http: Vec<HttpRule>,
    /// Headers that the host adds to its requests, with secrets that the plugin never sees.
    pub http_headers: Vec<HttpHeader>,
    /// The hosts and ports that it may connect to.
    pub sockets: Vec<SocketRule>,
    /// All of its environment variables.
    pub env: BTreeMap<String, String>,
    /// Secrets that it may request by name, except those that `http_headers` use.
    pub secrets: BTreeMap<String, SecretSource>,
    /// The tools of the host that it may call.
    pub tools: Vec<ToolPattern>,
    /// Whether it has a clock.
    pub clock: Ambient,
    /// Whether it has randomness.
    pub random: Ambient,
}

setters!(Permissions {
    with_clock: clock: Ambient,
    with_random: random: Ambient,
} into {
    with_files: files: Vec<FileGrant>,
    with_http: http: Vec<HttpRule>,
    with_http_headers: http_headers: Vec<HttpHeader>,
    with_sockets: sockets: Vec<SocketRule>,
    with_env: env: BTreeMap<String, String>,
    with_secrets: secrets: BTreeMap<String, SecretSource>,
    with_tools: tools: Vec<ToolPattern>,
});

impl Permissions {
    /// Whether nothing is granted.
    pub fn is_nothing(&self) -> bool {
        let ambient = Permissions {
            clock: self.clock,
            random: self.random,
            ..Permissions::default()
        };
        *self == ambient
    }

    /// Whether a header uses that secret, which is then for headers only.
    pub fn is_for_headers(&self, secret: &str) -> bool {
        let mut used = self.http_headers.iter().flat_map(HttpHeader::secrets);
        used.any(|name| name == secret)
    }
}

/// A capability that needs no grant, and that can be removed to make a plugin deterministic. There
/// are these two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ambient {
    /// The machine's own.
    #[default]
    Real,
    /// None: the clock stands still at its epoch and cannot be waited for, random numbers are
    /// always the same.
    None,
}

/// A granted folder.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::limits::ByteSize;
/// use toolhost::manifest::PluginConfig;
/// use toolhost::permissions::{Access, FileGrant};
///
/// let mut plugin = PluginConfig::new("notes", "notes.wasm");
/// plugin.permissions.files = vec![
///     FileGrant::new("templates", "/templates"),
///     FileGrant::new("work", "/work").with_access(Access::ReadWrite).with_max_disk(ByteSize::mib(100)),
/// ];
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileGrant {
    /// The folder on this machine. `${client}` in it stands for the calling client.
    pub host: PathBuf,
    /// Its absolute path for the guest.
    pub guest: String,
    /// What may be done below it.
    pub access: Access,
    /// Whether it may lie in a folder that another plugin may write, and could thus be replaced by
    /// that plugin.
    pub allow_nested: bool,
    /// Whether version control's files in it (`.git` and the like), which other programs execute,
    /// may be changed.
    pub allow_vcs: bool,
    /// The quota in bytes, existing files included. For writable folders only.
    pub max_disk: Option<ByteSize>,
    /// The quota in number of files, folders and links.
    pub max_files: Option<u32>,
    /// Whether a client's folder is created on first use. Only if `host_pattern` contains `${client}`.
    pub create: bool,
}

setters!(FileGrant {
    with_access: access: Access,
    with_create: create: bool,
    with_allow_nested: allow_nested: bool,
    with_allow_vcs: allow_vcs: bool,
} into {
    with_max_disk: max_disk: Option<ByteSize>,
    with_max_files: max_files: Option<u32>,
});

/// The quota of a granted folder.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(unix), allow(dead_code))]
pub(crate) struct DiskLimits {
    pub(crate) max_disk: Option<ByteSize>,
    pub(crate) max_files: Option<u32>,
}

impl FileGrant {
    /// A read-only folder. With `${client}` as a component of `host_pattern`, each client has its own: see
    /// [`CallOptions::client`](crate::CallOptions::client).
    pub fn new(host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        FileGrant {
            host: host.into(),
            guest: guest.into(),
            access: Access::ReadOnly,
            allow_nested: false,
            allow_vcs: false,
            max_disk: None,
            max_files: None,
            create: false,
        }
    }

    /// Its quota, if it has one.
    pub(crate) fn disk_limits(&self) -> Option<DiskLimits> {
        let (max_disk, max_files) = (self.max_disk, self.max_files);
        let is_limited = max_disk.is_some() || max_files.is_some();
        is_limited.then_some(DiskLimits {
            max_disk,
            max_files,
        })
    }
}

/// The access to what is below a [`FileGrant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// List and read.
    ReadOnly,
    /// List, read, write, create and remove.
    ReadWrite,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::ReadOnly => "read-only",
            Access::ReadWrite => "read-write",
        })
    }
}

/// Where a secret comes from; it is read when the plugin is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretSource {
    /// An environment variable of the host.
    Env(String),
    /// A file of the host; a single newline at its end is not part of the secret.
    File(PathBuf),
}

impl SecretSource {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, as the end of a sentence about the secret: ` is empty`, or `: ` and
    /// more.
    #[doc(hidden)]
    pub fn read(&self, paths: &Paths) -> Result<Secret, String> {
        let value = match self {
            // Not the error's own text, which quotes the value.
            SecretSource::Env(name) => match std::env::var_os(name).map(OsString::into_string) {
                Some(Ok(value)) => value,
                Some(Err(_)) => return Err(format!(": {self} is not UTF-8")),
                None => return Err(format!(": {self} is not set")),
            },
            SecretSource::File(path) => match paths.read_text(path, MAX_SECRET) {
                Ok(text) => {
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    text.strip_suffix('\r').unwrap_or(text).to_owned()
                }
                Err(error) => return Err(format!(": {self}: {error}")),
            },
        };
        let secret = Secret::new(value);
        match secret.problem() {
            Some(problem) if secret.is_blank() => Err(format!(" {problem}")),
            Some(problem) => Err(format!(": {self}: {problem}")),
            None => Ok(secret),
        }
    }
}

impl SecretSource {
    /// Why it cannot be read, as far as that is known without reading it.
    pub fn problem(&self) -> Option<String> {
        let problem = match self {
            SecretSource::Env(name) => match std::env::var_os(name) {
                Some(_) => return None,
                None => "is not set".to_owned(),
            },
            SecretSource::File(path) => match std::fs::metadata(path) {
                Ok(metadata) if metadata.is_file() => return None,
                Ok(_) => "is not a file".to_owned(),
                Err(error) => error.to_string(),
            },
        };
        Some(format!("{self}: {problem}"))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(variable) => write!(f, "environment variable {variable}"),
            SecretSource::File(path) => path.display().fmt(f),
        }
    }
}

/// A secret's value. It is printed as `***`, so that no log or error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(value: String) -> Self {
        Secret(value)
    }

    /// Its text.
    #[doc(hidden)]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }

    /// Why it is not usable.
    pub(crate) fn problem(&self) -> Option<String> {
        let most = ByteSize::b(MAX_SECRET);
        // It could not be masked, and most likely it was forgotten.
        if self.is_blank() {
            return Some("is empty".to_owned());
        }
        let is_long = self.0.len() as u64 > most.as_u64();
        is_long.then(|| format!("it is larger than {}", size(most)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
