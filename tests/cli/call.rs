//! `toolhost call`.

use crate::common::binary::Folder;

#[test]
fn call_takes_arguments_from_the_command_line_stdin_or_none() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let arguments = r#"{"text":"hello"}"#;
    let given = folder.run(&["call", "echo", arguments], "").answered();
    assert_eq!(given.stdout, "hello\n");
    let piped = folder.run(&["call", "echo", "-"], arguments).answered();
    assert_eq!(piped.stdout, "hello\n");
    let none = folder.run(&["call", "counter"], arguments).answered();
    assert_eq!(none.stdout, "1\n");
    let raw = folder.run(&["call", "raw_arguments"], "").answered();
    assert_eq!(raw.stdout, "{}\n");
}

#[test]
fn a_call_that_fails_prints_its_error_and_exits_with_5() {
    let folder = Folder::of(&["echo"]);
    let ended = folder.run(&["call", "ecko"], "").call_failed();
    assert_eq!(
        ended.stdout,
        "Error: Unknown tool ecko. Similar tools: echo\n"
    );
    let ended = folder.run(&["call", "echo", "{"], "").call_failed();
    assert!(
        ended.stdout.starts_with("Error: echo failed - "),
        "{ended:?}"
    );
}

#[test]
fn call_takes_the_options_of_run() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let full = folder.run(&["call", "echo", "--full"], "").call_failed();
    // A document over several lines, unlike what `run` prints.
    assert!(full.stdout.lines().count() > 1, "{full:?}");
    let full = full.json();
    assert_eq!(full["error"]["code"], "invalid-arguments");
    assert_eq!(full["name"], "echo");
    let content = full["content"].as_str().unwrap();
    assert!(content.starts_with("Error: echo failed - "), "{full}");
    assert!(full["usage"]["run_ms"].is_f64(), "{full}");
    assert_eq!((full.get("role"), full.get("id")), (None, None));
    let summarized = [
        "call",
        "echo",
        r#"{"text":"[1,2,3]"}"#,
        "--summarize",
        "--summarize-items",
        "1",
    ];
    let ended = folder.run(&summarized, "").answered();
    assert_eq!(
        ended.stdout,
        "Results from echo:\nFound 3 items.\n[\n  1\n]\n"
    );
    let slow = ["call", "sleep", r#"{"ms":3600000}"#, "--timeout", "1s"];
    let ended = folder.run(&slow, "").call_failed();
    assert_eq!(ended.stdout, "Error: sleep timed out after 1 second\n");
}
