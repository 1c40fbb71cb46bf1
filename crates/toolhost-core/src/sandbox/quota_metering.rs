//! Metered operations: those of guests in folders with a quota, one at a time in each folder, and
//! counted before they are done. See docs/adr/0018.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{ErrorCode, HostDescriptor};
use wasmtime_wasi::p2::{
    DynOutputStream, FsResult, OutputStream, Pollable, StreamError, StreamResult,
};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn, spawn_blocking};

use super::descriptor::{Fd, blocking};
use super::guarded_operations::Spot;
use super::{Operations, Sandbox};
use crate::quota::{self, HeldQuota, Quota, WriteAt};

/// The most that a guest may write to a stream at once: the host holds it while it waits.
pub(super) const WRITE_SIZE: usize = 64 << 10;

impl Sandbox {
    /// The quota of the folder that it was opened from.
    pub(super) fn quota(&self, fd: &Fd) -> Option<Arc<Quota>> {
        self.quotas.get(&fd.rep()).cloned()
    }

    /// Sets the quota of an opened file, whose number may have been used before.
    pub(super) fn set_quota(&mut self, opened: &Fd, quota: Option<Arc<Quota>>) {
        match quota {
            Some(quota) => drop(self.quotas.insert(opened.rep(), quota)),
            None => drop(self.quotas.remove(&opened.rep())),
        }
    }

    /// The file and its quota, if it has one and is writable.
    pub(super) fn metered(&self, fd: &Fd) -> FsResult<Option<(Arc<Quota>, Arc<File>)>> {
        let Some(quota) = self.quota(fd) else {
            return Ok(None);
        };
        Ok(match self.table.get(fd)? {
            Descriptor::File(file) if !file.perms.write_not_permitted() => {
                Some((quota, file.file.clone()))
            }
            // WASI reports what is wrong.
            _ => None,
        })
    }
}

/// The quota for a rename between two folders. Into and out of a folder with a quota one can only
/// copy, as between file systems: open files would otherwise go on to grow uncounted.
pub(super) fn of_both(sandbox: &Sandbox, from: &Fd, to: &Fd) -> FsResult<Option<Arc<Quota>>> {
    match (sandbox.quota(from), sandbox.quota(to)) {
        (None, None) => Ok(None),
        (Some(from), Some(to)) if from.shares(&to) => Ok(Some(to)),
        _ => Err(ErrorCode::CrossDevice.into()),
    }
}

/// An operation on names in a folder with a quota, from before it begins until it is counted. It
/// must be ended whatever the outcome; otherwise it lasts as long as the call.
pub(super) struct NameChange {
    held: Option<HeldQuota>,
    operations: Operations,
}

impl NameChange {
    /// Begins an operation on these names; `makes` if the last of them may be new.
    pub(super) async fn begin(
        sandbox: &mut Sandbox,
        quota: Option<&Arc<Quota>>,
        at: &[&Spot],
        makes: bool,
    ) -> FsResult<Option<NameChange>> {
        let Some(quota) = quota else {
            return Ok(None);
        };
        let mut names = Vec::new();
        for spot in at {
            names.push((sandbox.file(&spot.folder)?, spot.name.clone()));
        }
        let operations = sandbox.journal.operations().clone();
        let mut held = quota.hold().await;
        if !names.is_empty() {
            let begun = blocking(move || {
                held.begin(names, makes)?;
                Ok(held)
            });
            held = begun.await?;
        }
        Ok(Some(NameChange {
            held: Some(held),
            operations,
        }))
    }

    async fn end(mut self, opened: Option<Arc<File>>) -> FsResult<()> {
        match self.held.take() {
            Some(held) => {
                blocking(move || {
                    held.end(opened.as_ref());
                    Ok(())
                })
                .await
            }
            None => Ok(()),
        }
    }
}

impl Drop for NameChange {
    /// The call was dropped, but the operation may still run, or was done and not counted.
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else {
            return;
        };
        held.doubt();
        let operations = self.operations.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                operations.settled().await;
                drop(held);
            });
        }
    }
}

/// Ends an operation that succeeded or failed.
pub(super) async fn ended<T>(change: Option<NameChange>, done: FsResult<T>) -> FsResult<T> {
    if let Some(change) = change {
        change.end(None).await?;
    }
    done
}

/// Registers what was opened, or not, from a folder with that quota.
pub(super) async fn opened(
    sandbox: &mut Sandbox,
    change: Option<NameChange>,
    quota: Option<Arc<Quota>>,
    opened: FsResult<Fd>,
) -> FsResult<Fd> {
    // Saves work where there are no quotas at all.
    if !sandbox.grants.has_quotas() {
        return opened;
    }
    let file = opened.as_ref().ok().and_then(|fd| sandbox.file(fd).ok());
    match (change, file) {
        (Some(change), file) => change.end(file).await?,
        // An open file takes room even if it is removed through another folder.
        (None, Some(file)) => {
            blocking(move || {
                quota::opened(&file);
                Ok(())
            })
            .await?;
        }
        (None, None) => {}
    }
    if let Ok(fd) = &opened {
        sandbox.set_quota(fd, quota);
    }
    opened
}

pub(super) async fn write(
    sandbox: &mut Sandbox,
    fd: Fd,
    bytes: Vec<u8>,
    offset: u64,
) -> FsResult<u64> {
    let Some((quota, file)) = sandbox.metered(&fd)? else {
        return sandbox.filesystem().write(fd, bytes, offset).await;
    };
    let mut held = quota.hold().await;
    let written = blocking(move || held.write(&file, WriteAt::Offset(offset), &bytes)).await?;
    Ok(written as u64)
}

pub(super) async fn set_size(sandbox: &mut Sandbox, fd: Fd, size: u64) -> FsResult<()> {
    let Some((quota, file)) = sandbox.metered(&fd)? else {
        return sandbox.filesystem().set_size(fd, size).await;
    };
    let mut held = quota.hold().await;
    blocking(move || held.set_size(&file, size)).await
}

pub(super) fn write_via_stream(
    sandbox: &mut Sandbox,
    fd: Fd,
    offset: u64,
) -> FsResult<Resource<DynOutputStream>> {
    match sandbox.metered(&fd)? {
        Some(metered) => MeteredStream::open(sandbox, metered, WriteAt::Offset(offset)),
        None => sandbox.filesystem().write_via_stream(fd, offset),
    }
}

pub(super) fn append_via_stream(
    sandbox: &mut Sandbox,
    fd: Fd,
) -> FsResult<Resource<DynOutputStream>> {
    match sandbox.metered(&fd)? {
        Some(metered) => MeteredStream::open(sandbox, metered, WriteAt::End),
        None => sandbox.filesystem().append_via_stream(fd),
    }
}

/// Writes to a file in a folder with a quota.
struct MeteredStream {
    quota: Arc<Quota>,
    file: Arc<File>,
    at: WriteAt,
    state: WriteState,
}

enum WriteState {
    Ready,
    Writing(AbortOnDropJoinHandle<io::Result<usize>>),
    Failed(io::Error),
    Closed,
}

impl MeteredStream {
    fn open(
        sandbox: &mut Sandbox,
        (quota, file): (Arc<Quota>, Arc<File>),
        at: WriteAt,
    ) -> FsResult<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(MeteredStream {
            quota,
            file,
            at,
            state: WriteState::Ready,
        });
        Ok(sandbox.table.push(stream)?)
    }

    /// The error of the last write, once.
    fn failure(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.state, WriteState::Closed) {
            WriteState::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            WriteState::Closed => Err(StreamError::Closed),
            state => {
                self.state = state;
                Ok(())
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for MeteredStream {
    async fn ready(&mut self) {
        let WriteState::Writing(writing) = &mut self.state else {
            return;
        };
        self.state = match writing.await {
            Ok(written) => {
                if let WriteAt::Offset(offset) = &mut self.at {
                    *offset = offset.saturating_add(written as u64);
                }
                WriteState::Ready
            }
            Err(error) => WriteState::Failed(error),
        };
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for MeteredStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.state {
            WriteState::Ready => {}
            WriteState::Closed => return Err(StreamError::Closed),
            WriteState::Writing(_) | WriteState::Failed(_) => {
                return Err(StreamError::trap(
                    "written without a look whether it may be",
                ));
            }
        }
        let (quota, file, at) = (self.quota.clone(), self.file.clone(), self.at);
        self.state = WriteState::Writing(spawn(async move {
            let mut held = quota.hold().await;
            spawn_blocking(move || held.write(&file, at, &bytes)).await
        }));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.failure()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.failure()?;
        Ok(match self.state {
            WriteState::Ready => WRITE_SIZE,
            _ => 0,
        })
    }

    async fn cancel(&mut self) {
        if let WriteState::Writing(writing) = std::mem::replace(&mut self.state, WriteState::Closed)
        {
            // A write ends before its file is closed.
            let _ = writing.cancel().await;
        }
    }
}
