//! What people see of grants before anything runs: `check`, `inspect`, `run --dry-run`.

use serde_json::{Value, json};

use crate::common::binary::{Folder, json_lines, listed};
use crate::common::guest;
use toolhost_testing::needs;

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
        let env = "env (most languages import it, whether or not a plugin reads it)";
        let expected = format!("sockets, {env}, random, secrets");
        assert_eq!(denied, expected, "{ended:?}");
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
fn quotas_are_shown_with_their_folders() {
    let folder = granted(
        r#"files = [
            { host = ".", guest = "/a", access = "read-write", max-disk = "100MiB", max-files = 10_000 },
            { host = "in", guest = "/b", access = "read-write", max-files = 1 },
        ]"#,
    );
    folder.write("in/a.txt", "a");
    for arguments in [&["check"][..], &["inspect", "misbehave"]] {
        let ended = folder.run(arguments, "").answered();
        let granted = said(&ended.stdout, "granted");
        assert!(
            granted[0].ends_with("), read-write, at most 100 MiB, at most 10000 files"),
            "{granted:?}"
        );
        assert!(
            granted[1].ends_with("), read-write, at most 1 file"),
            "{granted:?}"
        );
    }
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
                "files /all is every file on this machine, read-only",
                "files /home is your whole home folder, read-write",
                "files /notes is read-only, but writable as a part of /home",
                "http https://*.com is every site of a top-level domain",
                "http http://example.com is not encrypted: others can read and change the traffic",
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
    assert_eq!(warnings[0], "files /etc is a system folder, read-only");
    for (warning, why) in warnings[1..].iter().zip([
        "toolhost.toml, the manifest: no plugin can change it while toolhost runs",
        "token.txt, a secret file: no plugin can read or change it",
    ]) {
        assert!(warning.starts_with("files /here contains "), "{warning}");
        assert!(warning.ends_with(why), "{warning}");
    }
}

#[test]
fn what_lies_in_a_writable_folder_is_told_of_with_what_protects_it() {
    needs!(python);
    let folder = Folder::empty();
    folder.write(
        "work/plugins/echo.wasm",
        std::fs::read(guest("echo")).unwrap(),
    );
    folder.write("work/sub/a.txt", "a");
    folder.write("work/readme.md", "read me");
    folder.write("work/audit.jsonl", "");
    let stub = crate::common::root().join("tests/remote/mcp_stub.py");
    folder.write("work/server/stub.py", std::fs::read(stub).unwrap());
    let manifest = folder.write(
        "toolhost.toml",
        format!(
            "plugin-dir = 'work/plugins'\n{}{}\
             [audit]\npath = 'work/audit.jsonl'\n\
             [resource.readme]\nuri = 'docs://readme'\npath = 'work/readme.md'\n\
             [mcp.x]\ncommand = 'python3'\nargs = ['stub.py', 'names']\ncwd = 'work/server'\n",
            listed("misbehave")
                + "permissions.files = [{ host = 'work', guest = '/w', access = 'read-write' }]\n",
            listed("calculator")
                + "permissions.files = [{ host = 'work/sub', guest = '/s', allow-nested = true }]\n",
        ),
    );
    let mut command = folder.command(&["--manifest", manifest.to_str().unwrap(), "check"]);
    command.env("TOOLHOST_CODE_CACHE", folder.path().join("work/cache"));
    let ended = crate::common::binary::run(command, "");
    // The tools of its server are not known.
    assert_eq!(ended.status, 5, "{ended:?}");
    let warnings = said(&ended.stdout, "warning").join("\n");
    let kept = "no plugin can change it while toolhost runs";
    for (what, why) in [
        ("audit.jsonl, the audit log", kept),
        (
            "plugins, the plugin folder",
            "no plugin can add, change or remove one",
        ),
        ("echo.wasm, a plugin", kept),
        (
            "sub, a granted folder",
            "the plugin can change what is in it",
        ),
        ("readme.md, a resource", kept),
        (
            "server, the working folder of an MCP server",
            "the plugin can change what the server finds there and may run",
        ),
        ("stub.py, a file that an MCP server is started with", kept),
        ("cache, the code cache", kept),
    ] {
        let line = format!("{what}: {why}");
        let found = warnings.lines().filter(|it| it.ends_with(&line));
        assert_eq!(found.count(), 1, "{line} in\n{warnings}");
    }
    assert!(warnings.lines().all(|it| !it.contains("/s ")), "{warnings}");
}

#[test]
fn a_grant_of_what_the_kernel_shows_is_warned_of() {
    let folder = granted("files = [{ host = '/proc/sys', guest = '/sys' }]");
    let ended = folder.run(&["check"], "").answered();
    assert_eq!(
        said(&ended.stdout, "warning"),
        [
            "files /sys is a kernel file system (proc), which exposes processes, devices and possibly keys, \
             read-only"
        ]
    );
}
