//! `toolhost dev`: builds again, reloads, calls again. Its builds are a `make` that copies a guest.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::common::binary::{Folder, run};
use crate::common::{guest, wait_until};

/// `plugin.c` is the path of a guest, or an error. A build counts itself, and waits while there is a file `hold`.
const MAKE: &str = r#"#!/bin/sh
echo build >> ../builds
if read -r error path < plugin.c && [ "$error" = error ]; then
    echo "plugin.c:1:2: $path" >&2
    exit 2
fi
while [ -e ../hold ]; do sleep 0.02; done
cp "$error" hello.wasm.tmp && mv hello.wasm.tmp hello.wasm
"#;

struct Dev {
    folder: Folder,
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("toolhost dev said:\n{}", self.said());
        }
    }
}

impl Dev {
    fn start(source: &str, arguments: &[&str]) -> Dev {
        let folder = Folder::with("[plugin.hello]\npath = 'hello/hello.wasm'\n");
        folder.write("hello/Makefile", "PLUGIN = hello\n");
        folder.write("hello/plugin.c", source);
        let make = folder.write("bin/make", MAKE);
        let mut permissions = fs::metadata(&make).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        fs::set_permissions(make, permissions).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = folder.command(&[&["dev"], arguments].concat());
        command
            .env(
                "PATH",
                format!("{}:{path}", folder.path().join("bin").display()),
            )
            .env("TOOLHOST_TOOLS", folder.path().join("tools"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for stream in streams {
            let said = said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut said = said.lock().unwrap();
                    *said += &line;
                    *said += "\n";
                }
            });
        }
        Dev {
            folder,
            child,
            said,
        }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said that so often.
    #[track_caller]
    fn until(&self, words: &str, times: usize) {
        wait_until(&format!("{words}, {times} times"), || {
            self.said().matches(words).count() >= times
        });
    }

    /// Whole at once, as editors write.
    fn write(&self, source: &str) {
        let new = self.folder.write("hello/.plugin.c.new", source);
        fs::rename(new, self.folder.path().join("hello/plugin.c")).unwrap();
    }

    fn builds(&self) -> usize {
        let builds = fs::read_to_string(self.folder.path().join("builds"));
        builds.unwrap_or_default().lines().count()
    }
}

fn source(name: &str) -> String {
    format!("{}\n", guest(name).display())
}

const ECHO: [&str; 2] = ["--call", r#"echo {"text": "it answers"}"#];

#[test]
fn a_change_is_built_reloaded_and_called_and_a_mistake_is_shown_in_place() {
    let dev = Dev::start(&source("echo"), &ECHO);
    dev.until("tools: echo", 1);
    dev.until("\nit answers\n", 1);
    // What is wrong is shown with its place, and neither loaded nor called.
    dev.write("error expected a semicolon\n");
    dev.until("plugin.c:1:2: expected a semicolon", 1);
    dev.until(
        "error: cannot build hello: make ended with exit status: 2",
        1,
    );
    // Another guest has another tool: the call is of one that is gone.
    dev.write(&source("calculator"));
    dev.until("tools: calculate", 1);
    dev.until("reloaded ", 1);
    dev.until("Error: ", 1);
    dev.write(&source("echo"));
    dev.until("\nit answers\n", 2);
    assert_eq!(dev.builds(), 4, "{}", dev.said());
    dev.until("calling echo", 3);
}

#[test]
fn a_manifest_that_changes_is_reloaded_without_a_build() {
    let dev = Dev::start(&source("echo"), &ECHO);
    dev.until("\nit answers\n", 1);
    let manifest = "[plugin.hello]\npath = 'hello/hello.wasm'\nprefix = 'my_'\n";
    dev.folder.write("toolhost.toml", manifest);
    dev.until("reloaded ", 1);
    dev.until("calling echo", 2);
    dev.folder.write("toolhost.toml", "[plugin\n");
    dev.until("still serving the previous manifest", 1);
    assert_eq!(dev.builds(), 1, "{}", dev.said());
}

#[test]
fn it_starts_with_a_mistake_and_goes_on_when_that_is_mended() {
    let dev = Dev::start("error this is wrong\n", &ECHO);
    dev.until("plugin.c:1:2: this is wrong", 1);
    dev.write(&source("echo"));
    dev.until("\nit answers\n", 1);
    assert!(!dev.said().contains("cannot read"), "{}", dev.said());
}

#[test]
fn sources_that_change_during_a_build_are_built_again_after_it() {
    let dev = Dev::start(&source("echo"), &ECHO);
    dev.until("\nit answers\n", 1);
    let hold = dev.folder.write("hold", "");
    dev.write(&source("calculator"));
    wait_until("the second build runs", || dev.builds() == 2);
    // It has read the sources before.
    dev.write(&format!("{}\n", source("echo")));
    fs::remove_file(hold).unwrap();
    wait_until("a third build", || dev.builds() >= 3);
    dev.until("\nit answers\n", 2);
}

#[test]
fn an_interrupt_ends_it_and_a_build_that_runs() {
    for is_building in [false, true] {
        let mut dev = Dev::start(&source("echo"), &ECHO);
        dev.until("\nit answers\n", 1);
        if is_building {
            dev.folder.write("hold", "");
            dev.write(&source("calculator"));
            wait_until("the build runs", || dev.builds() == 2);
        }
        let mut kill = Command::new("kill");
        kill.args(["-s", "INT", &dev.child.id().to_string()]);
        assert!(kill.status().unwrap().success());
        let status = dev.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{is_building}: {}", dev.said());
    }
}

/// Only found, it may be a stranger's: building runs code.
#[test]
fn a_manifest_that_was_found_does_not_say_what_is_built() {
    let folder = Folder::with("[plugin.hello]\npath = 'hello/hello.wasm'\n");
    folder.write("hello/Makefile", "PLUGIN = hello\n");
    let ended = run(folder.command_that_finds(&["dev"]), "");
    ended.failed("name the folders of the plugins to build");
}

#[test]
fn it_says_what_it_cannot_develop() {
    let folder = Folder::of(&["echo"]);
    folder
        .run(&["dev"], "")
        .failed("no plugin of toolhost.toml has its sources beside its component");
    folder.write("hello/Makefile", "PLUGIN = hello\n");
    folder
        .run(&["dev", "hello"], "")
        .failed("does not list the component of hello: add `[plugin.hello]`");
    folder.run(&["dev", "gone"], "").failed("cannot read gone");
    let ended = folder.run(&["dev", "--call", " "], "");
    assert_eq!(ended.status, 2, "{ended:?}");
}
