//! Attacks by temporary files, which the host gives the mode and owner of what they replace.

use super::report::Report;
use super::{FOLLOW, NOFOLLOW, open, preopen, write};
use crate::{Answer, Behaviour, Given};
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags};

pub const TOOLS: &[Behaviour] = &[Behaviour {
    name: "temporaries",
    description: "Makes temporary files as those of whole writes, and tries to have them or their attributes get to other files than are granted.",
    takes: &[
        ("guest", "string"),
        ("read_only", "string"),
        ("path", "string"),
        ("outside", "string"),
    ],
    run: temporaries,
}];

fn name(number: u32) -> String {
    format!(".toolhost-{number:032x}")
}

fn make(directory: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    let how = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    open(directory, NOFOLLOW, path, how, DescriptorFlags::WRITE)
}

fn temporaries(given: &Given) -> Answer {
    let directory = preopen(given.text("guest")?)?;
    let read_only = preopen(given.text("read_only")?)?;
    let (path, outside) = (given.text("path")?, given.text("outside")?);
    let mut report = Report::default();
    let done = |result: Result<(), ErrorCode>| result.map(|()| String::new());

    // One of its own, to where nothing of its own may come.
    let own = name(1);
    report.note("make one", make(&directory, &own).map(|_| String::new()));
    for to in [
        format!("../outside/{outside}"),
        format!("out-folder/{outside}"),
        format!("folder/../../outside/{outside}"),
        format!("/{outside}"),
        "..".into(),
    ] {
        let renamed = directory.rename_at(&own, &directory, &to);
        report.escape(format!("rename to {to}"), done(renamed));
        let linked = directory.link_at(NOFOLLOW, &own, &directory, &to);
        report.escape(format!("link to {to}"), done(linked));
    }
    let renamed = directory.rename_at(&own, &read_only, path);
    report.escape("rename into what is read-only", done(renamed));
    let made = make(&read_only, &name(2)).map(|_| String::new());
    report.escape("make one in what is read-only", made);

    // Through links: they are replaced, and where they lead is not written.
    let renamed = directory.rename_at(&own, &directory, "out-up");
    report.note("rename over a link", done(renamed));

    // What it did not make, under such a name.
    let borrowed = name(3);
    let linked = directory.link_at(NOFOLLOW, path, &directory, &borrowed);
    report.note("give a file such a name", done(linked));
    let made = make(&directory, &borrowed).map(|_| String::new());
    report.escape("make one that is there", made);
    let renamed = directory.rename_at(&borrowed, &directory, "b.txt");
    report.note("rename it over another file", done(renamed));
    let link = name(4);
    let target = format!("../outside/{outside}");
    let _ = directory.symlink_at(&target, &link);
    let made = make(&directory, &link).map(|_| String::new());
    report.escape("make one through a link", made);
    let written = write(&directory, &link, OpenFlags::empty(), "hostile");
    report.escape("write through it", written.map(|_| String::new()));
    let renamed = directory.rename_at(&link, &directory, "folder/c.txt");
    report.note("rename the link over a file", done(renamed));
    let read = open(
        &directory,
        FOLLOW,
        "folder/c.txt",
        OpenFlags::empty(),
        DescriptorFlags::READ,
    );
    report.escape("read through it", read.map(|_| String::new()));

    // More than the host keeps.
    let made: Vec<_> = (100..200)
        .map(|number| make(&directory, &name(number)))
        .collect();
    let kept = made.iter().filter(|made| made.is_ok()).count();
    let all = match made.iter().find_map(|made| made.as_ref().err()) {
        None => Ok(format!("{kept}")),
        Some(error) => Err(*error),
    };
    report.escape("make a hundred", all);
    report.answer()
}
