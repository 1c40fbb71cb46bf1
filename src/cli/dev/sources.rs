//! The sources of a plugin, as they look: what a build reads, not what it writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files that are looked at: a folder with more is no plugin's.
const MAX_FILES: usize = 20_000;

/// How deep folders are searched.
const MAX_DEPTH: usize = 32;

/// Folders that builds and package managers fill.
const NOT_SOURCES: [&str; 6] = [
    "__pycache__",
    "build",
    "dist",
    "node_modules",
    "target",
    "venv",
];

/// Files that a build writes, though they are kept.
const WRITTEN: [&str; 1] = ["Cargo.lock"];

/// The metadata of all sources in a folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sources(BTreeMap<PathBuf, (SystemTime, u64)>);

impl Sources {
    pub(super) fn of(folder: &Path) -> Sources {
        let mut sources = Sources::default();
        sources.add(folder, 0);
        sources
    }

    fn add(&mut self, folder: &Path, depth: usize) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            if self.0.len() >= MAX_FILES {
                return;
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Editors and builds have temporary files of such names.
            if name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            let path = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                if depth < MAX_DEPTH && !NOT_SOURCES.contains(&&*name) {
                    self.add(&path, depth + 1);
                }
            } else if is_source(&path)
                && !WRITTEN.contains(&&*name)
                && let Ok(metadata) = path.metadata()
                && let Ok(modified) = metadata.modified()
            {
                self.0.insert(path, (modified, metadata.len()));
            }
        }
    }
}

fn is_source(path: &Path) -> bool {
    // Programs that `make test` builds have no extension, as Makefiles have none.
    let is_made = |path: &Path| path.file_name().is_some_and(|name| name != "Makefile");
    match path.extension() {
        Some(extension) => !["wasm", "o", "pyc", "tmp"]
            .iter()
            .any(|it| extension == *it),
        None => !is_made(path),
    }
}
