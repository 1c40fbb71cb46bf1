//! Granted folders that lie in others: who may write around a folder decides what is there.

use crate::paths::{FolderId, Paths};
use crate::permissions::{Access, FileGrant};

/// A folder of a plugin, by what it is and not by what it is called.
pub(super) struct Granted<'g> {
    pub(super) plugin: &'g str,
    pub(super) grant: &'g FileGrant,
    /// Of the folder, or of the one that those of clients are in; `None` where it is not there.
    pub(super) id: Option<FolderId>,
}

impl<'g> Granted<'g> {
    /// As the manifest has it.
    pub(super) fn of(plugin: &'g str, grant: &'g FileGrant, paths: &Paths) -> Granted<'g> {
        Granted {
            plugin,
            grant,
            id: paths.granted_id(&grant.root()),
        }
    }
}

/// A folder of one plugin in a folder that another may write.
pub(super) struct Nested<'a, 'g> {
    pub(super) inner: &'a Granted<'g>,
    pub(super) outer: &'a Granted<'g>,
}

/// The folders that lie in one that another plugin may write, where their grant does not say that this is meant.
pub(super) fn nested<'a, 'g>(granted: &'a [Granted<'g>]) -> Vec<Nested<'a, 'g>> {
    let inner = granted.iter().filter(|it| !it.grant.allow_nested);
    let found = inner.filter_map(|inner| {
        let others = granted.iter().filter(|it| it.plugin != inner.plugin);
        let mut writable = others.filter(|it| it.grant.access == Access::ReadWrite);
        let outer = writable.find(|outer| lies_in(inner, outer))?;
        Some(Nested { inner, outer })
    });
    found.collect()
}

/// Whether one folder lies in the other, or may for some client.
fn lies_in(inner: &Granted, outer: &Granted) -> bool {
    let (Some(inner_id), Some(outer_id)) = (&inner.id, &outer.id) else {
        return false;
    };
    if outer_id.holds(inner_id) {
        return true;
    }
    let is_same = inner_id.is_same(outer_id);
    match (inner.grant.client_folders(), outer.grant.client_folders()) {
        (Some(inner), Some(outer)) => is_same && inner.is_below(&outer),
        (Some(_), None) => is_same,
        (None, _) => false,
    }
}
