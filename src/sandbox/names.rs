//! What gives names to files and folders, and takes them away.

use std::fs::File;
use std::sync::Arc;

use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};

use super::descriptor::{Fd, blocking, borrowed, watch};
use super::guarded::{self, Spot};
use super::metered::{self, Change};
use super::{Sandbox, opening, temporary};
use crate::quota::Quota;

pub(super) async fn create_directory(sandbox: &mut Sandbox, fd: Fd, path: String) -> FsResult<()> {
    let quota = sandbox.quota(&fd);
    let spot = guarded::to_change(sandbox, &fd, path).await?;
    let done = create_directory_there(sandbox, quota, &spot).await;
    spot.leave(sandbox);
    done
}

async fn create_directory_there(
    sandbox: &mut Sandbox,
    quota: Option<Arc<Quota>>,
    spot: &Spot,
) -> FsResult<()> {
    let change = Change::begin(sandbox, quota.as_ref(), &[spot], true).await?;
    let mut files = sandbox.filesystem();
    let done = files.create_directory_at(spot.fd(), spot.name.clone());
    let done = done.await;
    metered::ended(change, done).await
}

pub(super) async fn remove_directory(sandbox: &mut Sandbox, fd: Fd, path: String) -> FsResult<()> {
    let quota = sandbox.quota(&fd);
    let spot = guarded::to_change(sandbox, &fd, path).await?;
    let done = remove_directory_there(sandbox, quota, &spot).await;
    spot.leave(sandbox);
    done
}

async fn remove_directory_there(
    sandbox: &mut Sandbox,
    quota: Option<Arc<Quota>>,
    spot: &Spot,
) -> FsResult<()> {
    let change = Change::begin(sandbox, quota.as_ref(), &[spot], false).await?;
    let mut files = sandbox.filesystem();
    let done = files.remove_directory_at(spot.fd(), spot.name.clone());
    let done = done.await;
    metered::ended(change, done).await
}

pub(super) async fn symlink(
    sandbox: &mut Sandbox,
    fd: Fd,
    old: String,
    new: String,
) -> FsResult<()> {
    let quota = sandbox.quota(&fd);
    let spot = guarded::to_change(sandbox, &fd, new).await?;
    let done = symlink_there(sandbox, quota, old, &spot).await;
    spot.leave(sandbox);
    done
}

async fn symlink_there(
    sandbox: &mut Sandbox,
    quota: Option<Arc<Quota>>,
    old: String,
    spot: &Spot,
) -> FsResult<()> {
    let change = Change::begin(sandbox, quota.as_ref(), &[spot], true).await?;
    let moving = opening::moving().await;
    let mut files = sandbox.filesystem();
    let done = files.symlink_at(spot.fd(), old, spot.name.clone()).await;
    drop(moving);
    metered::ended(change, done).await
}

pub(super) async fn rename(
    sandbox: &mut Sandbox,
    fd: Fd,
    old: String,
    to: Fd,
    new: String,
) -> FsResult<()> {
    let quota = metered::of_both(sandbox, &fd, &to);
    let (from, to) = guarded::to_move(sandbox, (&fd, old), (&to, new)).await?;
    let done = rename_counted(sandbox, quota, &from, &to).await;
    from.leave(sandbox);
    to.leave(sandbox);
    done
}

async fn rename_counted(
    sandbox: &mut Sandbox,
    quota: FsResult<Option<Arc<Quota>>>,
    from: &Spot,
    to: &Spot,
) -> FsResult<()> {
    let change = Change::begin(sandbox, quota?.as_ref(), &[from, to], false).await?;
    let done = rename_there(sandbox, from, to).await;
    metered::ended(change, done).await
}

async fn rename_there(sandbox: &mut Sandbox, from: &Spot, to: &Spot) -> FsResult<()> {
    if let Some(temporary) = sandbox.temporaries.find(&from.name).cloned() {
        let replaced = open_to_write(sandbox, &to.folder, &to.name).await?;
        blocking(move || temporary.finish(replaced.as_deref())).await?;
    }
    let _moving = opening::moving().await;
    let (old, new) = (from.name.clone(), to.name.clone());
    let mut files = sandbox.filesystem();
    files.rename_at(from.fd(), old, to.fd(), new).await?;
    sandbox.temporaries.remove(&from.name);
    Ok(())
}

pub(super) async fn link(
    sandbox: &mut Sandbox,
    fd: Fd,
    flags: PathFlags,
    old: String,
    to: Fd,
    new: String,
) -> FsResult<()> {
    let quota = metered::of_both(sandbox, &fd, &to);
    let (from, to) = guarded::to_move(sandbox, (&fd, old), (&to, new)).await?;
    let done = link_counted(sandbox, quota, flags, &from, &to).await;
    from.leave(sandbox);
    to.leave(sandbox);
    done
}

async fn link_counted(
    sandbox: &mut Sandbox,
    quota: FsResult<Option<Arc<Quota>>>,
    flags: PathFlags,
    from: &Spot,
    to: &Spot,
) -> FsResult<()> {
    let change = Change::begin(sandbox, quota?.as_ref(), &[to], true).await?;
    let done = link_there(sandbox, flags, from, to).await;
    metered::ended(change, done).await
}

async fn link_there(
    sandbox: &mut Sandbox,
    flags: PathFlags,
    from: &Spot,
    to: &Spot,
) -> FsResult<()> {
    // It is about to have a name of its own, in whose place nothing is.
    if let Some(temporary) = sandbox.temporaries.find(&from.name).cloned() {
        blocking(move || temporary.finish(None)).await?;
    }
    let _moving = opening::moving().await;
    let (old, new) = (from.name.clone(), to.name.clone());
    let mut files = sandbox.filesystem();
    files.link_at(from.fd(), flags, old, to.fd(), new).await
}

pub(super) async fn unlink(sandbox: &mut Sandbox, fd: Fd, path: String) -> FsResult<()> {
    let quota = sandbox.quota(&fd);
    let spot = guarded::to_change(sandbox, &fd, path).await?;
    let done = unlink_counted(sandbox, quota, &spot).await;
    spot.leave(sandbox);
    done
}

async fn unlink_counted(
    sandbox: &mut Sandbox,
    quota: Option<Arc<Quota>>,
    spot: &Spot,
) -> FsResult<()> {
    let change = Change::begin(sandbox, quota.as_ref(), &[spot], false).await?;
    let done = unlink_there(sandbox, spot).await;
    metered::ended(change, done).await
}

async fn unlink_there(sandbox: &mut Sandbox, spot: &Spot) -> FsResult<()> {
    let path = &spot.name;
    // Held until it is removed.
    let mut _locked = None;
    if temporary::is_name(path) && sandbox.temporaries.find(path).is_none() {
        let opened = open_to_write(sandbox, &spot.folder, path).await?;
        if let Some(file) = opened {
            let (file, is_abandoned) = blocking(move || {
                let is_abandoned = temporary::is_abandoned(&file);
                Ok((file, is_abandoned))
            })
            .await?;
            if !is_abandoned {
                return Err(ErrorCode::Busy.into());
            }
            _locked = Some(file);
        }
    }
    let mut files = sandbox.filesystem();
    files.unlink_file_at(spot.fd(), path.clone()).await?;
    sandbox.temporaries.remove(path);
    Ok(())
}

/// The regular file at the path, no link followed, if it is one; it must be one that may be written to.
async fn open_to_write(sandbox: &mut Sandbox, fd: &Fd, path: &str) -> FsResult<Option<Arc<File>>> {
    let at = PathFlags::empty();
    let mut files = sandbox.filesystem();
    match files.stat_at(borrowed(fd), at, path.to_owned()).await {
        Ok(found) if found.type_ == DescriptorType::RegularFile => {}
        Ok(_) => return Ok(None),
        Err(error) if error.downcast_ref() == Some(&ErrorCode::NoEntry) => return Ok(None),
        Err(error) => return Err(error),
    }
    let (how, flags) = (OpenFlags::empty(), DescriptorFlags::WRITE);
    let opened = opening::open(sandbox, borrowed(fd), at, path.to_owned(), how, flags).await?;
    watch(sandbox, &opened)?;
    Ok(match sandbox.table.delete(opened)? {
        Descriptor::File(file) => Some(file.file),
        Descriptor::Dir(_) => None,
    })
}
