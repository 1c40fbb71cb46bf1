//! What the manifest grants a plugin: `[plugin.NAME.permissions]`.

use std::path::Path;

use super::reader::{Source, Table, expect_parsed, expect_string, expect_table};
use crate::permissions::{Access, FileGrant, Permissions, SecretSource};

pub(super) fn read_permissions(
    mut table: Table,
    folder: &Path,
    source: &mut Source,
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
        permissions
            .http
            .extend(expect_parsed(value, &table.path("http"), source));
    }
    if let Some(table) = table.table("env", source) {
        for (key, value, path) in table.entries() {
            let name = key.get_ref();
            if name.is_empty() || name.contains(['=', '\0']) {
                source.problem(
                    key.span(),
                    format!("`{name}` cannot be the name of a variable"),
                );
            }
            if let Some(text) = expect_string(value, &path, source) {
                permissions
                    .env
                    .insert(key.get_ref().to_string(), text.to_owned());
            }
        }
    }
    if let Some(table) = table.table("secrets", source) {
        for (key, value, path) in table.entries() {
            if let Some(table) = expect_table(value, path, source)
                && let Some(secret) = read_secret(table, value.span(), folder, source)
            {
                permissions
                    .secrets
                    .insert(key.get_ref().to_string(), secret);
            }
        }
    }
    table.finish(source);
    permissions
}

fn read_file_grant(
    mut table: Table,
    span: std::ops::Range<usize>,
    folder: &Path,
    source: &mut Source,
) -> Option<FileGrant> {
    let host = table.string("host", source).map(|host| folder.join(host));
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
    for key in ["host", "guest"] {
        if !table.has(key) {
            source.problem(span.clone(), format!("a file grant needs `{key}`"));
        }
    }
    if let Some(host) = &host
        && !host.is_dir()
    {
        let what = if host.exists() {
            "is not a folder"
        } else {
            "does not exist"
        };
        let span = table.get("host").map_or(span, |value| value.span());
        source.problem(span, format!("{} {what}", host.display()));
    }
    table.finish(source);
    Some(FileGrant {
        host: host?,
        guest: guest?,
        access,
    })
}

fn read_secret(
    mut table: Table,
    span: std::ops::Range<usize>,
    folder: &Path,
    source: &mut Source,
) -> Option<SecretSource> {
    if table.has("env") == table.has("file") {
        source.problem(span, "a secret needs either `env` or `file`");
    }
    let env = table.string("env", source);
    let file = table.string("file", source);
    table.finish(source);
    match (env, file) {
        (Some(name), _) => Some(SecretSource::Env(name.to_owned())),
        (None, path) => Some(SecretSource::File(folder.join(path?))),
    }
}

fn is_guest_path(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(|rest| {
        rest.is_empty() || rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
    })
}
