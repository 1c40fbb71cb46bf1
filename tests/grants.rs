//! What people see of grants before anything runs: `check`, `inspect`, `run --dry-run`.

use serde_json::{Value, json};

use crate::common::binary::{Folder, json_lines, listed};
use crate::common::guest;

/// A manifest of the misbehaving guest with these permissions.
fn granted(permissions: &str) -> Folder {
    let entry = listed("misbehave");
    Folder::with(format!(
        "{entry}[plugin.misbehave.permissions]\n{permissions}"
    ))
}

/// The lines of `check` or `inspect` that say so.
fn said<'a>(output: &'a str, what: &str) -> Vec<&'a str> {
    let prefix = format!("{what}: ");
    let lines = output.lines();
    lines
        .filter_map(|line| line.trim().strip_prefix(&*prefix))
        .collect()
}

#[test]
fn check_and_inspect_show_what_is_granted_and_what_would_be_denied() {
    let folder = granted(
        r#"
        files = [{ host = ".", guest = "/notes" }]
        http = [{ url = "https://api.example.com/v1", methods = ["GET"] }]
        http-headers = [{ host = "api.example.com", name = "Authorization", value = "Bearer ${TOKEN}" }]
        secrets = { TOKEN = { env = "TOOLHOST_TEST_TOKEN" } }
        random = "none"
        "#,
    );
    let here = format!(
        "files /notes ({}), read-only",
        folder.path().join(".").display()
    );
    for arguments in [&["check"][..], &["inspect", "misbehave"]] {
        let mut command = folder.command(arguments);
        command.env("TOOLHOST_TEST_TOKEN", "s3cret-value");
        let ended = crate::common::binary::run(command, "").answered();
        let granted = said(&ended.stdout, "granted");
        assert!(
            granted[0].starts_with("files /notes (") && granted[0].ends_with("read-only"),
            "{granted:?} {here}"
        );
        assert_eq!(
            granted[1..],
            [
                "http https://api.example.com/v1 (GET)",
                "http-headers authorization for api.example.com",
                "secret TOKEN (from environment variable TOOLHOST_TEST_TOKEN), for headers only",
            ]
        );
        let denied = said(&ended.stdout, "denied").join(", ");
        assert_eq!(denied, "sockets, env, random, secrets", "{ended:?}");
        assert!(!ended.stdout.contains("s3cret-value"));
        assert!(ended.stdout.contains("wasi:filesystem"), "{ended:?}");
    }
    // The file itself is found in the manifest as well.
    let path = guest("misbehave");
    let ended = folder
        .run(&["inspect".as_ref(), path.as_os_str()], "")
        .answered();
    assert_eq!(said(&ended.stdout, "granted").len(), 4, "{ended:?}");
}

#[test]
fn wide_grants_are_warned_of() {
    let folder = granted(
        r#"
        files = [
            { host = "/", guest = "/all" },
            { host = "home", guest = "/home", access = "read-write" },
            { host = "home/notes", guest = "/notes" },
        ]
        http = ["https://*.com", "http://example.com", "http://127.0.0.1:80", "https://*.example.com"]
        "#,
    );
    folder.write("home/notes/a.txt", "a");
    for arguments in [&["check"][..], &["inspect", "misbehave"]] {
        let mut command = folder.command(arguments);
        command.env("HOME", folder.path().join("home"));
        let ended = crate::common::binary::run(command, "").answered();
        assert_eq!(
            said(&ended.stdout, "warning"),
            [
                "files /all is every file of this machine, read-only",
                "files /home is your whole home folder, read-write",
                "files /notes is read-only, but can be written as a part of /home",
                "http https://*.com is every site of a top-level domain",
                "http http://example.com is not encrypted: others can read and change it",
            ]
        );
    }
}

#[test]
fn inspect_finds_plugins_by_name_or_says_why_not() {
    let folder = Folder::of(&["echo"]);
    let ended = folder.run(&["inspect", "echo"], "").answered();
    assert_eq!(said(&ended.stdout, "granted"), ["nothing"]);
    assert_eq!(said(&ended.stdout, "denied"), ["nothing that it can use"]);
    folder.run(&["inspect", "ecoh"], "").failed("ecoh");
    let empty = Folder::empty();
    empty.run(&["inspect", "echo"], "").failed("toolhost.toml");
}

#[test]
fn a_dry_run_says_what_would_run_and_runs_nothing() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let calls = json_lines(&[
        ("1", "echo", json!({"text": "hi"})),
        ("2", "spin", json!({})),
        ("3", "ehco", json!({})),
        ("4", "echo", json!({"text": [7]})),
    ]);
    let ended = folder
        .run(&["run", "--dry-run", "--timeout", "90s"], &calls)
        .answered();
    let planned = ended.results();
    assert_eq!(planned.len(), 4);
    assert_eq!(
        planned[0],
        json!({
            "id": "1",
            "name": "echo",
            "plugin": "echo",
            "path": guest("echo"),
            "timeout": "1m 30s",
            "memory": "64 MiB",
            "granted": ["nothing"],
        })
    );
    assert_eq!(planned[1]["plugin"], "misbehave");
    assert_eq!(planned[2]["error"]["code"], "unknown-tool");
    assert_eq!(planned[3]["error"]["code"], "invalid-arguments");
    assert_eq!(planned[3].get("plugin"), None::<&Value>);
    let failing = folder.run(&["run", "--dry-run", "--fail-on-error"], &calls);
    assert_eq!(failing.status, 3);
    let streams = folder.run(&["run", "--dry-run", "--stream"], &calls);
    assert_eq!(streams.status, 2, "{streams:?}");
}

#[test]
fn a_folder_with_the_files_that_decide_on_grants_is_warned_of() {
    let folder = granted(
        r#"
        files = [
            { host = ".", guest = "/here", access = "read-write" },
            { host = "/etc", guest = "/etc" },
        ]
        secrets = { TOKEN = { file = "token.txt" } }
        "#,
    );
    folder.write("token.txt", "s3cret-value");
    let ended = folder.run(&["check"], "").answered();
    let warnings = said(&ended.stdout, "warning");
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert_eq!(
        warnings[0],
        "files /etc is a folder of the system, read-only"
    );
    for (warning, file) in warnings[1..].iter().zip(["toolhost.toml", "token.txt"]) {
        assert!(warning.starts_with("files /here has "), "{warning}");
        let why = format!("{file} in it: who writes that decides what is granted");
        assert!(warning.ends_with(&why), "{warning}");
    }
}
