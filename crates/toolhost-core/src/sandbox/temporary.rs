//! Temporary files of whole writes: a guest writes a new file beside the one it replaces, and renames it. See
//! docs/adr/0014.
//!
//! WASI has no modes, owners or locks. So the host gives a file that is created exclusively under a name of
//! [`is_name`] what it needs: nobody else may read it, it is locked while the call lives, and at the end it takes mode,
//! ACL and owner of the file it replaces. All of that is done to files that the call itself made, and to no others.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;

/// Names are this and 32 hexadecimal digits.
const PREFIX: &str = ".toolhost-";

/// A call writes one at a time. Each holds a descriptor of the host's.
const MAX_TEMPORARIES: usize = 16;

/// What has the rights of a mode, without setuid, setgid and sticky: those are never given to what a guest wrote.
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

/// The temporary files that a call has made and not yet renamed.
#[derive(Default)]
pub(super) struct Temporaries(Vec<Temporary>);

/// It is locked for as long as this or the guest's descriptor lives, by whatever either ends.
#[derive(Clone)]
pub(super) struct Temporary {
    name: String,
    #[cfg_attr(not(unix), expect(dead_code, reason = "it is held for its lock"))]
    file: Arc<File>,
    /// What it would have been created with.
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

    /// The one at the path, if this call made it.
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
    /// Locks a file that was just created, and takes it from everybody else.
    ///
    /// # Errors
    ///
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy): someone who cleans up was faster than the lock.
    pub(super) fn claim(path: &str, file: Arc<File>) -> io::Result<Temporary> {
        match file.try_lock() {
            // Without locks nothing is cleaned up either.
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

    /// Makes it what takes the place of `replaced`, or a new file.
    #[cfg(unix)]
    pub(super) fn finish(&self, replaced: Option<&File>) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, fchown};
        let Some(replaced) = replaced else {
            return set_mode(&self.file, self.mode);
        };
        let (theirs, ours) = (replaced.metadata()?, self.file.metadata()?);
        let mut mode = theirs.mode() & RIGHTS;
        // Only root may give files away, and a member a file to the group.
        let group = Some(theirs.gid());
        let is_same = (ours.uid(), ours.gid()) == (theirs.uid(), theirs.gid());
        let kept = is_same
            || fchown(&self.file, Some(theirs.uid()), group).is_ok()
            || fchown(&self.file, None, group).is_ok();
        // Another group, or one without its ACL, gets no more than everybody.
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

/// Whether the file belongs to no call that lives: it is locked then, until the file is closed.
pub(super) fn is_abandoned(file: &File) -> bool {
    file.try_lock().is_ok()
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// Gives the file the access control list of another, or none if that has none. Whether they are the same now.
#[cfg(target_os = "linux")]
fn keep_acl(file: &File, of: &File) -> bool {
    use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
    use rustix::io::Errno;
    const ACL: &str = "system.posix_acl_access";
    // The most that Linux lets an attribute have.
    let mut acl = vec![0; 64 << 10];
    match fgetxattr(of, ACL, &mut acl[..]) {
        Ok(length) => fsetxattr(file, ACL, &acl[..length], XattrFlags::empty()).is_ok(),
        // It may have inherited one of its folder.
        Err(Errno::NODATA) => matches!(fremovexattr(file, ACL), Ok(()) | Err(Errno::NODATA)),
        Err(Errno::OPNOTSUPP) => true,
        Err(_) => false,
    }
}

/// Elsewhere they are not modes, and not looked at.
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
