//! Attacks by links: out of a preopened directory, across two of them, and in a race.

use super::report::Report;
use super::{FOLLOW, NOFOLLOW, open_read, open_write, peek, preopen, read_all, write};
use crate::{Answer, Behaviour, Given, escaped, failed, refused, text};
use wasip2::filesystem::types::{Descriptor, ErrorCode, NewTimestamp, OpenFlags};
use wasip2::random::insecure;

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "symlink_escape",
        description: "Makes symlinks to the target, relative, absolute, chained and of directories, and tries to reach it through them.",
        takes: &[("guest", "string"), ("target", "string")],
        run: symlink_escape,
    },
    Behaviour {
        name: "link_across",
        description: "Links and renames from one preopened directory, of which one is read-only, into another and back, and writes to what it gets.",
        takes: &[
            ("from_guest", "string"),
            ("path", "string"),
            ("to_guest", "string"),
        ],
        run: link_across,
    },
    Behaviour {
        name: "race",
        description: "Swaps a symlink between the inside file and the outside target, and opens it each time; two calls at once race.",
        takes: &[
            ("guest", "string"),
            ("inside", "string"),
            ("outside_target", "string"),
            ("rounds", "integer"),
        ],
        run: race,
    },
];

/// What a file is overwritten with.
const MARK: &str = "hostile";

fn symlink_escape(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let target = given.text("target")?;
    let up = |target: &str| match target.strip_prefix('/') {
        Some(rest) => format!("{}{rest}", "../".repeat(40)),
        None => target.to_owned(),
    };
    let (folder, file) = target.rsplit_once('/').unwrap_or((".", target));
    let folder = if folder.is_empty() { "/" } else { folder };
    let inner = "link-inner";
    let _ = directory.create_directory_at(inner);

    let mut links = vec![
        ("link-given".to_owned(), target.to_owned()),
        ("link-up".into(), up(target)),
        ("link-through".into(), format!("{inner}/../{}", up(target))),
        ("link-chain".into(), "link-chain-2".into()),
        ("link-chain-2".into(), "./link-up".into()),
        (format!("{inner}/link"), format!("../{}", up(target))),
        ("link-folder".into(), up(folder)),
        ("link-folder-given".into(), folder.into()),
        (
            "link-folder-chain".into(),
            format!("{inner}/../link-folder"),
        ),
        ("link-above".into(), "..".into()),
        ("link-root".into(), "/".into()),
        ("link-loop".into(), "link-loop".into()),
        ("link-proc".into(), "/proc/self/root".into()),
    ];
    let mut report = Report::default();
    for (name, to) in &links {
        let _ = directory.unlink_file_at(name);
        // A link that leads nowhere good is no escape by itself.
        let made = directory.symlink_at(to, name);
        report.note(format!("make {name}"), made.map(|()| String::new()));
    }
    // Ways through, of which only the made ones exist.
    let mut paths: Vec<String> = links.iter().map(|(name, _)| name.clone()).collect();
    for name in ["link-folder", "link-folder-given", "link-folder-chain"] {
        paths.push(format!("{name}/{file}"));
        paths.push(format!(
            "{name}/../{}/{file}",
            folder.rsplit('/').next().unwrap_or("")
        ));
    }
    paths.extend(["link-above/.", "link-above/..", "link-root/etc/passwd"].map(String::from));
    for path in &paths {
        through(&directory, path, &mut report);
    }
    links.reverse();
    for (name, _) in &links {
        let _ = directory.unlink_file_at(name);
    }
    let _ = directory.remove_directory_at(inner);
    report.answer()
}

/// Everything that can be done to what a path leads to.
fn through(directory: &Descriptor, path: &str, report: &mut Report) {
    for spelling in [path.to_owned(), format!("{path}/"), format!("{path}/.")] {
        for (flags, how) in [(FOLLOW, "open"), (NOFOLLOW, "open without following")] {
            report.escape(
                format!("{how} {spelling}"),
                peek(directory, flags, &spelling),
            );
        }
        let listed = open_read(directory, FOLLOW, &spelling)
            .and_then(|opened| opened.read_directory().map(drop));
        report.escape(format!("list {spelling}"), listed.map(|()| String::new()));
        let stat = directory.stat_at(FOLLOW, &spelling);
        let size = stat.map(|stat| format!("of {} bytes", stat.size));
        report.escape(format!("stat {spelling}"), size);
    }
    let done = |result: Result<(), ErrorCode>| result.map(|()| String::new());
    let opened = open_write(directory, path, OpenFlags::empty()).map(drop);
    report.escape(format!("open {path} for writing"), done(opened));
    let times = directory.set_times_at(FOLLOW, path, NewTimestamp::NoChange, NewTimestamp::Now);
    report.escape(format!("set times of {path}"), done(times));
    // A hard link to a symlink is a symlink: only what can be read through it counts.
    let new = "link-hard";
    let linked = directory
        .link_at(FOLLOW, path, directory, new)
        .and_then(|()| peek(directory, NOFOLLOW, new));
    report.escape(format!("link to {path}"), linked);
    let _ = directory.unlink_file_at(new);
    let inside = format!("{path}/hostile-was-here");
    let made = directory.create_directory_at(&inside);
    report.escape(format!("make a directory in {path}"), done(made));
    let _ = directory.remove_directory_at(&inside);
}

fn link_across(given: &Given) -> Answer {
    let from = preopen(given.text("from_guest")?)?;
    let to = preopen(given.text("to_guest")?)?;
    let path = given.text("path")?;
    let mut report = Report::default();
    across("there", &from, path, &to, &mut report);
    let back = "across-file";
    let create = OpenFlags::CREATE;
    for (directory, other, way) in [(&to, &from, "back"), (&from, &to, "there, a new one")] {
        // One of the two has to be writable for this, and it is no escape.
        let made = write(directory, back, create, "a new file");
        report.note(format!("{way}: make a file"), made.map(|_| String::new()));
        if made.is_ok() {
            across(way, directory, back, other, &mut report);
            let _ = directory.unlink_file_at(back);
        }
    }
    report.answer()
}

/// Brings a file from one directory into another, and writes to it there.
fn across(way: &str, from: &Descriptor, path: &str, to: &Descriptor, report: &mut Report) {
    for (name, follow) in [("link", NOFOLLOW), ("link, following", FOLLOW)] {
        let new = "across-link";
        let linked = from.link_at(follow, path, to, new);
        report.escape(format!("{way}: {name}"), linked.map(|()| String::new()));
        if linked.is_ok() {
            overwrite(way, to, new, report);
            let _ = to.unlink_file_at(new);
        }
    }
    let new = "across-renamed";
    let renamed = from.rename_at(path, to, new);
    report.escape(format!("{way}: rename"), renamed.map(|()| String::new()));
    if renamed.is_ok() {
        overwrite(way, to, new, report);
        let _ = to.rename_at(new, from, path);
    }
}

fn overwrite(way: &str, directory: &Descriptor, path: &str, report: &mut Report) {
    let written = write(directory, path, OpenFlags::empty(), MARK);
    report.escape(
        format!("{way}: write to {path}"),
        written.map(|bytes| format!("wrote {bytes} bytes")),
    );
}

fn race(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let (inside, outside) = (given.text("inside")?, given.text("outside_target")?);
    let read = |path: &str| open_read(&directory, FOLLOW, path).and_then(|file| read_all(&file));
    let expected = read(inside).map_err(|error| failed(format_args!("{inside}: {error}")))?;
    // Its own, so that calls at once do not take it from each other.
    let next = format!("flip-{:016x}", insecure::get_insecure_random_u64());
    let (mut inner, mut denied) = (0u64, 0u64);
    for _ in 0..given.number::<u64>("rounds")? {
        for target in [inside, outside] {
            directory
                .symlink_at(target, &next)
                .and_then(|()| directory.rename_at(&next, &directory, "flip"))
                .map_err(|error| refused(format_args!("{error} for a link to {target}")))?;
            match read("flip") {
                Ok(bytes) if bytes == expected => inner += 1,
                Ok(bytes) => {
                    let found = String::from_utf8_lossy(&bytes);
                    return escaped(format_args!("read {found:?}"));
                }
                Err(_) => denied += 1,
            }
        }
    }
    text(format!(
        "read the inside file {inner} times, refused {denied} times"
    ))
}
