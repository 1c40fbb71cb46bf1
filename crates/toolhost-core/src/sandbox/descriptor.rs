//! The guest's descriptors of files and folders, and what is done with all of them.

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

/// Runs what may wait for a disk, where the host's other calls do not wait for it.
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

/// Has the call's operations on a file or folder counted.
pub(super) fn watch(sandbox: &mut Sandbox, fd: &Fd) -> Result<(), ResourceTableError> {
    let file = match sandbox.table.get(fd)? {
        Descriptor::File(file) => &file.file,
        Descriptor::Dir(folder) => &folder.dir,
    };
    sandbox.journal.operations().watch(file);
    Ok(())
}
