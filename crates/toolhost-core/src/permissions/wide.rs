//! Grants that are wider than most plugins need.

use std::path::{Path, PathBuf};

use super::{Access, HostFile, Permissions, Purpose};
use crate::paths::kernel_type;

/// What only the system should have to do with.
const SYSTEM: [&str; 8] = [
    "/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/usr", "/var/lib",
];

impl Permissions {
    /// A sentence for each grant that somebody should look at twice; `own` are the files of the host: see
    /// [`Manifest::host_files`](crate::Manifest::host_files).
    #[doc(hidden)]
    pub fn warnings(&self, own: &[HostFile]) -> Vec<String> {
        let mut warnings = Vec::new();
        let home = std::env::home_dir().map(|home| real(&home));
        for grant in &self.files {
            let host = real(&grant.root());
            let (guest, access) = (&grant.guest, grant.access);
            if let Some(kind) = kernel_type(&grant.root()) {
                warnings.push(format!(
                    "files {guest} is a kernel file system ({kind}), which exposes processes, devices and \
                     possibly keys, {access}"
                ));
                continue;
            }
            let reach = if host.parent().is_none() {
                "every file on this machine"
            } else if home.as_ref().is_some_and(|home| home.starts_with(&host)) {
                "your whole home folder"
            } else if SYSTEM.iter().any(|folder| host.starts_with(folder)) {
                "a system folder"
            } else {
                continue;
            };
            warnings.push(format!("files {guest} is {reach}, {access}"));
        }
        warnings.extend(self.within(own));
        warnings.extend(self.overlaps());
        for rule in &self.http {
            if rule.host().is_wide() {
                warnings.push(format!("http {rule} is every site of a top-level domain"));
            }
            if rule.is_plain() && !rule.is_literal() {
                warnings.push(format!(
                    "http {rule} is not encrypted: others can read and change the traffic"
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

    /// Files of the host in folders that can be written, and what keeps a plugin from them.
    fn within(&self, own: &[HostFile]) -> Vec<String> {
        let mut found = Vec::new();
        for grant in self
            .files
            .iter()
            .filter(|it| it.access == Access::ReadWrite)
        {
            let folder = real(&grant.root());
            for file in own {
                let Ok(path) = file.path.canonicalize() else {
                    continue;
                };
                // Of this plugin's own it is said below.
                let is_own = || self.files.iter().any(|own| real(&own.root()) == path);
                if !path.starts_with(&folder) || (file.purpose == Purpose::Folder && is_own()) {
                    continue;
                }
                let (guest, shown, purpose) = (&grant.guest, file.path.display(), file.purpose);
                let what = match path == folder {
                    true => format!("is {purpose}"),
                    false => format!("contains {shown}, {purpose}"),
                };
                let warning = format!("files {guest} {what}: {}", protection(purpose));
                if !found.contains(&warning) {
                    found.push(warning);
                }
            }
        }
        found
    }

    /// Folders that are read-only under one name and can be written under another.
    fn overlaps(&self) -> impl Iterator<Item = String> {
        let of = |access| {
            self.files
                .iter()
                .filter(move |grant| grant.access == access)
        };
        of(Access::ReadOnly).flat_map(move |inner| {
            let within = move |outer: &&super::FileGrant| {
                real(&inner.root()).starts_with(real(&outer.root()))
            };
            of(Access::ReadWrite).filter(within).map(move |outer| {
                format!(
                    "files {} is read-only, but writable as a part of {}",
                    inner.guest, outer.guest
                )
            })
        })
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// What a plugin can do to it that may write around it.
fn protection(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Folder => "the plugin can change what is in it",
        Purpose::WorkingFolder => "the plugin can change what the server finds there and may run",
        Purpose::PluginDir => "no plugin can add, change or remove one",
        purpose if purpose.is_secret() => "no plugin can read or change it",
        _ => "no plugin can change it while toolhost runs",
    }
}
