//! Atomic replacement of files: the new file is written beside the old one, and then renamed over
//! it. Readers see one or the other, and a full disk leaves the old one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::manifest::beside;

/// A new file that has not replaced the old one yet. Dropping it removes the new file.
#[derive(Debug)]
pub struct Replacement {
    beside: PathBuf,
    /// The file to replace; if that is a link, its target.
    file: PathBuf,
}

impl Replacement {
    /// Writes the new file under the name that [`beside`] has for it, which plugins must not touch,
    /// with the mode of the old one. For a link, that is the file it leads to.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(file: &Path, text: &str) -> io::Result<Replacement> {
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        Replacement::write_here(file, text.as_bytes())
    }

    /// As [`write`](Replacement::write), for a file whose path its user has not named: a link in
    /// its place may be anyone's, and is an error.
    ///
    /// # Errors
    ///
    /// As for [`write`](Replacement::write), or it is a symlink.
    pub fn write_unless_link(file: &Path, text: &str) -> io::Result<Replacement> {
        if file.is_symlink() {
            return Err(io::Error::other(
                "it is a symlink, which could lead to any file: replace it by a file, or remove it",
            ));
        }
        // `put` renames over a link that comes later, and does not follow it.
        Replacement::write_over_link(file, text.as_bytes())
    }

    /// As [`write`](Replacement::write), for any contents; a link is replaced itself.
    ///
    /// # Errors
    ///
    /// As for [`write`](Replacement::write).
    pub fn write_over_link(file: &Path, contents: &[u8]) -> io::Result<Replacement> {
        Replacement::write_here(file.to_owned(), contents)
    }

    fn write_here(file: PathBuf, contents: &[u8]) -> io::Result<Replacement> {
        let beside = beside(&file);
        // There may be a link, which must not be written through.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&beside)?;
        let replacement = Replacement { beside, file };
        if let Ok(old) = replacement.file.metadata() {
            new.set_permissions(old.permissions())?;
        }
        replacement.fill(new, contents)
    }

    /// Writes a new file that only its user can read, in a folder that is created if needed and
    /// private to the user; several processes may replace the same file.
    ///
    /// # Errors
    ///
    /// As for [`write`](Replacement::write).
    pub fn write_private(file: &Path, text: &str) -> io::Result<Replacement> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (mut folder, mut new) = (std::fs::DirBuilder::new(), OpenOptions::new());
        folder.recursive(true);
        new.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
            std::os::unix::fs::OpenOptionsExt::mode(&mut new, 0o600);
        }
        folder.create(file.parent().unwrap_or(Path::new("")))?;
        let beside = file.with_extension(format!("{}-{number}", std::process::id()));
        let new = new.open(&beside)?;
        let file = file.to_owned();
        Replacement { beside, file }.fill(new, text.as_bytes())
    }

    fn fill(self, mut new: File, contents: &[u8]) -> io::Result<Replacement> {
        new.write_all(contents)?;
        // If there is no room for it after all, the old file stays.
        new.sync_all()?;
        Ok(self)
    }

    /// Replaces the old file.
    ///
    /// # Errors
    ///
    /// It cannot be renamed; the old file stays.
    pub fn put(self) -> io::Result<()> {
        std::fs::rename(&self.beside, &self.file)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After `put` there is none.
        let _ = std::fs::remove_file(&self.beside);
    }
}
