//! `fs_edit`.

use granted_files::{read_text, replace_content};
use toolhost_plugin::{Error, arguments, tool};

/// Edited files are held in memory twice.
const MAX_FILE_BYTES: u64 = 10_000_000;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// Path of the file.
    path: String,
    /// Text to replace, exactly as it is in the file, including indentation and line breaks. Include enough context that it
    /// occurs only once.
    old: String,
    /// Replacement text.
    new: String,
    /// Replace every occurrence.
    #[serde(default)]
    replace_all: bool,
}

/// Changes part of a text file: replaces an exact piece of text, which must occur once unless `replace_all` is set.
#[tool(title = "Edit a file", destructive, closed_world)]
pub(crate) fn fs_edit(args: Edit) -> Result<String, Error> {
    let (path, text) = read_text(&args.path, MAX_FILE_BYTES)?;
    let (edited, lines) = replace(&text, &args).map_err(|error| error.context(&path))?;
    replace_content(&path, text.as_bytes(), edited.as_bytes())?;
    let count = lines.len();
    Ok(match lines.as_slice() {
        [line] => format!("Replaced 1 occurrence in {path}, at line {line}."),
        _ => format!(
            "Replaced {count} occurrences in {path}, at lines {}.",
            join(&lines)
        ),
    })
}

/// The text after the edit, and the lines of the text before that it begins at.
fn replace(text: &str, args: &Edit) -> Result<(String, Vec<usize>), Error> {
    if args.old.is_empty() {
        return Err(Error::invalid_arguments(
            "`old` is empty; use fs_write to create files or append to them",
        ));
    }
    if args.old == args.new {
        return Err(Error::invalid_arguments("`old` and `new` are the same"));
    }
    let (mut line, mut counted) = (1, 0);
    let lines: Vec<usize> = text
        .match_indices(&args.old)
        .map(|(at, _)| {
            line += text[counted..at].matches('\n').count();
            counted = at;
            line
        })
        .collect();
    match lines.len() {
        0 => Err(Error::invalid_arguments(not_found(text, &args.old))),
        count if count > 1 && !args.replace_all => Err(Error::invalid_arguments(format!(
            "`old` occurs {count} times, at lines {}: include more context, or set `replace_all`",
            join(&lines)
        ))),
        _ => Ok((text.replace(&args.old, &args.new), lines)),
    }
}

/// Models mistake white space most, so say where it is the only difference.
fn not_found(text: &str, old: &str) -> String {
    let first = old
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let near = text
        .lines()
        .position(|line| !first.is_empty() && line.trim() == first);
    match near {
        Some(index) => format!(
            "`old` is not in the file exactly as written; its first line is like line {}: compare whitespace and the \
             lines after it",
            index + 1
        ),
        None => "`old` is not in the file".to_owned(),
    }
}

fn join(lines: &[usize]) -> String {
    let mut text = lines
        .iter()
        .take(10)
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if lines.len() > 10 {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Edit, replace};

    fn edit(text: &str, old: &str, new: &str, replace_all: bool) -> Result<String, String> {
        let args = Edit {
            path: String::new(),
            old: old.into(),
            new: new.into(),
            replace_all,
        };
        replace(text, &args)
            .map(|(text, _)| text)
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn an_edit_must_be_unambiguous() {
        assert_eq!(edit("a b\nc\n", "b\nc", "x", false).as_deref(), Ok("a x\n"));
        assert_eq!(edit("a\na\n", "a", "b", true).as_deref(), Ok("b\nb\n"));
        assert!(
            edit("a\na\n", "a", "b", false)
                .unwrap_err()
                .contains("2 times, at lines 1, 2")
        );
        assert!(
            edit("  a\n", "\ta\n", "b", false)
                .unwrap_err()
                .contains("like line 1")
        );
        assert!(edit("a", "", "b", false).is_err() && edit("a", "a", "a", false).is_err());
    }
}
