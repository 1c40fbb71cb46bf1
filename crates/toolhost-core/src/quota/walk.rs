//! Everything in a folder, with no link followed and however deep it is.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::entry::Entry;
use super::{Id, length, stat_id};

/// Folders on the way that are held open; the others are climbed back to.
const HELD: usize = 64;

/// A folder that is looked through.
struct Level {
    id: Id,
    held: Option<OwnedFd>,
    /// The folders in it that are still to be looked through.
    folders: Vec<CString>,
}

/// What is in the folder. What is on the devices of `kernel` is no part of it.
///
/// # Errors
///
/// The folder cannot be read, or there is more in it than `most`; or it was moved about meanwhile.
pub(super) fn walk(folder: &File, kernel: &[u64], most: u64) -> io::Result<HashMap<Id, Entry>> {
    let root = stat_id(&fstat(folder)?);
    let mut found = Found {
        kernel,
        most,
        root,
        entries: HashMap::new(),
    };
    let held = open(folder, c".")?;
    let folders = found.read(&held)?;
    let mut levels = vec![Level {
        id: root,
        held: Some(held),
        folders,
    }];
    while let Some(level) = levels.last_mut() {
        let here = level.held.as_ref().expect("it was opened or climbed to");
        if let Some(name) = level.folders.pop() {
            let held = match open(here, &name) {
                // It is gone, or another program's alone; then it is no guest's, either.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM) => {
                    continue;
                }
                opened => opened?,
            };
            let id = stat_id(&fstat(&held)?);
            let folders = found.read(&held)?;
            levels.push(Level {
                id,
                held: Some(held),
                folders,
            });
            if let Some(far) = levels.len().checked_sub(HELD + 1) {
                levels[far].held = None;
            }
            continue;
        }
        let left = levels.pop().and_then(|level| level.held);
        if let (Some(left), Some(level)) = (left, levels.last_mut())
            && level.held.is_none()
        {
            let above = open(&left, c"..")?;
            if stat_id(&fstat(&above)?) != level.id {
                return Err(io::Error::other(
                    "folders in it were moved while it was measured",
                ));
            }
            level.held = Some(above);
        }
    }
    Ok(found.entries)
}

struct Found<'k> {
    kernel: &'k [u64],
    most: u64,
    root: Id,
    entries: HashMap<Id, Entry>,
}

impl Found<'_> {
    /// Adds what is in a folder; the folders in it that are new.
    fn read(&mut self, folder: &OwnedFd) -> io::Result<Vec<CString>> {
        let mut folders = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT | Errno::ACCESS) => continue,
                stat => stat?,
            };
            let id = stat_id(&stat);
            if self.kernel.contains(&id.0) || id == self.root {
                continue;
            }
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let is_new = !self.entries.contains_key(&id);
            // One that is mounted twice is looked through once.
            if is_folder && is_new {
                folders.push(name.to_owned());
            }
            let known = self.entries.entry(id).or_insert(Entry {
                names: 0,
                length: 0,
            });
            known.names = known.names.saturating_add(1);
            known.length = length(&stat);
            if self.entries.len() as u64 > self.most {
                let most = self.most;
                return Err(io::Error::other(format!("it has more than {most} files")));
            }
        }
        Ok(folders)
    }
}

fn open(folder: impl AsFd, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}
