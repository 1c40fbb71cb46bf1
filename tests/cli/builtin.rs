//! The plugins inside the binary.

use serde_json::json;

use crate::common::binary::{Ended, Folder};

/// One that needs no permission, and one that does.
const TWO: &str = "[plugin.sums]\npath = 'builtin:calculator'\nprefix = 'my_'\n\n\
    [plugin.files]\npath = 'builtin:filesystem'\n\
    permissions.files = [{ host = 'notes', guest = '/notes', access = 'read-only' }]\n";

#[test]
fn a_built_in_plugin_needs_no_file() {
    let folder = Folder::with(TWO);
    folder.write("notes/one.txt", "the first");
    let ended = folder.run(&["call", "my_calculate", r#"{"expression": "6*7"}"#], "");
    assert_eq!(ended.answered().stdout, "42\n");
    let ended = folder.run(&["call", "fs_read", r#"{"path": "/notes/one.txt"}"#], "");
    assert!(ended.answered().stdout.contains("the first"));
    // It is known in every way that a file is.
    folder.run(&["check"], "").answered();
    let inspected = folder
        .run(&["inspect", "builtin:calculator"], "")
        .answered();
    let digest = inspected
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("sha256: "));
    let pinned = format!(
        "[plugin.sums]\npath = 'builtin:calculator'\nsha256 = '{}'\n",
        digest.unwrap()
    );
    Folder::with(&pinned).run(&["list"], "").answered();
    let other = Folder::with(pinned.replace("builtin:calculator", "builtin:json"));
    other.run(&["list"], "").failed("sha256");
}

#[test]
fn a_built_in_plugin_has_the_limits_of_a_file() {
    let folder = Folder::with("[plugin.x]\npath = 'builtin:calculator'\nmax-component = '1KiB'\n");
    let ended = folder.run(&["list"], "");
    ended.failed("over the `max-component` limit of 1 KiB");
}

#[test]
fn an_unknown_built_in_plugin_is_named_with_those_that_are_there() {
    let folder = Folder::with("[plugin.x]\npath = 'builtin:calculatr'\n");
    let ended = folder
        .run(&["list"], "")
        .failed("builtin:calculatr is not among the built-in plugins");
    for name in ["calculator", "filesystem", "time"] {
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
    }
    // A file may have such a name.
    let folder = Folder::with("[plugin.x]\npath = './builtin:calculator'\n");
    folder.run(&["list"], "").failed("cannot be read");
}

#[test]
fn what_a_found_manifest_grants_a_built_in_plugin_needs_trust() {
    let granted =
        "[plugin.web]\npath = 'builtin:fetch'\npermissions.http = ['https://example.org']\n";
    let folder = Folder::with(granted);
    let ended = crate::common::binary::run(folder.command_that_finds(&["trust", "--show"]), "");
    let shown = ended.answered().stdout;
    assert!(
        shown.contains("plugin.web: is \"builtin:fetch\""),
        "{shown}"
    );
    assert!(shown.contains("http \"https://example.org\""), "{shown}");
    let ungranted = Folder::with("[plugin.sums]\npath = 'builtin:calculator'\n");
    crate::common::binary::run(ungranted.command_that_finds(&["list"]), "").answered();
}

/// The output of a command that has said which plugins it uses.
fn noted(ended: Ended) -> String {
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("note: there is no toolhost.toml here"),
        "{ended:?}"
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    ended.stdout
}

#[test]
fn without_a_manifest_there_are_the_plugins_that_need_no_permission() {
    let folder = Folder::empty();
    let listed = noted(folder.run(&["list"], ""));
    let mut plugins: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect();
    plugins.dedup();
    assert_eq!(plugins, ["calculator", "html", "json", "text", "time"]);
    let expression = r#"{"expression": "6*7"}"#;
    assert_eq!(
        noted(folder.run(&["call", "calculate", expression], "")),
        "42\n"
    );
    let call = json!({ "id": "c1", "name": "calculate", "arguments": { "expression": "6*7" } });
    let answered = noted(folder.run(&["run"], call.to_string()));
    assert!(answered.contains("42"), "{answered}");
    noted(folder.run(&["pipe"], "{\"type\":\"hello\",\"version\":1}\n"));
    // These are about a manifest.
    for command in ["check", "trust", "dev"] {
        folder.run(&[command], "").failed("--manifest");
    }
}
