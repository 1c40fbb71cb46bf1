//! A granted folder, held from load to the last call: what takes its place under its name later is
//! not granted.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::paths::{FolderId, Found, Granted, Holder, Paths, vcs};
use crate::permissions::{Access, DiskLimits, FileGrant};
use crate::quota::Quota;

#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) guest: String,
    pub(crate) access: Access,
    /// Whether what is version control's in it may be changed where it may be written.
    pub(super) allows_vcs: bool,
    /// Whether all of it was version control's when it was opened.
    pub(super) is_vcs: bool,
    /// What it is, to be compared with other folders.
    pub(crate) id: FolderId,
    /// The devices below it that are the kernel's, and not part of it.
    pub(super) kernel: Vec<u64>,
    path: PathBuf,
    held: File,
    limits: Option<DiskLimits>,
    quota: OnceLock<Arc<Quota>>,
    /// Where calls of one user have it in place of another.
    granted: Option<Arc<Granted>>,
}

impl Folder {
    pub(crate) fn open(grant: &FileGrant, paths: &Paths) -> io::Result<Folder> {
        check_system()?;
        let found = paths.open_folder(&grant.host)?;
        let mut folder = Folder::new(grant, found, None);
        // Who grants a repository by its name means it.
        folder.allows_vcs |= folder.is_vcs;
        Ok(folder)
    }

    /// What some calls have in place of a granted folder, `host`, with what the grant says of access, quota and version
    /// control; or a client's own, of a grant with `${client}`.
    pub(crate) fn open_for(
        grant: &FileGrant,
        host: &Path,
        holder: Holder,
        paths: &Paths,
    ) -> io::Result<Folder> {
        check_system()?;
        let is_writable = grant.access == Access::ReadWrite;
        let (found, granted) = paths.grant(host, is_writable, holder)?;
        // The grant names no repository there, whatever its folder is or becomes.
        Ok(Folder::new(grant, found, Some(granted)))
    }

    fn new(grant: &FileGrant, found: Found, granted: Option<Arc<Granted>>) -> Folder {
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

    /// The same folder, to be read only.
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

    /// Where it was when it was opened, without links.
    pub(crate) fn host(&self) -> &Path {
        &self.path
    }

    /// Whether it is still where it was: it may have been removed or replaced.
    pub(crate) fn is_there(&self) -> bool {
        let found = std::fs::symlink_metadata(&self.path);
        matches!((found, self.held.metadata()), (Ok(found), Ok(held)) if is_same(&found, &held))
    }

    /// Counts what is in it, if that has a limit: calls are served only after that. It may wait for a disk.
    ///
    /// # Errors
    ///
    /// As of [`Quota::count`].
    pub(crate) fn count(&self) -> io::Result<()> {
        if let Some(limits) = self.limits {
            let quota = Quota::count(&self.guest, limits, &self.id, &self.held, &self.kernel)?;
            self.quota.get_or_init(|| Arc::new(quota));
        }
        Ok(())
    }

    /// Whether there is nothing to count, or it was.
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
    /// Another folder has taken its place, or none.
    pub(super) fn path(&self) -> io::Result<PathBuf> {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            use std::os::unix::fs::MetadataExt;
            if self.held.metadata()?.nlink() == 0 {
                return Err(io::Error::other("it was removed"));
            }
            // The folder itself, under any name.
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

/// There the folder is found by its name alone.
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
