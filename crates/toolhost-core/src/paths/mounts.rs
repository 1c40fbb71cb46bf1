//! Where folders lie in their file systems: a mount shows one folder under several paths, which the
//! folders' ancestors do not tell.

use std::path::{Path, PathBuf};

/// A device, and a path from the root of its file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    device: String,
    path: PathBuf,
}

impl Area {
    /// Whether one contains the other, or they are the same.
    pub(super) fn overlaps(&self, other: &Area) -> bool {
        self.holds(other) || other.holds(self)
    }

    /// Whether it contains the other, or is the same.
    pub(super) fn holds(&self, other: &Area) -> bool {
        self.device == other.device && other.path.starts_with(&self.path)
    }
}

/// The mount table as of when it was read; empty if the system has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mounts(Vec<Mount>);

/// A line of `mountinfo`, see proc_pid_mountinfo(5): id, parent, device, root, mount point,
/// options, some fields, a dash, type, and more.
#[derive(Clone, Debug)]
struct Mount {
    device: String,
    root: PathBuf,
    point: PathBuf,
    kind: String,
}

/// File systems that expose the kernel: processes, devices and settings.
const OF_KERNEL: [&str; 24] = [
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "functionfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tracefs",
];

/// Where they are usually mounted. What is mounted over them, in a container for instance, counts
/// as well.
pub(crate) const KERNEL_FOLDERS: [&str; 3] = ["/dev", "/proc", "/sys"];

impl Mounts {
    pub(crate) fn read() -> Mounts {
        #[cfg(target_os = "linux")]
        if let Ok(text) = std::fs::read_to_string("/proc/self/mountinfo") {
            return Mounts::parse(&text);
        }
        Mounts::default()
    }

    #[cfg(any(target_os = "linux", test))]
    fn parse(mountinfo: &str) -> Mounts {
        Mounts(mountinfo.lines().filter_map(mount).collect())
    }

    /// The areas of a folder, by its canonical path, and of everything mounted below it.
    pub(super) fn areas(&self, folder: &Path) -> Vec<Area> {
        let below = self.below(folder).map(|mount| area(mount, Path::new("")));
        self.area(folder).into_iter().chain(below).collect()
    }

    /// The area of a folder, by its canonical path.
    pub(super) fn area(&self, folder: &Path) -> Option<Area> {
        let mount = self.own(folder)?;
        Some(area(mount, folder.strip_prefix(&mount.point).ok()?))
    }

    /// The mount that a folder, by its canonical path, is in.
    fn own(&self, folder: &Path) -> Option<&Mount> {
        let around = self.0.iter().enumerate();
        let around = around.filter(|(_, mount)| folder.starts_with(&mount.point));
        // Of several at one mount point, the last is visible.
        let own = around.max_by_key(|(number, mount)| {
            let depth = mount.point.components().count();
            (depth, *number)
        });
        own.map(|(_, mount)| mount)
    }

    /// Whether something is mounted at exactly this path.
    #[cfg(unix)]
    pub(super) fn is_point(&self, folder: &Path) -> bool {
        self.0.iter().any(|mount| mount.point == folder)
    }

    /// The devices of kernel file systems mounted below a folder, by its canonical path.
    pub(super) fn of_kernel_below(&self, folder: &Path) -> impl Iterator<Item = u64> {
        let of_kernel = self.below(folder).filter(|mount| mount.is_of_kernel());
        of_kernel.filter_map(Mount::number)
    }

    /// The type of the kernel file system that a folder, by its canonical path, is in.
    pub(super) fn kernel_type(&self, folder: &Path) -> Option<&str> {
        let own = self.own(folder).filter(|mount| mount.is_of_kernel());
        own.map(|mount| &*mount.kind)
    }

    fn below(&self, folder: &Path) -> impl Iterator<Item = &Mount> {
        self.0
            .iter()
            .filter(move |mount| mount.point.starts_with(folder) && mount.point != folder)
    }
}

impl Mount {
    fn is_of_kernel(&self) -> bool {
        let is_there = KERNEL_FOLDERS
            .iter()
            .any(|folder| self.point.starts_with(folder));
        // A file of a disk may be mounted there while the disk is granted.
        let is_laid_over =
            matches!(&*self.kind, "tmpfs" | "ramfs" | "fuse") || self.kind.starts_with("fuse.");
        OF_KERNEL.contains(&&*self.kind) || (is_there && is_laid_over)
    }

    #[cfg(target_os = "linux")]
    fn number(&self) -> Option<u64> {
        let (major, minor) = self.device.split_once(':')?;
        let number = |text: &str| text.parse().ok();
        Some(rustix::fs::makedev(number(major)?, number(minor)?))
    }

    #[cfg(not(target_os = "linux"))]
    fn number(&self) -> Option<u64> {
        None
    }
}

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
    let (root, point) = (path()?, path()?);
    let kind = fields.skip_while(|field| *field != "-").nth(1)?.to_owned();
    Some(Mount {
        device,
        root,
        point,
        kind,
    })
}

/// Spaces and the like are written as `\040`: three octal digits.
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
42 22 254:16 /sub /mnt/sub rw shared:1 - ext4 /dev/vdb rw
43 22 0:30 / /dev rw - tmpfs tmpfs rw
44 22 0:31 / /home/a/work/chroot/proc rw - proc proc rw
45 43 254:16 /log /dev/log rw - ext4 /dev/vdb rw
46 22 0:32 / /home/a/tmp rw - tmpfs tmpfs rw
";

    fn overlap(one: &str, other: &str) -> bool {
        let mounts = Mounts::parse(MOUNTS);
        let of = |path: &str| mounts.areas(Path::new(path));
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

    #[test]
    fn what_the_kernel_shows_is_known_by_its_type_or_its_place() {
        let mounts = Mounts::parse(MOUNTS);
        let below = |folder: &str| Vec::from_iter(mounts.of_kernel_below(Path::new(folder)));
        // A disk of which a file is mounted in /dev is none of it.
        assert_eq!(below("/"), [25, 30, 31]);
        assert_eq!(below("/home/a"), [31]);
        assert_eq!(below("/mnt"), [0; 0]);
        // What is named is granted.
        assert_eq!(below("/proc"), [0; 0]);
        let of = |folder: &str| mounts.kernel_type(Path::new(folder));
        assert_eq!(of("/proc/self"), Some("proc"));
        assert_eq!(of("/dev/shm"), Some("tmpfs"));
        assert_eq!(of("/home/a/tmp"), None);
        assert_eq!(of("/home/a/work/chroot"), None);
    }
}
