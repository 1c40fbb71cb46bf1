//! What is in a folder, by inodes: so that what other programs have put there is never taken for what guests give back.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::{Id, open, walk};

/// The most that is counted. Each takes some 50 bytes.
pub(super) const MOST_FILES: u64 = 1_000_000;

/// At most so much of the time goes into counting again: one part in as many.
const PARTS: u32 = 10;

#[derive(Debug)]
pub(super) struct Ledger {
    folder: File,
    kernel: Vec<u64>,
    entries: HashMap<Id, Entry>,
    /// Without any name, but open: they take their place until they are closed.
    nameless: Vec<Id>,
    files: u64,
    /// Lengths are what files say, and can be absurd.
    bytes: u128,
    /// When it was last counted, and how long that took.
    counted: Option<(Instant, Duration)>,
    is_doubtful: bool,
}

impl Ledger {
    /// Not counted yet.
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

    /// Files, and the bytes that they take.
    pub(super) fn total(&self) -> (u64, u64) {
        (self.files, u64::try_from(self.bytes).unwrap_or(u64::MAX))
    }

    /// Counts what is there now.
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
                && let Some(file) = open::file(*id)
            {
                let length = file.metadata()?.len();
                found.insert(*id, Entry { names: 0, length });
                self.nameless.push(*id);
            }
        }
        self.files = found.values().map(|entry| entry.files()).sum();
        self.bytes = found.values().map(|entry| entry.bytes()).sum();
        self.entries = found;
        self.is_doubtful = false;
        Ok(())
    }

    /// Something may have been done that was not noted.
    pub(super) fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// Whether so many files and bytes more are no more than the most. What takes no more always fits. Before
    /// the answer is no, what is there is counted again.
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

    /// It has that length, and is in the folder, or was until it lost its last name.
    pub(super) fn set(&mut self, id: Id, length: u64, has_name: bool) {
        let known = self.entries.get(&id);
        if known.is_none() && !has_name {
            self.nameless.push(id);
        }
        let names = known.map_or(has_name.into(), |entry| entry.names);
        self.put(id, Some(Entry { names, length }));
    }

    /// It has that length, if it is known.
    pub(super) fn resized(&mut self, id: Id, length: u64) {
        if self.entries.contains_key(&id) {
            self.set(id, length, true);
        }
    }

    /// It has one name more, and that length. It has no more than `links`: what is known of it may be of one that
    /// another program has removed.
    pub(super) fn named(&mut self, id: Id, length: u64, links: u32) {
        let known = self.entries.get(&id);
        let names = known.map_or(0, |entry| entry.names).saturating_add(1);
        let names = names.min(links.max(1));
        self.put(id, Some(Entry { names, length }));
    }

    /// It has one name less, if it is known. With its last one it is gone, unless a guest has it open.
    pub(super) fn unnamed(&mut self, id: Id) {
        let Some(&entry) = self.entries.get(&id) else {
            return;
        };
        let names = entry.names.saturating_sub(1);
        if names > 0 {
            self.put(id, Some(Entry { names, ..entry }));
        } else if open::file(id).is_some() {
            self.put(id, Some(Entry { names, ..entry }));
            self.nameless.push(id);
        } else {
            self.put(id, None);
        }
    }

    /// Gives back what had no name any more, and is closed.
    fn forget_closed(&mut self) {
        for id in std::mem::take(&mut self.nameless) {
            // Its number may be another's by now.
            if self.entries.get(&id).is_none_or(|it| it.names > 0) {
                continue;
            }
            match open::file(id) {
                Some(_) => self.nameless.push(id),
                None => self.put(id, None),
            }
        }
    }

    fn put(&mut self, id: Id, entry: Option<Entry>) {
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
