//! What a person at a terminal meets: tables, a hint instead of a silent wait, and Ctrl-C.

use std::process::{Command, ExitStatus, Stdio};

use serde_json::json;

use crate::common::binary::{Folder, json_lines, listed};
use crate::common::{wait_for, wait_until};

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

/// What a stranger may put into a name: it titles the window, erases the line above, forges one, and turns
/// text around.
const SLY: &str = "a\u{1b}]0;owned\u{7}\u{1b}[1A\u{1b}[2K\u{9b}31m\nforged: line\r\u{202e}b\u{2066}c\u{200b}d\u{2028}e\u{e0041}f";

/// It as a line shows it.
const SHOWN: &str = r"a\u{1b}]0;owned\u{7}\u{1b}[1A\u{1b}[2K\u{9b}31m\nforged: line\r\u{202e}b\u{2066}c\u{200b}d\u{2028}e\u{e0041}f";

/// [`SLY`] for TOML.
fn sly_toml() -> String {
    let escaped = |c: char| match c.is_ascii_graphic() || c == ' ' {
        true => c.to_string(),
        false => format!("\\U{:08X}", u32::from(c)),
    };
    SLY.chars().map(escaped).collect()
}

/// Asserts that nothing that is not ours was obeyed, and that what is shown has these parts.
#[track_caller]
fn assert_harmless(shown: &str, parts: &[&str]) {
    let hostile = [
        "\u{1b}]",
        "\u{7}",
        "\u{1b}[1A\u{1b}[2K",
        "\u{9b}",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{2028}",
        "\u{e0041}",
    ];
    for it in hostile {
        assert!(!shown.contains(it), "{it:?} in {shown:?}");
    }
    let forged = shown
        .lines()
        .find(|line| line.trim_start().starts_with("forged"));
    assert_eq!(forged, None, "{shown:?}");
    for part in parts {
        assert!(shown.contains(part), "no {part:?} in {shown:?}");
    }
}

/// Everything that a manifest can name, named that.
fn sly_folder() -> Folder {
    let sly = sly_toml();
    let text = format!(
        "{}permissions.env = {{ \"E{sly}\" = \"1\" }}\n\
         permissions.files = [{{ host = \".\", guest = \"/{sly}\" }}]\n\
         [plugin.misbehave]\npath = '{}'\n",
        listed("echo"),
        crate::common::guest("misbehave").display()
    );
    Folder::with(text)
}

#[test]
fn names_of_a_manifest_are_shown_and_not_obeyed() {
    let folder = sly_folder();
    for command in ["check", "inspect echo"] {
        for to in ["2>/dev/null", "2>&1", "2>/dev/null | cat"] {
            let (_, shown) = on_a_terminal(&folder, &format!("{command} {to}"));
            let grant = format!("files /{SHOWN} (");
            let variable = format!("env E{SHOWN}");
            assert_harmless(&shown, &["granted: ", &grant, &variable]);
        }
    }
    let planned = "run --dry-run calls.jsonl 2>/dev/null";
    folder.write(
        "calls.jsonl",
        json_lines(&[("1", "echo", json!({"text": SLY}))]),
    );
    let (status, shown) = on_a_terminal(&folder, planned);
    assert_eq!(status, 0, "{shown}");
    assert_harmless(&shown, &[r"\u001b]0;owned", r"\u202e"]);
}

#[test]
fn names_of_a_component_are_shown_and_not_obeyed() {
    let folder = Folder::empty();
    let url = SLY.replace(['\n', '\r'], " ");
    let import = format!(
        "(component (import \"url=<{}>\" (func)))",
        url.bytes()
            .map(|byte| format!("\\{byte:02x}"))
            .collect::<String>()
    );
    let component = folder.write("sly.wasm", wat::parse_str(import).unwrap());
    for to in ["2>/dev/null", "2>&1"] {
        let (status, shown) =
            on_a_terminal(&folder, &format!("inspect {} {to}", component.display()));
        assert_eq!(status, 1, "{shown}");
        assert_harmless(&shown, &[r"url=<a\u{1b}]0;owned"]);
    }
}

#[test]
fn errors_and_the_command_line_are_shown_and_not_obeyed() {
    let sly = sly_toml();
    let folder = Folder::with(format!("[plugin.echo]\n\"{sly}\" = 1\npath = \"{sly}\"\n"));
    let (status, shown) = on_a_terminal(&folder, "check 2>&1");
    assert_eq!(status, 1, "{shown}");
    assert_harmless(&shown, &["error: ", r"\u{1b}]0;owned", r"\nforged"]);
    let folder = Folder::of(&["echo"]);
    folder.write("sly", SLY);
    for arguments in [
        "\"$(cat sly)\"",
        "call echo \"$(cat sly)\" \"$(cat sly)\" x",
        "run \"$(cat sly)\"",
        "run --format \"$(cat sly)\"",
        "--manifest \"$(cat sly)\" check",
        "run --timeout=\"$(cat sly)\"",
    ] {
        for to in ["2>&1", "2>&1 | cat"] {
            let (_, shown) = on_a_terminal(&folder, &format!("{arguments} {to}"));
            assert_harmless(&shown, &["error:", "owned"]);
        }
    }
}

#[test]
fn a_result_is_shown_on_a_terminal_and_goes_into_a_pipe_as_it_is() {
    let folder = Folder::of(&["echo"]);
    let arguments = json!({ "text": format!("one\n\ttwo {SLY}") }).to_string();
    folder.write("arguments", &arguments);
    let (status, shown) = on_a_terminal(&folder, "call echo - <arguments 2>/dev/null");
    assert_eq!(status, 0, "{shown}");
    // Its lines are its own.
    assert!(
        shown.contains("\ttwo a\\u{1b}]0;owned") && shown.contains("\r\nforged: line"),
        "{shown:?}"
    );
    assert_harmless(&shown.replace("forged: line", ""), &[]);
    let (status, shown) = on_a_terminal(&folder, "call echo - --full <arguments 2>/dev/null");
    assert_eq!(status, 0, "{shown}");
    assert_harmless(&shown, &[r"two a\u001b]0;owned\u0007", r"\u202eb\u2066c"]);
    let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(read["content"], format!("one\n\ttwo {SLY}"), "{read}");
    let piped = folder.run(&["call", "echo", "-"], &arguments).answered();
    assert_eq!(piped.stdout, format!("one\n\ttwo {SLY}\n"));
}

#[test]
fn lines_of_the_log_stay_lines() {
    let folder = Folder::of(&["misbehave"]);
    let calls = [
        ("1", "secret", json!({ "name": SLY })),
        ("2", "fail", json!({ "message": SLY })),
        (SLY, "panic", json!({ "message": SLY })),
    ];
    folder.write("calls.jsonl", json_lines(&calls));
    for to in ["2>&1 >/dev/null", "2>&1 >/dev/null | cat"] {
        let (status, shown) = on_a_terminal(&folder, &format!("-vv run calls.jsonl {to}"));
        assert_eq!(status, 0, "{shown}");
        let denied = r"\nforged: line\r\u{202e}b\u{2066}c\u{200b}d\u{2028}e\u{e0041}f";
        assert_harmless(&shown, &["denied: secret a", denied]);
        assert_eq!(
            shown.contains("\u{1b}[32m INFO\u{1b}[0m "),
            !to.contains('|'),
            "{shown:?}"
        );
    }
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
    let process = child.id();
    wait_until("it listens", || catches_interrupts(process));
    let interrupt = format!("kill -INT {process}");
    wait_for("it ends", || {
        if let Some(status) = child.try_wait().unwrap() {
            return Ok(status);
        }
        let _ = Command::new("sh").args(["-c", &interrupt]).status();
        Err("running")
    })
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
    assert!(stderr.contains("could not reserve a pool of"), "{stderr}");
}

#[test]
fn file_over_rlimit_fsize_fails_the_call_and_not_the_host() {
    let folder = Folder::with(format!(
        "{}max-input = '8MiB'\nmax-transfer = '64MiB'\nmemory = '128MiB'\n\
         permissions.files = [{{ host = 'files', guest = '/files', access = 'read-write' }}]\n",
        listed("misbehave")
    ));
    std::fs::create_dir(folder.path().join("files")).unwrap();
    let arguments = json!({ "path": "/files/large", "text": "x".repeat(5 << 20) });
    folder.write("arguments", arguments.to_string());
    let toolhost = env!("CARGO_BIN_EXE_toolhost");
    // 4 MiB, in blocks of 512 bytes: the images of memories are files too.
    let limited =
        format!("ulimit -f 8192; exec {toolhost} call write - --code-cache off <arguments");
    let output = Command::new("sh")
        .args(["-c", &limited])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(5),
        "{:?} {stderr}",
        output.status
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("Error: write failed - "), "{said}");
}
