//! A granted folder, held open from load to the last call: whatever takes its name later is not
//! granted.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::paths::{FolderHolder, FolderId, FoundFolder, GrantedFolder, Paths, vcs};
use crate::permissions::{Access, DiskLimits, FileGrant};
use crate::quota::Quota;

#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) guest: String,
    pub(crate) access: Access,
    /// Whether version control's files in it may be changed, if it is writable.
    pub(super) allows_vcs: bool,
    /// Whether the folder lay inside version control's files when it was opened.
    pub(super) is_vcs: bool,
    /// Its identity, to be compared with other folders.
    pub(crate) id: FolderId,
    /// The devices of kernel file systems below it, which are not part of it.
    pub(super) kernel: Vec<u64>,
    path: PathBuf,
    held: File,
    limits: Option<DiskLimits>,
    quota: OnceLock<Arc<Quota>>,
    /// Set if calls of one user have it in place of another.
    granted: Option<Arc<GrantedFolder>>,
}

impl Folder {
    pub(crate) fn open(grant: &FileGrant, paths: &Paths) -> io::Result<Folder> {
        check_system()?;
        let found = paths.open_folder(&grant.host)?;
        let mut folder = Folder::new(grant, found, None);
        // Granting a repository by its name means its contents, too.
        folder.allows_vcs |= folder.is_vcs;
        Ok(folder)
    }

    /// Opens the folder `host` in place of a granted one, with the grant's access, quota and
    /// version control setting; or a client's own folder of a grant with `${client}`.
    pub(crate) fn open_for(
        grant: &FileGrant,
        host: &Path,
        holder: FolderHolder,
        paths: &Paths,
    ) -> io::Result<Folder> {
        check_system()?;
        let is_writable = grant.access == Access::ReadWrite;
        let (found, granted) = paths.grant(host, is_writable, holder)?;
        // The grant does not name a repository, whatever its folder is or becomes.
        Ok(Folder::new(grant, found, Some(granted)))
    }

    fn new(grant: &FileGrant, found: FoundFolder, granted: Option<Arc<GrantedFolder>>) -> Folder {
        Folder {
            guest: grant.guest.clone(),
            access: grant.access,
            allows_vcs: grant.allow_vcs,
            is_vcs: vcs::holds(&found.path),
            id: found.id,
            kernel: found.kernel,
            path: found.path,
            held: found.held,
            limits: grant.disk_limits(),
            quota: OnceLock::new(),
            granted,
        }
    }

    /// The same folder, read-only.
    pub(crate) fn read_only(&self) -> io::Result<Folder> {
        Ok(Folder {
            guest: self.guest.clone(),
            access: Access::ReadOnly,
            allows_vcs: self.allows_vcs,
            is_vcs: self.is_vcs,
            id: self.id.clone(),
            kernel: self.kernel.clone(),
            path: self.path.clone(),
            held: self.held.try_clone()?,
            limits: None,
            quota: OnceLock::new(),
            granted: self.granted.clone(),
        })
    }

    /// Its path when it was opened, without links.
    pub(crate) fn host(&self) -> &Path {
        &self.path
    }

    /// Whether it is still at its path: it may have been removed or replaced.
    pub(crate) fn is_there(&self) -> bool {
        let found = std::fs::symlink_metadata(&self.path);
        matches!((found, self.held.metadata()), (Ok(found), Ok(held)) if is_same(&found, &held))
    }

    /// Counts its contents if it has a quota, before calls are served. May block on a disk.
    ///
    /// # Errors
    ///
    /// As for [`Quota::count`].
    pub(crate) fn count(&self) -> io::Result<()> {
        if let Some(limits) = self.limits {
            let quota = Quota::count(&self.guest, limits, &self.id, &self.held, &self.kernel)?;
            self.quota.get_or_init(|| Arc::new(quota));
        }
        Ok(())
    }

    /// Whether it has been counted, or has no quota.
    pub(crate) fn is_counted(&self) -> bool {
        self.limits.is_none() || self.quota.get().is_some()
    }

    /// Whether some calls have it in place of another.
    pub(crate) fn is_narrowed(&self) -> bool {
        self.granted.is_some()
    }

    pub(super) fn quota(&self) -> Option<Arc<Quota>> {
        self.quota.get().cloned()
    }

    /// A path that leads to it.
    ///
    /// # Errors
    ///
    /// It has been removed or replaced.
    pub(super) fn path(&self) -> io::Result<PathBuf> {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            use std::os::unix::fs::MetadataExt;
            if self.held.metadata()?.nlink() == 0 {
                return Err(io::Error::other("it was removed"));
            }
            // Leads to the folder itself, whatever its name.
            let path = PathBuf::from(format!("/proc/self/fd/{}", self.held.as_raw_fd()));
            if path.exists() {
                return Ok(path);
            }
        }
        if is_same(&std::fs::metadata(&self.path)?, &self.held.metadata()?) {
            Ok(self.path.clone())
        } else {
            Err(io::Error::other("it was replaced by another folder"))
        }
    }
}

/// Refuses to grant any folder where nothing keeps guests within it: the guards of files are written for Unix.
fn check_system() -> io::Result<()> {
    if cfg!(not(unix)) {
        return Err(io::Error::other(
            "plugins cannot be granted folders on Windows: wasmtime 48.0.8 lets them escape \
             (GHSA-f2pq-268w-886c)",
        ));
    }
    Ok(())
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Elsewhere the folder is found by its name only.
#[cfg(not(unix))]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    a.is_dir() == b.is_dir()
}

#[cfg(test)]
mod tests {
    #[test]
    fn folders_are_granted_on_unix_alone() {
        assert_eq!(super::check_system().is_ok(), cfg!(unix));
    }
}
