//! Reloads the manifest on SIGHUP, or when it or a plugin changes. What runs goes on with what it
//! was begun with; a manifest that cannot be loaded changes nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use tokio_util::task::AbortOnDropHandle;
use toolhost::Manifest;
use toolhost::mcp::{HttpServer, Server, ServerInfo};

use super::super::{HostOptions, Session};
use super::check_exposure;

/// How often files are looked at. What is being written has to stay as it is for as long.
const INTERVAL: Duration = Duration::from_millis(300);

/// Watches until it is dropped.
pub(super) struct Reload {
    _task: AbortOnDropHandle<()>,
}

/// What files looked like from outside: when each was changed, and its size.
#[derive(Clone, PartialEq)]
pub(super) struct Seen(Vec<(PathBuf, Option<(SystemTime, u64)>)>);

impl Seen {
    /// The files that decide what is served, and the folder where plugins may be dropped.
    pub(super) fn of(manifest: &Manifest) -> Seen {
        let mut files = manifest.own_files();
        files.extend(manifest.plugin_dir.clone());
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
            Some((metadata.modified().ok()?, metadata.len()))
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

/// What is reloaded.
pub(super) struct Watch {
    pub(super) session: Session,
    pub(super) options: HostOptions,
    pub(super) server: Server,
    /// Over HTTP, and where it listens.
    pub(super) http: Option<(HttpServer, SocketAddr)>,
    /// Whether it speaks TLS.
    pub(super) has_tls: bool,
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

    async fn load(&mut self) {
        // Of before anything is read: what changes from here on is another change.
        let before = self.loaded.again();
        let manifest = self.session.effective_manifest(&self.options);
        let loaded = match manifest {
            Ok(manifest) => {
                self.loaded = Seen::of(&manifest).where_known_from(&before);
                let file = manifest.file.clone();
                self.take(manifest).await.map(|()| file)
            }
            Err(error) => {
                self.loaded = before;
                Err(error)
            }
        };
        match loaded {
            Ok(file) => eprintln!("reloaded {}", file.display()),
            Err(error) => {
                eprintln!("error: the manifest has changed, and what was loaded stays: {error:#}");
            }
        }
    }

    async fn take(&self, manifest: Manifest) -> anyhow::Result<()> {
        if let Some((_, address)) = &self.http {
            check_exposure(&manifest, *address)?;
            if manifest.serve.tls.is_some() != self.has_tls {
                bail!("[serve.tls] has come or gone, which takes a restart");
            }
        }
        let host = self.session.load_manifest(manifest.clone()).await?;
        if let Some((http, _)) = &self.http {
            http.reload(&manifest.serve)?;
        }
        self.server.replace(host, ServerInfo::of(&manifest.serve));
        Ok(())
    }
}
