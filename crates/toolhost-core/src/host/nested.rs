//! Granted folders inside other granted folders: a plugin that may write the outer one can replace
//! the inner one.

use crate::paths::Paths;
use crate::permissions::{Access, FileGrant};

/// A plugin's name and its granted folders.
pub(super) type Granted<'g> = (&'g str, Vec<&'g FileGrant>);

/// A folder of one plugin inside a folder that another may write.
pub(super) struct Nested<'g> {
    pub(super) inner: (&'g str, &'g FileGrant),
    pub(super) outer: (&'g str, &'g FileGrant),
}

/// Finds the nested folders whose grant does not set `allow-nested`.
pub(super) fn nested<'g>(granted: &[Granted<'g>], paths: &Paths) -> Vec<Nested<'g>> {
    let mut found = Vec::new();
    for (inner_of, grants) in granted {
        for inner in grants.iter().filter(|it| !it.allow_nested) {
            let others = granted.iter().filter(|(name, _)| name != inner_of);
            let mut outer = others.flat_map(|(name, grants)| {
                let writable = grants.iter().filter(|it| it.access == Access::ReadWrite);
                writable.map(move |grant| (*name, *grant))
            });
            if let Some(outer) = outer.find(|(_, outer)| lies_in(inner, outer, paths)) {
                found.push(Nested {
                    inner: (inner_of, inner),
                    outer,
                });
            }
        }
    }
    found
}

/// Whether one folder lies in the other, or may do so for some client.
fn lies_in(inner: &FileGrant, outer: &FileGrant, paths: &Paths) -> bool {
    let (inner_root, outer_root) = (inner.root(), outer.root());
    if paths.is_within(&inner_root, &outer_root) {
        return true;
    }
    let is_same = || paths.is_same(&inner_root, &outer_root);
    match (inner.client_folders(), outer.client_folders()) {
        (Some(inner), Some(outer)) => is_same() && inner.is_below(&outer),
        (Some(_), None) => is_same(),
        (None, _) => false,
    }
}
