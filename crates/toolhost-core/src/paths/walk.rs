//! From the root to a file, a name at a time: each folder is held while the next name is looked up in it, so
//! that nobody leads the way elsewhere meanwhile.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::folder::{FolderId, Id};
use super::mounts::Mounts;
use super::protected::Protected;
use super::seen::{LOOK_UP, id_of};
use super::{Granted, Holder, HostFile, Paths, Purpose, Want};

/// As many as the kernel follows.
const MAX_LINKS: usize = 40;

/// A way that was gone.
pub(super) struct Walk {
    /// The folders, from the root on.
    steps: Vec<Step>,
    end: End,
}

struct Step {
    folder: Arc<File>,
    id: Id,
    path: PathBuf,
    /// The granted folders that it is or lies in.
    granted: Vec<Id>,
    is_writable: bool,
    /// Whether the folders of clients lie in it, or it lies in such a folder.
    is_of_clients: bool,
}

enum End {
    /// The last of the steps.
    Folder,
    /// In the last of the steps, opened if that was wanted.
    File(OsString, Option<File>),
    /// What comes after the last of the steps.
    Missing(PathBuf),
}

pub(super) fn walk(paths: &Paths, path: &Path, want: Want) -> io::Result<Walk> {
    let mut todo = names(&std::path::absolute(path)?);
    let known = &paths.all();
    let root = rustix::fs::open("/", LOOK_UP, Mode::empty())?;
    let mut steps = vec![step((paths, known), root, PathBuf::from("/"), None)?];
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            if steps.len() > 1 {
                steps.pop();
            }
            continue;
        }
        let here = steps.last().expect("the root is never left");
        let is_last = todo.is_empty();
        let kind = match statat(&here.folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT)
                if want == Want::MayBeMissing && todo.iter().all(|name| name != "..") =>
            {
                let missing = std::iter::once(name).chain(todo).collect();
                let end = End::Missing(missing);
                return Ok(Walk { steps, end });
            }
            Err(Errno::NOENT) if is_last && want == Want::Append => FileType::RegularFile,
            Err(error) => return Err(error.into()),
        };
        match kind {
            FileType::Symlink => {
                if here.is_writable {
                    let (of, remedy) = match here.is_of_clients {
                        false => ("that plugins can write to", "use the path of its target"),
                        true => (
                            "of clients",
                            "mount the intended folder in its place, or pass its path in a narrowing",
                        ),
                    };
                    return Err(io::Error::other(format!(
                        "{} is a symlink in a folder {of}, so it is not followed: {remedy}",
                        here.path.join(&name).display()
                    )));
                }
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                // The text of these is no path: what a shell gives for `<(…)` is such a link.
                if is_last && is_of_processes(&here.folder) && !is_folder(&here.folder, &name) {
                    let file = open_last(&here.folder, &name, want, OFlags::empty())?;
                    let end = End::File(name, file);
                    return Ok(Walk { steps, end });
                }
                let target = readlinkat(&here.folder, &name, Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    steps.truncate(1);
                }
                let mut next = names(&target);
                next.append(&mut todo);
                todo = next;
            }
            FileType::Directory => {
                let folder = openat(&here.folder, &name, LOOK_UP, Mode::empty())?;
                let next = step((paths, known), folder, here.path.join(&name), Some(here))?;
                steps.push(next);
            }
            _ if !is_last || want == Want::Folder => return Err(Errno::NOTDIR.into()),
            _ => {
                if want == Want::Read && kind != FileType::RegularFile {
                    return Err(not_a_file());
                }
                let file = open_last(&here.folder, &name, want, OFlags::NOFOLLOW)?;
                let end = End::File(name, file);
                return Ok(Walk { steps, end });
            }
        }
    }
    match want {
        Want::Read => Err(not_a_file()),
        Want::Append => Err(Errno::ISDIR.into()),
        Want::Folder | Want::Anything | Want::MayBeMissing => Ok(Walk {
            steps,
            end: End::Folder,
        }),
    }
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")
}

fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

fn step(
    (paths, known): (&Paths, &[Arc<Granted>]),
    folder: OwnedFd,
    path: PathBuf,
    above: Option<&Step>,
) -> io::Result<Step> {
    let stat = fstat(&folder)?;
    let id = id_of(&stat);
    let (mut granted, mut is_writable, mut is_of_clients) = match above {
        Some(above) => (
            above.granted.clone(),
            above.is_writable,
            above.is_of_clients,
        ),
        None => (Vec::new(), false, false),
    };
    // Where something is mounted, the folders above say nothing of where it lies.
    let mounts = paths.mounts();
    let mounted = mounts.is_point(&path);
    let area = mounted.then(|| mounts.area(&path)).flatten();
    for known in known {
        if known.id.own == id || area.as_ref().is_some_and(|area| known.id.covers(area)) {
            if known.holder != Holder::Nobody {
                granted.push(known.id.own);
            }
            is_writable |= known.is_writable;
            is_of_clients |= known.holder == Holder::Nobody;
        }
    }
    Ok(Step {
        folder: Arc::new(folder.into()),
        id,
        path,
        granted,
        is_writable,
        is_of_clients,
    })
}

/// A name at which nothing is.
pub(super) struct Missing {
    folder: Arc<File>,
    name: OsString,
}

impl Missing {
    /// Makes a folder there, for this user alone.
    pub(super) fn make(&self) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.folder, &self.name, Mode::RWXU)?)
    }
}

fn open_last(folder: &File, name: &OsStr, want: Want, how: OFlags) -> io::Result<Option<File>> {
    let read = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | how;
    let append = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | how;
    let flags = match want {
        // It may be a pipe by now.
        Want::Read => read | OFlags::NONBLOCK,
        Want::Append => append | OFlags::NOCTTY,
        Want::Folder | Want::Anything | Want::MayBeMissing => return Ok(None),
    };
    let file = openat(folder, name, flags, Mode::from_raw_mode(0o600))?;
    Ok(Some(file.into()))
}

/// Whether the folder is the kernel's view of processes.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_of_processes(folder: &File) -> bool {
    let stat = rustix::fs::fstatfs(folder);
    stat.is_ok_and(|stat| stat.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_of_processes(_: &File) -> bool {
    false
}

/// Whether a link leads to a folder.
fn is_folder(folder: &File, name: &OsStr) -> bool {
    let stat = statat(folder, name, AtFlags::empty());
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

impl Walk {
    fn last(&self) -> &Step {
        self.steps.last().expect("the root is never left")
    }

    /// Without links.
    pub(super) fn path(&self) -> PathBuf {
        let folder = &self.last().path;
        match &self.end {
            End::Folder => folder.clone(),
            End::File(name, _) => folder.join(name),
            End::Missing(names) => folder.join(names),
        }
    }

    /// The first folder that is not there, where one is not.
    pub(super) fn missing(self) -> Option<Missing> {
        let End::Missing(names) = &self.end else {
            return None;
        };
        let Some(Component::Normal(name)) = names.components().next() else {
            return None;
        };
        Some(Missing {
            folder: self.last().folder.clone(),
            name: name.to_owned(),
        })
    }

    /// Whether its end lies in a folder that guests may write, below that.
    pub(super) fn is_among_guests(&self) -> bool {
        let parent = match self.end {
            End::Folder => self.steps.iter().nth_back(1),
            End::File(..) | End::Missing(_) => self.steps.last(),
        };
        parent.is_some_and(|parent| parent.is_writable)
    }

    /// What was wanted.
    pub(super) fn into_file(mut self) -> io::Result<File> {
        let last = self.steps.pop().expect("the root is never left");
        match self.end {
            End::Folder => Ok(Arc::into_inner(last.folder).expect("it was not given away")),
            End::File(_, Some(file)) => Ok(file),
            End::File(_, None) | End::Missing(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether it ends at that file.
    pub(super) fn is_file(&self, file: &File) -> io::Result<bool> {
        Ok(match &self.end {
            End::Folder => self.last().id == id_of(&fstat(file)?),
            // What a link of the kernel's leads to is another at each look.
            End::File(..) if is_of_processes(&self.last().folder) => true,
            End::File(name, _) => {
                let stat = statat(&self.last().folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                id_of(&stat) == id_of(&fstat(file)?)
            }
            End::Missing(_) => false,
        })
    }

    /// What the folder at the end is.
    pub(super) fn folder_id(&self, mounts: &Mounts) -> io::Result<FolderId> {
        let above = self.steps.iter().rev().skip(1).map(|step| step.id);
        let last = self.last();
        Ok(FolderId::new(last.id, above.collect(), &last.path, mounts))
    }

    /// What is to be protected of it: itself, and the folders on the way that a guest could replace.
    pub(super) fn protected(&self, file: &HostFile) -> Vec<Protected> {
        let in_guests = self.steps.iter().position(|step| !step.granted.is_empty());
        let Some(root) = in_guests else {
            return self.linked_elsewhere(file).into_iter().collect();
        };
        let within = |number: usize| self.steps[number].granted.clone();
        let from = &self.steps[root];
        let relative = |path: &Path| {
            let rest = path.strip_prefix(&from.path);
            rest.map(Path::to_owned).unwrap_or_default()
        };
        let protected = |purpose, path: &Path, within: Vec<Id>| Protected {
            purpose,
            root: (from.id, from.folder.clone()),
            rest: relative(path),
            within: Some(within),
        };
        let mut found = Vec::new();
        let last = self.steps.len() - 1;
        for number in root + 1..=last {
            // Only who may write the folder above can replace it.
            let is_end = number == last && matches!(self.end, End::Folder);
            if self.steps[number - 1].is_writable && !is_end {
                let path = &self.steps[number].path;
                found.push(protected(Purpose::Way, path, within(number - 1)));
            }
        }
        // Of these a guest could make one as soon as the one before it is there.
        if let End::Missing(names) = &self.end {
            let ways = names.ancestors().skip(1);
            for way in ways.filter(|way| !way.as_os_str().is_empty()) {
                let path = self.steps[last].path.join(way);
                found.push(protected(Purpose::Way, &path, within(last)));
            }
        }
        let of_end = match self.end {
            // What is in it is protected, or it was granted for itself.
            End::Folder if file.purpose.is_tree() => within(last),
            End::Folder if last > root => within(last - 1),
            End::Folder => return found,
            End::File(..) | End::Missing(_) => within(last),
        };
        found.push(protected(file.purpose, &self.path(), of_end));
        found
    }

    /// A file that has further names may have one in a granted folder.
    fn linked_elsewhere(&self, file: &HostFile) -> Option<Protected> {
        let End::File(name, _) = &self.end else {
            return None;
        };
        let folder = self.last();
        let stat = statat(&folder.folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        (is_file && stat.st_nlink > 1).then(|| Protected {
            purpose: file.purpose,
            root: (folder.id, folder.folder.clone()),
            rest: PathBuf::from(name),
            within: None,
        })
    }
}
