//! Looks up files by device and inode.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::folder_id::{GrantedRoot, InodeId};
use super::vcs;

/// The most ancestors examined: guests can nest folders deeper than anyone could climb out of in
/// time.
const MAX_DEPTH: usize = 4096;

/// The most names, and nested folders, examined in a folder.
const MAX_NAMES: usize = 200_000;
const MAX_NESTED: usize = 100;

/// How to open a folder for looking up names; it need not be readable.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const LOOK_UP: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const LOOK_UP: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

#[allow(clippy::useless_conversion, clippy::unnecessary_cast)] // not everywhere are they u64
pub(super) fn id_of(stat: &rustix::fs::Stat) -> InodeId {
    (stat.st_dev as u64, stat.st_ino as u64)
}

pub(super) fn id(file: &File) -> Option<InodeId> {
    fstat(file).ok().map(|stat| id_of(&stat))
}

pub(super) fn device(file: &File) -> Option<u64> {
    id(file).map(|(device, _)| device)
}

/// The file at a path below a folder; a link at its end is not followed.
pub(super) fn id_at(folder: impl AsFd, path: &Path) -> Option<InodeId> {
    if path.as_os_str().is_empty() {
        return fstat(folder).ok().map(|stat| id_of(&stat));
    }
    let stat = statat(folder, path, AtFlags::SYMLINK_NOFOLLOW);
    stat.ok().map(|stat| id_of(&stat))
}

/// Opens the file at a path below a folder to hold it, without blocking; a link at its end is not
/// followed.
pub(super) fn hold(folder: impl AsFd, path: &Path) -> Option<(InodeId, File)> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let how = OFlags::PATH;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let how = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let how = how | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = openat(folder, path, how, Mode::empty()).ok()?;
    Some((id_of(&fstat(&held).ok()?), held.into()))
}

/// Whether an open file has no name any more.
pub(super) fn is_removed(file: &File) -> bool {
    fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}

/// The folder and its ancestors; `None` if they cannot be determined.
pub(super) fn above(folder: &File) -> Option<Vec<InodeId>> {
    let mut above = vec![id(folder)?];
    let mut here = openat(folder, ".", LOOK_UP, Mode::empty()).ok()?;
    while above.len() < MAX_DEPTH {
        here = openat(&here, "..", LOOK_UP, Mode::empty()).ok()?;
        let id = id_of(&fstat(&here).ok()?);
        // The root is its own parent.
        if above.last() == Some(&id) {
            return Some(above);
        }
        above.push(id);
    }
    None
}

/// Whether a name in a folder, or an ancestor of it, belongs to version control, and the nearest of
/// `roots` above it does not allow changes of that.
///
/// # Errors
///
/// The folder no longer exists, or is too deep to examine.
pub(super) fn is_vcs(folder: &File, name: &Path, roots: &[GrantedRoot]) -> io::Result<bool> {
    let has = |name: &str| id_at(folder, Path::new(name)).is_some();
    let is_vcs = vcs::is_name(name) || vcs::is_head(name) || vcs::completes(name, has);
    is_kept(folder, is_vcs, roots)
}

/// Whether a name in a folder is a repository or contains one at any depth, and the nearest of
/// `roots` above it does not allow changes of that.
///
/// No guest can move a repository or its ancestors meanwhile: this check refuses that.
///
/// # Errors
///
/// As for [`is_vcs`].
pub(super) fn has_repository(
    folder: &File,
    name: &Path,
    roots: &[GrantedRoot],
) -> io::Result<bool> {
    let Ok(there) = openat(folder, name, LOOK_UP, Mode::empty()) else {
        return Ok(false);
    };
    let may_have_one = || may_have_repository(&there, &mut { MAX_NAMES }, MAX_NESTED);
    Ok(is_kept(folder, true, roots)? && may_have_one())
}

/// Whether there is a repository at or below a folder; true if it cannot be examined.
fn may_have_repository(folder: &OwnedFd, names: &mut usize, nested: usize) -> bool {
    let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // The descriptor for looking up names may not be readable.
    let entries = openat(folder, ".", read, Mode::empty()).and_then(Dir::new);
    let Ok(entries) = entries else {
        return true;
    };
    let mut folders = Vec::new();
    for entry in entries {
        let Ok(entry) = entry else {
            return true;
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Some(left) = names.checked_sub(1) else {
            return true;
        };
        *names = left;
        if vcs::is_name(Path::new(OsStr::from_bytes(name.to_bytes()))) {
            return true;
        }
        // Not every file system reports the type.
        if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
            folders.push(name.to_owned());
        }
    }
    if is_repository(folder) {
        return true;
    }
    folders.into_iter().any(
        |name| match (openat(folder, name, LOOK_UP, Mode::empty()), nested) {
            (Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP), _) => false,
            (Err(_), _) | (Ok(_), 0) => true,
            (Ok(inner), nested) => may_have_repository(&inner, names, nested - 1),
        },
    )
}

fn is_repository(folder: impl AsFd) -> bool {
    vcs::is_repository(|name| id_at(&folder, Path::new(name)).is_some())
}

/// As [`is_vcs`], given whether the name itself belongs to version control.
fn is_kept(folder: &File, mut is_vcs: bool, roots: &[GrantedRoot]) -> io::Result<bool> {
    let mut here = openat(folder, ".", LOOK_UP, Mode::empty())?;
    let mut own = id_of(&fstat(&here)?);
    for _ in 0..MAX_DEPTH {
        let granted = roots.iter().filter(|root| root.id == own);
        if granted.clone().next().is_some() {
            let allows = granted.clone().any(|root| root.allows_vcs);
            let is_all = || granted.clone().any(|root| root.is_vcs) || is_repository(&here);
            return Ok(!allows && (is_vcs || is_all()));
        }
        let above = openat(&here, "..", LOOK_UP, Mode::empty())?;
        let is_called = |name: &&str| id_at(&above, Path::new(name)) == Some(own);
        is_vcs = is_vcs || vcs::NAMES.iter().any(is_called) || is_repository(&here);
        let id = id_of(&fstat(&above)?);
        // The root is its own parent.
        if id == own {
            return Ok(is_vcs);
        }
        (here, own) = (above, id);
    }
    Err(Errno::NAMETOOLONG.into())
}
