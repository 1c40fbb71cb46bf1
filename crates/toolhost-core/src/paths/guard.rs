//! What guests must not touch in the folders they are granted.
//!
//! Files are recognized by device and inode, not by the name a guest uses, so that no other
//! spelling, link or mount is missed; by name only where nothing exists yet.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::folder_id::{FolderId, GrantedRoot, InodeId};
use super::held_files::HeldFiles;
use super::protected::Protected;
use super::{Purpose, inodes};

impl Protected {
    fn concerns(&self, folder: &GuestFolder<'_>) -> bool {
        let matters = folder.is_writable || self.purpose.is_secret();
        let within = self.within.as_ref();
        matters && within.is_none_or(|within| within.contains(&folder.id.own))
    }
}

/// A folder granted to a guest.
pub(crate) struct GuestFolder<'f> {
    pub(crate) id: &'f FolderId,
    pub(crate) is_writable: bool,
    /// Whether version control's files in it may be changed, too.
    pub(crate) allows_vcs: bool,
    /// Whether the folder lies inside version control's files.
    pub(crate) is_vcs: bool,
}

/// What the guests of some folders must not touch.
pub(crate) struct Guard {
    protected: Vec<Arc<Protected>>,
    held: Arc<HeldFiles>,
    /// The writable folders.
    writable: Vec<GrantedRoot>,
    /// Devices of kernel file systems.
    kernel: Vec<u64>,
}

impl Guard {
    pub(super) fn new(
        protected: &[Arc<Protected>],
        held: &Arc<HeldFiles>,
        folders: &[GuestFolder<'_>],
        kernel: &[u64],
    ) -> Option<Guard> {
        let concerns = |it: &&Arc<Protected>| folders.iter().any(|folder| it.concerns(folder));
        let writable = folders.iter().filter(|folder| folder.is_writable);
        let guard = Guard {
            protected: protected.iter().filter(concerns).cloned().collect(),
            held: held.clone(),
            writable: writable
                .map(|it| GrantedRoot {
                    id: InodeId::clone(&it.id.own),
                    allows_vcs: it.allows_vcs,
                    is_vcs: it.is_vcs,
                })
                .collect(),
            kernel: kernel.to_vec(),
        };
        (guard.protects() || guard.keeps_vcs() || guard.hides()).then_some(guard)
    }

    /// Whether something opened from a folder is in a kernel file system, and the folder is not.
    pub(crate) fn is_of_kernel(&self, from: &File, opened: &File) -> bool {
        if self.kernel.is_empty() {
            return false;
        }
        let device = inodes::device(opened);
        device.is_some_and(|it| self.kernel.contains(&it)) && inodes::device(from) != device
    }

    /// The purpose of a name in a folder, if guests must not change, remove or create it.
    ///
    /// # Errors
    ///
    /// The folder cannot be examined.
    pub(crate) fn of_name(&self, folder: &File, name: &str) -> io::Result<Option<Purpose>> {
        let name = Path::new(name.trim_end_matches('/'));
        let own = inodes::id(folder).ok_or(io::ErrorKind::NotFound)?;
        let found = inodes::id_at(folder, name);
        // Some file systems ignore case.
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
                    .get_or_insert_with(|| inodes::above(folder))
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

    /// Whether a name in a folder belongs to version control and must not be changed.
    ///
    /// # Errors
    ///
    /// The folder cannot be examined.
    pub(crate) fn is_vcs(&self, folder: &File, name: &str) -> io::Result<bool> {
        let name = Path::new(name.trim_end_matches('/'));
        Ok(self.keeps_vcs() && inodes::is_vcs(folder, name, &self.writable)?)
    }

    /// Whether a name in a folder is a folder with a repository at any depth. Such a folder must
    /// not be renamed: programs that trust the repository at that path would find another in its
    /// place.
    ///
    /// # Errors
    ///
    /// The folder cannot be examined.
    pub(crate) fn has_repository(&self, folder: &File, name: &str) -> io::Result<bool> {
        let name = Path::new(name.trim_end_matches('/'));
        Ok(self.keeps_vcs() && inodes::has_repository(folder, name, &self.writable)?)
    }

    /// The purpose of an open file.
    pub(crate) fn of_file(&self, file: &File) -> Option<Purpose> {
        let own = inodes::id(file)?;
        let protected = self.protected.iter();
        let found = protected.filter(|it| self.held.now(it).as_ref() == Some(&own));
        // It may have several.
        let now = found.map(|it| it.purpose).max();
        now.max(self.held.purpose(&own))
    }

    /// The purpose that an open file may have. Where it lies cannot be told: with a code cache, it
    /// may lie in that.
    pub(crate) fn may_be(&self, file: &File) -> Option<Purpose> {
        let purposes = self.protected.iter().map(|it| it.purpose);
        let cache = || purposes.clone().find(|it| *it == Purpose::CodeCache);
        self.of_file(file).or_else(cache)
    }

    /// Whether there is any file of the host that a guest must not change.
    pub(crate) fn protects(&self) -> bool {
        !self.protected.is_empty() || self.held.concerns(!self.writable.is_empty())
    }

    /// Whether a guest may change a folder except version control's files in it.
    pub(crate) fn keeps_vcs(&self) -> bool {
        self.writable.iter().any(|root| !root.allows_vcs)
    }

    /// Whether there is anything that a guest must not read.
    pub(crate) fn hides(&self) -> bool {
        !self.kernel.is_empty()
    }
}
