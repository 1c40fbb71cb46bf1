//! Grants that are wider than most plugins need.

use std::path::{Path, PathBuf};

use super::{Access, Permissions};

/// What only the system should have to do with.
const SYSTEM: [&str; 8] = [
    "/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/usr", "/var/lib",
];

impl Permissions {
    /// A sentence for each grant that somebody should look at twice; `own` are the files that decide
    /// what is granted, which no plugin should write: see
    /// [`Manifest::own_files`](crate::Manifest::own_files).
    pub fn warnings(&self, own: &[PathBuf]) -> Vec<String> {
        let mut warnings = Vec::new();
        let home = std::env::home_dir().map(|home| real(&home));
        for grant in &self.files {
            let host = real(&grant.host);
            let reach = if host.parent().is_none() {
                "every file of this machine"
            } else if home.as_ref().is_some_and(|home| home.starts_with(&host)) {
                "your whole home folder"
            } else if SYSTEM.iter().any(|folder| host.starts_with(folder)) {
                "a folder of the system"
            } else {
                continue;
            };
            let (guest, access) = (&grant.guest, grant.access);
            warnings.push(format!("files {guest} is {reach}, {access}"));
        }
        warnings.extend(self.own_files_within(own));
        warnings.extend(self.overlaps());
        for rule in &self.http {
            if rule.host().is_wide() {
                warnings.push(format!("http {rule} is every site of a top-level domain"));
            }
            if rule.is_plain() && !rule.is_literal() {
                warnings.push(format!(
                    "http {rule} is not encrypted: others can read and change it"
                ));
            }
        }
        for header in &self.http_headers {
            if header.host().is_wide() {
                warnings.push(format!(
                    "http-headers {header} goes to every site of a top-level domain"
                ));
            }
        }
        warnings
    }

    /// Files that a plugin could write to be granted more the next time.
    fn own_files_within(&self, own: &[PathBuf]) -> impl Iterator<Item = String> {
        let writable = |grant: &&super::FileGrant| grant.access == Access::ReadWrite;
        let grants = self.files.iter().filter(writable);
        grants.flat_map(move |grant| {
            let within = |file: &&PathBuf| real(file).starts_with(real(&grant.host));
            own.iter().filter(within).map(|file| {
                let (guest, file) = (&grant.guest, file.display());
                format!("files {guest} has {file} in it: who writes that decides what is granted")
            })
        })
    }

    /// Folders that are read-only under one name and can be written under another.
    fn overlaps(&self) -> impl Iterator<Item = String> {
        let of = |access| {
            self.files
                .iter()
                .filter(move |grant| grant.access == access)
        };
        of(Access::ReadOnly).flat_map(move |inner| {
            let within =
                move |outer: &&super::FileGrant| real(&inner.host).starts_with(real(&outer.host));
            of(Access::ReadWrite).filter(within).map(move |outer| {
                format!(
                    "files {} is read-only, but can be written as a part of {}",
                    inner.guest, outer.guest
                )
            })
        })
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
