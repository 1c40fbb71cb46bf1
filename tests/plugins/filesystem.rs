//! `filesystem`: what can be done under a grant, in [`grants`] that nothing can be done beyond it, and in [`whole`] that
//! nothing is done by halves.

mod grants;
#[cfg(target_os = "linux")]
mod system;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use toolhost::permissions::{Access, FileGrant};
use toolhost::tool::Content;
use toolhost::{ToolHost, ToolResult};

use super::{assert_error, texts};
use crate::common::{call, load, manifest, plugin, text};

/// A host, a folder that it is granted as `/notes`, and beside that folder a secret.
struct Files {
    folder: TempDir,
    host: ToolHost,
}

impl Files {
    async fn granted(access: Access) -> Files {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("notes")).unwrap();
        fs::write(folder.path().join("secret.txt"), "secret").unwrap();
        let grant = grant(folder.path().join("notes"), "/notes", access);
        let host = of(vec![grant]).await;
        Files { folder, host }
    }

    /// With these files, and leave to write.
    async fn with(files: &[(&str, &str)]) -> Files {
        let granted = Files::granted(Access::ReadWrite).await;
        for (path, text) in files {
            let path = granted.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        granted
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("notes").join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    async fn call(&self, tool: &str, arguments: Value) -> ToolResult {
        self.host.call(call(tool, arguments)).await
    }

    #[track_caller]
    fn assert_nothing_escaped(&self) {
        let secret = fs::read_to_string(self.folder.path().join("secret.txt")).unwrap();
        assert_eq!(secret, "secret");
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 2);
    }
}

fn grant(host: impl AsRef<Path>, guest: &str, access: Access) -> FileGrant {
    FileGrant::new(host.as_ref(), guest).with_access(access)
}

async fn of(grants: Vec<FileGrant>) -> ToolHost {
    let mut plugin = plugin("filesystem");
    plugin.permissions.files = grants;
    load(manifest([plugin])).await
}

#[tokio::test]
async fn a_folder_is_listed_with_sizes_and_to_the_depth_asked_for() {
    let files = Files::with(&[("b.txt", "12345"), ("a/deep/c.txt", ""), ("a/d.txt", "1")]).await;
    let list = async |arguments| text(&files.call("fs_list", arguments).await);
    assert_eq!(list(json!({})).await, "a/\nb.txt  5");
    assert_eq!(
        list(json!({"path": "/notes", "depth": 3})).await,
        "a/\na/d.txt  1\na/deep/\na/deep/c.txt  0\nb.txt  5"
    );
    assert_eq!(list(json!({"path": "a"})).await, "d.txt  1\ndeep/");
    let cut = files.call("fs_list", json!({"limit": 1})).await;
    let note = "Only the first 1 entries: raise `limit` for more.";
    assert_eq!(texts(&cut), ["a/", note]);
    fs::create_dir(files.path("none")).unwrap();
    assert_eq!(list(json!({"path": "none"})).await, "/notes/none is empty.");
    let result = files.call("fs_list", json!({"path": "b.txt"})).await;
    assert_error(&result, "failed", "it is a file");
    let result = files.call("fs_list", json!({"path": "nowhere"})).await;
    assert_error(&result, "failed", "no such file or folder");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_name_that_is_not_utf8_hides_nothing_beside_it() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let files = Files::with(&[("a.txt", "x"), ("z/z.txt", "x")]).await;
    fs::write(files.path("").join(OsStr::from_bytes(b"caf\xe9.txt")), "x").unwrap();
    fs::create_dir(files.path("z").join(OsStr::from_bytes(b"\xff"))).unwrap();

    let listed = files.call("fs_list", json!({"depth": 2})).await;
    let odd = "(not UTF-8, cannot be opened)";
    let all = format!("a.txt  1\ncaf\u{fffd}.txt  {odd}\nz/\nz/z.txt  1\nz/\u{fffd}  {odd}");
    assert_eq!(text(&listed), all);

    let skipped = "2 names are not UTF-8 and were skipped.";
    let found = files.call("fs_find", json!({"glob": "*.txt"})).await;
    assert_eq!(texts(&found), ["/notes/a.txt\n/notes/z/z.txt", skipped]);
    let found = files.call("fs_search", json!({"pattern": "x"})).await;
    assert_eq!(
        texts(&found),
        ["/notes/a.txt:1:x\n/notes/z/z.txt:1:x", skipped]
    );
}

#[tokio::test]
async fn a_file_is_read_whole_or_by_lines() {
    let files = Files::with(&[("n.txt", "one\ntwo\r\nthré"), ("empty", "")]).await;
    let read = async |path: &str| text(&files.call("fs_read", json!({"path": path})).await);
    for path in ["n.txt", "/notes/n.txt", "./x/../n.txt"] {
        assert_eq!(read(path).await, "one\ntwo\r\nthré");
    }
    assert_eq!(read("empty").await, "/notes/empty is empty.");
    let lines = json!({"path": "n.txt", "offset": 2, "limit": 1});
    let result = files.call("fs_read", lines).await;
    let note = "Lines 2 to 2 of 3. Continue with offset 3.";
    assert_eq!(texts(&result), ["two\r\n", note]);
    let rest = json!({"path": "n.txt", "offset": 3, "limit": 100});
    let result = files.call("fs_read", rest).await;
    assert_eq!(texts(&result), ["thré", "Lines 3 to 3 of 3."]);
    for (offset, words) in [(4, "has 3 lines"), (0, "/offset")] {
        let beyond = json!({"path": "n.txt", "offset": offset});
        let result = files.call("fs_read", beyond).await;
        assert_error(&result, "invalid-arguments", words);
    }
}

#[tokio::test]
async fn a_large_file_is_read_in_parts_that_make_it_whole() {
    let whole: String = (0..60_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    let files = Files::with(&[("large.txt", &whole)]).await;
    let (mut read, mut offset) = (String::new(), 1);
    while read.len() < whole.len() {
        let arguments = json!({"path": "large.txt", "offset": offset, "limit": 100_000});
        let result = files.call("fs_read", arguments).await;
        assert!(texts(&result)[0].len() <= 200_000);
        read.push_str(texts(&result)[0]);
        offset = read.lines().count() + 1;
        if read.len() < whole.len() {
            let note = texts(&result)[1];
            assert!(
                note.ends_with(&format!("Continue with offset {offset}.")),
                "{note}"
            );
        }
    }
    assert!(read == whole);
}

#[tokio::test]
async fn what_is_no_text_is_shown_if_it_is_an_image_and_else_refused() {
    let files = Files::with(&[("zip", "PK\0\0")]).await;
    let png = b"\x89PNG\r\n\x1a\n\0\0";
    fs::write(files.path("p"), png).unwrap();
    fs::write(files.path("latin.txt"), b"caf\xe9").unwrap();
    let result = files.call("fs_read", json!({"path": "p"})).await;
    let output = result.outcome.expect("an image");
    let [Content::Image(image)] = &output.content[..] else {
        panic!("{output:?}");
    };
    assert_eq!(
        (&*image.mime_type, &image.data[..]),
        ("image/png", &png[..])
    );
    let result = files.call("fs_read", json!({"path": "zip"})).await;
    assert_error(&result, "failed", "binary file of 4 bytes");
    let result = files.call("fs_read", json!({"path": "latin.txt"})).await;
    assert_eq!(texts(&result)[0], "caf\u{fffd}");
    assert!(texts(&result)[1].contains("not UTF-8"));
    let edit = json!({"path": "latin.txt", "old": "caf", "new": "x"});
    assert_error(&files.call("fs_edit", edit).await, "failed", "not UTF-8");
    assert_eq!(fs::read(files.path("latin.txt")).unwrap(), b"caf\xe9");
    let result = files.call("fs_read", json!({"path": "."})).await;
    assert_error(&result, "failed", "it is a folder");
}

#[tokio::test]
async fn files_are_found_by_glob() {
    let files = Files::with(&[
        ("a.md", ""),
        ("src/b.rs", ""),
        ("src/deep/c.rs", ""),
        (".git/hidden.rs", ""),
    ])
    .await;
    let find = async |arguments| text(&files.call("fs_find", arguments).await);
    let all = "/notes/src/b.rs\n/notes/src/deep/c.rs";
    assert_eq!(find(json!({"glob": "*.rs"})).await, all);
    assert_eq!(find(json!({"glob": "src/*.rs"})).await, "/notes/src/b.rs");
    let below = json!({"glob": "*.{rs,md}", "path": "src/deep"});
    assert_eq!(find(below).await, "/notes/src/deep/c.rs");
    assert_eq!(find(json!({"glob": "*.zip"})).await, "No file matches.");
    let result = files
        .call("fs_find", json!({"glob": "*", "limit": 1}))
        .await;
    assert_eq!(texts(&result)[0], "/notes/a.md");
    assert!(texts(&result)[1].starts_with("There are more"));
    let result = files.call("fs_find", json!({"glob": "a["})).await;
    assert_error(&result, "invalid-arguments", "glob");
}

#[tokio::test]
async fn contents_are_searched_by_regular_expression() {
    let files = Files::with(&[
        ("a.txt", "alpha\nBeta 12\ngamma\n"),
        ("b.md", "beta 7\n"),
        ("binary", "beta 1\0"),
        (".git/x", "beta 9\n"),
    ])
    .await;
    let search = async |arguments| text(&files.call("fs_search", arguments).await);
    assert_eq!(
        search(json!({"pattern": r"eta \d$"})).await,
        "/notes/b.md:1:beta 7"
    );
    let both = "/notes/a.txt:2:Beta 12\n/notes/b.md:1:beta 7";
    assert_eq!(
        search(json!({"pattern": "beta", "ignore_case": true})).await,
        both
    );
    let one = json!({"pattern": "eta", "glob": "*.txt", "context": 1});
    assert_eq!(
        search(one).await,
        "/notes/a.txt-1-alpha\n/notes/a.txt:2:Beta 12\n/notes/a.txt-3-gamma"
    );
    let file = json!({"pattern": "a$", "path": "a.txt"});
    assert_eq!(
        search(file).await,
        "/notes/a.txt:1:alpha\n/notes/a.txt:3:gamma"
    );
    assert_eq!(
        search(json!({"pattern": "omega"})).await,
        "No line matches."
    );
    let cut = files
        .call("fs_search", json!({"pattern": "a", "limit": 1}))
        .await;
    assert_eq!(texts(&cut)[0], "/notes/a.txt:1:alpha");
    assert!(texts(&cut)[1].starts_with("Stopped after 1 matching lines"));
    let result = files.call("fs_search", json!({"pattern": "("})).await;
    assert_error(&result, "invalid-arguments", "pattern");
}

#[tokio::test]
async fn files_are_made_overwritten_and_appended_to() {
    let files = Files::with(&[]).await;
    let write = async |arguments| files.call("fs_write", arguments).await;
    let made = write(json!({"path": "new/deep/n.txt", "content": "é\n"})).await;
    assert_eq!(
        text(&made),
        "Created /notes/new/deep/n.txt: 3 bytes written."
    );
    let path = "/notes/new/deep/n.txt";
    let appended = json!({"path": path, "content": "b", "if_exists": "append"});
    assert!(text(&write(appended).await).starts_with("Appended to"));
    assert_eq!(files.read("new/deep/n.txt"), "é\nb");
    let refused = write(json!({"path": path, "content": "c", "if_exists": "fail"})).await;
    assert_error(&refused, "failed", "exists; nothing was written");
    assert_eq!(files.read("new/deep/n.txt"), "é\nb");
    assert!(text(&write(json!({"path": path, "content": ""})).await).starts_with("Overwrote"));
    assert_eq!(files.read("new/deep/n.txt"), "");
    let folder = write(json!({"path": "new", "content": "x"})).await;
    assert_error(&folder, "failed", "it is a folder");
    let below = write(json!({"path": format!("{path}/x"), "content": "x"})).await;
    assert_error(&below, "failed", "not a folder");
}

#[tokio::test]
async fn an_edit_must_be_unambiguous_or_of_all() {
    let text_before = "one two\n\tone\nlast\n";
    let files = Files::with(&[("n.txt", text_before)]).await;
    let edit = async |old: &str, new: &str, all: bool| {
        let arguments = json!({"path": "n.txt", "old": old, "new": new, "replace_all": all});
        files.call("fs_edit", arguments).await
    };
    for (old, new, words) in [
        ("one", "1", "occurs 2 times, at lines 1, 2"),
        ("three", "3", "not in the file"),
        ("    one", "x", "like line 2"),
        ("", "x", "`old` is empty"),
        ("one", "one", "the same"),
    ] {
        let result = edit(old, new, false).await;
        assert_error(&result, "invalid-arguments", words);
    }
    assert_eq!(files.read("n.txt"), text_before);
    let once = text(&edit("\n\tone", " one", false).await);
    assert_eq!(once, "Replaced 1 occurrence in /notes/n.txt, at line 1.");
    assert_eq!(files.read("n.txt"), "one two one\nlast\n");
    let all = text(&edit("one", "1", true).await);
    assert!(all.starts_with("Replaced 2 occurrences"), "{all}");
    assert_eq!(files.read("n.txt"), "1 two 1\nlast\n");
    let missing = json!({"path": "none.txt", "old": "a", "new": "b"});
    let result = files.call("fs_edit", missing).await;
    assert_error(&result, "failed", "no such file");
}
