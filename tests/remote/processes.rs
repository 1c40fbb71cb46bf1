//! Processes: none outlives its host.

use std::process::Command;

use serde_json::json;

use super::{Stage, is_alive, wait_until_gone};
use crate::common::binary::Folder;
use crate::common::call;
use toolhost_testing::needs;

#[tokio::test]
async fn no_process_outlives_its_host() {
    needs!(python);
    for mode in ["normal", "with-child", "stubborn"] {
        let stage = Stage::new(&[mode], "");
        let host = stage.load().await;
        let mut processes = vec![stage.event("start").await];
        if mode == "with-child" {
            processes.push(stage.event("child").await);
        }
        assert!(processes.iter().all(|process| is_alive(process)));
        drop(host);
        wait_until_gone(&processes);
        // It was told first.
        stage.event("end").await;
    }
}

#[test]
fn a_server_has_no_descriptor_that_we_were_started_with() {
    let folder = Folder::empty();
    let secret = folder.write("secret", "hidden");
    let look = "if cat <&7 >seen; then :; else echo none >seen; fi";
    folder.write(
        "toolhost.toml",
        format!("[mcp.x]\ncommand = 'sh'\nargs = ['-c', '{look}']\n"),
    );
    let mut command = Command::new("sh");
    let passed_on = format!("exec 7<'{}'; exec \"$@\"", secret.display());
    command
        .args(["-c", &passed_on, "sh", env!("CARGO_BIN_EXE_toolhost")])
        .args(["--code-cache", "off", "--manifest", "toolhost.toml"])
        .args(["list", "--start-servers"])
        .current_dir(folder.path());
    // It is no server: only that it was started is of interest.
    let ended = command.output().unwrap();
    assert!(!ended.status.success(), "{ended:?}");
    let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
    assert_eq!(seen, "none\n");
}

#[test]
fn no_process_outlives_a_runtime_that_ends_with_calls_in_it() {
    needs!(python);
    let stage = Stage::new(&["with-child"], "");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let processes = runtime.block_on(async {
        let host = stage.load().await;
        let sleeping = host.clone();
        tokio::spawn(async move {
            sleeping
                .call(call("sleep", json!({ "seconds": 600 })))
                .await
        });
        stage.event("call sleep").await;
        [stage.event("start").await, stage.event("child").await]
    });
    drop(runtime);
    wait_until_gone(&processes);
}

#[tokio::test]
async fn an_interrupt_while_servers_start_leaves_none() {
    needs!(python);
    let stage = Stage::new(&["stubborn-hang-at-start"], "");
    stage.manifest();
    let mut command = stage.folder.command(&["list", "--start-servers"]);
    let mut child = command.spawn().unwrap();
    let process = stage.event("start").await;
    let interrupt = format!("kill -INT {}", child.id());
    let interrupted = Command::new("sh").args(["-c", &interrupt]).status();
    assert!(interrupted.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    wait_until_gone(&[process]);
}

/// The server reads nothing of the end of its stdin, and has a child: neither would end by itself.
#[tokio::test]
async fn no_process_outlives_a_host_that_is_killed() {
    needs!(python);
    let stage = Stage::new(&["with-child-stubborn"], "");
    stage.manifest();
    let mut command = stage
        .folder
        .command(&["call", "sleep", r#"{"seconds": 60}"#]);
    let mut child = command.spawn().unwrap();
    stage.event("call sleep").await;
    let processes = [stage.event("start").await, stage.event("child").await];
    assert!(processes.iter().all(|process| is_alive(process)));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_gone(&processes);
}

#[tokio::test]
async fn no_watchdog_outlives_what_it_watches() {
    needs!(python);
    let stage = Stage::new(&[], "");
    stage.manifest();
    // A process of its own: others of this one's tests have watchdogs, too.
    let mut command = stage
        .folder
        .command(&["call", "sleep", r#"{"seconds": 2}"#]);
    let mut host = command.spawn().unwrap();
    stage.event("call sleep").await;
    let server = stage.event("start").await;
    let parent = format!(") S {} ", host.id());
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|process| {
        let process = process.ok()?.file_name().into_string().ok()?;
        let status = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        (status.contains("(sh)") && status.contains(&parent)).then_some(process)
    });
    let watching: Vec<String> = processes.collect();
    assert_eq!(watching.len(), 1, "{watching:?}");
    host.wait().unwrap();
    wait_until_gone(&[server]);
    wait_until_gone(&watching);
}
