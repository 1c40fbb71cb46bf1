//! Folders of clients: `${client}` in the path of a file grant, and the folder that a client's name stands for.

use std::path::{Component, Path, PathBuf};

use super::FileGrant;
use crate::digest::sha256;

/// What stands for the client in the path of a grant.
pub(crate) const CLIENT: &str = "${client}";

/// Longer names of folders are made of a digest: file systems take 255 bytes.
const MOST_OF_A_NAME: usize = 200;

/// The path of a grant that every client has a folder of its own for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientFolders {
    /// The folder that those of the clients are in.
    pub(crate) base: PathBuf,
    /// What comes after the client's.
    rest: PathBuf,
}

impl ClientFolders {
    /// Of a path with `${client}` in it; `None` for any other.
    pub(super) fn parse(path: &Path) -> Option<ClientFolders> {
        let mut base = PathBuf::new();
        let mut components = path.components();
        for component in components.by_ref() {
            if has_client(component) {
                if base.as_os_str().is_empty() {
                    base.push(".");
                }
                return Some(ClientFolders {
                    base,
                    rest: components.as_path().to_owned(),
                });
            }
            base.push(component);
        }
        None
    }

    /// The folder of a client.
    ///
    /// # Errors
    ///
    /// As of [`folder_name`].
    pub(crate) fn folder(&self, client: &str) -> Result<PathBuf, String> {
        Ok(self.of(folder_name(client)?))
    }

    /// The folder of whoever has that name for it.
    pub(crate) fn of(&self, name: impl AsRef<Path>) -> PathBuf {
        let own = self.base.join(name);
        // What is joined with nothing gets a slash.
        match self.rest.as_os_str().is_empty() {
            true => own,
            false => own.join(&self.rest),
        }
    }

    /// Whether the folder of a client lies in that one of the same client, and is another.
    pub(crate) fn is_below(&self, other: &ClientFolders) -> bool {
        self.rest.starts_with(&other.rest) && self.rest != other.rest
    }
}

impl FileGrant {
    /// Whether it is a folder for all, with the folders in it that `other` has for each client: its plugin sees all of
    /// those, whoever calls.
    pub fn has_folders_of(&self, other: &FileGrant) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let clients = other.client_folders().filter(|_| !self.is_per_client());
        clients.is_some_and(|clients| real(&clients.base).starts_with(real(&self.host)))
    }

    /// Whether each client has a folder of its own: its `host` has `${client}` in it.
    pub fn is_per_client(&self) -> bool {
        self.client_folders().is_some()
    }

    pub(crate) fn client_folders(&self) -> Option<ClientFolders> {
        ClientFolders::parse(&self.host)
    }

    /// What is there before any client is: its folder, or the one that those of clients are in.
    pub(crate) fn root(&self) -> PathBuf {
        match self.client_folders() {
            Some(folders) => folders.base,
            None => self.host.clone(),
        }
    }

    /// What is wrong with how it names the folders of clients, and what to do.
    pub(crate) fn client_problem(&self) -> Option<(String, &'static str)> {
        let host = self.host.display();
        let Some(folders) = self.client_folders() else {
            return self.create.then(|| {
                let message = format!("`create` is only for client folders, and {host} is not one");
                (
                    message,
                    "create the folder, or use a path such as \"…/${client}\"",
                )
            });
        };
        let components: Vec<Component> = self.host.components().collect();
        let with_client = components.iter().filter(|it| has_client(**it));
        let whole = with_client
            .clone()
            .all(|it| it.as_os_str().to_str() == Some(CLIENT));
        let leads_up = folders
            .rest
            .components()
            .any(|it| it == Component::ParentDir);
        if whole && with_client.count() == 1 && !leads_up {
            return None;
        }
        let message = format!("{host} is not a path of client folders");
        Some((
            message,
            "`${client}` must be one whole component of the path, with no `..` after it, as in \
             \"users/${client}/notes\"",
        ))
    }
}

fn has_client(component: Component) -> bool {
    let name = component.as_os_str().to_string_lossy();
    matches!(component, Component::Normal(_)) && name.contains(CLIENT)
}

/// The name of a client's folder. Two clients never have the same, nor names that a file system takes for the same, and
/// none leads elsewhere: all but `a` to `z`, digits, `-`, `_` and a `.` that is neither first nor last is `%` and two
/// digits, and so is the first letter of what Windows takes for a device.
///
/// # Errors
///
/// The client has no name.
pub(crate) fn folder_name(client: &str) -> Result<String, String> {
    if client.is_empty() {
        return Err("the client's name is empty".to_owned());
    }
    let mut name = String::new();
    let (last, is_device) = (client.len() - 1, is_device(client));
    for (at, byte) in client.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' if at > 0 || !is_device => {
                name.push(byte.into());
            }
            // FAT and Windows take a name for another without the dots at its end.
            b'.' if at > 0 && at < last => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    // `%s` begins no escape.
    match name.len() > MOST_OF_A_NAME {
        true => Ok(format!("%sha256-{}", sha256(client))),
        false => Ok(name),
    }
}

/// Whether a name is a device's on Windows, in lower case: in upper case it is escaped in any case.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    let is_numbered = |kind: &str| {
        let number = stem.strip_prefix(kind);
        number.is_some_and(|it| it.len() == 1 && it.bytes().all(|byte| byte.is_ascii_digit()))
    };
    matches!(stem, "con" | "prn" | "aux" | "nul") || is_numbered("com") || is_numbered("lpt")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_of_a_client_leads_out_of_its_folder_or_into_anothers() {
        let long = "x".repeat(1000);
        let longer = "x".repeat(1001);
        let upper = long.to_uppercase();
        let names = [
            "alice",
            "Alice",
            "ALICE",
            "al ice",
            "alice ",
            "alice.",
            "alice..",
            "con",
            "con.txt",
            "lpt1",
            ".alice",
            "..",
            ".",
            "...",
            "/",
            "../bob",
            "a/b",
            "a\\b",
            "a\0b",
            "%2e",
            "%2E",
            "%",
            "%sha256-",
            ".git",
            ".GIT",
            "HEAD",
            "a:b",
            "a\u{200c}",
            "é",
            "e\u{301}",
            "É",
            "ı",
            "https://id.example#1",
            "https://id.example#01",
            &long,
            &longer,
            &upper,
        ];
        let mut seen = HashSet::new();
        for client in names {
            let name = folder_name(client).unwrap();
            let path = Path::new(&name);
            let parts: Vec<_> = path.components().collect();
            assert!(
                matches!(parts[..], [Component::Normal(_)])
                    && !name.starts_with('.')
                    && !name.ends_with('.')
                    && !is_device(&name)
                    && name.len() < 255,
                "{client:?}: {name}"
            );
            // Whatever a file system does about case, and about characters that look alike.
            assert!(name.is_ascii() && name == name.to_lowercase(), "{name}");
            assert!(seen.insert(name), "{client:?}");
        }
        assert_eq!(folder_name("ci-2_x.y").unwrap(), "ci-2_x.y");
        assert_eq!(
            folder_name("https://a.b#C").unwrap(),
            "https%3a%2f%2fa.b%23%43"
        );
        assert!(folder_name("").is_err());
    }

    #[test]
    fn a_client_is_one_whole_part_of_a_path() {
        let grant = |host: &str| FileGrant::new(host, "/x");
        let folders = grant("/a/users/${client}/notes").client_folders().unwrap();
        assert_eq!(folders.base, Path::new("/a/users"));
        let own = folders.folder("../Bob").unwrap();
        assert_eq!(own, Path::new("/a/users/%2e.%2f%42ob/notes"));
        for bad in [
            "/a/x-${client}",
            "/a/${client}/${client}",
            "/a/${client}/../b",
        ] {
            assert!(grant(bad).client_problem().is_some(), "{bad}");
        }
        for good in ["/a/${client}", "/a/${client}/b", "/a/b", "/a/${CLIENT}"] {
            assert_eq!(grant(good).client_problem(), None, "{good}");
        }
        let mut made = grant("/a/b");
        made.create = true;
        assert!(made.client_problem().is_some());
    }
}
