//! Operations of guests in folders where the host has files of its own, that may be written, or where the kernel
//! shows itself: see docs/adr/0016.
//!
//! Where there is a [`Guard`] or a quota, an operation is done in two steps: the folder that a path leads to is opened,
//! and what is then looked at in it by the last name is what the operation is done to. Nothing that is
//! protected can come to have another name meanwhile: no guest can move or link it.

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

/// As many as the kernel follows.
const MAX_LINKS: usize = 40;

/// What the host refuses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    Protected(Purpose),
    Vcs,
    Kernel,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Protected(purpose) if purpose.is_secret() => {
                write!(f, ": it is {purpose}, which no plugin may read or change")
            }
            Refused::Protected(purpose) => {
                write!(f, ": it is {purpose}, which no plugin may change")
            }
            Refused::Vcs => f.write_str(
                ": it belongs to version control, which a plugin may change only where its grant says \
                 `allow-vcs = true`",
            ),
            Refused::Kernel => {
                f.write_str(": a kernel file system must be granted explicitly")
            }
        }
    }
}

/// The folder that an operation is done in, and the last name of its path.
pub(super) struct Spot {
    pub(super) folder: Fd,
    pub(super) name: String,
    /// Whether the folder was opened for it.
    is_own: bool,
}

impl Spot {
    /// As the guest has it.
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

    /// The operation is done.
    pub(super) fn leave(self, sandbox: &mut Sandbox) {
        if self.is_own {
            // It is nobody else's: the guest never had it.
            let _ = sandbox.table.delete(self.folder);
        }
    }
}

impl Sandbox {
    fn refuse(&mut self, refused: Refused) -> FsError {
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

/// Where something is looked at.
pub(super) async fn to_look(sandbox: &mut Sandbox, fd: &Fd, path: String) -> FsResult<Spot> {
    if !sandbox.grants.hides() {
        return Ok(Spot::given(fd, path));
    }
    match sandbox.grants.guard() {
        Some(guard) => locate(sandbox, Some(&guard), fd, &path).await,
        None => Ok(Spot::given(fd, path)),
    }
}

/// Where something is made, changed or removed; a link is the link itself.
pub(super) async fn to_change(sandbox: &mut Sandbox, fd: &Fd, path: String) -> FsResult<Spot> {
    let guard = sandbox.grants.guard();
    if guard.is_none() && sandbox.quota(fd).is_none() {
        return Ok(Spot::given(fd, path));
    }
    let spot = locate(sandbox, guard.as_ref(), fd, &path).await?;
    check(sandbox, guard, spot).await
}

/// From where and to where something gets another name.
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

/// As [`to_change`], where a link at the end is followed if `at` says so; then it is not to be followed again.
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
    // The folder that it leads to, whatever it is itself.
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
            // An absolute one is refused where it is used.
            _ => target,
        };
    }
    Err(ErrorCode::Loop.into())
}

/// Whether times of something open may be changed.
pub(super) async fn check_open(sandbox: &mut Sandbox, fd: &Fd) -> FsResult<()> {
    let Some(guard) = sandbox.grants.guard().filter(Guard::protects) else {
        return Ok(());
    };
    let file = sandbox.file(fd)?;
    let found = blocking(move || Ok(guard.may_be(&file))).await?;
    match found {
        Some(purpose) => Err(sandbox.refuse(Refused::Protected(purpose))),
        None => Ok(()),
    }
}

/// What was opened from a folder, if the guest may have it.
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
            true => Some(Refused::Kernel),
            false => secret.map(Refused::Protected),
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

/// Opens the folder that the last name of a path is in.
async fn locate(
    sandbox: &mut Sandbox,
    guard: Option<&Guard>,
    fd: &Fd,
    path: &str,
) -> FsResult<Spot> {
    // WASI refuses these.
    if path.is_empty() || path.starts_with('/') {
        return Ok(Spot::given(fd, path.to_owned()));
    }
    // Slashes at the end stay with the name: they say that it is to be a folder.
    let last = path.trim_end_matches('/').rfind('/');
    let (above, name) = match last {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => ("", path),
    };
    let (above, name) = match name.trim_end_matches('/') {
        // What these are called where they are is not to be seen.
        "." | ".." => (path, "."),
        _ => (above, name),
    };
    if above.is_empty() {
        return Ok(Spot::given(fd, name.to_owned()));
    }
    let (at, how) = (PathFlags::SYMLINK_FOLLOW, OpenFlags::DIRECTORY);
    let flags = DescriptorFlags::READ;
    // What stands in a folder's place may be a pipe.
    let folder = opening::open(sandbox, borrowed(fd), at, above.to_owned(), how, flags).await?;
    watch(sandbox, &folder)?;
    let (from, opened) = (sandbox.file(fd)?, sandbox.file(&folder)?);
    if guard.is_some_and(|guard| guard.is_of_kernel(&from, &opened)) {
        sandbox.table.delete(folder)?;
        return Err(sandbox.refuse(Refused::Kernel));
    }
    Ok(Spot {
        folder,
        name: name.to_owned(),
        is_own: true,
    })
}

/// The spot, if what is there is not protected.
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
            return Ok(Some(Refused::Protected(purpose)));
        }
        let is_vcs = guard.is_vcs(folder, name)?;
        Ok(is_vcs.then_some(Refused::Vcs))
    })
    .await
}

/// The spot, if what is there may get another name with all that is in it.
async fn check_moved(sandbox: &mut Sandbox, spot: Spot) -> FsResult<Spot> {
    let Some(guard) = sandbox.grants.guard().filter(Guard::keeps_vcs) else {
        return Ok(spot);
    };
    check_by(sandbox, spot, move |folder, name| {
        let is_vcs = guard.has_repository(folder, name)?;
        Ok(is_vcs.then_some(Refused::Vcs))
    })
    .await
}

/// The spot, if a look at its folder and name finds nothing to refuse.
async fn check_by(
    sandbox: &mut Sandbox,
    spot: Spot,
    look: impl FnOnce(&File, &str) -> io::Result<Option<Refused>> + Send + 'static,
) -> FsResult<Spot> {
    // WASI refuses absolute paths.
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
