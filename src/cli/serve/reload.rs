//! Reloads the manifest on SIGHUP, or when it or a plugin changes. Running calls go on with the old
//! host; a manifest that cannot be loaded, or guards less, changes nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{anyhow, bail};
use tokio_util::task::AbortOnDropHandle;
use toolhost::Manifest;
use toolhost::manifest::{Use, lowers_guard};
use toolhost::mcp::{HttpServer, Server};

use super::super::out::{Out, say};
use super::super::{CommandContext, HostOptions};
use super::check_exposure;

/// How often files are checked. A file being written must stay unchanged for as long.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// How long files must stay unchanged before a requested reload reads them.
const SETTLE_TIME: Duration = Duration::from_millis(150);

/// The longest wait for a file being written.
const MAX_SETTLE_WAIT: Duration = Duration::from_secs(10);

/// Watches files until it is dropped.
pub(super) struct Reload {
    _task: AbortOnDropHandle<()>,
}

/// Metadata of files.
#[derive(Clone, PartialEq)]
pub(super) struct FileSnapshot(Vec<(PathBuf, Option<FileStamp>)>);

/// Modification time, size, and inode.
type FileStamp = (SystemTime, u64, u64);

impl FileSnapshot {
    /// The files that decide what is served, and the folder for plugins.
    pub(super) fn of(manifest: &Manifest, trust: Option<PathBuf>) -> FileSnapshot {
        let mut files = manifest.own_files();
        files.extend(manifest.plugin_dir.clone());
        files.extend(trust);
        // The audit log changes with every call.
        if let Some(audit) = &manifest.audit {
            files.retain(|file| *file != audit.path);
        }
        FileSnapshot(files.into_iter().map(|file| (file, None)).collect()).again()
    }

    /// The same files now.
    fn again(&self) -> FileSnapshot {
        let look = |file: &PathBuf| {
            let metadata = file.metadata().ok()?;
            Some((
                metadata.modified().ok()?,
                metadata.len(),
                file_id(&metadata),
            ))
        };
        let files = self.0.iter();
        FileSnapshot(files.map(|(file, _)| (file.clone(), look(file))).collect())
    }

    /// With earlier metadata where that is known.
    fn where_known_from(mut self, before: &FileSnapshot) -> FileSnapshot {
        for (file, look) in &mut self.0 {
            if let Some((_, known)) = before.0.iter().find(|(other, _)| other == file) {
                *look = *known;
            }
        }
        self
    }
}

/// Another file of the same name need not differ in anything else.
#[cfg(unix)]
fn file_id(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn file_id(_: &std::fs::Metadata) -> u64 {
    0
}

/// What is reloaded.
pub(super) struct ReloadWatch {
    pub(super) session: CommandContext,
    pub(super) options: HostOptions,
    pub(super) server: Server,
    /// The HTTP server, and its address.
    pub(super) http: Option<(HttpServer, SocketAddr)>,
    /// The manifest that is served.
    pub(super) manifest: Manifest,
    /// The files as they were when loaded.
    pub(super) loaded: FileSnapshot,
}

impl ReloadWatch {
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

    /// The manifest once it is complete, and the files as they were then.
    async fn settled(&self) -> (FileSnapshot, anyhow::Result<Manifest>) {
        let patience = tokio::time::Instant::now() + MAX_SETTLE_WAIT;
        let mut seen = self.loaded.again();
        loop {
            tokio::time::sleep(SETTLE_TIME).await;
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
            Ok(file) => say!("reloaded {}", file.display()),
            Err(error) => {
                let error = error.context("reload failed, still serving the previous manifest");
                let _ = Out::stderr().error(&error);
            }
        }
    }

    async fn take(&self, manifest: &Manifest) -> anyhow::Result<()> {
        // An incomplete file mostly lacks something.
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
