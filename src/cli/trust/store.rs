//! The manifests that a user trusts: a file each in the user's configuration, with the digests of what was allowed.
//! What a manifest asks for less or anew is seen by that; limits and all else are no part of it.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toolhost::manifest::Demand;
use toolhost::replacement::Replacement;
use toolhost::{printable, trust_folder};

/// A file here may be no longer, in bytes.
const MAX_FILE: u64 = 4 << 20;

pub(super) struct Store(PathBuf);

/// What is kept of a manifest.
#[derive(Serialize, Deserialize)]
struct Trusted {
    manifest: PathBuf,
    /// Of each thing that was allowed, the SHA-256 digest.
    allowed: BTreeSet<String>,
}

impl Store {
    /// The user's; none without a home.
    pub(super) fn of_user() -> Option<Store> {
        Some(Store(trust_folder::of_user()?))
    }

    /// The digests of what a manifest may ask for.
    pub(super) fn recall(&self, manifest: &Path) -> BTreeSet<String> {
        let kept = self.read(&self.file_of(manifest));
        let kept = kept.filter(|it| it.manifest == real(manifest));
        let Some(kept) = kept else {
            return BTreeSet::new();
        };
        match self.check() {
            Ok(()) => kept.allowed,
            Err(error) => {
                tracing::warn!("{error:#}");
                BTreeSet::new()
            }
        }
    }

    /// Allows a manifest that, and nothing else that it was allowed before.
    pub(super) fn keep(&self, manifest: &Path, demands: &[Demand]) -> anyhow::Result<()> {
        self.check()?;
        let file = self.file_of(manifest);
        let trusted = Trusted {
            manifest: real(manifest),
            allowed: demands.iter().map(Demand::digest).collect(),
        };
        let text = serde_json::to_string_pretty(&trusted)? + "\n";
        let text = printable::json(&text);
        let kept = Replacement::write_private(&file, &text).and_then(Replacement::put);
        kept.with_context(|| format!("cannot write {}", file.display()))
    }

    /// Allows it nothing any more; whether it was allowed anything.
    pub(super) fn forget(&self, manifest: &Path) -> anyhow::Result<bool> {
        let file = self.file_of(manifest);
        match std::fs::remove_file(&file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot remove {}", file.display())),
        }
    }

    /// All manifests that are allowed something, in the order of their names.
    pub(super) fn all(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        let files = match std::fs::read_dir(&self.0) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => Err(error).with_context(|| self.0.display().to_string())?,
        };
        self.check()?;
        let mut all = BTreeSet::new();
        for file in files {
            all.extend(self.read(&file?.path()).map(|it| it.manifest));
        }
        Ok(all)
    }

    /// Where that is kept of a manifest.
    pub(super) fn file_of(&self, manifest: &Path) -> PathBuf {
        let digest = Sha256::digest(real(manifest).as_os_str().as_encoded_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.join(format!("{name}.json"))
    }

    /// Whether nobody else decides what is trusted.
    fn check(&self) -> anyhow::Result<()> {
        if let Err(why) = trust_folder::check(&self.0) {
            bail!(
                "not using {}, so no manifest is trusted: {why}; make sure only you can write to the folder",
                self.0.display()
            );
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Option<Trusted> {
        let mut text = String::new();
        let path = path.metadata().ok()?.is_file().then_some(path)?;
        let file = std::fs::File::open(path).ok()?;
        if let Err(why) = trust_folder::check_file(&file, path) {
            tracing::warn!("ignoring what manifests are trusted with: {why}");
            return None;
        }
        file.take(MAX_FILE).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// The manifest by the one name that it has: paths in it go from the folder that it is found in.
fn real(manifest: &Path) -> PathBuf {
    let absolute = std::path::absolute(manifest).unwrap_or_else(|_| manifest.to_owned());
    match (absolute.parent(), absolute.file_name()) {
        (Some(folder), Some(name)) => {
            let folder = folder.canonicalize();
            folder.map_or(absolute.clone(), |folder| folder.join(name))
        }
        _ => absolute,
    }
}
