//! Keeps protected files protected when they are renamed: a descriptor is held, so that the inode
//! number is not reused.

use std::fs::File;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use super::folder_id::InodeId;
use super::protected::Protected;
use super::{Purpose, inodes};
use crate::locks;

/// The most files held for one path, whose owner may replace it repeatedly.
const MOST_OF_A_PATH: usize = 16;

#[derive(Debug, Default)]
pub(super) struct HeldFiles(RwLock<Vec<HeldFile>>);

#[derive(Clone, Debug)]
struct HeldFile {
    id: InodeId,
    file: Arc<File>,
    /// The protected path.
    of: Arc<Protected>,
}

impl HeldFiles {
    /// What a host takes over from the one it replaces: files that were moved. The rest it finds by
    /// path, if its manifest still names it.
    pub(super) fn moved(&self) -> HeldFiles {
        let files = self.files();
        let moved = files
            .iter()
            .filter(|it| it.of.now().as_ref() != Some(&it.id));
        HeldFiles(RwLock::new(moved.cloned().collect()))
    }

    /// The file at a protected path now, which is held from then on.
    pub(super) fn now(&self, of: &Arc<Protected>) -> Option<InodeId> {
        let id = of.now()?;
        if of.purpose.is_file() && !has(&self.files(), &id, of.purpose) {
            self.hold(of);
        }
        Some(id)
    }

    fn hold(&self, of: &Arc<Protected>) {
        let Some((id, file)) = inodes::hold(&of.root.1, &of.rest) else {
            return;
        };
        let mut files = locks::write(&self.0);
        if has(&files, &id, of.purpose) {
            return;
        }
        // A file without a name cannot be opened by guests, and would keep its disk space.
        files.retain(|it| !inodes::is_removed(&it.file));
        let mut of_path = files.iter().enumerate().filter(|(_, it)| it.of.is_same(of));
        let oldest = of_path.next().map(|(number, _)| number);
        if let Some(oldest) = oldest.filter(|_| of_path.count() + 1 >= MOST_OF_A_PATH) {
            files.remove(oldest);
        }
        files.push(HeldFile {
            id,
            file: Arc::new(file),
            of: of.clone(),
        });
    }

    /// The present or past purpose of a file.
    pub(super) fn purpose(&self, id: &InodeId) -> Option<Purpose> {
        let files = self.files();
        let found = files.iter().filter(|it| it.id == *id);
        found.map(|it| it.of.purpose).max()
    }

    /// Whether any of it concerns a guest, which may write or not.
    pub(super) fn concerns(&self, writes: bool) -> bool {
        let files = self.files();
        files.iter().any(|it| writes || it.of.purpose.is_secret())
    }

    fn files(&self) -> RwLockReadGuard<'_, Vec<HeldFile>> {
        locks::read(&self.0)
    }
}

fn has(files: &[HeldFile], id: &InodeId, purpose: Purpose) -> bool {
    files
        .iter()
        .any(|it| it.id == *id && it.of.purpose == purpose)
}
