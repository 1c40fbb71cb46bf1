//! Folder listings for guests. An entry that WASI cannot show does not hide the others.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::WasiFilesystemView;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorType, DirectoryEntry, ErrorCode, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue,
};
use wasmtime_wasi::p2::{FsResult, ReaddirIterator};

use super::descriptor::{Fd, blocking, borrowed};
use super::{Sandbox, StopReason};
use crate::limits::Limit;

pub(super) type ListingStream = Resource<ReaddirIterator>;

/// The open listings, by the numbers of their streams.
pub(super) type Listings = HashMap<u32, Listing>;

pub(super) struct Listing {
    folder: Arc<File>,
    /// Its names that are not UTF-8, lossily, once one was met: WASI returns an error in their
    /// place.
    lossy: Option<VecDeque<String>>,
}

/// The metadata hash of an entry that cannot be examined. C libraries use each entry's hash as its
/// inode number, and abort the whole listing without it.
pub(super) fn hash(
    sandbox: &Sandbox,
    name: &str,
    found: FsResult<MetadataHashValue>,
) -> FsResult<MetadataHashValue> {
    match found {
        Err(error)
            if error.downcast_ref() == Some(&ErrorCode::NoEntry)
                && sandbox.listed_last.as_deref() == Some(name) =>
        {
            Ok(MetadataHashValue { lower: 0, upper: 0 })
        }
        found => found,
    }
}

/// Lists a folder. The host holds the whole listing while the guest reads it, so it must fit the
/// memory limit.
pub(super) async fn open(
    sandbox: &mut Sandbox,
    fd: Fd,
) -> wasmtime::Result<FsResult<ListingStream>> {
    let mut files = sandbox.filesystem();
    // The folder's size on disk bounds its number of entries, and thus the host's cost.
    let size = match files.stat(borrowed(&fd)).await {
        Ok(stat) => usize::try_from(stat.size).unwrap_or(usize::MAX),
        Err(error) => return Ok(Err(error)),
    };
    let listing = size.saturating_mul(16);
    sandbox.listing = sandbox.listing.max(listing);
    if !sandbox.weigh(listing) {
        let memory = sandbox.grants.limits.memory;
        return Err(StopReason::Limit(Limit::Memory, memory.into()).into());
    }
    Ok(open_there(sandbox, fd).await)
}

async fn open_there(sandbox: &mut Sandbox, fd: Fd) -> FsResult<ListingStream> {
    let folder = sandbox.file(&fd)?;
    let stream = sandbox.filesystem().read_directory(fd).await?;
    // Drop those of closed streams, whose numbers are reused.
    let table = &sandbox.table;
    let is_open = |number: &u32| table.get(&ListingStream::new_borrow(*number)).is_ok();
    sandbox.listings.retain(|number, _| is_open(number));
    let listing = Listing {
        folder,
        lossy: None,
    };
    sandbox.listings.insert(stream.rep(), listing);
    Ok(stream)
}

/// The next name of a listing that is not UTF-8.
async fn next_lossy(sandbox: &mut Sandbox, stream: &ListingStream) -> FsResult<Option<String>> {
    let Some(listing) = sandbox.listings.get_mut(&stream.rep()) else {
        return Ok(None);
    };
    if listing.lossy.is_none() {
        let folder = listing.folder.clone();
        listing.lossy = Some(blocking(move || lossy_names(&folder)).await?);
    }
    Ok(listing.lossy.as_mut().and_then(VecDeque::pop_front))
}

/// The next entry. One that is not UTF-8 cannot be opened by its lossy name, so it has no type; one
/// that was removed meanwhile is skipped.
pub(super) async fn next(
    sandbox: &mut Sandbox,
    stream: ListingStream,
) -> FsResult<Option<DirectoryEntry>> {
    loop {
        let this = ListingStream::new_borrow(stream.rep());
        let found = sandbox.filesystem().read_directory_entry(this).await;
        let error = match found {
            Ok(entry) => {
                sandbox.listed_last = entry.as_ref().map(|entry| entry.name.clone());
                return Ok(entry);
            }
            Err(error) => error,
        };
        match error.downcast_ref() {
            Some(ErrorCode::NoEntry) => {}
            Some(ErrorCode::IllegalByteSequence) => {
                if let Some(name) = next_lossy(sandbox, &stream).await? {
                    let type_ = DescriptorType::Unknown;
                    sandbox.listed_last = Some(name.clone());
                    return Ok(Some(DirectoryEntry { type_, name }));
                }
            }
            _ => return Err(error),
        }
    }
}

#[cfg(unix)]
fn lossy_names(folder: &File) -> io::Result<VecDeque<String>> {
    use rustix::fs::{Dir, Mode, OFlags, openat};

    let mut names = VecDeque::new();
    let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for entry in Dir::new(openat(folder, ".", read, Mode::empty())?)? {
        let entry = entry?;
        if entry.file_name().to_str().is_err() {
            names.push_back(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Skipped.
#[cfg(not(unix))]
fn lossy_names(_: &File) -> io::Result<VecDeque<String>> {
    Ok(VecDeque::new())
}
