//! [`ToolPattern`]: the tools that `permissions.tools` names.

use std::fmt;
use std::str::FromStr;

use crate::error::InvalidValue;

/// The longest pattern; tool names have at most 64 characters.
const MAX_LENGTH: usize = 128;

/// A tool's name, in which `*` stands for any text.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::permissions::ToolPattern;
///
/// let pattern: ToolPattern = "calc*".parse()?;
/// assert!(pattern.matches("calculate"));
/// assert!(!pattern.matches("fs_read"));
/// # Ok::<(), toolhost::error::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolPattern(String);

impl ToolPattern {
    /// Whether it matches a tool, by its name as clients call it.
    pub fn matches(&self, tool: &str) -> bool {
        let Some((beginning, rest)) = self.0.split_once('*') else {
            return self.0 == tool;
        };
        let Some(mut tool) = tool.strip_prefix(beginning) else {
            return false;
        };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The leftmost place of each part leaves the most for those after it.
        for part in middle.split('*') {
            let Some(at) = tool.find(part) else {
                return false;
            };
            tool = &tool[at + part.len()..];
        }
        tool.ends_with(end)
    }
}

impl fmt::Display for ToolPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ToolPattern {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-*".contains(&byte);
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(is_valid) {
            let message = format!(
                "`{}` is not a tool or a pattern of tools: use A-Z, a-z, 0-9, `_`, `-`, and `*` for any text",
                text.chars().take(MAX_LENGTH).collect::<String>()
            );
            return Err(InvalidValue::new(message));
        }
        Ok(ToolPattern(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::ToolPattern;

    #[test]
    fn a_star_stands_for_any_text() {
        let matches = |pattern: &str, tool: &str| {
            let pattern: ToolPattern = pattern.parse().unwrap();
            pattern.matches(tool)
        };
        for (pattern, tool) in [
            ("*", "calc"),
            ("calc", "calc"),
            ("calc*", "calc"),
            ("calc*", "calculate"),
            ("*_read", "fs_read"),
            ("fs_*_file", "fs_read_file"),
            ("a*b*c", "a-b-b-c"),
            ("a**c", "ac"),
        ] {
            assert!(matches(pattern, tool), "{pattern} {tool}");
        }
        for (pattern, tool) in [
            ("calc", "calculate"),
            ("calc*", "acalc"),
            ("*_read", "fs_read_file"),
            ("ab*ba", "aba"),
            ("a*b*c", "acb"),
        ] {
            assert!(!matches(pattern, tool), "{pattern} {tool}");
        }
        for pattern in ["", "fs read", "a?", &"a".repeat(200)] {
            assert!(pattern.parse::<ToolPattern>().is_err(), "{pattern}");
        }
    }
}
