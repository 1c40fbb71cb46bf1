//! Reads TOML tables key by key, so that every mistake is reported with its location.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Diagnostic, Location, similar};

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// The file being read, and the problems found so far.
pub(super) struct ManifestSource<'s> {
    pub(super) file: &'s Path,
    pub(super) text: &'s str,
    pub(super) problems: Vec<Diagnostic>,
    /// The start of each line but the first.
    lines: Vec<usize>,
}

impl<'s> ManifestSource<'s> {
    pub(super) fn new(file: &'s Path, text: &'s str) -> Self {
        let lines = text.match_indices('\n').map(|(at, _)| at + 1);
        ManifestSource {
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

    /// Reports a problem at a location saved earlier.
    pub(super) fn problem_at(&mut self, at: Option<Location>, message: impl Into<String>) {
        self.problems.push(Diagnostic::new(self.file, at, message));
    }

    pub(super) fn problem_with_help(&mut self, span: Range<usize>, message: String, help: String) {
        let at = self.location(span);
        self.problems
            .push(Diagnostic::new(self.file, Some(at), message).help(help));
    }
}

/// A table. Each key is read once; keys that were never read are reported as unknown.
pub(super) struct ManifestTable<'t, 'i> {
    entries: &'t DeTable<'i>,
    /// Its name in messages, as in its header: `plugin.fetch.permissions`.
    name: String,
    known: Vec<&'static str>,
}

impl<'t, 'i> ManifestTable<'t, 'i> {
    pub(super) fn new(entries: &'t DeTable<'i>, name: impl Into<String>) -> Self {
        ManifestTable {
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

    /// The full name of one of its keys, for messages.
    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    pub(super) fn string(
        &mut self,
        key: &'static str,
        source: &mut ManifestSource,
    ) -> Option<&'t str> {
        let value = self.get(key)?;
        expect_string(value, &self.path(key), source)
    }

    pub(super) fn bool(&mut self, key: &'static str, source: &mut ManifestSource) -> Option<bool> {
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
        source: &mut ManifestSource,
    ) -> Option<ManifestTable<'t, 'i>> {
        let path = self.path(key);
        expect_table(self.get(key)?, path, source)
    }

    pub(super) fn array(
        &mut self,
        key: &'static str,
        source: &mut ManifestSource,
    ) -> Option<&'t [Value<'i>]> {
        let value = self.get(key)?;
        let found = value.get_ref().as_array();
        if found.is_none() {
            mismatch(value, &self.path(key), "an array", source);
        }
        found.map(|array| &**array)
    }

    /// Reads a whole number of at least one.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        most: usize,
        source: &mut ManifestSource,
    ) -> Option<usize> {
        self.count_from(key, 1, most, source)
    }

    pub(super) fn count_from(
        &mut self,
        key: &'static str,
        least: usize,
        most: usize,
        source: &mut ManifestSource,
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

    /// Reads a number, whole or not.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
        source: &mut ManifestSource,
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

    /// Reads a string with a syntax of its own, such as `"30s"`.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        source: &mut ManifestSource,
    ) -> Option<T> {
        let value = self.get(key)?;
        let found = value.get_ref().as_str().and_then(parse);
        if found.is_none() {
            mismatch(value, &self.path(key), expected, source);
        }
        found
    }

    /// Reads all entries, whatever their keys.
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

    /// Reports the keys that were not read.
    pub(super) fn finish(self, source: &mut ManifestSource) {
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

/// Resolves a path of the manifest: relative to its folder, or to the user's home folder if it
/// begins with `~/`.
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
    source: &mut ManifestSource,
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
    source: &mut ManifestSource,
) -> Option<ManifestTable<'t, 'i>> {
    match value.get_ref().as_table() {
        Some(entries) => Some(ManifestTable::new(entries, path)),
        None => {
            mismatch(value, &path, "a table", source);
            None
        }
    }
}

/// Parses a string, or reports why it does not parse.
pub(super) fn expect_parsed<T: FromStr<Err: Display>>(
    value: &Value,
    path: &str,
    source: &mut ManifestSource,
) -> Option<T> {
    match expect_string(value, path, source)?.parse() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            source.problem(value.span(), format!("`{path}`: {error}"));
            None
        }
    }
}

pub(super) fn mismatch(value: &Value, path: &str, expected: &str, source: &mut ManifestSource) {
    let found = match value.get_ref() {
        // Someone may have put the secret itself there.
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

/// An example value for keys that people often get wrong.
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

/// The JSON for a TOML value; dates and times become strings.
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
