//! `fs_write`.

use granted_files::{Roots, Temporary, create_parents, io_error};
use std::fs::{self, File};
use std::io;
use std::time::SystemTime;
use toolhost_plugin::{Error, arguments, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteFile {
    /// Path of the file. Missing parent folders are created.
    path: String,
    /// Content to write.
    content: String,
    /// What to do if the file exists. Default: "overwrite".
    #[serde(default)]
    if_exists: IfExists,
}

#[arguments]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum IfExists {
    #[default]
    Overwrite,
    Append,
    Fail,
}

/// Writes a text file: creates a new one, or overwrites or appends to an existing one. To change part of a file, use fs_edit.
#[tool(title = "Write a file", destructive, closed_world)]
pub(crate) fn fs_write(args: WriteFile) -> Result<String, Error> {
    let path = Roots::granted()?.resolve(&args.path)?;
    let existed = fs::metadata(&path).is_ok();
    let exists = || Error::failed(format!("{path} exists; nothing was written"));
    if existed && args.if_exists == IfExists::Fail {
        return Err(exists());
    }
    if !existed {
        create_parents(&path)?;
    }
    let target = granted_files::target(&path).map_err(|error| io_error("write", &path, &error))?;
    let written = match args.if_exists {
        IfExists::Append if existed => append(&target, &args.content),
        IfExists::Overwrite => new(&target, &args.content).and_then(|new| new.replace(&target)),
        IfExists::Append | IfExists::Fail => {
            new(&target, &args.content).and_then(|new| new.create(&target))
        }
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => io_error("write", &path, &error),
    })?;
    let verb = match (existed, args.if_exists) {
        (false, _) => "Created",
        (true, IfExists::Append) => "Appended to",
        (true, _) => "Overwrote",
    };
    Ok(format!(
        "{verb} {path}: {} bytes written.",
        args.content.len()
    ))
}

fn new(target: &str, content: &str) -> io::Result<Temporary> {
    let mut new = Temporary::beside(target)?;
    new.write(content.as_bytes())?;
    Ok(new)
}

fn append(target: &str, content: &str) -> io::Result<()> {
    let before = state(target)?;
    let mut new = Temporary::beside(target)?;
    new.copy(&mut File::open(target)?)?;
    new.write(content.as_bytes())?;
    if state(target)? != before {
        return Err(io::Error::other(
            "it was changed by another program meanwhile; nothing was written",
        ));
    }
    new.replace(target)
}

/// What changes with a file's content.
fn state(path: &str) -> io::Result<(u64, SystemTime)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.len(), metadata.modified()?))
}
