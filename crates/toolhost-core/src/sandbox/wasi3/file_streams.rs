//! Writing to files through streams; in a folder with a quota, each write is counted first.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Access, FutureReader, Linker, Source, StreamConsumer, StreamReader, StreamResult,
};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::filesystem::types::{ErrorCode, HostDescriptorWithStore};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn_blocking};

use super::super::Sandbox;
use super::super::descriptor::Fd;
use super::super::quota_metering::WRITE_SIZE;
use crate::quota::{HeldQuota, Quota, WriteAt};

type Written = FutureReader<Result<(), ErrorCode>>;

pub(super) fn replace(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.3.0")?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        |mut store: StoreContextMut<Sandbox>, (fd, data, offset): (Fd, StreamReader<u8>, u64)| {
            let metered = to_write(store.data_mut(), &fd, "write-via-stream")?;
            Ok((match metered {
                Some(metered) => write(store, metered, data, WriteAt::Offset(offset))?,
                None => WasiFilesystem::write_via_stream(access(store), fd, data, offset)?,
            },))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        |mut store: StoreContextMut<Sandbox>, (fd, data): (Fd, StreamReader<u8>)| {
            let metered = to_write(store.data_mut(), &fd, "append-via-stream")?;
            Ok((match metered {
                Some(metered) => write(store, metered, data, WriteAt::End)?,
                None => WasiFilesystem::append_via_stream(access(store), fd, data)?,
            },))
        },
    )
}

/// The file and its quota, if it has one. A denial is recorded.
fn to_write(
    sandbox: &mut Sandbox,
    fd: &Fd,
    name: &str,
) -> wasmtime::Result<Option<(Arc<Quota>, Arc<File>)>> {
    if let Descriptor::File(file) = sandbox.table.get(fd)?
        && file.perms.write_not_permitted()
    {
        sandbox.journal.deny(format!("files: {name}"));
    }
    Ok(sandbox.metered(fd)?)
}

fn access(store: StoreContextMut<'_, Sandbox>) -> Access<'_, Sandbox, WasiFilesystem> {
    Access::new(store, |sandbox| sandbox.filesystem())
}

fn write(
    mut store: StoreContextMut<'_, Sandbox>,
    (quota, file): (Arc<Quota>, Arc<File>),
    data: StreamReader<u8>,
    at: WriteAt,
) -> wasmtime::Result<Written> {
    let (result, written) = oneshot::channel();
    let consumer = MeteredConsumer {
        quota,
        file,
        at,
        state: WriteState::Ready,
        result: Some(result),
    };
    data.pipe(&mut store, consumer)?;
    FutureReader::new(&mut store, written)
}

/// Writes what a guest sends to a file in a folder with a quota.
struct MeteredConsumer {
    quota: Arc<Quota>,
    file: Arc<File>,
    at: WriteAt,
    state: WriteState,
    result: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

enum WriteState {
    Ready,
    Waiting(BoxFuture<'static, HeldQuota>),
    Writing(AbortOnDropJoinHandle<io::Result<usize>>),
}

impl MeteredConsumer {
    fn end(&mut self, result: Result<(), ErrorCode>) {
        if let Some(sender) = self.result.take() {
            // The guest may not want to know.
            let _ = sender.send(result);
        }
    }
}

impl Drop for MeteredConsumer {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

impl StreamConsumer<Sandbox> for MeteredConsumer {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, Sandbox>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        let mut source = source.as_direct(store);
        if source.remaining().is_empty() && matches!(this.state, WriteState::Ready) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        loop {
            match &mut this.state {
                WriteState::Ready => {
                    let quota = this.quota.clone();
                    let hold = async move { quota.hold().await };
                    this.state = WriteState::Waiting(hold.boxed());
                }
                WriteState::Waiting(hold) => match hold.poll_unpin(context) {
                    Poll::Ready(mut held) => {
                        let bytes = source.remaining();
                        let bytes = bytes[..bytes.len().min(WRITE_SIZE)].to_vec();
                        let (file, at) = (this.file.clone(), this.at);
                        let write = move || held.write(&file, at, &bytes);
                        this.state = WriteState::Writing(spawn_blocking(write));
                    }
                    Poll::Pending if finish => {
                        this.state = WriteState::Ready;
                        return Poll::Ready(Ok(StreamResult::Cancelled));
                    }
                    Poll::Pending => return Poll::Pending,
                },
                // It cannot be stopped, and what it wrote must be known.
                WriteState::Writing(writing) => {
                    let Poll::Ready(written) = writing.poll_unpin(context) else {
                        return Poll::Pending;
                    };
                    this.state = WriteState::Ready;
                    return Poll::Ready(Ok(match written {
                        Ok(written) => {
                            if let WriteAt::Offset(offset) = &mut this.at {
                                *offset = offset.saturating_add(written as u64);
                            }
                            source.mark_read(written);
                            StreamResult::Completed
                        }
                        Err(error) => {
                            this.end(Err(code(&error)));
                            StreamResult::Dropped
                        }
                    }));
                }
            }
        }
    }
}

/// WASI's own conversion knows nothing of quotas.
fn code(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::QuotaExceeded => ErrorCode::Quota,
        _ => error.into(),
    }
}
