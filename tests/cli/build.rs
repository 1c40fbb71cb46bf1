//! `toolhost build`: what it finds, what it says is missing, and how it ends a build. Builds by real compilers:
//! `tests/sdks`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::binary::{Ended, Folder, run};
use crate::common::{guest, wait_until};

/// Makes a program of that name for the build to find.
fn program(folder: &Folder, name: &str, script: &str) {
    let file = folder.write(
        Path::new("bin").join(name),
        format!("#!/bin/sh\n{script}\n"),
    );
    let mut permissions = fs::metadata(&file).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(file, permissions).unwrap();
}

/// A build that finds these programs only.
fn build(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = folder.command_that_finds(&[&["build"], arguments].concat());
    command
        .env("PATH", folder.path().join("bin"))
        .env("TOOLHOST_TOOLS", folder.path().join("tools"))
        .env_remove("VIRTUAL_ENV")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("PYTHON")
        .env_remove("WASI_CC");
    command
}

/// A plugin in C whose `make` does this.
fn made_by(script: &str) -> Folder {
    let folder = Folder::empty();
    folder.write("Makefile", "PLUGIN = hello\n");
    program(&folder, "make", script);
    program(&folder, "python3", "exit 1");
    folder
}

#[test]
fn what_is_missing_is_named_with_the_command_that_installs_it() {
    for (file, contents, words) in [
        (
            "Cargo.toml",
            "[package]\nname = 'x'\n",
            &["Rust is not installed", "https://rustup.rs"][..],
        ),
        (
            "package.json",
            "{}",
            &["Node is not installed", "https://nodejs.org"],
        ),
        (
            "app.py",
            "",
            &["Python is not installed", "apt-get install python3"],
        ),
        (
            "Makefile",
            "PLUGIN = x\n",
            &["make is not installed", "apt-get install make"],
        ),
    ] {
        let folder = Folder::empty();
        folder.write(file, contents);
        let ended = run(build(&folder, &[]), "");
        assert_eq!((ended.status, &*ended.stdout), (6, ""), "{file}: {ended:?}");
        for words in words {
            assert!(ended.stderr.contains(words), "{file}: {ended:?}");
        }
    }
}

#[test]
fn tools_that_are_too_old_or_lack_a_part_are_named() {
    let is_missing = |folder: &Folder, words: &str| {
        let ended = run(build(folder, &[]), "");
        assert_eq!((ended.status, &*ended.stdout), (6, ""), "{ended:?}");
        assert!(ended.stderr.contains(words), "no {words} in {ended:?}");
    };
    let folder = Folder::empty();
    folder.write("index.js", "");
    program(&folder, "node", "echo v18.3.0");
    is_missing(&folder, "Node is v18.3.0: install Node 20 or newer");
    program(&folder, "node", "echo v22.3.0");
    is_missing(&folder, "npm is not installed");
    program(&folder, "npm", "exit 1");
    folder.write("package.json", r#"{ "dependencies": { "zod": "4" } }"#);
    is_missing(
        &folder,
        "packages are not installed: zod: run `npm install`",
    );

    let folder = Folder::empty();
    folder.write("app.py", "");
    program(&folder, "python3", "echo 3.9.2 False False");
    is_missing(
        &folder,
        "python3 is version 3.9.2: install Python 3.10 or newer",
    );

    let folder = Folder::empty();
    folder.write("Cargo.toml", "[package]\nname = 'x'\n");
    program(&folder, "cargo", "exit 1");
    program(&folder, "rustc", "echo /nowhere");
    is_missing(&folder, "https://rustup.rs");
    program(&folder, "rustup", "exit 1");
    is_missing(&folder, "run `rustup target add wasm32-wasip2`");

    let folder = Folder::empty();
    folder.write("Makefile", "PLUGIN = x\n");
    program(&folder, "make", "exit 1");
    is_missing(&folder, "Python with pip");
}

#[test]
fn what_is_no_plugin_is_refused_with_what_would_be_one() {
    let folder = Folder::empty();
    folder.write("a/Makefile", "all:\n\techo hello\n");
    folder.write("b/x.wasm", "");
    folder.write("c/world.wit", "package a:b;\n");
    for (path, why) in [
        ("a", "nothing to build in a: expected Cargo.toml"),
        ("b/x.wasm", "is built already"),
        ("c", "nothing to build in c"),
        ("c/world.wit", "no project is in the folder of c/world.wit"),
        ("d", "cannot read d"),
    ] {
        run(build(&folder, &[path]), "").failed(why);
    }
}

#[test]
fn a_component_is_loaded_once_and_its_tools_are_named() {
    let copy = format!("cp '{}' hello.wasm", guest("echo").display());
    let copy = format!("PATH=/usr/bin:/bin; {copy}; echo chatter; echo chatter >&2");
    let folder = made_by(&copy);
    // A pipe gets these two lines only.
    let built = run(build(&folder, &[]), "").answered().stdout;
    let lines: Vec<&str> = built.lines().collect();
    assert!(lines[0].starts_with("built ./hello.wasm in "), "{built}");
    assert_eq!(lines[1..], ["tools: echo"], "{built}");
    // The component is written to the path in the manifest if that is beside the sources, or to `--output`.
    fs::remove_file(folder.path().join("hello.wasm")).unwrap();
    folder.write("toolhost.toml", "[plugin.other]\npath = 'other.wasm'\n");
    run(build(&folder, &["Makefile"]), "").answered();
    assert!(folder.path().join("other.wasm").is_file());
    run(build(&folder, &["--output", "made/third.wasm"]), "").answered();
    assert!(folder.path().join("made/third.wasm").is_file());

    let folder = made_by("echo no component > hello.wasm");
    run(build(&folder, &[]), "").failed("cannot build hello: ");
}

#[test]
fn what_the_compiler_says_is_shown_but_cannot_control_the_terminal() {
    let folder = made_by("echo 'hello.c:3:7: error: expected ;' >&2; exit 2");
    let ended = run(build(&folder, &[]), "");
    assert_eq!((ended.status, &*ended.stdout), (1, ""), "{ended:?}");
    assert_eq!(
        ended.stderr,
        "hello.c:3:7: error: expected ;\nerror: cannot build hello: make ended with exit status: 2\n"
    );
}

/// A `make` that never ends, with a child that does not either.
fn endless() -> Folder {
    made_by("PATH=/usr/bin:/bin; sleep 1000 & echo $! > child; echo $$ > parent; wait")
}

/// Waits until neither the build nor what it started runs.
fn until_gone(folder: &Folder) {
    for file in ["child", "parent"] {
        let id = fs::read_to_string(folder.path().join(file)).unwrap();
        let process = Path::new("/proc").join(id.trim());
        // What has ended may wait for somebody to ask how.
        let runs = || match fs::read_to_string(process.join("stat")) {
            Ok(stat) => !stat.contains(") Z "),
            Err(_) => false,
        };
        wait_until("the processes of a build end", || !runs());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_build_that_never_ends_is_ended_with_its_children() {
    let folder = endless();
    let ended = run(build(&folder, &["--timeout", "1s"]), "").failed("timed out after 1s");
    assert!(ended.stderr.contains("--timeout"), "{ended:?}");
    until_gone(&folder);
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_build_ends_with_its_children() {
    for signal in ["INT", "TERM", "HUP"] {
        let folder = endless();
        let mut command = build(&folder, &[]);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        wait_until("the build runs", || {
            fs::read_to_string(folder.path().join("parent")).is_ok_and(|id| id.ends_with('\n'))
        });
        let mut kill = Command::new("kill");
        kill.args(["-s", signal, &child.id().to_string()]);
        assert!(kill.status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        until_gone(&folder);
    }
}

#[test]
fn tools_are_not_installed_where_others_could_replace_them() {
    let folder = made_by("exit 0");
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&tools, everybody).unwrap();
    let ended = run(build(&folder, &[]), "");
    assert_eq!(ended.status, 1, "{ended:?}");
    for words in [
        "others can write to",
        "set TOOLHOST_TOOLS to a folder of your own",
    ] {
        assert!(ended.stderr.contains(words), "{ended:?}");
    }
}

#[test]
fn a_failed_build_leaves_the_component_as_it_was() {
    let folder = made_by("exit 2");
    folder.write("hello.wasm", "before");
    let ended: Ended = run(build(&folder, &[]), "");
    assert_eq!(ended.status, 1, "{ended:?}");
    let kept = fs::read_to_string(folder.path().join("hello.wasm")).unwrap();
    assert_eq!(kept, "before");
}
