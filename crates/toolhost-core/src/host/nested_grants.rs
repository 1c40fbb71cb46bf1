//! Granted folders inside other granted folders: a plugin that may write the outer one can replace
//! the inner one.

use crate::paths::{FolderId, Paths};
use crate::permissions::{Access, FileGrant};

/// A folder granted to a plugin, identified by its file id and not by its path.
pub(super) struct PluginGrant<'g> {
    pub(super) plugin: &'g str,
    pub(super) grant: &'g FileGrant,
    /// The id of the folder, or of the parent of client folders. `None` if it does not exist.
    pub(super) id: Option<FolderId>,
}

impl<'g> PluginGrant<'g> {
    /// The grant as written in the manifest.
    pub(super) fn of(plugin: &'g str, grant: &'g FileGrant, paths: &Paths) -> PluginGrant<'g> {
        PluginGrant {
            plugin,
            grant,
            id: paths.granted_id(&grant.root()),
        }
    }
}

/// A folder of one plugin inside a folder that another may write.
pub(super) struct Nested<'a, 'g> {
    pub(super) inner: &'a PluginGrant<'g>,
    pub(super) outer: &'a PluginGrant<'g>,
}

/// Finds the nested folders whose grant does not set `allow-nested`.
pub(super) fn nested<'a, 'g>(granted: &'a [PluginGrant<'g>]) -> Vec<Nested<'a, 'g>> {
    let inner = granted.iter().filter(|it| !it.grant.allow_nested);
    let found = inner.filter_map(|inner| {
        let others = granted.iter().filter(|it| it.plugin != inner.plugin);
        let mut writable = others.filter(|it| it.grant.access == Access::ReadWrite);
        let outer = writable.find(|outer| lies_in(inner, outer))?;
        Some(Nested { inner, outer })
    });
    found.collect()
}

/// Whether one folder lies in the other, or may do so for some client.
fn lies_in(inner: &PluginGrant, outer: &PluginGrant) -> bool {
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
