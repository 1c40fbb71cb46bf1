//! What was granted, and where a model's paths lead in it.

use crate::whole;
use std::io;
use toolhost_plugin::Error;

/// The granted folders, as the guest sees them.
pub struct Roots(Vec<String>);

impl Roots {
    /// The folders that the host has opened for this instance.
    ///
    /// # Errors
    ///
    /// None is granted.
    pub fn granted() -> Result<Self, Error> {
        #[cfg(target_arch = "wasm32")]
        let names = wasip2::filesystem::preopens::get_directories()
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        #[cfg(not(target_arch = "wasm32"))]
        let names = vec!["/".to_owned()];
        Self::new(names)
    }

    fn new(names: Vec<String>) -> Result<Self, Error> {
        if names.is_empty() {
            return Err(Error::denied(
                "no folder is granted to this plugin, so it cannot access any file",
            ));
        }
        Ok(Self(names))
    }

    /// Their paths.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Where a path leads: `.` and `..` are followed, and a relative path begins at the sole root.
    ///
    /// # Errors
    ///
    /// The path is outside of the granted folders, or could be in several.
    pub fn resolve(&self, path: &str) -> Result<String, Error> {
        if path.contains('\0') {
            return Err(Error::invalid_arguments("path contains a NUL character"));
        }
        let absolute = if path.starts_with('/') {
            path.to_owned()
        } else {
            match self.0.as_slice() {
                [root] => format!("{root}/{path}"),
                // "notes/a.txt" where "/notes" is granted: only the slash is missing.
                _ if self.covers(&normalize(path)) => path.to_owned(),
                _ => {
                    return Err(Error::invalid_arguments(format!(
                        "{path:?} is relative, but several folders are granted: start it with one of {}",
                        self.list()
                    )));
                }
            }
        };
        let parts = normalize(&absolute);
        if !self.covers(&parts) {
            return Err(Error::denied(format!(
                "{path:?} is outside of the granted folders: {}",
                self.list()
            )));
        }
        if parts.contains(&whole::FOLDER) {
            return Err(Error::failed(format!(
                "{path:?} is in a folder of temporary files, which is not for reading or writing"
            )));
        }
        // A root that was granted as "notes" is opened as "notes", one that was granted as "/notes" as either.
        let slash = if self.0.iter().any(|root| root.starts_with('/')) {
            "/"
        } else {
            ""
        };
        Ok(if parts.is_empty() && slash.is_empty() {
            ".".to_owned()
        } else {
            format!("{slash}{}", parts.join("/"))
        })
    }

    fn covers(&self, parts: &[&str]) -> bool {
        self.0
            .iter()
            .any(|root| parts.starts_with(&normalize(root)))
    }

    fn list(&self) -> String {
        self.0
            .iter()
            .map(|root| format!("{root:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The path's parts; `..` at the top stays there, as in every shell.
fn normalize(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

/// What a failure with a file means: some are the manifest's to change, the others the file's own.
#[must_use]
pub fn io_error(action: &str, path: &str, error: &io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied if error.raw_os_error() == Some(EACCES) => {
            "the operating system does not permit it"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            return Error::denied(format!(
                "cannot {action} {path}: not permitted by the grant"
            ));
        }
        io::ErrorKind::NotFound => "no such file or folder",
        io::ErrorKind::IsADirectory => "it is a folder",
        io::ErrorKind::NotADirectory => "part of the path is not a folder",
        io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => {
            "it cannot be replaced: it is a mount point, or in use"
        }
        io::ErrorKind::QuotaExceeded => OVER_QUOTA,
        _ if error.raw_os_error() == Some(EDQUOT) => OVER_QUOTA,
        _ => return Error::failed(format!("cannot {action} {path}: {error}")),
    };
    Error::failed(format!("cannot {action} {path}: {why}"))
}

/// As WASI's libc has it. It is of the operating system, and `EPERM` of the sandbox.
const EACCES: i32 = 2;

/// As WASI's libc has it, for which not every version of the standard library has a kind.
const EDQUOT: i32 = 19;

const OVER_QUOTA: &str = "its folder would exceed its quota: remove something first, or write less";

#[cfg(test)]
mod tests {
    use super::Roots;
    use toolhost_plugin::ErrorKind;

    fn resolve(roots: &[&str], path: &str) -> Result<String, ErrorKind> {
        let roots = Roots::new(roots.iter().map(|&root| root.to_owned()).collect());
        roots.unwrap().resolve(path).map_err(|error| error.kind())
    }

    #[test]
    fn paths_stay_under_the_roots() {
        assert_eq!(
            resolve(&["/notes"], "a/./b.txt").as_deref(),
            Ok("/notes/a/b.txt")
        );
        assert_eq!(
            resolve(&["/notes"], "/notes/a/../b").as_deref(),
            Ok("/notes/b")
        );
        assert_eq!(resolve(&["/notes"], "").as_deref(), Ok("/notes"));
        assert_eq!(
            resolve(&["/notes", "/work"], "work/x").as_deref(),
            Ok("/work/x")
        );
        assert_eq!(resolve(&["/"], "etc/passwd").as_deref(), Ok("/etc/passwd"));
        assert_eq!(resolve(&["."], "a").as_deref(), Ok("a"));
        assert_eq!(
            resolve(&["/notes", "/work"], "x"),
            Err(ErrorKind::InvalidArguments)
        );
        for outside in [
            "/",
            "/etc/passwd",
            "../x",
            "/notes/../../etc",
            "/notesx",
            "/notes/..",
        ] {
            assert_eq!(
                resolve(&["/notes"], outside),
                Err(ErrorKind::Denied),
                "{outside}"
            );
        }
        for temporary in [
            "/notes/.toolhost-tmp",
            ".toolhost-tmp/x",
            "a/.toolhost-tmp/",
        ] {
            assert_eq!(
                resolve(&["/notes"], temporary),
                Err(ErrorKind::Failed),
                "{temporary}"
            );
        }
        assert!(Roots::new(Vec::new()).is_err());
    }
}
