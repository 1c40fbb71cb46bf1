//! `toolhost check`.

use crate::common::binary::{Folder, listed};

#[test]
fn check_says_what_is_offered_and_what_is_granted() {
    let manifest = format!(
        r#"{}[plugin.misbehave.permissions]
http = ["https://*.example.com"]
files = [{{ host = ".", guest = "/notes" }}]
env = {{ TZ = "UTC" }}
secrets = {{ TOKEN = {{ file = "token" }} }}
{}"#,
        listed("misbehave"),
        listed("echo")
    );
    let folder = Folder::with(manifest);
    folder.write("token", "hush-hush");
    let ended = folder.run(&["check"], "").answered();
    for words in [
        "toolhost.toml is OK: 2 plugins, ",
        "tools: echo",
        "granted: nothing",
        "files /notes",
        "read-only",
        "http https://*.example.com",
        "env TZ",
        "secret TOKEN",
    ] {
        assert!(
            ended.stdout.contains(words),
            "no `{words}` in {}",
            ended.stdout
        );
    }
    assert!(!ended.stdout.contains("hush-hush"), "{}", ended.stdout);
}

#[test]
fn check_tells_everything_that_is_wrong_with_manifest_and_plugins() {
    let folder = Folder::with("[host]\ntimout = \"3s\"\nmax-concurrency = 0\n");
    let ended = folder.run(&["check"], "").failed("toolhost.toml:2:1");
    assert!(
        ended.stderr.contains("did you mean `timeout`?"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("toolhost.toml:3:19"),
        "{}",
        ended.stderr
    );
    let folder = Folder::of(&["other-version", "echo", "listing-traps"]);
    let ended = folder.run(&["check"], "").failed("other-version.wasm");
    assert!(
        ended.stderr.contains("listing-traps.wasm"),
        "{}",
        ended.stderr
    );
}

#[test]
fn check_calls_no_tool() {
    let folder = Folder::of(&["misbehave"]);
    let ended = folder.run(&["check", "-vv"], "");
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(!ended.stderr.contains("call{"), "{}", ended.stderr);
}

#[test]
fn check_warns_of_resource_templates_that_take_every_read() {
    let folder = Folder::of(&["listing-any-template"]);
    let shown = folder.run(&["check"], "").answered().stdout;
    let warns =
        |template: &str| shown.contains(&format!("`{template}` matches URIs of every scheme"));
    assert!(warns("{+x}") && !warns("mine:{+x}"), "{shown}");
}

#[test]
fn check_tells_who_may_use_the_server_and_which_tools_are_not_there() {
    let folder = Folder::of(&["conformance", "echo"]);
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let made = folder.run(&["token", "new", "--name", "ci"], "");
    let table = made.stderr.split_once("[serve.auth").unwrap().1.trim_end();
    folder.write(
        "toolhost.toml",
        format!("{manifest}\n[serve.auth{table}\ntools = ['echo', 'ecko']\n"),
    );
    let shown = folder.run(&["check"], "").answered().stdout;
    for line in [
        "serve: ci",
        "  warning: `serve.auth.tokens.ci` names an unknown tool: `ecko`",
        "resource templates: test://template/{id}/data",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(!shown.contains("unknown tool: `echo`"), "{shown}");
}
