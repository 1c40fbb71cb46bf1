//! A folder and all below it, in order of names.

use granted_files::io_error;
use std::fs;
use toolhost_plugin::Error;

/// Bounds a walk whose pattern finds nothing in a folder that never ends.
const MAX_ENTRIES: usize = 200_000;

/// One thing found.
pub(crate) struct Entry {
    /// As a tool would be given it.
    pub(crate) path: String,
    /// Relative to where the walk began.
    pub(crate) relative: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    /// A symbolic link, a socket, …: named, never followed.
    Other,
    /// Its name is not UTF-8: what it is called here does not lead to it.
    Unreachable,
}

/// How many entries of a walk are that.
#[derive(Default)]
pub(crate) struct Unreachable(usize);

impl Unreachable {
    pub(crate) fn count(&mut self, entry: &Entry) {
        self.0 += usize::from(entry.kind == Kind::Unreachable);
    }

    /// What a model should know of them.
    pub(crate) fn note(&self) -> Option<String> {
        match self.0 {
            0 => None,
            1 => Some("1 name is not UTF-8 and was skipped.".to_owned()),
            many => Some(format!("{many} names are not UTF-8 and were skipped.")),
        }
    }
}

/// How a walk ended.
pub(crate) enum End {
    Complete,
    /// The visitor had enough.
    Stopped,
    /// There are more entries than anybody wants to wait for.
    TooMany,
}

/// Visits what is in a folder, and below it to `depth` levels, until `visit` says no. Folders named `.git` are not
/// entered: what is in them is git's.
pub(crate) fn walk(
    folder: &str,
    depth: usize,
    mut visit: impl FnMut(Entry) -> bool,
) -> Result<End, Error> {
    // The next to visit is on top.
    let mut todo = Vec::new();
    push_entries(&mut todo, folder, "", 1).map_err(|error| io_error("list", folder, &error))?;
    let mut visited = 0;
    while let Some((entry, level)) = todo.pop() {
        visited += 1;
        if visited > MAX_ENTRIES {
            return Ok(End::TooMany);
        }
        let enter = entry.kind == Kind::Folder
            && level < depth
            && entry.relative.rsplit('/').next() != Some(".git");
        let (path, relative) = (entry.path.clone(), entry.relative.clone());
        if !visit(entry) {
            return Ok(End::Stopped);
        }
        if enter {
            // One folder that cannot be read spoils nothing else.
            let _ = push_entries(&mut todo, &path, &relative, level + 1);
        }
    }
    Ok(End::Complete)
}

fn push_entries(
    todo: &mut Vec<(Entry, usize)>,
    folder: &str,
    relative: &str,
    level: usize,
) -> std::io::Result<()> {
    let first = todo.len();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == granted_files::FOLDER {
            continue;
        }
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_dir() => Kind::Folder,
            Ok(kind) if kind.is_file() => Kind::File,
            // The host lists it, with what is no character replaced.
            Err(_) if name.contains(char::REPLACEMENT_CHARACTER) => Kind::Unreachable,
            _ => Kind::Other,
        };
        let path = format!("{}/{name}", folder.trim_end_matches('/'));
        let relative = if relative.is_empty() {
            name
        } else {
            format!("{relative}/{name}")
        };
        todo.push((
            Entry {
                path,
                relative,
                kind,
            },
            level,
        ));
    }
    todo[first..].sort_by(|a, b| b.0.relative.cmp(&a.0.relative));
    Ok(())
}
