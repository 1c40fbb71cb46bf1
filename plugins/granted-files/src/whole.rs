//! Whole writes. A file is written beside the one it replaces, and then takes its name: a call that ends in the middle
//! leaves the old content or the new.
//!
//! The host does what WASI cannot: a temporary file is locked while its call lives, so that it can be told from one that
//! was left behind, and takes mode and owner of the file it replaces.

use crate::roots::io_error;
use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use toolhost_plugin::Error;

/// The folder of temporary files, beside what is written. It is there only while a write is under way, or after one that
/// was cut off.
pub const FOLDER: &str = ".toolhost-tmp";

/// The host knows temporary files by this and 32 hexadecimal digits.
const PREFIX: &str = ".toolhost-";

const MAX_LINKS: usize = 40;
const MAX_ATTEMPTS: usize = 20;

/// Where it ends up what is written to a path: at what a link leads to, which may be missing yet.
///
/// # Errors
///
/// It cannot be written to: it is a folder, is out of reach, or its mode forbids it.
pub fn target(path: &str) -> io::Result<String> {
    if let Err(error) = OpenOptions::new().write(true).open(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(link) = fs::read_link(&path) else {
            return Ok(path);
        };
        let link = link.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
        if link.starts_with('/') {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        path = match path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{link}"),
            None => link.to_owned(),
        };
    }
    Err(io::Error::other("too many links"))
}

/// Replaces the content of a file, unless another program has changed it since it was read.
///
/// # Errors
///
/// The file has other content than `before`, or cannot be replaced.
pub fn replace_content(path: &str, before: &[u8], after: &[u8]) -> Result<(), Error> {
    let write_error = |error| io_error("write", path, &error);
    let target = target(path).map_err(write_error)?;
    let mut temporary = Temporary::beside(&target).map_err(write_error)?;
    temporary.write(after).map_err(write_error)?;
    if !has_content(&target, before).map_err(|error| io_error("read", path, &error))? {
        return Err(Error::failed(format!(
            "{path} was changed by another program meanwhile; nothing was written: read it again"
        )));
    }
    temporary.replace(&target).map_err(write_error)
}

/// Creates a file that does not exist yet, and its parent folders.
///
/// # Errors
///
/// The file exists, or cannot be created.
pub fn create_file(path: &str, content: &[u8]) -> Result<(), Error> {
    create_parents(path)?;
    let created = target(path).and_then(|target| {
        let mut temporary = Temporary::beside(&target)?;
        temporary.write(content)?;
        temporary.create(&target)
    });
    created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::failed(format!("{path} exists; nothing was written"))
        }
        _ => io_error("write", path, &error),
    })
}

/// Creates the parent folders of a file.
///
/// # Errors
///
/// One is out of reach, or cannot be created.
pub fn create_parents(path: &str) -> Result<(), Error> {
    if let Some((folder, _)) = path.rsplit_once('/')
        && !folder.is_empty()
        && let Err(error) = fs::metadata(folder)
    {
        // A folder that is there but out of reach, behind a link for instance, is not to be created.
        if error.kind() != io::ErrorKind::NotFound {
            return Err(io_error("write", path, &error));
        }
        fs::create_dir_all(folder)
            .map_err(|error| io_error("create the folder", folder, &error))?;
    }
    Ok(())
}

/// Whether that, and nothing else, is in the file.
fn has_content(path: &str, mut content: &[u8]) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = file.read(&mut buffer)?;
        match content.strip_prefix(&buffer[..length]) {
            Some(rest) if length > 0 => content = rest,
            Some(rest) => return Ok(rest.is_empty()),
            None => return Ok(false),
        }
    }
}

/// A file that is written, and has no place yet. Dropped without one, it is removed, and with it what calls left behind
/// that were cut off.
pub struct Temporary {
    /// Removed after the file.
    _folder: Folder,
    path: String,
    file: File,
}

impl Temporary {
    /// A new one, for what will be written to `target`.
    ///
    /// # Errors
    ///
    /// No file can be created there.
    pub fn beside(target: &str) -> io::Result<Self> {
        let folder = match target.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{FOLDER}"),
            None => FOLDER.to_owned(),
        };
        let mut last = io::ErrorKind::ResourceBusy.into();
        for _ in 0..MAX_ATTEMPTS {
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let folder = Folder(folder.clone());
            let path = format!("{}/{PREFIX}{:016x}{:016x}", folder.0, random(), random());
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Self {
                        _folder: folder,
                        path,
                        file,
                    });
                }
                Err(error) => match error.kind() {
                    // Another call has cleaned up behind itself, or was given the same name.
                    io::ErrorKind::NotFound
                    | io::ErrorKind::ResourceBusy
                    | io::ErrorKind::AlreadyExists => last = error,
                    _ => return Err(error),
                },
            }
        }
        Err(last)
    }

    /// Writes what is to be in it, or what is to follow.
    ///
    /// # Errors
    ///
    /// The file system refused.
    pub fn write(&mut self, content: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(content);
        written.map_err(|error| self.reason(error, content.len() as u64))
    }

    /// Copies all of a file to its end.
    ///
    /// # Errors
    ///
    /// The file system refused.
    pub fn copy(&mut self, from: &mut File) -> io::Result<()> {
        match io::copy(from, &mut self.file) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.reason(error, from.metadata()?.len())),
        }
    }

    /// Why so much more could not be written. The libc has one error for all that fails in a stream; to make the file
    /// longer fails with the reason, if that is a quota.
    fn reason(&self, error: io::Error, more: u64) -> io::Error {
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        self.file.set_len(length + more).err().unwrap_or(error)
    }

    /// Puts it in the place of what is at `target`.
    ///
    /// # Errors
    ///
    /// The file system refused.
    pub fn replace(mut self, target: &str) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.path.clear();
        Ok(())
    }

    /// Puts it at `target`, where nothing may be. No rename of WASI's fails if something is.
    ///
    /// # Errors
    ///
    /// The file system refused.
    pub fn create(self, target: &str) -> io::Result<()> {
        fs::hard_link(&self.path, target).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => io::Error::other(
                "the file system has no hard links, so files can only be created with `if_exists` \"overwrite\"",
            ),
            _ => error,
        })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder of temporary files, as long as this call needs it.
struct Folder(String);

impl Drop for Folder {
    fn drop(&mut self) {
        if fs::remove_dir(&self.0).is_ok() {
            return;
        }
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            // What another call is writing, the host does not remove.
            if entry.file_name().to_str().is_some_and(is_temporary) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let _ = fs::remove_dir(&self.0);
    }
}

fn is_temporary(name: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.strip_prefix(PREFIX)
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(is_digit))
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, is_temporary, random};

    #[test]
    fn names_of_temporaries_are_recognised_and_no_others() {
        let name = || format!("{PREFIX}{:016x}{:016x}", random(), random());
        assert!(is_temporary(&name()) && name() != name());
        for other in [
            "",
            "n.txt",
            ".toolhost-",
            ".toolhost-tmp",
            &format!("{}0", name()),
        ] {
            assert!(!is_temporary(other), "{other}");
        }
    }
}
