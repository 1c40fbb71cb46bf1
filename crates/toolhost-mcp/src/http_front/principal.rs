//! Who sends a request, or why nobody who may.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// Who sent a request; it stands in the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The token's name in the manifest, or its issuer and subject.
    pub(crate) name: Arc<str>,
    /// Whether the name is a client's own, and not that of all.
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

/// Anybody, where nobody is asked.
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

/// Why a request is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has no token.
    Missing,
    /// It has several, or one that cannot be read.
    Malformed,
    /// Its token is not taken.
    Invalid(&'static str),
    /// Its token is for nothing here.
    Scope,
    /// Whether its token is good cannot be known now.
    Unavailable,
}
