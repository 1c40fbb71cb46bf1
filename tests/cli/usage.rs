//! Wrong usage, help and version.

use super::HELLO;
use crate::common::binary::Folder;

#[test]
fn wrong_usage_exits_2_and_prints_nothing_to_stdout() {
    let folder = Folder::of(&["echo"]);
    for arguments in [
        &[][..],
        &["walk"],
        &["run", "--walk"],
        &["run", "a.json", "b.json"],
        &["run", "--timeout", "soon"],
        &["run", "--timeout", "0s"],
        &["run", "--max-concurrency", "0"],
        &["run", "--max-concurrency", "many"],
        &["run", "--summarize-items", "0"],
        &["call"],
        &["call", "echo", "{}", "{}"],
        &["list", "--format", "yaml"],
        &["inspect"],
        &["check", "toolhost.toml"],
    ] {
        let ended = folder.run(arguments, HELLO);
        assert_eq!(ended.status, 2, "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_work_for_every_command_without_a_manifest() {
    let folder = Folder::empty();
    for command in [
        "new", "build", "dev", "run", "call", "list", "inspect", "check",
    ] {
        let ended = folder.run(&[command, "--help"], "").answered();
        let usage = format!("Usage: toolhost {command}");
        assert!(ended.stdout.contains(&usage), "{}", ended.stdout);
        assert!(ended.stdout.contains("--manifest"), "{}", ended.stdout);
    }
    let all = folder.run(&["--help"], "").answered().stdout;
    for command in [
        "new", "build", "dev", "run", "call", "list", "inspect", "check",
    ] {
        let described = all.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&command) && words.len() > 2
        });
        assert!(described, "{command}: {all}");
    }
    let version = folder.run(&["--version"], "").answered().stdout;
    assert_eq!(version, format!("toolhost {}\n", env!("CARGO_PKG_VERSION")));
}
