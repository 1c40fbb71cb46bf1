//! `fs_search`: a regular expression over the contents of files.

use crate::find::{folders, matcher};
use crate::walk::{End, Kind, Unreachable, walk};
use granted_files::{Roots, is_binary};
use regex::{Regex, RegexBuilder};
use std::fs;
use toolhost_plugin::{Error, Output, arguments, tool};

const DEFAULT_LIMIT: usize = 100;
/// Files are read whole; a larger one is data rather than text.
const MAX_FILE_BYTES: u64 = 8_000_000;
const MAX_LINE_CHARACTERS: usize = 300;
const MAX_OUTPUT_BYTES: usize = 200_000;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// Regular expression, matched line by line, such as "fn \\w+_test", "TODO|FIXME", "(?i)error".
    pattern: String,
    /// File or folder to search. Default: the granted folders.
    path: Option<String>,
    /// Only files that match this glob, such as "*.rs" (at any depth) or "src/**/*.ts".
    glob: Option<String>,
    /// Ignore case.
    #[serde(default)]
    ignore_case: bool,
    /// Lines of context before and after each match. Default: 0.
    #[schemars(range(max = 20))]
    context: Option<usize>,
    /// Maximum number of matching lines. Default: 100.
    #[schemars(range(min = 1, max = 5000))]
    limit: Option<usize>,
}

/// Searches the contents of text files for a regular expression. Output is like grep -n: PATH:LINE:TEXT for a match,
/// PATH-LINE-TEXT for context. Skips binary files, .git and files over 8 MB.
#[tool(title = "Search in files", read_only, idempotent, closed_world)]
pub(crate) fn fs_search(args: Search) -> Result<Output, Error> {
    let regex = RegexBuilder::new(&args.pattern)
        .case_insensitive(args.ignore_case)
        .build()
        .map_err(|error| Error::invalid_arguments(format!("pattern: {error}")))?;
    let glob = args.glob.as_deref().map(matcher).transpose()?;
    let mut report = Report::new(
        regex,
        args.context.unwrap_or(0),
        args.limit.unwrap_or(DEFAULT_LIMIT),
    );

    if let Some(path) = args.path.as_deref() {
        let path = Roots::granted()?.resolve(path)?;
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            report.search_file(&path);
            return Ok(report.output(true));
        }
    }
    let mut is_complete = true;
    for folder in folders(args.path.as_deref())? {
        let end = walk(&folder, usize::MAX, |entry| {
            report.unreachable.count(&entry);
            let is_meant = |relative| glob.as_ref().is_none_or(|glob| glob.is_match(relative));
            if entry.kind == Kind::File && is_meant(&entry.relative) {
                report.search_file(&entry.path);
            }
            !report.is_full
        })?;
        is_complete &= matches!(end, End::Complete);
    }
    Ok(report.output(is_complete))
}

struct Report {
    regex: Regex,
    context: usize,
    limit: usize,
    text: String,
    matches: usize,
    /// Files that could not be searched and that a model may have meant.
    skipped: usize,
    unreachable: Unreachable,
    is_full: bool,
}

impl Report {
    fn new(regex: Regex, context: usize, limit: usize) -> Self {
        Self {
            regex,
            context,
            limit,
            text: String::new(),
            matches: 0,
            skipped: 0,
            unreachable: Unreachable::default(),
            is_full: false,
        }
    }

    fn search_file(&mut self, path: &str) {
        let is_small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= MAX_FILE_BYTES);
        let Some(bytes) = is_small.then(|| fs::read(path).ok()).flatten() else {
            self.skipped += 1;
            return;
        };
        if !is_binary(&bytes[..bytes.len().min(8192)]) {
            self.search_text(path, &String::from_utf8_lossy(&bytes));
        }
    }

    fn search_text(&mut self, path: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let room = self.limit - self.matches;
        let mut found: Vec<usize> = (0..lines.len())
            .filter(|&index| self.regex.is_match(lines[index]))
            .take(room + 1)
            .collect();
        if found.len() > room {
            found.truncate(room);
            self.is_full = true;
        }
        // The first line that is not yet written.
        let mut next = 0;
        for (position, &index) in found.iter().enumerate() {
            if self.text.len() > MAX_OUTPUT_BYTES {
                self.is_full = true;
                return;
            }
            self.matches += 1;
            let first = index.saturating_sub(self.context).max(next);
            let is_apart = position == 0 || first > next;
            if self.context > 0 && is_apart && !self.text.is_empty() {
                self.text.push_str("--\n");
            }
            // A match within the context of this one is written in its turn.
            let following = found.get(position + 1).copied().unwrap_or(lines.len());
            let end = (index + self.context + 1).min(following);
            for (offset, line) in lines[first..end].iter().enumerate() {
                let number = first + offset;
                self.write(
                    path,
                    number + 1,
                    if number == index { ':' } else { '-' },
                    line,
                );
            }
            next = end;
        }
    }

    fn write(&mut self, path: &str, number: usize, separator: char, line: &str) {
        let cut = line
            .char_indices()
            .nth(MAX_LINE_CHARACTERS)
            .map(|(end, _)| &line[..end]);
        let (line, ellipsis) = cut.map_or((line, ""), |cut| (cut, "…"));
        self.text.push_str(&format!(
            "{path}{separator}{number}{separator}{line}{ellipsis}\n"
        ));
    }

    fn output(mut self, is_complete: bool) -> Output {
        let mut notes = Vec::new();
        if self.is_full || !is_complete {
            notes.push(format!(
                "Stopped after {} matching lines: narrow the search, or raise `limit`.",
                self.matches
            ));
        }
        if self.skipped > 0 {
            notes.push(format!(
                "{} files were too large or could not be read.",
                self.skipped
            ));
        }
        notes.extend(self.unreachable.note());
        self.text.truncate(self.text.trim_end().len());
        let output = Output::text(if self.matches == 0 {
            "No line matches.".to_owned()
        } else {
            self.text
        });
        if notes.is_empty() {
            output
        } else {
            output.with_text(notes.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use regex::Regex;

    fn search(
        pattern: &str,
        context: usize,
        limit: usize,
        files: &[(&str, &str)],
    ) -> (String, bool) {
        let mut report = Report::new(Regex::new(pattern).unwrap(), context, limit);
        for (path, text) in files {
            report.search_text(path, text);
        }
        (report.text, report.is_full)
    }

    #[test]
    fn matches_are_written_as_grep_does() {
        let text = "a\nx1\nb\nc\nd\nx2\nx3\ne\n";
        assert_eq!(
            search("x", 0, 9, &[("f", text)]).0,
            "f:2:x1\nf:6:x2\nf:7:x3\n"
        );
        assert_eq!(
            search("x", 1, 9, &[("f", text)]).0,
            "f-1-a\nf:2:x1\nf-3-b\n--\nf-5-d\nf:6:x2\nf:7:x3\nf-8-e\n"
        );
        assert_eq!(
            search("x", 2, 9, &[("f", text)]).0,
            "f-1-a\nf:2:x1\nf-3-b\nf-4-c\nf-5-d\nf:6:x2\nf:7:x3\nf-8-e\n"
        );
        assert_eq!(
            search("x", 1, 9, &[("f", "x"), ("g", "x")]).0,
            "f:1:x\n--\ng:1:x\n"
        );
    }

    #[test]
    fn a_search_stops_at_its_limit() {
        assert_eq!(
            search("x", 0, 1, &[("f", "x\nx\n")]),
            ("f:1:x\n".into(), true)
        );
        assert!(!search("x", 0, 2, &[("f", "x\nx\n")]).1);
    }
}
