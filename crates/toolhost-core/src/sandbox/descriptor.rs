//! Helpers for a guest's descriptors of files and folders.

use std::io;

use wasmtime::component::Resource;
use wasmtime_wasi::ResourceTableError;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use super::Sandbox;

pub(super) type Fd = Resource<Descriptor>;

pub(super) fn borrowed(fd: &Fd) -> Fd {
    Resource::new_borrow(fd.rep())
}

/// Runs what may block on a disk, on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> FsResult<T> {
    let done = wasmtime_wasi::runtime::spawn_blocking(run).await;
    done.map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => ErrorCode::Busy.into(),
        io::ErrorKind::QuotaExceeded => ErrorCode::Quota.into(),
        _ => error.into(),
    })
}

/// Has the call's operations on a file or folder tracked.
pub(super) fn watch(sandbox: &mut Sandbox, fd: &Fd) -> Result<(), ResourceTableError> {
    let (file, is_folder) = match sandbox.table.get(fd)? {
        Descriptor::File(file) => (&file.file, false),
        Descriptor::Dir(folder) => (&folder.dir, true),
    };
    sandbox.journal.operations().watch(file, is_folder);
    Ok(())
}
