//! File operations, done one at a time by the guarded operations of WASI 0.2.
//!
//! Those borrow a sandbox while they wait, and must run to their end once they have begun, since
//! they check, act and record. So they run in a sandbox of their own, in a task that a guest which
//! cancels its call does not stop; the task ends with the instance. The next operation waits for
//! the one that runs. The two sandboxes share grants and journal; temporary files are only in that
//! of the operations.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p3::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

use super::super::descriptor::{Fd, borrowed};
use super::super::{Sandbox, files, quota_metering, rename_and_unlink};
use super::file_types::{
    descriptor_flags, error, hash, new_timestamp, open_flags, path_flags, stat,
};
use crate::quota::Quota;

/// The sandbox of the operations.
#[derive(Default)]
pub(super) struct FileWorker {
    sandbox: Option<Arc<Mutex<Sandbox>>>,
    running: Option<Running>,
}

/// The last operation; stopped when the instance is gone.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Links `$name` to a guarded operation. `$what` describes the access; `$run` is done in the
/// sandbox of the operations, with the descriptor's number there.
macro_rules! ours {
    ($types:ident, $name:literal, ($($argument:ident: $type:ty),*), $what:expr,
     |$sandbox:ident, $fd:ident| $run:expr, $convert:expr) => {
        $types.func_wrap_concurrent(
            concat!("[method]descriptor.", $name),
            |accessor: &Accessor<Sandbox>, (fd, $($argument),*): (Fd, $($type,)*)| {
                Box::pin(async move {
                    let what = $what;
                    let done = operate(accessor, $name, what, [fd], move |$sandbox, fds| {
                        let $fd = borrowed(&fds[0]);
                        Box::pin(async move { $run.await })
                    });
                    Ok((done.await?.map($convert),))
                })
            },
        )?
    };
}

pub(super) fn replace(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.3.0")?;
    ours!(types, "set-size", (size: u64), String::new(),
        |sandbox, fd| quota_metering::set_size(sandbox, fd, size), |()| ());
    ours!(types, "set-times", (access: NewTimestamp, modification: NewTimestamp), String::new(),
        |sandbox, fd| async {
            let (access, modification) = (new_timestamp(access)?, new_timestamp(modification)?);
            files::set_times(sandbox, fd, access, modification).await
        }, |()| ());
    ours!(types, "create-directory-at", (path: String), path.clone(),
        |sandbox, fd| rename_and_unlink::create_directory(sandbox, fd, path), |()| ());
    ours!(types, "stat-at", (at: PathFlags, path: String), path.clone(),
        |sandbox, fd| files::stat(sandbox, fd, path_flags(at), path), stat);
    ours!(types, "metadata-hash-at", (at: PathFlags, path: String), path.clone(),
        |sandbox, fd| files::metadata_hash(sandbox, fd, path_flags(at), path), hash);
    ours!(types, "set-times-at",
        (at: PathFlags, path: String, access: NewTimestamp, modification: NewTimestamp),
        path.clone(),
        |sandbox, fd| async {
            let (access, modification) = (new_timestamp(access)?, new_timestamp(modification)?);
            files::set_times_at(sandbox, fd, path_flags(at), path, access, modification).await
        }, |()| ());
    ours!(types, "readlink-at", (path: String), path.clone(),
        |sandbox, fd| files::readlink(sandbox, fd, path), |target| target);
    ours!(types, "remove-directory-at", (path: String), path.clone(),
        |sandbox, fd| rename_and_unlink::remove_directory(sandbox, fd, path), |()| ());
    ours!(types, "symlink-at", (old: String, new: String), format!("{new} -> {old}"),
        |sandbox, fd| rename_and_unlink::symlink(sandbox, fd, old, new), |()| ());
    ours!(types, "unlink-file-at", (path: String), path.clone(),
        |sandbox, fd| rename_and_unlink::unlink(sandbox, fd, path), |()| ());
    types.func_wrap_concurrent(
        "[method]descriptor.link-at",
        |accessor: &Accessor<Sandbox>,
         (fd, flags, old, to, new): (Fd, PathFlags, String, Fd, String)| {
            Box::pin(async move {
                let what = format!("{old} -> {new}");
                let done = operate(accessor, "link-at", what, [fd, to], move |sandbox, fds| {
                    let (fd, to) = (borrowed(&fds[0]), borrowed(&fds[1]));
                    let flags = path_flags(flags);
                    Box::pin(rename_and_unlink::link(sandbox, fd, flags, old, to, new))
                });
                Ok((done.await?,))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.rename-at",
        |accessor: &Accessor<Sandbox>, (fd, old, to, new): (Fd, String, Fd, String)| {
            Box::pin(async move {
                let what = format!("{old} -> {new}");
                let done = operate(
                    accessor,
                    "rename-at",
                    what,
                    [fd, to],
                    move |sandbox, fds| {
                        let (fd, to) = (borrowed(&fds[0]), borrowed(&fds[1]));
                        Box::pin(rename_and_unlink::rename(sandbox, fd, old, to, new))
                    },
                );
                Ok((done.await?,))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.open-at",
        |accessor: &Accessor<Sandbox>,
         (fd, at, path, how, flags): (Fd, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::pin(async move {
                let (at, how, flags) = (path_flags(at), open_flags(how), descriptor_flags(flags));
                let what = path.clone();
                let opened = operate(accessor, "open-at", what, [fd], move |sandbox, fds| {
                    let fd = borrowed(&fds[0]);
                    Box::pin(async move {
                        let opened = files::open(sandbox, fd, at, path, how, flags).await?;
                        let quota = sandbox.quota(&opened);
                        Ok((sandbox.table.delete(opened)?, quota))
                    })
                });
                Ok((match opened.await? {
                    Ok(opened) => Ok(receive(accessor, opened)?),
                    Err(error) => Err(error),
                },))
            })
        },
    )?;
    linker
        .instance("wasi:filesystem/preopens@0.3.0")?
        .func_wrap(
            "get-directories",
            |mut store: StoreContextMut<Sandbox>, (): ()| Ok((files::folders(store.data_mut())?,)),
        )
}

/// Runs a guarded operation on copies of the guest's descriptors.
async fn operate<T: Send + 'static, const N: usize>(
    accessor: &Accessor<Sandbox>,
    name: &'static str,
    what: String,
    fds: [Fd; N],
    run: impl for<'a> FnOnce(&'a mut Sandbox, &'a [Fd]) -> BoxFuture<'a, FsResult<T>> + Send + 'static,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    let (worker, copies) = accessor.with(|mut access| {
        let sandbox: &mut Sandbox = access.get();
        let copies = fds.iter().map(|fd| {
            let descriptor = sandbox.table.get(fd)?.clone();
            Ok((descriptor, sandbox.quota(fd)))
        });
        let copies = copies.collect::<wasmtime::Result<Vec<_>>>()?;
        wasmtime::error::Ok((sandbox.file_worker(), copies))
    })?;
    // A guest that cancels its call before this is not left with a task.
    let mut worker = worker.lock_owned().await;
    let task = tokio::spawn(async move {
        let mut fds = Vec::new();
        for (descriptor, quota) in copies {
            let fd = worker.table.push(descriptor)?;
            worker.set_quota(&fd, quota);
            fds.push(fd);
        }
        let done = run(&mut worker, &fds).await;
        let done = files::note(&mut worker, name, &what, done);
        for fd in fds {
            worker.set_quota(&fd, None);
            worker.table.delete(fd)?;
        }
        done
    });
    let running = Running(task.abort_handle());
    accessor.with(|mut access| access.get().wasi3.files.running = Some(running));
    let done = task.await.map_err(wasmtime::Error::from)??;
    Ok(done.map_err(error))
}

/// Hands an opened file or folder over to the guest.
fn receive(
    accessor: &Accessor<Sandbox>,
    (opened, quota): (Descriptor, Option<Arc<Quota>>),
) -> wasmtime::Result<Fd> {
    accessor.with(|mut access| {
        let sandbox: &mut Sandbox = access.get();
        let fd = sandbox.table.push(opened)?;
        sandbox.set_quota(&fd, quota);
        Ok(fd)
    })
}

impl Sandbox {
    fn file_worker(&mut self) -> Arc<Mutex<Sandbox>> {
        let worker = self.wasi3.files.sandbox.get_or_insert_with(|| {
            let mut worker = Sandbox::without_wasi(&self.grants, self.journal.clone());
            // Guarded operations have the folders of their arguments only.
            worker.wasi = Some(WasiCtx::builder().build());
            Arc::new(Mutex::new(worker))
        });
        worker.clone()
    }
}
