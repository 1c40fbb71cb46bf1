//! Reads TOML tables key by key, so that every mistake is reported, each with its place.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Diagnostic, Location, similar};

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// The file being read and what was found wrong with it.
pub(super) struct Source<'s> {
    pub(super) file: &'s Path,
    pub(super) text: &'s str,
    pub(super) problems: Vec<Diagnostic>,
    /// Where each line but the first starts.
    lines: Vec<usize>,
}

impl<'s> Source<'s> {
    pub(super) fn new(file: &'s Path, text: &'s str) -> Self {
        let lines = text.match_indices('\n').map(|(at, _)| at + 1);
        Source {
            file,
            text,
            problems: Vec::new(),
            lines: lines.collect(),
        }
    }

    pub(super) fn location(&self, span: Range<usize>) -> Location {
        let at = self.text.floor_char_boundary(span.start);
        let line = self.lines.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).map_or(0, |line| self.lines[line]);
        Location {
            line: line + 1,
            column: self.text[start..at].chars().count() + 1,
        }
    }

    pub(super) fn problem(&mut self, span: Range<usize>, message: impl Into<String>) {
        let at = self.location(span);
        self.problems
            .push(Diagnostic::new(self.file, Some(at), message));
    }

    /// At a place that was taken down.
    pub(super) fn problem_at(&mut self, at: Option<Location>, message: impl Into<String>) {
        self.problems.push(Diagnostic::new(self.file, at, message));
    }

    pub(super) fn problem_with_help(&mut self, span: Range<usize>, message: String, help: String) {
        let at = self.location(span);
        self.problems
            .push(Diagnostic::new(self.file, Some(at), message).help(help));
    }
}

/// One table: each key is asked for once, and what nobody asked for is unknown.
pub(super) struct Table<'t, 'i> {
    entries: &'t DeTable<'i>,
    /// As its header has it, for messages: `plugin.fetch.permissions`.
    name: String,
    known: Vec<&'static str>,
}

impl<'t, 'i> Table<'t, 'i> {
    pub(super) fn new(entries: &'t DeTable<'i>, name: impl Into<String>) -> Self {
        Table {
            entries,
            name: name.into(),
            known: Vec::new(),
        }
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'t Value<'i>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.get(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A key of it, as messages name it.
    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    pub(super) fn string(&mut self, key: &'static str, source: &mut Source) -> Option<&'t str> {
        let value = self.get(key)?;
        expect_string(value, &self.path(key), source)
    }

    pub(super) fn bool(&mut self, key: &'static str, source: &mut Source) -> Option<bool> {
        let value = self.get(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            mismatch(value, &self.path(key), "true or false", source);
        }
        found
    }

    pub(super) fn table(
        &mut self,
        key: &'static str,
        source: &mut Source,
    ) -> Option<Table<'t, 'i>> {
        let path = self.path(key);
        expect_table(self.get(key)?, path, source)
    }

    pub(super) fn array(
        &mut self,
        key: &'static str,
        source: &mut Source,
    ) -> Option<&'t [Value<'i>]> {
        let value = self.get(key)?;
        let found = value.get_ref().as_array();
        if found.is_none() {
            mismatch(value, &self.path(key), "an array", source);
        }
        found.map(|array| &**array)
    }

    /// A whole number of at least one.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        most: usize,
        source: &mut Source,
    ) -> Option<usize> {
        self.count_from(key, 1, most, source)
    }

    pub(super) fn count_from(
        &mut self,
        key: &'static str,
        least: usize,
        most: usize,
        source: &mut Source,
    ) -> Option<usize> {
        let value = self.get(key)?;
        let found = value
            .get_ref()
            .as_integer()
            .and_then(|integer| usize::from_str_radix(integer.as_str(), integer.radix()).ok());
        let found = found.filter(|count| (least..=most).contains(count));
        if found.is_none() {
            let expected = match (least, most) {
                (0, usize::MAX) => "an integer".to_owned(),
                (1, usize::MAX) => "an integer greater than zero".to_owned(),
                (least, usize::MAX) => format!("an integer of at least {least}"),
                (least, most) => format!("an integer from {least} to {most}"),
            };
            mismatch(value, &self.path(key), &expected, source);
        }
        found
    }

    /// A number, whole or not.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
        source: &mut Source,
    ) -> Option<f64> {
        let value = self.get(key)?;
        let found = to_json(value.get_ref()).as_f64();
        let found = found.filter(|number| range.contains(number));
        if found.is_none() {
            let expected = format!("a number from {} to {}", range.start(), range.end());
            mismatch(value, &self.path(key), &expected, source);
        }
        found
    }

    /// A string in a form of its own, such as `"30s"`.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        source: &mut Source,
    ) -> Option<T> {
        let value = self.get(key)?;
        let found = value.get_ref().as_str().and_then(parse);
        if found.is_none() {
            mismatch(value, &self.path(key), expected, source);
        }
        found
    }

    /// Every entry, whatever its key.
    pub(super) fn entries(
        &self,
    ) -> impl Iterator<
        Item = (
            &'t Spanned<std::borrow::Cow<'i, str>>,
            &'t Value<'i>,
            String,
        ),
    > {
        self.entries
            .iter()
            .map(|(key, value)| (key, value, self.path(key.get_ref())))
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self, source: &mut Source) {
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let message = match self.name.as_str() {
                "" => format!("unknown key `{name}`"),
                table => format!("unknown key `{name}` in `{table}`"),
            };
            let near = similar(name, self.known.iter().copied());
            let is_of_clients =
                self.name.is_empty() && ["mcpServers", "mcp_servers", "servers"].contains(&name);
            let help = match near.first() {
                _ if is_of_clients => {
                    "MCP servers are `[mcp.NAME]` here, with `command` and `args`, or with `url`; `toolhost \
                     import FILE` converts a client's JSON"
                        .to_owned()
                }
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", self.known.join(", ")),
            };
            source.problem_with_help(key.span(), message, help);
        }
    }
}

/// A path of the manifest: relative to its folder, and below the user's home folder where it begins with `~/`.
pub(super) fn path_in(folder: &Path, text: &str) -> PathBuf {
    let below_home = match text {
        "~" => Some(""),
        _ => text.strip_prefix("~/"),
    };
    match (below_home, std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => folder.join(text),
    }
}

pub(super) fn expect_string<'t>(
    value: &'t Value,
    path: &str,
    source: &mut Source,
) -> Option<&'t str> {
    let found = value.get_ref().as_str();
    if found.is_none() {
        mismatch(value, path, "a string", source);
    }
    found
}

pub(super) fn expect_table<'t, 'i>(
    value: &'t Value<'i>,
    path: String,
    source: &mut Source,
) -> Option<Table<'t, 'i>> {
    match value.get_ref().as_table() {
        Some(entries) => Some(Table::new(entries, path)),
        None => {
            mismatch(value, &path, "a table", source);
            None
        }
    }
}

/// A string that parses, or a problem that says why it does not.
pub(super) fn expect_parsed<T: FromStr<Err: Display>>(
    value: &Value,
    path: &str,
    source: &mut Source,
) -> Option<T> {
    match expect_string(value, path, source)?.parse() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            source.problem(value.span(), format!("`{path}`: {error}"));
            None
        }
    }
}

pub(super) fn mismatch(value: &Value, path: &str, expected: &str, source: &mut Source) {
    let found = match value.get_ref() {
        // Somebody may have put the secret itself there.
        DeValue::String(_)
            if [
                ".secrets",
                ".http-headers",
                ".token",
                "agent.key",
                "serve.auth",
            ]
            .iter()
            .any(|it| path.contains(it)) =>
        {
            "a string".to_owned()
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        other => format!("a {}", other.type_str()),
    };
    let message = format!("`{path}` must be {expected}, but is {found}");
    match example(path) {
        Some(example) => {
            source.problem_with_help(value.span(), message, format!("for example: {example}"));
        }
        None => source.problem(value.span(), message),
    }
}

/// A value as it is written that people get wrong, by its key.
fn example(path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.split('.').collect();
    Some(match parts[..] {
        ["agent", "key"] => {
            "key = { env = \"OPENAI_API_KEY\" }, or key = { file = \"openai.key\" }"
        }
        ["mcp", _, "token"] => {
            "token = { env = \"EXAMPLE_TOKEN\" }, or token = { file = \"token.txt\" }"
        }
        [.., "secrets"] | [.., "secrets", _] => {
            "secrets = { TOKEN = { env = \"EXAMPLE_TOKEN\" } }, or { TOKEN = { file = \"token.txt\" } }"
        }
        [.., "permissions", "files"] => {
            "files = [{ host = \"./notes\", guest = \"/notes\", access = \"read-only\" }]"
        }
        [.., "permissions", "http"] => "http = [\"https://*.example.com\"]",
        [.., "http-headers"] => {
            "http-headers = [{ host = \"api.github.com\", name = \"Authorization\", value = \"Bearer ${TOKEN}\" }]"
        }
        [.., "env"] => "env = { TZ = \"UTC\" }",
        ["mcp", _, "args"] => "args = [\"-y\", \"@modelcontextprotocol/server-filesystem\", \".\"]",
        ["plugin", _] => "[plugin.time] followed by path = \"plugins/time.wasm\"",
        ["mcp", _] => "[mcp.files] followed by command = \"npx\" and args = [\"-y\", …]",
        ["serve", "tls"] => "tls = { certificate = \"cert.pem\", key = \"key.pem\" }",
        _ => return None,
    })
}

/// The JSON that a TOML value stands for; dates and times become strings.
pub(super) fn to_json(value: &DeValue) -> serde_json::Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string().into(), Into::into),
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map_or_else(|| number.as_str().into(), serde_json::Value::Number),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(entries) => entries
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref())))
            .collect(),
    }
}
