//! Tool names with remnants of a model's chat template: `functions.search`,
//! `search<|channel|>commentary`, `default_api:search`.
//!
//! Only known remnants are removed, and only if nothing else is lost: a name with arguments in it
//! is left as it is, since the call does not have them.

/// A longer name is not a tool's.
const LONGEST: usize = 512;

/// Prefixes that models put before a tool's name.
const PREFIXES: &[&str] = &[
    "functions.",
    "functions:",
    "functions/",
    "function.",
    "function=",
    "<function=",
    "default_api.",
    "default_api:",
    "tools.",
    "tool.",
    "call:",
    "print(",
    "<tool_call>",
    "[TOOL_CALLS]",
];

/// Suffixes that they put after it.
const SUFFIXES: &[&str] = &["</tool_call>", "</function>", "[ARGS]", "()", "(", ")", ">"];

/// Words of templates: roles, channels, content types.
const WORDS: &[&str] = &[
    "assistant",
    "analysis",
    "commentary",
    "final",
    "function",
    "tool",
    "json",
    "code",
];

/// Finds the tool for a name: itself, or the first match as remnants are removed one by one.
pub fn find(name: &str, is_tool: impl Fn(&str) -> bool) -> Option<&str> {
    if is_tool(name) {
        return Some(name);
    }
    let mut name = Some(name).filter(|name| name.len() <= LONGEST);
    while let Some(longer) = name {
        name = stripped(longer);
        if let Some(shorter) = name
            && is_tool(shorter)
        {
            return name;
        }
    }
    None
}

/// The name with one remnant less.
fn stripped(name: &str) -> Option<&str> {
    let is_blank = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '\\' | '\u{feff}' | '\u{200b}')
    };
    let trimmed = name.trim_matches(is_blank);
    if trimmed.len() < name.len() {
        return Some(trimmed).filter(|name| !name.is_empty());
    }
    if let Some((before, after)) = split_at_token(name) {
        let head = before.trim();
        return match after.contains("to=") || before.is_empty() {
            // In a header, the recipient is the tool.
            true if is_of_template(head) => Some(after),
            true => None,
            // The type of the call, followed by the name.
            false if is_of_template(head) && !is_of_template(after) => Some(after),
            false => is_of_template(after).then_some(head),
        };
    }
    if let Some((before, recipient)) = name.split_once("to=")
        && is_of_template(before)
    {
        return Some(recipient);
    }
    if let Some((head, tail)) = name.split_once(char::is_whitespace) {
        return (!is_of_template(head) && is_of_template(tail)).then_some(head);
    }
    if let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        // Some number the calls: `functions.search:0`.
        return Some(match rest.rsplit_once(':') {
            Some((head, count))
                if !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) =>
            {
                head
            }
            _ => rest,
        });
    }
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))
}

/// Splits at the first special token, such as `<|channel|>`.
fn split_at_token(name: &str) -> Option<(&str, &str)> {
    const BARS: [(&str, &str); 2] = [("<|", "|>"), ("<｜", "｜>")];
    let found = BARS.iter().filter_map(|(begin, end)| {
        let (before, rest) = name.split_once(begin)?;
        // A token that is cut off extends to the end.
        let after = rest.split_once(end).map_or("", |(_, after)| after);
        Some((before, after))
    });
    found.min_by_key(|(before, _)| before.len())
}

/// Whether a text consists of words and tokens of templates.
fn is_of_template(mut text: &str) -> bool {
    while let Some((before, after)) = split_at_token(text) {
        if !has_only_words(before) {
            return false;
        }
        text = after;
    }
    has_only_words(text)
}

fn has_only_words(text: &str) -> bool {
    text.split_whitespace().all(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::find;

    const TOOLS: &[&str] = &["search", "json", "tool.search", "fs_read"];

    fn found(name: &str) -> Option<&str> {
        find(name, |name| TOOLS.contains(&name))
    }

    #[test]
    fn what_a_template_leaves_on_a_name_is_taken_off() {
        for name in [
            "search",
            "functions.search",
            "functions.search:0",
            "functions:search",
            "function=search",
            "<function=search>",
            "default_api:search",
            "print(default_api.search",
            "print(default_api.search())",
            "tools.search",
            " search\n",
            "\"search\"",
            "\\\"search\\\"",
            "`search`",
            "search()",
            "search<|channel|>commentary",
            "search<|channel|>commentary<|constrain|>json",
            "search <|constrain|>json",
            "search<|",
            "search json",
            "<|channel|>commentary to=functions.search <|constrain|>json<|message|>",
            "assistant<|channel|>analysis to=functions.search code",
            "commentary to=search",
            "<|tool_call|>search",
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>search",
            "[TOOL_CALLS]search[ARGS]",
            "<tool_call>search</tool_call>",
        ] {
            assert_eq!(found(name), Some("search"), "{name}");
        }
        // As little as possible is removed.
        assert_eq!(found("functions.tool.search"), Some("tool.search"));
        // A word of templates can be a tool as well.
        assert_eq!(found("json"), Some("json"));
        assert_eq!(found("functions.json"), Some("json"));
    }

    #[test]
    fn nothing_is_guessed() {
        let long = format!("functions.{}search", " ".repeat(1000));
        for name in [
            "",
            " ",
            "Search",
            "FUNCTIONS.search",
            "other.search",
            "functions.searches",
            "searchh",
            "fs_read.search",
            "fs_read,search",
            "fs_read search",
            "search fs_read",
            // Its arguments would be lost.
            "search(query=\"x\")",
            "search{\"query\":\"x\"}",
            "search<|message|>{\"query\":\"x\"}",
            // Two tools are called.
            "search<|channel|>commentary to=functions.fs_read",
            "search<|tool_sep|>fs_read",
            "multi_tool_use.search",
            &long,
        ] {
            assert_eq!(found(name), None, "{name}");
        }
    }
}
