//! `fs_find`, and globs.

use crate::walk::{End, Kind, Unreachable, walk};
use globset::{GlobBuilder, GlobMatcher};
use granted_files::{Roots, io_error};
use toolhost_plugin::{Error, Output, arguments, tool};

const DEFAULT_LIMIT: usize = 200;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    /// Glob, such as "*.md" (at any depth), "src/**/*.rs", "**/test_*", "{a,b}.txt".
    glob: String,
    /// Folder to search. Default: the granted folders.
    path: Option<String>,
    /// Maximum number of paths. Default: 200.
    #[schemars(range(min = 1, max = 5000))]
    limit: Option<usize>,
}

/// Finds files by name: the paths of all files below a folder that match a glob, one per line.
#[tool(title = "Find files", read_only, idempotent, closed_world)]
pub(crate) fn fs_find(args: Find) -> Result<Output, Error> {
    let glob = matcher(&args.glob)?;
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let mut found = Vec::new();
    let mut unreachable = Unreachable::default();
    let mut is_complete = true;
    for folder in folders(args.path.as_deref())? {
        let end = walk(&folder, usize::MAX, |entry| {
            unreachable.count(&entry);
            if entry.kind == Kind::File && glob.is_match(&entry.relative) {
                if found.len() == limit {
                    return false;
                }
                found.push(entry.path);
            }
            true
        })?;
        is_complete &= matches!(end, End::Complete);
    }
    let output = if found.is_empty() {
        Output::text("No file matches.")
    } else {
        Output::text(found.join("\n"))
    };
    let mut notes = Vec::from_iter(unreachable.note());
    if !is_complete {
        notes.push("There are more: narrow `path` or `glob`, or raise `limit`.".to_owned());
    }
    Ok(match notes.is_empty() {
        true => output,
        false => output.with_text(notes.join(" ")),
    })
}

/// The folder that a search begins in, or all that are granted.
pub(crate) fn folders(path: Option<&str>) -> Result<Vec<String>, Error> {
    let roots = Roots::granted()?;
    let Some(path) = path else {
        return roots
            .names()
            .iter()
            .map(|root| roots.resolve(root))
            .collect();
    };
    let folder = roots.resolve(path)?;
    let metadata =
        std::fs::metadata(&folder).map_err(|error| io_error("look in", &folder, &error))?;
    if !metadata.is_dir() {
        return Err(Error::failed(format!(
            "cannot search in {folder}: it is a file"
        )));
    }
    Ok(vec![folder])
}

/// A glob over paths; without a slash it means names at any depth, as in .gitignore.
pub(crate) fn matcher(glob: &str) -> Result<GlobMatcher, Error> {
    let anywhere = if glob.contains('/') {
        String::new()
    } else {
        "**/".to_owned()
    };
    let pattern = format!(
        "{anywhere}{}",
        glob.trim_start_matches("./").trim_start_matches('/')
    );
    let glob = GlobBuilder::new(&pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| Error::invalid_arguments(format!("glob {glob:?}: {}", error.kind())))?;
    Ok(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::matcher;

    #[test]
    fn a_glob_without_a_slash_matches_names_anywhere() {
        let is_match = |glob, path| matcher(glob).unwrap().is_match(path);
        assert!(
            is_match("*.md", "a.md") && is_match("*.md", "x/y/a.md") && !is_match("*.md", "a.rs")
        );
        assert!(
            is_match("src/*.rs", "src/a.rs")
                && !is_match("src/*.rs", "src/b/a.rs")
                && !is_match("src/*.rs", "x/src/a.rs")
        );
        assert!(
            is_match("src/**/*.{rs,toml}", "src/a.rs")
                && is_match("src/**/*.{rs,toml}", "src/b/c/a.toml")
        );
        assert!(matcher("a[").is_err());
    }
}
