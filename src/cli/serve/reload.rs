//! Loads the manifest anew on SIGHUP, or when it or a plugin changes. What runs goes on with what it
//! was begun with; a manifest that cannot be loaded changes nothing.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio_util::task::AbortOnDropHandle;
use toolhost::Manifest;
use toolhost::mcp::{HttpServer, Server, ServerInfo};

use super::super::{HostOptions, Session};

/// How often files are looked at. What is being written has to stay as it is for as long.
const INTERVAL: Duration = Duration::from_millis(300);

/// Watches until it is dropped.
pub(super) struct Reload {
    _task: AbortOnDropHandle<()>,
}

/// What a file looks like from outside: when it was changed, and its size.
type Seen = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

impl Reload {
    pub(super) fn begin(
        session: Session,
        options: HostOptions,
        manifest: &Manifest,
        server: Server,
        http: Option<HttpServer>,
    ) -> Reload {
        let watch = Watch {
            session,
            options,
            server,
            http,
            files: files(manifest),
        };
        Reload {
            _task: AbortOnDropHandle::new(tokio::spawn(watch.run())),
        }
    }
}

struct Watch {
    session: Session,
    options: HostOptions,
    server: Server,
    http: Option<HttpServer>,
    files: Vec<PathBuf>,
}

impl Watch {
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
        let mut loaded = look(&self.files);
        let mut seen = loaded.clone();
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
            let now = look(&self.files);
            let is_settled = now == seen;
            seen = now;
            if !asked && (!is_settled || seen == loaded) {
                continue;
            }
            self.load().await;
            // Files that came with the manifest are there from now on.
            seen = look(&self.files);
            loaded = seen.clone();
        }
    }

    async fn load(&mut self) {
        match self.try_load().await {
            Ok(manifest) => {
                self.files = files(&manifest);
                eprintln!("loaded {} anew", manifest.file.display());
            }
            Err(error) => {
                eprintln!("error: the manifest has changed, and what was loaded stays: {error:#}");
            }
        }
    }

    async fn try_load(&self) -> anyhow::Result<Manifest> {
        let manifest = self.session.effective_manifest(&self.options)?;
        let host = self.session.load_manifest(manifest.clone()).await?;
        if let Some(http) = &self.http {
            http.reload(&manifest.serve)?;
        }
        self.server.replace(host, ServerInfo::of(&manifest.serve));
        Ok(manifest)
    }
}

/// The files that decide what is served, and the folders where plugins may be dropped.
fn files(manifest: &Manifest) -> Vec<PathBuf> {
    let mut files = manifest.own_files();
    files.extend(manifest.plugin_dir.clone());
    // The audit log changes with every call.
    if let Some(audit) = &manifest.audit {
        files.retain(|file| *file != audit.path);
    }
    files
}

fn look(files: &[PathBuf]) -> Seen {
    let look = |file: &PathBuf| {
        let metadata = file.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files
        .iter()
        .map(|file| (file.clone(), look(file)))
        .collect()
}
