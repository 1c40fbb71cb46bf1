//! Files that guests with a quota have open: a file without a name takes room until it is closed.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};

use super::{FileId, id_of};
use crate::locks;

#[derive(Default)]
struct OpenFiles {
    files: HashMap<FileId, Vec<Weak<File>>>,
    /// Closed ones are purged when there are this many.
    most: usize,
}

fn all() -> MutexGuard<'static, OpenFiles> {
    static OPEN: LazyLock<Mutex<OpenFiles>> = LazyLock::new(Mutex::default);
    locks::lock(&OPEN)
}

/// Registers a file as open for as long as this descriptor lives.
pub(crate) fn opened(file: &Arc<File>) {
    let Ok(metadata) = file.metadata() else {
        return;
    };
    let mut open = all();
    let OpenFiles { files, most } = &mut *open;
    if files.len() >= *most {
        files.retain(|_, files| {
            files.retain(|file| file.strong_count() > 0);
            !files.is_empty()
        });
        *most = (2 * files.len()).max(64);
    }
    let same = files.entry(id_of(&metadata)).or_default();
    if same.len() == same.capacity() {
        same.retain(|file| file.strong_count() > 0);
    }
    same.push(Arc::downgrade(file));
}

/// An open file that has no name any more. One that has a name is another: the inode number was
/// reused, possibly for a file of another folder.
pub(super) fn nameless(id: FileId) -> Option<Arc<File>> {
    let file = all().files.get(&id)?.iter().find_map(Weak::upgrade)?;
    let has_name = file.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
    (!has_name).then_some(file)
}
