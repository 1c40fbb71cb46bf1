//! `text_replace` and `text_replace_in_file`.

use crate::source::{MAX_FILE_BYTES, bounded, text};
use crate::template::Template;
use granted_files::{read_text, replace_content};
use regex::{Regex, RegexBuilder};
use toolhost_plugin::{Error, Output, arguments, tool};

/// No replacement makes a text longer than a tool could hold.
const MAX_RESULT_BYTES: usize = 16_000_000;

/// What to replace, and by what.
#[arguments]
pub(crate) struct Rule {
    /// Regular expression (RE2 syntax: no look-around, no back-references), such as "(\\w+)@example\\.com". "^" and "$" match
    /// at line ends if `multi_line` is set, and "." matches newlines if the pattern starts with "(?s)".
    pattern: String,
    /// Replacement; "$1" or "${name}" is a group of the pattern, "$0" the whole match, "$$" a plain "$".
    replacement: String,
    /// Take `pattern` and `replacement` as plain text.
    #[serde(default)]
    literal: bool,
    /// Ignore case.
    #[serde(default)]
    ignore_case: bool,
    /// "^" and "$" match at the start and end of each line.
    #[serde(default)]
    multi_line: bool,
    /// Maximum number of replacements, from the start. Default: all.
    #[schemars(range(min = 1))]
    count: Option<usize>,
}

#[arguments]
#[schemars(extend("additionalProperties" = false))]
pub(crate) struct Replace {
    /// The text.
    text: Option<String>,
    /// Path of a file with the text, instead of `text`; it is not changed.
    path: Option<String>,
    #[serde(flatten)]
    rule: Rule,
}

/// Replaces what a regular expression matches in a text, and returns the result and the number of replacements.
#[tool(title = "Replace in a text", read_only, idempotent, closed_world)]
pub(crate) fn text_replace(args: Replace) -> Result<Output, Error> {
    let text = text(("text", args.text), ("path", args.path.as_deref()))?;
    let (replaced, count) = args.rule.apply(&text)?;
    Ok(Output::text(bounded(replaced)?).with_text(match count {
        0 => "Nothing matches `pattern`; the text is unchanged.".to_owned(),
        1 => "1 replacement.".to_owned(),
        many => format!("{many} replacements."),
    }))
}

#[arguments]
#[schemars(extend("additionalProperties" = false))]
pub(crate) struct ReplaceInFile {
    /// Path of the file.
    path: String,
    #[serde(flatten)]
    rule: Rule,
}

/// Replaces what a regular expression matches in a file.
#[tool(title = "Replace in a file", destructive, closed_world)]
pub(crate) fn text_replace_in_file(args: ReplaceInFile) -> Result<String, Error> {
    let (path, text) = read_text(&args.path, MAX_FILE_BYTES)?;
    let (replaced, count) = args.rule.apply(&text)?;
    if count == 0 {
        return Err(Error::failed(format!(
            "nothing in {path} matches `pattern`; the file is unchanged"
        )));
    }
    replace_content(&path, text.as_bytes(), replaced.as_bytes())?;
    Ok(match count {
        1 => format!("1 replacement in {path}."),
        many => format!("{many} replacements in {path}."),
    })
}

impl Rule {
    /// The text with replacements, and how many there were.
    fn apply(&self, text: &str) -> Result<(String, usize), Error> {
        let regex = self.regex()?;
        let template = if self.literal {
            Template::literal(&self.replacement)
        } else {
            Template::parse(&self.replacement, &regex)?
        };
        let (mut output, mut done, mut count) = (String::new(), 0, 0);
        for captures in regex
            .captures_iter(text)
            .take(self.count.unwrap_or(usize::MAX))
        {
            let whole = captures.get_match();
            output.push_str(&text[done..whole.start()]);
            template.expand(&captures, &mut output);
            done = whole.end();
            count += 1;
            if output.len() > MAX_RESULT_BYTES {
                return Err(Error::failed(format!(
                    "the result would be longer than {MAX_RESULT_BYTES} bytes"
                )));
            }
        }
        output.push_str(&text[done..]);
        Ok((output, count))
    }

    fn regex(&self) -> Result<Regex, Error> {
        regex(&self.pattern, self.literal, |builder| {
            builder
                .case_insensitive(self.ignore_case)
                .multi_line(self.multi_line)
        })
    }
}

/// A pattern, compiled.
pub(crate) fn regex(
    pattern: &str,
    literal: bool,
    options: impl FnOnce(&mut RegexBuilder) -> &mut RegexBuilder,
) -> Result<Regex, Error> {
    let escaped;
    let pattern = if literal {
        escaped = regex::escape(pattern);
        &escaped
    } else {
        pattern
    };
    options(&mut RegexBuilder::new(pattern))
        .build()
        .map_err(|error| Error::invalid_arguments(format!("pattern: {error}")))
}
