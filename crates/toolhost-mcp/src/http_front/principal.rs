//! [`Principal`]: the authenticated sender of a request, or why there is none.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// The authenticated sender of a request, in its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The token's name in the manifest, or its issuer and subject.
    pub(crate) name: Arc<str>,
    /// Whether the name is the client's own, not the common one.
    pub(crate) is_known: bool,
    /// The tools that it may call; all when `None`.
    pub(crate) tools: Option<Arc<BTreeSet<String>>>,
}

impl Principal {
    /// The name of the client, if it has one of its own.
    pub(crate) fn own_name(&self) -> Option<Arc<str>> {
        self.is_known.then(|| self.name.clone())
    }
}

/// Anybody, if there is no authentication.
impl Default for Principal {
    fn default() -> Self {
        static ANYBODY: LazyLock<Arc<str>> = LazyLock::new(|| "anonymous".into());
        Principal {
            name: ANYBODY.clone(),
            is_known: false,
            tools: None,
        }
    }
}

/// Why a request is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthRefusal {
    /// It has no token.
    Missing,
    /// It has several tokens, or a malformed one.
    Malformed,
    /// Its token is not valid.
    Invalid(&'static str),
    /// Its token has no scope that is used here.
    Scope,
    /// The issuer cannot be asked at present.
    Unavailable,
}
