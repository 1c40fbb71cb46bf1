//! Files that are replaced whole: what is new is written beside what is there, and then takes its name. Whoever reads finds
//! the one or the other, and a full disk leaves what was there.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::manifest::beside;

/// A file that has not taken the place of the one before yet. Dropped before it has, it is removed.
#[derive(Debug)]
pub struct Replacement {
    beside: PathBuf,
    /// Where it belongs, through a link to where that is.
    file: PathBuf,
}

impl Replacement {
    /// Beside `file` under the name [`beside`] has for it, which plugins are kept from; with the mode of what is there.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(file: &Path, text: &str) -> io::Result<Replacement> {
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let beside = beside(&file);
        // What is there may be a link, which is not to be written through.
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
        replacement.fill(new, text)
    }

    /// In a folder that is its user's alone and may have to be made, readable by no other, whoever else in this process or
    /// another is about to replace the same file.
    ///
    /// # Errors
    ///
    /// As of [`write`](Replacement::write).
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
        Replacement { beside, file }.fill(new, text)
    }

    fn fill(self, mut new: File, text: &str) -> io::Result<Replacement> {
        new.write_all(text.as_bytes())?;
        // Where there turns out to be no room for it, what was there before stays.
        new.sync_all()?;
        Ok(self)
    }

    /// Puts it in its place.
    ///
    /// # Errors
    ///
    /// It cannot be renamed; what was there before is there.
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
