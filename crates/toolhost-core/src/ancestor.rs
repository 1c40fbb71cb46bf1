//! [`Ancestor`]: the running call that made another one, with those that made it.

use std::sync::Arc;

use crate::order::{Domain, DomainAccess};

/// A call that calls tools, as its nested calls know it.
#[derive(Clone)]
pub(crate) struct Ancestor {
    /// Its id; its tool's name if it has none.
    pub(crate) id: Arc<str>,
    /// The tool it calls.
    pub(crate) tool: Arc<str>,
    /// How many calls it is nested in.
    pub(crate) depth: usize,
    /// What it uses in order.
    pub(crate) order: Option<(Arc<Domain>, DomainAccess)>,
    /// The call that made it.
    pub(crate) by: Option<Arc<Ancestor>>,
}

impl std::fmt::Debug for Ancestor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ancestor")
            .field("id", &self.id)
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

impl Ancestor {
    /// The nearest call, this one or one of those it is nested in, that a call with this access would
    /// have to wait for: it uses the same, and one of the two changes it.
    pub(crate) fn in_the_way(
        self: &Arc<Self>,
        domain: &Arc<Domain>,
        access: DomainAccess,
    ) -> Option<&Arc<Ancestor>> {
        let is_in_the_way = self.order.as_ref().is_some_and(|(own, used)| {
            own.is_same(domain) && (*used == DomainAccess::Change || access == DomainAccess::Change)
        });
        match is_in_the_way {
            true => Some(self),
            false => self.by.as_ref()?.in_the_way(domain, access),
        }
    }
}
