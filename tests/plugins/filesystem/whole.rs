//! Writes are whole: whatever ends a call, a file has its old content or its new one.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::{Value, json};
use tempfile::TempDir;
use toolhost::limits::Limits;
use toolhost::permissions::Access;
use toolhost::{Manifest, ToolHost};

use super::{Files, grant};
use crate::common::{self, call, load, manifest, plugin, text, try_load};
use crate::plugins::assert_error;

const LARGE: usize = 6_000_000;

/// What a call would leave of its own.
const FOLDER: &str = ".toolhost-tmp";

/// A file of that name, as it is made and left by a call that was killed.
fn temporary(folder: &Path) -> std::path::PathBuf {
    fs::create_dir_all(folder.join(FOLDER)).unwrap();
    folder
        .join(FOLDER)
        .join(format!(".toolhost-{:032x}", 0xbad))
}

async fn with_limits(folder: &TempDir, limits: impl FnOnce(&mut Limits)) -> ToolHost {
    load(limited(folder, limits)).await
}

fn limited(folder: &TempDir, limits: impl FnOnce(&mut Limits)) -> Manifest {
    let mut plugin = plugin("filesystem");
    plugin.permissions.files = vec![grant(folder, "/notes", Access::ReadWrite)];
    plugin.limits.max_input = ByteSize::mib(16);
    plugin.limits.max_transfer = Some(ByteSize::mib(64));
    limits(&mut plugin.limits);
    manifest([plugin])
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn large() -> String {
    format!("begin{}", "o".repeat(LARGE))
}

/// Each way to change a large file, and what is in it then.
fn changes(old: &str) -> [(&'static str, Value, String); 3] {
    let new = "n".repeat(LARGE);
    [
        (
            "fs_edit",
            json!({"path": "f", "old": "begin", "new": "begun"}),
            old.replacen("begin", "begun", 1),
        ),
        (
            "fs_write",
            json!({"path": "f", "content": "more", "if_exists": "append"}),
            format!("{old}more"),
        ),
        ("fs_write", json!({"path": "f", "content": new}), new),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn deadline_during_a_write_leaves_old_or_new_content() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    let old = large();
    let unhurried = with_limits(&folder, |_| {}).await;
    let mut timeouts = 0;
    for milliseconds in (2..=80).step_by(6) {
        let hurried = limited(&folder, |limits| {
            limits.timeout = Duration::from_millis(milliseconds);
        });
        // It is also the deadline of `list-tools`, which a busy machine may miss.
        let Ok(hurried) = try_load(hurried).await else {
            continue;
        };
        for (tool, arguments, new) in changes(&old) {
            fs::write(&file, &old).unwrap();
            let result = hurried.call(call(tool, arguments)).await;
            let found = fs::read_to_string(&file).unwrap();
            match &result.outcome {
                Ok(_) => assert!(found == new, "{tool} after {milliseconds} ms"),
                Err(error) => {
                    assert_eq!(error.code(), "timeout", "{error}");
                    timeouts += 1;
                    let is_whole = found == old || found == new;
                    assert!(is_whole, "{tool} after {milliseconds} ms: torn");
                }
            }
            assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o644);
            next_write_cleans_up(&unhurried, folder.path()).await;
        }
    }
    assert!(timeouts > 0);
    for (tool, arguments, new) in changes(&old) {
        fs::write(&file, &old).unwrap();
        text(&unhurried.call(call(tool, arguments)).await);
        assert!(fs::read_to_string(&file).unwrap() == new);
        assert!(!folder.path().join(FOLDER).exists());
    }
}

/// Writes to another file of the folder, after which no temporary file is left.
async fn next_write_cleans_up(host: &ToolHost, folder: &Path) {
    for entry in fs::read_dir(folder.join(FOLDER)).into_iter().flatten() {
        // Nobody else reads what is half written, whatever it will be.
        assert!([0o600, 0o644].contains(&mode(entry.unwrap().path())));
    }
    // What the call was doing when it ended, it may be doing yet.
    for _ in 0..1000 {
        let other = json!({"path": "other", "content": "x"});
        text(&host.call(call("fs_write", other)).await);
        if !folder.join(FOLDER).exists() {
            return;
        }
    }
    panic!(
        "temporary files are left: {:?}",
        fs::read_dir(folder.join(FOLDER))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_write_leaves_the_old_content() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    let old = large();
    fs::write(&file, &old).unwrap();
    let edit = || changes(&old).into_iter().next().unwrap();
    let small = with_limits(&folder, |limits| limits.memory = ByteSize::mib(10)).await;
    let (tool, arguments, new) = edit();
    let result = small.call(call(tool, arguments)).await;
    assert_error(&result, "limit", "memory");
    assert!(fs::read_to_string(&file).unwrap() == old);
    let host = with_limits(&folder, |_| {}).await;
    let (tool, arguments, _) = edit();
    let running = tokio::spawn({
        let host = host.clone();
        async move { host.call(call(tool, arguments)).await }
    });
    while !folder.path().join(FOLDER).exists() && !running.is_finished() {
        tokio::task::yield_now().await;
    }
    running.abort();
    let ended = running.await.is_ok();
    let found = fs::read_to_string(&file).unwrap();
    assert!(if ended {
        found == new
    } else {
        found == old || found == new
    });
    next_write_cleans_up(&host, folder.path()).await;
}

#[tokio::test]
async fn a_file_keeps_its_mode_and_a_new_one_has_that_of_any_other() {
    let files = Files::with(&[("f", "old")]).await;
    let path = files.path("f");
    for (before, after) in [
        (0o600, 0o600),
        (0o755, 0o755),
        (0o640, 0o640),
        (0o666, 0o666),
        // What anybody may have written does not run with its owner's rights.
        (0o6755, 0o755),
    ] {
        for (tool, arguments) in [
            ("fs_write", json!({"path": "f", "content": "old"})),
            (
                "fs_write",
                json!({"path": "f", "content": "", "if_exists": "append"}),
            ),
            ("fs_edit", json!({"path": "f", "old": "old", "new": "new"})),
        ] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            text(&files.call(tool, arguments).await);
            assert_eq!(mode(&path), after, "{tool}");
        }
    }
    fs::write(files.path("usual"), "").unwrap();
    for if_exists in ["overwrite", "append", "fail"] {
        let new = json!({"path": if_exists, "content": "x", "if_exists": if_exists});
        text(&files.call("fs_write", new).await);
        assert_eq!(mode(files.path(if_exists)), mode(files.path("usual")));
        assert_eq!(fs::metadata(files.path(if_exists)).unwrap().nlink(), 1);
    }
}

#[tokio::test]
async fn a_links_target_is_written_and_the_link_stays() {
    let files = Files::with(&[("a/f", "old"), ("b/c/x", "")]).await;
    symlink("../../a/f", files.path("b/c/link")).unwrap();
    symlink("b/c/link", files.path("chain")).unwrap();
    symlink("a/new", files.path("dangling")).unwrap();
    symlink("b", files.path("folder")).unwrap();
    for (path, arguments) in [
        ("a/f", json!({"path": "b/c/link", "content": "1"})),
        ("a/f", json!({"path": "chain", "content": "1"})),
        ("a/f", json!({"path": "folder/c/link", "content": "1"})),
        ("a/new", json!({"path": "dangling", "content": "1"})),
    ] {
        text(&files.call("fs_write", arguments).await);
        assert_eq!(files.read(path), "1");
        fs::write(files.path(path), "2").unwrap();
    }
    let edit = json!({"path": "chain", "old": "2", "new": "3"});
    text(&files.call("fs_edit", edit).await);
    assert_eq!(files.read("a/f"), "3");
    for link in ["b/c/link", "chain", "dangling", "folder"] {
        assert!(files.path(link).is_symlink());
    }
    symlink("round", files.path("round")).unwrap();
    let round = json!({"path": "round", "content": "1"});
    assert_error(&files.call("fs_write", round).await, "failed", "round");
}

/// As with every program that replaces files: it is a new one, that has the name.
#[tokio::test]
async fn other_names_of_a_file_keep_the_old_content() {
    let files = Files::with(&[("f", "old")]).await;
    fs::hard_link(files.path("f"), files.path("other")).unwrap();
    text(
        &files
            .call("fs_write", json!({"path": "f", "content": "new"}))
            .await,
    );
    assert_eq!(
        (files.read("f"), files.read("other")),
        ("new".into(), "old".into())
    );
}

#[tokio::test]
async fn of_many_calls_that_make_one_file_one_does() {
    let files = Files::with(&[]).await;
    let calls = (0..20).map(|number| {
        let content = number.to_string();
        let arguments = json!({"path": "f", "content": content, "if_exists": "fail"});
        files.call("fs_write", arguments)
    });
    let results = futures_util::future::join_all(calls).await;
    let made: Vec<usize> = (0..20).filter(|&at| results[at].outcome.is_ok()).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(files.read("f"), made[0].to_string());
    for result in results.iter().filter(|result| result.outcome.is_err()) {
        assert_error(result, "failed", "exists; nothing was written");
    }
    assert!(!files.path(FOLDER).exists());
}

#[tokio::test]
async fn calls_at_once_in_one_folder_keep_out_of_each_others_way() {
    let files = Files::with(&[]).await;
    let calls = (0..40).map(|number| {
        let path = format!("f{}", number % 8);
        files.call("fs_write", json!({"path": path, "content": path}))
    });
    for result in futures_util::future::join_all(calls).await {
        text(&result);
    }
    assert!((0..8).all(|number| files.read(&format!("f{number}")) == format!("f{number}")));
    assert_eq!(fs::read_dir(files.path(".")).unwrap().count(), 8);
}

#[tokio::test]
async fn temporary_files_are_not_seen() {
    let files = Files::with(&[("f", "needle")]).await;
    let left = temporary(&files.path("."));
    fs::write(&left, "needle").unwrap();
    let list = files.call("fs_list", json!({"depth": 3})).await;
    assert_eq!(text(&list), "f  6");
    let found = files.call("fs_find", json!({"glob": "**/*"})).await;
    assert_eq!(text(&found), "/notes/f");
    let found = files.call("fs_search", json!({"pattern": "needle"})).await;
    assert_eq!(text(&found), "/notes/f:1:needle");
    let path = left.strip_prefix(files.path(".")).unwrap();
    for (tool, arguments) in [
        ("fs_read", json!({"path": path})),
        ("fs_list", json!({"path": FOLDER})),
        ("fs_write", json!({"path": path, "content": "x"})),
    ] {
        let result = files.call(tool, arguments).await;
        assert_error(&result, "failed", "temporary files");
    }
    assert_eq!(fs::read_to_string(left).unwrap(), "needle");
}

#[tokio::test]
async fn what_is_in_use_or_a_users_own_is_not_removed() {
    let files = Files::with(&[]).await;
    let write = async || {
        let arguments = json!({"path": "f", "content": "x"});
        text(&files.call("fs_write", arguments).await);
    };
    // As another host of this machine would have it.
    let left = temporary(&files.path("."));
    let in_use = File::create(&left).unwrap();
    in_use.lock().unwrap();
    let own = left.with_file_name("note.txt");
    let alike = left.with_file_name(".toolhost-of-mine");
    for path in [&own, &alike] {
        fs::write(path, "mine").unwrap();
    }
    write().await;
    assert!(left.exists() && own.exists() && alike.exists());
    drop(in_use);
    write().await;
    assert!(!left.exists() && own.exists() && alike.exists());
    fs::remove_file(own).unwrap();
    fs::remove_file(alike).unwrap();
    write().await;
    assert!(!files.path(FOLDER).exists());
}

/// Another program writes while a large file is edited: what it wrote is there afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_fails_if_another_program_changed_the_file_meanwhile() {
    for (tool, arguments) in [
        (
            "fs_edit",
            json!({"path": "f", "old": "begin", "new": "begun"}),
        ),
        (
            "fs_write",
            json!({"path": "f", "content": "more", "if_exists": "append"}),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        let host = with_limits(&folder, |_| {}).await;
        let mut refused = false;
        for _ in 0..50 {
            fs::write(&file, large()).unwrap();
            let ended = AtomicBool::new(false);
            let result = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !folder.path().join(FOLDER).exists() && !ended.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                    fs::write(&file, "of another program").unwrap();
                });
                let call = call(tool, arguments.clone());
                let result = tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(host.call(call))
                });
                ended.store(true, Ordering::Relaxed);
                result
            });
            assert_eq!(fs::read_to_string(&file).unwrap(), "of another program");
            assert!(!folder.path().join(FOLDER).exists());
            if result.outcome.is_err() {
                assert_error(&result, "failed", "changed by another program meanwhile");
                refused = true;
                break;
            }
        }
        assert!(refused, "{tool}");
    }
}

/// Of what is not random nor has a clock, two calls choose the same names.
#[tokio::test]
async fn names_are_free_without_randomness_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut plugin = plugin("filesystem");
    plugin.permissions.files = vec![grant(&folder, "/notes", Access::ReadWrite)];
    plugin.permissions.random = toolhost::permissions::Ambient::None;
    plugin.permissions.clock = toolhost::permissions::Ambient::None;
    let host = load(manifest([plugin])).await;
    let calls = (0..8).map(|number| {
        let path = format!("f{number}");
        host.call(common::call(
            "fs_write",
            json!({"path": path, "content": path}),
        ))
    });
    for result in futures_util::future::join_all(calls).await {
        text(&result);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 8);
}
