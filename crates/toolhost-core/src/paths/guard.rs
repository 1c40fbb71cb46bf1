//! What guests are kept from in the folders that they are granted.
//!
//! It is found by what it is (device and inode) and not by what a guest calls it, so that no other spelling,
//! link or mount of it is missed; and by its name where nothing is there yet.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::folder::{FolderId, Id, Root};
use super::held::Held;
use super::protected::Protected;
use super::{Purpose, seen};

impl Protected {
    fn concerns(&self, folder: &GuestFolder<'_>) -> bool {
        let matters = folder.is_writable || self.purpose.is_secret();
        let within = self.within.as_ref();
        matters && within.is_none_or(|within| within.contains(&folder.id.own))
    }
}

/// A folder that a guest is granted.
pub(crate) struct GuestFolder<'f> {
    pub(crate) id: &'f FolderId,
    pub(crate) is_writable: bool,
    /// Whether what is version control's in it may be changed, too.
    pub(crate) allows_vcs: bool,
    /// Whether all of it is version control's.
    pub(crate) is_vcs: bool,
}

/// What the guests of some folders are kept from.
pub(crate) struct Guard {
    protected: Vec<Arc<Protected>>,
    held: Arc<Held>,
    /// The folders that may be written.
    writable: Vec<Root>,
    /// Devices that show the kernel.
    kernel: Vec<u64>,
}

impl Guard {
    pub(super) fn new(
        protected: &[Arc<Protected>],
        held: &Arc<Held>,
        folders: &[GuestFolder<'_>],
        kernel: &[u64],
    ) -> Option<Guard> {
        let concerns = |it: &&Arc<Protected>| folders.iter().any(|folder| it.concerns(folder));
        let writable = folders.iter().filter(|folder| folder.is_writable);
        let guard = Guard {
            protected: protected.iter().filter(concerns).cloned().collect(),
            held: held.clone(),
            writable: writable
                .map(|it| Root {
                    id: Id::clone(&it.id.own),
                    allows_vcs: it.allows_vcs,
                    is_vcs: it.is_vcs,
                })
                .collect(),
            kernel: kernel.to_vec(),
        };
        (guard.protects() || guard.keeps_vcs() || guard.hides()).then_some(guard)
    }

    /// Whether something that was opened from a folder belongs to the kernel, and the folder does not.
    pub(crate) fn is_of_kernel(&self, from: &File, opened: &File) -> bool {
        if self.kernel.is_empty() {
            return false;
        }
        let device = seen::device(opened);
        device.is_some_and(|it| self.kernel.contains(&it)) && seen::device(from) != device
    }

    /// What a name in a folder is to the host, if guests must not change, remove or make it.
    ///
    /// # Errors
    ///
    /// The folder cannot be looked at.
    pub(crate) fn of_name(&self, folder: &File, name: &str) -> io::Result<Option<Purpose>> {
        let name = Path::new(name.trim_end_matches('/'));
        let own = seen::id(folder).ok_or(io::ErrorKind::NotFound)?;
        let found = seen::id_at(folder, name);
        // No two names of one folder differ in nothing else, on some file systems.
        let lower = |name: &Path| name.to_string_lossy().to_lowercase();
        let mut above = None;
        for protected in &self.protected {
            let now = self.held.now(protected);
            let is_it = match (&found, &now) {
                (Some(found), Some(now)) => found == now,
                (None, None) => {
                    let theirs = protected.rest.file_name().map(Path::new);
                    theirs.is_some_and(|theirs| lower(theirs) == lower(name))
                        && protected.folder().as_ref() == Some(&own)
                }
                _ => false,
            };
            let mut is_in_it = || match (protected.purpose, &now) {
                (Purpose::PluginDir, Some(now)) => *now == own && lower(name).ends_with(".wasm"),
                (purpose, Some(now)) if purpose.has_all_below() => above
                    .get_or_insert_with(|| seen::above(folder))
                    .as_ref()
                    .is_none_or(|above| above.contains(now)),
                _ => false,
            };
            if is_it || is_in_it() {
                return Ok(Some(protected.purpose));
            }
        }
        Ok(found.and_then(|found| self.held.purpose(&found)))
    }

    /// Whether a name in a folder is version control's, and may not be changed for that.
    ///
    /// # Errors
    ///
    /// The folder cannot be looked at.
    pub(crate) fn is_vcs(&self, folder: &File, name: &str) -> io::Result<bool> {
        let name = Path::new(name.trim_end_matches('/'));
        Ok(self.keeps_vcs() && seen::is_vcs(folder, name, &self.writable)?)
    }

    /// Whether a name in a folder is a folder with a repository in it, however deep, which may not get another name for that: whoever
    /// trusts the one that is there would find another in its place.
    ///
    /// # Errors
    ///
    /// The folder cannot be looked at.
    pub(crate) fn has_repository(&self, folder: &File, name: &str) -> io::Result<bool> {
        let name = Path::new(name.trim_end_matches('/'));
        Ok(self.keeps_vcs() && seen::has_repository(folder, name, &self.writable)?)
    }

    /// What an open file is to the host.
    pub(crate) fn of_file(&self, file: &File) -> Option<Purpose> {
        let own = seen::id(file)?;
        let protected = self.protected.iter();
        let found = protected.filter(|it| self.held.now(it).as_ref() == Some(&own));
        // It may be more than one thing.
        let now = found.map(|it| it.purpose).max();
        now.max(self.held.purpose(&own))
    }

    /// What an open file may be to the host. Where it lies is not to be seen: where there is a code cache, it
    /// may lie in that.
    pub(crate) fn may_be(&self, file: &File) -> Option<Purpose> {
        let purposes = self.protected.iter().map(|it| it.purpose);
        let cache = || purposes.clone().find(|it| *it == Purpose::CodeCache);
        self.of_file(file).or_else(cache)
    }

    /// Whether there is anything of the host's that a guest may not change.
    pub(crate) fn protects(&self) -> bool {
        !self.protected.is_empty() || self.held.concerns(!self.writable.is_empty())
    }

    /// Whether there is a folder in which a guest may change all but what is version control's.
    pub(crate) fn keeps_vcs(&self) -> bool {
        self.writable.iter().any(|root| !root.allows_vcs)
    }

    /// Whether there is anything that a guest may not look at.
    pub(crate) fn hides(&self) -> bool {
        !self.kernel.is_empty()
    }
}
