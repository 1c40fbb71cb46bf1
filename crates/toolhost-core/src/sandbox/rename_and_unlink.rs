//! Operations that create, rename and remove names of files and folders.

use std::fs::File;
use std::sync::Arc;

use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};

use super::descriptor::{Fd, blocking, borrowed, watch};
use super::guarded_operations::{self, Spot};
use super::quota_metering::{self, NameChange};
use super::{Sandbox, opening, temporary};
use crate::quota::Quota;

pub(super) async fn create_directory(sandbox: &mut Sandbox, fd: Fd, path: String) -> FsResult<()> {
    change(sandbox, &fd, path, true, async |sandbox, spot| {
        let mut files = sandbox.filesystem();
        files
            .create_directory_at(spot.fd(), spot.name.clone())
            .await
    })
    .await
}

pub(super) async fn remove_directory(sandbox: &mut Sandbox, fd: Fd, path: String) -> FsResult<()> {
    change(sandbox, &fd, path, false, async |sandbox, spot| {
        let mut files = sandbox.filesystem();
        files
            .remove_directory_at(spot.fd(), spot.name.clone())
            .await
    })
    .await
}

pub(super) async fn symlink(
    sandbox: &mut Sandbox,
    fd: Fd,
    old: String,
    new: String,
) -> FsResult<()> {
    change(sandbox, &fd, new, true, async |sandbox, spot| {
        let _moving = opening::moving().await;
        let mut files = sandbox.filesystem();
        files.symlink_at(spot.fd(), old, spot.name.clone()).await
    })
    .await
}

pub(super) async fn unlink(sandbox: &mut Sandbox, fd: Fd, path: String) -> FsResult<()> {
    change(sandbox, &fd, path, false, unlink_there).await
}

/// Does an operation on a name that it creates or removes.
async fn change(
    sandbox: &mut Sandbox,
    fd: &Fd,
    path: String,
    makes: bool,
    run: impl AsyncFnOnce(&mut Sandbox, &Spot) -> FsResult<()>,
) -> FsResult<()> {
    let quota = sandbox.quota(fd);
    let spot = guarded_operations::to_change(sandbox, fd, path).await?;
    let done = match NameChange::begin(sandbox, quota.as_ref(), &[&spot], makes).await {
        Ok(change) => quota_metering::ended(change, run(sandbox, &spot).await).await,
        Err(error) => Err(error),
    };
    spot.leave(sandbox);
    done
}

pub(super) async fn rename(
    sandbox: &mut Sandbox,
    fd: Fd,
    old: String,
    to: Fd,
    new: String,
) -> FsResult<()> {
    let quota = quota_metering::of_both(sandbox, &fd, &to);
    let (from, to) = guarded_operations::to_move(sandbox, (&fd, old), (&to, new)).await?;
    let done = match begin(sandbox, quota, &[&from, &to], false).await {
        Ok(change) => quota_metering::ended(change, rename_there(sandbox, &from, &to).await).await,
        Err(error) => Err(error),
    };
    from.leave(sandbox);
    to.leave(sandbox);
    done
}

pub(super) async fn link(
    sandbox: &mut Sandbox,
    fd: Fd,
    flags: PathFlags,
    old: String,
    to: Fd,
    new: String,
) -> FsResult<()> {
    let quota = quota_metering::of_both(sandbox, &fd, &to);
    let (from, to) = guarded_operations::to_move(sandbox, (&fd, old), (&to, new)).await?;
    let done = match begin(sandbox, quota, &[&to], true).await {
        Ok(change) => {
            quota_metering::ended(change, link_there(sandbox, flags, &from, &to).await).await
        }
        Err(error) => Err(error),
    };
    from.leave(sandbox);
    to.leave(sandbox);
    done
}

async fn begin(
    sandbox: &mut Sandbox,
    quota: FsResult<Option<Arc<Quota>>>,
    at: &[&Spot],
    makes: bool,
) -> FsResult<Option<NameChange>> {
    NameChange::begin(sandbox, quota?.as_ref(), at, makes).await
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

async fn link_there(
    sandbox: &mut Sandbox,
    flags: PathFlags,
    from: &Spot,
    to: &Spot,
) -> FsResult<()> {
    // It gets its final name, which may be new.
    if let Some(temporary) = sandbox.temporaries.find(&from.name).cloned() {
        blocking(move || temporary.finish(None)).await?;
    }
    let _moving = opening::moving().await;
    let (old, new) = (from.name.clone(), to.name.clone());
    let mut files = sandbox.filesystem();
    files.link_at(from.fd(), flags, old, to.fd(), new).await
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

/// The regular file at the path, without following links; it must be writable.
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
