//! `toolhost trust`: what its user allows a manifest that is found in a folder. A manifest that is named, by
//! option or variable, is trusted by that.

mod store;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toolhost::manifest::{Demand, Use};
use toolhost::{Manifest, printable};

use super::out::{Out, line};
use super::{ANSWERED, Session, Status};
use store::Store;

/// Demands that an error names; `toolhost trust --show` has all.
const MOST_NAMED: usize = 5;

#[derive(clap::Args)]
pub(super) struct TrustOptions {
    /// Show what the manifest asks for, and change nothing
    #[arg(long, group = "instead")]
    show: bool,

    /// Trust the manifest no more
    #[arg(long, group = "instead")]
    revoke: bool,

    /// List the manifests that are trusted
    #[arg(long, group = "instead")]
    list: bool,
}

pub(super) fn run(options: &TrustOptions, session: &Session) -> anyhow::Result<Status> {
    let store = Store::of_user().context("there is no home folder to keep it in")?;
    let mut out = Out::stdout();
    if options.list {
        for manifest in store.all()? {
            line!(out, "{}", manifest.display())?;
        }
        return Ok(ANSWERED);
    }
    let file = session.manifest_file()?;
    if options.revoke {
        // It need not be there any more, nor be right.
        match store.forget(&file)? {
            true => line!(out, "{} is trusted no more", file.display())?,
            false => line!(out, "{} was not trusted", file.display())?,
        }
        return Ok(ANSWERED);
    }
    let manifest = Manifest::read(&file)?;
    let demands = manifest.demands();
    if demands.is_empty() {
        line!(out, "{} asks for nothing that takes trust", file.display())?;
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
            "{} is not trusted with what has a `+`: `toolhost trust` does so",
            file.display()
        )?,
        (false, _) => {
            store.keep(&file, &demands)?;
            line!(out, "{} is trusted with this", file.display())?;
        }
    }
    Ok(ANSWERED)
}

/// The file that says what a manifest is trusted with; it need not be there.
pub(super) fn file_of(manifest: &Path) -> Option<PathBuf> {
    Some(Store::of_user()?.file_of(manifest))
}

/// A manifest, and what it asks for that nobody has allowed.
pub(super) struct Found {
    pub(super) manifest: Manifest,
    pub(super) untrusted: Vec<Demand>,
    /// Whether the user has named it, or has trusted it with something and it asks for no more.
    is_known: bool,
}

impl Found {
    /// Reads a manifest once: what is looked at here is what is used.
    pub(super) fn read(file: &Path, is_named: bool) -> anyhow::Result<Found> {
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
        Ok(Found {
            manifest,
            is_known: is_named || asks && untrusted.is_empty(),
            untrusted,
        })
    }

    /// Has it take no longer and no more memory to be looked at than the defaults allow, unless its user knows it;
    /// whether that lowers a limit.
    pub(super) fn lower_limits(&mut self) -> bool {
        !self.is_known && self.manifest.lower_limits_to_defaults()
    }

    /// The manifest, to be used for that.
    ///
    /// # Errors
    ///
    /// [`Untrusted`]
    pub(super) fn trusted_for(self, needed_for: Use) -> anyhow::Result<Manifest> {
        Ok(self.require(needed_for)?.manifest)
    }

    /// # Errors
    ///
    /// [`Untrusted`]: it asks for what is not allowed, to be used for that.
    pub(super) fn require(self, needed_for: Use) -> anyhow::Result<Found> {
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

/// What is to be said beside a text with names that are not what they look like.
pub(super) fn look_alikes(text: &str) -> Option<String> {
    let spelled = printable::look_alikes(text).into_iter();
    let spelled: Vec<String> = spelled
        .map(|(_, it)| printable::line(&it).into_owned())
        .collect();
    (!spelled.is_empty()).then(|| {
        format!(
            "note: letters there look like others: it is {}",
            spelled.join(", ")
        )
    })
}

/// A manifest that asks for what its user has not allowed.
#[derive(Debug)]
pub(super) struct Untrusted {
    file: String,
    demands: Vec<Demand>,
}

impl std::error::Error for Untrusted {}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Untrusted { file, demands } = self;
        // Its lines are its own.
        let file = printable::line(file);
        writeln!(
            f,
            "{file} is not trusted, and asks for more than what is in its folder:"
        )?;
        for Demand { what, .. } in demands.iter().take(MOST_NAMED) {
            writeln!(f, "  {}", printable::line(what))?;
            if let Some(note) = look_alikes(what) {
                writeln!(f, "    {note}")?;
            }
        }
        if let Some(more) = demands.len().checked_sub(MOST_NAMED).filter(|it| *it > 0) {
            writeln!(f, "  and {more} more, which `toolhost trust --show` shows")?;
        }
        write!(
            f,
            "  help: if you want that, run `toolhost trust`, or name the manifest: --manifest {file}"
        )
    }
}
