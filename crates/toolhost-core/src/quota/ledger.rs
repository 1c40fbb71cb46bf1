//! The contents of a folder by inodes, so that files of other programs are never mistaken for room
//! that guests have freed.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use super::entry::FileEntry;
use super::{FileId, open_files, walk};

/// The most files counted. Each takes about 50 bytes.
pub(super) const MOST_FILES: u64 = 1_000_000;

/// Recounting takes at most one part in this many of the time.
const PARTS: u32 = 10;

#[derive(Debug)]
pub(super) struct Ledger {
    folder: File,
    kernel: Vec<u64>,
    entries: HashMap<FileId, FileEntry>,
    /// Files without a name but still open: they count until they are closed.
    nameless: Vec<FileId>,
    files: u64,
    /// File lengths can be absurd, so their sum needs 128 bits.
    bytes: u128,
    /// When it was last counted, and how long that took.
    counted: Option<(Instant, Duration)>,
    is_doubtful: bool,
}

impl Ledger {
    /// A ledger that has not been counted yet.
    pub(super) fn new(folder: File, kernel: Vec<u64>) -> Ledger {
        Ledger {
            folder,
            kernel,
            entries: HashMap::new(),
            nameless: Vec::new(),
            files: 0,
            bytes: 0,
            counted: None,
            is_doubtful: false,
        }
    }

    pub(super) fn is_counted_since(&self, then: Instant) -> bool {
        self.counted.is_some_and(|(counted, _)| counted >= then)
    }

    /// The number of files, and the bytes they take.
    pub(super) fn total(&self) -> (u64, u64) {
        (self.files, u64::try_from(self.bytes).unwrap_or(u64::MAX))
    }

    /// Counts the present contents.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or has too many files.
    pub(super) fn count(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        let found = walk::walk(&self.folder, &self.kernel, MOST_FILES);
        self.counted = Some((begun, begun.elapsed()));
        let mut found = found?;
        self.nameless.clear();
        for id in self.entries.keys() {
            if !found.contains_key(id)
                && let Some(file) = open_files::nameless(*id)
            {
                let length = file.metadata()?.len();
                found.insert(*id, FileEntry { names: 0, length });
                self.nameless.push(*id);
            }
        }
        self.files = found.values().map(|entry| entry.files()).sum();
        self.bytes = found.values().map(|entry| entry.bytes()).sum();
        self.entries = found;
        self.is_doubtful = false;
        Ok(())
    }

    /// Notes that there may have been changes that were not recorded.
    pub(super) fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// Whether `more` files and bytes stay within `most`. An operation that adds nothing always
    /// fits. Before a refusal, doubtful contents are counted again.
    pub(super) fn has_room(&mut self, most: (u64, u64), more: (u64, u64)) -> bool {
        if more == (0, 0) || !self.is_doubtful && self.fits(most, more) {
            return true;
        }
        self.forget_closed();
        if !self.is_doubtful && self.fits(most, more) {
            return true;
        }
        let is_time = |(counted, took): (Instant, Duration)| counted.elapsed() >= took * PARTS;
        if self.counted.is_none_or(is_time)
            && let Err(error) = self.count()
        {
            tracing::warn!("cannot measure a folder with a quota: {error}");
        }
        self.fits(most, more)
    }

    fn fits(&self, (files, bytes): (u64, u64), (more_files, more_bytes): (u64, u64)) -> bool {
        (more_files == 0 || self.files.saturating_add(more_files) <= files.min(MOST_FILES))
            && (more_bytes == 0 || self.bytes + u128::from(more_bytes) <= u128::from(bytes))
    }

    /// Records a file of that length in the folder, or one that was there until it lost its last
    /// name.
    pub(super) fn set(&mut self, id: FileId, length: u64, has_name: bool) {
        let known = self.entries.get(&id);
        if known.is_none() && !has_name {
            self.nameless.push(id);
        }
        let names = known.map_or(has_name.into(), |entry| entry.names);
        self.put(id, Some(FileEntry { names, length }));
    }

    /// Records a new length of a known file.
    pub(super) fn resized(&mut self, id: FileId, length: u64) {
        if self.entries.contains_key(&id) {
            self.set(id, length, true);
        }
    }

    /// Records a new name, and the length, of a file. It has at most `links`: the recorded one may
    /// have been of a file that another program removed.
    pub(super) fn named(&mut self, id: FileId, length: u64, links: u32) {
        let known = self.entries.get(&id);
        let names = known.map_or(0, |entry| entry.names).saturating_add(1);
        let names = names.min(links.max(1));
        self.put(id, Some(FileEntry { names, length }));
    }

    /// Records the removal of a name of a known file. With its last name the file is gone, unless a
    /// guest has it open.
    pub(super) fn unnamed(&mut self, id: FileId) {
        let Some(&entry) = self.entries.get(&id) else {
            return;
        };
        let names = entry.names.saturating_sub(1);
        if names > 0 {
            self.put(id, Some(FileEntry { names, ..entry }));
        } else if open_files::nameless(id).is_some() {
            self.put(id, Some(FileEntry { names, ..entry }));
            self.nameless.push(id);
        } else {
            self.put(id, None);
        }
    }

    /// Frees the room of nameless files that are closed.
    fn forget_closed(&mut self) {
        for id in std::mem::take(&mut self.nameless) {
            // The inode number may have been reused.
            if self.entries.get(&id).is_none_or(|it| it.names > 0) {
                continue;
            }
            match open_files::nameless(id) {
                Some(_) => self.nameless.push(id),
                None => self.put(id, None),
            }
        }
    }

    fn put(&mut self, id: FileId, entry: Option<FileEntry>) {
        let before = match entry {
            Some(entry) => self.entries.insert(id, entry),
            None => self.entries.remove(&id),
        };
        if let Some(before) = before {
            self.files -= before.files();
            self.bytes -= before.bytes();
        }
        if let Some(entry) = entry {
            self.files += entry.files();
            self.bytes += entry.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;

    use super::*;

    /// The number of a removed file is reused for the next, in whatever folder that is.
    #[test]
    fn an_open_file_of_the_same_number_does_not_keep_the_room_of_a_removed_one() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [own, other] = folders.each_ref().map(tempfile::TempDir::path);
        let mut ledger = Ledger::new(File::open(own).unwrap(), Vec::new());
        ledger.count().unwrap();
        let most = (u64::MAX, ledger.total().1 + (60 << 10));

        let file = Arc::new(File::create(other.join("file")).unwrap());
        open_files::opened(&file);
        let metadata = file.metadata().unwrap();
        ledger.set((metadata.dev(), metadata.ino()), 40 << 10, false);
        assert!(ledger.has_room(most, (0, 60 << 10)));

        // Without a name, it may be the removed one.
        std::fs::remove_file(other.join("file")).unwrap();
        ledger.set((metadata.dev(), metadata.ino()), 40 << 10, false);
        assert!(!ledger.has_room(most, (0, 60 << 10)));
    }
}
