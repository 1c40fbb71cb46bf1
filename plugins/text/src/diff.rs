//! `text_diff`.

use crate::source::{bounded, text};
use similar::{Algorithm, TextDiff};
use toolhost_plugin::{Error, arguments, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Diff {
    /// The old text.
    old: Option<String>,
    /// Path of a file with the old text, instead of `old`.
    old_path: Option<String>,
    /// The new text.
    new: Option<String>,
    /// Path of a file with the new text, instead of `new`.
    new_path: Option<String>,
    /// Unchanged lines to show around each change. Default: 3.
    #[schemars(range(max = 1000))]
    context: Option<usize>,
}

/// Compares two texts, or files, line by line. The result is a unified diff, as of diff -u or git diff; text_patch and
/// text_patch_files apply it.
#[tool(title = "Compare texts", read_only, idempotent, closed_world)]
pub(crate) fn text_diff(args: Diff) -> Result<String, Error> {
    let old_name = args.old_path.as_deref().unwrap_or("old").to_owned();
    // The same file twice makes no sense, so the diff is about one file: the old one.
    let new_name = args.new_path.as_deref().or(args.old_path.as_deref());
    let new_name = new_name.unwrap_or("new").to_owned();
    let old = text(("old", args.old), ("old_path", args.old_path.as_deref()))?;
    let new = text(("new", args.new), ("new_path", args.new_path.as_deref()))?;
    let diff = unified(&old, &new, &old_name, &new_name, args.context.unwrap_or(3));
    if diff.is_empty() {
        return Ok("The texts are the same.".to_owned());
    }
    bounded(diff)
}

fn unified(old: &str, new: &str, old_name: &str, new_name: &str, context: usize) -> String {
    let (old_lines, new_lines) = (lines(old), lines(new));
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .diff_slices(&old_lines, &new_lines);
    let mut output = String::new();
    for group in diff.grouped_ops(context) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        if output.is_empty() {
            output.push_str(&format!("--- {old_name}\n+++ {new_name}\n"));
        }
        output.push_str(&format!(
            "@@ -{} +{} @@\n",
            range(first.old_range().start, last.old_range().end),
            range(first.new_range().start, last.new_range().end)
        ));
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = change.value();
            output.push_str(&change.tag().to_string());
            output.push_str(line);
            if !line.ends_with('\n') {
                output.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    output
}

/// The lines, each with its `\n`. Only `\n` ends a line, as for every tool that reads diffs.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// As in a header: an empty range is named by the line before it.
fn range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        count => format!("{},{count}", start + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn diffs_are_unified() {
        let diff = |old, new, context| unified(old, new, "a", "b", context);
        assert_eq!(diff("x\n", "x\n", 3), "");
        assert_eq!(
            diff("1\n2\n3\n4\n", "1\n2\nx\n4\n", 1),
            "--- a\n+++ b\n@@ -2,3 +2,3 @@\n 2\n-3\n+x\n 4\n"
        );
        assert_eq!(
            diff("", "x", 3),
            "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"
        );
        assert_eq!(
            diff("a\r\n", "a\n", 0),
            "--- a\n+++ b\n@@ -1 +1 @@\n-a\r\n+a\n"
        );
    }
}
