//! What files look like, to see that they change.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use toolhost::Manifest;

/// Metadata of files, and of the components in a folder, whichever these are.
#[derive(Clone, PartialEq)]
pub(in crate::cli) struct FileSnapshot {
    files: BTreeMap<PathBuf, Option<FileStamp>>,
    plugin_dir: Option<PathBuf>,
    dropped_in: BTreeMap<PathBuf, FileStamp>,
}

/// Modification time, size, and inode.
type FileStamp = (SystemTime, u64, u64);

impl FileSnapshot {
    /// The files that decide what is served, and the folder for plugins.
    pub(in crate::cli) fn of(manifest: &Manifest, trust: Option<PathBuf>) -> FileSnapshot {
        let mut files = manifest.own_files();
        files.extend(trust);
        // The audit log changes with every call.
        if let Some(audit) = &manifest.audit {
            files.retain(|file| *file != audit.path);
        }
        let snapshot = FileSnapshot {
            files: files.into_iter().map(|file| (file, None)).collect(),
            plugin_dir: manifest.plugin_dir.clone(),
            dropped_in: BTreeMap::new(),
        };
        snapshot.again()
    }

    /// The same files now.
    pub(in crate::cli) fn again(&self) -> FileSnapshot {
        let files = self.files.keys();
        let files = files.map(|file| (file.clone(), stamp(file)));
        let entries = self.plugin_dir.as_deref().map(std::fs::read_dir);
        let entries = entries.into_iter().flatten().flatten().flatten();
        let components = entries
            .map(|entry| entry.path())
            .filter(|file| is_component(file));
        FileSnapshot {
            files: files.collect(),
            plugin_dir: self.plugin_dir.clone(),
            dropped_in: components
                .filter_map(|file| Some((file.clone(), stamp(&file)?)))
                .collect(),
        }
    }

    /// With earlier metadata where that is known.
    pub(super) fn where_known_from(mut self, before: &FileSnapshot) -> FileSnapshot {
        for (file, stamp) in &mut self.files {
            if let Some(known) = before.files.get(file) {
                *stamp = *known;
            }
        }
        if self.plugin_dir == before.plugin_dir {
            self.dropped_in.clone_from(&before.dropped_in);
        }
        self
    }

    /// Whether a component that was added or changed since then is only partly there.
    pub(super) fn has_incomplete_plugin(&self, before: &FileSnapshot) -> bool {
        let changed = self
            .components()
            .filter(|(file, stamp)| before.components().all(|known| known != (*file, *stamp)));
        let mut changed = changed.map(|(file, _)| file);
        changed.any(|file| !is_complete(file))
    }

    /// The components that are there.
    fn components(&self) -> impl Iterator<Item = (&Path, FileStamp)> {
        let listed = self.files.iter();
        let listed = listed.filter_map(|(file, stamp)| Some((&**file, (*stamp)?)));
        let listed = listed.filter(|(file, _)| is_component(file));
        let dropped_in = self.dropped_in.iter();
        listed.chain(dropped_in.map(|(file, stamp)| (&**file, *stamp)))
    }
}

fn is_component(file: &Path) -> bool {
    file.extension().is_some_and(|it| it == "wasm")
}

fn stamp(file: &Path) -> Option<FileStamp> {
    let metadata = file.metadata().ok()?;
    Some((
        metadata.modified().ok()?,
        metadata.len(),
        file_id(&metadata),
    ))
}

/// Another file of the same name need not differ in anything else.
#[cfg(unix)]
fn file_id(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn file_id(_: &Metadata) -> u64 {
    0
}

/// Whether the sections of a WebAssembly file end where the file ends. Any other file is complete: loading says what is
/// wrong with it.
fn is_complete(file: &Path) -> bool {
    let Ok(mut file) = File::open(file) else {
        return true;
    };
    let Ok(length) = file.metadata().map(|it| it.len()) else {
        return true;
    };
    let mut head = [0; 8];
    if length < 8 {
        return false;
    }
    if file.read_exact(&mut head).is_err() || !head.starts_with(b"\0asm") {
        // Space that was reserved for a copy is zeros.
        return head != [0; 8];
    }
    let mut at = 8;
    while at < length {
        let Some((size, header)) = section(&mut file) else {
            return false;
        };
        at += header + size;
        if at > length || file.seek(SeekFrom::Start(at)).is_err() {
            return false;
        }
    }
    true
}

/// The size of a section, and of what comes before it.
fn section(file: &mut File) -> Option<(u64, u64)> {
    let mut byte = [0];
    file.read_exact(&mut byte).ok()?;
    let is_custom = byte[0] == 0;
    let (mut size, mut header) = (0, 1);
    for shift in (0..35).step_by(7) {
        file.read_exact(&mut byte).ok()?;
        header += 1;
        size |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            // A custom section has a name: these are the zeros of a file that is not written yet.
            return (size > 0 || !is_custom).then_some((size, header));
        }
    }
    None
}
