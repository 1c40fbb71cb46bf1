//! Disk quotas: how many bytes and files a granted folder may hold. See docs/adr/0018.
//!
//! A folder is counted when it is loaded, and then kept up to date by the operations of guests, one
//! at a time. All grants and hosts of one folder share a [`Ledger`]; the limits belong to the
//! grant.

mod entry;
mod ledger;
mod open_files;
mod walk;

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};
use std::time::Instant;

use rustix::fs::{AtFlags, FileType, statat};
use tokio::sync::OwnedMutexGuard;

use crate::limits::{ByteSize, size};
use crate::locks;
use crate::paths::FolderId;
use crate::permissions::DiskLimits;
use entry::{BLOCK, blocks};
use ledger::{Ledger, MOST_FILES};
pub(crate) use open_files::opened;

/// A file or folder, by device and inode.
type FileId = (u64, u64);

type Tree = tokio::sync::Mutex<Ledger>;

/// The quota of one grant.
#[derive(Debug)]
pub(crate) struct Quota {
    /// The guest path of the folder.
    name: String,
    limits: DiskLimits,
    id: FileId,
    tree: Arc<Tree>,
    /// The ancestors of the folder. Those with a quota count what is in this folder, too.
    above: Vec<FileId>,
}

impl Quota {
    /// Counts the contents of the folder, which takes a while. What is on the devices of `kernel`
    /// does not count.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has too many files to count.
    pub(crate) fn count(
        name: &str,
        limits: DiskLimits,
        folder: &FolderId,
        held: &File,
        kernel: &[u64],
    ) -> io::Result<Quota> {
        let begun = Instant::now();
        let (id, above) = folder.ids();
        let known = trees().get(&id).and_then(Weak::upgrade);
        let tree = match known {
            Some(tree) => tree,
            None => {
                let new = Ledger::new(held.try_clone()?, kernel.to_vec());
                let new = Arc::new(Tree::new(new));
                let mut trees = trees();
                trees.retain(|_, tree| tree.strong_count() > 0);
                let known = trees.get(&id).and_then(Weak::upgrade);
                known.unwrap_or_else(|| {
                    trees.insert(id, Arc::downgrade(&new));
                    new
                })
            }
        };
        let mut ledger = tree.blocking_lock();
        // Several plugins may be granted the folder.
        if !ledger.is_counted_since(begun) {
            ledger.count()?;
        }
        drop(ledger);
        Ok(Quota {
            name: name.to_owned(),
            limits,
            id,
            tree,
            above: above.to_vec(),
        })
    }

    /// Whether both are of one folder.
    pub(crate) fn shares(&self, other: &Quota) -> bool {
        Arc::ptr_eq(&self.tree, &other.tree)
    }

    /// Waits until no other operation changes the folder.
    pub(crate) async fn hold(self: &Arc<Self>) -> HeldQuota {
        let mut found = vec![(self.id, self.tree.clone())];
        if !self.above.is_empty() {
            let trees = trees();
            let above = self.above.iter();
            found.extend(above.filter_map(|id| Some((*id, trees.get(id)?.upgrade()?))));
        }
        // Everyone locks in the same order, so that there is no deadlock.
        found.sort_unstable_by_key(|(id, _)| *id);
        found.dedup_by_key(|(id, _)| *id);
        let mut held = HeldQuota {
            quota: self.clone(),
            ledgers: Vec::new(),
            own: 0,
            looked: Vec::new(),
        };
        for (number, (id, tree)) in found.into_iter().enumerate() {
            if id == self.id {
                held.own = number;
            }
            held.ledgers.push(tree.lock_owned().await);
        }
        held
    }
}

/// The folders with a quota, of all hosts.
fn trees() -> MutexGuard<'static, HashMap<FileId, Weak<Tree>>> {
    static TREES: LazyLock<Mutex<HashMap<FileId, Weak<Tree>>>> = LazyLock::new(Mutex::default);
    locks::lock(&TREES)
}

/// Where a file is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WriteAt {
    Offset(u64),
    End,
}

/// Exclusive access to a folder's quota. Every operation with it may block on a disk.
pub(crate) struct HeldQuota {
    quota: Arc<Quota>,
    /// The ledgers of the folder and its ancestors.
    ledgers: Vec<OwnedMutexGuard<Ledger>>,
    /// The index of the folder's own.
    own: usize,
    looked: Vec<Looked>,
}

/// What was at a name before an operation.
struct Looked {
    folder: Arc<File>,
    name: String,
    before: Option<FileStat>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStat {
    id: FileId,
    length: u64,
    /// The number of its hard links.
    links: u32,
}

impl HeldQuota {
    /// Announces an operation on these names of open folders; if it `makes` the last one, there
    /// must be room for a file.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded).
    pub(crate) fn begin(&mut self, at: Vec<(Arc<File>, String)>, makes: bool) -> io::Result<()> {
        let looked = at.into_iter().map(|(folder, name)| Looked {
            before: stat_name(&folder, &name),
            folder,
            name,
        });
        self.looked = looked.collect();
        let is_there = |looked: &Looked| looked.before.is_some();
        if makes && !self.looked.last().is_some_and(is_there) {
            let room = self.need(1, BLOCK);
            if room.is_err() {
                self.looked.clear();
            }
            return room;
        }
        Ok(())
    }

    /// Settles an operation that succeeded or failed; `opened` is the file that it opened, if any.
    pub(crate) fn end(mut self, opened: Option<&Arc<File>>) {
        if let Some(file) = opened {
            open_files::opened(file);
        }
        let mut changed: Vec<(FileStat, i32)> = Vec::new();
        let mut count = |seen: Option<FileStat>, by: i32| {
            let Some(seen) = seen else { return };
            match changed.iter_mut().find(|(other, _)| other.id == seen.id) {
                // With its present state.
                Some(known) => *known = (seen, known.1 + by),
                None => changed.push((seen, by)),
            }
        };
        let looked = std::mem::take(&mut self.looked);
        looked.iter().for_each(|it| count(it.before, -1));
        let now = looked.iter().map(|it| stat_name(&it.folder, &it.name));
        now.for_each(|now| count(now, 1));
        for (seen, names) in changed {
            for ledger in &mut self.ledgers {
                match names {
                    0 => ledger.resized(seen.id, seen.length),
                    1.. => ledger.named(seen.id, seen.length, seen.links),
                    _ => ledger.unnamed(seen.id),
                }
            }
        }
    }

    /// Notes that an operation may be done whose effect will not be seen. Nothing it is done to is
    /// held open any more.
    pub(crate) fn doubt(&mut self) {
        self.looked.clear();
        self.ledgers.iter_mut().for_each(|ledger| ledger.doubt());
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if not all of it fits; then nothing is
    /// written.
    pub(crate) fn write(&mut self, file: &File, at: WriteAt, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let before = file.metadata()?;
        let start = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => before.len(),
        };
        let end = start.saturating_add(bytes.len() as u64);
        self.grow(&before, end.max(before.len()))?;
        let written = write_all(file, at, bytes);
        self.settle(file);
        written.map(|()| bytes.len())
    }

    /// Truncates or extends a file.
    ///
    /// # Errors
    ///
    /// As for [`write`](HeldQuota::write).
    pub(crate) fn set_size(&mut self, file: &File, size: u64) -> io::Result<()> {
        let before = file.metadata()?;
        if size > before.len() {
            self.grow(&before, size)?;
        }
        let done = file.set_len(size);
        self.settle(file);
        done
    }

    /// Reserves room for a file to grow to `length`.
    fn grow(&mut self, before: &Metadata, length: u64) -> io::Result<()> {
        let more = blocks(length) - blocks(before.len());
        // Its present size, whoever caused it.
        self.set(before, before.len());
        self.need(0, more)?;
        self.set(before, length);
        Ok(())
    }

    /// Updates the ledger to the file's present size.
    fn settle(&mut self, file: &File) {
        if let Ok(now) = file.metadata() {
            self.set(&now, now.len());
        }
    }

    fn set(&mut self, file: &Metadata, length: u64) {
        let (id, has_name) = (id_of(file), file.nlink() > 0);
        for ledger in &mut self.ledgers {
            ledger.set(id, length, has_name);
        }
    }

    fn need(&mut self, files: u64, bytes: u64) -> io::Result<()> {
        let Quota { name, limits, .. } = &*self.quota;
        let most = (
            limits.max_files.map_or(MOST_FILES, u64::from),
            limits.max_disk.map_or(u64::MAX, |most| most.as_u64()),
        );
        let ledger = &mut self.ledgers[self.own];
        if ledger.has_room(most, (files, bytes)) {
            return Ok(());
        }
        let (files, bytes) = ledger.total();
        let bytes = size(ByteSize::b(bytes));
        tracing::info!("over quota: files {name}, which has {bytes} in {files} files");
        Err(io::ErrorKind::QuotaExceeded.into())
    }
}

impl Drop for HeldQuota {
    /// The operation was not settled: its future was dropped.
    fn drop(&mut self) {
        if !self.looked.is_empty() {
            self.doubt();
        }
    }
}

fn write_all(file: &File, at: WriteAt, mut bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while !bytes.is_empty() {
        let written = match at {
            WriteAt::Offset(offset) => file.write_at(bytes, offset.saturating_add(done)),
            WriteAt::End => append(file, bytes),
        };
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                done += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Appends at the end, as other programs may append at the same time.
fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::{Errno, ReadWriteFlags, pwritev2};
        match pwritev2(file, &[io::IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND) {
            Err(Errno::NOSYS | Errno::OPNOTSUPP) => {}
            written => return Ok(written?),
        }
    }
    file.write_at(bytes, file.metadata()?.len())
}

/// What is at the last name of a path, without following a link.
fn stat_name(folder: &File, name: &str) -> Option<FileStat> {
    let name = name.trim_end_matches('/');
    // WASI refuses these.
    if name.is_empty() || name.contains('/') {
        return None;
    }
    let stat = statat(folder, Path::new(name), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileStat {
        id: stat_id(&stat),
        length: length(&stat),
        links: match FileType::from_raw_mode(stat.st_mode) {
            // Its subfolders count as its links.
            FileType::Directory => 1,
            _ => u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        },
    })
}

/// The length of a file; a folder or link counts for its name only.
fn length(stat: &rustix::fs::Stat) -> u64 {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => u64::try_from(stat.st_size).unwrap_or_default(),
        _ => 0,
    }
}

fn id_of(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// The numbers have other types on other systems.
#[allow(clippy::unnecessary_cast)]
fn stat_id(stat: &rustix::fs::Stat) -> FileId {
    (stat.st_dev as u64, stat.st_ino as u64)
}
