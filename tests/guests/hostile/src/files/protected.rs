//! Attacks on files of the host in a folder that may be written: what decides what plugins may do.

use super::report::Report;
use super::{FOLLOW, NOFOLLOW, open, open_read, preopen, write};
use crate::{Answer, Behaviour, Given, refused, text};
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags};

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "harm",
        description: "Tries every way to change, move, replace or remove what is at the path, and the folders on the way to it, or to make it if it is not there.",
        takes: &[("guest", "string"), ("path", "string")],
        run: harm,
    },
    Behaviour {
        name: "replace_by_link",
        description: "Moves what is at the path away, and puts a link to the target in its place.",
        takes: &[
            ("guest", "string"),
            ("path", "string"),
            ("target", "string"),
        ],
        run: replace_by_link,
    },
    Behaviour {
        name: "spellings",
        description: "Reads the file at the path under many spellings and links, by the descriptor of its folder, and by a hard link.",
        takes: &[("guest", "string"), ("path", "string")],
        run: spellings,
    },
];

const NEW: &str = "harm-new";
const MOVED: &str = "harm-moved";

/// The folder that something is in, and its name there.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

/// Ways to say the path.
fn said(path: &str) -> Vec<String> {
    let (folder, name) = split(path);
    vec![
        path.to_owned(),
        format!("./{path}"),
        format!("{folder}/./{name}"),
        format!("{folder}//{name}"),
        format!("harm-folder/../{path}"),
        format!("harm-link-folder/{name}"),
        path.to_uppercase(),
    ]
}

/// Links to it, which cannot be helped.
fn links(directory: &Descriptor, path: &str) -> Vec<&'static str> {
    let (folder, _) = split(path);
    let _ = directory.create_directory_at("harm-folder");
    for (target, link) in [
        (path, "harm-link"),
        ("harm-link", "harm-link-chain"),
        (&format!("../{path}"), "harm-folder/link"),
        (folder, "harm-link-folder"),
    ] {
        let _ = directory.unlink_file_at(link);
        let _ = directory.symlink_at(target, link);
    }
    vec!["harm-link", "harm-link-chain", "harm-folder/link"]
}

fn done<T>(result: Result<T, ErrorCode>) -> Result<String, ErrorCode> {
    result.map(|_| String::new())
}

fn harm(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let path = given.text("path")?;
    let (folder, name) = split(path);
    let links = links(&directory, path);
    let mut report = Report::default();
    let read_write = DescriptorFlags::READ | DescriptorFlags::WRITE;

    let mut spellings = said(path);
    spellings.extend(links.iter().map(|link| link.to_string()));
    for spelling in &spellings {
        for (at, how) in [(FOLLOW, "following"), (NOFOLLOW, "not following")] {
            for flags in [
                OpenFlags::empty(),
                OpenFlags::TRUNCATE,
                OpenFlags::CREATE,
                OpenFlags::CREATE | OpenFlags::TRUNCATE,
                OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
            ] {
                // Another file where names differ by case.
                if spelling == &path.to_uppercase() && flags.contains(OpenFlags::CREATE) {
                    continue;
                }
                let opened = open(&directory, at, spelling, flags, read_write);
                report.escape(format!("open {spelling} {how} {flags:?}"), done(opened));
                let only = open(&directory, at, spelling, flags, DescriptorFlags::READ);
                if !flags.is_empty() {
                    report.escape(format!("{flags:?} {spelling} {how}"), done(only));
                }
            }
        }
        let (now, keep) = (NewTimestamp::Now, NewTimestamp::NoChange);
        let times = directory.set_times_at(FOLLOW, spelling, now, now);
        report.escape(
            format!("set times of {spelling}"),
            times.map(|()| String::new()),
        );
        if let Ok(file) = open_read(&directory, FOLLOW, spelling) {
            report.escape(
                format!("set times of {spelling}, open"),
                done(file.set_times(keep, now)),
            );
            report.escape(
                format!("set size of {spelling}, open"),
                done(file.set_size(0)),
            );
            report.escape(
                format!("write to {spelling}, open"),
                done(file.write(b"x", 0)),
            );
        }
    }
    for spelling in said(path) {
        // A link to it may be removed, and by this name it is none.
        let renamed = directory.rename_at(&spelling, &directory, MOVED);
        report.escape(format!("rename {spelling}"), done(renamed));
        let _ = directory.rename_at(MOVED, &directory, path);
        report.escape(
            format!("unlink {spelling}"),
            done(directory.unlink_file_at(&spelling)),
        );
        let removed = directory.remove_directory_at(&spelling);
        report.escape(format!("remove the folder {spelling}"), done(removed));
        let linked = directory.link_at(NOFOLLOW, &spelling, &directory, MOVED);
        report.escape(format!("link {spelling}"), done(linked));
        let _ = directory.unlink_file_at(MOVED);
        if spelling == path.to_uppercase() {
            continue;
        }
        // Over it.
        let _ = write(&directory, NEW, OpenFlags::CREATE, "hostile");
        let over = directory.rename_at(NEW, &directory, &spelling);
        report.escape(format!("rename over {spelling}"), done(over));
        let linked = directory.link_at(NOFOLLOW, NEW, &directory, &spelling);
        report.escape(format!("link over {spelling}"), done(linked));
        let made = directory.symlink_at(NEW, &spelling);
        report.escape(format!("a link over {spelling}"), done(made));
        let over = directory.rename_at("harm-link-chain", &directory, &spelling);
        report.escape(format!("rename a link over {spelling}"), done(over));
        let made = directory.create_directory_at(&spelling);
        report.escape(format!("a folder over {spelling}"), done(made));
        let _ = directory.create_directory_at("harm-empty");
        let over = directory.rename_at("harm-empty", &directory, &spelling);
        report.escape(format!("rename a folder over {spelling}"), done(over));
    }
    // By whole writes.
    let temporary = format!(".toolhost-{:032x}", 7);
    let how = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let _ = open(&directory, NOFOLLOW, &temporary, how, read_write);
    let over = directory.rename_at(&temporary, &directory, path);
    report.escape("rename a temporary file over it", done(over));
    // By the descriptor of its folder.
    if let Ok(parent) = open_read(&directory, FOLLOW, folder) {
        let opened = open(&parent, FOLLOW, name, OpenFlags::TRUNCATE, read_write);
        report.escape("open in its folder", done(opened));
        let renamed = parent.rename_at(name, &directory, MOVED);
        report.escape("rename from its folder", done(renamed));
        report.escape("unlink in its folder", done(parent.unlink_file_at(name)));
        let over = directory.rename_at(NEW, &parent, name);
        report.escape("rename over it in its folder", done(over));
    }
    // The folders on the way.
    let mut way = folder;
    while way != "." {
        for spelling in [
            way.to_owned(),
            format!("{way}/"),
            format!("./{way}"),
            format!("{way}/."),
        ] {
            let renamed = directory.rename_at(&spelling, &directory, MOVED);
            report.escape(format!("rename {spelling}"), done(renamed));
            let removed = directory.remove_directory_at(&spelling);
            report.escape(format!("remove {spelling}"), done(removed));
            let _ = directory.create_directory_at("harm-empty");
            let over = directory.rename_at("harm-empty", &directory, &spelling);
            report.escape(format!("rename a folder over {spelling}"), done(over));
        }
        way = split(way).0;
    }
    report.answer()
}

fn replace_by_link(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let (path, target) = (given.text("path")?, given.text("target")?);
    let moved = directory.rename_at(path, &directory, &format!("{path}.moved"));
    moved
        .and_then(|()| directory.symlink_at(target, path))
        .map_err(|error| refused(error.name()))?;
    text("replaced")
}

fn spellings(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let path = given.text("path")?;
    let (folder, name) = split(path);
    let mut spellings = said(path);
    spellings.extend(links(&directory, path).into_iter().map(str::to_owned));
    let mut report = Report::default();
    let peek = |folder: &Descriptor, path: &str| {
        let file = open_read(folder, FOLLOW, path)?;
        let (bytes, _) = file.read(100, 0)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    for spelling in spellings {
        report.escape(format!("read {spelling}"), peek(&directory, &spelling));
    }
    let linked = directory.link_at(NOFOLLOW, path, &directory, MOVED);
    report.escape("link it", done(linked));
    report.escape("read the link", peek(&directory, MOVED));
    if let Ok(parent) = open_read(&directory, FOLLOW, folder) {
        report.escape("read in its folder", peek(&parent, name));
    }
    report.answer()
}
