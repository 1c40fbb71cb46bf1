//! What the operating system has to say to a write: owners, access control lists, mounts, and what it forbids. Some of it takes
//! root to set up; without root those tests say so on stderr.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::Files;
use crate::common::binary::{Ended, Folder, run};
use crate::common::{code_cache, guest, needs, text};

/// Anybody but root.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    // This process's own files are its user's.
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Whether a test may mount, in a namespace of its own.
fn mounts(test: &str) -> bool {
    if !is_root() {
        eprintln!("not tested: only root mounts");
        return false;
    }
    needs::is_there(test, needs::namespaces())
}

/// A folder `notes`, to be written to by the binary.
struct Stage(Folder);

impl Stage {
    fn new() -> Stage {
        let filesystem = guest("filesystem");
        let stage = Stage(Folder::with(format!(
            "[plugin.filesystem]\npath = '{}'\npermissions.files = [{{ host = 'notes', guest = '/notes', access = 'read-write' }}]\n",
            filesystem.display()
        )));
        stage.0.write("notes/f", "old");
        // Whoever else runs the binary comes in, and finds what is compiled.
        allow(stage.0.path(), 0o755);
        stage
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join("notes").join(name)
    }

    /// The result of a call of the binary, run after `setup`, in a mount namespace of its own if there is one to do.
    fn call(&self, setup: Option<&str>, user: Option<u32>, tool: &str, arguments: Value) -> Ended {
        let call = ["call", "--full", tool, &arguments.to_string()];
        let binary = self.0.command(&call);
        let mut command = match setup {
            None => binary,
            Some(setup) => {
                let mut command = Command::new("unshare");
                command.arg("--mount").args(["sh", "-ec"]);
                command.arg(format!("{setup}\nexec \"$@\"")).arg("sh");
                command.arg(binary.get_program()).args(binary.get_args());
                command.current_dir(self.0.path());
                command.env("TOOLHOST_CODE_CACHE", code_cache());
                command
            }
        };
        if let Some(user) = user {
            command
                .uid(user)
                .gid(user)
                .env("TOOLHOST_CODE_CACHE", "off");
        }
        run(command, "")
    }

    fn write(&self, setup: Option<&str>, user: Option<u32>) -> Value {
        let arguments = json!({"path": "f", "content": "new"});
        self.call(setup, user, "fs_write", arguments).json()
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(fs::read_to_string(self.path("f")).unwrap(), "old");
        assert_eq!(fs::read_dir(self.path("")).unwrap().count(), 1);
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn assert_failed(result: &Value, words: &str) {
    let message = result["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(words), "{result:#}");
}

#[tokio::test]
async fn a_file_keeps_its_owner_where_we_may_give_it_away() {
    let files = Files::with(&[("f", "old")]).await;
    if !is_root() {
        return eprintln!("not tested: only root gives files away");
    }
    for (tool, arguments) in [
        ("fs_write", json!({"path": "f", "content": "old"})),
        ("fs_edit", json!({"path": "f", "old": "old", "new": "new"})),
    ] {
        chown(files.path("f"), Some(1234), Some(5678)).unwrap();
        allow(&files.path("f"), 0o4640);
        text(&files.call(tool, arguments).await);
        let found = fs::metadata(files.path("f")).unwrap();
        assert_eq!((found.uid(), found.gid()), (1234, 5678), "{tool}");
        assert_eq!(found.mode() & 0o7777, 0o640, "{tool}");
    }
}

/// What was for one group is not for another, because that is all that we can give it to.
#[test]
fn where_the_owner_is_not_kept_nobody_gets_more() {
    if !is_root() {
        return eprintln!("not tested: it takes another user's file");
    }
    for (before, after) in [(0o676, 0o666), (0o666, 0o666), (0o626, 0o626)] {
        let stage = Stage::new();
        allow(&stage.path(""), 0o777);
        allow(&stage.path("f"), before);
        let result = stage.write(None, Some(NOBODY));
        assert_eq!(result["error"], Value::Null, "{result:#}");
        let found = fs::metadata(stage.path("f")).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o777), (NOBODY, after));
        assert_eq!(fs::read_to_string(stage.path("f")).unwrap(), "new");
    }
}

#[test]
fn what_its_mode_protects_is_not_replaced() {
    let stage = Stage::new();
    let user = is_root().then_some(NOBODY);
    allow(&stage.path(""), 0o777);
    allow(&stage.path("f"), 0o444);
    let result = stage.write(None, user);
    assert_failed(&result, "the operating system does not permit it");
    stage.assert_untouched();
}

#[test]
fn in_a_folder_where_no_file_can_be_made_none_is_torn() {
    let stage = Stage::new();
    let user = is_root().then_some(NOBODY);
    allow(&stage.path("f"), 0o666);
    allow(&stage.path(""), 0o555);
    let result = stage.write(None, user);
    assert_failed(&result, "the operating system does not permit it");
    allow(&stage.path(""), 0o755);
    stage.assert_untouched();
}

#[test]
fn a_file_that_is_a_mount_is_not_written() {
    if !mounts("a_file_that_is_a_mount_is_not_written") {
        return;
    }
    let stage = Stage::new();
    let result = stage.write(Some("mount --bind notes/f notes/f"), None);
    assert_failed(
        &result,
        "cannot be replaced: it is a mount point, or in use",
    );
    stage.assert_untouched();
}

#[test]
fn in_a_mount_below_the_folder_a_write_is_whole_too() {
    if !mounts("in_a_mount_below_the_folder_a_write_is_whole_too") {
        return;
    }
    let stage = Stage::new();
    fs::create_dir(stage.path("below")).unwrap();
    fs::create_dir(stage.0.path().join("elsewhere")).unwrap();
    let other = stage.0.write("elsewhere/f", "old");
    allow(&other, 0o640);
    let setup = "mount --bind elsewhere notes/below";
    let arguments = json!({"path": "below/f", "content": "new"});
    let result = stage.call(Some(setup), None, "fs_write", arguments).json();
    assert_eq!(result["error"], Value::Null, "{result:#}");
    assert_eq!(fs::read_to_string(&other).unwrap(), "new");
    assert_eq!(fs::metadata(&other).unwrap().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(other.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn on_a_file_system_that_is_read_only_nothing_changes() {
    if !mounts("on_a_file_system_that_is_read_only_nothing_changes") {
        return;
    }
    let stage = Stage::new();
    let setup = "mount --bind notes notes; mount -o remount,ro,bind notes";
    let result = stage.write(Some(setup), None);
    assert_failed(&result, "cannot write /notes/f");
    stage.assert_untouched();
}

/// The group's bits of a mode are no rights of the group if there is an access control list.
#[tokio::test]
async fn a_file_keeps_its_access_control_list() {
    const ACL: &str = "system.posix_acl_access";
    // Of the user that owns it, user 1000, the group, the mask and everybody: read and write but for the last two.
    let entries = [
        (1u16, 6u16, u32::MAX),
        (2, 6, 1000),
        (4, 0, u32::MAX),
        (0x10, 6, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        acl.extend(tag.to_le_bytes());
        acl.extend(rights.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    let files = Files::with(&[("f", "old"), ("plain", "old")]).await;
    let set = |name: &str, attribute: &str| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(files.path(name), attribute, &acl, flags)
    };
    let get = |name: &str| {
        let mut found = vec![0; 1000];
        rustix::fs::getxattr(files.path(name), ACL, &mut found[..]).map(|length| {
            found.truncate(length);
            found
        })
    };
    if let Err(error) = set("f", ACL) {
        return eprintln!("not tested: the file system has no access control lists: {error}");
    }
    // What is made in the folder from now on has one, of its own accord.
    set(".", "system.posix_acl_default").unwrap();
    for name in ["f", "plain"] {
        let before = (get(name), fs::metadata(files.path(name)).unwrap().mode());
        let arguments = json!({"path": name, "content": "new"});
        text(&files.call("fs_write", arguments).await);
        let after = (get(name), fs::metadata(files.path(name)).unwrap().mode());
        assert_eq!(before, after, "{name}");
    }
}
