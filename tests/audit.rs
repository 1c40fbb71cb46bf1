//! The audit log: a line for every call and every denial, and what happens when it cannot be
//! written.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toolhost::manifest::{AuditConfig, OnAuditError};
use toolhost::{CallError, LoadError, ToolCall, ToolHost};

use crate::common::{self, call, echo, error, guest, load, manifest, plugin, sha256, text};

async fn host(config: AuditConfig) -> ToolHost {
    let mut manifest = manifest([plugin("echo"), plugin("misbehave")]);
    manifest.audit = Some(config);
    load(manifest).await
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn log(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("audit.jsonl")
}

#[tokio::test]
async fn every_call_and_every_denial_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = log(&folder);
    let host = host(AuditConfig::new(&path)).await;
    let arguments = json!({"text": "hi"}).to_string();
    let calls = [
        ToolCall::new("a", "echo", &arguments),
        ToolCall::new("b", "secret", r#"{"name": "TOKEN"}"#),
        ToolCall::new("c", "nothing", "{}"),
        ToolCall::new("d", "echo", "[]"),
    ];
    for call in calls {
        host.call(call).await;
    }
    let lines = lines(&path);
    let events: Vec<[&str; 2]> = lines
        .iter()
        .map(|line| [&line["event"], &line["id"]].map(|value| value.as_str().unwrap()))
        .collect();
    assert_eq!(
        events,
        [
            ["call", "a"],
            ["denial", "b"],
            ["call", "b"],
            ["call", "c"],
            ["call", "d"]
        ]
    );
    let [ok, denial, denied, unknown, invalid] = &lines[..] else {
        panic!();
    };
    assert_eq!(ok["tool"], "echo");
    assert_eq!(ok["plugin"], "echo");
    assert_eq!(
        ok["plugin_sha256"],
        sha256(std::fs::read(guest("echo")).unwrap())
    );
    assert_eq!(ok["arguments_sha256"], sha256(&arguments));
    assert_eq!(ok.get("arguments"), None);
    assert_eq!(ok["outcome"], "ok");
    assert_eq!(ok["output_bytes"], 2);
    assert!(ok["run_ms"].as_f64().unwrap() > 0.0 && ok["cpu_ms"].as_f64().unwrap() > 0.0);
    assert!(ok["peak_memory"].as_u64().unwrap() > 0);
    let time = ok["time"].as_str().unwrap();
    assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
    assert_eq!(denial["denied"], "secret TOKEN");
    assert_eq!(denial["plugin"], "misbehave");
    assert_eq!(denied["denials"], 1);
    assert_eq!(
        [&unknown["outcome"], &unknown["plugin"]],
        [&json!("unknown-tool"), &Value::Null]
    );
    assert_eq!(invalid["outcome"], "invalid-arguments");
    assert!(
        invalid["error"].as_str().unwrap().contains("object"),
        "{invalid}"
    );
}

#[tokio::test]
async fn arguments_are_written_only_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = AuditConfig::new(log(&folder));
    config.arguments = true;
    let host = host(config).await;
    host.call(echo(1, "hi")).await;
    assert_eq!(lines(&log(&folder))[0]["arguments"], r#"{"text":"hi"}"#);
}

#[tokio::test]
async fn what_a_terminal_would_obey_is_escaped_and_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = AuditConfig::new(log(&folder));
    config.arguments = true;
    let host = host(config).await;
    let sly = "\u{202e}\u{9b}2J\u{2028}\u{ad}";
    host.call(echo(1, sly)).await;
    host.call(ToolCall::new(sly, sly, "{}")).await;
    let written = std::fs::read_to_string(log(&folder)).unwrap();
    assert!(written.is_ascii(), "{written}");
    let lines = lines(&log(&folder));
    let arguments: Value = serde_json::from_str(lines[0]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments["text"], sly);
    assert_eq!(lines[1]["id"], sly);
}

#[tokio::test]
async fn a_batch_has_a_line_for_every_call_whatever_becomes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = manifest([plugin("echo"), plugin("misbehave")]);
    manifest.audit = Some(AuditConfig::new(log(&folder)));
    manifest.host.max_queue = Some(5);
    manifest.host.max_concurrency = 2;
    let host = load(manifest).await;
    let results = host.run_all((0..20).map(|n| echo(n, "x"))).await;
    let refused = results
        .iter()
        .filter(|result| result.outcome.is_err())
        .count();
    assert!(refused >= 13 - 2, "{refused}");
    let lines = lines(&log(&folder));
    let mut ids: Vec<u64> = lines
        .iter()
        .map(|line| line["id"].as_str().unwrap().parse().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
    let failed = lines
        .iter()
        .filter(|line| line["outcome"] == "limit")
        .count();
    assert_eq!(failed, refused);
}

#[tokio::test]
async fn a_log_is_appended_to_and_a_torn_line_stays_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = log(&folder);
    std::fs::write(&path, "{\"event\":\"call\",\"id").unwrap();
    let host = host(AuditConfig::new(&path)).await;
    host.call(echo("after", "x")).await;
    drop(host);
    let text = std::fs::read_to_string(&path).unwrap();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"event\":\"call\",\"id");
    let line: Value = serde_json::from_str(rest).unwrap();
    assert_eq!(line["id"], "after");
}

/// The ids of a log's lines.
#[cfg(unix)]
fn ids(path: &Path) -> Vec<String> {
    let lines = lines(path).into_iter();
    lines
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect()
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_is_rotated_is_opened_anew() {
    for on_error in [OnAuditError::Fail, OnAuditError::Drop] {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (log(&folder), folder.path().join("audit.jsonl.1"));
        let mut config = AuditConfig::new(&path);
        config.on_error = on_error;
        let host = host(config).await;
        host.call(echo("first", "x")).await;
        std::fs::rename(&path, &old).unwrap();
        let calls = call_until_logged(&host, &path, "moved").await;
        // None is lost: the lines before it are in the moved file.
        assert_eq!(ids(&path), ["moved"]);
        assert_eq!(
            ids(&old),
            [vec!["first"], vec!["moved"; calls - 1]].concat()
        );
        // Whoever rotates it makes another.
        std::fs::rename(&path, folder.path().join("audit.jsonl.2")).unwrap();
        std::fs::write(&path, "").unwrap();
        call_until_logged(&host, &path, "made").await;
        assert_eq!(ids(&path), ["made"]);
        std::fs::remove_file(&path).unwrap();
        host.call(echo("removed", "x")).await;
        assert_eq!(ids(&path), ["removed"]);
    }
}

/// Calls until there is a line at the path of the log, and returns how many calls that took.
async fn call_until_logged(host: &ToolHost, path: &Path, id: &str) -> usize {
    for calls in 1.. {
        host.call(echo(id, "x")).await;
        if path.metadata().is_ok_and(|it| it.len() > 0) {
            return calls;
        }
    }
    unreachable!("the log is looked for every 10 ms")
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_cannot_be_opened_anew_fails_calls_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log/audit.jsonl");
    let logs = path.parent().unwrap();
    std::fs::create_dir(logs).unwrap();
    let host = host(AuditConfig::new(&path)).await;
    host.call(echo("first", "x")).await;
    std::fs::remove_dir_all(logs).unwrap();
    // The call is not begun.
    let result = host.call(call("spin", json!({}))).await;
    let CallError::Internal { message } = error(&result) else {
        panic!("{result:?}");
    };
    assert!(message.contains("cannot write the audit log "), "{message}");
    assert!(result.usage.run.is_zero());
    std::fs::create_dir(logs).unwrap();
    assert_eq!(text(&host.call(echo("last", "hi")).await), "hi");
    assert_eq!(ids(&path).last().unwrap(), "last");
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_is_not_opened_anew_in_another_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log/audit.jsonl");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let host = host(AuditConfig::new(&path)).await;
    host.call(echo("first", "x")).await;
    let theirs = folder.path().join("theirs");
    for is_there in [true, false] {
        if is_there {
            std::fs::write(&theirs, "").unwrap();
        }
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&theirs, &path).unwrap();
        let result = host.call(echo("second", "x")).await;
        let CallError::Internal { message } = error(&result) else {
            panic!("{result:?}");
        };
        assert!(
            message.contains("since the load it leads to another folder") || !is_there,
            "{message}"
        );
        assert_eq!(std::fs::read(&theirs).unwrap_or_default(), b"");
        let _ = std::fs::remove_file(&theirs);
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(text(&host.call(echo("last", "hi")).await), "hi");
    assert_eq!(ids(&path).last().unwrap(), "last");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_fails_calls_loudly_or_drops_lines() {
    let host_of = async |on_error| {
        let mut config = AuditConfig::new("/dev/full");
        config.on_error = on_error;
        host(config).await
    };
    let failing = host_of(OnAuditError::Fail).await;
    for _ in 0..2 {
        let result = failing.call(echo(1, "hi")).await;
        let CallError::Internal { message } = error(&result) else {
            panic!("{result:?}");
        };
        assert!(
            message.starts_with("cannot write the audit log /dev/full: "),
            "{message}"
        );
    }
    // Once a line is missing no other call is even begun.
    let spins = failing.call(call("spin", json!({}))).await;
    assert_eq!(error(&spins).code(), "internal");
    assert!(spins.usage.run.is_zero());

    let dropping = host_of(OnAuditError::Drop).await;
    assert_eq!(text(&dropping.call(echo(1, "hi")).await), "hi");
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_a_load_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = manifest([plugin("echo")]);
    manifest.audit = Some(AuditConfig::new(folder.path()));
    let Err(LoadError::Invalid(problems)) = common::try_load(manifest).await else {
        panic!();
    };
    assert!(
        problems[0].message.contains("cannot open the audit log"),
        "{problems:?}"
    );
}

#[tokio::test]
async fn a_flood_of_denials_is_counted_and_not_all_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = manifest([plugin("hostile")]);
    manifest.audit = Some(AuditConfig::new(log(&folder)));
    let host = load(manifest).await;
    host.call(call("denied_flood", json!({"count": 5000})))
        .await;
    let lines = lines(&log(&folder));
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[100]["denials"], 5000);
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_log_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    host(AuditConfig::new(log(&folder))).await;
    let mode = std::fs::metadata(log(&folder))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_call_that_is_dropped_has_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(AuditConfig::new(log(&folder))).await;
    let spins = host.call(ToolCall::new("spins", "spin", "{}"));
    let soon = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, spins).await.is_err());
    let lines = lines(&log(&folder));
    assert_eq!(lines.len(), 1);
    assert_eq!(
        [&lines[0]["id"], &lines[0]["outcome"]],
        ["spins", "cancelled"]
    );
    assert!(lines[0]["run_ms"].as_f64().unwrap() >= 50.0);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_no_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(log(&folder))
        .status();
    assert!(made.unwrap().success());
    let mut manifest = manifest([plugin("echo")]);
    manifest.audit = Some(AuditConfig::new(log(&folder)));
    let Err(error) = common::try_load(manifest).await else {
        panic!("it loads");
    };
    assert!(
        error.to_string().contains("cannot open the audit log")
            && error.to_string().contains(": it is a pipe"),
        "{error}"
    );
}
