//! Files that are opened again and again, by a name that may lead elsewhere since the load: into
//! their folder only.

use std::io;
use std::path::{Path, PathBuf};

/// The folders, without links, that a path may lead into.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Of the file as it was at load, and of its name. The one is for a file in another folder,
    /// the other for a link that is replaced to change it.
    folders: Vec<PathBuf>,
}

impl Accepted {
    pub(super) fn of(path: &Path) -> Accepted {
        let real = path.canonicalize().ok();
        let of_file = real.as_deref().and_then(Path::parent).map(Path::to_owned);
        let mut folders: Vec<PathBuf> = of_file.into_iter().collect();
        folders.extend(folder_of_name(path).ok());
        Accepted { folders }
    }

    /// Checks where the path leads now.
    ///
    /// # Errors
    ///
    /// Into another folder.
    pub(super) fn check(&self, path: &Path) -> io::Result<()> {
        let real = match path.canonicalize() {
            // A dangling link would be followed to create its target.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
                folder_of_name(path)?.join(path.file_name().unwrap_or_default())
            }
            real => real?,
        };
        // Everything is below the root, also what the kernel shows.
        let is_in = |folder: &Path| match folder.parent() {
            Some(_) => real.starts_with(folder),
            None => real.parent() == Some(folder),
        };
        if self.folders.iter().any(|folder| is_in(folder)) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "since the load it leads to another folder, {}: reload if that is intended",
            real.display()
        )))
    }
}

fn folder_of_name(path: &Path) -> io::Result<PathBuf> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).canonicalize()
}
