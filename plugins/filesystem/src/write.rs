//! `fs_write`.

use crate::roots::{Roots, io_error};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use toolhost_plugin::{Error, arguments, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteFile {
    /// The file. Folders that are missing on the way to it are made.
    path: String,
    /// What is to be in it.
    content: String,
    /// What to do if the file exists; "overwrite" if not given.
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

/// Writes a text file: makes a new one, or overwrites or appends to one that exists. To change part of a file, use fs_edit.
#[tool(title = "Write a file", destructive, closed_world)]
pub(crate) fn fs_write(args: WriteFile) -> Result<String, Error> {
    let path = Roots::granted()?.resolve(&args.path)?;
    let existed = fs::metadata(&path).is_ok();
    if existed && args.if_exists == IfExists::Fail {
        return Err(Error::failed(format!(
            "{path} exists, and nothing was written"
        )));
    }
    if let Some((folder, _)) = path.rsplit_once('/')
        && !folder.is_empty()
        && let Err(error) = fs::metadata(folder)
    {
        // A folder that is there but out of reach, behind a link for instance, is not to be made.
        if error.kind() != io::ErrorKind::NotFound {
            return Err(io_error("write", &path, &error));
        }
        fs::create_dir_all(folder).map_err(|error| io_error("make the folder", folder, &error))?;
    }
    let mut options = OpenOptions::new();
    match args.if_exists {
        IfExists::Overwrite => options.write(true).create(true).truncate(true),
        IfExists::Append => options.append(true).create(true),
        IfExists::Fail => options.write(true).create_new(true),
    };
    options
        .open(&path)
        .and_then(|mut file| file.write_all(args.content.as_bytes()))
        .map_err(|error| io_error("write", &path, &error))?;
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
