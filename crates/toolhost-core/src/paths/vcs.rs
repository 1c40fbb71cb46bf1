//! Version control folders. Programs that merely look at such a folder, such as a shell's prompt or
//! an editor, run what is in it: hooks, and commands named by its configuration.
//!
//! | name | what runs commands |
//! | --- | --- |
//! | `.git`, `.hg`, `.jj`, `.sl`, `.svn` | hooks, configuration |
//! | `.bzr` | options of `branch.conf` |
//! | `_darcs` | hooks in `prefs/defaults` |
//! | `.pijul` | hooks in `config` |
//! | `_MTN` | Lua in `monotonerc` |
//! | `.repo` | the Python code of the tool itself |
//! | `CVS` | the method in `Root`, `Checkin.prog`, `Update.prog` |
//! | `.fslckout`, `_FOSSIL_` | settings of the repository that it names |

use std::path::Path;

pub(super) const NAMES: [&str; 11] = [
    ".git", ".hg", ".jj", ".svn", ".sl", ".bzr", ".pijul", ".repo", "_darcs", "_MTN", CVS,
];

/// In lower case it is an ordinary name.
const CVS: &str = "CVS";

/// The databases of Fossil checkouts, of which SQLite's journals are beside them.
const FOSSIL: [&str; 3] = [".fslckout", "_FOSSIL_", ".fos"];
const JOURNALS: [&str; 4] = ["", "-journal", "-wal", "-shm"];

/// The file that, beside [`OBJECTS`] and [`REFS`], or beside [`COMMON_DIR`], makes any folder a git
/// repository, whatever its name: see `is_git_directory` in git's setup.c.
pub(super) const HEAD: &str = "HEAD";
const OBJECTS: &str = "objects";
const REFS: &str = "refs";
/// The path of the folder with the objects, references, configuration and hooks.
const COMMON_DIR: &str = "commondir";

/// What git reads, beside [`HEAD`], to find other files and commands.
const BESIDE_HEAD: [&str; 10] = [
    OBJECTS,
    REFS,
    COMMON_DIR,
    "config",
    "config.worktree",
    "gitdir",
    "hooks",
    "info",
    "modules",
    "worktrees",
];

/// Characters that the file system HFS+ ignores in names.
const IGNORED: [std::ops::RangeInclusive<char>; 4] = [
    '\u{200c}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{206a}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
];

/// A name without what some file systems ignore.
fn plain(name: &Path) -> String {
    let name = name.to_string_lossy();
    let is_ignored = |c: &char| IGNORED.iter().any(|range| range.contains(c));
    let name: String = name.chars().filter(|c| !is_ignored(c)).collect();
    // NTFS ignores these at the end.
    name.trim_end_matches([' ', '.']).to_owned()
}

/// Whether some file system takes the name for one of [`NAMES`] or [`FOSSIL`].
pub(super) fn is_name(name: &Path) -> bool {
    let name = plain(name);
    let is_it = |it: &str| match it {
        CVS => is_upper_case_name(&name, CVS),
        it => name.eq_ignore_ascii_case(it),
    };
    let mut databases = FOSSIL.iter().flat_map(|it| JOURNALS.map(|end| (it, end)));
    NAMES.iter().chain(&["git~1"]).any(|it| is_it(it))
        || databases.any(|(it, end)| name.eq_ignore_ascii_case(&format!("{it}{end}")))
}

pub(super) fn is_head(name: &Path) -> bool {
    is_upper_case_name(&plain(name), HEAD)
}

/// Whether a name that is ordinary in lower case is the one in upper case here.
fn is_upper_case_name(name: &str, upper: &str) -> bool {
    match cfg!(any(windows, target_vendor = "apple")) {
        true => name.eq_ignore_ascii_case(upper),
        false => name == upper,
    }
}

/// Whether a new name makes a folder a git repository, or changes what one that it may become
/// runs. `has` tells what the folder has.
#[cfg_attr(not(unix), expect(dead_code))]
pub(super) fn completes(name: &Path, has: impl Fn(&str) -> bool) -> bool {
    let name = plain(name);
    let is_beside_head = BESIDE_HEAD.iter().any(|it| name.eq_ignore_ascii_case(it));
    // Also where file systems ignore case.
    let is_head = || name.eq_ignore_ascii_case(HEAD);
    (is_beside_head && has(HEAD)) || (is_head() && (has(COMMON_DIR) || (has(OBJECTS) && has(REFS))))
}

/// Whether a path without links is such a folder, or inside one.
pub(crate) fn holds(path: &Path) -> bool {
    path.ancestors().any(|folder| {
        let name = folder.file_name();
        name.is_some_and(|name| is_name(Path::new(name)))
            || is_repository(|name| folder.join(name).symlink_metadata().is_ok())
    })
}

/// Whether a folder directly contains one.
pub(crate) fn is_beside(folder: &Path) -> bool {
    let mut names = NAMES.iter().chain(&FOSSIL);
    names.any(|it| folder.join(it).symlink_metadata().is_ok())
}

/// Whether a folder is a git repository or part of one. `has` tells what it has.
pub(super) fn is_repository(has: impl Fn(&str) -> bool) -> bool {
    has(HEAD) && [OBJECTS, REFS, COMMON_DIR].into_iter().any(has)
}
