//! `toolhost trust`: allows the demands of a manifest found in a folder. A manifest named by option
//! or variable is trusted by that.

mod store;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toolhost::Manifest;
use toolhost::manifest::{Demand, Use};

use super::out::{Out, line};
use super::untrusted::look_alikes;
use super::{ANSWERED, CommandContext, Status, Untrusted};
use store::Store;

#[derive(clap::Args)]
pub(super) struct TrustOptions {
    /// Show what the manifest asks for without changing anything
    #[arg(long, group = "instead")]
    show: bool,

    /// Stop trusting the manifest
    #[arg(long, group = "instead")]
    revoke: bool,

    /// List the trusted manifests
    #[arg(long, group = "instead")]
    list: bool,
}

pub(super) fn run(options: &TrustOptions, session: &CommandContext) -> anyhow::Result<Status> {
    let store = Store::of_user().context("no home folder to store trust in")?;
    let mut out = Out::stdout();
    if options.list {
        for manifest in store.all()? {
            line!(out, "{}", manifest.display())?;
        }
        return Ok(ANSWERED);
    }
    let file = session.manifest_file()?;
    if options.revoke {
        // It need not exist any more, nor be valid.
        match store.forget(&file)? {
            true => line!(out, "{} is no longer trusted", file.display())?,
            false => line!(out, "{} was not trusted", file.display())?,
        }
        return Ok(ANSWERED);
    }
    let manifest = Manifest::read(&file)?;
    let demands = manifest.demands();
    if demands.is_empty() {
        line!(out, "{} asks for nothing that needs trust", file.display())?;
        return Ok(ANSWERED);
    }
    let known = store.recall(&file);
    for demand in &demands {
        let sign = match known.contains(&demand.digest()) {
            true => ' ',
            false => '+',
        };
        line!(out, "{sign} {}", demand.what)?;
        if let Some(note) = look_alikes(&demand.what) {
            line!(out, "    {note}")?;
        }
    }
    let is_trusted = demands.iter().all(|it| known.contains(&it.digest()));
    match (options.show, is_trusted) {
        (true, true) => line!(out, "{} is trusted with this", file.display())?,
        (true, false) => line!(
            out,
            "{} is not trusted with the lines marked `+`: run `toolhost trust` to allow them",
            file.display()
        )?,
        (false, _) => {
            store.keep(&file, &demands)?;
            line!(out, "{} is trusted with this", file.display())?;
        }
    }
    Ok(ANSWERED)
}

/// The file of a manifest in the trust store; it need not exist.
pub(super) fn file_of(manifest: &Path) -> Option<PathBuf> {
    Some(Store::of_user()?.file_of(manifest))
}

/// A manifest, and its demands that have not been allowed.
pub(super) struct FoundManifest {
    pub(super) manifest: Manifest,
    pub(super) untrusted: Vec<Demand>,
    /// Whether the user has named it, or has trusted it and it demands no more.
    is_known: bool,
}

impl FoundManifest {
    /// One that asks for nothing.
    pub(super) fn without_demands(manifest: Manifest) -> FoundManifest {
        FoundManifest {
            manifest,
            untrusted: Vec::new(),
            is_known: false,
        }
    }

    /// Reads a manifest once: what is checked here is what is used.
    pub(super) fn read(file: &Path, is_named: bool) -> anyhow::Result<FoundManifest> {
        let manifest = Manifest::read(file)?;
        let mut untrusted = Vec::new();
        if !is_named {
            untrusted = manifest.demands();
        }
        let asks = !untrusted.is_empty();
        if !untrusted.is_empty()
            && let Some(store) = Store::of_user()
        {
            let known = store.recall(file);
            untrusted.retain(|demand| !known.contains(&demand.digest()));
        }
        Ok(FoundManifest {
            manifest,
            is_known: is_named || asks && untrusted.is_empty(),
            untrusted,
        })
    }

    /// Lowers the limits of loading to their defaults, unless the manifest is trusted. Returns
    /// whether any was lowered.
    pub(super) fn lower_limits(&mut self) -> bool {
        !self.is_known && self.manifest.lower_limits_to_defaults()
    }

    /// Returns the manifest, if it is trusted for that use.
    ///
    /// # Errors
    ///
    /// [`Untrusted`]
    pub(super) fn trusted_for(self, needed_for: Use) -> anyhow::Result<Manifest> {
        Ok(self.require(needed_for)?.manifest)
    }

    /// # Errors
    ///
    /// [`Untrusted`]: it has demands for that use that are not allowed.
    pub(super) fn require(self, needed_for: Use) -> anyhow::Result<FoundManifest> {
        let is_for = |demand: &&Demand| [Use::Tools, needed_for].contains(&demand.needed_for);
        let demands: Vec<Demand> = self.untrusted.iter().filter(is_for).cloned().collect();
        match demands.is_empty() {
            true => Ok(self),
            false => bail!(Untrusted {
                file: self.manifest.file.display().to_string(),
                demands,
            }),
        }
    }
}
