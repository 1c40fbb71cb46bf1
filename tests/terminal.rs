//! What a person at a terminal meets: tables, a hint instead of a silent wait, and Ctrl-C.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::binary::{Folder, json_lines};

/// Runs the binary on a terminal of its own, with `script` (util-linux, on every Debian).
fn on_a_terminal(folder: &Folder, arguments: &str) -> (i32, String) {
    let toolhost = env!("CARGO_BIN_EXE_toolhost");
    let mut command = folder.command::<&str>(&[]);
    let environment: Vec<_> = command
        .get_envs()
        .map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned)))
        .collect();
    command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command"])
        .arg(format!("stty cols 100; {toolhost} {arguments}"))
        .arg("/dev/null")
        .current_dir(folder.path())
        .stdin(Stdio::null());
    for (key, value) in environment {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    let output = command.output().expect("script runs");
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code().expect("a status"), shown)
}

#[test]
fn a_list_is_a_table_on_a_terminal() {
    let folder = Folder::of(&["echo"]);
    let (status, shown) = on_a_terminal(&folder, "list 2>/dev/null");
    assert_eq!(status, 0, "{shown}");
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(
        words(lines[0]),
        ["TOOL", "PLUGIN", "DESCRIPTION"],
        "{shown}"
    );
    assert_eq!(words(lines[1])[..2], ["echo", "echo"], "{shown}");
}

#[test]
fn loading_shows_a_progress_bar_on_a_terminal() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let (status, shown) = on_a_terminal(&folder, "list --code-cache off");
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("Loading plugins"), "{shown:?}");
}

#[test]
fn a_run_without_a_file_does_not_wait_for_a_terminal() {
    let folder = Folder::of(&["echo"]);
    let (status, shown) = on_a_terminal(&folder, "run");
    assert_eq!(status, 2, "{shown}");
    assert!(shown.contains("stdin is a terminal"), "{shown}");
}

#[test]
fn an_interrupt_before_the_batch_exits_130() {
    let folder = Folder::of(&["echo"]);
    let mut child = folder
        .command(&["run"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Stdin stays open: it waits for a response, from when it listens for interrupts.
    let status = interrupted_until_it_ends(&mut child);
    assert_eq!(status.code(), Some(130), "{status}");
}

#[test]
fn a_second_interrupt_ends_a_process_that_blocks_on_its_output() {
    let folder = Folder::of(&["misbehave"]);
    let calls = json_lines(&[("1", "huge_output", json!({"bytes": 500_000}))]);
    let calls = folder.write("calls.jsonl", calls);
    let mut child = folder
        .command(&["run", calls.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads: the pipe is full after 64 KiB.
    let status = interrupted_until_it_ends(&mut child);
    assert_eq!(status.code(), Some(130), "{status}");
}

/// Sends interrupts, from when they are listened for, until the process has ended.
fn interrupted_until_it_ends(child: &mut std::process::Child) -> ExitStatus {
    let start = Instant::now();
    while !catches_interrupts(child.id()) {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it never listens"
        );
        std::thread::yield_now();
    }
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it goes on");
        let process = child.id().to_string();
        let _ = Command::new("sh")
            .args(["-c", &format!("kill -INT {process}")])
            .status();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process handles SIGINT, as Linux tells.
fn catches_interrupts(process: u32) -> bool {
    const SIGINT: u32 = 2;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & (1 << (SIGINT - 1)) != 0)
}

#[test]
fn without_address_space_for_the_pool_calls_run_all_the_same() {
    let folder = Folder::of(&["echo"]);
    let toolhost = env!("CARGO_BIN_EXE_toolhost");
    let mut command = Command::new("sh");
    let limited = format!(
        "ulimit -v 12000000; exec {toolhost} call echo '{{\"text\": \"hi\"}}' --code-cache off"
    );
    command.args(["-c", &limited]).current_dir(folder.path());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hi\n", "{stderr}");
    assert!(stderr.contains("no pool of"), "{stderr}");
}
