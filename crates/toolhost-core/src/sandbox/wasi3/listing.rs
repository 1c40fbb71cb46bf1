//! Folder listings. A listing is read as a whole, as in WASI 0.2, and counts until the guest has
//! read it. wasmtime-wasi's own would occupy a thread of the host until then.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::vec;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, FutureReader, Linker, StreamProducer, StreamReader, StreamResult, VecBuffer,
};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p3::bindings::filesystem::types::{DirectoryEntry, ErrorCode};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn_blocking};

use super::super::descriptor::Fd;
use super::super::{Sandbox, StopReason};
use crate::limits::Limit;

/// The host's cost of an entry beside its name.
const ENTRY: usize = size_of::<DirectoryEntry>() + 16;

/// The most entries that a guest gets at once.
const MOST_AT_ONCE: usize = 256;

pub(super) fn replace(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    linker.instance("wasi:filesystem/types@0.3.0")?.func_wrap(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<Sandbox>, (fd,): (Fd,)| {
            let (result, ended) = oneshot::channel();
            let sandbox = store.data_mut();
            let state = match sandbox.table.get(&fd)? {
                Descriptor::Dir(folder) => ListingState::Unread(folder.dir.clone()),
                Descriptor::File(_) => ListingState::Failed(ErrorCode::NotDirectory),
            };
            let producer = ListingProducer {
                state,
                counted: Counted {
                    all: sandbox.wasi3.listed.clone(),
                    own: 0,
                },
                result: Some(result),
            };
            let entries = StreamReader::new(&mut store, producer)?;
            Ok(((entries, FutureReader::new(&mut store, ended)?),))
        },
    )
}

/// Bytes that one listing takes, counted among those of all.
struct Counted {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Counted {
    /// Counts an entry. Returns whether all listings fit.
    fn add(&mut self, bytes: usize, bound: usize) -> bool {
        self.own += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed) + bytes <= bound
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

enum ListingState {
    Unread(Arc<File>),
    Reading(AbortOnDropJoinHandle<io::Result<Listing>>),
    Read(vec::IntoIter<DirectoryEntry>),
    Failed(ErrorCode),
}

/// What was read; `None` if it does not fit.
type Listing = Option<(Vec<DirectoryEntry>, Counted)>;

struct ListingProducer {
    state: ListingState,
    counted: Counted,
    result: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

impl ListingProducer {
    fn end(&mut self, result: Result<(), ErrorCode>) -> StreamResult {
        if let Some(sender) = self.result.take() {
            // The guest may not want to know.
            let _ = sender.send(result);
        }
        StreamResult::Dropped
    }
}

impl Drop for ListingProducer {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

impl StreamProducer<Sandbox> for ListingProducer {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, Sandbox>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        let wanted = destination.remaining(&mut store).unwrap_or(MOST_AT_ONCE);
        let memory = store.data().grants.limits.memory;
        loop {
            match &mut this.state {
                ListingState::Unread(folder) => {
                    let folder = folder.clone();
                    let counted = Counted {
                        all: this.counted.all.clone(),
                        own: 0,
                    };
                    let bound = store.data().limiter.left();
                    let read = spawn_blocking(move || read(&folder, counted, bound));
                    this.state = ListingState::Reading(read);
                }
                ListingState::Reading(reading) => match reading.poll_unpin(context) {
                    Poll::Ready(Ok(Some((entries, counted)))) => {
                        this.counted = counted;
                        this.state = ListingState::Read(entries.into_iter());
                    }
                    Poll::Ready(Ok(None)) => {
                        let stop = StopReason::Limit(Limit::Memory, memory.into());
                        return Poll::Ready(Err(stop.into()));
                    }
                    Poll::Ready(Err(error)) => {
                        this.state = ListingState::Failed((&error).into());
                    }
                    Poll::Pending if finish => {
                        return Poll::Ready(Ok(StreamResult::Cancelled));
                    }
                    Poll::Pending => return Poll::Pending,
                },
                ListingState::Read(entries) => {
                    // A guest that reads nothing asks whether there is something to read.
                    if wanted == 0 {
                        return Poll::Ready(Ok(StreamResult::Completed));
                    }
                    let next: Vec<_> = entries.take(wanted.min(MOST_AT_ONCE)).collect();
                    let is_end = entries.len() == 0;
                    destination.set_buffer(next.into());
                    return Poll::Ready(Ok(match is_end {
                        true => this.end(Ok(())),
                        false => StreamResult::Completed,
                    }));
                }
                ListingState::Failed(error) => {
                    let error = error.clone();
                    return Poll::Ready(Ok(this.end(Err(error))));
                }
            }
        }
    }
}

/// The entries of a folder. One whose name is not UTF-8 cannot be opened by its lossy name, so it
/// has no type.
#[cfg(unix)]
fn read(folder: &File, mut counted: Counted, bound: usize) -> io::Result<Listing> {
    use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
    use wasmtime_wasi::p3::bindings::filesystem::types::DescriptorType;

    let mut entries = Vec::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(folder, ".", flags, Mode::empty())?;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => kind = FileType::from_raw_mode(found.st_mode),
                // It was removed meanwhile.
                Err(_) => continue,
            }
        }
        let (name, type_) = match name.to_str() {
            Ok(name) => {
                let type_ = match kind {
                    FileType::RegularFile => DescriptorType::RegularFile,
                    FileType::Directory => DescriptorType::Directory,
                    FileType::Symlink => DescriptorType::SymbolicLink,
                    FileType::Fifo => DescriptorType::Fifo,
                    FileType::Socket => DescriptorType::Socket,
                    FileType::CharacterDevice => DescriptorType::CharacterDevice,
                    FileType::BlockDevice => DescriptorType::BlockDevice,
                    FileType::Unknown => DescriptorType::Other(None),
                };
                (name.to_owned(), type_)
            }
            Err(_) => {
                let name = name.to_string_lossy().into_owned();
                (name, DescriptorType::Other(None))
            }
        };
        if !counted.add(name.len() + ENTRY, bound) {
            return Ok(None);
        }
        entries.push(DirectoryEntry { type_, name });
    }
    Ok(Some((entries, counted)))
}

/// Elsewhere no folder can be granted.
#[cfg(not(unix))]
fn read(_: &File, counted: Counted, _: usize) -> io::Result<Listing> {
    Ok(Some((Vec::new(), counted)))
}
