//! `Sandbox`: everything that one instance can access. It is the data of a `Store`, made for one
//! call and dropped with it.
//!
//! All imports of a guest end here: WASI, `wasi:http`, and the plugin interface's `host`. Access
//! that was not granted is denied and recorded in the journal, so that the call's error can name
//! it.

mod clocks;
mod connect;
mod descriptor;
mod files;
mod folder;
mod folder_listing;
mod guarded_operations;
mod http;
mod http_bounds;
mod http_send;
mod journal;
mod limiter;
mod linker;
mod opening;
mod operations;
mod program;
mod quota_metering;
mod rename_and_unlink;
mod sockets;
mod temporary;
pub(crate) mod to_wit;
mod tool_calls;
mod wasi3;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use ::http::HeaderValue;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{DynInputStream, ReaddirIterator};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http::types::{Method, Scheme};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::{FieldMap, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bindings::toolhost::plugin::{host, types};
use crate::input::QuestionKind;
use crate::limits::{Bound, Limit, Limits};
use crate::paths::{Guard, GuestFolder, Paths};
use crate::permissions::{Access, HttpHeader, HttpRule, Permissions, Secret};
use crate::quota::Quota;
use crate::readings::Readings;
use crate::resource::ResourceOwners;
use crate::tool::LogSource;
use crate::tool_caller::ToolCaller;
use crate::watch::Progress;
pub(crate) use folder::Folder;
use folder_listing::Listings;
use guarded_operations::GuardDenial;
use http::HttpGate;
use journal::GuestStream;
pub use journal::Journal;
pub(crate) use limiter::{
    CORE_INSTANCES_PER_INSTANCE, Limiter, MEMORIES_PER_INSTANCE, TABLES_PER_INSTANCE,
};
pub(crate) use linker::{link, link_concurrent};
pub(crate) use operations::Operations;
pub(crate) use program::{CapturedOutput, Program};
use sockets::Lookups;
use temporary::Temporaries;
use wasi3::Wasi3State;

/// The host's cost of a resource, beside what is counted separately: a table entry, a task, a
/// buffer.
const RESOURCE_COST: usize = 1 << 10;

/// Why the host ends a call. Travels through wasmtime as an error that no guest can catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// Its time is over.
    #[error("the deadline passed")]
    Deadline,
    /// It went over that limit.
    #[error("over a limit")]
    Limit(Limit, Bound),
}

/// A plugin's resolved grants, or those of one client's calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    pub(crate) limits: Limits,
    pub(crate) permissions: Permissions,
    /// The folders of `files`, except those that differ by client.
    pub(crate) folders: Vec<Arc<Folder>>,
    /// The host's own files in them.
    pub(crate) paths: Arc<Paths>,
    /// The requests that narrowed calls may send, if restricted.
    pub(crate) narrowed_http: Option<Vec<HttpRule>>,
    /// The values of `http-headers`, which are printed as `Sensitive`.
    pub(crate) headers: Vec<(HttpHeader, HeaderValue)>,
    pub(crate) secrets: BTreeMap<String, Secret>,
    pub(crate) config: BTreeMap<String, String>,
    /// Which resources are its own; set once all plugins are known.
    pub(crate) resources: OnceLock<(Arc<ResourceOwners>, usize)>,
}

impl Grants {
    /// The guard for its folders; `None` if there is nothing to guard.
    fn guard(&self) -> Option<Guard> {
        let folders = self.folders.iter();
        let folders: Vec<_> = folders
            .map(|folder| GuestFolder {
                id: &folder.id,
                is_writable: folder.access == Access::ReadWrite,
                allows_vcs: folder.allows_vcs,
                is_vcs: folder.is_vcs,
            })
            .collect();
        let kernel = self.folders.iter().flat_map(|folder| &folder.kernel);
        let kernel: Vec<u64> = kernel.copied().collect();
        self.paths.guard(&folders, &kernel)
    }

    /// Whether there is anything in its folders that its guest must not read.
    fn hides(&self) -> bool {
        self.folders.iter().any(|folder| !folder.kernel.is_empty())
    }

    /// Whether any of its folders has a quota.
    fn has_quotas(&self) -> bool {
        self.folders.iter().any(|folder| folder.quota().is_some())
    }

    /// Limits without any grants; ambient capabilities that were removed stay so.
    pub(crate) fn none(limits: &Limits, permissions: &Permissions) -> Arc<Grants> {
        Arc::new(Grants {
            limits: limits.clone(),
            permissions: Permissions {
                clock: permissions.clock,
                random: permissions.random,
                ..Permissions::default()
            },
            ..Grants::default()
        })
    }
}

pub(crate) struct Sandbox {
    pub(crate) limiter: Limiter,
    pub(crate) journal: Journal,
    grants: Arc<Grants>,
    table: ResourceTable,
    /// Created when the guest first uses WASI; many never do.
    wasi: Option<WasiCtx>,
    /// The program that the instance is, if it is one.
    program: Option<Program>,
    lookups: Lookups,
    temporaries: Temporaries,
    /// The quotas of open files and folders, by their number in the table.
    quotas: HashMap<u32, Arc<Quota>>,
    /// The last denial that is not WASI's own.
    refused: Option<GuardDenial>,
    /// The most memory that the host has held for one folder listing.
    listing: usize,
    listings: Listings,
    /// The last listed entry.
    listed_last: Option<String>,
    http: WasiHttpCtx,
    /// Created when the guest first uses it.
    http_gate: Option<HttpGate>,
    wasi3: Wasi3State,
    /// Calls tools for the instance, if it may call any.
    caller: Option<Arc<dyn ToolCaller>>,
}

impl Sandbox {
    /// # Errors
    ///
    /// A granted folder cannot be opened.
    pub(crate) fn new(grants: &Arc<Grants>, journal: Journal) -> Result<Sandbox, String> {
        let mut sandbox = Sandbox::without_wasi(grants, journal);
        // Opening a folder can fail, and the guest's first import is too late for that.
        if !grants.folders.is_empty() {
            let wasi = wasi_context(grants, &sandbox.journal, &sandbox.lookups, None, None)?;
            sandbox.wasi = Some(wasi);
        }
        Ok(sandbox)
    }

    fn without_wasi(grants: &Arc<Grants>, journal: Journal) -> Sandbox {
        let limits = &grants.limits;
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(
            usize::try_from(limits.max_headers.as_u64()).unwrap_or(usize::MAX),
        );
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.max_resources as usize);
        Sandbox {
            limiter: Limiter::new(limits.memory),
            journal,
            grants: grants.clone(),
            table,
            wasi: None,
            program: None,
            lookups: Lookups::default(),
            temporaries: Temporaries::default(),
            quotas: HashMap::new(),
            refused: None,
            listing: 0,
            listings: Listings::default(),
            listed_last: None,
            http,
            http_gate: None,
            wasi3: Wasi3State::default(),
            caller: None,
        }
    }

    /// Sets what its program gets, before it runs.
    ///
    /// # Errors
    ///
    /// A granted folder cannot be opened.
    pub(crate) fn set_program(&mut self, program: Program) -> Result<(), String> {
        // It exists already if there are folders.
        if self.wasi.is_some() {
            let (journal, lookups) = (&self.journal, &self.lookups);
            let wasi = wasi_context(&self.grants, journal, lookups, Some(&program), None)?;
            self.wasi = Some(wasi);
        }
        self.program = Some(program);
        Ok(())
    }

    /// Lets the instance call tools.
    pub(crate) fn set_caller(&mut self, caller: Arc<dyn ToolCaller>) {
        self.caller = Some(caller);
    }

    /// Whether the manifest sets that environment variable.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.grants.permissions.env.contains_key(name)
    }

    /// Counts what the host holds for the guest plus `more`. Returns whether it fits the memory
    /// limit. Called at every tick: what is held for less than a tick is not seen.
    pub(crate) fn weigh(&mut self, more: usize) -> bool {
        let listing = self.listing;
        let held = self.table.iter_mut().map(|entry| {
            RESOURCE_COST
                + if entry.is::<ReaddirIterator>() {
                    listing
                } else if entry.is::<DynInputStream>() {
                    http::BODY_CHUNK
                } else if entry.is::<HostOutgoingBody>() {
                    // What is being sent, and what waits.
                    2 * http::BODY_CHUNK
                } else if let Some(fields) = entry.downcast_ref::<FieldMap>() {
                    size_of_fields(fields)
                } else if let Some(request) = entry.downcast_ref::<HostOutgoingRequest>() {
                    size_of_request(request)
                } else if let Some(request) = entry.downcast_ref::<p3::Request>() {
                    size_of_new_request(request)
                } else if let Some(response) = entry.downcast_ref::<p3::Response>() {
                    http::BODY_CHUNK + size_of_fields(&response.headers)
                } else {
                    0
                }
        });
        let held: usize = held.sum();
        let of_calls = self.caller.as_ref().map_or(0, |caller| caller.held());
        let more = more.saturating_add(of_calls);
        self.limiter.hold(held.saturating_add(more))
    }

    /// As [`weigh`](Sandbox::weigh), on the concurrent engine, where most is in wasmtime's own
    /// table.
    pub(crate) fn weigh_concurrent(&mut self, entries: usize) -> bool {
        let requests = self.http_gate.as_ref().map_or(0, HttpGate::held);
        let entries = entries.saturating_mul(wasi3::ENTRY_COST);
        self.weigh(
            entries
                .saturating_add(requests)
                .saturating_add(self.wasi3.held()),
        )
    }
}

/// As sent, plus the map's cost of each.
fn size_of_fields(fields: &FieldMap) -> usize {
    http_bounds::size(fields) as usize + fields.len() * 60
}

fn size_of_request(request: &HostOutgoingRequest) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let method = match &request.method {
        Method::Other(method) => method.len(),
        _ => 0,
    };
    let scheme = match &request.scheme {
        Some(Scheme::Other(scheme)) => scheme.len(),
        _ => 0,
    };
    let headers = size_of_fields(&request.headers);
    method + scheme + text(&request.authority) + text(&request.path_with_query) + headers
}

fn size_of_new_request(request: &p3::Request) -> usize {
    let authority = request.authority.as_ref().map_or(0, |it| it.as_str().len());
    let path = request.path_with_query.as_ref();
    let path = path.map_or(0, |it| it.as_str().len());
    let method = request.method.as_str().len();
    method + authority + path + size_of_fields(&request.headers)
}

fn wasi_context(
    grants: &Grants,
    journal: &Journal,
    lookups: &Lookups,
    program: Option<&Program>,
    readings: Option<Arc<Readings>>,
) -> Result<WasiCtx, String> {
    let mut wasi = WasiCtx::builder();
    let stdout = match program {
        None => GuestStream::Log(journal.clone(), LogSource::Stdout),
        Some(program) => GuestStream::Captured(journal.clone(), program.stdout.clone()),
    };
    if let Some(program) = program {
        wasi.args(&program.args)
            .stdin(MemoryInputPipe::new(program.stdin.clone()));
        for (name, value) in &program.env {
            wasi.env(name, value);
        }
    }
    wasi.stdout(stdout)
        .stderr(GuestStream::Log(journal.clone(), LogSource::Stderr))
        .max_random_size(grants.limits.transfer().as_u64());
    clocks::configure(&mut wasi, &grants.permissions);
    if let Some(readings) = readings {
        readings.configure(&mut wasi, &grants.permissions);
    }
    sockets::configure(&mut wasi, grants, journal, lookups);
    for (name, value) in &grants.permissions.env {
        wasi.env(name, value);
    }
    for folder in &grants.folders {
        let access = match folder.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        let guest = &folder.guest;
        let opened = folder.path().map_err(wasmtime::Error::from);
        opened
            .and_then(|path| wasi.preopened_dir(path, guest, access).map(drop))
            .map_err(|error| format!("cannot open the folder for {guest}: {error:#}"))?;
    }
    Ok(wasi.build())
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| {
            let program = self.program.as_ref();
            let readings = self.caller.as_ref().and_then(|caller| caller.readings());
            let (journal, lookups) = (&self.journal, &self.lookups);
            wasi_context(&self.grants, journal, lookups, program, readings)
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
        let gate = self
            .http_gate
            .get_or_insert_with(|| HttpGate::new(self.grants.clone(), self.journal.clone()));
        WasiHttpCtxView {
            hooks: gate,
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
        let progress = Progress::new(done).with_total(total);
        self.journal.progress(progress.with_message(message));
        Ok(())
    }

    fn can_ask(&mut self, kind: host::QuestionKind) -> wasmtime::Result<bool> {
        Ok(self.journal.can_ask(match kind {
            host::QuestionKind::Form => QuestionKind::Form,
            host::QuestionKind::Page => QuestionKind::Url,
            host::QuestionKind::Prompt => QuestionKind::Sampling,
            host::QuestionKind::Roots => QuestionKind::Roots,
        }))
    }

    fn resource_updated(&mut self, uri: String) -> wasmtime::Result<()> {
        // A plugin cannot announce changes of others' resources.
        let own = self.grants.resources.get();
        if own.is_some_and(|(owners, plugin)| owners.is_of(*plugin, &uri)) {
            self.journal.resource_updated(uri);
        }
        Ok(())
    }

    fn resources_changed(&mut self) -> wasmtime::Result<()> {
        let own = self.grants.resources.get();
        if own.is_some_and(|(owners, plugin)| owners.has_any(*plugin)) {
            self.journal.resources_changed();
        }
        Ok(())
    }

    fn config(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.grants.config.get(&key).cloned())
    }

    fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        // Secrets for headers are not for the guest.
        let granted = !self.grants.permissions.is_for_headers(&name);
        let secret = self.grants.secrets.get(&name).filter(|_| granted);
        if secret.is_none() {
            self.journal.deny(format!("secret {name}"));
        }
        Ok(secret.map(|secret| secret.reveal().to_owned()))
    }
}
