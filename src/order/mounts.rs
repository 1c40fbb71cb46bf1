//! Where a folder lies in its file systems: a mount shows one folder under several paths, which no look at
//! the folders above it tells.

use std::path::{Path, PathBuf};

/// A folder of a file system: the device, and the path from the root of that file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Area {
    device: String,
    path: PathBuf,
}

impl Area {
    /// Whether one lies in the other, or they are the same.
    pub(super) fn overlaps(&self, other: &Area) -> bool {
        self.device == other.device
            && (self.path.starts_with(&other.path) || other.path.starts_with(&self.path))
    }
}

/// Where a folder, by its canonical path, and all that is mounted below it lie; nothing where the system does
/// not say.
pub(super) fn areas(folder: &Path) -> Vec<Area> {
    #[cfg(target_os = "linux")]
    if let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") {
        return areas_by(folder, &mounts);
    }
    let _ = folder;
    Vec::new()
}

/// A line of `mountinfo`, see proc_pid_mountinfo(5): id, parent, device, root, mount point, and more.
#[cfg(any(target_os = "linux", test))]
struct Mount {
    device: String,
    root: PathBuf,
    point: PathBuf,
}

#[cfg(any(target_os = "linux", test))]
fn areas_by(folder: &Path, mountinfo: &str) -> Vec<Area> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(mount).collect();
    let around = mounts
        .iter()
        .filter(|mount| folder.starts_with(&mount.point));
    // Of several at one point, the last is seen.
    let own = around.enumerate().max_by_key(|(number, mount)| {
        let depth = mount.point.components().count();
        (depth, *number)
    });
    let own = own.and_then(|(_, mount)| {
        let within = folder.strip_prefix(&mount.point).ok()?;
        Some(area(mount, within))
    });
    let below = mounts
        .iter()
        .filter(|mount| mount.point.starts_with(folder) && mount.point != folder)
        .map(|mount| area(mount, Path::new("")));
    own.into_iter().chain(below).collect()
}

#[cfg(any(target_os = "linux", test))]
fn area(mount: &Mount, within: &Path) -> Area {
    Area {
        device: mount.device.clone(),
        path: mount.root.join(within),
    }
}

#[cfg(any(target_os = "linux", test))]
fn mount(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ').skip(2);
    let device = fields.next()?.to_owned();
    let mut path = || Some(PathBuf::from(unescaped(fields.next()?)));
    Some(Mount {
        device,
        root: path()?,
        point: path()?,
    })
}

/// Blanks and the like are there as `\040`: three octal digits.
#[cfg(any(target_os = "linux", test))]
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped.filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:25 / /proc rw - proc proc rw
40 22 254:0 /home/a/work /mnt/the\\040work rw - ext4 /dev/vda rw
41 22 254:16 / /home/a/work/data rw - ext4 /dev/vdb rw
42 22 254:16 /sub /mnt/sub rw - ext4 /dev/vdb rw
";

    fn overlap(one: &str, other: &str) -> bool {
        let of = |path: &str| areas_by(Path::new(path), MOUNTS);
        of(one)
            .iter()
            .any(|area| of(other).iter().any(|it| it.overlaps(area)))
    }

    #[test]
    fn a_folder_is_the_same_through_a_mount() {
        assert!(overlap("/home/a/work", "/mnt/the work"));
        assert!(overlap("/home/a/work/src", "/mnt/the work"));
        assert!(overlap("/home/a/work", "/mnt/the work/src"));
        assert!(overlap("/home/a", "/mnt/the work"));
        // What is mounted below a folder is in it.
        assert!(overlap("/home/a/work", "/mnt/sub"));
        assert!(overlap("/home/a/work/data/sub/x", "/mnt/sub"));
        assert!(!overlap("/home/a/other", "/mnt/the work"));
        assert!(!overlap("/home/a/work/data/other", "/mnt/sub"));
        assert!(!overlap("/home/a/workshop", "/mnt/the work"));
    }
}
