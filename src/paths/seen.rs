//! What is where, by device and inode.

use std::fs::File;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, fstat, openat, statat};

use super::folder::Id;
use super::walk::{LOOK_UP, id_of};

/// A guest can nest folders deeper than anybody could climb out of in time.
const MAX_DEPTH: usize = 4096;

pub(super) fn id(file: &File) -> Option<Id> {
    fstat(file).ok().map(|stat| id_of(&stat))
}

pub(super) fn device(file: &File) -> Option<u64> {
    id(file).map(|(device, _)| device)
}

/// What is at a path from a folder; a link at its end is not followed.
pub(super) fn id_at(folder: &File, path: &Path) -> Option<Id> {
    if path.as_os_str().is_empty() {
        return id(folder);
    }
    let stat = statat(folder, path, AtFlags::SYMLINK_NOFOLLOW);
    stat.ok().map(|stat| id_of(&stat))
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
