//! Files and folders of the host, where guests may write: what lies there is never reached through a link,
//! and what is the host's own is protected from them. See docs/adr/0016.
//!
//! [`Paths`] finds things for the host; a [`Guard`] is what the sandbox asks.

mod folder;
mod guard;
mod held;
mod mounts;
mod protected;
#[cfg(unix)]
mod seen;
pub(crate) mod vcs;
#[cfg(unix)]
mod walk;
#[cfg(not(unix))]
#[path = "paths/by_name.rs"]
mod walk;
#[cfg(not(unix))]
use walk::seen;

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};

pub(crate) use folder::FolderId;
pub(crate) use guard::{Guard, GuestFolder};
use held::Held;
use mounts::Mounts;
use protected::Protected;
use walk::Walk;

use crate::bounded;

/// What is to be at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// A regular file.
    Read,
    Append,
    Folder,
    Anything,
    MayBeMissing,
}

/// A file or folder of the host's that guests have nothing to do with, and what it is to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostFile {
    /// Where the manifest has it.
    pub path: PathBuf,
    /// What it is.
    pub purpose: Purpose,
}

impl HostFile {
    /// A file, or a folder.
    pub fn new(path: impl Into<PathBuf>, purpose: Purpose) -> Self {
        HostFile {
            path: path.into(),
            purpose,
        }
    }
}

/// What a [`HostFile`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Purpose {
    /// A folder on the way to another of them.
    Way,
    /// A folder that a plugin is granted.
    Folder,
    /// `cwd` of an MCP server.
    WorkingFolder,
    /// `plugin-dir`.
    PluginDir,
    /// The folder of compiled plugins.
    CodeCache,
    /// The folder that says what each manifest is trusted with.
    Trust,
    /// The file of a resource.
    Resource,
    /// A program that is started, or a file that one is started with.
    Program,
    /// The audit log.
    AuditLog,
    /// The transcript of an agent.
    Transcript,
    /// The component of a plugin.
    Plugin,
    /// The certificate of the server.
    Certificate,
    /// The texts of pinned tools.
    LockFile,
    /// The manifest.
    Manifest,
    /// The private key of the server.
    Key,
    /// The file of a secret.
    Secret,
}

impl Purpose {
    /// Whether guests may not even read it.
    pub fn is_secret(self) -> bool {
        matches!(self, Purpose::Key | Purpose::Secret)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Purpose::Way => "a parent folder of the host's own files",
            Purpose::Folder => "a granted folder",
            Purpose::WorkingFolder => "the working folder of an MCP server",
            Purpose::PluginDir => "the plugin folder",
            Purpose::CodeCache => "the code cache",
            Purpose::Trust => "the folder of trusted manifests",
            Purpose::Resource => "a resource",
            Purpose::Program => "a file that an MCP server is started with",
            Purpose::AuditLog => "the audit log",
            Purpose::Transcript => "an agent transcript",
            Purpose::Plugin => "a plugin",
            Purpose::Certificate => "the server's certificate",
            Purpose::LockFile => "the pin file",
            Purpose::Manifest => "the manifest",
            Purpose::Key => "the server's private key",
            Purpose::Secret => "a secret file",
        })
    }
}

/// The folders that guests are granted, and the way to everything else.
///
/// Without any folders everything is opened by its name, as ever.
#[derive(Debug, Default)]
pub struct Paths {
    /// Those of the manifest, and those that calls have in place of them.
    granted: RwLock<Vec<Known>>,
    /// What hosts before this one granted, whose calls may still run.
    past: Vec<Known>,
    /// As of the last folder that was granted.
    mounts: RwLock<Arc<Mounts>>,
    /// What is protected in folders that are granted later, too.
    files: RwLock<Vec<HostFile>>,
    /// The host that follows this one adds its own.
    protected: RwLock<Vec<Arc<Protected>>>,
    held: Arc<Held>,
}

/// The same for all parts of a manifest, of which it says nothing itself.
#[derive(Clone, Debug, Default)]
pub struct SharedPaths(Arc<Paths>);

impl SharedPaths {
    pub(crate) fn new(paths: Paths) -> Self {
        SharedPaths(Arc::new(paths))
    }
}

impl Deref for SharedPaths {
    type Target = Paths;

    fn deref(&self) -> &Paths {
        &self.0
    }
}

impl PartialEq for SharedPaths {
    fn eq(&self, _: &SharedPaths) -> bool {
        true
    }
}

impl Eq for SharedPaths {}

/// A folder that guests are granted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Granted {
    path: PathBuf,
    id: FolderId,
    is_writable: bool,
    holder: Holder,
}

/// Who has a granted folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Every call.
    Everyone,
    /// No call: the folders of clients lie in it, and no link there is followed.
    Nobody,
    /// The calls of one client, in a folder of [`Nobody`](Holder::Nobody): whoever manages clients may replace it.
    Client,
}

/// A folder that is granted, or was while its calls ran.
#[derive(Clone, Debug)]
enum Known {
    Kept(Arc<Granted>),
    WhileUsed(Weak<Granted>),
}

impl Known {
    fn get(&self) -> Option<Arc<Granted>> {
        match self {
            Known::Kept(granted) => Some(granted.clone()),
            Known::WhileUsed(granted) => granted.upgrade(),
        }
    }
}

/// A folder as a manifest grants it.
pub(crate) struct ToGrant<'g> {
    pub(crate) path: Cow<'g, Path>,
    pub(crate) is_writable: bool,
    pub(crate) holder: Holder,
}

/// A folder that was found.
pub(crate) struct Found {
    pub(crate) held: File,
    pub(crate) id: FolderId,
    /// Without links, as of when it was found.
    pub(crate) path: PathBuf,
    /// The devices below it that show the kernel.
    pub(crate) kernel: Vec<u64>,
}

impl Paths {
    /// Of folders that are granted; `before` are those of the host that is to be replaced.
    pub(crate) fn new<'g>(
        grants: impl IntoIterator<Item = ToGrant<'g>>,
        before: Option<&Paths>,
    ) -> Paths {
        let mut past: Vec<Known> = Vec::new();
        for known in before.iter().flat_map(|it| it.known()) {
            let Some(granted) = known.get() else { continue };
            // The last of a path is what it was last.
            past.retain(|other| other.get().is_some_and(|other| other != granted));
            past.push(known);
        }
        let held = before.map(|before| before.held.moved());
        let mut paths = Paths {
            past,
            held: Arc::new(held.unwrap_or_default()),
            ..Paths::default()
        };
        let mut grants = grants.into_iter().peekable();
        if grants.peek().is_none() && paths.past.is_empty() {
            return paths;
        }
        let mounts = paths.read_mounts();
        for ToGrant {
            path,
            is_writable,
            holder,
        } in grants
        {
            // Links are followed here: one that a guest made leads to a folder too many, and is refused
            // once it is walked. What is not there is told of when it is opened.
            let Ok(id) = FolderId::of(&path, &mounts) else {
                continue;
            };
            let path = std::path::absolute(&path).unwrap_or_else(|_| path.into_owned());
            let granted = Arc::new(Granted {
                path,
                id,
                is_writable,
                holder,
            });
            let known = paths.granted.get_mut();
            known
                .unwrap_or_else(PoisonError::into_inner)
                .push(Known::Kept(granted));
        }
        paths
    }

    /// Nothing that guests may write, nor read.
    fn is_empty(&self) -> bool {
        self.past.is_empty() && self.granted().is_empty()
    }

    fn mounts(&self) -> Arc<Mounts> {
        let mounts = self.mounts.read();
        mounts.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read_mounts(&self) -> Arc<Mounts> {
        let now = Arc::new(Mounts::read());
        let mut mounts = self.mounts.write().unwrap_or_else(PoisonError::into_inner);
        mounts.clone_from(&now);
        now
    }

    fn granted(&self) -> RwLockReadGuard<'_, Vec<Known>> {
        self.granted.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of the past first.
    fn known(&self) -> Vec<Known> {
        self.past
            .iter()
            .chain(self.granted().iter())
            .cloned()
            .collect()
    }

    fn all(&self) -> Vec<Arc<Granted>> {
        self.known().iter().filter_map(Known::get).collect()
    }

    /// Opens a regular file to read it, and waits for nobody.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is something else; or it is reached through a link that a guest may have made.
    pub(crate) fn open_regular(&self, path: &Path) -> io::Result<File> {
        if self.is_empty() {
            return bounded::open(path);
        }
        let file = self.walk(path, Want::Read)?.into_file()?;
        bounded::expect_file(&file.metadata()?)?;
        Ok(file)
    }

    /// All of a regular file, which has no more than `most` bytes.
    ///
    /// # Errors
    ///
    /// As of [`open_regular`](Paths::open_regular) and [`bounded::read`].
    pub fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        bounded::read(&self.open_regular(path)?, most)
    }

    /// As [`read`](Paths::read), of a text.
    ///
    /// # Errors
    ///
    /// As of [`read`](Paths::read), or it is not UTF-8.
    pub fn read_text(&self, path: &Path, most: u64) -> io::Result<String> {
        bounded::text(&self.open_regular(path)?, most)
    }

    /// Opens a file to append to it and to read it; it is made for its user alone if it is not there.
    ///
    /// # Errors
    ///
    /// As of [`open_regular`](Paths::open_regular).
    pub(crate) fn open_to_append(&self, path: &Path) -> io::Result<File> {
        if !self.is_empty() {
            let file = self.walk(path, Want::Append)?.into_file()?;
            // It may have been made.
            for protected in self.protected() {
                self.held.now(&protected);
            }
            return Ok(file);
        }
        let mut options = File::options();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)
    }

    /// Finds a folder to grant.
    ///
    /// # Errors
    ///
    /// As of [`open_regular`](Paths::open_regular); or it is another than it was for the host before, where guests may have
    /// replaced it.
    pub(crate) fn open_folder(&self, path: &Path) -> io::Result<Found> {
        let walk = self.walk(path, Want::Folder)?;
        let id = walk.folder_id(&self.mounts())?;
        let name = std::path::absolute(path)?;
        let mut past = self.past.iter().rev().filter_map(Known::get);
        if let Some(before) =
            past.find(|before| before.path == name && before.holder == Holder::Everyone)
            && walk.is_among_guests()
            && !before.id.is_same(&id)
        {
            return Err(io::Error::other(
                "it was replaced since it was loaded, in a folder that plugins can write to: if the new one is \
                 intended, restart toolhost",
            ));
        }
        let path = walk.path();
        let held = walk.into_file()?;
        let kernel = self.kernel_below(&path, &held);
        Ok(Found {
            held,
            id,
            path,
            kernel,
        })
    }

    /// Finds a folder that calls have in place of a granted one, and grants it to them: from then on what lies in it is not
    /// reached through links, and what is the host's there is protected.
    ///
    /// # Errors
    ///
    /// As of [`open_folder`](Paths::open_folder).
    pub(crate) fn grant(
        &self,
        path: &Path,
        is_writable: bool,
        holder: Holder,
    ) -> io::Result<(Found, Arc<Granted>)> {
        // Something may have been mounted since the load.
        self.read_mounts();
        let found = self.open_folder(path)?;
        let is_below = |root: &Arc<Granted>| root.id.holds(&found.id);
        if holder == Holder::Client && !self.of_clients().iter().any(is_below) {
            return Err(replaced());
        }
        if let Some(kind) = self.mounts().kernel_type(&found.path) {
            return Err(io::Error::other(format!(
                "it is in a kernel file system ({kind}), which cannot replace another folder"
            )));
        }
        let granted = Granted {
            path: std::path::absolute(path)?,
            id: found.id.clone(),
            is_writable,
            holder,
        };
        Ok((found, self.add(granted)))
    }

    /// The folders that those of clients lie in.
    fn of_clients(&self) -> Vec<Arc<Granted>> {
        let granted = self.granted();
        let granted = granted.iter().filter_map(Known::get);
        granted.filter(|it| it.holder == Holder::Nobody).collect()
    }

    fn add(&self, new: Granted) -> Arc<Granted> {
        let mut known = self.granted.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|it| it.get().is_some());
        let same = known.iter().filter_map(Known::get).find(|it| {
            it.id == new.id && it.holder == new.holder && it.is_writable >= new.is_writable
        });
        if let Some(same) = same {
            return same;
        }
        let new = Arc::new(new);
        known.push(match new.holder {
            // No link is followed there anyway, for what it lies in.
            Holder::Client => Known::WhileUsed(Arc::downgrade(&new)),
            Holder::Everyone | Holder::Nobody => Known::Kept(new.clone()),
        });
        drop(known);
        let files = self.files.read();
        let files: Vec<HostFile> = files.unwrap_or_else(PoisonError::into_inner).clone();
        for file in &files {
            let _ = self.protect_known(file);
        }
        // Nobody moves a folder from under its name, whichever of the two was granted first.
        let _ = self.protect_known(&HostFile::new(&new.path, Purpose::Folder));
        for inner in self.all().iter().filter(|it| new.id.holds(&it.id)) {
            let _ = self.protect_known(&HostFile::new(&inner.path, Purpose::Folder));
        }
        new
    }

    /// Makes a folder of a client, for this user alone, where it is not there: it and what is missing on the way, in
    /// `base`.
    ///
    /// # Errors
    ///
    /// `base` is not there, something else is in its place, or it cannot be written.
    pub(crate) fn make_folder(&self, path: &Path, base: &Path) -> io::Result<()> {
        let root = self.walk(base, Want::Folder)?.folder_id(&self.mounts())?;
        if !self.of_clients().iter().any(|it| it.id.is_same(&root)) {
            return Err(replaced());
        }
        while let Some(missing) = self.walk(path, Want::MayBeMissing)?.missing() {
            match missing.make() {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        Ok(())
    }

    /// Whether something may be used by its name: no link on the way is one that a guest may have made, and
    /// as it is protected from now on, none comes to be there. What is not there is fine.
    ///
    /// # Errors
    ///
    /// There is such a link.
    pub fn check_way(&self, file: &HostFile) -> io::Result<()> {
        // Before it was protected a guest could have had it be one thing and then the other.
        for _ in 0..2 {
            if let Err(error) = self.protect(file)
                && error.kind() == io::ErrorKind::Other
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether a file that was opened by its name is what the name leads to without links of guests.
    ///
    /// # Errors
    ///
    /// It is not, or there are such links.
    pub(crate) fn check(&self, path: &Path, opened: &File) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let walk = self.walk(path, Want::Anything)?;
        match walk.is_file(opened)? {
            true => Ok(()),
            false => Err(io::Error::other("it was replaced while it was read")),
        }
    }

    fn walk(&self, path: &Path, want: Want) -> io::Result<Walk> {
        walk::walk(self, path, want)
    }

    /// Keeps guests from a file or folder of the host's, if it lies in their folders.
    ///
    /// # Errors
    ///
    /// It cannot be found, which is told of by whoever needs it.
    pub(crate) fn protect(&self, file: &HostFile) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if !files.contains(file) {
            files.push(file.clone());
        }
        drop(files);
        self.protect_known(file)
    }

    fn protect_known(&self, file: &HostFile) -> io::Result<()> {
        let walk = self.walk(&file.path, Want::MayBeMissing)?;
        let known = self.protected();
        for mut new in walk.protected(file) {
            // One descriptor for all that is found from the same folder.
            if let Some(same) = known.iter().find(|known| known.root.0 == new.root.0) {
                new.root.1 = same.root.1.clone();
            }
            self.keep(Arc::new(new));
        }
        Ok(())
    }

    /// Keeps the guests of the host before this one from what is protected here.
    pub(crate) fn extend(&self, before: &Paths) {
        for protected in self.protected() {
            before.keep(protected);
        }
    }

    fn keep(&self, new: Arc<Protected>) {
        self.held.now(&new);
        let mut known = self
            .protected
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if !known.iter().any(|known| known.is_same(&new)) {
            known.push(new);
        }
    }

    fn protected(&self) -> Vec<Arc<Protected>> {
        let protected = self.protected.read();
        protected.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the guests of these folders are kept from; `None` where that is nothing.
    pub(crate) fn guard(&self, folders: &[GuestFolder<'_>], kernel: &[u64]) -> Option<Guard> {
        let protected = self.protected.read();
        let protected = protected.unwrap_or_else(PoisonError::into_inner);
        Guard::new(&protected, &self.held, folders, kernel)
    }

    /// What a folder is that was granted by that name when this was made, or since.
    pub(crate) fn granted_id(&self, path: &Path) -> Option<FolderId> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let granted = self.granted();
        // The last of a path is what it is now.
        let mut granted = granted.iter().rev().filter_map(Known::get);
        let found = granted.find(|granted| granted.path == path)?;
        Some(found.id.clone())
    }

    /// The devices of file systems below a folder in which the kernel shows itself.
    fn kernel_below(&self, folder: &Path, held: &File) -> Vec<u64> {
        let mut devices: Vec<u64> = self.mounts().of_kernel_below(folder).collect();
        // Where mounts are not told.
        #[cfg(unix)]
        for kernel in mounts::KERNEL_FOLDERS.map(Path::new) {
            use std::os::unix::fs::MetadataExt;
            if kernel.starts_with(folder)
                && kernel != folder
                && let (Ok(kernel), Ok(own)) = (kernel.metadata(), held.metadata())
                && kernel.dev() != own.dev()
            {
                devices.push(kernel.dev());
            }
        }
        let _ = held;
        devices.sort_unstable();
        devices.dedup();
        devices
    }
}

/// In another folder links could lead elsewhere.
fn replaced() -> io::Error {
    io::Error::other(
        "the parent of the client folders was replaced since it was loaded: reload or restart",
    )
}

/// The type of the file system that a folder is in, if the kernel shows itself there.
pub(crate) fn kernel_type(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = Mounts::read();
    mounts.kernel_type(&folder).map(str::to_owned)
}
