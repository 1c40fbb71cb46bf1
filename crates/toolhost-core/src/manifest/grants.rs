//! What the manifest grants a plugin: `[plugin.NAME.permissions]`.

use std::collections::BTreeMap;
use std::path::Path;

use bytesize::ByteSize;

use super::limits::read_size;
use super::reader::{
    ManifestSource, ManifestTable, Value, expect_parsed, expect_string, expect_table, mismatch,
    path_in,
};
use crate::permissions::http_rule::is_never_granted;
use crate::permissions::{
    Access, Ambient, FileGrant, HttpHeader, HttpRule, Permissions, SecretSource,
};

pub(super) fn read_permissions(
    mut table: ManifestTable,
    folder: &Path,
    source: &mut ManifestSource,
) -> Permissions {
    let mut permissions = Permissions::default();
    for value in table.array("files", source).unwrap_or_default() {
        if let Some(grant) = expect_table(value, table.path("files"), source)
            .and_then(|table| read_file_grant(table, value.span(), folder, source))
        {
            if permissions
                .files
                .iter()
                .any(|other| other.guest == grant.guest)
            {
                let message = format!("two grants have the guest path `{}`", grant.guest);
                source.problem(value.span(), message);
            }
            permissions.files.push(grant);
        }
    }
    for value in table.array("http", source).unwrap_or_default() {
        let path = table.path("http");
        permissions.http.extend(read_http_rule(value, path, source));
    }
    for value in table.array("sockets", source).unwrap_or_default() {
        let rule = expect_parsed(value, &table.path("sockets"), source);
        permissions.sockets.extend(rule);
    }
    permissions.env = read_env(&mut table, source);
    permissions.secrets = read_secrets(&mut table, folder, source);
    for value in table.array("http-headers", source).unwrap_or_default() {
        if let Some(table) = expect_table(value, table.path("http-headers"), source)
            && let Some(header) = read_http_header(table, value, None, &permissions.secrets, source)
        {
            permissions.http_headers.push(header);
        }
    }
    for value in table.array("tools", source).unwrap_or_default() {
        let pattern = expect_parsed(value, &table.path("tools"), source);
        permissions.tools.extend(pattern);
    }
    permissions.clock = read_ambient(&mut table, "clock", source);
    permissions.random = read_ambient(&mut table, "random", source);
    table.finish(source);
    permissions
}

/// Reads variables and their values.
pub(super) fn read_env(
    table: &mut ManifestTable,
    source: &mut ManifestSource,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(table) = table.table("env", source) else {
        return env;
    };
    for (key, value, path) in table.entries() {
        let name = key.get_ref();
        if !is_variable(name) {
            let message = format!("`{name}` is not a valid variable name");
            source.problem(key.span(), message);
        }
        if let Some(text) = expect_string(value, &path, source) {
            env.insert(key.get_ref().to_string(), text.to_owned());
        }
    }
    env
}

/// Whether it is a valid name of an environment variable.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// Reads secrets by name.
pub(super) fn read_secrets(
    table: &mut ManifestTable,
    folder: &Path,
    source: &mut ManifestSource,
) -> BTreeMap<String, SecretSource> {
    let mut secrets = BTreeMap::new();
    let Some(table) = table.table("secrets", source) else {
        return secrets;
    };
    for (key, value, path) in table.entries() {
        if let Some(table) = expect_table(value, path, source)
            && let Some(secret) = read_secret(table, value.span(), folder, source)
        {
            secrets.insert(key.get_ref().to_string(), secret);
        }
    }
    secrets
}

fn read_ambient(
    table: &mut ManifestTable,
    key: &'static str,
    source: &mut ManifestSource,
) -> Ambient {
    let parse = |text: &str| match text {
        "real" => Some(Ambient::Real),
        "none" => Some(Ambient::None),
        _ => None,
    };
    let found = table.parsed(key, "\"real\" or \"none\"", parse, source);
    found.unwrap_or_default()
}

/// Reads a URL, or a table of a URL and the allowed methods.
fn read_http_rule(value: &Value, path: String, source: &mut ManifestSource) -> Option<HttpRule> {
    if value.get_ref().as_str().is_some() {
        return expect_parsed(value, &path, source);
    }
    if value.get_ref().as_table().is_none() {
        mismatch(
            value,
            &path,
            "a URL, or a table with `url` and `methods`",
            source,
        );
        return None;
    }
    let mut table = expect_table(value, path, source)?;
    let path = table.path("url");
    let rule: Option<HttpRule> = match table.get("url") {
        Some(url) => expect_parsed(url, &path, source),
        None => {
            source.problem(value.span(), "an http grant needs `url`");
            None
        }
    };
    let mut methods = Vec::new();
    let path = table.path("methods");
    for value in table.array("methods", source).unwrap_or_default() {
        let Some(method) = expect_string(value, &path, source) else {
            continue;
        };
        let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
        if !is_method || is_never_granted(method) {
            let message = format!(
                "`{path}`: `{method}` cannot be granted; use a method such as \"GET\" or \"POST\""
            );
            source.problem(value.span(), message);
        }
        methods.push(method.to_owned());
    }
    if table.has("methods") && methods.is_empty() {
        let message = format!("`{path}` is empty: to allow all methods, remove it");
        source.problem(value.span(), message);
    }
    table.finish(source);
    Some(rule?.with_methods(methods))
}

/// Reads a header, after the secrets that it may use. It names its host, unless that is known.
pub(super) fn read_http_header(
    mut table: ManifestTable,
    value: &Value,
    host: Option<&str>,
    secrets: &BTreeMap<String, SecretSource>,
    source: &mut ManifestSource,
) -> Option<HttpHeader> {
    let needed = match host {
        Some(_) => &["name", "value"][..],
        None => &["host", "name", "value"],
    };
    for key in needed.iter().filter(|key| !table.has(key)) {
        source.problem(value.span(), format!("an http header needs `{key}`"));
    }
    let host = match host {
        Some(host) => Some(host),
        None => table.string("host", source),
    };
    let [name, text] = ["name", "value"].map(|key| table.string(key, source));
    table.finish(source);
    let header = match HttpHeader::new(host?, name?, text?) {
        Ok(header) => header,
        Err(error) => {
            source.problem(value.span(), format!("`http-headers`: {error}"));
            return None;
        }
    };
    for secret in header.secrets() {
        if !secrets.contains_key(secret) {
            let message = format!("`http-headers`: unknown secret `{secret}`");
            let help = "declare it in `secrets` next to `http-headers`".to_owned();
            source.problem_with_help(value.span(), message, help);
        }
    }
    Some(header)
}

fn read_file_grant(
    mut table: ManifestTable,
    span: std::ops::Range<usize>,
    folder: &Path,
    source: &mut ManifestSource,
) -> Option<FileGrant> {
    let host = table
        .string("host", source)
        .map(|host| path_in(folder, host));
    let guest = table.parsed(
        "guest",
        "an absolute path without `.`, `..` or empty parts, such as \"/notes\"",
        |text| is_guest_path(text).then(|| text.to_owned()),
        source,
    );
    let access = table
        .parsed(
            "access",
            "\"read-only\" or \"read-write\"",
            |text| match text {
                "read-only" => Some(Access::ReadOnly),
                "read-write" => Some(Access::ReadWrite),
                _ => None,
            },
            source,
        )
        .unwrap_or(Access::ReadOnly);
    let allow_nested = table.bool("allow-nested", source).unwrap_or_default();
    let allow_vcs = table.bool("allow-vcs", source).unwrap_or_default();
    let create = table.bool("create", source).unwrap_or_default();
    let max_disk = read_size(&mut table, "max-disk", ByteSize::pib(1), source);
    let max_files = table.count("max-files", 1_000_000, source);
    let max_files = max_files.map(|count| u32::try_from(count).expect("at most a million"));
    for key in ["max-disk", "max-files"] {
        if access == Access::ReadOnly
            && let Some(value) = table.get(key)
        {
            let path = table.path(key);
            let message = format!("`{path}` is only for a writable folder");
            let help = "set `access = \"read-write\"`, or remove it".to_owned();
            source.problem_with_help(value.span(), message, help);
        }
    }
    for key in ["host", "guest"] {
        if !table.has(key) {
            source.problem(span.clone(), format!("a file grant needs `{key}`"));
        }
    }
    let place = table.get("host").map_or(span, |value| value.span());
    table.finish(source);
    let has_guest = guest.is_some();
    let grant = FileGrant {
        host: host?,
        guest: guest.unwrap_or_default(),
        access,
        allow_nested,
        allow_vcs,
        max_disk,
        max_files,
        create,
    };
    let root = grant.root();
    if let Some((problem, help)) = grant.client_problem() {
        source.problem_with_help(place, problem, help.to_owned());
    } else if !root.is_dir() {
        let what = match root.exists() {
            true => "is not a folder",
            false => "does not exist",
        };
        source.problem(place, format!("{} {what}", root.display()));
    }
    has_guest.then_some(grant)
}

pub(super) fn read_secret(
    mut table: ManifestTable,
    span: std::ops::Range<usize>,
    folder: &Path,
    source: &mut ManifestSource,
) -> Option<SecretSource> {
    if table.has("env") == table.has("file") {
        source.problem(span, "a secret needs either `env` or `file`");
    }
    let env = table.string("env", source);
    let file = table.string("file", source);
    table.finish(source);
    match (env, file) {
        (Some(name), _) => Some(SecretSource::Env(name.to_owned())),
        (None, path) => Some(SecretSource::File(path_in(folder, path?))),
    }
}

fn is_guest_path(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(|rest| {
        rest.is_empty() || rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
    })
}
