//! `fs_list`.

use crate::walk::{End, Kind, walk};
use granted_files::{Roots, io_error};
use std::fs;
use toolhost_plugin::{Error, Output, arguments, tool};

const DEFAULT_LIMIT: usize = 500;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// Folder to list. Default: the granted folder, or the names of the granted folders if there are several.
    path: Option<String>,
    /// How many levels to list. Default: 1.
    #[schemars(range(min = 1, max = 20))]
    depth: Option<usize>,
    /// Maximum number of entries. Default: 500.
    #[schemars(range(min = 1, max = 5000))]
    limit: Option<usize>,
}

/// Lists a folder: one line per entry, folders with a trailing slash, files with their size in bytes. Without arguments it
/// lists what can be accessed.
#[tool(title = "List a folder", read_only, idempotent, closed_world)]
pub(crate) fn fs_list(args: List) -> Result<Output, Error> {
    let roots = Roots::granted()?;
    let path = match (&args.path, roots.names()) {
        (Some(path), _) => path,
        (None, [root]) => root,
        (None, several) => {
            let names: String = several
                .iter()
                .map(|name| format!("{}/\n", name.trim_end_matches('/')))
                .collect();
            return Ok(Output::text(names.trim_end()).with_text("These folders are granted."));
        }
    };
    let folder = roots.resolve(path)?;
    let is_folder = fs::metadata(&folder)
        .map_err(|error| io_error("list", &folder, &error))?
        .is_dir();
    if !is_folder {
        return Err(Error::failed(format!("cannot list {folder}: it is a file")));
    }

    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let mut lines = Vec::new();
    let end = walk(&folder, args.depth.unwrap_or(1), |entry| {
        if lines.len() == limit {
            return false;
        }
        lines.push(match entry.kind {
            Kind::Folder => format!("{}/", entry.relative),
            Kind::File => match fs::metadata(&entry.path) {
                Ok(metadata) => format!("{}  {}", entry.relative, metadata.len()),
                Err(_) => entry.relative,
            },
            Kind::Other => format!("{}  (link or device)", entry.relative),
            Kind::Unreachable => format!("{}  (not UTF-8, cannot be opened)", entry.relative),
        });
        true
    })?;
    if lines.is_empty() {
        return Ok(Output::text(format!("{folder} is empty.")));
    }
    let output = Output::text(lines.join("\n"));
    Ok(match end {
        End::Complete => output,
        End::Stopped | End::TooMany => output.with_text(format!(
            "Only the first {limit} entries: raise `limit` for more."
        )),
    })
}
