//! Temporary files of atomic writes: a guest writes a new file beside the one it replaces, and
//! renames it. See docs/adr/0014.
//!
//! WASI has no modes, owners or locks. So for a file created exclusively under a name of
//! [`is_name`] the host does the rest:
//!
//! | state | the file | next |
//! | --- | --- | --- |
//! | claimed ([`Temporary::claim`]) | private to its user (mode 600), locked while the call lives | renamed or removed by the guest, or the call ends |
//! | renamed ([`Temporary::finish`]) | has mode, ACL and owner of the file it replaces, then its name | |
//! | abandoned ([`is_abandoned`]) | not locked: its call has ended without renaming it | any call may remove it |
//!
//! All of that is done only to files that the call itself created. A clean-up that finds a file
//! between its creation and its lock makes `claim` fail.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;

/// The prefix of such names; 32 hexadecimal digits follow.
const PREFIX: &str = ".toolhost-";

/// A call writes one file at a time. Each holds a descriptor of the host.
const MAX_TEMPORARIES: usize = 16;

/// The permission bits, without setuid, setgid and sticky, which a guest's file never gets.
#[cfg(unix)]
const RIGHTS: u32 = 0o777;

/// Whether the path leads to a temporary file, by its name.
pub(super) fn is_name(path: &str) -> bool {
    name(path).is_some()
}

fn name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let digits = name.strip_prefix(PREFIX)?;
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (digits.len() == 32 && digits.bytes().all(is_digit)).then_some(name)
}

/// The temporary files that a call has created and not yet renamed.
#[derive(Default)]
pub(super) struct Temporaries(Vec<Temporary>);

/// A temporary file. It stays locked while this or the guest's descriptor is open.
#[derive(Clone)]
pub(super) struct Temporary {
    name: String,
    #[cfg_attr(not(unix), expect(dead_code, reason = "it is held for its lock"))]
    file: Arc<File>,
    /// The mode it would have been created with.
    #[cfg(unix)]
    mode: u32,
}

impl Temporaries {
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_TEMPORARIES
    }

    pub(super) fn add(&mut self, temporary: Temporary) {
        self.0.push(temporary);
    }

    /// The temporary file at the path, if this call created it.
    pub(super) fn find(&self, path: &str) -> Option<&Temporary> {
        let name = name(path)?;
        self.0.iter().find(|temporary| temporary.name == name)
    }

    pub(super) fn remove(&mut self, path: &str) {
        if let Some(name) = name(path) {
            self.0.retain(|temporary| temporary.name != name);
        }
    }
}

impl Temporary {
    /// Locks a file that was just created, and makes it private.
    ///
    /// # Errors
    ///
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy): a clean-up came before the lock.
    pub(super) fn claim(path: &str, file: Arc<File>) -> io::Result<Temporary> {
        match file.try_lock() {
            // Without locks there is no clean-up either.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
        }
        #[cfg(unix)]
        let mode = {
            use std::os::unix::fs::MetadataExt;
            let metadata = file.metadata()?;
            if metadata.nlink() == 0 {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            set_mode(&file, 0o600)?;
            metadata.mode() & RIGHTS
        };
        Ok(Temporary {
            name: name(path).unwrap_or_default().to_owned(),
            file,
            #[cfg(unix)]
            mode,
        })
    }

    /// Gives it the mode, ACL and owner of the file it replaces, or those of a new file.
    #[cfg(unix)]
    pub(super) fn finish(&self, replaced: Option<&File>) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, fchown};
        let Some(replaced) = replaced else {
            return set_mode(&self.file, self.mode);
        };
        let (theirs, ours) = (replaced.metadata()?, self.file.metadata()?);
        let mut mode = theirs.mode() & RIGHTS;
        // Only root may change the owner, and only members the group.
        let group = Some(theirs.gid());
        let is_same = (ours.uid(), ours.gid()) == (theirs.uid(), theirs.gid());
        let kept = is_same
            || fchown(&self.file, Some(theirs.uid()), group).is_ok()
            || fchown(&self.file, None, group).is_ok();
        // With another group, or without its ACL, the group gets no more than others.
        if !kept || !keep_acl(&self.file, replaced) {
            mode &= 0o707 | (mode & 0o007) << 3;
        }
        set_mode(&self.file, mode)
    }

    #[cfg(not(unix))]
    pub(super) fn finish(&self, _replaced: Option<&File>) -> io::Result<()> {
        Ok(())
    }
}

/// Whether no running call owns the file: it is locked until it is closed otherwise.
pub(super) fn is_abandoned(file: &File) -> bool {
    file.try_lock().is_ok()
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// Copies the access control list of another file, or removes it if that has none. Returns whether
/// both are the same now.
#[cfg(target_os = "linux")]
fn keep_acl(file: &File, of: &File) -> bool {
    use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
    use rustix::io::Errno;
    const ACL: &str = "system.posix_acl_access";
    // Linux's upper bound for an attribute.
    let mut acl = vec![0; 64 << 10];
    match fgetxattr(of, ACL, &mut acl[..]) {
        Ok(length) => fsetxattr(file, ACL, &acl[..length], XattrFlags::empty()).is_ok(),
        // It may have inherited one from its folder.
        Err(Errno::NODATA) => matches!(fremovexattr(file, ACL), Ok(()) | Err(Errno::NODATA)),
        Err(Errno::OPNOTSUPP) => true,
        Err(_) => false,
    }
}

/// Elsewhere access control lists are not extended modes, and are ignored.
#[cfg(all(unix, not(target_os = "linux")))]
fn keep_acl(_file: &File, _of: &File) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_of_temporaries_are_nobody_elses() {
        let digits = "0123456789abcdef0123456789abcdef";
        assert!(is_name(&format!(".toolhost-{digits}")));
        assert!(is_name(&format!("a/.toolhost-tmp/.toolhost-{digits}")));
        for other in [
            String::new(),
            ".toolhost-".into(),
            ".toolhost-tmp".into(),
            format!(".toolhost-{digits}/"),
            format!(".toolhost-{digits}0"),
            format!(".toolhost-{}", digits.to_uppercase()),
            format!("toolhost-{digits}"),
            format!(".toolhost-{digits}/note.txt"),
        ] {
            assert!(!is_name(&other), "{other}");
        }
    }
}
