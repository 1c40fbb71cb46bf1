//! Attacks on what may only be read: every way that WASI has to change something.

use super::{FOLLOW, NOFOLLOW, first_directory, is_directory, open, preopen};
use crate::{Answer, Behaviour, Given, escaped, failed, text, write_all};
use std::collections::{BTreeMap, BTreeSet};
use wasip2::clocks::wall_clock::Datetime;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use wasip2::io::streams::OutputStream;

pub const TOOLS: &[Behaviour] = &[Behaviour {
    name: "write_every_way",
    description: "Tries every way to change something below the preopened directory, with an existing file, through every descriptor that it can get.",
    takes: &[("guest", "string"), ("path", "string")],
    run: write_every_way,
}];

const THEN: NewTimestamp = NewTimestamp::Timestamp(Datetime {
    seconds: 1_000_000_000,
    nanoseconds: 0,
});

fn write_every_way(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let path = given.text("path")?;
    let file = directory.stat_at(FOLLOW, path);
    file.map_err(|error| failed(format_args!("{path}: {error}")))?;
    let mut ways = Ways::default();
    in_directory(&directory, path, &mut ways);
    let both = [NOFOLLOW, FOLLOW];
    for (follow, how, flags) in both.into_iter().flat_map(combinations) {
        // Ways that work may have taken the file away, or what is in it.
        restore(&directory, path);
        open_file(&directory, follow, path, how, flags, &mut ways);
        open_new(&directory, follow, path, how, flags, &mut ways);
        if let Some(opened) = open_self(&directory, follow, how, flags, &mut ways) {
            in_directory(&opened, path, &mut ways);
        }
    }
    restore(&directory, path);
    ways.answer()
}

/// Every combination of flags to open something with.
fn combinations(
    follow: PathFlags,
) -> impl Iterator<Item = (PathFlags, OpenFlags, DescriptorFlags)> {
    (0..=OpenFlags::all().bits()).flat_map(move |how| {
        (0..=DescriptorFlags::all().bits()).map(move |flags| {
            let how = OpenFlags::from_bits_truncate(how);
            (follow, how, DescriptorFlags::from_bits_truncate(flags))
        })
    })
}

/// Puts the file back where that can be done.
fn restore(directory: &Descriptor, path: &str) {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    if let Ok(file) = open(directory, FOLLOW, path, OpenFlags::CREATE, flags) {
        let _ = file.write(b"restored", 0);
    }
}

/// Opens the file, which may change it by itself, and then tries to change it.
fn open_file(
    directory: &Descriptor,
    follow: PathFlags,
    path: &str,
    how: OpenFlags,
    flags: DescriptorFlags,
    ways: &mut Ways,
) {
    let size = || directory.stat_at(FOLLOW, path).map_or(0, |stat| stat.size);
    let before = size();
    let opened = open(directory, follow, path, how, flags);
    let note = &format!("{how:?} {flags:?}");
    let got = opened.as_ref().map(flags_of).map_err(|error| *error);
    let has = |flag| got.map(|got| got.contains(flag));
    if flags.contains(DescriptorFlags::WRITE) {
        ways.add("open-at to write", note, has(DescriptorFlags::WRITE));
    }
    if how.contains(OpenFlags::TRUNCATE) {
        let truncated = got.map(|_| before > 0 && size() == 0);
        ways.add("open-at to truncate", note, truncated);
    }
    let Ok(file) = opened else {
        return;
    };
    let done = |result: Result<(), ErrorCode>| result.map(|()| true);
    ways.add(
        "write",
        note,
        file.write(b"hostile", 0).map(|bytes| bytes > 0),
    );
    let through = |stream: Result<OutputStream, ErrorCode>| {
        // What fails only then is taken for a refusal as well.
        let failed = |_| ErrorCode::Io;
        done(stream.and_then(|stream| write_all(&stream, b"hostile").map_err(failed)))
    };
    ways.add("write-via-stream", note, through(file.write_via_stream(0)));
    ways.add("append-via-stream", note, through(file.append_via_stream()));
    ways.add("set-size", note, done(file.set_size(3)));
    ways.add("set-times", note, done(file.set_times(THEN, THEN)));
}

/// Opens a file that is not there.
fn open_new(
    directory: &Descriptor,
    follow: PathFlags,
    path: &str,
    how: OpenFlags,
    flags: DescriptorFlags,
    ways: &mut Ways,
) {
    let new = format!("{path}.new");
    let opened = open(directory, follow, &new, how, flags);
    let note = format!("{how:?} {flags:?}");
    if how.contains(OpenFlags::CREATE) {
        let name = match how.contains(OpenFlags::EXCLUSIVE) {
            true => "open-at to create exclusively",
            false => "open-at to create",
        };
        ways.add(
            name,
            &note,
            opened.as_ref().map(|_| true).map_err(|error| *error),
        );
    } else if opened.is_ok() {
        ways.add("open-at of a file that is not there", &note, Ok(true));
    }
    drop(opened);
    let _ = directory.unlink_file_at(&new);
}

/// Opens the directory itself: the descriptor may be allowed more than the preopened one.
fn open_self(
    directory: &Descriptor,
    follow: PathFlags,
    how: OpenFlags,
    flags: DescriptorFlags,
    ways: &mut Ways,
) -> Option<Descriptor> {
    let opened = open(directory, follow, ".", how, flags);
    if flags.contains(DescriptorFlags::MUTATE_DIRECTORY) {
        let got = opened.as_ref().map(flags_of).map_err(|error| *error);
        let mutable = got.map(|got| got.contains(DescriptorFlags::MUTATE_DIRECTORY));
        let note = format!("{how:?} {flags:?}");
        ways.add("open-at to mutate the directory", &note, mutable);
    }
    opened.ok().filter(is_directory)
}

fn flags_of(opened: &Descriptor) -> DescriptorFlags {
    opened.get_flags().unwrap_or(DescriptorFlags::empty())
}

/// Tries to change what is in a directory, and the directory.
fn in_directory(directory: &Descriptor, path: &str, ways: &mut Ways) {
    let note = &format!("through a directory opened with {:?}", flags_of(directory));
    let mut change = |name, result: Result<(), ErrorCode>| {
        ways.add(name, note, result.map(|()| true));
    };
    let new = &format!("{path}.new");
    restore(directory, path);

    change("set-times of a directory", directory.set_times(THEN, THEN));
    change(
        "set-times-at",
        directory.set_times_at(NOFOLLOW, path, THEN, THEN),
    );
    change(
        "set-times-at, following",
        directory.set_times_at(FOLLOW, path, THEN, THEN),
    );
    change("create-directory-at", directory.create_directory_at(new));
    change("remove-directory-at", directory.remove_directory_at(new));
    if let Some(existing) = first_directory(directory) {
        let removed = directory.remove_directory_at(&existing);
        change("remove-directory-at of another one", removed);
    }
    change("symlink-at", directory.symlink_at(path, new));
    let _ = directory.unlink_file_at(new);
    for (name, follow) in [("link-at", NOFOLLOW), ("link-at, following", FOLLOW)] {
        change(name, directory.link_at(follow, path, directory, new));
        let _ = directory.unlink_file_at(new);
    }
    change("rename-at", directory.rename_at(path, directory, new));
    let _ = directory.rename_at(new, directory, path);
    change("unlink-file-at", directory.unlink_file_at(path));
    restore(directory, path);
}

/// What came of each way, through all the descriptors.
#[derive(Default)]
struct Ways(BTreeMap<&'static str, Outcome>);

#[derive(Default)]
struct Outcome {
    /// How it was first done.
    done: Option<String>,
    /// The errors, or that it was allowed and changed nothing.
    not_done: BTreeSet<&'static str>,
}

impl Ways {
    /// Whether something was changed, or why not.
    fn add(&mut self, name: &'static str, note: &str, changed: Result<bool, ErrorCode>) {
        let outcome = self.0.entry(name).or_default();
        match changed {
            Ok(true) => {
                outcome.done.get_or_insert_with(|| note.to_owned());
            }
            Ok(false) => {
                outcome.not_done.insert("without effect");
            }
            Err(error) => {
                outcome.not_done.insert(error.name());
            }
        }
    }

    fn answer(self) -> Answer {
        let mut lines = Vec::new();
        for (name, outcome) in &self.0 {
            if let Some(note) = &outcome.done {
                lines.push(format!("{name}: DONE ({note})"));
            }
            // Where it was done, the others are about flags that do not fit each other.
            let refusals = outcome.not_done.iter().filter(|_| outcome.done.is_none());
            lines.extend(refusals.map(|error| format!("{name}: refused {error}")));
        }
        let lines_text = lines.join("\n");
        match self.0.values().any(|outcome| outcome.done.is_some()) {
            true => escaped(lines_text),
            false => text(lines_text),
        }
    }
}
