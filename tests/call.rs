//! One call: what it answers, every error it can end with, and what each result carries.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use toolhost::error::ArgumentProblem;
use toolhost::permissions::{FileGrant, SecretSource};
use toolhost::tool::{Content, LogLine, LogSource, ResourceBody};
use toolhost::{CallError, ToolCall};

use crate::common::{self, call, echo, error, load, manifest, plugin, text};

#[tokio::test]
async fn a_call_answers_with_its_id_and_usage() {
    let host = common::host(&["echo"]).await;
    let result = host.call(echo("call_1", "héllo \u{0}")).await;
    assert_eq!(text(&result), "héllo \u{0}");
    assert_eq!(result.id.as_deref(), Some("call_1"));
    assert_eq!(result.name, "echo");
    assert_eq!(result.usage.output_bytes, "héllo \u{0}".len() as u64);
    assert!(result.usage.run > Duration::ZERO);
    assert!(result.usage.peak_memory >= 64 << 10, "{:?}", result.usage);
}

#[tokio::test]
async fn each_call_gets_an_instance_of_its_own() {
    let host = common::host(&["misbehave"]).await;
    for _ in 0..3 {
        let result = host.call(call("counter", json!({}))).await;
        assert_eq!(text(&result), "1");
    }
}

#[tokio::test]
async fn the_guest_sees_the_id_and_the_arguments_as_they_were_written() {
    let host = common::host(&["misbehave"]).await;
    let written = r#"{ "big": 12345678901234567890123, "b": 1.0, "a": "\u0041" }"#;
    let raw = ToolCall::new("x", "raw_arguments", written);
    assert_eq!(text(&host.call(raw).await), written);
    assert_eq!(text(&host.call(ToolCall::new("x", "id", "")).await), "x");
}

#[tokio::test]
async fn every_kind_of_content_arrives() {
    let host = common::host(&["misbehave"]).await;
    let result = host.call(call("media", json!({}))).await;
    let output = result.outcome.expect("an answer");
    let kinds: Vec<&str> = output
        .content
        .iter()
        .map(|content| match content {
            Content::Text(_) => "text",
            Content::Image(media) => {
                assert!(!media.data.is_empty() && media.mime_type.starts_with("image/"));
                "image"
            }
            Content::Audio(media) => {
                assert!(!media.data.is_empty() && media.mime_type.starts_with("audio/"));
                "audio"
            }
            Content::Link(link) => {
                assert!(!link.uri.is_empty() && !link.name.is_empty());
                "link"
            }
            Content::Embedded(resource) => match &resource.body {
                ResourceBody::Text(_) => "embedded text",
                ResourceBody::Blob(_) => "embedded blob",
            },
            _ => "another kind",
        })
        .collect();
    for kind in ["text", "image", "audio", "link"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert!(
        kinds.iter().any(|kind| kind.starts_with("embedded")),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn structured_output_is_kept_beside_the_content() {
    let host = common::host(&["misbehave"]).await;
    let result = host
        .call(call("structured", json!({"value": {"n": [1, 2.5, null]}})))
        .await;
    let output = result.outcome.expect("an answer");
    assert_eq!(
        output.structured.expect("structured").get(),
        r#"{"n":[1,2.5,null]}"#
    );
}

#[tokio::test]
async fn an_unknown_tool_is_named_with_what_looks_like_it() {
    let host = common::host(&["echo", "misbehave"]).await;
    let result = host.call(call("ecko", json!({}))).await;
    let similar = vec!["echo".to_owned()];
    assert_eq!(error(&result), &CallError::UnknownTool { similar });
    assert_eq!(
        result.to_text(),
        "Error: Unknown tool ecko. Similar tools: echo"
    );
    let result = host.call(call("zzz", json!({}))).await;
    assert_eq!(result.to_text(), "Error: Unknown tool zzz");
}

#[tokio::test]
async fn invalid_arguments_say_where_and_why() {
    let host = common::host(&["misbehave"]).await;
    let result = host
        .call(call(
            "nested",
            json!({"order": {"items": [{"name": "a", "quantity": 0}, {"quantity": 1}]}}),
        ))
        .await;
    let CallError::InvalidArguments { problems } = error(&result) else {
        panic!("{result:?}");
    };
    let pointers: Vec<&str> = problems.iter().map(|problem| &*problem.pointer).collect();
    assert_eq!(pointers, ["/order/items/0/quantity", "/order/items/1"]);
    assert!(problems[1].message.contains("name"), "{problems:?}");
    assert_eq!(result.usage.peak_memory, 0, "no instance was made for it");

    let result = host
        .call(call("optional", json!({"text": "a", "extra": 1})))
        .await;
    assert_eq!(error(&result).code(), "invalid-arguments");
}

#[tokio::test]
async fn a_deadline_too_far_off_is_taken_as_a_year() {
    let mut plugin = plugin("echo");
    plugin.limits.timeout = Duration::MAX;
    let host = load(manifest([plugin])).await;
    assert_eq!(text(&host.call(echo(1, "hi")).await), "hi");
}

#[tokio::test]
async fn caps_made_in_code_are_checked_at_load() {
    for (host, own) in [(0, None), (usize::MAX, None), (1, Some(0))] {
        let mut plugin = plugin("echo");
        plugin.max_concurrency = own;
        let mut manifest = manifest([plugin]);
        manifest.host.max_concurrency = host;
        assert!(common::try_load(manifest).await.is_err(), "{host} {own:?}");
    }
}

#[tokio::test]
async fn a_tool_may_find_its_arguments_invalid_itself() {
    let host = common::host(&["misbehave"]).await;
    let result = host
        .call(call("refuse", json!({"message": "no such day"})))
        .await;
    let problems = vec![ArgumentProblem::new("", "no such day")];
    assert_eq!(error(&result), &CallError::InvalidArguments { problems });
}

#[tokio::test]
async fn missing_arguments_are_an_empty_object() {
    let host = common::host(&["misbehave"]).await;
    for arguments in ["", " \n", "{}"] {
        let result = host
            .call(ToolCall::new("1", "raw_arguments", arguments))
            .await;
        assert_eq!(text(&result), "{}");
    }
}

#[tokio::test]
async fn a_failure_carries_the_tools_message_unchanged() {
    let host = common::host(&["misbehave"]).await;
    let result = host
        .call(call("fail", json!({"message": "disk on fire: 100%"})))
        .await;
    let message = "disk on fire: 100%".to_owned();
    assert_eq!(error(&result), &CallError::Failed { message });
    assert_eq!(result.to_text(), "Error: fail failed - disk on fire: 100%");
}

#[tokio::test]
async fn a_deadline_ends_a_call_wherever_it_is() {
    let mut plugin = plugin("misbehave");
    plugin.limits.timeout = Duration::from_millis(250);
    let host = load(manifest([plugin])).await;
    for (name, arguments) in [("spin", json!({})), ("sleep", json!({"ms": 60_000}))] {
        let result = host.call(call(name, arguments)).await;
        let after = Duration::from_millis(250);
        assert_eq!(error(&result), &CallError::Timeout { after });
        assert_eq!(
            result.to_text(),
            format!("Error: {name} timed out after 250 ms")
        );
        assert!(result.usage.run >= after, "{:?}", result.usage);
        assert!(result.usage.peak_memory > 0, "usage is kept for errors too");
    }
}

#[tokio::test]
async fn a_trap_a_panic_and_an_exit_are_traps() {
    let host = common::host(&["misbehave"]).await;
    let result = host.call(call("trap", json!({}))).await;
    assert_eq!(error(&result).code(), "trap");
    assert!(
        result.to_text().contains("unreachable"),
        "{}",
        result.to_text()
    );

    let result = host.call(call("panic", json!({"message": "oh no"}))).await;
    assert_eq!(error(&result).code(), "trap");
    let said: Vec<&str> = result.log.iter().map(|line| &*line.text).collect();
    assert!(
        said.join("\n").contains("oh no"),
        "the log has the panic: {said:?}"
    );

    let result = host.call(call("exit", json!({"code": 7}))).await;
    assert_eq!(error(&result).code(), "trap");
    assert!(result.to_text().contains("exited"), "{}", result.to_text());
}

#[tokio::test]
async fn what_was_not_granted_is_denied_by_name() {
    let host = common::host(&["misbehave"]).await;
    for (tool, arguments, named) in [
        ("secret", json!({"name": "TOKEN"}), "secret TOKEN"),
        (
            "http_get",
            json!({"url": "http://127.0.0.1:9/x?key=1"}),
            "http://127.0.0.1:9/x",
        ),
        ("deny", json!({"what": "the moon"}), "the moon"),
    ] {
        let result = host.call(call(tool, arguments)).await;
        let CallError::Denied { what } = error(&result) else {
            panic!("{tool}: {result:?}");
        };
        assert!(what.contains(named), "{what}");
        assert!(
            !what.contains("key=1"),
            "the query is nobody's business: {what}"
        );
    }
}

#[tokio::test]
async fn a_fault_of_the_host_is_internal() {
    let folder = tempfile::tempdir().unwrap();
    let mut plugin = plugin("misbehave");
    plugin
        .permissions
        .files
        .push(FileGrant::new(folder.path(), "/data"));
    let host = load(manifest([plugin])).await;
    // Granted, there at load, and gone when the call wants it.
    folder.close().unwrap();
    let result = host.call(call("id", json!({}))).await;
    assert_eq!(error(&result).code(), "internal");
}

#[tokio::test]
async fn config_env_secrets_and_files_reach_the_plugin_they_are_granted_to() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "hello").unwrap();
    std::fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    let mut plugin = plugin("misbehave");
    plugin.config.insert("color".to_owned(), "red".to_owned());
    plugin.permissions.env = BTreeMap::from([("TZ".to_owned(), "UTC".to_owned())]);
    let file = SecretSource::File(folder.path().join("secret"));
    plugin
        .permissions
        .secrets
        .insert("PASSWORD".to_owned(), file);
    plugin
        .permissions
        .files
        .push(FileGrant::new(folder.path(), "/data"));
    let host = load(manifest([plugin])).await;
    let answer = async |name: &str, arguments| text(&host.call(call(name, arguments)).await);
    assert_eq!(answer("config", json!({"key": "color"})).await, "red");
    assert_eq!(answer("env", json!({})).await, r#"{"TZ":"UTC"}"#);
    // It has got it, and nobody else does.
    assert_eq!(answer("secret", json!({"name": "PASSWORD"})).await, "***");
    assert_eq!(
        answer("read", json!({"path": "/data/a.txt"})).await,
        "hello"
    );
    assert_eq!(answer("stdin", json!({})).await, "0");

    let result = host
        .call(call("write", json!({"path": "/data/a.txt", "text": "x"})))
        .await;
    assert!(result.outcome.is_err(), "the grant is read-only");
    let result = host
        .call(call("read", json!({"path": "/etc/hostname"})))
        .await;
    assert!(result.outcome.is_err());
    let read = std::fs::read_to_string(folder.path().join("a.txt")).unwrap();
    assert_eq!(read, "hello");
}

#[tokio::test]
async fn stdout_stderr_and_log_lines_are_kept_in_the_calls_log() {
    let host = common::host(&["misbehave"]).await;
    let result = host.call(call("print_some", json!({"lines": 2}))).await;
    assert!(result.outcome.is_ok());
    let lines = |source| -> Vec<&str> {
        let of_source = result.log.iter().filter(|line| line.source == source);
        of_source.map(|LogLine { text, .. }| &**text).collect()
    };
    assert_eq!(lines(LogSource::Stdout), ["out 1", "out 2"]);
    assert_eq!(lines(LogSource::Stderr), ["err 1", "err 2"]);
    assert_eq!(result.log.len(), 5, "{:?}", result.log);
}

#[cfg(unix)]
#[tokio::test]
async fn a_granted_folder_is_the_one_that_was_there_at_load() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir_all(at("granted")).unwrap();
    std::fs::create_dir_all(at("other")).unwrap();
    std::fs::write(at("granted/a.txt"), "granted").unwrap();
    std::fs::write(at("other/a.txt"), "other").unwrap();
    let mut plugin = plugin("misbehave");
    plugin
        .permissions
        .files
        .push(FileGrant::new(at("granted"), "/data"));
    let host = load(manifest([plugin])).await;
    let read = async || {
        host.call(call("read", json!({"path": "/data/a.txt"})))
            .await
    };
    assert_eq!(text(&read().await), "granted");
    // A guest that may write the folder above could do this.
    std::fs::rename(at("granted"), at("away")).unwrap();
    std::os::unix::fs::symlink(at("other"), at("granted")).unwrap();
    assert_ne!(read().await.to_text(), "other");
    #[cfg(target_os = "linux")]
    assert_eq!(text(&read().await), "granted");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_a_load_error() {
    let mut plugin = plugin("misbehave");
    plugin
        .permissions
        .files
        .push(FileGrant::new("/nowhere/at/all", "/data"));
    let Err(error) = common::try_load(manifest([plugin])).await else {
        panic!("it loads");
    };
    let error = error.to_string();
    assert!(
        error.contains("the folder /nowhere/at/all of `plugin.misbehave`"),
        "{error}"
    );
}
