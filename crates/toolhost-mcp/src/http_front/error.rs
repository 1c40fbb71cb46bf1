//! Errors of the HTTP front's configuration.

use std::path::PathBuf;

use toolhost_core::manifest::Exposed;

/// Why the front cannot be configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrontError {
    /// A file of `[serve.tls]` cannot be used.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Anyone could call every tool.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The same error, from a server that this one is nested in.
    #[error(
        "anyone who can reach the server that this is nested in could call every tool: configure client tokens or an \
         issuer, or use `service_unchecked`"
    )]
    Nested,
    /// The address of a listener is not known.
    #[error("cannot tell who can reach the server: {0}")]
    Address(std::io::Error),
    /// There is no client to ask an issuer with.
    #[error("cannot create an HTTP client for the issuer's keys: {0}")]
    Client(String),
}
