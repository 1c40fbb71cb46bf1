//! What somebody takes on who embeds the library.

use std::process::Command;

use crate::common::root;

/// Names of packages that the library has without the command line: all of them, or those that it
/// asks for itself.
fn dependencies(depth: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--offline", "--locked", "--package", "toolhost"])
        .args(["--edges", "normal", "--no-default-features"])
        .args(["--prefix", "none", "--format", "{p}"])
        .args(depth)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_library_brings_nothing_of_the_command_line() {
    let all = dependencies(&[]);
    assert!(all.iter().any(|name| name == "wasmtime"), "{all:?}");
    for name in ["clap", "indicatif", "comfy-table", "tracing-subscriber"] {
        assert!(!all.iter().any(|found| found == name), "{name}");
    }
}

/// wasmtime's compiler and macros have `anyhow` somewhere below them, which nobody can help.
#[test]
fn the_library_itself_does_without_anyhow() {
    let own = dependencies(&["--depth", "2"]);
    assert!(own.iter().any(|name| name == "wasmtime"), "{own:?}");
    assert!(!own.iter().any(|name| name == "anyhow"), "{own:?}");
}
