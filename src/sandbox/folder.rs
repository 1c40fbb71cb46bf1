//! A granted folder, held from load to the last call: what takes its place under its name later is
//! not granted.

use std::fs::{File, Metadata};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::paths::{FolderId, Paths, vcs};
use crate::permissions::{Access, DiskLimits, FileGrant};
use crate::quota::Quota;

#[derive(Debug)]
pub(crate) struct Folder {
    pub(super) guest: String,
    pub(crate) access: Access,
    /// Whether what is version control's in it may be changed where it may be written.
    pub(super) allows_vcs: bool,
    /// What it is, to be compared with other folders.
    pub(crate) id: FolderId,
    /// The devices below it that are the kernel's, and not part of it.
    pub(super) kernel: Vec<u64>,
    path: PathBuf,
    held: File,
    limits: Option<DiskLimits>,
    quota: OnceLock<Arc<Quota>>,
}

impl Folder {
    pub(crate) fn open(grant: &FileGrant, paths: &Paths) -> io::Result<Folder> {
        if cfg!(windows) {
            return Err(io::Error::other(
                "plugins cannot be granted folders on Windows: wasmtime 48.0.8 lets them out (GHSA-f2pq-268w-886c)",
            ));
        }
        let found = paths.open_folder(&grant.host)?;
        Ok(Folder {
            guest: grant.guest.clone(),
            access: grant.access,
            // Who grants a repository by its name means it.
            allows_vcs: grant.allow_vcs || vcs::holds(&found.path),
            id: found.id,
            kernel: found.kernel,
            path: found.path,
            held: found.held,
            limits: grant.disk_limits(),
            quota: OnceLock::new(),
        })
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

    /// Whether [`count`](Folder::count) has anything to count.
    pub(crate) fn has_quota(&self) -> bool {
        self.limits.is_some()
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
            Err(io::Error::other("another folder has taken its place"))
        }
    }
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
