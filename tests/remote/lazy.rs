//! Servers that are started when they are needed, and those without which the host is loaded.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::Stage;
use crate::common::binary::{Ended, json_lines, listed, run};
use toolhost_testing::needs;

impl Stage {
    /// Two servers, and the guest `echo`.
    fn of_two() -> Stage {
        let mut stage = Stage::new(&[], "prefix = 'one_'");
        stage.add("other", &[], "prefix = 'two_'");
        stage.manifest = format!("{}{}", listed("echo"), stage.manifest);
        stage.manifest();
        stage
    }

    fn starts(&self) -> usize {
        let events = self.events();
        events.iter().filter(|it| it.starts_with("start ")).count()
    }

    /// Runs the command, and counts the servers that it starts.
    fn starting(&self, arguments: &[&str], input: &str) -> (usize, Ended) {
        let before = self.starts();
        let ended = self.folder.run(arguments, input);
        (self.starts() - before, ended)
    }
}

const TEXT: &str = r#"{"text": "hi"}"#;

#[test]
fn lazy_load_starts_only_servers_of_called_tools() {
    needs!(python);
    let stage = Stage::of_two();
    // No server has been started yet: nothing is known of them, and a plugin's tool needs none.
    let (starts, ended) = stage.starting(&["call", "echo", TEXT], "");
    assert_eq!((starts, ended.answered().stdout), (0, "hi\n".into()));
    let (starts, ended) = stage.starting(&["call", "two_echo", TEXT], "");
    assert_eq!((starts, ended.answered().stdout), (2, "hi\n".into()));

    let (starts, ended) = stage.starting(&["call", "echo", TEXT], "");
    assert_eq!((starts, ended.answered().stdout), (0, "hi\n".into()));
    let (starts, ended) = stage.starting(&["call", "two_echo", TEXT], "");
    assert_eq!((starts, ended.answered().stdout), (1, "hi\n".into()));
    let calls = |tools: &[&str]| {
        let calls = tools.iter().map(|tool| ("a", *tool, json!({"text": "hi"})));
        json_lines(&calls.collect::<Vec<_>>())
    };
    for (tools, started) in [
        (&["echo"][..], 0),
        (&["one_echo", "echo"], 1),
        (&["one_echo", "two_echo"], 2),
    ] {
        let (starts, ended) = stage.starting(&["run"], &calls(tools));
        let results = ended.answered().lines();
        assert!(
            results.iter().all(|it| it["content"] == "hi"),
            "{results:?}"
        );
        assert_eq!((starts, results.len()), (started, tools.len()));
    }
    // It may be new.
    let (starts, ended) = stage.starting(&["call", "three_echo", TEXT], "");
    assert_eq!((starts, ended.status), (2, 5), "{ended:?}");
}

#[test]
fn a_server_that_does_not_start_fails_the_calls_of_its_tools_alone() {
    needs!(python);
    let stage = Stage::of_two();
    assert_eq!(stage.starting(&["call", "one_echo", TEXT], "").1.status, 0);
    // What it is started with stays the same, or nothing would be remembered of it.
    let without_python = |arguments: &[&str]| {
        let mut command: Command = stage.folder.command(arguments);
        command.env("PATH", "/nowhere");
        run(command, "")
    };
    without_python(&["call", "echo", TEXT]).answered();
    without_python(&["call", "one_echo", TEXT]).failed("`mcp.test` ");
    // Nor is it known what a server has that never started.
    let unknown = without_python(&["call", "three_echo", TEXT]);
    unknown.failed("`mcp.test` ").failed("`mcp.other` ");
}

const NO_LUCK: &str =
    "[mcp.bad]\ncommand = 'python3'\nargs = ['-c', 'import sys; sys.exit(\"no luck\")']\n";

#[test]
fn without_an_optional_server_there_are_all_other_tools() {
    needs!(python);
    let mut stage = Stage::new(&[], "tools = ['echo']");
    stage.manifest += NO_LUCK;
    stage.manifest();
    let list = ["list", "--start-servers"];
    stage.folder.run(&list, "").failed("no luck");

    stage.manifest += "optional = true\n";
    stage.manifest();
    let listed = stage.folder.run(&list, "");
    assert_eq!(listed.stdout, "echo\ttest\tDoes echo.\tnot sandboxed\n");
    assert_eq!(listed.status, 5, "{listed:?}");
    for said in ["no luck", "its tools are missing", "mcp.bad did not start"] {
        assert!(listed.stderr.contains(said), "no {said:?} in {listed:?}");
    }
    let checked = stage.folder.run(&["check", "--start-servers"], "");
    let missing = "tools: missing (optional, did not start): ";
    assert!(checked.stdout.contains(missing), "{checked:?}");
    let called = stage.folder.run(&["call", "echo", TEXT], "");
    assert_eq!((called.status, &*called.stdout), (0, "hi\n"), "{called:?}");
    // It is not tried for the tools of others.
    assert!(!called.stderr.contains("no luck"), "{called:?}");
}

#[tokio::test]
async fn an_optional_server_is_tried_again() {
    needs!(python);
    let mut stage = Stage::new(&[], "");
    let folder = stage.folder.path().to_owned();
    let ready = folder.join("ready");
    let server = super::server();
    stage.manifest = format!(
        "[mcp.late]\noptional = true\ncommand = 'sh'\nargs = ['-c', 'test -f {} && exec python3 {}']\n",
        ready.display(),
        server.display()
    );
    let host = stage.load().await;
    assert_eq!(host.tools().count(), 0);
    let (_, not_started) = host.not_started().next().expect("did not start");
    assert!(not_started.why.is_some() && not_started.tools_from.is_none());
    std::fs::write(ready, "").unwrap();
    let changed = tokio::time::timeout(Duration::from_secs(60), host.tools_changed());
    changed.await.expect("it is started again");
    let host = host.renewed();
    assert!(host.tool("echo").is_some());
    assert_eq!(host.not_started().count(), 0);
}

#[test]
fn secrets_are_needed_by_who_uses_them() {
    needs!(python);
    let mut stage = Stage::of_two();
    let secret = "secrets = { KEY = { env = 'TOOLHOST_TEST_NOT_SET' } }\n";
    stage.manifest = format!(
        "{}{}permissions.{secret}{NO_LUCK}{secret}",
        listed("echo"),
        listed("misbehave")
    );
    stage.manifest();
    let call = |tool| ["call", tool, TEXT];
    assert_eq!(
        stage.folder.run(&call("echo"), "").answered().stdout,
        "hi\n"
    );
    let listed = stage.folder.run(&["list"], "");
    assert!(listed.stdout.contains("counter\tmisbehave\t"), "{listed:?}");
    let checked = stage.folder.run(&["check"], "");
    let warning = "warning: the secret `KEY` is not available: ";
    assert_eq!(checked.stdout.matches(warning).count(), 2, "{checked:?}");
    stage
        .folder
        .run(&["call", "counter"], "")
        .failed("secret `KEY` of `plugin.misbehave`");
    let calls = json_lines(&[
        ("a", "echo", json!({"text": "hi"})),
        ("b", "counter", json!({})),
    ]);
    stage
        .folder
        .run(&["run"], &calls)
        .failed("TOOLHOST_TEST_NOT_SET is not set");
    // All of them may be called.
    stage
        .folder
        .run(&["serve"], "")
        .failed("secret `KEY` of `plugin.misbehave`");
}
