//! `text_patch` and `text_patch_files`.

use crate::source::{MAX_FILE_BYTES, bounded};
use crate::unified::{FilePatch, apply, parse};
use granted_files::{Roots, create_file, io_error, read_text, replace_content};
use std::fs;
use toolhost_plugin::{Error, Output, arguments, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    /// The text to change.
    text: String,
    /// Unified diff of one file; its "---" and "+++" lines may be left out.
    patch: String,
}

/// Applies a unified diff to a text and returns the result. Each hunk must match exactly: at its line, or else at the only
/// place that matches. If one does not, nothing is applied, and the error says which line differs.
#[tool(title = "Patch a text", read_only, idempotent, closed_world)]
pub(crate) fn text_patch(args: Patch) -> Result<Output, Error> {
    let files = parse(&args.patch)?;
    let [file] = files.as_slice() else {
        return Err(Error::invalid_arguments(format!(
            "`patch` changes {} files, but there is one `text`",
            files.len()
        )));
    };
    let patched = apply(&args.text, &file.hunks).map_err(|rejects| rejected(&rejects))?;
    let output = Output::text(bounded(patched.text)?);
    Ok(match patched.notes.as_slice() {
        [] => output,
        notes => output.with_text(format!("Note: {}.", notes.join("; "))),
    })
}

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchFiles {
    /// Unified diff of one or more files, with "--- PATH" and "+++ PATH" lines as diff -u and git diff write them ("a/" and
    /// "b/" are removed). "/dev/null" as the old path creates a file, as the new path it deletes one.
    patch: String,
    /// Check that the patch applies, and write nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Applies a unified diff to files. Each hunk must match exactly: at its line, or else at the only place that matches. If
/// one does not, no file is changed, and the error says which line differs.
#[tool(title = "Patch files", destructive, closed_world)]
pub(crate) fn text_patch_files(args: PatchFiles) -> Result<String, Error> {
    let roots = Roots::granted()?;
    let (mut changes, mut rejects) = (Vec::<Change>::new(), Vec::new());
    for file in parse(&args.patch)? {
        let path = roots.resolve(name(&roots, &file)?)?;
        if changes.iter().any(|change| change.path == path) {
            return Err(Error::invalid_arguments(format!(
                "`patch` has two parts for {path}: join them"
            )));
        }
        let before = match file.old {
            Some(_) => Some(read_text(&path, MAX_FILE_BYTES)?.1),
            None if fs::symlink_metadata(&path).is_ok() => {
                rejects.push(format!("{path} exists, but the patch creates it"));
                continue;
            }
            None => None,
        };
        match apply(before.as_deref().unwrap_or_default(), &file.hunks) {
            Err(why) => rejects.extend(why.into_iter().map(|why| format!("{path}: {why}"))),
            Ok(patched) if file.new.is_none() && !patched.text.is_empty() => rejects.push(format!(
                "{path}: the patch deletes it, but has only a part of its lines"
            )),
            Ok(patched) => changes.push(Change {
                path,
                before,
                after: file.new.map(|_| patched.text),
                notes: patched.notes,
            }),
        }
    }
    if !rejects.is_empty() {
        return Err(rejected(&rejects));
    }
    let mut report = Vec::new();
    if args.dry_run {
        report.push("The patch applies; nothing was written.".to_owned());
    }
    for change in changes {
        if !args.dry_run {
            change.write().map_err(|error| match report.as_slice() {
                [] => error,
                done => error.context(format!("done before: {}", done.join(" "))),
            })?;
        }
        report.push(change.report());
    }
    Ok(report.join("\n"))
}

/// The path of the file that a part of a patch changes.
fn name<'f>(roots: &Roots, file: &'f FilePatch<'_>) -> Result<&'f str, Error> {
    match (&file.old, &file.new) {
        (None, None) => Err(Error::invalid_arguments(
            "`patch` names no file: it must start with the lines \"--- PATH\" and \"+++ PATH\"",
        )),
        (Some(path), None) | (None, Some(path)) => Ok(path),
        (Some(old), Some(new)) if old == new => Ok(old),
        (Some(old), Some(new)) => {
            let exists = |path: &str| {
                roots
                    .resolve(path)
                    .is_ok_and(|path| fs::metadata(path).is_ok())
            };
            match (exists(old), exists(new)) {
                (true, false) => Ok(old),
                (false, true) => Ok(new),
                _ => Err(Error::invalid_arguments(format!(
                    "`patch` names two files, {old} and {new}: write the path of the file to change in both lines"
                ))),
            }
        }
    }
}

/// What becomes of a file.
struct Change {
    path: String,
    /// `None`: there is no file yet.
    before: Option<String>,
    /// `None`: the file is deleted.
    after: Option<String>,
    notes: Vec<String>,
}

impl Change {
    fn write(&self) -> Result<(), Error> {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                replace_content(&self.path, before.as_bytes(), after.as_bytes())
            }
            (None, Some(after)) => create_file(&self.path, after.as_bytes()),
            (_, None) => {
                fs::remove_file(&self.path).map_err(|error| io_error("delete", &self.path, &error))
            }
        }
    }

    fn report(&self) -> String {
        let verb = match (&self.before, &self.after) {
            (None, _) => "Create",
            (_, None) => "Delete",
            _ => "Change",
        };
        let notes = match self.notes.as_slice() {
            [] => String::new(),
            notes => format!(" ({})", notes.join("; ")),
        };
        format!("{verb}d {}{notes}.", self.path)
    }
}

fn rejected(rejects: &[String]) -> Error {
    Error::invalid_arguments(format!(
        "the patch does not apply, and nothing was changed: {}",
        rejects.join("; ")
    ))
}
