//! `toolhost generate`: shell completions and man pages.

use std::process::{Command, Stdio};

use crate::common::binary::{Folder, run};

/// Every command that `--help` lists.
fn commands(folder: &Folder) -> Vec<String> {
    let help = folder.run(&["--help"], "").answered().stdout;
    let (_, listed) = help.split_once("Commands:\n").expect("a list of commands");
    let (listed, _) = listed.split_once("\n\n").expect("an end of that list");
    let names = listed.lines().filter_map(|line| {
        let is_name = line.starts_with("  ") && !line.starts_with("   ");
        line.split_whitespace().next().filter(|_| is_name)
    });
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn completions_of_every_shell_name_every_command() {
    let folder = Folder::empty();
    let commands = commands(&folder);
    assert!(commands.len() >= 10, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let argument = format!("complete-{shell}");
        let script = folder.run(&["generate", &argument], "").answered().stdout;
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(script.contains("max-concurrency"), "{shell}");
    }
}

#[test]
fn bash_completes_commands_options_and_formats() {
    let folder = Folder::empty();
    let script = folder.run(&["generate", "complete-bash"], "").answered();
    let file = folder.write("toolhost.bash", script.stdout);
    let complete = |words: &[&str]| {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c"]).arg(
            "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
             _toolhost toolhost \"${!#}\" \"${@: -2:1}\"; printf '%s\\n' \"${COMPREPLY[@]}\"",
        );
        bash.arg("bash").arg(&file).args(words).stdin(Stdio::null());
        let ended = run(bash, "").answered();
        ended.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["toolhost", "ins"]), ["inspect"]);
    assert_eq!(
        complete(&["toolhost", "run", "--with-"]),
        ["--with-message"]
    );
    let formats = complete(&["toolhost", "list", "--format", ""]);
    assert!(formats.contains(&"anthropic".to_owned()), "{formats:?}");
}

#[test]
fn man_pages_are_there_for_every_command() {
    let folder = Folder::empty();
    let page = folder.run(&["generate", "man"], "").answered().stdout;
    assert!(page.contains(".TH toolhost 1"), "{page}");
    assert!(page.contains("Exit status"), "{page}");

    let pages = folder.path().join("share/man1");
    let arguments = ["generate", "man", "--out-dir", "share/man1"];
    let ended = folder.run(&arguments, "").answered();
    assert_eq!(ended.stdout, "");
    for command in commands(&folder) {
        let page = std::fs::read_to_string(pages.join(format!("toolhost-{command}.1"))).unwrap();
        assert!(page.contains("\\-\\-manifest"), "{command}: {page}");
    }
    assert!(pages.join("toolhost.1").exists());
    assert!(pages.join("toolhost-token-new.1").exists());
}

#[test]
fn unwritable_man_page_folder_is_named() {
    let folder = Folder::empty();
    folder.write("taken", "");
    folder
        .run(&["generate", "man", "--out-dir", "taken"], "")
        .failed("cannot write man pages to taken");
}
