//! WASI commands: arguments, environment, streams and the exit status.

use std::collections::BTreeMap;

use serde_json::json;
use toolhost::limits::{ByteSize, Limits};
use toolhost::permissions::{FileGrant, Permissions};
use toolhost::{CallError, Content};

use super::Typed;
use super::modules::ECHO;
use crate::common::binary::Folder;
use crate::common::{call, error};

/// Writes a text to a stream, and exits with a status.
fn says(text: &str, stream: u32, status: u32) -> Vec<u8> {
    let module = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 100) "{text}")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 100))
            (i32.store (i32.const 4) (i32.const {}))
            (drop (call $write (i32.const {stream}) (i32.const 0) (i32.const 1) (i32.const 8)))
            (call $exit (i32.const {status}))))"#,
        text.replace("\\0a", "\n").replace("\\ff", "x").len()
    );
    wat::parse_str(module).unwrap()
}

#[tokio::test]
async fn stdout_is_the_result_and_status_0_is_success() {
    let typed = Typed::new(says("done\\0a", 1, 0)).await;
    assert_eq!(
        typed.host.call(call("typed", json!({}))).await.to_text(),
        "done\n"
    );
}

#[tokio::test]
async fn another_status_is_a_failure_with_the_last_lines_of_stderr() {
    let typed = Typed::new(says("reading\\0ano such file\\0a", 2, 3)).await;
    let failed = typed.host.call(call("typed", json!({}))).await;
    let CallError::Failed { message } = error(&failed) else {
        panic!("{:?}", error(&failed));
    };
    assert!(
        message.starts_with("exited with an error status;"),
        "{message}"
    );
    assert!(
        message.ends_with("its stderr ends with:\nreading\nno such file"),
        "{message}"
    );
    assert_eq!(failed.log.len(), 2);
}

#[tokio::test]
async fn stdout_that_is_no_text_is_kept_as_bytes() {
    let typed = Typed::new(says("\\ff\\ff", 1, 0)).await;
    let output = typed
        .host
        .call(call("typed", json!({})))
        .await
        .outcome
        .unwrap();
    assert!(
        matches!(&output.content[..], [Content::Embedded(_)]),
        "{:?}",
        output.content
    );
}

#[tokio::test]
async fn stdin_is_streamed_and_stdout_is_bounded_by_max_output() {
    let limits = Limits::default().with_max_output(ByteSize::kib(64));
    let typed = Typed::with(wat::parse_str(ECHO).unwrap(), |plugin| {
        plugin.with_limits(limits)
    })
    .await;
    let fits = "x".repeat(60 << 10);
    let result = typed
        .host
        .call(call("typed", json!({ "stdin": fits })))
        .await;
    assert_eq!(result.to_text(), format!("typed\0{fits}"));
    let failed = typed
        .host
        .call(call("typed", json!({ "stdin": "x".repeat(70 << 10) })))
        .await;
    assert!(
        error(&failed).to_string().contains("64 KiB"),
        "{}",
        error(&failed)
    );
}

#[tokio::test]
async fn the_environment_of_the_manifest_cannot_be_overridden() {
    let env = BTreeMap::from([("TZ".to_owned(), "UTC".to_owned())]);
    let typed = Typed::with(wat::parse_str(ECHO).unwrap(), |plugin| {
        plugin.with_permissions(Permissions::default().with_env(env))
    })
    .await;
    let result = typed
        .host
        .call(call("typed", json!({ "env": { "LANG": "C" } })))
        .await;
    assert_eq!(result.to_text(), "typed\0");
    for env in [
        json!({ "TZ": "CET" }),
        json!({ "A=B": "c" }),
        json!({ "": "c" }),
        json!({ "A": "a\0" }),
    ] {
        let failed = typed.host.call(call("typed", json!({ "env": env }))).await;
        assert_eq!(error(&failed).code(), "invalid-arguments", "{env}");
    }
    let failed = typed
        .host
        .call(call("typed", json!({ "args": ["a\0b"] })))
        .await;
    assert_eq!(error(&failed).code(), "invalid-arguments");
}

#[tokio::test]
async fn a_program_has_its_streams_and_folders_together() {
    let folder = Folder::empty();
    let grant = FileGrant::new(folder.path(), "/data");
    let typed = Typed::with(wat::parse_str(ECHO).unwrap(), |plugin| {
        plugin.with_permissions(Permissions::default().with_files(vec![grant]))
    })
    .await;
    let arguments = json!({ "args": ["a"], "stdin": "s" });
    assert_eq!(
        typed.host.call(call("typed", arguments)).await.to_text(),
        "typed\0a\0s"
    );
}
