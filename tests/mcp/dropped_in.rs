//! A running server takes plugins that appear in `plugin-dir`, are replaced and removed, and does not take a manifest
//! for empty that is being written.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, Old, text};
use crate::common::binary::{Folder, listed};
use crate::common::{guest, wait_until};
use crate::lifecycle::{CHANGED, names};
use crate::server::Http;

/// A server with a folder for plugins, and a client that is told of changes.
struct Host {
    server: Http,
    client: Client,
}

impl Host {
    fn start(dropped_in: &[&str]) -> Host {
        let manifest = format!("plugin-dir = 'plugins'\n{}", listed("echo"));
        let folder = Folder::with(manifest);
        fs::create_dir(folder.path().join("plugins")).unwrap();
        for name in dropped_in {
            folder.write(format!("plugins/{name}.wasm"), bytes(name));
        }
        let server = Http::start_in(folder);
        let mut client = Client::http(&server, Old, json!({}));
        client.listen();
        Host { server, client }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.server.folder.path().join("plugins").join(name)
    }

    /// Puts a component into the folder, whole at once.
    fn drop_in(&self, file: &str, bytes: &[u8]) {
        let new = self.server.folder.write("new", bytes);
        fs::rename(new, self.path(file)).unwrap();
    }

    #[track_caller]
    fn until_said(&self, words: &str) {
        wait_until(words, || self.server.said().contains(words));
    }

    #[track_caller]
    fn tools(&mut self, are: &[&str]) {
        let mut names = names(&mut self.client);
        names.retain(|name| ["calculate", "echo", "many_progress", "time_now"].contains(&&**name));
        names.sort();
        assert_eq!(names, are, "{}", self.server.said());
    }
}

/// A call of a plugin that has no permissions, as those dropped in, and runs when this returns.
#[track_caller]
fn running(client: &mut Client) -> u64 {
    client.meta = json!({ "progressToken": "p" });
    let id = client.start("many_progress", json!({ "n": 500_000 }));
    client.meta = json!({});
    client.told("notifications/progress");
    id
}

#[track_caller]
fn is_answered(client: &mut Client, id: u64) {
    let answer = client.answer(id);
    assert_eq!(text(&answer["result"]), "reported 1000002 times");
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(guest(name)).unwrap()
}

#[test]
fn a_plugin_is_added_replaced_and_removed_with_its_file() {
    let mut host = Host::start(&[]);
    host.tools(&["echo"]);
    host.drop_in("x.wasm", &bytes("conformance"));
    host.client.told(CHANGED);
    host.tools(&["echo", "many_progress"]);
    // Calls go on with the plugin that they were begun with.
    let call = running(&mut host.client);
    host.drop_in("x.wasm", &bytes("calculator"));
    host.client.told(CHANGED);
    host.tools(&["calculate", "echo"]);
    is_answered(&mut host.client, call);
    fs::remove_file(host.path("x.wasm")).unwrap();
    host.client.told(CHANGED);
    host.tools(&["echo"]);
    assert!(
        !host.server.said().contains("error"),
        "{}",
        host.server.said()
    );
}

#[test]
fn a_broken_plugin_leaves_the_old_one_serving_and_keeps_no_other_away() {
    let mut host = Host::start(&["calculator"]);
    let broken = b"\0asm\x0d\0\x01\0\x05\x01\0".to_vec();
    for (file, becomes) in [
        ("calculator.wasm", "the previous one keeps serving"),
        ("other.wasm", "it is left out"),
    ] {
        host.drop_in(file, &broken);
        let name = file.trim_end_matches(".wasm");
        host.until_said(&format!(
            "error: plugin {name} cannot be loaded, {becomes}: "
        ));
        let answer = host
            .client
            .text("calculate", json!({ "expression": "6 * 7" }));
        assert!(answer.contains("42"), "{answer}");
    }
    host.drop_in("time.wasm", &bytes("time"));
    host.client.told(CHANGED);
    host.tools(&["calculate", "echo", "time_now"]);
    // It is replaced once there is one that loads.
    host.drop_in("calculator.wasm", &bytes("conformance"));
    host.client.told(CHANGED);
    host.tools(&["echo", "many_progress", "time_now"]);
}

#[test]
fn a_plugin_that_is_being_copied_is_waited_for() {
    let mut host = Host::start(&[]);
    let whole = bytes("calculator");
    for (file, reserved) in [("slow.wasm", false), ("reserved.wasm", true)] {
        let mut copy = fs::File::create(host.path(file)).unwrap();
        if reserved {
            copy.set_len(whole.len() as u64).unwrap();
        }
        let half = whole.len() / 2;
        copy.write_all(&whole[..half]).unwrap();
        // The copy stalls for longer than files take to settle.
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(host.client.so_far(CHANGED), [Value::Null; 0]);
        copy.write_all(&whole[half..]).unwrap();
        drop(copy);
        host.client.told(CHANGED);
        host.tools(&["calculate", "echo"]);
        fs::remove_file(host.path(file)).unwrap();
        host.client.told(CHANGED);
    }
    assert!(
        !host.server.said().contains("error"),
        "{}",
        host.server.said()
    );
    // Wherever the manifest has it.
    host.server.folder.write("own.wasm", &whole);
    let more = format!("{}[plugin.own]\npath = 'own.wasm'\n", listed("echo"));
    host.server.folder.write("toolhost.toml", &more);
    host.client.told(CHANGED);
    let next = bytes("time");
    let mut copy = fs::File::create(host.server.folder.path().join("own.wasm")).unwrap();
    copy.write_all(&next[..next.len() / 2]).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    copy.write_all(&next[next.len() / 2..]).unwrap();
    drop(copy);
    host.client.told(CHANGED);
    host.tools(&["echo", "time_now"]);
    assert!(
        !host.server.said().contains("error"),
        "{}",
        host.server.said()
    );
}

#[test]
fn an_empty_manifest_is_taken_for_one_only_if_it_stays_empty() {
    let mut host = Host::start(&[]);
    let manifest = host.server.folder.path().join("toolhost.toml");
    let whole = fs::read_to_string(&manifest).unwrap();
    for part in ["", "# The plugins\n"] {
        fs::write(&manifest, part).unwrap();
        host.server.signal("HUP");
        std::thread::sleep(Duration::from_millis(1000));
        fs::write(&manifest, &whole).unwrap();
        host.server.signal("HUP");
        let count = host.server.said().matches("reloaded ").count();
        wait_until("a reload", || {
            host.server.said().matches("reloaded ").count() > count
        });
        host.tools(&["echo"]);
    }
    assert_eq!(host.client.so_far(CHANGED), [Value::Null; 0]);
    let start = Instant::now();
    fs::write(&manifest, "").unwrap();
    host.client.told(CHANGED);
    assert!(start.elapsed() >= Duration::from_secs(2));
    host.tools(&[]);
}

/// `toolhost dev` serves while it builds; its builds are a `make` that copies a guest.
#[test]
fn dev_builds_and_reloads_without_dropping_a_call() {
    let folder = Folder::with("[plugin.hello]\npath = 'hello/hello.wasm'\n");
    let source = |name: &str| format!("{}\n", guest(name).display());
    folder.write("hello/Makefile", "PLUGIN = hello\n");
    folder.write("hello/plugin.c", source("conformance"));
    let make = folder.write(
        "bin/make",
        "#!/bin/sh\ncp \"$(cat plugin.c)\" hello.wasm.tmp && mv hello.wasm.tmp hello.wasm\n",
    );
    let mut permissions = fs::metadata(&make).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(make, permissions).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = folder.command(&["dev", "--http", "127.0.0.1:0"]);
    command
        .env(
            "PATH",
            format!("{}:{path}", folder.path().join("bin").display()),
        )
        .env("TOOLHOST_TOOLS", folder.path().join("tools"));
    let server = Http::run(folder, command);
    let mut client = Client::http(&server, Old, json!({}));
    client.listen();
    let call = running(&mut client);
    let new = server.folder.write("hello/.new", source("calculator"));
    fs::rename(new, server.folder.path().join("hello/plugin.c")).unwrap();
    client.told(CHANGED);
    assert!(names(&mut client).contains(&"calculate".to_owned()));
    is_answered(&mut client, call);
}
