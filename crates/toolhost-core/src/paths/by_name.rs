//! Where a folder has no identity but its name: links are looked for in the path, and nothing is protected.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::FolderId;
use super::mounts::Mounts;
use super::protected::Protected;
use super::{HostFile, Paths, Want};

pub(super) struct Walk {
    path: PathBuf,
    file: Option<File>,
    is_among_guests: bool,
}

pub(super) fn walk(paths: &Paths, path: &Path, want: Want) -> io::Result<Walk> {
    let mut here = PathBuf::new();
    let granted = paths.all();
    let mut is_writable = false;
    let mut is_among_guests = false;
    for component in std::path::absolute(path)?.components() {
        is_among_guests = is_writable;
        here.push(component);
        match here.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() && is_writable => {
                return Err(io::Error::other(format!(
                    "{} is a symlink in a folder that plugins can write to, so it is not followed: use the path \
                     of its target",
                    here.display()
                )));
            }
            Ok(_) => {}
            Err(_) if matches!(want, Want::MayBeMissing | Want::Append) => break,
            Err(error) => return Err(error),
        }
        let own = here.canonicalize()?;
        is_writable |= granted
            .iter()
            .any(|known| known.is_writable && known.id.own == own);
    }
    let mut options = File::options();
    let file = match want {
        Want::Read => Some(options.read(true).open(path)?),
        Want::Append => Some(options.read(true).append(true).create(true).open(path)?),
        Want::Folder => {
            options.read(true);
            // FILE_FLAG_BACKUP_SEMANTICS, without which Windows opens no folder.
            #[cfg(windows)]
            std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, 0x0200_0000);
            let folder = options.open(path)?;
            if !folder.metadata()?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Some(folder)
        }
        Want::Anything | Want::MayBeMissing => None,
    };
    let path = path.canonicalize().unwrap_or(here);
    Ok(Walk {
        path,
        file,
        is_among_guests,
    })
}

impl Walk {
    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    pub(super) fn is_among_guests(&self) -> bool {
        self.is_among_guests
    }

    pub(super) fn into_file(self) -> io::Result<File> {
        self.file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Plugins are granted no folders here.
    pub(super) fn missing(self) -> Option<Missing> {
        None
    }

    pub(super) fn is_file(&self, _: &File) -> io::Result<bool> {
        Ok(true)
    }

    pub(super) fn folder_id(&self, mounts: &Mounts) -> io::Result<FolderId> {
        FolderId::of(&self.path, mounts)
    }

    pub(super) fn protected(&self, _: &HostFile) -> Vec<Protected> {
        Vec::new()
    }
}

pub(super) struct Missing;

impl Missing {
    pub(super) fn make(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub(super) mod seen {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use super::super::folder::{Id, Root};
    use super::super::vcs;

    pub(in super::super) fn id(_: &File) -> Option<Id> {
        None
    }

    pub(in super::super) fn device(_: &File) -> Option<u64> {
        None
    }

    pub(in super::super) fn id_at(_: &File, _: &Path) -> Option<Id> {
        None
    }

    pub(in super::super) fn hold(_: &File, _: &Path) -> Option<(Id, File)> {
        None
    }

    pub(in super::super) fn is_removed(_: &File) -> bool {
        false
    }

    pub(in super::super) fn above(_: &File) -> Option<Vec<Id>> {
        None
    }

    pub(in super::super) fn has_repository(_: &File, _: &Path, _: &[Root]) -> io::Result<bool> {
        Ok(false)
    }

    /// What the folder is in is not to be seen.
    pub(in super::super) fn is_vcs(_: &File, name: &Path, _: &[Root]) -> io::Result<bool> {
        Ok(vcs::is_name(name) || vcs::is_head(name))
    }
}
