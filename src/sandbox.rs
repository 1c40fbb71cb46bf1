//! What one instance can reach: the data of its `Store`, made for one call and dropped with it.
//!
//! Everything a guest imports ends here: WASI, `wasi:http`, and the plugin interface's `host`. What
//! was not granted is refused and noted, so that the call's error can name it.

mod http;
mod journal;
mod limiter;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytesize::ByteSize;
use tracing::debug;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bindings::toolhost::plugin::{host, types};
use crate::error::Limit;
use crate::limits::Limits;
use crate::permissions::{Access, Permissions, Secret};
use crate::tool::LogSource;
use http::HttpGate;
use journal::GuestStream;
pub(crate) use journal::Journal;
pub(crate) use limiter::{
    CORE_INSTANCES_PER_INSTANCE, Limiter, MEMORIES_PER_INSTANCE, TABLES_PER_INSTANCE,
};

/// Why the host ends a call: travels through wasmtime as an error, and no guest can catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the deadline passed")]
    Deadline,
    #[error("over a limit")]
    Limit(Limit, ByteSize),
}

/// What a plugin was granted, resolved when it is loaded.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    pub(crate) permissions: Permissions,
    pub(crate) secrets: BTreeMap<String, Secret>,
    pub(crate) config: BTreeMap<String, String>,
}

pub(crate) struct Sandbox {
    pub(crate) limiter: Limiter,
    pub(crate) journal: Journal,
    grants: Arc<Grants>,
    table: ResourceTable,
    /// Made when the guest first asks for something of WASI: many never do.
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    http_gate: HttpGate,
}

impl Sandbox {
    /// # Errors
    ///
    /// A granted folder cannot be opened.
    pub(crate) fn new(grants: &Arc<Grants>, limits: &Limits) -> Result<Sandbox, String> {
        let journal = Journal::new(limits.max_log);
        // Opening a folder can fail, and the guest's first import is too late for that.
        let wasi = match grants.permissions.files.is_empty() {
            true => None,
            false => Some(wasi_context(grants, &journal)?),
        };
        Ok(Sandbox {
            limiter: Limiter::new(limits.memory),
            http_gate: HttpGate::new(grants.clone(), journal.clone()),
            journal,
            grants: grants.clone(),
            table: ResourceTable::new(),
            wasi,
            http: WasiHttpCtx::new(),
        })
    }
}

fn wasi_context(grants: &Grants, journal: &Journal) -> Result<WasiCtx, String> {
    let mut wasi = WasiCtx::builder();
    wasi.stdout(GuestStream::new(journal.clone(), LogSource::Stdout))
        .stderr(GuestStream::new(journal.clone(), LogSource::Stderr));
    for (name, value) in &grants.permissions.env {
        wasi.env(name, value);
    }
    for grant in &grants.permissions.files {
        let access = match grant.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        wasi.preopened_dir(&grant.host, &grant.guest, access)
            .map_err(|error| {
                format!(
                    "cannot open the granted folder {}: {error:#}",
                    grant.host.display()
                )
            })?;
    }
    Ok(wasi.build())
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| {
            wasi_context(&self.grants, &self.journal)
                .expect("only folders can fail, and with folders it is made beforehand")
        });
        WasiCtxView {
            ctx: wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Sandbox {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.http_gate,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

impl types::Host for Sandbox {}

impl host::Host for Sandbox {
    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        let source = match level {
            host::Level::Debug => LogSource::Debug,
            host::Level::Info => LogSource::Info,
            host::Level::Notice => LogSource::Notice,
            host::Level::Warning => LogSource::Warning,
            host::Level::Error => LogSource::Error,
        };
        Ok(self.journal.line(source, message)?)
    }

    fn progress(
        &mut self,
        done: f64,
        total: Option<f64>,
        message: Option<String>,
    ) -> wasmtime::Result<()> {
        debug!(done, total, message, "progress");
        Ok(())
    }

    fn config(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.grants.config.get(&key).cloned())
    }

    fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let secret = self.grants.secrets.get(&name);
        if secret.is_none() {
            self.journal.deny(format!("secret {name}"));
        }
        Ok(secret.map(|secret| secret.reveal().to_owned()))
    }
}
