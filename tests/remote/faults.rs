//! Servers that do not start, do not answer, say too much, or die.

use serde_json::json;
use toolhost::{CallError, Manifest};
use toolhost_testing::eventually;

use super::Stage;
use crate::common::{call, error, in_time, text, try_load};
use toolhost_testing::needs;

#[tokio::test]
async fn a_server_that_does_not_start_is_named_with_the_end_of_its_stderr() {
    needs!(python);
    let stage = Stage::new(&["crash-at-start"], "secrets = { KEY = { file = 'key' } }");
    stage.folder.write("key", "sesame-opens-it");
    let problem = stage.problem().await;
    let expected = "toolhost.toml:1:6: `mcp.test` exited with status 1 before it was ready; the end of its stderr:\n    cannot find the key ***\n    giving up";
    assert!(problem.contains(expected), "{problem}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let manifest = "[mcp.a]\ncommand = 'no-such-program'\n[mcp.b]\ncommand = './no/such'\n";
    let manifest = Manifest::parse(manifest, "/tmp/toolhost.toml").unwrap();
    let problem = try_load(manifest).await.unwrap_err().to_string();
    assert!(
        problem.contains("`mcp.a` does not start: `no-such-program`: "),
        "{problem}"
    );
    assert!(
        problem.contains("`mcp.b` does not start: `/tmp/no/such`: "),
        "{problem}"
    );
}

#[tokio::test]
async fn silent_or_unreadable_server_times_out_at_start() {
    needs!(python);
    for mode in ["hang-at-start", "only-garbage"] {
        let stage = Stage::new(&[mode], "start-timeout = '1s'");
        let problem = in_time(stage.problem()).await;
        assert!(
            problem.contains("`mcp.test` did not answer within 1 second"),
            "{problem}"
        );
        let process = stage.event("start").await;
        super::wait_until_gone(&[process]);
    }
}

#[tokio::test]
async fn lines_that_are_no_messages_are_passed_over() {
    needs!(python);
    let host = Stage::new(&["garbage"], "").load().await;
    assert_eq!(
        text(&host.call(call("echo", json!({ "text": "a" }))).await),
        "a"
    );
}

#[tokio::test]
async fn floods_keep_nobody_from_working() {
    needs!(python);
    for mode in ["floods", "floods-stderr"] {
        let mut stage = Stage::new(&[mode], "max-log = '100MiB'");
        stage.add("other", &[], "prefix = 'o_'");
        let host = stage.load().await;
        for name in ["echo", "o_echo"] {
            let result = host.call(call(name, json!({ "text": "a" }))).await;
            assert_eq!(text(&result), "a", "{mode}");
        }
    }
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_given_up_and_calls_end_on_time() {
    needs!(python);
    let stage = Stage::new(&["deaf"], "timeout = '1s'\nmax-concurrency = 2");
    let host = stage.load().await;
    let result = in_time(host.call(call("echo", json!({ "text": "a" })))).await;
    let error = error(&result).to_string();
    assert!(
        error.contains("timed out") || error.contains("closed the connection"),
        "{error}"
    );
}

#[tokio::test]
async fn dead_server_fails_its_calls_and_is_restarted_by_the_next() {
    needs!(python);
    let mut stage = Stage::new(&[], "");
    stage.add("other", &[], "prefix = 'o_'");
    let host = stage.load().await;
    let sleeps = host.call(call("sleep", json!({ "seconds": 600 })));
    let dies = async {
        stage.event("call sleep").await;
        host.call(call("die", json!({}))).await
    };
    let (slept, died) = tokio::join!(sleeps, dies);
    for result in [slept, died] {
        let message = "its MCP server `test` exited with status 3 before it answered".to_owned();
        assert_eq!(error(&result), &CallError::Failed { message });
    }
    assert_eq!(
        text(&host.call(call("o_echo", json!({ "text": "a" }))).await),
        "a"
    );
    assert_eq!(
        text(&host.call(call("echo", json!({ "text": "a" }))).await),
        "a"
    );
    let starts = stage
        .events()
        .iter()
        .filter(|event| event.starts_with("start"))
        .count();
    assert_eq!(starts, 3);
}

#[tokio::test]
async fn a_server_that_keeps_dying_is_left_alone_for_a_while() {
    needs!(python);
    let stage = Stage::new(&[], "");
    let host = stage.load().await;
    let mut refused = None;
    for _ in 0..5 {
        let result = host.call(call("die", json!({}))).await;
        let message = error(&result).to_string();
        if message.contains("it can be restarted in") {
            refused = Some(message);
            break;
        }
    }
    let refused = refused.unwrap();
    assert!(
        refused.contains("its MCP server `test` exited soon after it started"),
        "{refused}"
    );
    let echo = || call("echo", json!({ "text": "a" }));
    eventually("it is restarted", async || host.call(echo()).await.outcome).await;
}
