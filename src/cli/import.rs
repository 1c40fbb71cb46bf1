//! `toolhost import`: turns the MCP servers of a client's configuration (Claude, VS Code, Cursor
//! and others) into tables of the manifest.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, value};
use toolhost::bounded_read;
use toolhost::manifest::{FILE_NAME, MAX_MANIFEST};
use toolhost::{LoadError, Manifest};

use super::input::{read_file, read_stdin};
use super::out::{Out, say};
use super::{ANSWERED, CommandContext, Status, is_in_name};

#[derive(clap::Args)]
pub(super) struct ImportOptions {
    /// JSON file with `mcpServers` or `servers`; `-` reads it from stdin
    file: PathBuf,

    /// Append the tables to the manifest instead of printing them
    #[arg(long)]
    append: bool,
}

/// The keys under which clients keep their servers.
const KEYS: [&str; 3] = ["mcpServers", "servers", "context_servers"];

pub(super) fn run(options: &ImportOptions, session: &CommandContext) -> anyhow::Result<Status> {
    let (file, bytes) = match options.file.to_str() {
        Some("-") => ("stdin".to_owned(), read_stdin()?),
        _ => {
            let file = options.file.display().to_string();
            let bytes = read_file(&options.file).with_context(|| format!("cannot read {file}"))?;
            (file, bytes)
        }
    };
    let config: Value = serde_json::from_str(&without_comments(&String::from_utf8_lossy(&bytes)))
        .with_context(|| format!("{file} is not JSON"))?;
    let servers = servers_of(&config).with_context(|| {
        format!(
            "no servers in {file}: expected `mcpServers` (Claude, Cursor) or `servers` (VS Code)"
        )
    })?;
    let mut notes = Vec::new();
    let mut document = DocumentMut::new();
    let mut mcp = Table::new();
    mcp.set_implicit(true);
    for (name, server) in servers {
        let name = name.replace(|c: char| !is_in_name(c), "-");
        let mut own = Vec::new();
        let table = server_of(&name, server, &mut own);
        // Write only what can be read.
        let table = table.and_then(|table| match problem_of(&name, &table, session) {
            None => Ok(table),
            Some(problem) => Err(problem),
        });
        if table.is_ok() && !mcp.contains_key(&name) {
            notes.append(&mut own);
        }
        match table {
            Ok(_) if mcp.contains_key(&name) => {
                notes.push(format!(
                    "skipped another server `{name}`: the name is taken"
                ));
            }
            Ok(table) => {
                mcp.insert(&name, Item::Table(table));
            }
            Err(why) => notes.push(format!("skipped `{name}`: {why}")),
        }
    }
    if mcp.is_empty() {
        bail!("no server in {file} can be imported: {}", notes.join("; "));
    }
    let names: Vec<String> = mcp.iter().map(|(name, _)| name.to_owned()).collect();
    document.insert("mcp", Item::Table(mcp));
    let text = document.to_string();
    match options.append {
        false => Out::stdout().text(&text)?,
        true => {
            let file = session.manifest_file()?;
            session.check_written(&file)?;
            append(&file, &text, &names)?;
        }
    }
    for note in notes {
        say!("note: {note}");
    }
    Ok(ANSWERED)
}

fn servers_of(config: &Value) -> Option<&Map<String, Value>> {
    // VS Code's settings nest them one level deeper.
    let nested = config.get("mcp").into_iter();
    let mut places = [config].into_iter().chain(nested);
    places.find_map(|place| KEYS.iter().find_map(|key| place.get(key)?.as_object()))
}

/// Removes comment lines, which editors allow in JSON.
fn without_comments(text: &str) -> String {
    let lines = text.trim_start_matches('\u{feff}').lines();
    let lines: Vec<&str> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    lines.join("\n")
}

/// What is wrong with a table of the manifest.
fn problem_of(name: &str, table: &Table, session: &CommandContext) -> Option<String> {
    let mut mcp = Table::new();
    mcp.set_implicit(true);
    mcp.insert(name, Item::Table(table.clone()));
    let mut document = DocumentMut::new();
    document.insert("mcp", Item::Table(mcp));
    let file = session.manifest.clone().unwrap_or_else(|| FILE_NAME.into());
    match Manifest::parse(&document.to_string(), file) {
        Err(LoadError::Invalid(problems)) => problems.into_iter().next().map(|it| it.message),
        Err(error) => Some(error.to_string()),
        Ok(_) => None,
    }
}

/// Members of a server that are read here: of all servers, of programs, of URLs.
const OF_ALL: [&str; 4] = ["type", "transport", "disabled", "enabled"];
const OF_COMMAND: [&str; 4] = ["command", "args", "cwd", "env"];
const OF_URL: [&str; 4] = ["url", "serverUrl", "httpUrl", "headers"];

/// Notes the members of a server that are not imported: unknown to the manifest, or of an unexpected type.
fn note_rest(name: &str, server: &Value, read: &[&str], notes: &mut Vec<String>) {
    for (member, given) in server.as_object().into_iter().flatten() {
        let is_read = read.iter().chain(&OF_ALL).any(|it| it == member);
        let is_expected = match &**member {
            "args" => given.is_array(),
            "env" | "headers" => given.is_object(),
            "disabled" | "enabled" => given.is_boolean(),
            _ => given.is_string(),
        };
        if given.is_null() || is_read && is_expected {
            continue;
        }
        let instead = match &**member {
            _ if is_read => "unexpected type",
            "timeout" => "set `timeout` with a unit, such as \"60s\"",
            "envFile" | "env_file" => "list its variables in `env` and `secrets`",
            "alwaysAllow" | "autoApprove" | "trust" => {
                "`toolhost agent --approve` asks before calls of tools that are not read-only"
            }
            "includeTools" | "enabledTools" | "allowedTools" | "excludeTools" | "disabledTools" => {
                "list the tools to offer in `tools`"
            }
            _ => "the manifest has no such key",
        };
        notes.push(format!("skipped `{member}` of `{name}`: {instead}"));
    }
}

fn server_of(name: &str, server: &Value, notes: &mut Vec<String>) -> Result<Table, String> {
    let text = |key: &str| server.get(key).and_then(Value::as_str);
    let says = |key: &str, is: bool| server.get(key) == Some(&Value::Bool(is));
    if says("disabled", true) || says("enabled", false) {
        return Err("it is disabled".to_owned());
    }
    if text("type").or(text("transport")) == Some("sse") {
        return Err("it uses the old SSE transport: use its streamable HTTP URL".to_owned());
    }
    let mut table = Table::new();
    if let Some(command) = text("command") {
        note_rest(name, server, &OF_COMMAND, notes);
        table.insert("command", value(command));
        let args = server.get("args").and_then(Value::as_array);
        let args: Array = args.into_iter().flatten().map(written).collect();
        if args
            .iter()
            .filter_map(toml_edit::Value::as_str)
            .any(may_hold_secret)
        {
            notes.push(copied(name, "args"));
        }
        if !args.is_empty() {
            table.insert("args", value(args));
        }
        if let Some(cwd) = text("cwd") {
            table.insert("cwd", value(cwd));
        }
        let mut env = InlineTable::new();
        let mut secrets = InlineTable::new();
        for (variable, given) in server
            .get("env")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let given = written(given);
            match secret_of(variable, &given) {
                Some(from) => {
                    notes.push(format!(
                        "`{name}` reads `{variable}` from the environment variable {from}, which must be set: \
                         secrets do not belong in a manifest"
                    ));
                    secrets.insert(variable, from_env(&from).into());
                }
                None => drop(env.insert(variable, given.into())),
            }
        }
        if !env.is_empty() {
            table.insert("env", value(env));
        }
        if !secrets.is_empty() {
            table.insert("secrets", value(secrets));
        }
        return Ok(table);
    }
    let url = ["url", "serverUrl", "httpUrl"].into_iter().find_map(text);
    let Some(url) = url else {
        return Err("it has neither `command` nor `url`".to_owned());
    };
    note_rest(name, server, &OF_URL, notes);
    if may_hold_secret(url) {
        notes.push(copied(name, "url"));
    }
    table.insert("url", value(url));
    for (header, given) in server
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let given = written(given);
        let is_bearer = header.eq_ignore_ascii_case("authorization")
            && given
                .get(..7)
                .is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
        if !is_bearer {
            notes.push(format!(
                "the header `{header}` of `{name}` is not imported: see `http-headers` in docs/manifest.md"
            ));
            continue;
        }
        let upper = name.to_ascii_uppercase().replace('-', "_");
        let from = reference(&given[7..]).unwrap_or_else(|| format!("{upper}_TOKEN"));
        notes.push(format!(
            "`{name}` reads its token from the environment variable {from}, which must be set"
        ));
        table.insert("token", value(from_env(&from)));
    }
    Ok(table)
}

fn from_env(variable: &str) -> InlineTable {
    InlineTable::from_iter([("env", variable)])
}

fn written(given: &Value) -> String {
    match given {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The variable that a secret comes from: the one that the client's configuration names, or one of
/// the same name.
fn secret_of(variable: &str, given: &str) -> Option<String> {
    let upper = variable.to_ascii_uppercase();
    let parts = ["TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];
    let is_secret = parts.iter().any(|part| upper.contains(part));
    match reference(given) {
        Some(from) => Some(from),
        None => is_secret.then(|| variable.to_owned()),
    }
}

/// Whether a value that is copied may contain a secret.
fn may_hold_secret(given: &str) -> bool {
    const SIGNS: [&str; 10] = [
        "token",
        "key",
        "secret",
        "passw",
        "bearer",
        "authorization",
        "sk-",
        "ghp_",
        "github_pat_",
        "${",
    ];
    let lower = given.to_ascii_lowercase();
    let has_password = url::Url::parse(given).is_ok_and(|url| url.password().is_some());
    has_password || SIGNS.iter().any(|sign| lower.contains(sign))
}

fn copied(name: &str, member: &str) -> String {
    format!("the `{member}` of `{name}` was copied unchanged: check it for secrets and variables")
}

/// The variable that a value refers to: `${NAME}`, `${env:NAME}`, `${input:name}`, `$NAME`.
fn reference(given: &str) -> Option<String> {
    let braced = given
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    let name = braced.or_else(|| given.strip_prefix('$'))?;
    let name = name
        .split_once(':')
        .map_or(name, |(kind, rest)| match kind {
            "env" | "input" => rest,
            // With a default: `${NAME:-default}`.
            name => name,
        });
    let name = name.replace('-', "_");
    let is_variable =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_variable.then_some(name)
}

/// Appends tables to the manifest, and checks that it is still valid.
fn append(file: &Path, text: &str, names: &[String]) -> anyhow::Result<()> {
    let before = Manifest::read(file)?;
    let known = before.mcp.iter().map(|server| &server.name);
    let twice: Vec<&str> = known
        .filter(|name| names.contains(name))
        .map(|name| &**name)
        .collect();
    if !twice.is_empty() {
        bail!(
            "{} already has these servers: {}",
            file.display(),
            twice.join(", ")
        );
    }
    let opened = bounded_read::open(file);
    let old = opened.and_then(|opened| bounded_read::text(&opened, MAX_MANIFEST));
    let old = old.with_context(|| format!("cannot read {}", file.display()))?;
    let added = format!("\n{text}");
    Manifest::parse(&(old + &added), file)?;
    let opened = std::fs::OpenOptions::new().append(true).open(file);
    opened
        .and_then(|mut opened| opened.write_all(added.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))?;
    say!(
        "added to {}: {}; run `toolhost trust` to allow what they run and reach",
        file.display(),
        names.join(", ")
    );
    Ok(())
}
