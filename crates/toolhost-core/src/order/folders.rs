//! Which folders overlap: the same one under any name, or one within the other.

use std::sync::{Arc, Weak};

use super::{Domain, GrantedFolders};
use crate::paths::FolderId;

/// A folder as somebody is granted it.
#[derive(Clone, Copy)]
pub(super) struct Member<'f> {
    pub(super) folder: &'f FolderId,
    pub(super) is_writable: bool,
}

/// The folders that domains of this process are of.
#[derive(Default)]
pub(super) struct Folders(Vec<Known>);

struct Known {
    folder: FolderId,
    is_writable: bool,
    domain: Weak<Domain>,
}

impl Folders {
    /// The domain of each plugin, by what it is granted. Those that can change nothing have one where
    /// another can change what they read, or may come to.
    pub(super) fn assign(
        &mut self,
        granted: &[GrantedFolders],
        may_be_written: bool,
    ) -> Vec<Option<Arc<Domain>>> {
        self.0.retain(|known| known.domain.strong_count() > 0);
        let mut domains: Vec<Option<Arc<Domain>>> = granted
            .iter()
            .map(|plugin| {
                self.known(plugin)
                    .or_else(|| new_domain(plugin, may_be_written))
            })
            .collect();
        // What can be written decides first; what only reads it joins.
        for (at, plugin) in granted.iter().enumerate() {
            for (other_at, other) in granted.iter().enumerate().skip(at + 1) {
                if overlap(plugin, other) {
                    let domain = domains[at]
                        .clone()
                        .or_else(|| domains[other_at].clone())
                        .unwrap_or_else(Domain::new);
                    for domain_of in [at, other_at] {
                        match &domains[domain_of] {
                            Some(own) => domain.merge(own),
                            None => domains[domain_of] = Some(domain.clone()),
                        }
                    }
                }
            }
        }
        for (plugin, domain) in granted.iter().zip(&domains) {
            let Some(domain) = domain else { continue };
            for member in plugin.members() {
                let is_known = self.0.iter().any(|known| {
                    known.is_writable == member.is_writable
                        && known.folder == *member.folder
                        && known.domain.as_ptr() == Arc::as_ptr(domain)
                });
                // Reloads come again and again.
                if !is_known {
                    self.0.push(Known {
                        folder: member.folder.clone(),
                        is_writable: member.is_writable,
                        domain: Arc::downgrade(domain),
                    });
                }
            }
        }
        domains
    }

    /// The domain that others have for these folders; one of all where they are of several.
    fn known(&self, plugin: &GrantedFolders) -> Option<Arc<Domain>> {
        let mut found: Option<Arc<Domain>> = None;
        for member in plugin.members() {
            for known in &self.0 {
                let matters = member.is_writable || known.is_writable;
                if matters
                    && member.folder.overlaps(&known.folder)
                    && let Some(domain) = known.domain.upgrade()
                {
                    match &found {
                        Some(first) => first.merge(&domain),
                        None => found = Some(domain),
                    }
                }
            }
        }
        found
    }
}

fn new_domain(plugin: &GrantedFolders, may_be_written: bool) -> Option<Arc<Domain>> {
    let mut members = plugin.members();
    members
        .any(|member| member.is_writable || may_be_written)
        .then(Domain::new)
}

fn overlap(one: &GrantedFolders, other: &GrantedFolders) -> bool {
    one.members().any(|a| {
        let mut others = other.members();
        others.any(|b| (a.is_writable || b.is_writable) && a.folder.overlaps(b.folder))
    })
}
