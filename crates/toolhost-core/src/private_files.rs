//! Whether trusted folders and files are private: writable by this user and the system's users
//! only.

use std::path::Path;

/// # Errors
///
/// Who else can change what is in the folder, which may not exist yet: its owner, the owner of one
/// above it or in it, or those with write access there.
pub fn check_folder(folder: &Path) -> Result<(), String> {
    system::check_folder(folder)
}

/// # Errors
///
/// Who else can change an open file.
pub fn check_file(file: &std::fs::File, path: &Path) -> Result<(), String> {
    system::check_file(file, path)
}

/// Access control lists are not read. On Windows the folders of a user's profile have one that
/// excludes other users; anything elsewhere is not trusted.
#[cfg(not(unix))]
mod system {
    use std::path::Path;

    pub(super) fn check_folder(folder: &Path) -> Result<(), String> {
        let there = folder.ancestors().find_map(|it| it.canonicalize().ok());
        let is_own = |variable| {
            let profile = std::env::var_os(variable);
            let profile = profile.and_then(|profile| Path::new(&profile).canonicalize().ok());
            let both = there.as_ref().zip(profile);
            both.is_some_and(|(folder, profile)| folder.starts_with(profile))
        };
        match is_own("LOCALAPPDATA") || is_own("APPDATA") {
            true => Ok(()),
            false => Err(format!(
                "`{}` is outside this user's profile, and this system does not tell who else can write there",
                folder.display()
            )),
        }
    }

    pub(super) fn check_file(_: &std::fs::File, path: &Path) -> Result<(), String> {
        check_folder(path)
    }
}

#[cfg(unix)]
mod system {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    /// How deep nested folders are checked.
    const DEPTH: usize = 2;

    pub(super) fn check_folder(folder: &Path) -> Result<(), String> {
        // Check both the path as written, since whoever may write a folder on it decides where a
        // link leads, and the path that it leads to.
        let real = real(folder);
        for path in [folder, &real] {
            for above in path.ancestors().skip(1) {
                if let Ok(metadata) = above.symlink_metadata() {
                    check(above, &metadata, true)?;
                }
            }
            if let Ok(metadata) = path.symlink_metadata() {
                check(path, &metadata, false)?;
            }
        }
        check_within(&real, DEPTH)
    }

    pub(super) fn check_file(file: &std::fs::File, path: &Path) -> Result<(), String> {
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => check(path, &metadata, false),
            _ => Ok(()),
        }
    }

    /// The folder without links; where it would be if it does not exist.
    fn real(folder: &Path) -> PathBuf {
        let there = folder.ancestors().find_map(|above| {
            let real = above.canonicalize().ok()?;
            Some(real.join(folder.strip_prefix(above).ok()?))
        });
        there.unwrap_or_else(|| folder.to_owned())
    }

    fn check_within(folder: &Path, depth: usize) -> Result<(), String> {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| !kind.is_file());
            if is_folder && let Ok(metadata) = entry.metadata() {
                check(&entry.path(), &metadata, false)?;
                if depth > 1 && metadata.is_dir() {
                    check_within(&entry.path(), depth - 1)?;
                }
            }
        }
        Ok(())
    }

    /// In a folder above with the sticky bit, others may write but not replace what is not theirs.
    fn check(path: &Path, metadata: &Metadata, is_above: bool) -> Result<(), String> {
        let (own, owner, mode) = (
            rustix::process::geteuid().as_raw(),
            metadata.uid(),
            metadata.mode(),
        );
        let path = path.display();
        if owner != own && owner != 0 {
            return Err(format!("`{path}` belongs to another user (uid {owner})"));
        }
        let is_sticky = is_above && mode & 0o1000 != 0;
        if metadata.is_symlink() || is_sticky {
            return Ok(());
        }
        // A user's private group has the user's number and no other member.
        let by_group = mode & 0o020 != 0 && metadata.gid() != own && metadata.gid() != 0;
        if by_group || mode & 0o002 != 0 {
            return Err(format!("others can write to `{path}`"));
        }
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use std::fs::{Permissions, create_dir_all, set_permissions};
        use std::os::unix::fs::{PermissionsExt, symlink};

        use super::*;

        fn mode(path: &Path, mode: u32) {
            set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }

        #[test]
        fn trusted_folder_is_writable_by_nobody_else_on_its_path() {
            let own = tempfile::tempdir().unwrap();
            let open = own.path().join("open");
            let cache = open.join("cache");
            create_dir_all(cache.join("modules")).unwrap();
            for path in [&open, &cache, &cache.join("modules")] {
                mode(path, 0o755);
            }
            assert_eq!(check_folder(&cache), Ok(()));
            assert_eq!(check_folder(&cache.join("not/there/yet")), Ok(()));
            for (path, others) in [
                (&open, 0o777),
                (&cache, 0o777),
                (&cache, 0o1777),
                (&cache.join("modules"), 0o757),
            ] {
                mode(path, others);
                let error = check_folder(&cache).unwrap_err();
                assert!(error.contains("others can write to"), "{error}");
                assert!(error.contains(&*path.to_string_lossy()), "{error}");
                mode(path, 0o755);
            }
            // As /tmp has.
            mode(&open, 0o1777);
            assert_eq!(check_folder(&cache), Ok(()));
            // Whoever may write where the link is can redirect it.
            let links = own.path().join("links");
            create_dir_all(&links).unwrap();
            symlink(&cache, links.join("cache")).unwrap();
            assert_eq!(check_folder(&links.join("cache")), Ok(()));
            mode(&links, 0o777);
            assert!(check_folder(&links.join("cache")).is_err());
        }
    }
}
