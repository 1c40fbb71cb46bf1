//! File systems without room: whatever is written there is whole or not at all, what was there before stays, and who
//! cannot write says which file it was.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use toolhost::ToolHost;
use toolhost::manifest::AuditConfig;
use toolhost::permissions::{Access, FileGrant};

use crate::common::binary::{Ended, Folder, listed, run};
use crate::common::namespace::is_inside;
use crate::common::{echo, error, load, manifest, plugin, root, text};
use toolhost_testing::needs;

/// A file system of 64 KiB and 20 files.
struct Disk(TempDir);

impl Disk {
    fn new() -> Disk {
        let disk = Disk(tempfile::tempdir().unwrap());
        let mut mount = Command::new("mount");
        mount.args([
            "-t",
            "tmpfs",
            "-o",
            "size=64k,nr_inodes=20,mode=700",
            "small",
        ]);
        assert!(mount.arg(disk.0.path()).status().unwrap().success());
        disk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Leaves no room for a byte more than fits the last page of each file.
    fn fill(&self, how: Full) {
        match how {
            Full::Bytes => {
                let mut filler = File::create(self.path("filler")).unwrap();
                while filler.write_all(&[b'x'; 512]).is_ok() {}
            }
            Full::Files => {
                let file = |number: u32| self.path(&format!("filler{number}"));
                let mut numbers = 0..;
                while File::create(file(numbers.next().unwrap())).is_ok() {}
            }
        }
    }

    fn empty(&self) {
        for name in self.names() {
            if name.to_string_lossy().starts_with("filler") {
                fs::remove_file(self.0.path().join(name)).unwrap();
            }
        }
    }

    /// What is on it, beside what fills it.
    fn files(&self) -> Vec<OsString> {
        let mut names = self.names();
        names.retain(|name| !name.to_string_lossy().starts_with("filler"));
        names.sort();
        names
    }

    fn names(&self) -> Vec<OsString> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// What there is none left of.
#[derive(Clone, Copy, Debug)]
enum Full {
    Bytes,
    Files,
}

const FULL: [Full; 2] = [Full::Bytes, Full::Files];

/// What the system says of either.
const WHY: &str = "No space left on device";

fn lines(text: &str) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(line).collect()
}

async fn audited(path: &Path) -> Result<ToolHost, toolhost::LoadError> {
    let mut manifest = manifest([plugin("echo")]);
    manifest.audit = Some(AuditConfig::new(path));
    crate::common::try_load(manifest).await
}

#[tokio::test]
async fn audit_log_on_a_full_disk_fails_calls_until_there_is_room() {
    let test = "full_disk::\
        audit_log_on_a_full_disk_fails_calls_until_there_is_room";
    if !is_inside(test, "") {
        return;
    }
    let disk = Disk::new();
    let path = disk.path("audit.jsonl");
    let host = audited(&path).await.unwrap();
    assert_eq!(text(&host.call(echo(0, "a")).await), "a");
    disk.fill(Full::Bytes);
    let mut count = 1;
    let failed = loop {
        let result = host.call(echo(count, "a")).await;
        count += 1;
        if result.outcome.is_err() {
            break result;
        }
        assert!(count < 100, "it is never full");
    };
    let named = format!("cannot write the audit log {}: {WHY}", path.display());
    assert!(error(&failed).to_string().contains(&named), "{failed:?}");
    // What cannot be written down is not run.
    let refused = host.call(echo(count, "a")).await;
    count += 1;
    assert!(error(&refused).to_string().contains(&named), "{refused:?}");
    disk.empty();
    assert_eq!(text(&host.call(echo(count, "a")).await), "a");
    count += 1;
    let ids: Vec<Value> = lines(&disk.read("audit.jsonl"))
        .iter()
        .map(|line| line["id"].clone())
        .collect();
    let expected: Vec<Value> = (0..count).map(|id| json!(id.to_string())).collect();
    assert_eq!(ids, expected);
    drop(host);

    // One that cannot be made is told at once.
    disk.fill(Full::Files);
    let other = disk.path("other.jsonl");
    let said = audited(&other).await.unwrap_err().to_string();
    assert!(said.contains("other.jsonl") && said.contains(WHY), "{said}");
}

#[tokio::test]
async fn a_file_that_a_plugin_cannot_replace_stays_as_it_was() {
    let test = "full_disk::a_file_that_a_plugin_cannot_replace_stays_as_it_was";
    if !is_inside(test, "") {
        return;
    }
    for full in FULL {
        let disk = Disk::new();
        let old = "old line\n".repeat(1000);
        disk.write("notes.txt", &old);
        let mut plugin = plugin("filesystem");
        plugin.permissions.files =
            vec![FileGrant::new(disk.0.path(), "/disk").with_access(Access::ReadWrite)];
        let host = load(manifest([plugin])).await;
        disk.fill(full);
        let before = disk.files();
        let new = "new line\n".repeat(2000);
        for (tool, arguments) in [
            (
                "fs_write",
                json!({ "path": "/disk/notes.txt", "content": new, "if_exists": "overwrite" }),
            ),
            (
                "fs_write",
                json!({ "path": "/disk/more.txt", "content": new }),
            ),
            (
                "fs_write",
                json!({ "path": "/disk/notes.txt", "content": new, "if_exists": "append" }),
            ),
            (
                "fs_edit",
                json!({ "path": "/disk/notes.txt", "old": "old line\n", "new": new, "replace_all": true }),
            ),
        ] {
            let result = host.call(crate::common::call(tool, arguments)).await;
            let said = error(&result).to_string();
            assert_eq!(error(&result).code(), "failed", "{full:?} {tool}: {said}");
            assert!(said.contains(".txt"), "{full:?} {tool}: {said}");
            assert_eq!(disk.read("notes.txt"), old, "{full:?} {tool}");
            assert_eq!(disk.files(), before, "{full:?} {tool}");
        }
        disk.empty();
        let arguments =
            json!({ "path": "/disk/notes.txt", "content": new, "if_exists": "overwrite" });
        text(&host.call(crate::common::call("fs_write", arguments)).await);
        assert_eq!(disk.read("notes.txt"), new);
    }
}

/// Runs a command that cannot write, which must leave no trace; then again with room, which must do.
fn fails_whole(disk: &Disk, full: Full, file: &str, command: &dyn Fn() -> Command) -> Ended {
    disk.fill(full);
    let files = disk.files();
    let contents = |names: &[OsString]| -> Vec<Option<Vec<u8>>> {
        let paths = names.iter().map(|name| disk.0.path().join(name));
        paths.map(|path| fs::read(path).ok()).collect()
    };
    let before = contents(&files);
    let ended = run(command(), "");
    assert_eq!(ended.status, 1, "{full:?}: {ended:?}");
    assert!(
        ended.stderr.contains(file) && ended.stderr.contains(WHY),
        "{full:?}: {ended:?}"
    );
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert_eq!(disk.files(), files, "{full:?}: {ended:?}");
    assert_eq!(contents(&files), before, "{full:?}: {ended:?}");
    disk.empty();
    run(command(), "")
}

#[test]
fn pins_are_written_whole_or_not_at_all() {
    needs!(python);
    let test = "full_disk::pins_are_written_whole_or_not_at_all";
    if !is_inside(test, "") {
        return;
    }
    for full in FULL {
        let disk = Disk::new();
        let script = root().join("tests/remote/mcp_stub.py");
        let comment = format!("# {}\n", "long ".repeat(1000));
        let server =
            format!("{comment}[mcp.x]\ncommand = 'python3'\nargs = [{script:?}, 'meta']\n");
        let file = disk.write("toolhost.toml", &server);
        disk.write("toolhost.lock", "{}\n");
        let check = || {
            let mut command = crate::common::toolhost();
            command
                .arg("--manifest")
                .arg(&file)
                .args(["check", "--pin"]);
            command
        };
        let ended = fails_whole(&disk, full, "toolhost.", &check);
        assert_eq!(ended.status, 0, "{full:?}: {ended:?}");
        assert!(disk.read("toolhost.toml").contains("[mcp.x.pins]"));
        assert!(disk.read("toolhost.lock").contains("\"x\""));
    }
}

#[test]
fn trust_is_kept_whole_or_not_at_all() {
    let test = "full_disk::trust_is_kept_whole_or_not_at_all";
    if !is_inside(test, "") {
        return;
    }
    for full in FULL {
        let disk = Disk::new();
        let folder = Folder::empty();
        let asks = "permissions.http = ['https://example.com']\n";
        folder.write("toolhost.toml", listed("echo") + asks);
        fs::create_dir(folder.path().join("toolhost")).unwrap();
        std::os::unix::fs::symlink(disk.0.path(), folder.path().join("toolhost/trust")).unwrap();
        let trust = || {
            let mut command = folder.command_that_finds(&["trust"]);
            command.env("XDG_CONFIG_HOME", folder.path());
            command
        };
        let ended = fails_whole(&disk, full, ".json", &trust);
        assert_eq!(ended.status, 0, "{full:?}: {ended:?}");
        let [kept] = &disk.files()[..] else {
            panic!("{:?}", disk.files());
        };
        assert!(kept.to_string_lossy().ends_with(".json"), "{kept:?}");
    }
}

#[test]
fn caches_that_cannot_be_written_cost_time_only() {
    needs!(python);
    let test = "full_disk::caches_that_cannot_be_written_cost_time_only";
    if !is_inside(test, "") {
        return;
    }
    for full in FULL {
        let disk = Disk::new();
        let script = root().join("tests/remote/mcp_stub.py");
        let server = format!("[mcp.x]\ncommand = 'python3'\nargs = [{script:?}, 'meta']\n");
        let folder = Folder::with(listed("echo") + &server);
        for name in ["code", "code-mcp"] {
            fs::create_dir(disk.path(name)).unwrap();
        }
        let call = || {
            let mut command = folder.command(&["call", "echo", r#"{"text": "hi"}"#]);
            command.env("TOOLHOST_CODE_CACHE", disk.path("code"));
            run(command, "")
        };
        disk.fill(full);
        let ended = call();
        assert_eq!(
            (ended.status, &*ended.stdout),
            (0, "hi\n"),
            "{full:?}: {ended:?}"
        );
        assert!(!ended.stderr.contains("panicked"), "{full:?}: {ended:?}");
        let left = fs::read_dir(disk.path("code-mcp")).unwrap();
        assert_eq!(left.count(), 0, "{full:?}");
        // Nothing of what did not fit is taken for code, or for what a server said.
        disk.empty();
        let ended = call();
        assert_eq!(
            (ended.status, &*ended.stdout),
            (0, "hi\n"),
            "{full:?}: {ended:?}"
        );
    }
}

/// What the binary says on stderr, and its status, with its stdout where nothing can be written.
fn into_full(mut command: Command, input: &str) -> (Option<i32>, String) {
    let full = File::options().write(true).open("/dev/full").unwrap();
    command
        .stdin(Stdio::piped())
        .stdout(full)
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Whoever has failed reads no more.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

const CALLS: &str = r#"[{"id":"a","name":"echo","arguments":{"text":"hi"}},
    {"id":"b","name":"echo","arguments":{"text":"ho"}}]"#;

const COMMANDS: [(&[&str], &str); 12] = [
    (&["list"], ""),
    (&["list", "--format", "anthropic"], ""),
    (&["check"], ""),
    (&["inspect", "echo"], ""),
    (&["call", "echo", r#"{"text":"hi"}"#], ""),
    (&["call", "--full", "echo", r#"{"text":"hi"}"#], ""),
    (&["run"], CALLS),
    (&["run", "--full"], CALLS),
    (&["run", "--dry-run"], CALLS),
    (&["token", "new"], ""),
    (&["--help"], ""),
    (&["--version"], ""),
];

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error_and_no_panic() {
    let folder = Folder::of(&["echo"]);
    for (arguments, input) in COMMANDS {
        let (status, said) = into_full(folder.command(arguments), input);
        assert_eq!(status, Some(1), "{arguments:?}: {said}");
        let expected = "error: cannot write to stdout: No space left on device";
        assert!(
            said.contains(expected) || arguments[0].starts_with("--"),
            "{arguments:?}: {said}"
        );
        assert!(
            said.contains(WHY) && !said.contains("panicked"),
            "{arguments:?}: {said}"
        );
    }
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "a", "version": "1" } } });
    let (status, said) = into_full(folder.command(&["serve"]), &format!("{initialize}\n"));
    assert_eq!(status, Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// As `head -1` does.
#[test]
fn who_reads_a_part_of_the_output_is_no_error() {
    let folder = Folder::of(&["echo", "conformance"]);
    for (arguments, input) in COMMANDS {
        let mut command = folder.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{arguments:?}: {status} {said}");
        assert!(
            !said.contains("panicked") && !said.contains("error:"),
            "{arguments:?}: {said}"
        );
    }
}
