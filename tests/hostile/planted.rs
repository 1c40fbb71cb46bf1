//! Where plugins may write: links that they have put there lead the host nowhere, and what is the host's own
//! stays as it is.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::json;
use toolhost::mcp::{Server, ServerInfo};
use toolhost::{CallOptions, CodeCache, LoadError, Loader, Manifest, ToolHost};

use crate::common::binary::{Folder, run};
use crate::common::{self, call, error, root, text};
use toolhost_testing::needs;

/// Why a link is not followed.
const LINK: &str = "is a symlink in a folder that plugins can write to";

fn hostile(permissions: &str) -> String {
    let path = common::guest("hostile");
    format!(
        "[plugin.hostile]\npath = '{}'\n{permissions}\n",
        path.display()
    )
}

/// Of what is around it: `work` is writable.
fn with_work(more: &str) -> String {
    let grants = "{ host = 'work', guest = '/w', access = 'read-write' }";
    hostile(&format!("permissions.files = [{grants}]\n{more}"))
}

async fn load(folder: &Folder) -> Result<ToolHost, LoadError> {
    let manifest = Manifest::read(folder.path().join("toolhost.toml"))?;
    common::try_load(manifest).await
}

/// What all files have, by their paths.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            found.extend(contents(&path));
        } else if metadata.is_file() {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

/// A folder that is granted whole, with everything of the host's in it.
fn everything() -> Folder {
    let grant = "{ host = '.', guest = '/w', access = 'read-write' }";
    let hostile = hostile(&format!(
        "permissions.files = [{grant}]\n\
         permissions.secrets.TOKEN = {{ file = 'secrets/deep/token.txt' }}"
    ));
    let folder = Folder::with(format!(
        "plugin-dir = 'plugins'\n{hostile}\
         [plugin.echo]\npath = 'components/echo.wasm'\n\
         [audit]\npath = 'log/audit.jsonl'\n\
         [serve.tls]\ncertificate = 'tls/cert.pem'\nkey = 'tls/key.pem'\n\
         [resource.readme]\nuri = 'docs://readme'\npath = 'docs/readme.md'\n\
         [resource.notes]\nuri = 'docs://notes'\npath = 'notes.md'\nwritable = true\n\
         [mcp.x]\ncommand = 'bin/start'\nargs = ['bin/server.py', 'names']\n"
    ));
    for file in [
        "secrets/deep/token.txt",
        "tls/cert.pem",
        "tls/key.pem",
        "docs/readme.md",
        "notes.md",
        "plugins/readme.txt",
    ] {
        folder.write(file, format!("what {file} has"));
    }
    std::fs::create_dir(folder.path().join("log")).unwrap();
    let echo = std::fs::read(common::guest("echo")).unwrap();
    folder.write("components/echo.wasm", &echo);
    folder.write(
        "plugins/other.wasm",
        std::fs::read(common::guest("calculator")).unwrap(),
    );
    stub(&folder, "bin");
    folder
}

/// An MCP server that `start` starts.
fn stub(folder: &Folder, at: &str) {
    let stub = std::fs::read(root().join("tests/remote/mcp_stub.py")).unwrap();
    folder.write(format!("{at}/server.py"), stub);
    let start = folder.write(format!("{at}/start"), "#!/bin/sh\nexec python3 \"$@\"\n");
    std::fs::set_permissions(start, PermissionsExt::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn host_files_are_protected_in_writable_folders() {
    needs!(python);
    let folder = everything();
    let host = load(&folder).await.unwrap();
    let before = contents(folder.path());
    for path in [
        "toolhost.toml",
        "toolhost.toml.new",
        "toolhost.lock",
        "components/echo.wasm",
        "plugins/other.wasm",
        "plugins/evil.wasm",
        "log/audit.jsonl",
        "secrets/deep/token.txt",
        "tls/cert.pem",
        "tls/key.pem",
        "docs/readme.md",
        "bin/start",
        "bin/server.py",
    ] {
        let result = host
            .call(call("harm", json!({ "guest": "/w", "path": path })))
            .await;
        let report = text(&result);
        let refused = report.lines().filter(|line| line.contains(": refused "));
        assert!(refused.count() > 50, "{path}: {report}");
        assert_eq!(done(&report), [""; 0], "{path}");
        assert!(!report.starts_with("ESCAPED"), "{path}: {report}");
        let after = contents(folder.path());
        for (file, was) in &before {
            let is = after.get(file);
            let is = is.unwrap_or_else(|| panic!("{path}: {} is gone", file.display()));
            // The log goes on.
            assert!(
                is.starts_with(was),
                "{path}: {} has changed",
                file.display()
            );
        }
        for new in ["toolhost.lock", "toolhost.toml.new", "plugins/evil.wasm"] {
            assert!(
                !after.contains_key(&folder.path().join(new)),
                "{path} made {new}"
            );
        }
    }
    // What is no file of the host can be: the attacks are real.
    for path in ["notes.md", "plugins/readme.txt", "other/new.txt"] {
        folder.write(path, "mine");
        let result = host
            .call(call("harm", json!({ "guest": "/w", "path": path })))
            .await;
        let report = text(&result);
        assert!(report.starts_with("ESCAPED"), "{path}: {report}");
        assert!(done(&report).len() > 10, "{path}: {report}");
    }
    // Whoever is refused is told why.
    let write = json!({ "guest": "/w", "path": "toolhost.toml", "target": "x" });
    let result = host.call(call("replace_by_link", write)).await;
    assert_eq!(
        error(&result).to_string(),
        "not permitted: files: rename-at toolhost.toml -> toolhost.toml.moved: it is the manifest, \
         which no plugin may change (refused: not-permitted)"
    );
}

/// The attempts of a report that were done.
fn done(report: &str) -> Vec<&str> {
    report
        .lines()
        .filter(|line| line.contains(": DONE"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_keys_cannot_be_read_through_any_grant() {
    needs!(python);
    let folder = everything();
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let reader = hostile("prefix = 'ro_'\npermissions.files = [{ host = '.', guest = '/w' }]");
    let reader = reader.replace("plugin.hostile", "plugin.reader");
    folder.write("toolhost.toml", manifest + &reader);
    let host = load(&folder).await.unwrap();
    for prefix in ["", "ro_"] {
        let read = async |path: &str| {
            let name = format!("{prefix}spellings");
            // Who may not write cannot make others of these.
            for link in [
                "harm-link",
                "harm-link-chain",
                "harm-folder/link",
                "harm-link-folder",
            ] {
                let _ = std::fs::remove_file(folder.path().join(link));
            }
            text(
                &host
                    .call(call(&name, json!({ "guest": "/w", "path": path })))
                    .await,
            )
        };
        for path in ["secrets/deep/token.txt", "tls/key.pem"] {
            let report = read(path).await;
            assert_eq!(done(&report), [""; 0], "{path}");
            assert!(report.contains("refused not-permitted"), "{path}: {report}");
        }
        for path in ["toolhost.toml", "docs/readme.md", "tls/cert.pem"] {
            let report = read(path).await;
            assert!(done(&report).len() > 2, "{path}: {report}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_moves_stays_protected_where_it_is_now() {
    needs!(python);
    let folder = everything();
    let host = load(&folder).await.unwrap();
    // An editor writes another file, and moves it there; a folder is replaced.
    let manifest = folder.path().join("toolhost.toml");
    let new = folder.write("new", std::fs::read(&manifest).unwrap());
    std::fs::rename(new, &manifest).unwrap();
    std::fs::rename(folder.path().join("docs"), folder.path().join("old")).unwrap();
    folder.write("docs/readme.md", "another");
    for path in ["toolhost.toml", "docs/readme.md"] {
        let result = host
            .call(call("harm", json!({ "guest": "/w", "path": path })))
            .await;
        assert_eq!(done(&text(&result)), [""; 0], "{path}");
    }
    // So does what was there, wherever it is now: see the next test.
    harm(&host, "old/readme.md").await;
    let all = contents(folder.path());
    let kept = all.values().filter(|it| *it == b"what docs/readme.md has");
    assert_eq!(kept.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_protected_stays_so_whatever_its_owner_calls_it() {
    needs!(python);
    for (from, to, file) in [
        ("secrets/deep/token.txt", "token.old", "token.old"),
        ("secrets", "old", "old/deep/token.txt"),
        ("secrets/deep", "old", "old/token.txt"),
        ("tls/key.pem", "key.old", "key.old"),
        ("toolhost.toml", "manifest.old", "manifest.old"),
        ("components/echo.wasm", "echo.old", "echo.old"),
        ("bin/server.py", "server.old", "server.old"),
        ("log/audit.jsonl", "audit.old", "audit.old"),
    ] {
        let folder = everything();
        let mut host = load(&folder).await.unwrap();
        let copy = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
        std::fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
        let moved = std::fs::read(folder.path().join(file)).unwrap();
        // By calls of the host that knew it, and by those of one that replaces it.
        for reloaded in [false, true] {
            if reloaded {
                folder.write("toolhost.toml", &copy);
                folder.write("secrets/deep/token.txt", "another secret");
                folder.write("tls/key.pem", "another key");
                folder.write(
                    "components/echo.wasm",
                    std::fs::read(common::guest("echo")).unwrap(),
                );
                stub(&folder, "bin");
                let manifest = Manifest::read(folder.path().join("toolhost.toml")).unwrap();
                let next = Loader::new(manifest)
                    .code_cache(CodeCache::Folder(common::code_cache()))
                    .replacing(&host);
                host = next.load().await.unwrap();
            }
            let is_secret = from.starts_with("secrets") || from.contains("key");
            if is_secret {
                let read = json!({ "guest": "/w", "path": file });
                let report = text(&host.call(call("spellings", read)).await);
                let refused = format!("read {file}: refused not-permitted");
                // `harm` may have moved the folder.
                let is_gone = reloaded && file.contains('/');
                assert!(is_gone || report.contains(&refused), "{report}");
                assert!(reloaded || done(&report).is_empty(), "{report}");
            }
            let report = harm(&host, file).await;
            // A folder that it was moved with may be moved again.
            if !file.contains('/') {
                assert_eq!(done(&report), [""; 0], "{from} as {file}");
                assert_eq!(std::fs::read(folder.path().join(file)).unwrap(), moved);
            }
            let all = contents(folder.path());
            assert!(all.values().any(|it| *it == moved), "{from}: {report}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_that_is_replaced_again_and_again_the_last_are_protected() {
    needs!(python);
    let folder = everything();
    let host = load(&folder).await.unwrap();
    let read = async |path: &str| {
        let given = json!({ "guest": "/w", "path": path });
        text(&host.call(call("spellings", given)).await)
    };
    for number in 0..40 {
        let file = folder.path().join("secrets/deep/token.txt");
        std::fs::rename(&file, folder.path().join(format!("token.{number}"))).unwrap();
        folder.write("secrets/deep/token.txt", format!("secret {number}"));
        // The host sees what is there whenever a plugin opens anything.
        read("notes.md").await;
    }
    let last = read("token.39").await;
    assert!(
        last.contains("read token.39: refused not-permitted"),
        "{last}"
    );
    // It holds no more than a few.
    let first = read("token.0").await;
    assert!(first.contains("read token.0: DONE"), "{first}");
}

#[tokio::test]
async fn hard_link_to_a_host_file_is_protected() {
    let folder = Folder::with(with_work(
        "permissions.secrets.TOKEN = { file = 'token.txt' }",
    ));
    let token = folder.write("token.txt", "s3cret");
    folder.write("work/a.txt", "a");
    std::fs::hard_link(token, folder.path().join("work/linked")).unwrap();
    let host = load(&folder).await.unwrap();
    let result = host
        .call(call("harm", json!({ "guest": "/w", "path": "linked" })))
        .await;
    assert_eq!(done(&text(&result)), [""; 0]);
    let result = host
        .call(call(
            "spellings",
            json!({ "guest": "/w", "path": "linked" }),
        ))
        .await;
    assert_eq!(done(&text(&result)), [""; 0]);
}

#[tokio::test]
async fn nested_granted_folder_cannot_be_moved() {
    for nested in [
        "{ host = 'work/a/sub', guest = '/sub' }]",
        // An accomplice's.
        "]\n[plugin.other]\npath = '<hostile>'\nprefix = 'o_'\n\
         permissions.files = [{ host = 'work/a/sub', guest = '/sub', allow-nested = true }]",
    ] {
        let path = common::guest("hostile").display().to_string();
        let folder = Folder::with(hostile(&format!(
            "permissions.files = [{{ host = 'work', guest = '/w', access = 'read-write' }}, {}",
            nested.replace("<hostile>", &path)
        )));
        folder.write("work/a/sub/x.txt", "inside");
        folder.write("outside/id_rsa", "a private key");
        let host = load(&folder).await.unwrap();
        for way in ["a/sub", "a"] {
            let swap = json!({ "guest": "/w", "path": way, "target": "../../outside" });
            let result = host.call(call("replace_by_link", swap)).await;
            assert_eq!(error(&result).code(), "denied", "{way}: {result:?}");
        }
        // By what it is granted to write.
        let harm = json!({ "guest": "/w", "path": "a/sub/x.txt" });
        let report = text(&host.call(call("harm", harm)).await);
        let on_the_way = [
            "rename a/sub",
            "rename a:",
            "remove a",
            "rename a folder over a",
        ];
        assert!(
            report.starts_with("ESCAPED"),
            "what is in it may be written: {report}"
        );
        for line in done(&report) {
            let moved = on_the_way.iter().any(|way| line.starts_with(way));
            assert!(!moved || line.contains("x.txt"), "{line}");
        }
        // By another program, or before.
        drop(host);
        let sub = folder.path().join("work/a/sub");
        std::fs::remove_dir_all(&sub).unwrap();
        symlink("../../outside", &sub).unwrap();
        let refused = load(&folder).await.unwrap_err().to_string();
        assert!(
            refused.contains(LINK) && refused.contains("work/a/sub"),
            "{refused}"
        );
        // By a process that starts.
        folder
            .run(&["--manifest", "toolhost.toml", "check"], "")
            .failed(LINK);
    }
}

#[tokio::test]
async fn nested_folder_of_another_plugin_needs_allow_nested() {
    let folder = |inner: &str, outer: &str| {
        let other = hostile(&format!("prefix = 'o_'\npermissions.files = [{inner}]"));
        let other = other.replace("plugin.hostile", "plugin.other");
        let folder = Folder::with(hostile(&format!("permissions.files = [{outer}]")) + &other);
        folder.write("work/sub/x.txt", "x");
        folder
    };
    let writes = "{ host = 'work', guest = '/w', access = 'read-write' }";
    let reads = "{ host = 'work', guest = '/w' }";
    let sub = "{ host = 'work/sub', guest = '/s' }";
    let refused = load(&folder(sub, writes)).await.unwrap_err().to_string();
    let why = "where `plugin.hostile` can write and so replace it";
    assert!(
        refused.contains(why) && refused.contains("allow-nested"),
        "{refused}"
    );
    // Under another name.
    let linked = folder("{ host = 'link/sub', guest = '/s' }", writes);
    symlink("work", linked.path().join("link")).unwrap();
    let refused = load(&linked).await.unwrap_err().to_string();
    assert!(refused.contains(why), "{refused}");
    for (inner, outer) in [
        (
            "{ host = 'work/sub', guest = '/s', allow-nested = true }",
            writes,
        ),
        (sub, reads),
        // The same for both: neither can replace it.
        (writes, writes),
    ] {
        load(&folder(inner, outer)).await.unwrap();
    }
}

#[tokio::test]
async fn reload_takes_a_replaced_folder_that_no_plugin_could_replace() {
    let folder = Folder::with(hostile(
        "permissions.files = [\n\
         { host = 'work', guest = '/w', access = 'read-write' },\n\
         { host = 'work/sub', guest = '/s' },\n\
         { host = 'apart', guest = '/a' }]",
    ));
    folder.write("work/sub/x.txt", "x");
    folder.write("work/other/x.txt", "not for everybody");
    folder.write("apart/x.txt", "x");
    let manifest = || Manifest::read(folder.path().join("toolhost.toml")).unwrap();
    let cache = || CodeCache::Folder(common::code_cache());
    let mut host = Some(load(&folder).await.unwrap());
    let mut reload = async || {
        let loader = Loader::new(manifest()).code_cache(cache());
        let before = host.take().unwrap();
        let loaded = loader.replacing(&before).load().await;
        host = Some(loaded.as_ref().cloned().unwrap_or(before));
        loaded.map(drop)
    };
    let path = |name: &str| folder.path().join(name);
    // It is held, so that the new one is another.
    std::fs::rename(path("apart"), path("moved")).unwrap();
    std::fs::create_dir(path("apart")).unwrap();
    reload().await.unwrap();
    std::fs::rename(path("work/sub"), path("work/moved")).unwrap();
    std::fs::rename(path("work/other"), path("work/sub")).unwrap();
    let refused = reload().await.unwrap_err().to_string();
    assert!(
        refused.contains("was replaced since it was loaded"),
        "{refused}"
    );
    // What was loaded is there again.
    std::fs::rename(path("work/sub"), path("work/other")).unwrap();
    std::fs::rename(path("work/moved"), path("work/sub")).unwrap();
    reload().await.unwrap();
}

#[tokio::test]
async fn what_a_reload_names_is_protected_from_the_calls_of_before() {
    let folder = Folder::with(with_work(""));
    folder.write("work/later.txt", "a secret of the next manifest");
    let host = load(&folder).await.unwrap();
    let spellings = call("spellings", json!({ "guest": "/w", "path": "later.txt" }));
    let report = text(&host.call(spellings.clone()).await);
    assert!(report.starts_with("ESCAPED"), "{report}");
    let manifest = with_work("permissions.secrets.LATER = { file = 'work/later.txt' }");
    folder.write("toolhost.toml", manifest);
    let manifest = Manifest::read(folder.path().join("toolhost.toml")).unwrap();
    let cache = CodeCache::Folder(common::code_cache());
    let loader = Loader::new(manifest).code_cache(cache).replacing(&host);
    let _after = loader.load().await.unwrap();
    let report = text(&host.call(spellings).await);
    assert_eq!(done(&report), [""; 0]);
}

/// What a manifest names in `work`, where something else lies outside, and the manifest.
const NAMED: &[(&str, &str, &str, &str)] = &[
    (
        "a folder",
        "sub",
        "folder",
        "permissions.files = [{ host = 'work', guest = '/w', access = 'read-write' }, { host = 'work/sub', guest = '/s' }]",
    ),
    (
        "a parent folder",
        "sub",
        "folder",
        "permissions.files = [{ host = 'work', guest = '/w', access = 'read-write' }, { host = 'work/sub/deep', guest = '/s' }]",
    ),
    (
        "a plugin",
        "p.wasm",
        "echo.wasm",
        "[plugin.other]\npath = 'work/p.wasm'",
    ),
    (
        "a plugin's folder",
        "sub",
        "folder",
        "[plugin.other]\npath = 'work/sub/echo.wasm'",
    ),
    (
        "a secret",
        "token",
        "note.txt",
        "permissions.secrets.TOKEN = { file = 'work/token' }",
    ),
    (
        "the audit log",
        "log",
        "note.txt",
        "[audit]\npath = 'work/log'",
    ),
    (
        "a program",
        "start",
        "bin/start",
        "[mcp.x]\ncommand = 'work/start'\nargs = ['bin/server.py', 'names']",
    ),
    (
        "a working folder",
        "sub",
        "folder",
        "[mcp.x]\ncommand = 'bin/start'\nargs = ['<stub>', 'names']\ncwd = 'work/sub'",
    ),
    (
        "what a program is given",
        "s.py",
        "bin/server.py",
        "[mcp.x]\ncommand = 'bin/start'\nargs = ['work/s.py', 'names']",
    ),
    (
        "the secret of a server",
        "token",
        "note.txt",
        "[mcp.x]\ncommand = 'bin/start'\nargs = ['bin/server.py', 'names']\nsecrets.T = { file = 'work/token' }",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn manifest_paths_follow_no_planted_link() {
    needs!(python);
    for (name, planted, target, more) in NAMED {
        let folder = Folder::empty();
        stub(&folder, "bin");
        let echo = std::fs::read(common::guest("echo")).unwrap();
        folder.write("outside/echo.wasm", &echo);
        folder.write("outside/folder/echo.wasm", &echo);
        folder.write("outside/folder/deep/x.txt", "x");
        folder.write("outside/note.txt", "a private key");
        stub(&folder, "outside/bin");
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let stub = folder.path().join("bin/server.py");
        let more = more.replace("<stub>", &stub.display().to_string());
        let manifest = match more.starts_with("permissions.files") {
            true => hostile(&more),
            false => with_work(&more),
        };
        folder.write("toolhost.toml", manifest);
        let place = folder.path().join("work").join(planted);
        let target = folder.path().join("outside").join(target);
        // The thing itself is fine.
        std::fs::rename(&target, &place).unwrap();
        if let Err(error) = load(&folder).await {
            panic!("{name}: {error}");
        }
        std::fs::rename(&place, &target).unwrap();
        let before = contents(&folder.path().join("outside"));
        symlink(&target, &place).unwrap();
        let refused = load(&folder).await.expect_err(name).to_string();
        assert!(refused.contains(LINK), "{name}: {refused}");
        assert!(refused.contains(planted), "{name}: {refused}");
        assert_eq!(contents(&folder.path().join("outside")), before, "{name}");
    }
}

#[tokio::test]
async fn manifest_is_not_read_through_a_planted_link() {
    let folder = Folder::empty();
    let manifest =
        hostile("permissions.files = [{ host = '.', guest = '/w', access = 'read-write' }]");
    let file = folder.write("work/toolhost.toml", &manifest);
    Manifest::read(&file).unwrap();
    let outside = folder.write("outside/toolhost.toml", &manifest);
    std::fs::remove_file(&file).unwrap();
    symlink(outside, &file).unwrap();
    let refused = Manifest::read(&file).unwrap_err();
    let source = std::error::Error::source(&refused).unwrap().to_string();
    assert!(source.contains(LINK), "{refused} {source}");
}

/// Whoever has allowed a manifest has not seen the links that are pulled while it is served.
#[cfg(unix)]
#[tokio::test]
async fn a_resource_is_read_from_the_folder_where_it_was_loaded() {
    use std::os::unix::fs::symlink;
    let folder = Folder::with("[resource.r]\nuri = 'docs://r'\npath = 'docs/r.md'\n");
    let file = folder.write("docs/r.md", "mine");
    folder.write("docs/new/r.md", "newer");
    let outside = folder.write("outside/r.md", "a private key");
    let host = load(&folder).await.unwrap();
    let options = CallOptions::default();
    let read = async || match host.read_resource("docs://r", &options).await {
        Ok(contents) => format!("{contents:?}"),
        Err(error) => error.to_string(),
    };
    assert!(read().await.contains("mine"));
    for target in [
        &*outside,
        Path::new("../outside/r.md"),
        Path::new("/proc/self/environ"),
    ] {
        std::fs::remove_file(&file).unwrap();
        symlink(target, &file).unwrap();
        let refused = read().await;
        assert!(
            refused.contains("since the load it leads to another folder"),
            "{refused}"
        );
        let version = host.resource_version("docs://r", &options).await.unwrap();
        assert_eq!(version, "");
    }
    // A link within the folder is how it may be replaced.
    std::fs::remove_file(&file).unwrap();
    symlink("new/r.md", &file).unwrap();
    assert!(read().await.contains("newer"));
    // The folder itself may become a link.
    std::fs::rename(folder.path().join("docs"), folder.path().join("before")).unwrap();
    symlink("outside", folder.path().join("docs")).unwrap();
    let refused = read().await;
    assert!(
        refused.contains("since the load it leads to another folder"),
        "{refused}"
    );
    // The next load accepts the new folder.
    let host = load(&folder).await.unwrap();
    let read = host.read_resource("docs://r", &options).await;
    assert!(format!("{read:?}").contains("private"));
}

#[tokio::test]
async fn a_resource_is_not_read_through_a_link_of_a_plugin() {
    let folder = Folder::with(with_work(
        "[resource.r]\nuri = 'docs://r'\npath = 'work/r.md'\nwritable = true",
    ));
    let file = folder.write("work/r.md", "mine");
    let outside = folder.write("outside/id_rsa", "a private key");
    let host = load(&folder).await.unwrap();
    let options = CallOptions::default();
    let read = async || host.read_resource("docs://r", &options).await;
    let version = async || host.resource_version("docs://r", &options).await.unwrap();
    assert!(format!("{:?}", read().await).contains("mine"));
    let before = version().await;
    let swap = json!({ "guest": "/w", "path": "r.md", "target": "../outside/id_rsa" });
    assert_eq!(
        text(&host.call(call("replace_by_link", swap)).await),
        "replaced"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a private key");
    let refused = read().await.unwrap_err().to_string();
    assert!(refused.contains(LINK), "{refused}");
    // Nor is it seen how it changes.
    let linked = version().await;
    assert_ne!(linked, before);
    std::fs::write(outside, "a longer private key").unwrap();
    assert_eq!(version().await, linked);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "mine again").unwrap();
    assert!(format!("{:?}", read().await).contains("mine again"));
}

#[tokio::test]
async fn certificates_and_keys_are_not_read_through_a_link_of_a_plugin() {
    for planted in ["cert.pem", "key.pem"] {
        let folder = Folder::with(with_work(
            "[serve.tls]\ncertificate = 'work/cert.pem'\nkey = 'work/key.pem'",
        ));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        folder.write("work/cert.pem", made.cert.pem());
        folder.write("work/key.pem", made.signing_key.serialize_pem());
        let manifest = Manifest::read(folder.path().join("toolhost.toml")).unwrap();
        let host = common::load(manifest.clone()).await;
        let server = Server::new(host, ServerInfo::of(&manifest.serve));
        assert!(server.http(&manifest.serve).is_ok());
        let place = folder.path().join("work").join(planted);
        let outside = folder.path().join(planted);
        std::fs::rename(&place, &outside).unwrap();
        symlink(outside, &place).unwrap();
        let refused = server.http(&manifest.serve).err().unwrap().to_string();
        assert!(
            refused.contains(LINK) && refused.contains(planted),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn code_cache_follows_no_planted_link() {
    let folder = Folder::with(with_work(""));
    folder.write("work/a.txt", "a");
    let manifest = || Manifest::read(folder.path().join("toolhost.toml")).unwrap();
    let cache = folder.path().join("work/cache");
    let load = async || {
        let loader = Loader::new(manifest()).code_cache(CodeCache::Folder(cache.clone()));
        loader.load().await.unwrap()
    };
    let host = load().await;
    let compiled = contents(&cache);
    let mut files = compiled.keys();
    // Some come and go.
    let file = files.find(|it| !it.to_string_lossy().contains(".wip"));
    let file = file.expect("it was compiled");
    let file = file.strip_prefix(folder.path().join("work")).unwrap();
    for path in [file, Path::new("cache/new/deep"), Path::new("cache/new")] {
        let result = host
            .call(call("harm", json!({ "guest": "/w", "path": path })))
            .await;
        assert_eq!(done(&text(&result)), [""; 0], "{}", path.display());
    }
    drop(host);
    let outside = folder.path().join("outside");
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, &cache).unwrap();
    load().await;
    assert_eq!(contents(&outside), BTreeMap::new());
}

#[tokio::test]
async fn a_grant_of_everything_is_none_of_what_the_kernel_shows() {
    let all = "permissions.files = [{ host = '/', guest = '/all' }";
    let folder = Folder::with(hostile(&format!("{all}]")));
    folder.write("note.txt", "a note");
    let host = load(&folder).await.unwrap();
    let read = async |host: &ToolHost, guest: &str, path: &str| {
        host.call(call("read", json!({ "guest": guest, "path": path })))
            .await
    };
    let note = folder.path().join("note.txt");
    let note = note.to_str().unwrap().trim_start_matches('/');
    assert_eq!(text(&read(&host, "/all", note).await), "a note");
    for path in [
        "proc/self/environ",
        "proc/self/../self/environ",
        "proc/version",
        "proc",
        "sys/kernel/notes",
        "dev/null",
        "dev/shm",
    ] {
        let result = read(&host, "/all", path).await;
        assert_eq!(error(&result).code(), "denied", "{path}: {result:?}");
    }
    let result = read(&host, "/all", "proc/version").await;
    let why = "a kernel file system must be granted explicitly";
    assert!(error(&result).to_string().contains(why), "{result:?}");
    // Named, it is granted, and no more by the other.
    folder.write(
        "toolhost.toml",
        hostile(&format!("{all}, {{ host = '/proc', guest = '/proc' }}]")),
    );
    let host = load(&folder).await.unwrap();
    let version = text(&read(&host, "/proc", "version").await);
    assert!(version.contains("Linux"), "{version}");
    assert_eq!(
        error(&read(&host, "/all", "proc/version").await).code(),
        "denied"
    );
}

/// Runs `harm` on a path of the granted folder `home`, which is the user's home, in a process of its own.
fn harm_at_home(folder: &Folder, path: &str) -> String {
    let given = json!({ "guest": "/w", "path": path }).to_string();
    let mut command = folder.command(&["call", "harm", &given]);
    command
        .env("HOME", folder.path().join("home"))
        .env_remove("XDG_CONFIG_HOME");
    let ended = run(command, "");
    assert_eq!(ended.status, 0, "{ended:?}");
    ended.stdout
}

#[test]
fn no_plugin_writes_what_manifests_are_trusted_with() {
    let folder = Folder::with(hostile(
        "permissions.files = [{ host = 'home', guest = '/w', access = 'read-write' }]",
    ));
    let home = folder.path().join("home");
    let way = [
        ".config",
        ".config/toolhost",
        ".config/toolhost/trust",
        ".config/toolhost/trust/new.json",
    ];
    // What the user has of it so far.
    for there in 0..3 {
        std::fs::create_dir_all(&home).unwrap();
        for part in &way[..there] {
            std::fs::create_dir(home.join(part)).unwrap();
        }
        for path in way {
            let report = harm_at_home(&folder, path);
            for (number, part) in way.iter().enumerate() {
                let found = home.join(part).symlink_metadata();
                let is_folder = found.is_ok_and(|found| found.is_dir());
                assert_eq!(is_folder, number < there, "{part} after {path}: {report}");
            }
        }
        std::fs::remove_dir_all(&home).unwrap();
    }
    let kept = folder.write("home/.config/toolhost/trust/old.json", "trusted");
    for path in way.into_iter().chain([".config/toolhost/trust/old.json"]) {
        let report = harm_at_home(&folder, path);
        assert!(
            report.contains(": refused not-permitted"),
            "{path}: {report}"
        );
        let all = contents(&home.join(".config/toolhost/trust"));
        let expected = BTreeMap::from([(kept.clone(), b"trusted".to_vec())]);
        assert_eq!(all, expected, "{path}: {report}");
    }
    // The attacks are real.
    folder.write("home/notes.txt", "mine");
    let report = harm_at_home(&folder, "notes.txt");
    assert!(done(&report).len() > 10, "{report}");
    // A link on the way there could be turned elsewhere.
    std::fs::rename(home.join(".config"), home.join("dotfiles")).unwrap();
    symlink("dotfiles", home.join(".config")).unwrap();
    let mut command = folder.command(&["check"]);
    command.env("HOME", &home).env_remove("XDG_CONFIG_HOME");
    run(command, "").failed(LINK);
}

/// What belongs to version control, in a folder with some of it.
const VCS: [&str; 23] = [
    ".git",
    ".git/config",
    ".git/hooks/post-checkout",
    ".Git",
    ".hg",
    ".jj",
    ".svn",
    "notes/.git",
    "vendor/lib/.git/config",
    "bare/config",
    "notes/HEAD",
    "half/refs",
    "half/commondir",
    "half/hooks",
    "fixture/commondir",
    "fixture/config.worktree",
    ".sl",
    ".bzr",
    "_darcs",
    ".pijul",
    "CVS",
    "_FOSSIL_",
    ".fslckout-wal",
];

/// A folder with repositories, which a plugin may write.
fn repositories(more: &str) -> Folder {
    let grant = format!("{{ host = 'work', guest = '/w', access = 'read-write'{more} }}");
    let folder = Folder::with(hostile(&format!("permissions.files = [{grant}]")));
    for file in [
        ".git/config",
        ".git/hooks/pre-commit",
        "vendor/lib/.git/config",
        "bare/HEAD",
        "bare/objects/a",
        "bare/refs/a",
        "bare/config",
        "half/HEAD",
        "half/objects/a",
        "fixture/HEAD",
        "notes/a.txt",
    ] {
        folder.write(format!("work/{file}"), format!("what {file} has"));
    }
    folder
}

async fn harm(host: &ToolHost, path: &str) -> String {
    let given = json!({ "guest": "/w", "path": path });
    text(&host.call(call("harm", given)).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn version_control_is_not_changed_or_made_where_a_plugin_may_write() {
    for path in VCS {
        let folder = repositories("");
        let host = load(&folder).await.unwrap();
        let report = harm(&host, path).await;
        let refused = report.lines().filter(|line| line.contains(": refused "));
        assert!(refused.count() > 50, "{path}: {report}");
        let (above, name) = path.rsplit_once('/').unwrap_or_default();
        for line in done(&report) {
            // A folder with a repository further down may be moved whole, and to be read at a time changes nothing.
            let moves = ["rename a folder over ", "rename ", "remove "];
            let way = moves.iter().find_map(|it| line.strip_prefix(it));
            let way = way.map(|way| way.trim_start_matches("./"));
            let is_way = |way: &str| {
                let top = above.split('/').next().unwrap_or_default();
                !top.is_empty() && !top.starts_with('.') && way.starts_with(top)
            };
            let is_of_open = line.starts_with("set times of ") && line.contains(", open");
            let is_fine = way.is_some_and(is_way) && !line.contains(".git") && !line.contains(name);
            assert!(is_fine || is_of_open, "{path}: {line}");
        }
        let made = contents(&folder.path().join("work"));
        let kept = made.iter().filter(|(_, is)| is.starts_with(b"what "));
        assert_eq!(kept.count(), 11, "{path}: {report}");
        let hostile = made
            .iter()
            .filter(|(_, is)| !is.starts_with(b"what ") && !is.is_empty());
        for (file, _) in hostile {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(
                name.starts_with("harm-") || name.starts_with(".toolhost-"),
                "{path}: {file:?}"
            );
        }
    }
    let folder = repositories("");
    let host = load(&folder).await.unwrap();
    // It may be read.
    let read = json!({ "guest": "/w", "path": ".git/config" });
    let report = text(&host.call(call("spellings", read)).await);
    assert!(report.contains("read .git/config: DONE"), "{report}");
    assert!(!report.contains("link it: DONE"), "{report}");
    // Whoever is refused is told why.
    let write = json!({ "guest": "/w", "path": ".git", "target": "x" });
    let result = host.call(call("replace_by_link", write)).await;
    assert_eq!(
        error(&result).to_string(),
        "not permitted: files: rename-at .git -> .git.moved: it belongs to version control, which a plugin may \
         change only where its grant says `allow-vcs = true` (refused: not-permitted)"
    );
    // What is called like it is not it.
    for path in [
        ".github/workflows/a.yml",
        ".gitignore",
        "notes/HEAD.md",
        "notes/refs",
    ] {
        folder.write(format!("work/{path}"), "mine");
        let report = harm(&host, path).await;
        assert!(done(&report).len() > 10, "{path}: {report}");
    }
}

#[tokio::test]
async fn a_folder_with_a_repository_is_not_moved_with_it() {
    let moved = async |host: &ToolHost, path: &str| {
        let given = json!({ "guest": "/w", "path": path, "target": "elsewhere" });
        host.call(call("replace_by_link", given)).await
    };
    for path in ["vendor/lib", "vendor", "bare", "worktree", "hg", "deep"] {
        for allowed in ["", ", allow-vcs = true"] {
            let folder = repositories(allowed);
            folder.write("work/worktree/.git", "gitdir: elsewhere");
            folder.write("work/hg/.hg/hgrc", "what it has");
            for file in ["HEAD", "objects/a", "refs/a"] {
                folder.write(format!("work/deep/er/and/mirror/{file}"), "");
            }
            let host = load(&folder).await.unwrap();
            let result = moved(&host, path).await;
            if allowed.is_empty() {
                let said = error(&result).to_string();
                assert!(
                    said.contains("it belongs to version control"),
                    "{path}: {said}"
                );
            } else {
                assert_eq!(text(&result), "replaced", "{path}");
            }
            // One without is.
            assert_eq!(text(&moved(&host, "notes").await), "replaced");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn version_control_is_changed_by_whom_it_is_granted() {
    for path in VCS {
        let folder = repositories(", allow-vcs = true");
        let host = load(&folder).await.unwrap();
        let report = harm(&host, path).await;
        assert!(done(&report).len() > 10, "{path}: {report}");
    }
    // By its own name.
    let folder = repositories("");
    let manifest = folder.path().join("toolhost.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    for (grant, path) in [("work/.git", "config"), ("work/bare", "HEAD")] {
        let granted = format!("'{grant}'");
        std::fs::write(&manifest, text.replace("'work'", &granted)).unwrap();
        let report = harm(&load(&folder).await.unwrap(), path).await;
        assert!(done(&report).len() > 5, "{path}: {report}");
    }
}
