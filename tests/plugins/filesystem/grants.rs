//! Where a grant ends.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use toolhost::permissions::Access;

use super::{Files, grant, of};
use crate::common::{call, text};
use crate::plugins::{assert_error, texts};

/// One call of each tool that does something with `path`.
fn everything_with(path: &str) -> [(&'static str, Value); 6] {
    [
        ("fs_list", json!({"path": path})),
        ("fs_read", json!({"path": path})),
        ("fs_find", json!({"path": path, "glob": "*"})),
        ("fs_search", json!({"path": path, "pattern": "."})),
        ("fs_write", json!({"path": path, "content": "stolen"})),
        (
            "fs_edit",
            json!({"path": path, "old": "secret", "new": "stolen"}),
        ),
    ]
}

#[tokio::test]
async fn no_path_leads_out_of_the_grant() {
    let files = Files::with(&[("n.txt", "note")]).await;
    let absolute = files.folder.path().join("secret.txt");
    for path in [
        absolute.to_str().unwrap(),
        "../secret.txt",
        "/secret.txt",
        "/notes/../secret.txt",
        "x/../../secret.txt",
        "/notesx",
        "/",
        "..",
    ] {
        for (tool, arguments) in everything_with(path) {
            let result = files.call(tool, arguments).await;
            assert_error(
                &result,
                "denied",
                "outside of the granted folders: \"/notes\"",
            );
        }
    }
    files.assert_nothing_escaped();
}

#[tokio::test]
async fn no_link_leads_out_of_the_grant() {
    let files = Files::with(&[("n.txt", "secret note")]).await;
    let outside = files.folder.path();
    symlink(outside.join("secret.txt"), files.path("absolute")).unwrap();
    symlink("../secret.txt", files.path("relative")).unwrap();
    symlink(outside, files.path("folder")).unwrap();
    symlink(outside.join("new.txt"), files.path("dangling")).unwrap();
    symlink("n.txt", files.path("inside")).unwrap();
    for path in [
        "absolute",
        "relative",
        "dangling",
        "folder/secret.txt",
        "folder/new.txt",
        "folder/new/new.txt",
    ] {
        for (tool, arguments) in everything_with(path) {
            let result = files.call(tool, arguments).await;
            assert_error(&result, "denied", path);
        }
    }
    let list = files.call("fs_list", json!({"path": "folder"})).await;
    assert_error(&list, "denied", "folder");
    // Nor does a walk follow one.
    let found = files.call("fs_search", json!({"pattern": "secret"})).await;
    assert_eq!(text(&found), "/notes/n.txt:1:secret note");
    let found = files.call("fs_find", json!({"glob": "*"})).await;
    assert_eq!(text(&found), "/notes/n.txt");
    let read = files.call("fs_read", json!({"path": "inside"})).await;
    assert_eq!(text(&read), "secret note");
    files.assert_nothing_escaped();
}

#[tokio::test]
async fn a_read_only_grant_is_for_reading() {
    let files = Files::granted(Access::ReadOnly).await;
    fs::write(files.path("n.txt"), "note").unwrap();
    let read = files.call("fs_read", json!({"path": "n.txt"})).await;
    assert_eq!(text(&read), "note");
    for (tool, arguments) in [
        ("fs_write", json!({"path": "n.txt", "content": "x"})),
        (
            "fs_write",
            json!({"path": "n.txt", "content": "x", "if_exists": "append"}),
        ),
        ("fs_write", json!({"path": "new.txt", "content": "x"})),
        ("fs_write", json!({"path": "new/new.txt", "content": "x"})),
        (
            "fs_edit",
            json!({"path": "n.txt", "old": "note", "new": "x"}),
        ),
    ] {
        let result = files.call(tool, arguments).await;
        assert_error(&result, "denied", "not permitted by the grant");
    }
    assert_eq!(files.read("n.txt"), "note");
    assert_eq!(fs::read_dir(files.path(".")).unwrap().count(), 1);
}

#[tokio::test]
async fn without_a_grant_there_is_nothing() {
    let host = of(Vec::new()).await;
    for (tool, arguments) in everything_with("/etc/passwd") {
        let result = host.call(call(tool, arguments)).await;
        assert_error(&result, "denied", "no folder is granted");
    }
}

#[tokio::test]
async fn several_grants_are_told_apart_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("n.txt"), name).unwrap();
    }
    let host = of(vec![
        grant(folder.path().join("a"), "/a", Access::ReadOnly),
        grant(folder.path().join("b"), "/b", Access::ReadWrite),
    ])
    .await;
    let call = async |tool: &str, arguments| host.call(call(tool, arguments)).await;
    let list = call("fs_list", json!({})).await;
    assert_eq!(texts(&list), ["/a/\n/b/", "These folders are granted."]);
    for path in ["/b/n.txt", "b/n.txt", "/a/../b/n.txt"] {
        let read = call("fs_read", json!({"path": path})).await;
        assert_eq!(text(&read), "b");
    }
    let found = call("fs_find", json!({"glob": "*"})).await;
    assert_eq!(text(&found), "/a/n.txt\n/b/n.txt");
    let result = call("fs_read", json!({"path": "n.txt"})).await;
    assert_error(
        &result,
        "invalid-arguments",
        "start it with one of \"/a\", \"/b\"",
    );
    let write = async |path: &str| call("fs_write", json!({"path": path, "content": "x"})).await;
    assert_error(&write("/a/n.txt").await, "denied", "/a/n.txt");
    assert!(write("/b/n.txt").await.outcome.is_ok());
}
