//! Names the file accesses that are refused.

use std::fs::File;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::ResourceTableError;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, Host, HostDescriptor, NewTimestamp, OpenFlags,
    PathFlags,
};
use wasmtime_wasi::p2::{DynOutputStream, FsResult, ReaddirIterator};

use super::temporary::{self, Temporary};
use super::{Sandbox, Stop, opening};
use crate::limits::Limit;

pub(super) type Fd = Resource<Descriptor>;

/// Has `$name` call WASI's own `$method`, and notes what it refuses; `$what` says, of the arguments,
/// what it was.
macro_rules! noted {
    ($instance:ident, $name:literal, $method:ident, ($($argument:ident: $type:ty),*), $($what:tt)*) => {
        noted!(moves false, $instance, $name, $method, ($($argument: $type),*), $($what)*)
    };
    (moves $moves:literal, $instance:ident, $name:literal, $method:ident,
     ($($argument:ident: $type:ty),*), $($what:tt)*) => {
        $instance.func_wrap_async(
            concat!("[method]descriptor.", $name),
            |mut store: StoreContextMut<Sandbox>, (fd, $($argument),*): (Fd, $($type),*)| {
                Box::new(async move {
                    let what = format!($($what)*);
                    let sandbox = store.data_mut();
                    let _moving = match $moves {
                        true => opening::moving().await,
                        false => None,
                    };
                    let done = sandbox.filesystem().$method(fd, $($argument),*).await;
                    Ok((note(sandbox, $name, &what, done)?,))
                })
            },
        )
    };
}

/// As `noted!`, for methods that are not async.
macro_rules! noted_now {
    ($instance:ident, $name:literal, $method:ident, ($($argument:ident: $type:ty),*)) => {
        $instance.func_wrap(
            concat!("[method]descriptor.", $name),
            |mut store: StoreContextMut<Sandbox>, (fd, $($argument),*): (Fd, $($type,)*)| {
                let sandbox = store.data_mut();
                let done: FsResult<Resource<DynOutputStream>> =
                    sandbox.filesystem().$method(fd, $($argument),*);
                Ok((note(sandbox, $name, "", done)?,))
            },
        )
    };
}

pub(super) fn replace(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    noted!(types, "set-size", set_size, (size: u64), "")?;
    noted!(types, "set-times", set_times, (access: NewTimestamp, modification: NewTimestamp), "")?;
    noted!(types, "write", write, (bytes: Vec<u8>, offset: u64), "")?;
    noted_now!(types, "write-via-stream", write_via_stream, (offset: u64))?;
    noted_now!(types, "append-via-stream", append_via_stream, ())?;
    noted!(types, "create-directory-at", create_directory_at, (path: String), "{path}")?;
    noted!(types, "stat-at", stat_at, (flags: PathFlags, path: String), "{path}")?;
    noted!(
        types,
        "set-times-at",
        set_times_at,
        (flags: PathFlags, path: String, access: NewTimestamp, modification: NewTimestamp),
        "{path}"
    )?;
    noted!(types, "readlink-at", readlink_at, (path: String), "{path}")?;
    noted!(types, "remove-directory-at", remove_directory_at, (path: String), "{path}")?;
    noted!(
        moves true,
        types,
        "symlink-at",
        symlink_at,
        (old: String, new: String),
        "{new} -> {old}"
    )?;
    types.func_wrap_async(
        "[method]descriptor.unlink-file-at",
        |mut store: StoreContextMut<Sandbox>, (fd, path): (Fd, String)| {
            Box::new(async move {
                let sandbox = store.data_mut();
                let what = path.clone();
                let done = unlink(sandbox, fd, path).await;
                Ok((note(sandbox, "unlink-file-at", &what, done)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.link-at",
        |mut store: StoreContextMut<Sandbox>,
         (fd, flags, old, to, new): (Fd, PathFlags, String, Fd, String)| {
            Box::new(async move {
                let sandbox = store.data_mut();
                let what = format!("{old} -> {new}");
                let done = link(sandbox, fd, flags, old, to, new).await;
                Ok((note(sandbox, "link-at", &what, done)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.rename-at",
        |mut store: StoreContextMut<Sandbox>, (fd, old, to, new): (Fd, String, Fd, String)| {
            Box::new(async move {
                let sandbox = store.data_mut();
                let what = format!("{old} -> {new}");
                let done = rename(sandbox, fd, old, to, new).await;
                Ok((note(sandbox, "rename-at", &what, done)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<Sandbox>, (fd,): (Fd,)| {
            Box::new(async move {
                let sandbox = store.data_mut();
                let listed = list(sandbox, fd).await?;
                Ok((note(sandbox, "read-directory", "", listed)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<Sandbox>,
         (fd, at, path, how, flags): (Fd, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::new(async move {
                let sandbox = store.data_mut();
                let what = path.clone();
                let opened = open(sandbox, fd, at, path, how, flags).await;
                Ok((note(sandbox, "open-at", &what, opened)?,))
            })
        },
    )?;
    linker
        .instance("wasi:filesystem/preopens@0.2.12")?
        .func_wrap(
            "get-directories",
            |mut store: StoreContextMut<Sandbox>, (): ()| {
                let sandbox = store.data_mut();
                let folders = sandbox.filesystem().get_directories()?;
                for (folder, _) in &folders {
                    watch(sandbox, folder)?;
                }
                Ok((folders,))
            },
        )
}

/// Lists a folder: the host holds all of it while the guest reads it bit by bit, so it must fit.
async fn list(
    sandbox: &mut Sandbox,
    fd: Fd,
) -> wasmtime::Result<FsResult<Resource<ReaddirIterator>>> {
    let mut files = sandbox.filesystem();
    // What the folder takes on disk says how many entries it has, and what the host makes of them.
    let size = match files.stat(borrowed(&fd)).await {
        Ok(stat) => usize::try_from(stat.size).unwrap_or(usize::MAX),
        Err(error) => return Ok(Err(error)),
    };
    let listing = size.saturating_mul(16);
    sandbox.listing = sandbox.listing.max(listing);
    if !sandbox.weigh(listing) {
        let memory = sandbox.grants.limits.memory;
        return Err(Stop::Limit(Limit::Memory, memory.into()).into());
    }
    Ok(sandbox.filesystem().read_directory(fd).await)
}

/// Opens a file or a folder.
async fn open(
    sandbox: &mut Sandbox,
    fd: Fd,
    at: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Fd> {
    let makes_temporary =
        how.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) && temporary::is_name(&path);
    if makes_temporary && sandbox.temporaries.is_full() {
        return Err(ErrorCode::Quota.into());
    }
    let opened = opening::open(sandbox, fd, at, path.clone(), how, flags).await?;
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

async fn rename(sandbox: &mut Sandbox, fd: Fd, old: String, to: Fd, new: String) -> FsResult<()> {
    if let Some(temporary) = sandbox.temporaries.find(&old).cloned() {
        let replaced = open_to_write(sandbox, &to, &new).await?;
        blocking(move || temporary.finish(replaced.as_deref())).await?;
    }
    let _moving = opening::moving().await;
    let mut files = sandbox.filesystem();
    files.rename_at(fd, old.clone(), to, new).await?;
    sandbox.temporaries.remove(&old);
    Ok(())
}

async fn link(
    sandbox: &mut Sandbox,
    fd: Fd,
    flags: PathFlags,
    old: String,
    to: Fd,
    new: String,
) -> FsResult<()> {
    // It is about to have a name of its own, in whose place nothing is.
    if let Some(temporary) = sandbox.temporaries.find(&old).cloned() {
        blocking(move || temporary.finish(None)).await?;
    }
    let _moving = opening::moving().await;
    let mut files = sandbox.filesystem();
    files.link_at(fd, flags, old, to, new).await
}

async fn unlink(sandbox: &mut Sandbox, fd: Fd, path: String) -> FsResult<()> {
    // Held until it is removed.
    let mut _locked = None;
    if temporary::is_name(&path) && sandbox.temporaries.find(&path).is_none() {
        let opened = open_to_write(sandbox, &fd, &path).await?;
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
    files.unlink_file_at(fd, path.clone()).await?;
    sandbox.temporaries.remove(&path);
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

pub(super) fn borrowed(fd: &Fd) -> Fd {
    Resource::new_borrow(fd.rep())
}

/// Runs what may wait for a disk, where the host's other calls do not wait for it.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> FsResult<T> {
    let done = wasmtime_wasi::runtime::spawn_blocking(run).await;
    done.map_err(|error| match error.kind() {
        std::io::ErrorKind::ResourceBusy => ErrorCode::Busy.into(),
        _ => error.into(),
    })
}

/// Has the call's operations on a file or folder counted.
fn watch(sandbox: &mut Sandbox, fd: &Fd) -> Result<(), ResourceTableError> {
    let file = match sandbox.table.get(fd)? {
        Descriptor::File(file) => &file.file,
        Descriptor::Dir(folder) => &folder.dir,
    };
    sandbox.journal.operations().watch(file);
    Ok(())
}

/// What the guest is told of a result; a refusal is noted.
fn note<T>(
    sandbox: &mut Sandbox,
    name: &str,
    what: &str,
    result: FsResult<T>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => {
            let code = sandbox.filesystem().convert_error_code(error)?;
            if code == ErrorCode::NotPermitted {
                let what = format!("files: {name} {what}");
                sandbox.journal.deny(what.trim_end().to_owned());
            }
            Ok(Err(code))
        }
    }
}
