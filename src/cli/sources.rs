//! Files embedded in the binary: the SDKs and the templates of `toolhost new`. So plugins can be written without any
//! package registry, with the SDK of exactly this version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A folder: the paths in it, and the contents.
pub(super) struct Files(&'static [(&'static str, &'static [u8])]);

include!(concat!(env!("OUT_DIR"), "/sources.rs"));

impl Files {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files below a folder, by their paths in it.
    pub(super) fn below(
        &self,
        folder: &str,
    ) -> impl Iterator<Item = (&'static str, &'static [u8])> {
        let files = self.0.iter();
        files.filter_map(move |(path, contents)| {
            let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
            Some((rest, *contents))
        })
    }

    /// Writes all files into a folder.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        for (path, contents) in self.0 {
            let file = folder.join(path);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(file, contents)?;
        }
        Ok(())
    }

    /// A folder with these files among the build tools; it is written unless it is there.
    pub(super) fn among(&self, tools: &Path, name: &str) -> io::Result<PathBuf> {
        let folder = tools.join(format!("sdk-{name}-{}", self.digest()));
        if folder.is_dir() {
            return Ok(folder);
        }
        let staging = tools.join(format!(".sdk-{name}-{}", std::process::id()));
        self.write(&staging)?;
        match fs::rename(&staging, &folder) {
            // Another build may have been faster.
            Err(error) if !folder.is_dir() => Err(error),
            renamed => {
                if renamed.is_err() {
                    fs::remove_dir_all(&staging)?;
                }
                Ok(folder)
            }
        }
    }

    /// Another version has other files.
    fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for (path, contents) in self.0 {
            digest.update(path);
            digest.update((contents.len() as u64).to_le_bytes());
            digest.update(contents);
        }
        let digest = digest.finalize();
        digest[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
