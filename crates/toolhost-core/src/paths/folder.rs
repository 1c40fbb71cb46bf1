//! What a folder is, whatever it is called.

use std::io;
use std::path::Path;

use super::mounts::{Area, Mounts};

/// A folder, and those that it lies in: by device and inode, and by their places in the file systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FolderId {
    pub(super) own: Id,
    pub(super) above: Vec<Id>,
    areas: Vec<Area>,
}

#[cfg(unix)]
pub(super) type Id = (u64, u64);

#[cfg(not(unix))]
pub(super) type Id = std::path::PathBuf;

/// A granted folder that may be written, and what of it is version control's.
pub(super) struct Root {
    pub(super) id: Id,
    /// Whether that may be changed.
    pub(super) allows_vcs: bool,
    /// Whether it is all of it.
    pub(super) is_vcs: bool,
}

impl FolderId {
    /// By its name, links followed.
    ///
    /// # Errors
    ///
    /// The folder is not there.
    pub(super) fn of(path: &Path, mounts: &Mounts) -> io::Result<FolderId> {
        let path = path.canonicalize()?;
        let above = path.ancestors().skip(1).map(id);
        let above = above.collect::<io::Result<_>>()?;
        Ok(FolderId::new(id(&path)?, above, &path, mounts))
    }

    /// As [`of`](FolderId::of), with what is mounted now.
    ///
    /// # Errors
    ///
    /// The folder is not there.
    pub(crate) fn now(path: &Path) -> io::Result<FolderId> {
        FolderId::of(path, &Mounts::read())
    }

    /// Of a folder whose path has no links.
    pub(super) fn new(own: Id, above: Vec<Id>, path: &Path, mounts: &Mounts) -> FolderId {
        FolderId {
            own,
            above,
            areas: mounts.areas(path),
        }
    }

    /// The folder and those that it lies in, by device and inode.
    #[cfg(unix)]
    pub(crate) fn ids(&self) -> ((u64, u64), &[(u64, u64)]) {
        (self.own, &self.above)
    }

    pub(crate) fn overlaps(&self, other: &FolderId) -> bool {
        self.is_same(other)
            || self.holds(other)
            || other.holds(self)
            || self
                .areas
                .iter()
                .any(|area| other.areas.iter().any(|other| area.overlaps(other)))
    }

    pub(crate) fn is_same(&self, other: &FolderId) -> bool {
        self.own == other.own
    }

    /// Whether the other lies in it, and is another.
    pub(crate) fn holds(&self, other: &FolderId) -> bool {
        let is_within = other.above.contains(&self.own);
        !self.is_same(other) && (is_within || other.areas.first().is_some_and(|it| self.covers(it)))
    }

    /// Whether an area lies in it, or in what is mounted below it.
    pub(super) fn covers(&self, area: &Area) -> bool {
        self.areas.iter().any(|own| own.holds(area))
    }
}

#[cfg(unix)]
pub(super) fn id(path: &Path) -> io::Result<Id> {
    use std::os::unix::fs::MetadataExt;
    let metadata = path.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
pub(super) fn id(path: &Path) -> io::Result<Id> {
    Ok(path.to_owned())
}
