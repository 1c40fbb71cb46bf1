//! Files and folders of the host in places where guests may write: they are never reached through a
//! link, and the host's own are protected. See docs/adr/0016.
//!
//! [`Paths`] opens things for the host; a `Guard` answers the sandbox.

mod accepted;
mod folder_id;
mod guard;
mod held_files;
#[cfg(unix)]
mod inodes;
mod mounts;
mod protected;
pub(crate) mod vcs;
#[cfg(unix)]
mod walk;
#[cfg(not(unix))]
#[path = "paths/by_name.rs"]
mod walk;
#[cfg(not(unix))]
use walk::seen;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};

use accepted::Accepted;
pub(crate) use folder_id::FolderId;
pub(crate) use guard::{Guard, GuestFolder};
use held_files::HeldFiles;
use mounts::Mounts;
use protected::Protected;
use walk::Walk;

use crate::bounded_read;
use crate::locks;

/// What the end of a path must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// A regular file.
    Read,
    Append,
    Folder,
    Anything,
    MayBeMissing,
}

/// A file or folder of the host that guests must not touch, and its purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostFile {
    /// The path in the manifest.
    pub path: PathBuf,
    /// Its purpose.
    pub purpose: Purpose,
}

impl HostFile {
    /// A file or a folder.
    pub fn new(path: impl Into<PathBuf>, purpose: Purpose) -> Self {
        HostFile {
            path: path.into(),
            purpose,
        }
    }
}

/// The purpose of a [`HostFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Purpose {
    /// A folder on the path to another of them.
    Way,
    /// A folder granted to a plugin.
    Folder,
    /// The `cwd` of an MCP server.
    WorkingFolder,
    /// `plugin-dir`.
    PluginDir,
    /// The cache of compiled plugins.
    CodeCache,
    /// The trust store.
    Trust,
    /// The file of a resource.
    Resource,
    /// A program that is started, or a file named by its arguments.
    Program,
    /// The audit log.
    AuditLog,
    /// The transcript of an agent.
    Transcript,
    /// The component of a plugin.
    Plugin,
    /// The `.wit` file that describes a plugin's functions.
    Documentation,
    /// The certificate of the server.
    Certificate,
    /// The lock file with the texts of pinned tools.
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
            Purpose::Documentation => "the WIT file of a plugin",
            Purpose::Certificate => "the server's certificate",
            Purpose::LockFile => "the pin file",
            Purpose::Manifest => "the manifest",
            Purpose::Key => "the server's private key",
            Purpose::Secret => "a secret file",
        })
    }
}

/// The folders that guests are granted, and how everything else is opened.
///
/// Without any granted folders everything is opened by its name.
#[derive(Debug, Default)]
pub struct Paths {
    /// Those of the manifest, and those that narrowed calls have in their place.
    granted: RwLock<Vec<KnownFolder>>,
    /// Folders granted by earlier hosts, whose calls may still run.
    past: Vec<KnownFolder>,
    /// The mounts as read when the last folder was granted.
    mounts: RwLock<Arc<Mounts>>,
    /// Host files to be protected also in folders granted later.
    files: RwLock<Vec<HostFile>>,
    /// The host that replaces this one adds its own.
    protected: RwLock<Vec<Arc<Protected>>>,
    held: Arc<HeldFiles>,
    /// By path.
    accepted: RwLock<HashMap<PathBuf, Accepted>>,
}

/// Shared by all parts of a manifest; ignored in comparisons of manifests.
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

/// A folder granted to guests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GrantedFolder {
    path: PathBuf,
    id: FolderId,
    is_writable: bool,
    holder: FolderHolder,
}

/// Which calls have a granted folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FolderHolder {
    /// Every call.
    Everyone,
    /// None: it contains the folders of clients, and no link in it is followed.
    Nobody,
    /// Calls of one client, in a folder of [`Nobody`](FolderHolder::Nobody). The program that manages
    /// clients may replace it.
    Client,
}

/// A folder that is granted, or was while its calls ran.
#[derive(Clone, Debug)]
enum KnownFolder {
    Kept(Arc<GrantedFolder>),
    WhileUsed(Weak<GrantedFolder>),
}

impl KnownFolder {
    fn get(&self) -> Option<Arc<GrantedFolder>> {
        match self {
            KnownFolder::Kept(granted) => Some(granted.clone()),
            KnownFolder::WhileUsed(granted) => granted.upgrade(),
        }
    }
}

/// A folder as a manifest grants it.
pub(crate) struct ToGrant<'g> {
    pub(crate) path: Cow<'g, Path>,
    pub(crate) is_writable: bool,
    pub(crate) holder: FolderHolder,
}

/// A folder that was opened.
pub(crate) struct FoundFolder {
    pub(crate) held: File,
    pub(crate) id: FolderId,
    /// Without links, as of when it was opened.
    pub(crate) path: PathBuf,
    /// The devices of kernel file systems (such as /proc) below it.
    pub(crate) kernel: Vec<u64>,
}

impl Paths {
    /// For granted folders; `before` are those of the host to be replaced.
    pub(crate) fn new<'g>(
        grants: impl IntoIterator<Item = ToGrant<'g>>,
        before: Option<&Paths>,
    ) -> Paths {
        let mut past: Vec<KnownFolder> = Vec::new();
        for known in before.iter().flat_map(|it| it.known()) {
            let Some(granted) = known.get() else { continue };
            // The last entry of a path is its latest state.
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
            // Links are followed here: a link made by a guest only adds a folder, and is refused
            // when the path is walked. A missing folder is reported when it is opened.
            let Ok(id) = FolderId::of(&path, &mounts) else {
                continue;
            };
            let path = std::path::absolute(&path).unwrap_or_else(|_| path.into_owned());
            let granted = Arc::new(GrantedFolder {
                path,
                id,
                is_writable,
                holder,
            });
            let known = paths.granted.get_mut();
            known
                .unwrap_or_else(PoisonError::into_inner)
                .push(KnownFolder::Kept(granted));
        }
        paths
    }

    /// Whether guests may neither write nor read anything.
    fn is_empty(&self) -> bool {
        self.past.is_empty() && self.granted().is_empty()
    }

    fn mounts(&self) -> Arc<Mounts> {
        let mounts = self.mounts.read();
        mounts.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read_mounts(&self) -> Arc<Mounts> {
        let now = Arc::new(Mounts::read());
        let mut mounts = locks::write(&self.mounts);
        mounts.clone_from(&now);
        now
    }

    fn granted(&self) -> RwLockReadGuard<'_, Vec<KnownFolder>> {
        locks::read(&self.granted)
    }

    /// Earlier hosts' first.
    fn known(&self) -> Vec<KnownFolder> {
        self.past
            .iter()
            .chain(self.granted().iter())
            .cloned()
            .collect()
    }

    fn all(&self) -> Vec<Arc<GrantedFolder>> {
        self.known().iter().filter_map(KnownFolder::get).collect()
    }

    /// Opens a regular file for reading, without blocking.
    ///
    /// # Errors
    ///
    /// It cannot be opened, is not a regular file, or is reached through a link that a guest may
    /// have made.
    pub(crate) fn open_regular(&self, path: &Path) -> io::Result<File> {
        if self.is_empty() {
            return bounded_read::open(path);
        }
        let file = self.walk(path, Want::Read)?.into_file()?;
        bounded_read::expect_file(&file.metadata()?)?;
        Ok(file)
    }

    /// Records where a file is, for [`expect_accepted`](Paths::expect_accepted).
    pub(crate) fn accept(&self, path: &Path) {
        locks::write(&self.accepted).insert(path.to_owned(), Accepted::of(path));
    }

    /// Checks that a path still leads into the folder where its file was at load: the user who
    /// trusted the manifest has seen no other.
    ///
    /// # Errors
    ///
    /// It leads elsewhere.
    pub(crate) fn expect_accepted(&self, path: &Path) -> io::Result<()> {
        match locks::read(&self.accepted).get(path) {
            Some(accepted) => accepted.check(path),
            None => Ok(()),
        }
    }

    /// Reads a regular file of at most `most` bytes.
    ///
    /// # Errors
    ///
    /// As for [`open_regular`](Paths::open_regular) and [`bounded_read::read`].
    pub fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        bounded_read::read(&self.open_regular(path)?, most)
    }

    /// As [`read`](Paths::read), for text.
    ///
    /// # Errors
    ///
    /// As for [`read`](Paths::read), or it is not UTF-8.
    pub fn read_text(&self, path: &Path, most: u64) -> io::Result<String> {
        bounded_read::text(&self.open_regular(path)?, most)
    }

    /// Opens a file to append to it and to read it; a new file is private to its user.
    ///
    /// # Errors
    ///
    /// As for [`open_regular`](Paths::open_regular).
    pub(crate) fn open_to_append(&self, path: &Path) -> io::Result<File> {
        if !self.is_empty() {
            let file = self.walk(path, Want::Append)?.into_file()?;
            // It may have been created.
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

    /// Opens a folder to grant it.
    ///
    /// # Errors
    ///
    /// As for [`open_regular`](Paths::open_regular); or it is not the folder that the host before
    /// had, and guests may have replaced it.
    pub(crate) fn open_folder(&self, path: &Path) -> io::Result<FoundFolder> {
        let walk = self.walk(path, Want::Folder)?;
        let id = walk.folder_id(&self.mounts())?;
        let name = std::path::absolute(path)?;
        let mut past = self.past.iter().rev().filter_map(KnownFolder::get);
        if let Some(before) =
            past.find(|before| before.path == name && before.holder == FolderHolder::Everyone)
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
        Ok(FoundFolder {
            held,
            id,
            path,
            kernel,
        })
    }

    /// Opens a folder for narrowed calls and grants it to them: from then on nothing in it is
    /// reached through links, and the host's files in it are protected.
    ///
    /// # Errors
    ///
    /// As for [`open_folder`](Paths::open_folder).
    pub(crate) fn grant(
        &self,
        path: &Path,
        is_writable: bool,
        holder: FolderHolder,
    ) -> io::Result<(FoundFolder, Arc<GrantedFolder>)> {
        // File systems may have been mounted since the load.
        self.read_mounts();
        let found = self.open_folder(path)?;
        let is_below = |root: &Arc<GrantedFolder>| root.id.holds(&found.id);
        if holder == FolderHolder::Client && !self.of_clients().iter().any(is_below) {
            return Err(replaced());
        }
        if let Some(kind) = self.mounts().kernel_type(&found.path) {
            return Err(io::Error::other(format!(
                "it is in a kernel file system ({kind}), which cannot replace another folder"
            )));
        }
        let granted = GrantedFolder {
            path: std::path::absolute(path)?,
            id: found.id.clone(),
            is_writable,
            holder,
        };
        Ok((found, self.add(granted)))
    }

    /// The folders that contain those of clients.
    fn of_clients(&self) -> Vec<Arc<GrantedFolder>> {
        let granted = self.granted();
        let granted = granted.iter().filter_map(KnownFolder::get);
        granted
            .filter(|it| it.holder == FolderHolder::Nobody)
            .collect()
    }

    fn add(&self, new: GrantedFolder) -> Arc<GrantedFolder> {
        let mut known = locks::write(&self.granted);
        known.retain(|it| it.get().is_some());
        let same = known.iter().filter_map(KnownFolder::get).find(|it| {
            it.id == new.id && it.holder == new.holder && it.is_writable >= new.is_writable
        });
        if let Some(same) = same {
            return same;
        }
        let new = Arc::new(new);
        known.push(match new.holder {
            // No link is followed there anyway, because of the folder that contains it.
            FolderHolder::Client => KnownFolder::WhileUsed(Arc::downgrade(&new)),
            FolderHolder::Everyone | FolderHolder::Nobody => KnownFolder::Kept(new.clone()),
        });
        drop(known);
        let files: Vec<HostFile> = locks::read(&self.files).clone();
        for file in &files {
            let _ = self.protect_known(file);
        }
        // Guests must not move a granted folder away from its name, whichever of two nested ones
        // was granted first.
        let _ = self.protect_known(&HostFile::new(&new.path, Purpose::Folder));
        for inner in self.all().iter().filter(|it| new.id.holds(&it.id)) {
            let _ = self.protect_known(&HostFile::new(&inner.path, Purpose::Folder));
        }
        new
    }

    /// Creates a client's folder, private to this user, with missing folders on the path to it
    /// below `base`.
    ///
    /// # Errors
    ///
    /// `base` does not exist, something else is in its place, or it cannot be written.
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

    /// Checks that something may be opened by its name: no link on the path can have been made by a
    /// guest, and since the path is protected from now on, none will be. A missing file passes.
    ///
    /// # Errors
    ///
    /// There is such a link.
    pub fn check_way(&self, file: &HostFile) -> io::Result<()> {
        // Twice: before it was protected, a guest could have changed it between the look and the
        // protection.
        for _ in 0..2 {
            if let Err(error) = self.protect(file)
                && error.kind() == io::ErrorKind::Other
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Checks that a file opened by its name is what the path leads to without following guests'
    /// links.
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

    /// Protects a file or folder of the host from guests, if it lies in their folders.
    ///
    /// # Errors
    ///
    /// It cannot be found, which is reported by whoever needs it.
    pub(crate) fn protect(&self, file: &HostFile) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut files = locks::write(&self.files);
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
            // Share one descriptor between all that are found from the same folder.
            if let Some(same) = known.iter().find(|known| known.root.0 == new.root.0) {
                new.root.1 = same.root.1.clone();
            }
            self.keep(Arc::new(new));
        }
        Ok(())
    }

    /// Protects this host's files from the guests of the host before as well.
    pub(crate) fn extend(&self, before: &Paths) {
        for protected in self.protected() {
            before.keep(protected);
        }
    }

    fn keep(&self, new: Arc<Protected>) {
        self.held.now(&new);
        let mut known = locks::write(&self.protected);
        if !known.iter().any(|known| known.is_same(&new)) {
            known.push(new);
        }
    }

    fn protected(&self) -> Vec<Arc<Protected>> {
        locks::read(&self.protected).clone()
    }

    /// The guard for guests with these folders; `None` if nothing has to be guarded.
    pub(crate) fn guard(&self, folders: &[GuestFolder<'_>], kernel: &[u64]) -> Option<Guard> {
        let protected = locks::read(&self.protected);
        Guard::new(&protected, &self.held, folders, kernel)
    }

    /// The id of the folder that was granted by this path, at load or since.
    pub(crate) fn granted_id(&self, path: &Path) -> Option<FolderId> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let granted = self.granted();
        // The last entry of a path is its present state.
        let mut granted = granted.iter().rev().filter_map(KnownFolder::get);
        let found = granted.find(|granted| granted.path == path)?;
        Some(found.id.clone())
    }

    /// The devices of kernel file systems below a folder.
    fn kernel_below(&self, folder: &Path, held: &File) -> Vec<u64> {
        let mut devices: Vec<u64> = self.mounts().of_kernel_below(folder).collect();
        // Where the system does not tell its mounts.
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

/// In a folder that was replaced, links could lead elsewhere.
fn replaced() -> io::Error {
    io::Error::other(
        "the parent of the client folders was replaced since it was loaded: reload or restart",
    )
}

/// The type of the kernel file system that a folder is in, if it is in one.
pub(crate) fn kernel_type(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = Mounts::read();
    mounts.kernel_type(&folder).map(str::to_owned)
}
