//! Guarded operations: those of guests in writable folders that contain host files, and in folders
//! with kernel file systems below. See docs/adr/0016.
//!
//! With a [`Guard`] or a quota, an operation takes two steps: the folder that its path leads to is
//! opened, and the operation is done to what is then found there under the last name. A protected
//! file cannot get another name in between: no guest can move or link it.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{FsError, FsResult};

use super::Sandbox;
use super::descriptor::{Fd, blocking, borrowed, watch};
use super::opening;
use crate::paths::Guard;
use crate::permissions::Purpose;

/// The kernel's own limit.
const MAX_LINKS: usize = 40;

/// What the host denied.
#[derive(Clone, Copy, Debug)]
pub(super) enum GuardDenial {
    Protected(Purpose),
    Vcs,
    Kernel,
}

impl fmt::Display for GuardDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GuardDenial::Protected(purpose) if purpose.is_secret() => {
                write!(f, ": it is {purpose}, which no plugin may read or change")
            }
            GuardDenial::Protected(purpose) => {
                write!(f, ": it is {purpose}, which no plugin may change")
            }
            GuardDenial::Vcs => f.write_str(
                ": it belongs to version control, which a plugin may change only where its grant says \
                 `allow-vcs = true`",
            ),
            GuardDenial::Kernel => {
                f.write_str(": a kernel file system must be granted explicitly")
            }
        }
    }
}

/// The folder in which an operation is done, and the last name of its path.
pub(super) struct Spot {
    pub(super) folder: Fd,
    pub(super) name: String,
    /// Whether the folder was opened for this operation.
    is_own: bool,
}

impl Spot {
    /// As the guest gave it.
    fn given(fd: &Fd, path: String) -> Spot {
        Spot {
            folder: borrowed(fd),
            name: path,
            is_own: false,
        }
    }

    pub(super) fn fd(&self) -> Fd {
        borrowed(&self.folder)
    }

    /// Ends the operation.
    pub(super) fn leave(self, sandbox: &mut Sandbox) {
        if self.is_own {
            // The guest never had this descriptor.
            let _ = sandbox.table.delete(self.folder);
        }
    }
}

impl Sandbox {
    fn refuse(&mut self, refused: GuardDenial) -> FsError {
        self.refused = Some(refused);
        ErrorCode::NotPermitted.into()
    }

    pub(super) fn file(&self, fd: &Fd) -> FsResult<Arc<File>> {
        Ok(match self.table.get(fd)? {
            Descriptor::File(file) => file.file.clone(),
            Descriptor::Dir(folder) => folder.dir.clone(),
        })
    }
}

/// The spot of an operation that only reads.
pub(super) async fn to_look(sandbox: &mut Sandbox, fd: &Fd, path: String) -> FsResult<Spot> {
    if !sandbox.grants.hides() {
        return Ok(Spot::given(fd, path));
    }
    match sandbox.grants.guard() {
        Some(guard) => locate(sandbox, Some(&guard), fd, &path).await,
        None => Ok(Spot::given(fd, path)),
    }
}

/// The spot of an operation that creates, changes or removes; a link is not followed.
pub(super) async fn to_change(sandbox: &mut Sandbox, fd: &Fd, path: String) -> FsResult<Spot> {
    let guard = sandbox.grants.guard();
    if guard.is_none() && sandbox.quota(fd).is_none() {
        return Ok(Spot::given(fd, path));
    }
    let spot = locate(sandbox, guard.as_ref(), fd, &path).await?;
    check(sandbox, guard, spot).await
}

/// The spots of a rename.
pub(super) async fn to_move(
    sandbox: &mut Sandbox,
    (fd, old): (&Fd, String),
    (to, new): (&Fd, String),
) -> FsResult<(Spot, Spot)> {
    let from = to_change(sandbox, fd, old).await?;
    let from = check_moved(sandbox, from).await?;
    match to_change(sandbox, to, new).await {
        Ok(to) => Ok((from, to)),
        Err(error) => {
            from.leave(sandbox);
            Err(error)
        }
    }
}

/// As [`to_change`]; a link at the end is resolved here if `at` says to follow it.
pub(super) async fn to_change_at(
    sandbox: &mut Sandbox,
    fd: &Fd,
    at: &mut PathFlags,
    path: String,
) -> FsResult<Spot> {
    if sandbox.grants.guard().is_none() && sandbox.quota(fd).is_none() {
        return Ok(Spot::given(fd, path));
    }
    let follows = at.contains(PathFlags::SYMLINK_FOLLOW);
    *at = PathFlags::empty();
    let mut path = path;
    // A trailing slash means the folder that it leads to.
    if path.ends_with('/') {
        path.push('.');
    }
    for _ in 0..=MAX_LINKS {
        let guard = sandbox.grants.guard();
        let spot = locate(sandbox, guard.as_ref(), fd, &path).await?;
        let mut files = sandbox.filesystem();
        let found = files.stat_at(spot.fd(), *at, spot.name.clone()).await;
        let is_link = found.is_ok_and(|found| found.type_ == DescriptorType::SymbolicLink);
        if !follows || !is_link {
            return check(sandbox, guard, spot).await;
        }
        let name = spot.name.trim_end_matches('/').to_owned();
        let target = sandbox.filesystem().readlink_at(spot.fd(), name).await;
        spot.leave(sandbox);
        let target = target?;
        path = match path.trim_end_matches('/').rsplit_once('/') {
            Some((above, _)) if !target.starts_with('/') => format!("{above}/{target}"),
            // An absolute one is denied where it is used.
            _ => target,
        };
    }
    Err(ErrorCode::Loop.into())
}

/// Whether the times of an open file may be changed.
pub(super) async fn check_open(sandbox: &mut Sandbox, fd: &Fd) -> FsResult<()> {
    let Some(guard) = sandbox.grants.guard().filter(Guard::protects) else {
        return Ok(());
    };
    let file = sandbox.file(fd)?;
    let found = blocking(move || Ok(guard.may_be(&file))).await?;
    match found {
        Some(purpose) => Err(sandbox.refuse(GuardDenial::Protected(purpose))),
        None => Ok(()),
    }
}

/// Returns what was opened from a folder, if the guest may have it.
pub(super) async fn check_opened(sandbox: &mut Sandbox, from: &Fd, opened: Fd) -> FsResult<Fd> {
    let guard = sandbox.grants.guard();
    let Some(guard) = guard.filter(|guard| guard.protects() || guard.hides()) else {
        return Ok(opened);
    };
    let (from, file) = (sandbox.file(from)?, sandbox.file(&opened)?);
    let refused = blocking(move || {
        let secret = guard.of_file(&file).filter(|it| it.is_secret());
        let is_of_kernel = guard.is_of_kernel(&from, &file);
        Ok(match is_of_kernel {
            true => Some(GuardDenial::Kernel),
            false => secret.map(GuardDenial::Protected),
        })
    });
    match refused.await? {
        Some(refused) => {
            sandbox.table.delete(opened)?;
            Err(sandbox.refuse(refused))
        }
        None => Ok(opened),
    }
}

/// Opens the folder that contains the last name of a path.
async fn locate(
    sandbox: &mut Sandbox,
    guard: Option<&Guard>,
    fd: &Fd,
    path: &str,
) -> FsResult<Spot> {
    // WASI denies these.
    if path.is_empty() || path.starts_with('/') {
        return Ok(Spot::given(fd, path.to_owned()));
    }
    // Trailing slashes stay with the name: they say that it must be a folder.
    let last = path.trim_end_matches('/').rfind('/');
    let (above, name) = match last {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => ("", path),
    };
    let (above, name) = match name.trim_end_matches('/') {
        // Their real names are not known.
        "." | ".." => (path, "."),
        _ => (above, name),
    };
    if above.is_empty() {
        return Ok(Spot::given(fd, name.to_owned()));
    }
    let (at, how) = (PathFlags::SYMLINK_FOLLOW, OpenFlags::DIRECTORY);
    let flags = DescriptorFlags::READ;
    // In place of a folder there may be a pipe.
    let folder = opening::open(sandbox, borrowed(fd), at, above.to_owned(), how, flags).await?;
    watch(sandbox, &folder)?;
    let (from, opened) = (sandbox.file(fd)?, sandbox.file(&folder)?);
    if guard.is_some_and(|guard| guard.is_of_kernel(&from, &opened)) {
        sandbox.table.delete(folder)?;
        return Err(sandbox.refuse(GuardDenial::Kernel));
    }
    Ok(Spot {
        folder,
        name: name.to_owned(),
        is_own: true,
    })
}

/// Returns the spot, unless what is there is protected.
async fn check(sandbox: &mut Sandbox, guard: Option<Guard>, spot: Spot) -> FsResult<Spot> {
    let Some(guard) = guard else {
        return Ok(spot);
    };
    if !guard.protects() && !guard.keeps_vcs() {
        return Ok(spot);
    }
    check_by(sandbox, spot, move |folder, name| {
        if guard.protects()
            && let Some(purpose) = guard.of_name(folder, name)?
        {
            return Ok(Some(GuardDenial::Protected(purpose)));
        }
        let is_vcs = guard.is_vcs(folder, name)?;
        Ok(is_vcs.then_some(GuardDenial::Vcs))
    })
    .await
}

/// Returns the spot, if what is there may be renamed with everything in it.
async fn check_moved(sandbox: &mut Sandbox, spot: Spot) -> FsResult<Spot> {
    let Some(guard) = sandbox.grants.guard().filter(Guard::keeps_vcs) else {
        return Ok(spot);
    };
    check_by(sandbox, spot, move |folder, name| {
        let is_vcs = guard.has_repository(folder, name)?;
        Ok(is_vcs.then_some(GuardDenial::Vcs))
    })
    .await
}

/// Returns the spot, if the check finds nothing to deny.
async fn check_by(
    sandbox: &mut Sandbox,
    spot: Spot,
    look: impl FnOnce(&File, &str) -> io::Result<Option<GuardDenial>> + Send + 'static,
) -> FsResult<Spot> {
    // WASI denies absolute paths.
    if spot.name.is_empty() || spot.name.starts_with('/') {
        return Ok(spot);
    }
    let (folder, name) = (sandbox.file(&spot.folder)?, spot.name.clone());
    match blocking(move || look(&folder, &name)).await {
        Ok(None) => Ok(spot),
        Ok(Some(refused)) => {
            spot.leave(sandbox);
            Err(sandbox.refuse(refused))
        }
        Err(error) => {
            spot.leave(sandbox);
            Err(error)
        }
    }
}
