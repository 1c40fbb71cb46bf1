//! Reloads the manifest on SIGHUP, or when it or a plugin changes. Running calls go on with the old host; a manifest
//! that cannot be loaded, or guards less, changes nothing.

mod snapshot;

use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use toolhost::manifest::{Use, lowers_guard};
use toolhost::{Loader, Manifest, ToolHost};

use super::out::Out;
use super::{CommandContext, HostOptions};
pub(super) use snapshot::FileSnapshot;

/// How often files are checked. A file being written must stay unchanged for as long.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// How long files must stay unchanged before a requested reload reads them.
const SETTLE_TIME: Duration = Duration::from_millis(150);

/// The same for a manifest that has less than before: one that is being written begins empty.
const SETTLE_TIME_OF_LESS: Duration = Duration::from_secs(2);

/// The same for a component that is not complete: a copy may stall.
const SETTLE_TIME_OF_INCOMPLETE: Duration = Duration::from_secs(5);

/// The longest wait for a file being written.
const MAX_SETTLE_WAIT: Duration = Duration::from_secs(10);

/// What has a host that can be replaced.
pub(super) trait ReloadTarget: Send + Sync + 'static {
    /// Whether SIGHUP means to reload. Otherwise it means that the terminal has closed.
    const RELOADS_ON_HANGUP: bool;

    /// What the manifest must be trusted for.
    fn needed_for(&self) -> Use;

    /// The current host.
    fn host(&self) -> ToolHost;

    /// Whether a manifest may take the place of another.
    ///
    /// # Errors
    ///
    /// Why not.
    fn check(&self, before: &Manifest, now: &Manifest) -> anyhow::Result<()>;

    /// Adds what every host of it has.
    fn equip(&self, loader: Loader, manifest: &Manifest) -> Loader;

    /// Uses a new host from now on.
    ///
    /// # Errors
    ///
    /// The manifest's other settings cannot be used.
    fn take(&mut self, host: ToolHost, manifest: &Manifest) -> anyhow::Result<()>;

    /// Shows something to the user.
    fn show(&self, write: &mut dyn FnMut(&mut Out));
}

/// Watches files until it is dropped.
pub(super) struct Reload {
    _task: AbortOnDropHandle<()>,
}

/// What is reloaded.
pub(super) struct Reloader<T> {
    pub(super) session: CommandContext,
    pub(super) options: HostOptions,
    pub(super) target: T,
    /// The manifest in use.
    pub(super) manifest: Manifest,
    /// The files as they were when loaded.
    pub(super) loaded: FileSnapshot,
}

impl<T: ReloadTarget> Reloader<T> {
    pub(super) fn begin(self) -> Reload {
        Reload {
            _task: AbortOnDropHandle::new(tokio::spawn(self.run())),
        }
    }

    async fn run(mut self) {
        #[cfg(unix)]
        let mut hangups = {
            use tokio::signal::unix::{SignalKind, signal};
            let listened = T::RELOADS_ON_HANGUP.then(|| signal(SignalKind::hangup()));
            listened.and_then(|listened| {
                let failed = |error| tracing::warn!("cannot listen for SIGHUP: {error}");
                listened.map_err(failed).ok()
            })
        };
        let mut seen = self.loaded.clone();
        loop {
            #[cfg(unix)]
            let asked = match &mut hangups {
                Some(hangups) => tokio::time::timeout(POLL_INTERVAL, hangups.recv())
                    .await
                    .is_ok(),
                None => {
                    tokio::time::sleep(POLL_INTERVAL).await;
                    false
                }
            };
            #[cfg(not(unix))]
            let asked = {
                tokio::time::sleep(POLL_INTERVAL).await;
                false
            };
            let now = self.loaded.again();
            let is_settled = now == seen;
            seen = now;
            if asked || (is_settled && seen != self.loaded) {
                self.load().await;
                seen = self.loaded.clone();
            }
        }
    }

    /// Whether files are not as they were when loaded.
    pub(super) fn is_outdated(&self) -> bool {
        self.loaded.again() != self.loaded
    }

    /// The manifest once it is complete, and the files as they were then.
    async fn settled(&self) -> (FileSnapshot, anyhow::Result<Manifest>) {
        let patience = Instant::now() + MAX_SETTLE_WAIT;
        let mut seen = self.loaded.again();
        let mut unchanged_since = Instant::now();
        loop {
            tokio::time::sleep(SETTLE_TIME).await;
            let mut now = self.loaded.again();
            if now == seen {
                let manifest = self
                    .session
                    .effective_manifest(&self.options, self.target.needed_for());
                now = self.loaded.again();
                let settle_time = match &manifest {
                    Ok(manifest) => self.settle_time(manifest, &now),
                    Err(_) => SETTLE_TIME,
                };
                if now == seen && unchanged_since.elapsed() >= settle_time {
                    return (seen, manifest);
                }
            }
            if now != seen {
                unchanged_since = Instant::now();
                if unchanged_since > patience {
                    let error = anyhow!("its files are still being written");
                    return (self.loaded.clone(), Err(error));
                }
                seen = now;
            }
        }
    }

    /// How long files with this manifest must stay unchanged to be taken for complete.
    fn settle_time(&self, manifest: &Manifest, now: &FileSnapshot) -> Duration {
        if has_less(manifest, &self.manifest) {
            return SETTLE_TIME_OF_LESS;
        }
        match now.has_incomplete_plugin(&self.loaded) {
            true => SETTLE_TIME_OF_INCOMPLETE,
            false => SETTLE_TIME,
        }
    }

    /// Loads the manifest and its plugins again. Returns whether the new host is in use.
    pub(super) async fn load(&mut self) -> bool {
        let (before, manifest) = self.settled().await;
        let loaded = match manifest {
            Ok(manifest) => {
                let seen = FileSnapshot::of(&manifest, self.session.trust_file());
                self.loaded = seen.where_known_from(&before);
                let file = manifest.file.clone();
                let taken = self.take(&manifest).await;
                taken.map(|()| {
                    self.manifest = manifest;
                    file
                })
            }
            Err(error) => {
                self.loaded = before;
                Err(error)
            }
        };
        match loaded {
            Ok(file) => {
                let file = file.display();
                self.target
                    .show(&mut |out| drop(out.line(format_args!("reloaded {file}"))));
                true
            }
            Err(error) => {
                let error = error.context("reload failed, still serving the previous manifest");
                self.target.show(&mut |out| drop(out.error(&error)));
                false
            }
        }
    }

    async fn take(&mut self, manifest: &Manifest) -> anyhow::Result<()> {
        // An incomplete file mostly lacks something.
        if let Some(why) = lowers_guard(&self.manifest, manifest) {
            bail!("{why}, which requires a restart");
        }
        self.target.check(&self.manifest, manifest)?;
        let loader = Loader::new(manifest.clone())
            .replacing(&self.target.host())
            .keep_drop_ins();
        let host = self
            .session
            .load_by(self.target.equip(loader, manifest))
            .await?;
        self.target.take(host, manifest)
    }
}

/// Whether a manifest lacks plugins or servers that another has.
fn has_less(now: &Manifest, before: &Manifest) -> bool {
    let lacks_plugin = before
        .plugins
        .iter()
        .any(|plugin| now.plugins.iter().all(|it| it.name != plugin.name));
    let lacks_server = before
        .mcp
        .iter()
        .any(|server| now.mcp.iter().all(|it| it.name != server.name));
    lacks_plugin || lacks_server
}
