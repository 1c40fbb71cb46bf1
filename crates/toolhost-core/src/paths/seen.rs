//! What is where, by device and inode.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::folder::{Id, Root};
use super::vcs;

/// A guest can nest folders deeper than anybody could climb out of in time.
const MAX_DEPTH: usize = 4096;

/// What may be in a folder that is looked through: so many names, and folders in one another.
const MAX_NAMES: usize = 200_000;
const MAX_NESTED: usize = 100;

/// A folder that names are looked up in, which need not be readable.
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
pub(super) fn id_of(stat: &rustix::fs::Stat) -> Id {
    (stat.st_dev as u64, stat.st_ino as u64)
}

pub(super) fn id(file: &File) -> Option<Id> {
    fstat(file).ok().map(|stat| id_of(&stat))
}

pub(super) fn device(file: &File) -> Option<u64> {
    id(file).map(|(device, _)| device)
}

/// What is at a path from a folder; a link at its end is not followed.
pub(super) fn id_at(folder: impl AsFd, path: &Path) -> Option<Id> {
    if path.as_os_str().is_empty() {
        return fstat(folder).ok().map(|stat| id_of(&stat));
    }
    let stat = statat(folder, path, AtFlags::SYMLINK_NOFOLLOW);
    stat.ok().map(|stat| id_of(&stat))
}

/// What is at a path from a folder, to be held; a link at its end is not followed, and nothing is waited for.
pub(super) fn hold(folder: impl AsFd, path: &Path) -> Option<(Id, File)> {
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

/// The folder and all that it lies in; `None` where that is not to be known.
pub(super) fn above(folder: &File) -> Option<Vec<Id>> {
    let mut above = vec![id(folder)?];
    let mut here = openat(folder, ".", LOOK_UP, Mode::empty()).ok()?;
    while above.len() < MAX_DEPTH {
        here = openat(&here, "..", LOOK_UP, Mode::empty()).ok()?;
        let id = id_of(&fstat(&here).ok()?);
        // The root is in itself.
        if above.last() == Some(&id) {
            return Some(above);
        }
        above.push(id);
    }
    None
}

/// Whether a name in a folder, or a folder that it is in, is of version control, and the nearest of `roots` that it is
/// in does not allow it to be changed.
///
/// # Errors
///
/// The folder is not there any more, or deeper than can be looked at.
pub(super) fn is_vcs(folder: &File, name: &Path, roots: &[Root]) -> io::Result<bool> {
    let completes = vcs::is_beside_head(name) && id_at(folder, Path::new(vcs::HEAD)).is_some();
    let is_vcs = vcs::is_name(name) || vcs::is_head(name) || completes;
    is_kept(folder, is_vcs, roots)
}

/// Whether a name in a folder is a folder that is a repository, or has one anywhere below it, and the nearest of `roots`
/// that it is in does not allow that to be changed.
///
/// No guest moves a repository meanwhile, nor what it is in: that is refused by this.
///
/// # Errors
///
/// As of [`is_vcs`].
pub(super) fn has_repository(folder: &File, name: &Path, roots: &[Root]) -> io::Result<bool> {
    let Ok(there) = openat(folder, name, LOOK_UP, Mode::empty()) else {
        return Ok(false);
    };
    let may_have_one = || may_have_repository(&there, &mut { MAX_NAMES }, MAX_NESTED);
    Ok(is_kept(folder, true, roots)? && may_have_one())
}

/// Whether there is a repository at or below a folder; what cannot be looked through may have one.
fn may_have_repository(folder: &OwnedFd, names: &mut usize, nested: usize) -> bool {
    let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // What names are looked up in need not be readable.
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
        // Not every file system says what it has.
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
    let has = |name: &str| id_at(&folder, Path::new(name)).is_some();
    has(vcs::HEAD) && vcs::BESIDE_HEAD.iter().all(|name| has(name))
}

/// As [`is_vcs`], of what a name in the folder is by itself.
fn is_kept(folder: &File, mut is_vcs: bool, roots: &[Root]) -> io::Result<bool> {
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
        // The root is in itself.
        if id == own {
            return Ok(is_vcs);
        }
        (here, own) = (above, id);
    }
    Err(Errno::NAMETOOLONG.into())
}
