//! Wraps WASI's file functions: names denied accesses, and meters folders with a quota.

use std::io;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, ErrorCode, Host, HostDescriptor, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};

use super::descriptor::{Fd, blocking, watch};
use super::guarded_operations::{self, Spot};
use super::quota_metering::{self, NameChange};
use super::temporary::{self, Temporary};
use super::{Sandbox, folder_listing, opening, rename_and_unlink};
use crate::quota::Quota;

/// Links `$name` to a function of ours, and records its denials; `$what` describes the access from
/// the arguments.
macro_rules! ours {
    ($instance:ident, $name:literal, $run:path, ($($argument:ident: $type:ty),*), $($what:tt)*) => {
        $instance.func_wrap_async(
            concat!("[method]descriptor.", $name),
            |mut store: StoreContextMut<Sandbox>, (fd, $($argument),*): (Fd, $($type),*)| {
                Box::new(async move {
                    let what = format!($($what)*);
                    let sandbox = store.data_mut();
                    let done = $run(sandbox, fd, $($argument),*).await;
                    Ok((note(sandbox, $name, &what, done)?,))
                })
            },
        )
    };
}

/// As `ours!`, for functions that are not async.
macro_rules! ours_now {
    ($instance:ident, $name:literal, $run:path, ($($argument:ident: $type:ty),*)) => {
        $instance.func_wrap(
            concat!("[method]descriptor.", $name),
            |mut store: StoreContextMut<Sandbox>, (fd, $($argument),*): (Fd, $($type,)*)| {
                let sandbox = store.data_mut();
                let done = $run(sandbox, fd, $($argument),*);
                Ok((note(sandbox, $name, "", done)?,))
            },
        )
    };
}

pub(super) fn replace(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    ours!(types, "set-size", quota_metering::set_size, (size: u64), "")?;
    ours!(types, "write", quota_metering::write, (bytes: Vec<u8>, offset: u64), "")?;
    ours_now!(types, "write-via-stream", quota_metering::write_via_stream, (offset: u64))?;
    ours_now!(
        types,
        "append-via-stream",
        quota_metering::append_via_stream,
        ()
    )?;
    ours!(types, "set-times", set_times, (access: NewTimestamp, modification: NewTimestamp), "")?;
    ours!(types, "create-directory-at", rename_and_unlink::create_directory, (path: String), "{path}")?;
    ours!(types, "stat-at", stat, (flags: PathFlags, path: String), "{path}")?;
    ours!(
        types,
        "metadata-hash-at",
        metadata_hash,
        (flags: PathFlags, path: String),
        "{path}"
    )?;
    ours!(
        types,
        "set-times-at",
        set_times_at,
        (flags: PathFlags, path: String, access: NewTimestamp, modification: NewTimestamp),
        "{path}"
    )?;
    ours!(types, "readlink-at", readlink, (path: String), "{path}")?;
    ours!(types, "remove-directory-at", rename_and_unlink::remove_directory, (path: String), "{path}")?;
    ours!(types, "symlink-at", rename_and_unlink::symlink, (old: String, new: String), "{new} -> {old}")?;
    ours!(types, "unlink-file-at", rename_and_unlink::unlink, (path: String), "{path}")?;
    ours!(
        types,
        "link-at",
        rename_and_unlink::link,
        (flags: PathFlags, old: String, to: Fd, new: String),
        "{old} -> {new}"
    )?;
    ours!(
        types,
        "rename-at",
        rename_and_unlink::rename,
        (old: String, to: Fd, new: String),
        "{old} -> {new}"
    )?;
    ours!(
        types,
        "open-at",
        open,
        (at: PathFlags, path: String, how: OpenFlags, flags: DescriptorFlags),
        "{path}"
    )?;
    // Streams report a failed write through it; WASI's own knows nothing of quotas.
    types.func_wrap(
        "filesystem-error-code",
        |mut store: StoreContextMut<Sandbox>, (error,): (Resource<wasmtime::Error>,)| {
            let sandbox = store.data_mut();
            let found = sandbox.table.get(&error)?.downcast_ref::<io::Error>();
            if found.is_some_and(|it| it.kind() == io::ErrorKind::QuotaExceeded) {
                return Ok((Some(ErrorCode::Quota),));
            }
            Ok((sandbox.filesystem().filesystem_error_code(error)?,))
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<Sandbox>, (fd,): (Fd,)| {
            Box::new(async move {
                let sandbox = store.data_mut();
                let listed = folder_listing::open(sandbox, fd).await?;
                Ok((note(sandbox, "read-directory", "", listed)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: StoreContextMut<Sandbox>, (stream,): (folder_listing::ListingStream,)| {
            Box::new(async move {
                let sandbox = store.data_mut();
                let next = folder_listing::next(sandbox, stream).await;
                Ok((note(sandbox, "read-directory-entry", "", next)?,))
            })
        },
    )?;
    linker
        .instance("wasi:filesystem/preopens@0.2.12")?
        .func_wrap(
            "get-directories",
            |mut store: StoreContextMut<Sandbox>, (): ()| Ok((folders(store.data_mut())?,)),
        )
}

/// The granted folders, by their names for the guest.
pub(super) fn folders(sandbox: &mut Sandbox) -> wasmtime::Result<Vec<(Fd, String)>> {
    let folders = sandbox.filesystem().get_directories()?;
    for (number, (folder, _)) in folders.iter().enumerate() {
        watch(sandbox, folder)?;
        // They are numbered in the order in which they were granted.
        let granted = sandbox.grants.folders.get(number);
        let quota = granted.and_then(|it| it.quota());
        sandbox.set_quota(folder, quota);
    }
    Ok(folders)
}

pub(super) async fn set_times(
    sandbox: &mut Sandbox,
    fd: Fd,
    access: NewTimestamp,
    modification: NewTimestamp,
) -> FsResult<()> {
    guarded_operations::check_open(sandbox, &fd).await?;
    let mut files = sandbox.filesystem();
    files.set_times(fd, access, modification).await
}

pub(super) async fn set_times_at(
    sandbox: &mut Sandbox,
    fd: Fd,
    mut at: PathFlags,
    path: String,
    access: NewTimestamp,
    modification: NewTimestamp,
) -> FsResult<()> {
    let spot = guarded_operations::to_change_at(sandbox, &fd, &mut at, path).await?;
    let (folder, name) = (spot.fd(), spot.name.clone());
    let mut files = sandbox.filesystem();
    let done = files.set_times_at(folder, at, name, access, modification);
    let done = done.await;
    spot.leave(sandbox);
    done
}

pub(super) async fn stat(
    sandbox: &mut Sandbox,
    fd: Fd,
    at: PathFlags,
    path: String,
) -> FsResult<DescriptorStat> {
    let spot = guarded_operations::to_look(sandbox, &fd, path).await?;
    let mut files = sandbox.filesystem();
    let found = files.stat_at(spot.fd(), at, spot.name.clone()).await;
    spot.leave(sandbox);
    found
}

pub(super) async fn metadata_hash(
    sandbox: &mut Sandbox,
    fd: Fd,
    at: PathFlags,
    path: String,
) -> FsResult<MetadataHashValue> {
    let spot = guarded_operations::to_look(sandbox, &fd, path).await?;
    let mut files = sandbox.filesystem();
    let found = files.metadata_hash_at(spot.fd(), at, spot.name.clone());
    let found = found.await;
    let found = folder_listing::hash(sandbox, &spot.name, found);
    spot.leave(sandbox);
    found
}

pub(super) async fn readlink(sandbox: &mut Sandbox, fd: Fd, path: String) -> FsResult<String> {
    let spot = guarded_operations::to_look(sandbox, &fd, path).await?;
    let mut files = sandbox.filesystem();
    let target = files.readlink_at(spot.fd(), spot.name.clone()).await;
    spot.leave(sandbox);
    target
}

/// Opens a file or a folder. No guest can change what is at the path between the check and the
/// opening.
pub(super) async fn open(
    sandbox: &mut Sandbox,
    fd: Fd,
    mut at: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Fd> {
    let is_write = flags.contains(DescriptorFlags::WRITE)
        || how.intersects(OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE);
    let quota = sandbox.quota(&fd);
    let spot = match is_write {
        true => guarded_operations::to_change_at(sandbox, &fd, &mut at, path).await?,
        false => guarded_operations::to_look(sandbox, &fd, path).await?,
    };
    let opened = open_counted(sandbox, quota, &spot, at, how, flags).await;
    spot.leave(sandbox);
    opened
}

async fn open_counted(
    sandbox: &mut Sandbox,
    quota: Option<Arc<Quota>>,
    spot: &Spot,
    at: PathFlags,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Fd> {
    let makes = how.contains(OpenFlags::CREATE);
    let changes: &[&Spot] = match makes || how.contains(OpenFlags::TRUNCATE) {
        true => &[spot],
        false => &[],
    };
    let change = NameChange::begin(sandbox, quota.as_ref(), changes, makes).await?;
    let opened = open_there(sandbox, spot, at, how, flags).await;
    quota_metering::opened(sandbox, change, quota, opened).await
}

async fn open_there(
    sandbox: &mut Sandbox,
    spot: &Spot,
    at: PathFlags,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Fd> {
    let path = spot.name.clone();
    let makes_temporary =
        how.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) && temporary::is_name(&path);
    if makes_temporary && sandbox.temporaries.is_full() {
        return Err(ErrorCode::Quota.into());
    }
    let opened = opening::open(sandbox, spot.fd(), at, path.clone(), how, flags).await?;
    let opened = guarded_operations::check_opened(sandbox, &spot.folder, opened).await?;
    watch(sandbox, &opened)?;
    if makes_temporary && let Descriptor::File(file) = sandbox.table.get(&opened)? {
        let file = file.file.clone();
        match blocking(move || Temporary::claim(&path, file)).await {
            Ok(temporary) => sandbox.temporaries.add(temporary),
            Err(error) => {
                sandbox.table.delete(opened)?;
                return Err(error);
            }
        }
    }
    Ok(opened)
}

/// Returns a result to the guest; a denial is recorded.
pub(super) fn note<T>(
    sandbox: &mut Sandbox,
    name: &str,
    what: &str,
    result: FsResult<T>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => {
            let code = sandbox.filesystem().convert_error_code(error)?;
            let refused = sandbox.refused.take();
            if code == ErrorCode::NotPermitted {
                let why = refused.map_or(String::new(), |it| it.to_string());
                let what = format!("files: {name} {what}");
                sandbox.journal.deny(format!("{}{why}", what.trim_end()));
            }
            Ok(Err(code))
        }
    }
}
