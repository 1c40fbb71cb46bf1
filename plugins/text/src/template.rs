//! What replaces a match: text with references to the groups of a pattern.

use regex::{Captures, Regex};
use toolhost_plugin::Error;

/// A replacement, read.
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    /// Text that is taken as it is.
    pub(crate) fn literal(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    /// Text with `$1`, `${1}`, `${name}`, `$$`; also `\1` and `\g<name>` as in Python and sed, and `$<name>` and `$&` as in
    /// JavaScript. Models write all of them.
    pub(crate) fn parse(text: &str, regex: &Regex) -> Result<Self, Error> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let Some((name, length)) = reference(rest, regex.captures_len()) else {
                literal.push(character);
                // `$$` is one `$`.
                let skipped = if rest.starts_with("$$") {
                    2
                } else {
                    character.len_utf8()
                };
                rest = &rest[skipped..];
                continue;
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Group(group(name, regex)?));
            rest = &rest[length..];
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// Appends what replaces a match.
    pub(crate) fn expand(&self, captures: &Captures<'_>, output: &mut String) {
        for part in &self.0 {
            match part {
                Part::Text(text) => output.push_str(text),
                Part::Group(index) => {
                    output.push_str(captures.get(*index).map_or("", |group| group.as_str()));
                }
            }
        }
    }
}

/// The group that a text begins with a reference to, and the length of the reference.
fn reference(text: &str, groups: usize) -> Option<(&str, usize)> {
    if text.starts_with("$&") {
        return Some(("0", 2));
    }
    for (open, close) in [("${", "}"), ("$<", ">"), ("\\g<", ">")] {
        if let Some(name) = text.strip_prefix(open)
            && let Some((name, _)) = name.split_once(close)
        {
            return Some((name, open.len() + name.len() + 1));
        }
    }
    let digits = text.strip_prefix(['$', '\\'])?;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    // `$10` is group 10, or group 1 and a zero if there are fewer.
    let longest = (1..=end).rev().find(|end| {
        digits[..*end]
            .parse()
            .is_ok_and(|index: usize| index < groups)
    });
    let end = longest.or((end > 0).then_some(end))?;
    Some((&digits[..end], end + 1))
}

fn group(name: &str, regex: &Regex) -> Result<usize, Error> {
    let mut names = regex.capture_names();
    let found = match name.parse::<usize>() {
        Ok(index) => (index < regex.captures_len()).then_some(index),
        Err(_) => names.position(|other| other == Some(name)),
    };
    found.ok_or_else(|| {
        let groups = match regex.captures_len() - 1 {
            0 => "no groups".to_owned(),
            1 => "1 group".to_owned(),
            many => format!("{many} groups"),
        };
        Error::invalid_arguments(format!(
            "`replacement` refers to group {name:?}, but `pattern` has {groups}, and none of that name; `$$` is a plain `$`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::Template;
    use regex::Regex;

    fn replaced(pattern: &str, template: &str, text: &str) -> Result<String, String> {
        let regex = Regex::new(pattern).unwrap();
        let template =
            Template::parse(template, &regex).map_err(|error| error.message().to_owned())?;
        let mut output = String::new();
        template.expand(&regex.captures(text).unwrap(), &mut output);
        Ok(output)
    }

    #[test]
    fn groups_are_referred_to_in_every_usual_way() {
        let pattern = r"(\w)(?P<last>\w)";
        for (template, expected) in [
            ("$2$1", "ba"),
            ("${last}x$1y", "bxay"),
            ("$10", "a0"),
            (r"\2\1", "ba"),
            (r"\g<last>\g<1>", "ba"),
            ("$<last>$&", "bab"),
            ("$0 $$1 $x \\n é", "ab $1 $x \\n é"),
            ("", ""),
        ] {
            assert_eq!(
                replaced(pattern, template, "ab").as_deref(),
                Ok(expected),
                "{template}"
            );
        }
        for template in ["$3", r"\3", "${first}", r"\g<x>"] {
            let error = replaced(pattern, template, "ab").unwrap_err();
            assert!(error.contains("2 groups"), "{error}");
        }
    }
}
