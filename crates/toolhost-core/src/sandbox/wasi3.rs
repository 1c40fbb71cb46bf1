//! WASI 0.3, for guests of the concurrent engine. See docs/adr/0024.
//!
//! The guards are those of WASI 0.2: a request, a socket or a file operation is checked by the same
//! code. What differs is how a function waits: other tasks of the guest run meanwhile, so it may
//! not keep the sandbox borrowed.

mod clocks;
mod file_streams;
mod file_types;
mod files;
mod listing;
mod sockets;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use wasmtime::component::Linker;

use super::Sandbox;
use files::FileWorker;

/// The host's cost of a task, a stream or a future of a guest, beside what is counted separately.
/// The largest is a file that is read through a stream, whose buffer has 8 KiB and which is three
/// entries.
pub(super) const ENTRY_COST: usize = 4 << 10;

/// What a sandbox has for WASI 0.3 only.
#[derive(Default)]
pub(super) struct Wasi3State {
    files: FileWorker,
    /// The size of the listings that guests have not read yet.
    listed: LazyLock<Arc<AtomicUsize>>,
}

impl Wasi3State {
    /// Bytes that the host holds for streams.
    pub(super) fn held(&self) -> usize {
        self.listed.load(Ordering::Relaxed)
    }
}

/// Adds WASI 0.3. Shadowing must be allowed only meanwhile, as for WASI 0.2.
pub(super) fn link(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    linker.allow_shadowing(true);
    clocks::replace(linker)?;
    files::replace(linker)?;
    file_streams::replace(linker)?;
    listing::replace(linker)?;
    sockets::replace(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}
