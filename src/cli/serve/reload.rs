//! Reloads the manifest on SIGHUP, or when it or a plugin changes. What runs goes on with what it
//! was begun with; a manifest that cannot be loaded, or guards less, changes nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{anyhow, bail};
use tokio_util::task::AbortOnDropHandle;
use toolhost::Manifest;
use toolhost::manifest::{Use, lowers_guard};
use toolhost::mcp::{HttpServer, Server};

use super::super::out::{Out, say};
use super::super::{HostOptions, Session};
use super::check_exposure;

/// How often files are looked at. What is being written has to stay as it is for as long.
const INTERVAL: Duration = Duration::from_millis(300);

/// How long files have to stay as they are before they are read, when that is asked for.
const SETTLED: Duration = Duration::from_millis(150);

/// What is written for longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Watches until it is dropped.
pub(super) struct Reload {
    _task: AbortOnDropHandle<()>,
}

/// What files looked like from outside.
#[derive(Clone, PartialEq)]
pub(super) struct Seen(Vec<(PathBuf, Option<Look>)>);

/// When a file was changed, its size, and which file it is.
type Look = (SystemTime, u64, u64);

impl Seen {
    /// The files that decide what is served, and the folder where plugins may be dropped.
    pub(super) fn of(manifest: &Manifest, trust: Option<PathBuf>) -> Seen {
        let mut files = manifest.own_files();
        files.extend(manifest.plugin_dir.clone());
        files.extend(trust);
        // The audit log changes with every call.
        if let Some(audit) = &manifest.audit {
            files.retain(|file| *file != audit.path);
        }
        Seen(files.into_iter().map(|file| (file, None)).collect()).again()
    }

    /// The same files now.
    fn again(&self) -> Seen {
        let look = |file: &PathBuf| {
            let metadata = file.metadata().ok()?;
            Some((
                metadata.modified().ok()?,
                metadata.len(),
                file_id(&metadata),
            ))
        };
        let files = self.0.iter();
        Seen(files.map(|(file, _)| (file.clone(), look(file))).collect())
    }

    /// As these files were before, where that is known.
    fn where_known_from(mut self, before: &Seen) -> Seen {
        for (file, look) in &mut self.0 {
            if let Some((_, known)) = before.0.iter().find(|(other, _)| other == file) {
                *look = *known;
            }
        }
        self
    }
}

/// Another file under the same name need not differ in anything else.
#[cfg(unix)]
fn file_id(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn file_id(_: &std::fs::Metadata) -> u64 {
    0
}

/// What is reloaded.
pub(super) struct Watch {
    pub(super) session: Session,
    pub(super) options: HostOptions,
    pub(super) server: Server,
    /// Over HTTP, and where it listens.
    pub(super) http: Option<(HttpServer, SocketAddr)>,
    /// What is served.
    pub(super) manifest: Manifest,
    /// The files as they were when they were loaded.
    pub(super) loaded: Seen,
}

impl Watch {
    pub(super) fn begin(self) -> Reload {
        Reload {
            _task: AbortOnDropHandle::new(tokio::spawn(self.run())),
        }
    }

    async fn run(mut self) {
        #[cfg(unix)]
        let mut hangups = {
            use tokio::signal::unix::{SignalKind, signal};
            match signal(SignalKind::hangup()) {
                Ok(hangups) => Some(hangups),
                Err(error) => {
                    tracing::warn!("cannot listen for SIGHUP: {error}");
                    None
                }
            }
        };
        let mut seen = self.loaded.clone();
        loop {
            #[cfg(unix)]
            let asked = match &mut hangups {
                Some(hangups) => tokio::time::timeout(INTERVAL, hangups.recv()).await.is_ok(),
                None => {
                    tokio::time::sleep(INTERVAL).await;
                    false
                }
            };
            #[cfg(not(unix))]
            let asked = {
                tokio::time::sleep(INTERVAL).await;
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

    /// The manifest as it is when it is whole, and the files as they were then.
    async fn settled(&self) -> (Seen, anyhow::Result<Manifest>) {
        let patience = tokio::time::Instant::now() + PATIENCE;
        let mut seen = self.loaded.again();
        loop {
            tokio::time::sleep(SETTLED).await;
            let mut now = self.loaded.again();
            if now == seen {
                let manifest = self.session.effective_manifest(&self.options, Use::Serve);
                now = self.loaded.again();
                if now == seen {
                    return (seen, manifest);
                }
            }
            if tokio::time::Instant::now() > patience {
                let error = anyhow!("its files are still being written");
                return (self.loaded.clone(), Err(error));
            }
            seen = now;
        }
    }

    async fn load(&mut self) {
        let (before, manifest) = self.settled().await;
        let loaded = match manifest {
            Ok(manifest) => {
                let seen = Seen::of(&manifest, self.session.trust_file());
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
            Ok(file) => say!("reloaded {}", file.display()),
            Err(error) => {
                let error = error.context("reload failed, still serving the previous manifest");
                let _ = Out::stderr().error(&error);
            }
        }
    }

    async fn take(&self, manifest: &Manifest) -> anyhow::Result<()> {
        // A file that is not whole mostly lacks something.
        if let Some(why) = lowers_guard(&self.manifest, manifest) {
            bail!("{why}, which requires a restart");
        }
        if let Some((_, address)) = &self.http {
            check_exposure(manifest, *address)?;
            if manifest.serve.tls.is_some() != self.manifest.serve.tls.is_some() {
                bail!("adding [serve.tls] requires a restart");
            }
        }
        let before = self.server.host();
        let host = self
            .session
            .reload_manifest(manifest.clone(), &before)
            .await?;
        if let Some((http, _)) = &self.http {
            http.reload(&manifest.serve)?;
        }
        let info = super::info(manifest, &self.options);
        self.server.replace(host, info);
        Ok(())
    }
}
