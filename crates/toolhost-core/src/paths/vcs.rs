//! Version control folders. Programs that merely look at such a folder, such as a shell's prompt or
//! an editor, run what is in it: hooks, and commands named by its configuration.

use std::path::Path;

pub(super) const NAMES: [&str; 4] = [".git", ".hg", ".jj", ".svn"];

/// The file that, beside [`BESIDE_HEAD`], makes any folder a git repository, whatever its name.
pub(super) const HEAD: &str = "HEAD";

pub(super) const BESIDE_HEAD: [&str; 2] = ["objects", "refs"];

/// Characters that the file system HFS+ ignores in names.
const IGNORED: [std::ops::RangeInclusive<char>; 4] = [
    '\u{200c}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{206a}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
];

/// Whether some file system takes the name for one of [`NAMES`].
pub(super) fn is_name(name: &Path) -> bool {
    let name = name.to_string_lossy();
    let is_ignored = |c: &char| IGNORED.iter().any(|range| range.contains(c));
    let name: String = name.chars().filter(|c| !is_ignored(c)).collect();
    // NTFS ignores these at the end.
    let name = name.trim_end_matches([' ', '.']);
    let mut names = NAMES.iter().chain(&["git~1"]);
    names.any(|it| name.eq_ignore_ascii_case(it))
}

pub(super) fn is_head(name: &Path) -> bool {
    match cfg!(any(windows, target_vendor = "apple")) {
        true => name.as_os_str().eq_ignore_ascii_case(HEAD),
        false => name == Path::new(HEAD),
    }
}

#[cfg_attr(not(unix), expect(dead_code))]
pub(super) fn is_beside_head(name: &Path) -> bool {
    let name = name.as_os_str();
    BESIDE_HEAD.iter().any(|it| name.eq_ignore_ascii_case(it))
}

/// Whether a path without links is such a folder, or inside one.
pub(crate) fn holds(path: &Path) -> bool {
    path.ancestors().any(|folder| {
        let name = folder.file_name();
        name.is_some_and(|name| is_name(Path::new(name))) || is_repository(folder)
    })
}

/// Whether a folder directly contains one.
pub(crate) fn is_beside(folder: &Path) -> bool {
    let mut names = NAMES.iter();
    names.any(|it| folder.join(it).symlink_metadata().is_ok())
}

fn is_repository(folder: &Path) -> bool {
    let is_there = |name: &&str| folder.join(name).symlink_metadata().is_ok();
    is_there(&HEAD) && BESIDE_HEAD.iter().all(is_there)
}
