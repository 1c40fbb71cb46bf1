//! `text_count`.

use crate::replace::regex;
use crate::source::text;
use toolhost_plugin::{Error, Json, arguments, structured, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Count {
    /// The text.
    text: Option<String>,
    /// Path of a file with the text, instead of `text`.
    path: Option<String>,
    /// Also count the matches of this regular expression, which do not overlap.
    pattern: Option<String>,
    /// Take `pattern` as plain text.
    #[serde(default)]
    literal: bool,
    /// Ignore case in `pattern`.
    #[serde(default)]
    ignore_case: bool,
}

#[structured]
pub(crate) struct Counts {
    /// Lines; a last one without newline counts.
    lines: usize,
    /// Words: what whitespace separates.
    words: usize,
    /// Unicode characters, as code points.
    characters: usize,
    /// Bytes in UTF-8.
    bytes: usize,
    /// Matches of `pattern`.
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<usize>,
}

/// Counts the lines, words, characters and bytes of a text or file, and the matches of a pattern.
#[tool(title = "Count", read_only, idempotent, closed_world)]
pub(crate) fn text_count(args: Count) -> Result<Json<Counts>, Error> {
    let text = text(("text", args.text), ("path", args.path.as_deref()))?;
    let matches = match &args.pattern {
        None => None,
        Some(pattern) => {
            let regex = regex(pattern, args.literal, |builder| {
                builder.case_insensitive(args.ignore_case)
            })?;
            Some(regex.find_iter(&text).count())
        }
    };
    Ok(Json(Counts {
        lines: text.split_inclusive('\n').count(),
        words: text.split_whitespace().count(),
        characters: text.chars().count(),
        bytes: text.len(),
        matches,
    }))
}
