//! A granted folder, held from load to the last call: what takes its place under its name later is
//! not granted.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::PathBuf;

use crate::order::FolderId;
use crate::permissions::{Access, FileGrant};

#[derive(Debug)]
pub(crate) struct Folder {
    pub(super) guest: String,
    pub(crate) access: Access,
    /// What it is, to be compared with other folders.
    pub(crate) id: FolderId,
    path: PathBuf,
    held: File,
}

impl Folder {
    pub(crate) fn open(grant: &FileGrant) -> io::Result<Folder> {
        // One name for it, whatever becomes of the links on the way.
        let path = grant.host.canonicalize()?;
        let mut options = OpenOptions::new();
        options.read(true);
        // FILE_FLAG_BACKUP_SEMANTICS, without which Windows opens no folder.
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, 0x0200_0000);
        let held = options.open(&path)?;
        if !held.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Folder {
            guest: grant.guest.clone(),
            access: grant.access,
            id: FolderId::of(&path)?,
            path,
            held,
        })
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
