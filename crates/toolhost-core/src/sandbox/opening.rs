//! Opens what a guest names if it is a file or a folder: opening a pipe or a device can block
//! forever, or have effects.
//!
//! Guests cannot create pipes and devices, but they can move them to a path that was just checked.
//! On Linux nothing unchecked is opened by name: a path is resolved to a descriptor without opening
//! the file (`O_PATH`), and that descriptor is checked and reopened, without any lock, however slow
//! a file system is. Elsewhere, no call of this process moves anything between a check and the
//! opening.

use tokio::sync::{RwLock, RwLockWriteGuard};
use wasmtime_wasi::filesystem::WasiFilesystemView;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};

use super::Sandbox;
use super::descriptor::{Fd, borrowed};

static MOVES: RwLock<()> = RwLock::const_new(());

/// Locks out openings while something is moved, on systems that need it.
pub(super) async fn moving() -> Option<RwLockWriteGuard<'static, ()>> {
    #[cfg(target_os = "linux")]
    if beneath::is_available() {
        return None;
    }
    Some(MOVES.write().await)
}

/// Opens a file or a folder, and nothing else.
pub(super) async fn open(
    sandbox: &mut Sandbox,
    fd: Fd,
    at: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Fd> {
    #[cfg(target_os = "linux")]
    if beneath::is_available() {
        return beneath::open(sandbox, fd, at, path, how, flags).await;
    }
    let _still = MOVES.read().await;
    let mut files = sandbox.filesystem();
    if let Ok(found) = files.stat_at(borrowed(&fd), at, path.clone()).await {
        match found.type_ {
            DescriptorType::RegularFile
            | DescriptorType::Directory
            | DescriptorType::SymbolicLink => {}
            _ => return Err(ErrorCode::NotPermitted.into()),
        }
    }
    files.open_at(fd, at, path, how, flags).await
}

#[cfg(target_os = "linux")]
mod beneath {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::sync::LazyLock;

    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::Errno;
    use wasmtime_wasi::filesystem::{self, Descriptor, Dir, OpenMode};
    use wasmtime_wasi::p2::FsResult;
    use wasmtime_wasi::p2::bindings::filesystem::types::{
        DescriptorFlags, ErrorCode, OpenFlags, PathFlags,
    };

    use super::super::Sandbox;
    use super::Fd;

    /// How often an opening is retried when something on the path was moved, created or removed.
    const TRIES: usize = 64;

    /// The mode of new files in wasmtime-wasi.
    const NEW: Mode = Mode::from_raw_mode(0o666);

    /// Whether the kernel has `openat2`, nothing forbids it, and `/proc` is there.
    pub(super) fn is_available() -> bool {
        static IS_AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
            let root = File::open("/");
            root.and_then(|root| reopen(&resolve(&root, ".", OFlags::NOFOLLOW)?, OFlags::RDONLY))
                .is_ok()
        });
        *IS_AVAILABLE
    }

    /// The guest's flags for opening.
    struct Wanted {
        path: String,
        follows: bool,
        how: OpenFlags,
        access: OFlags,
    }

    /// As wasmtime-wasi, but for files and folders only.
    pub(super) async fn open(
        sandbox: &mut Sandbox,
        fd: Fd,
        at: PathFlags,
        path: String,
        how: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let Descriptor::Dir(folder) = sandbox.table.get(&fd)? else {
            return Err(ErrorCode::NotDirectory.into());
        };
        let (perms, folder) = (folder.perms, folder.dir.clone());
        let synced = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if flags.intersects(synced) {
            return Err(ErrorCode::Unsupported.into());
        }
        let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if how.contains(OpenFlags::DIRECTORY) && how.intersects(makes) {
            return Err(ErrorCode::Invalid.into());
        }
        let writes = flags.contains(DescriptorFlags::WRITE)
            || how.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
        if writes && perms.write_not_permitted() {
            return Err(ErrorCode::NotPermitted.into());
        }
        let reads =
            flags.contains(DescriptorFlags::READ) || !flags.contains(DescriptorFlags::WRITE);
        let (access, mode) = match (reads, writes) {
            (true, true) => (OFlags::RDWR, OpenMode::READ | OpenMode::WRITE),
            (false, _) => (OFlags::WRONLY, OpenMode::WRITE),
            (true, false) => (OFlags::RDONLY, OpenMode::READ),
        };
        let wanted = Wanted {
            path,
            follows: at.contains(PathFlags::SYMLINK_FOLLOW),
            how,
            access,
        };
        let opened = wasmtime_wasi::runtime::spawn_blocking(move || wanted.open(&folder)).await;
        let (file, is_folder) = opened.map_err(|error| match error {
            // The path leads out of the folder.
            Errno::XDEV | Errno::PERM => ErrorCode::NotPermitted.into(),
            error => wasmtime_wasi::p2::FsError::from(io::Error::from(error)),
        })?;
        let opened = match is_folder {
            true => Descriptor::Dir(Dir::new(file, perms, mode, false)),
            false => Descriptor::File(filesystem::File::new(file, perms, mode, false)),
        };
        Ok(sandbox.table.push(opened)?)
    }

    impl Wanted {
        /// What the path leads to, and whether that is a folder.
        fn open(&self, folder: &File) -> Result<(File, bool), Errno> {
            let creates = self.how.contains(OpenFlags::CREATE);
            let is_new = creates && self.how.contains(OpenFlags::EXCLUSIVE);
            let follow = match self.follows {
                true => OFlags::empty(),
                false => OFlags::NOFOLLOW,
            };
            for _ in 0..TRIES {
                if !is_new {
                    match resolve(folder, &self.path, follow) {
                        Ok(found) => return self.opened(&found),
                        Err(Errno::NOENT) if creates => {}
                        Err(error) => return Err(error),
                    }
                }
                // It must be new.
                let flags = OFlags::CREATE | OFlags::EXCL | self.access;
                match try_open(folder, &self.path, flags, NEW) {
                    Ok(made) => return Ok((made, false)),
                    Err(Errno::EXIST) if !is_new => {}
                    Err(error) => return Err(error),
                }
            }
            // There is always something there, so it is a dangling link.
            Err(Errno::NOENT)
        }

        fn opened(&self, found: &File) -> Result<(File, bool), Errno> {
            let kind = found.metadata().map_err(errno)?.file_type();
            if kind.is_symlink() {
                return Err(Errno::LOOP);
            }
            if !kind.is_file() && !kind.is_dir() {
                return Err(Errno::PERM);
            }
            if self.how.contains(OpenFlags::DIRECTORY) && !kind.is_dir() {
                return Err(Errno::NOTDIR);
            }
            let truncate = match self.how.contains(OpenFlags::TRUNCATE) {
                true => OFlags::TRUNC,
                false => OFlags::empty(),
            };
            let opened = reopen(found, self.access | truncate).map_err(errno)?;
            Ok((opened, kind.is_dir()))
        }
    }

    /// Resolves a path in a folder without opening what it leads to.
    fn resolve(folder: &File, path: &str, follow: OFlags) -> Result<File, Errno> {
        try_open(folder, path, OFlags::PATH | follow, Mode::empty())
    }

    fn try_open(folder: &File, path: &str, flags: OFlags, mode: Mode) -> Result<File, Errno> {
        let resolved = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            match openat2(folder, path, flags | OFlags::CLOEXEC, mode, resolved) {
                // Something was moved while `..` was followed.
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened.map(File::from),
            }
        }
        Err(Errno::BUSY)
    }

    /// Opens what was resolved.
    fn reopen(found: &File, flags: OFlags) -> io::Result<File> {
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
    }

    fn errno(error: io::Error) -> Errno {
        Errno::from_io_error(&error).unwrap_or(Errno::IO)
    }
}
