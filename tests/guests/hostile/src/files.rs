//! Attacks on files, through the descriptors of WASI: libc would refuse much of this by itself.

pub mod links;
pub mod protected;
mod report;
pub mod script;
pub mod temporary;
pub mod write;

use crate::{Answer, Behaviour, Error, Given, escaped, failed, refused, text};
use report::{Report, Tried};
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "read",
        description: "Answers the text of a file below the preopened directory.",
        takes: &[("guest", "string"), ("path", "string")],
        run: read,
    },
    Behaviour {
        name: "dotdot",
        description: "Tries to open what is at the path beside the preopened directory, or at the absolute path, in many spellings.",
        takes: &[("guest", "string"), ("path", "string")],
        run: dotdot,
    },
    Behaviour {
        name: "trailing_slash",
        description: "Tries every operation on the file with a slash after its path, and says which were done.",
        takes: &[("guest", "string"), ("path", "string")],
        run: trailing_slash,
    },
    Behaviour {
        name: "rename_over",
        description: "Renames a file over another one, over a directory and over itself, and says which were done.",
        takes: &[("guest", "string"), ("from", "string"), ("to", "string")],
        run: rename_over,
    },
    Behaviour {
        name: "open_special",
        description: "Opens what is no regular file, and reads from it.",
        takes: &[("guest", "string"), ("path", "string")],
        run: open_special,
    },
];

const FOLLOW: PathFlags = PathFlags::SYMLINK_FOLLOW;
const NOFOLLOW: PathFlags = PathFlags::empty();

/// The preopened directory at that path of the guest's.
fn preopen(guest: &str) -> Result<Descriptor, Error> {
    let mut preopens = get_directories().into_iter();
    preopens
        .find_map(|(directory, name)| (name == guest).then_some(directory))
        .ok_or_else(|| failed(format_args!("no preopen {guest}")))
}

/// The preopened directory that an absolute path is below, and the rest of the path.
pub fn locate(path: &str) -> Result<(Descriptor, String), Error> {
    get_directories()
        .into_iter()
        .find_map(|(directory, name)| {
            let rest = path.strip_prefix(name.trim_end_matches('/'))?;
            Some((directory, rest.strip_prefix('/')?.to_owned()))
        })
        .ok_or_else(|| failed(format_args!("no preopen has {path}")))
}

pub fn open(
    directory: &Descriptor,
    path_flags: PathFlags,
    path: &str,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, ErrorCode> {
    directory.open_at(path_flags, path, open_flags, flags)
}

fn open_read(
    directory: &Descriptor,
    path_flags: PathFlags,
    path: &str,
) -> Result<Descriptor, ErrorCode> {
    let nothing = OpenFlags::empty();
    open(directory, path_flags, path, nothing, DescriptorFlags::READ)
}

fn open_write(directory: &Descriptor, path: &str, how: OpenFlags) -> Result<Descriptor, ErrorCode> {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    open(directory, FOLLOW, path, how, flags)
}

/// Writes the text over the beginning of a file.
fn write(directory: &Descriptor, path: &str, how: OpenFlags, text: &str) -> Result<u64, ErrorCode> {
    open_write(directory, path, how)?.write(text.as_bytes(), 0)
}

fn read_all(file: &Descriptor) -> Result<Vec<u8>, ErrorCode> {
    let mut bytes = Vec::new();
    loop {
        let (chunk, ended) = file.read(64 << 10, bytes.len() as u64)?;
        bytes.extend(chunk);
        if ended {
            return Ok(bytes);
        }
    }
}

/// Opens something, and shows what it is: to have it open is enough.
fn peek(directory: &Descriptor, path_flags: PathFlags, path: &str) -> Tried {
    let opened = open_read(directory, path_flags, path)?;
    Ok(match opened.read(200, 0) {
        Ok((bytes, _)) => format!("read {:?}", String::from_utf8_lossy(&bytes)),
        Err(_) if is_directory(&opened) => "opened a directory".into(),
        Err(error) => format!("opened, then {}", error.name()),
    })
}

fn is_directory(opened: &Descriptor) -> bool {
    opened.get_type() == Ok(DescriptorType::Directory)
}

/// A descriptor of a directory through which nothing may be changed.
fn is_read_only(directory: &Descriptor) -> bool {
    let flags = directory.get_flags();
    flags.is_ok_and(|flags| !flags.contains(DescriptorFlags::MUTATE_DIRECTORY))
}

/// The first directory right below.
fn first_directory(directory: &Descriptor) -> Option<String> {
    let entries = directory.read_directory().ok()?;
    while let Ok(Some(entry)) = entries.read_directory_entry() {
        if entry.type_ == DescriptorType::Directory {
            return Some(entry.name);
        }
    }
    None
}

fn read(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let bytes = open_read(&directory, FOLLOW, given.text("path")?)
        .and_then(|file| read_all(&file))
        .map_err(|error| refused(error.name()))?;
    text(String::from_utf8_lossy(&bytes))
}

fn dotdot(given: &Given) -> Answer {
    let (guest, path) = (given.text("guest")?, given.text("path")?);
    let directory = preopen(guest)?;
    // `a/../..` gets further where there is an `a`.
    let made = directory.create_directory_at("a");
    let a = first_directory(&directory).unwrap_or_else(|| "a".into());
    let rest = path.trim_start_matches('/');
    let up = "../".repeat(40);
    let mut spellings = vec![
        "..".to_owned(),
        "../".into(),
        "../.".into(),
        "./..".into(),
        "/".into(),
        "//".into(),
        "/..".into(),
        format!("{a}/../.."),
        format!("{a}/../../"),
        guest.into(),
        format!("../{rest}"),
        format!("../{rest}/"),
        format!("../{rest}/."),
        format!("./..//{rest}"),
        format!(".././{rest}"),
        format!("./././..///./{rest}"),
        format!("{a}/../../{rest}"),
        format!("{a}/./..//../{rest}"),
        format!("{a}//..//..//{rest}"),
        format!("{a}/../{a}/../../{rest}"),
        format!("..\\{rest}"),
        format!("..\\/{rest}"),
        format!("{a}\\..\\..\\{rest}"),
        format!("C:\\{rest}"),
        format!("\\\\?\\{rest}"),
        format!("../{rest}\0"),
        format!("../{rest}\0.txt"),
        format!("..\0/{rest}"),
        format!("\0/../{rest}"),
        format!("%2e%2e/{rest}"),
        format!("%2e%2e%2f{rest}"),
        format!("\u{2024}\u{2024}/{rest}"),
        format!("..\u{2215}{rest}"),
        format!("{up}{rest}"),
        format!("{a}/{up}{rest}"),
        format!("/{rest}"),
        format!("//{rest}"),
        format!("///{rest}"),
        format!("/./{rest}"),
        format!("/../{rest}"),
        format!("{guest}/../{rest}"),
        format!("{}../{rest}", "./".repeat(100_000)),
        format!("{}../{rest}", format!("{a}/../").repeat(100_000)),
        format!("../{}{rest}", "/".repeat(100_000)),
        "/proc/self/root/etc/passwd".into(),
        "/proc/self/cwd".into(),
        "/dev/fd/0".into(),
    ];
    spellings.sort();
    spellings.dedup();
    let mut report = Report::default();
    for spelling in &spellings {
        for (flags, how) in [(FOLLOW, "open"), (NOFOLLOW, "open without following")] {
            let name = format!("{how} {}", report::shown(spelling));
            report.escape(name, peek(&directory, flags, spelling));
        }
        let stat = directory.stat_at(FOLLOW, spelling);
        let size = stat.map(|stat| format!("of {} bytes", stat.size));
        report.escape(format!("stat {}", report::shown(spelling)), size);
        let target = directory.readlink_at(spelling);
        report.escape(format!("readlink {}", report::shown(spelling)), target);
    }
    if made.is_ok() {
        let _ = directory.remove_directory_at("a");
    }
    report.answer()
}

fn trailing_slash(given: &Given) -> Answer {
    let (guest, path) = (given.text("guest")?, given.text("path")?);
    let directory = preopen(guest)?;
    let slash = format!("{path}/");
    let mut report = Report::on(&directory);
    for spelling in [&slash, &format!("{path}//"), &format!("{path}/.")] {
        for (flags, how) in [(FOLLOW, "open"), (NOFOLLOW, "open without following")] {
            report.note(
                format!("{how} {spelling}"),
                peek(&directory, flags, spelling),
            );
        }
        let stat = directory.stat_at(FOLLOW, spelling);
        report.note(
            format!("stat {spelling}"),
            stat.map(|stat| format!("of {} bytes", stat.size)),
        );
    }
    let write = |how| open_write(&directory, &slash, how).map(drop);
    report.change("open for writing", write(OpenFlags::empty()));
    report.change("open to truncate", write(OpenFlags::TRUNCATE));
    report.change("open to create", write(OpenFlags::CREATE));
    let new = format!("{path}.new");
    let create = |how| open_write(&directory, &format!("{new}/"), how).map(drop);
    report.change("create", create(OpenFlags::CREATE));
    report.change(
        "create exclusively",
        create(OpenFlags::CREATE | OpenFlags::EXCLUSIVE),
    );
    let (keep, now) = (NewTimestamp::NoChange, NewTimestamp::Now);
    report.change(
        "set times",
        directory.set_times_at(FOLLOW, &slash, keep, now),
    );
    let rename = |from: &str, to: &str| directory.rename_at(from, &directory, to);
    report.change("rename from", rename(&slash, &new));
    let _ = rename(&new, path);
    report.change("rename to", rename(path, &format!("{new}/")));
    let _ = rename(&new, path);
    report.change("rename to itself", rename(path, &slash));
    let link = |from: &str, to: &str| directory.link_at(NOFOLLOW, from, &directory, to);
    report.change("link from", link(&slash, &new));
    let _ = directory.unlink_file_at(&new);
    report.change("link to", link(path, &format!("{new}/")));
    let _ = directory.unlink_file_at(&new);
    report.change("symlink", directory.symlink_at("x", &format!("{new}/")));
    let _ = directory.unlink_file_at(&new);
    report.change(
        "create a directory over it",
        directory.create_directory_at(&slash),
    );
    report.change(
        "remove as a directory",
        directory.remove_directory_at(&slash),
    );
    report.change("unlink", directory.unlink_file_at(&slash));
    report.answer()
}

fn rename_over(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let (from, to) = (given.text("from")?, given.text("to")?);
    let folder = format!("{to}.folder");
    let _ = directory.create_directory_at(&folder);
    let mut report = Report::on(&directory);
    let rename = |from: &str, to: &str| directory.rename_at(from, &directory, to);
    report.change("a file over a directory", rename(from, &folder));
    report.change("a file over the preopen", rename(from, "."));
    report.change("a file over what is above", rename(from, ".."));
    report.change("a directory over a file", rename(&folder, to));
    report.change("the preopen", rename(".", &format!("{to}.moved")));
    report.change(
        "a directory into itself",
        rename(&folder, &format!("{folder}/in")),
    );
    report.change("a file over itself", rename(from, from));
    report.change("a file over a file", rename(from, to));
    let _ = directory.remove_directory_at(&folder);
    report.answer()
}

fn open_special(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let file = open_read(&directory, FOLLOW, given.text("path")?)
        .map_err(|error| refused(error.name()))?;
    let kind = file.get_type();
    let (bytes, _) = file
        .read(100, 0)
        .map_err(|error| refused(format_args!("{}, after opening {kind:?}", error.name())))?;
    escaped(format_args!(
        "opened {kind:?} and read {} bytes",
        bytes.len()
    ))
}
