//! Manifests: broken ones, whose every problem has its place; and good ones of every key.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use toolhost::error::{Diagnostic, Location};
use toolhost::limits::{ByteSize, Limits};
use toolhost::manifest::PluginConfig;
use toolhost::permissions::{FileGrant, HttpRule, SocketRule};
use toolhost::{LoadError, Manifest};

use crate::common::root;
use crate::harness::{Checked, corpus, fuzz, read_all};
use crate::manifest_keys::generated;
use crate::mutate::{arbitrary, mutated};

/// What could make a difference to a parser of TOML, or of what is in it.
pub const WORDS: &[&str] = &[
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "#",
    "\r\n",
    "\r",
    "\0",
    "\u{feff}",
    "\u{7f}",
    "é",
    "\u{202e}",
    "\\u0007",
    "\\u001b[31m",
    "\\n",
    "\\ud800",
    "\\x1b",
    "0",
    "-1",
    "1e999",
    "0x7fffffffffffffff",
    "99999999999999999999",
    "nan",
    "inf",
    "true",
    "1979-05-27",
    "\"0s\"",
    "\"1y\"",
    "\"999999999999y\"",
    "\"0B\"",
    "\"16EiB\"",
    "\"1.5MiB\"",
    "\"..\"",
    "[host]",
    "[plugin.x]",
    "[audit]",
    "[plugin.x.permissions]",
    "[plugin.\"a\\u0000b\"]",
    "\"https://*\"",
];

#[test]
fn manifest() {
    let seeds = seeds();
    let files = seeds.iter().map(|(_, text)| text.clone()).collect();
    let inputs = prop_oneof![
        1 => arbitrary(),
        4 => mutated(files, WORDS),
        4 => generated(40),
        // Right but for a few keys.
        2 => generated(2),
    ];
    fuzz("manifest", &seeds, inputs, check);
}

/// What is right is taken: else the other test would never see what a good manifest becomes.
#[test]
fn manifest_valid() {
    fuzz(
        "manifest_valid",
        &corpus("manifest_valid"),
        generated(0),
        |input| match check(input)? {
            true => Ok(true),
            false => Err(format!(
                "refused: {}",
                parse(&String::from_utf8_lossy(input)).unwrap_err()
            )),
        },
    );
}

/// The corpus, with the manifests of the other tests and of the documentation.
fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let docs = root().join("docs/manifest.md");
    let text = std::fs::read_to_string(&docs).unwrap();
    let blocks = text.split("```toml\n").skip(1).map(|after| {
        let block = after.split("```").next().unwrap_or_default();
        (docs.clone(), block.as_bytes().to_vec())
    });
    [corpus("manifest"), corpus("manifest_valid")]
        .concat()
        .into_iter()
        .chain(read_all(&root().join("tests/manifests"), ".toml"))
        .chain(blocks)
        .collect()
}

fn parse(text: &str) -> Result<Manifest, LoadError> {
    // A folder that has a folder `notes`.
    Manifest::parse(text, root().join("examples/demo/toolhost.toml"))
}

/// Good is a manifest that is taken.
pub fn check(input: &[u8]) -> Checked {
    let text = &*String::from_utf8_lossy(input);
    match parse(text) {
        Ok(manifest) => {
            in_range(&manifest)?;
            Ok(true)
        }
        Err(LoadError::Invalid(problems)) => {
            holds(!problems.is_empty(), || "refused without a reason".into())?;
            for problem in &problems {
                said_well(problem, text).map_err(|what| format!("{what}: {problem:?}"))?;
            }
            Ok(false)
        }
        Err(other) => Err(format!("{other:?}")),
    }
}

fn said_well(problem: &Diagnostic, text: &str) -> Result<(), String> {
    let Some(Location { line, column }) = problem.at else {
        return Err("no place".into());
    };
    let there = line
        .checked_sub(1)
        .and_then(|line| text.split('\n').nth(line));
    // One more than the line has characters: its end.
    let is_in_it = there.is_some_and(|line| (1..=line.chars().count() + 1).contains(&column));
    holds(is_in_it, || "a place that is not in the text".into())?;
    let said = [&problem.message].into_iter().chain(&problem.help);
    for said in said {
        holds(!said.trim().is_empty(), || "nothing said".into())?;
        let control = said.chars().any(|c| c.is_control() && c != '\n');
        holds(!control, || "a control character in what is said".into())?;
    }
    Ok(())
}

fn holds(property: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if property { Ok(()) } else { Err(otherwise()) }
}

/// As `docs/manifest.md` has it.
fn in_range(manifest: &Manifest) -> Result<(), String> {
    let host = &manifest.host;
    let outside = |what: &str| Err(format!("{what} outside of its range: {manifest:?}"));
    let is_time = |time: Duration| !time.is_zero() && time <= Duration::from_secs(365 * 86_400);
    if !(1..=10_000).contains(&host.max_concurrency) {
        return outside("max-concurrency");
    }
    if !host.queue_timeout.is_none_or(is_time) {
        return outside("queue-timeout");
    }
    if !host
        .total_memory
        .is_none_or(|size| (1..=1 << 50).contains(&size.as_u64()))
    {
        return outside("total-memory");
    }
    if host.summary.items == 0 || host.summary.chars == 0 {
        return outside("summarize");
    }
    if !limits_in_range(&host.limits) {
        return outside("a limit of the host");
    }
    for plugin in &manifest.plugins {
        if !limits_in_range(&plugin.limits) {
            return outside("a limit");
        }
        if !plugin
            .max_concurrency
            .is_none_or(|most| (1..=10_000).contains(&most))
        {
            return outside("max-concurrency of a plugin");
        }
        plugin_in_range(plugin)?;
    }
    let mut names: Vec<&str> = manifest
        .plugins
        .iter()
        .map(|plugin| &*plugin.name)
        .collect();
    names.dedup();
    holds(
        names.len() == manifest.plugins.len() && names.is_sorted(),
        || format!("names: {names:?}"),
    )
}

fn limits_in_range(limits: &Limits) -> bool {
    let is_time = |time: Duration| !time.is_zero() && time <= Duration::from_secs(365 * 86_400);
    let is_size = |size: ByteSize| (1..=4 << 30).contains(&size.as_u64());
    let is_count = |count: u32| (1..=1_000_000).contains(&count);
    is_time(limits.timeout)
        && is_time(limits.max_compile)
        && limits.cpu.is_none_or(is_time)
        && limits.max_transfer.is_none_or(is_size)
        && (64 << 10..=16 << 20).contains(&limits.max_stack.as_u64())
        && [
            limits.memory,
            limits.max_input,
            limits.max_output,
            limits.max_log,
        ]
        .map(is_size)
            == [true; 4]
        && [
            limits.max_response,
            limits.max_headers,
            limits.max_component,
        ]
        .map(is_size)
            == [true; 3]
        && [
            limits.max_resources,
            limits.max_requests,
            limits.max_open_requests,
            limits.max_tool_calls,
            limits.max_parallel_calls,
            limits.max_depth,
        ]
        .map(is_count)
            == [true; 6]
}

fn plugin_in_range(plugin: &PluginConfig) -> Result<(), String> {
    let is_name = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    let outside = |what: &str| Err(format!("{what} outside of its range: {plugin:?}"));
    if plugin.name.is_empty() || !is_name(&plugin.name) {
        return outside("name");
    }
    if plugin.prefix.len() > 32 || !is_name(&plugin.prefix) {
        return outside("prefix");
    }
    let is_digest =
        |text: &String| text.len() == 64 && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    if !plugin.sha256.as_ref().is_none_or(is_digest) {
        return outside("sha256");
    }
    let permissions = &plugin.permissions;
    let mut guests: Vec<&str> = permissions
        .files
        .iter()
        .map(|grant| &*grant.guest)
        .collect();
    let is_guest = |guest: &&str| {
        let mut parts = guest.split('/');
        let absolute = parts.next() == Some("");
        absolute && (*guest == "/" || parts.all(|part| !["", ".", ".."].contains(&part)))
    };
    if !guests.iter().all(is_guest) {
        return outside("guest");
    }
    guests.sort_unstable();
    guests.dedup();
    let is_there = |grant: &FileGrant| grant.host.is_dir() || grant.is_per_client();
    if guests.len() != permissions.files.len() || !permissions.files.iter().all(is_there) {
        return outside("files");
    }
    let is_variable = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
    if !permissions.env.keys().all(is_variable) {
        return outside("env");
    }
    for rule in &permissions.http {
        let text = rule.to_string();
        let (url, methods) = text.split_once(" (").unwrap_or((&text, ""));
        let methods = methods.trim_end_matches(')').split(", ");
        let mut methods = methods.filter(|method| !method.is_empty());
        let fits = methods
            .all(|method| method != "CONNECT" && method.bytes().all(|b| b.is_ascii_uppercase()));
        if !fits || url.parse::<HttpRule>().is_err() {
            return outside("http");
        }
    }
    let is_socket = |rule: &SocketRule| rule.port() != 0 && rule.host().is_exact();
    if !permissions.sockets.iter().all(is_socket) {
        return outside("sockets");
    }
    let mut secrets = permissions
        .http_headers
        .iter()
        .flat_map(|header| header.secrets());
    if !secrets.all(|name| permissions.secrets.contains_key(name)) {
        return outside("http-headers");
    }
    Ok(())
}
