//! Attacks on files.

use super::super::attack::{Attack, End, HELD, answer, attack, denied, failed};
use super::NOTHING;

const BOTH: &str = "permissions.files = [
    { host = '<reading>', guest = '/ro' },
    { host = '<writing>', guest = '/rw', access = 'read-write' },
]";

/// A file of the host's in what may be written.
const GUARDED: &str = "permissions.files = [
    { host = '<reading>', guest = '/ro' },
    { host = '<writing>', guest = '/rw', access = 'read-write' },
]
permissions.secrets.OWN = { file = '<writing>/folder/c.txt' }";

/// With what is in it at first it has room for three files and 32 KiB.
const METERED: &str = "permissions.files = [
    { host = '<reading>', guest = '/ro' },
    { host = '<writing>', guest = '/rw', access = 'read-write', max-files = 10, max-disk = '60KiB' },
]";

const LINKS: &[&str] = &[
    "make link-up",
    "make link-through",
    "make link-chain",
    "make link-chain-2",
    "make link-inner/link",
    "make link-folder",
    "make link-folder-chain",
    "make link-above",
    "make link-loop",
];
const LINKS_UP: &[&str] = &[
    "make link-given",
    "make link-up",
    "make link-through",
    "make link-chain",
    "make link-chain-2",
    "make link-inner/link",
    "make link-folder",
    "make link-folder-given",
    "make link-folder-chain",
    "make link-above",
    "make link-loop",
];

pub const ATTACKS: &[Attack] = &[
    attack(
        "file-of-nobody",
        "read",
        r#"{"guest": "/", "path": "etc/passwd"}"#,
        NOTHING,
        failed("no preopen /"),
    ),
    attack(
        "read-as-granted",
        "read",
        r#"{"guest": "/ro", "path": "a.txt"}"#,
        BOTH,
        answer("a inside"),
    ),
    attack(
        "dots-from-read-only",
        "dotdot",
        r#"{"guest": "/ro", "path": "outside/note.txt"}"#,
        BOTH,
        HELD,
    ),
    attack(
        "dots-from-read-write",
        "dotdot",
        r#"{"guest": "/rw", "path": "outside/note.txt"}"#,
        BOTH,
        HELD,
    ),
    attack(
        "absolute-path-from-read-only",
        "dotdot",
        r#"{"guest": "/ro", "path": "<outside>/note.txt"}"#,
        BOTH,
        HELD,
    ),
    attack(
        "absolute-path-from-read-write",
        "dotdot",
        r#"{"guest": "/rw", "path": "<outside>/note.txt"}"#,
        BOTH,
        HELD,
    ),
    attack(
        "write-to-read-only-in-every-way",
        "write_every_way",
        r#"{"guest": "/ro", "path": "a.txt"}"#,
        BOTH,
        HELD,
    ),
    attack(
        "write-to-read-write-in-every-way",
        "write_every_way",
        r#"{"guest": "/rw", "path": "a.txt"}"#,
        BOTH,
        answer("ESCAPED: …"),
    ),
    attack(
        "symlink-from-read-only",
        "symlink_escape",
        r#"{"guest": "/ro", "target": "<outside>/note.txt"}"#,
        BOTH,
        HELD,
    ),
    attack(
        "symlink-from-read-write",
        "symlink_escape",
        r#"{"guest": "/rw", "target": "<outside>/note.txt"}"#,
        BOTH,
        End::Report(LINKS),
    ),
    attack(
        "symlink-up-from-read-write",
        "symlink_escape",
        r#"{"guest": "/rw", "target": "../outside/note.txt"}"#,
        BOTH,
        End::Report(LINKS_UP),
    ),
    attack(
        "symlink-of-the-host-absolute",
        "read",
        r#"{"guest": "/ro", "path": "out-absolute"}"#,
        BOTH,
        denied("files: open-at out-absolute (refused: not-permitted)"),
    ),
    attack(
        "symlink-of-the-host-up",
        "read",
        r#"{"guest": "/ro", "path": "out-up"}"#,
        BOTH,
        denied("files: open-at out-up (refused: not-permitted)"),
    ),
    attack(
        "symlink-of-the-host-to-a-folder",
        "read",
        r#"{"guest": "/ro", "path": "out-folder/note.txt"}"#,
        BOTH,
        denied("files: open-at out-folder/note.txt (refused: not-permitted)"),
    ),
    attack(
        "symlink-of-the-host-in-read-write",
        "read",
        r#"{"guest": "/rw", "path": "out-up"}"#,
        BOTH,
        denied("files: open-at out-up (refused: not-permitted)"),
    ),
    attack(
        "hard-link-from-read-only",
        "link_across",
        r#"{"from_guest": "/ro", "path": "a.txt", "to_guest": "/rw"}"#,
        BOTH,
        End::Report(&["back: make a file"]),
    ),
    attack(
        "hard-link-into-read-only",
        "link_across",
        r#"{"from_guest": "/rw", "path": "a.txt", "to_guest": "/ro"}"#,
        BOTH,
        End::Report(&["there, a new one: make a file"]),
    ),
    attack(
        "trailing-slash-in-read-only",
        "trailing_slash",
        r#"{"guest": "/ro", "path": "a.txt"}"#,
        BOTH,
        HELD,
    ),
    attack(
        "trailing-slash-in-read-write",
        "trailing_slash",
        r#"{"guest": "/rw", "path": "a.txt"}"#,
        BOTH,
        HELD,
    ),
    attack(
        "rename-over-in-read-only",
        "rename_over",
        r#"{"guest": "/ro", "from": "a.txt", "to": "b.txt"}"#,
        BOTH,
        HELD,
    ),
    attack(
        "rename-over-in-read-write",
        "rename_over",
        r#"{"guest": "/rw", "from": "a.txt", "to": "b.txt"}"#,
        BOTH,
        End::Report(&["a file over itself", "a file over a file"]),
    ),
    attack(
        "temporaries-and-what-they-replace",
        "temporaries",
        r#"{"guest": "/rw", "read_only": "/ro", "path": "a.txt", "outside": "note.txt"}"#,
        BOTH,
        End::Report(&[
            "make one",
            "rename over a link",
            "give a file such a name",
            "rename it over another file",
            "rename the link over a file",
        ]),
    ),
    attack(
        "change-a-file-of-the-host-in-every-way",
        "harm",
        r#"{"guest": "/rw", "path": "folder/c.txt"}"#,
        GUARDED,
        HELD,
    ),
    attack(
        "read-a-secret-of-the-host-in-every-way",
        "spellings",
        r#"{"guest": "/rw", "path": "folder/c.txt"}"#,
        GUARDED,
        HELD,
    ),
    attack(
        "replace-a-folder-on-the-way-by-a-link",
        "replace_by_link",
        r#"{"guest": "/rw", "path": "folder", "target": "../outside"}"#,
        GUARDED,
        denied(
            "files: rename-at folder -> folder.moved: it is a parent folder of the host's own files, which no \
             plugin may change (refused: not-permitted)",
        ),
    ),
    attack(
        "replace-a-folder-of-its-own-by-a-link",
        "replace_by_link",
        r#"{"guest": "/rw", "path": "folder", "target": "../outside"}"#,
        BOTH,
        answer("replaced"),
    ),
    attack(
        "environment-of-the-host-in-a-grant-of-everything",
        "read",
        r#"{"guest": "/all", "path": "proc/self/environ"}"#,
        "permissions.files = [{ host = '/', guest = '/all' }]",
        denied(
            "files: open-at proc/self/environ: a kernel file system must be granted explicitly (refused: \
             not-permitted)",
        ),
    ),
    attack(
        "pipe",
        "open_special",
        r#"{"guest": "/ro", "path": "pipe"}"#,
        BOTH,
        denied("files: open-at pipe (refused: not-permitted)"),
    ),
    attack(
        "fill-a-folder-with-bytes",
        "script",
        r#"{"steps": [["open", "f", "/rw", "a.txt", "write"], ["write", "f", 0, 100000], ["set-size", "f", 1000000000],
            ["append", "f", 100000], ["zeroes", "f", 0, 100000], ["splice", "f", "f"], ["set-size", "f", 0]]}"#,
        METERED,
        answer("done\nquota\nquota\nquota\nquota\nquota\ndone"),
    ),
    attack(
        "fill-a-folder-with-names",
        "script",
        r#"{"steps": [["each", 100, ["open", "f", "/rw", "{}", "new"]], ["each", 100, ["mkdir", "/rw", "a{}"]],
            ["symlink", "/rw", "a", "l"], ["link", "/rw", "a.txt", "/rw", "l"], ["rename", "/rw", "a.txt", "/rw", "l"]]}"#,
        METERED,
        answer("3 times, then quota\n0 times, then quota\nquota\nquota\ndone"),
    ),
    attack(
        "fill-a-folder-with-what-has-no-name",
        "script",
        r#"{"steps": [["open", "f", "/rw", "a.txt", "write"], ["append", "f", 30000], ["unlink", "/rw", "a.txt"],
            ["open", "g", "/rw", "g", "new"], ["append", "g", 30000], ["close", "f"], ["append", "g", 1000]]}"#,
        METERED,
        answer("done\ndone\ndone\ndone\nquota\ndone\ndone"),
    ),
    attack(
        "symlink-race",
        "race",
        r#"{"guest": "/rw", "inside": "a.txt", "outside_target": "../outside/note.txt", "rounds": 1000}"#,
        BOTH,
        answer("read the inside file … times, refused … times"),
    ),
];
