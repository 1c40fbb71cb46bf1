//! Names the file accesses that are refused, and keeps guests from what is no file: opening a pipe
//! or a device can wait for ever, or do things.

use tokio::sync::RwLock;
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

use super::{Sandbox, Stop};
use crate::limits::Limit;

type Fd = Resource<Descriptor>;

/// Guests cannot make pipes and devices, but they can move them. So nothing is moved while something
/// is looked at and then opened, by no call of this process.
static MOVES: RwLock<()> = RwLock::const_new(());

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
                        true => Some(MOVES.write().await),
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
    noted!(
        moves true,
        types,
        "link-at",
        link_at,
        (flags: PathFlags, old: String, to: Fd, new: String),
        "{old} -> {new}"
    )?;
    noted!(types, "readlink-at", readlink_at, (path: String), "{path}")?;
    noted!(types, "remove-directory-at", remove_directory_at, (path: String), "{path}")?;
    noted!(
        moves true,
        types,
        "rename-at",
        rename_at,
        (old: String, to: Fd, new: String),
        "{old} -> {new}"
    )?;
    noted!(
        moves true,
        types,
        "symlink-at",
        symlink_at,
        (old: String, new: String),
        "{new} -> {old}"
    )?;
    noted!(types, "unlink-file-at", unlink_file_at, (path: String), "{path}")?;
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
    let size = match files.stat(Resource::new_borrow(fd.rep())).await {
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

/// Opens a file or a folder; what is looked at here is what is opened, for all that guests can do.
async fn open(
    sandbox: &mut Sandbox,
    fd: Fd,
    at: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Fd> {
    let _still = MOVES.read().await;
    let mut files = sandbox.filesystem();
    let borrowed = Resource::new_borrow(fd.rep());
    if let Ok(found) = files.stat_at(borrowed, at, path.clone()).await {
        match found.type_ {
            DescriptorType::RegularFile
            | DescriptorType::Directory
            | DescriptorType::SymbolicLink => {}
            _ => return Err(ErrorCode::NotPermitted.into()),
        }
    }
    let opened = files.open_at(fd, at, path, how, flags).await?;
    watch(sandbox, &opened)?;
    Ok(opened)
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
