//! Which manifest is used, and where compiled code is kept.

use serde_json::json;

use super::{HELLO, hello, run_to_chat};
use crate::common::binary::{Folder, listed, run};
use crate::common::toolhost;

#[test]
fn manifest_is_found_by_option_variable_or_parent_folder() {
    let folder = Folder::of(&["misbehave"]);
    folder.write("option.toml", listed("echo"));
    folder.write("variable.toml", listed("bfcl"));
    folder.write("near/toolhost.toml", listed("echo"));
    folder.write("near/deep/down/here", "");
    folder.write("far/down/here", "");
    let variable_file = folder.path().join("variable.toml");
    let offers = |at: &str, variable: bool, option: &[&str]| -> String {
        let mut command = toolhost();
        command.current_dir(folder.path().join(at));
        command.args(["list", "--format", "json"]).args(option);
        if variable {
            command.env("TOOLHOST_MANIFEST", &variable_file);
        }
        let tools = run(command, "").answered().results();
        tools[0]["plugin"].as_str().unwrap().to_owned()
    };
    assert_eq!(offers("", false, &[]), "misbehave");
    assert_eq!(offers("far/down", false, &[]), "misbehave");
    assert_eq!(offers("near", false, &[]), "echo");
    assert_eq!(offers("near/deep/down", false, &[]), "echo");
    assert_eq!(offers("near", true, &[]), "bfcl");
    let option = ["--manifest", "option.toml"];
    assert_eq!(offers("", false, &option), "echo");
    assert_eq!(offers("", true, &option), "echo");
}

#[test]
fn a_missing_manifest_is_an_error_that_says_what_to_do() {
    let folder = Folder::empty();
    let ended = folder.run(&["check"], "").failed("toolhost.toml");
    assert!(ended.stderr.contains("--manifest"), "{}", ended.stderr);
    for arguments in [&["run"][..], &["call", "echo"], &["list"], &["check"]] {
        let arguments = [arguments, &["--manifest", "none.toml"]].concat();
        folder.run(&arguments, HELLO).failed("none.toml");
    }
}

#[test]
fn the_options_of_all_commands_go_before_or_after_the_command() {
    let folder = Folder::empty();
    folder.write("other.toml", listed("echo"));
    for arguments in [
        ["--manifest", "other.toml", "list"],
        ["list", "--manifest", "other.toml"],
    ] {
        let ended = folder.run(&arguments, "").answered();
        assert_eq!(ended.stdout.lines().count(), 1);
    }
}

#[test]
fn code_cache_option_moves_or_disables_the_cache_only() {
    let folder = Folder::of(&["echo"]);
    let ended = folder
        .run(&run_to_chat(&["--code-cache", "off"]), HELLO)
        .answered();
    assert_eq!(ended.json(), json!([hello()]));
    for _ in 0..2 {
        let ended = folder
            .run(&run_to_chat(&["--code-cache", "kept"]), HELLO)
            .answered();
        assert_eq!(ended.json(), json!([hello()]));
    }
    assert!(folder.path().join("kept").is_dir());
}

#[cfg(unix)]
#[test]
fn a_code_cache_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::of(&["echo"]);
    let cache = folder.path().join("open");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    let ended = folder.run(&run_to_chat(&["--code-cache", "open"]), HELLO);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json(), json!([hello()]));
    assert!(ended.stderr.contains("others can write to"), "{ended:?}");
    assert!(ended.stderr.contains("TOOLHOST_CODE_CACHE"), "{ended:?}");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
}
