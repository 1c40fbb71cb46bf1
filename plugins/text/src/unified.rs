//! Unified diffs: reading them, and applying them exactly.

use crate::diff::lines;
use toolhost_plugin::Error;

/// The changes of one file.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct FilePatch<'p> {
    /// Its path before; `None` for a file that is created, or if the patch names no file.
    pub(crate) old: Option<String>,
    /// Its path afterwards; `None` for a file that is removed, or if the patch names no file.
    pub(crate) new: Option<String>,
    pub(crate) hunks: Vec<Hunk<'p>>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Hunk<'p> {
    header: &'p str,
    /// First line before, counted from 1; for an empty range the line before it.
    old_start: usize,
    lines: Vec<Line<'p>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Line<'p> {
    kind: Kind,
    text: &'p str,
    /// Whether a newline ends it.
    is_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Context,
    Removed,
    Added,
}

/// A text with its patch applied, and where hunks were not at the line that their header says.
#[derive(Debug)]
pub(crate) struct Patched {
    pub(crate) text: String,
    pub(crate) notes: Vec<String>,
}

/// Reads a patch.
pub(crate) fn parse(patch: &str) -> Result<Vec<FilePatch<'_>>, Error> {
    let lines: Vec<&str> = lines(patch)
        .into_iter()
        .map(|line| line.strip_suffix('\n').unwrap_or(line))
        .collect();
    let mut files: Vec<FilePatch<'_>> = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        let line = lines[index];
        if is_file_header(&lines[index..]) {
            let (old, new) = (path(&line[4..])?, path(&lines[index + 1][4..])?);
            let (old, new) = without_prefixes(old, new);
            if old.is_none() && new.is_none() {
                return Err(invalid(index, "both files of the header are /dev/null"));
            }
            files.push(FilePatch {
                old,
                new,
                hunks: Vec::new(),
            });
            index += 2;
        } else if line.starts_with("@@") {
            let (hunk, end) = hunk(&lines, index)?;
            if files.is_empty() {
                files.push(FilePatch::default());
            }
            if let Some(file) = files.last_mut() {
                file.hunks.push(hunk);
            }
            index = end;
        } else if let Some(what) = unsupported(line) {
            return Err(invalid(index, &format!("{what} are not supported")));
        } else {
            // `diff --git`, `index`, a commit message: not needed.
            index += 1;
        }
    }
    if files.iter().all(|file| file.hunks.is_empty()) {
        return Err(Error::invalid_arguments(
            "`patch` has no hunk: a unified diff has lines \"--- FILE\", \"+++ FILE\", and for each change \
             \"@@ -LINE,COUNT +LINE,COUNT @@\" followed by lines that start with ' ', '-' or '+'",
        ));
    }
    Ok(files)
}

fn is_file_header(lines: &[&str]) -> bool {
    matches!(lines, [old, new, ..] if old.starts_with("--- ") && new.starts_with("+++ "))
}

fn unsupported(line: &str) -> Option<&'static str> {
    [
        ("rename from ", "renames"),
        ("copy from ", "copies"),
        ("GIT binary patch", "binary patches"),
        ("Binary files ", "binary patches"),
    ]
    .into_iter()
    .find_map(|(start, what)| line.starts_with(start).then_some(what))
}

/// The path in a header: a tab and a time may follow, and git quotes unusual names.
fn path(text: &str) -> Result<Option<String>, Error> {
    let text = text.split('\t').next().unwrap_or_default().trim_end();
    let path = match text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    {
        Some(quoted) => unquote(quoted).ok_or_else(|| {
            Error::invalid_arguments(format!("`patch` has a path with invalid quotes: {text}"))
        })?,
        None => text.to_owned(),
    };
    Ok((path != "/dev/null").then_some(path))
}

/// A path as git quotes it: backslashes, and bytes as three octal digits.
fn unquote(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b't' => b'\t',
            b'n' => b'\n',
            byte @ (b'\\' | b'"') => byte,
            high @ b'0'..=b'3' => {
                let digit = |byte: u8| matches!(byte, b'0'..=b'7').then(|| byte - b'0');
                digit(high)? * 64 + digit(rest.next()?)? * 8 + digit(rest.next()?)?
            }
            _ => return None,
        });
    }
    String::from_utf8(bytes).ok()
}

/// git writes `a/` before the old path and `b/` before the new one.
fn without_prefixes(old: Option<String>, new: Option<String>) -> (Option<String>, Option<String>) {
    let has =
        |path: &Option<String>, prefix| path.as_deref().is_none_or(|path| path.starts_with(prefix));
    if has(&old, "a/") && has(&new, "b/") {
        let strip = |path: Option<String>| path.map(|path| path[2..].to_owned());
        return (strip(old), strip(new));
    }
    (old, new)
}

/// The hunk whose header is at `start`, and where it ends.
fn hunk<'p>(lines: &[&'p str], start: usize) -> Result<(Hunk<'p>, usize), Error> {
    let header = lines[start];
    let Some((old_start, old_count, new_start, new_count)) = header_numbers(header) else {
        return Err(invalid(
            start,
            &format!("hunk header {header:?} is not like \"@@ -12,5 +12,6 @@\""),
        ));
    };
    let mut hunk = Hunk {
        header,
        old_start,
        lines: Vec::new(),
    };
    let (mut old, mut new, mut index) = (0, 0, start + 1);
    while let Some(&line) = lines.get(index) {
        let is_complete = (old, new) == (old_count, new_count);
        let kind = match line.as_bytes().first() {
            // What ends a mail with a patch.
            Some(b'-') if is_complete && line == "-- " => break,
            Some(b'-') if is_complete && is_file_header(&lines[index..]) => break,
            Some(b'-') => Kind::Removed,
            Some(b'+') => Kind::Added,
            Some(b' ') => Kind::Context,
            Some(b'\\') => {
                if let Some(last) = hunk.lines.last_mut() {
                    last.is_ended = false;
                }
                index += 1;
                continue;
            }
            // Editors strip the space of empty context lines.
            None if !is_complete => Kind::Context,
            _ => break,
        };
        old += usize::from(kind != Kind::Added);
        new += usize::from(kind != Kind::Removed);
        hunk.lines.push(Line {
            kind,
            text: line.get(1..).unwrap_or_default(),
            is_ended: true,
        });
        index += 1;
    }
    if (old, new) != (old_count, new_count) {
        return Err(invalid(
            start,
            &format!(
                "hunk header {header:?} does not fit the lines below it, which give \"@@ -{old_start},{old} \
                 +{new_start},{new} @@\""
            ),
        ));
    }
    Ok((hunk, index))
}

/// The numbers of `@@ -1,2 +3,4 @@`; a count that is left out is 1.
fn header_numbers(header: &str) -> Option<(usize, usize, usize, usize)> {
    let ranges = header.strip_prefix("@@ -")?;
    let (ranges, _) = ranges.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| -> Option<(usize, usize)> {
        match text.split_once(',') {
            Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    let ((old_start, old_count), (new_start, new_count)) = (range(old)?, range(new)?);
    // No text has so many lines, and sums of them are numbers.
    if [old_start, old_count, new_start, new_count]
        .into_iter()
        .any(|n| n > 1_000_000_000)
    {
        return None;
    }
    Some((old_start, old_count, new_start, new_count))
}

fn invalid(index: usize, why: &str) -> Error {
    Error::invalid_arguments(format!("`patch`, line {}: {why}", index + 1))
}

/// Applies hunks to a text: all of them or none. Each applies where its header says, or else at the only place below the
/// hunk before it where its old lines are.
///
/// # Errors
///
/// What does not fit, for each hunk that does not.
pub(crate) fn apply(text: &str, hunks: &[Hunk<'_>]) -> Result<Patched, Vec<String>> {
    let old = lines(text);
    // Models write patches with plain newlines, whatever the file has.
    let mut ended = old.iter().filter(|line| line.ends_with('\n')).peekable();
    let is_crlf = ended.peek().is_some() && ended.all(|line| line.ends_with("\r\n"));
    let (mut output, mut notes, mut rejects) = (String::new(), Vec::new(), Vec::new());
    let (mut done, mut shift) = (0, 0_isize);
    for (number, hunk) in (1..).zip(hunks) {
        let has_crlf = hunk.lines.iter().any(|line| line.text.ends_with('\r'));
        let end = if is_crlf && !has_crlf { "\r\n" } else { "\n" };
        let wanted: Vec<String> = hunk.old_lines().map(|line| line.with_end(end)).collect();
        let stated = match wanted.len() {
            0 => hunk.old_start,
            _ => hunk.old_start.saturating_sub(1),
        };
        let expected = stated.saturating_add_signed(shift);
        let at = match place(&old, &wanted, expected, done) {
            Ok(at) => at,
            Err(why) => {
                rejects.push(format!("hunk {number} ({}): {why}", hunk.header));
                continue;
            }
        };
        if at != stated {
            notes.push(format!(
                "hunk {number} was applied at line {} instead of {}",
                at + 1,
                hunk.old_start
            ));
        }
        shift = at as isize - stated as isize;
        output.extend(old[done..at].iter().copied());
        done = at + wanted.len();
        output.extend(hunk.new_lines().map(|line| line.with_end(end)));
    }
    if !rejects.is_empty() {
        return Err(rejects);
    }
    output.extend(old[done..].iter().copied());
    Ok(Patched {
        text: output,
        notes,
    })
}

/// Where the wanted lines are, at or after line `done`.
fn place(old: &[&str], wanted: &[String], expected: usize, done: usize) -> Result<usize, String> {
    let is_at = |at: usize| {
        let lines = old.get(at..at + wanted.len());
        lines.is_some_and(|lines| lines.iter().zip(wanted).all(|(old, wanted)| old == wanted))
    };
    if expected >= done && is_at(expected) {
        return Ok(expected);
    }
    if wanted.is_empty() {
        return Err(format!(
            "it starts past the end of the text, which has {} lines",
            old.len()
        ));
    }
    let last = old.len().saturating_sub(wanted.len());
    let mut places = (done..=last).filter(|at| is_at(*at));
    match (places.next(), places.next()) {
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => Err(format!(
            "its old lines are not at line {}, but at several other places, such as lines {} and {}: add context \
             or correct the line number",
            expected + 1,
            first + 1,
            second + 1
        )),
        (None, _) => Err(mismatch(old, wanted, expected)),
    }
}

/// The first line that is not as the patch has it, in words.
fn mismatch(old: &[&str], wanted: &[String], expected: usize) -> String {
    for (line, wanted) in (expected..).zip(wanted) {
        let Some(found) = old.get(line) else {
            return format!(
                "the text ends at line {}, before the hunk's line {}",
                old.len(),
                quote(wanted)
            );
        };
        if found != wanted {
            if found.trim_end_matches(['\r', '\n']) == wanted.trim_end_matches(['\r', '\n']) {
                let end = |line: &str| match (line.ends_with("\r\n"), line.ends_with('\n')) {
                    (true, _) => "\\r\\n",
                    (_, true) => "\\n",
                    _ => "no newline (\"\\ No newline at end of file\" in a patch)",
                };
                return format!(
                    "line {} ends with {}, but in the patch with {}",
                    line + 1,
                    end(found),
                    end(wanted)
                );
            }
            let space = if found.split_whitespace().eq(wanted.split_whitespace()) {
                ": only whitespace differs"
            } else {
                ""
            };
            return format!(
                "line {} is {}, but the patch has {}{space}",
                line + 1,
                quote(found),
                quote(wanted)
            );
        }
    }
    "its old lines are before those of the hunk above it".to_owned()
}

fn quote(line: &str) -> String {
    const MAX_CHARACTERS: usize = 120;
    let line = line.trim_end_matches(['\r', '\n']);
    match line.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{:?}…", &line[..end]),
        None => format!("{line:?}"),
    }
}

impl<'p> Hunk<'p> {
    fn old_lines(&self) -> impl Iterator<Item = &Line<'p>> {
        self.lines.iter().filter(|line| line.kind != Kind::Added)
    }

    fn new_lines(&self) -> impl Iterator<Item = &Line<'p>> {
        self.lines.iter().filter(|line| line.kind != Kind::Removed)
    }
}

impl Line<'_> {
    fn with_end(&self, end: &str) -> String {
        format!("{}{}", self.text, if self.is_ended { end } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::{apply, parse};

    fn patched(text: &str, patch: &str) -> Result<String, Vec<String>> {
        let files = parse(patch).map_err(|error| vec![error.message().to_owned()])?;
        let patched = apply(text, &files[0].hunks)?;
        Ok([vec![patched.text], patched.notes].concat().join("|"))
    }

    #[test]
    fn hunks_apply_where_they_say_or_at_the_only_other_place() {
        let text = "a\nb\nc\nd\nb\n";
        assert_eq!(
            patched(text, "@@ -2,2 +2,1 @@\n-b\n c\n").unwrap(),
            "a\nc\nd\nb\n"
        );
        assert_eq!(
            patched(text, "@@ -1,2 +1,2 @@\n-c\n+x\n d\n").unwrap(),
            "a\nb\nx\nd\nb\n|hunk 1 was applied at line 3 instead of 1"
        );
        assert_eq!(
            patched(text, "@@ -2 +2 @@\n-b\n+x").unwrap(),
            "a\nx\nc\nd\nb\n"
        );
        let why = patched(text, "@@ -3 +3 @@\n-b\n+x\n").unwrap_err();
        assert!(why[0].contains("such as lines 2 and 5"), "{why:?}");
        let why = patched(text, "@@ -1,2 +1,2 @@\n a\n-x\n+y\n").unwrap_err();
        let reason = "hunk 1 (@@ -1,2 +1,2 @@): line 2 is \"b\", but the patch has \"x\"";
        assert_eq!(why, [reason]);
    }

    #[test]
    fn the_last_newline_and_line_ends_are_exact() {
        let no_newline = "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n";
        assert_eq!(patched("a", no_newline).unwrap(), "b\n");
        let why = patched("a\n", no_newline).unwrap_err();
        assert!(why[0].contains("line 1 ends with \\n"), "{why:?}");
        assert_eq!(
            patched("a\r\nb\r\n", "@@ -1 +1 @@\n-a\n+x\n").unwrap(),
            "x\r\nb\r\n"
        );
        assert_eq!(patched("a\r\n", "@@ -1 +1 @@\n-a\r\n+x\n").unwrap(), "x\n");
        let why = patched("a\r\nb\n", "@@ -1 +1 @@\n-a\n+x\n").unwrap_err();
        assert!(why[0].contains("\\r\\n"), "{why:?}");
    }

    #[test]
    fn what_is_no_patch_says_why() {
        let error = |patch| parse(patch).unwrap_err().message().to_owned();
        assert!(error("hello").contains("has no hunk"));
        assert!(error("@@ -1 @@\n").contains("line 1: hunk header"));
        assert!(error("@@ -1,3 +1 @@\n-a\n+b\n").contains("which give \"@@ -1,1 +1,1 @@\""));
        assert!(error("rename from a\n").contains("line 1: renames are not supported"));
        assert!(error("--- /dev/null\n+++ /dev/null\n").contains("both"));
    }

    #[test]
    fn headers_name_files_as_diff_and_git_write_them() {
        let names = |header: &str| {
            let patch = format!("{header}\n@@ -1 +1 @@\n-a\n+b\n-- \n2.39\n");
            let files = parse(&patch).unwrap();
            (files[0].old.clone(), files[0].new.clone())
        };
        let both = |path: &str| (Some(path.to_owned()), Some(path.to_owned()));
        assert_eq!(names("diff --git a/x b/x\n--- a/x\n+++ b/x"), both("x"));
        assert_eq!(
            names("--- x y\t2026-01-01\n+++ x y\t2026-01-01"),
            both("x y")
        );
        assert_eq!(
            names("--- /dev/null\n+++ b/x"),
            (None, Some("x".to_owned()))
        );
        assert_eq!(
            names("--- a/x\n+++ /dev/null"),
            (Some("x".to_owned()), None)
        );
        assert_eq!(
            names(
                r#"--- "a/\303\251\"\\"
+++ "b/\303\251\"\\""#
            ),
            both("é\"\\")
        );
    }
}
