//! `text`: compared with GNU diff and patch, and with Python's `re`, `hashlib`, `zlib`, `base64`, `html` and `urllib`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use toolhost::permissions::{Access, FileGrant};
use toolhost::{ToolHost, ToolResult};
use toolhost_testing::needs;

use super::reference::reference;
use super::{assert_error, structured, texts};
use crate::common::{call, load, manifest, plugin, text};

/// A host of the plugin, and a folder that it is granted as `/work`.
struct Text {
    host: ToolHost,
    folder: TempDir,
}

impl Text {
    async fn granted(access: Access) -> Text {
        let folder = tempfile::tempdir().unwrap();
        let mut plugin = plugin("text");
        let grant = FileGrant::new(folder.path(), "/work").with_access(access);
        plugin.permissions.files = vec![grant];
        let host = load(manifest([plugin])).await;
        Text { host, folder }
    }

    async fn call(&self, tool: &str, arguments: Value) -> ToolResult {
        self.host.call(call(tool, arguments)).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

/// Pairs of texts, old and new, of which each differs in another way.
fn pairs() -> Vec<(String, String)> {
    let fixed = [
        ("a\nb\nc\n", "a\nx\nc\n"),
        ("a\nb\nc", "a\nb\nc\n"),
        ("a\nb\nc\n", "a\nb"),
        ("a\r\nb\r\n", "a\r\nc\r\n"),
        ("é\n\n\n", "\n\né\n"),
        ("- a\n-- b\n--- c\n", "+ a\n--- c\n+++ d\n"),
        ("@@ -1 +1 @@\n", "\\ No newline\n"),
    ];
    let mut pairs: Vec<(String, String)> = fixed
        .map(|(old, new)| (old.to_owned(), new.to_owned()))
        .into();
    // Lines of few kinds, so that many of them are equal.
    let mut state = 12345_u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
        (state >> 16) % below
    };
    for round in 0..30 {
        let kinds = 2 + round;
        let mut old: Vec<String> = (0..40)
            .map(|_| format!("line {}\n", random(kinds)))
            .collect();
        let mut new = old.clone();
        for _ in 0..=random(8) {
            let at = random(new.len() as u32) as usize;
            match random(3) {
                0 => drop(new.remove(at)),
                1 => new.insert(at, format!("new {}\n", random(kinds))),
                _ => new[at] = format!("line {}\n", random(kinds)),
            }
        }
        if round % 3 == 0 {
            old.push("no newline".to_owned());
        }
        pairs.push((old.concat(), new.concat()));
    }
    pairs
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let ended = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    // diff ends with 1 if there are differences.
    assert!(
        ended.status.code() < Some(2),
        "{program}: {said} {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    said
}

#[tokio::test]
async fn gnu_patch_applies_our_diffs_and_we_apply_those_of_gnu_diff() {
    needs!(patch);
    let text_tools = Text::granted(Access::ReadWrite).await;
    let folder = text_tools.folder.path();
    for (old, new) in pairs() {
        if old == new {
            continue;
        }
        text_tools.write("f", &old);
        text_tools.write("g", &new);
        let diff = json!({ "old_path": "f", "new": new });
        let ours = text(&text_tools.call("text_diff", diff).await);
        text_tools.write("ours.diff", &ours);
        let input = [
            "--binary",
            "--fuzz=0",
            "--no-backup-if-mismatch",
            "-s",
            "-i",
            "ours.diff",
            "f",
        ];
        run(folder, "patch", &input);
        assert_eq!(text_tools.read("f"), new, "{ours}");

        text_tools.write("f", &old);
        let theirs = run(folder, "diff", &["-u", "f", "g"]).replace("+++ g\t", "+++ f\t");
        let on_text = json!({ "text": old, "patch": theirs });
        let patched = text_tools.call("text_patch", on_text).await;
        assert_eq!(texts(&patched), [new.as_str()], "{theirs}");
        let on_file = text_tools
            .call("text_patch_files", json!({ "patch": theirs }))
            .await;
        assert_eq!(text(&on_file), "Changed /work/f.");
        assert_eq!(text_tools.read("f"), new, "{theirs}");

        // As short as GNU's.
        text_tools.write("f", &old);
        let changes = |diff: &str| {
            let is_change = |line: &&str| line.starts_with(['-', '+']);
            diff.lines().skip(2).filter(is_change).count()
        };
        let minimal = run(folder, "diff", &["--minimal", "-U3", "f", "g"]);
        assert_eq!(changes(&ours), changes(&minimal), "{ours}{minimal}");
    }
}

#[tokio::test]
async fn a_patch_creates_changes_and_deletes_files_or_does_nothing() {
    let tools = Text::granted(Access::ReadWrite).await;
    tools.write("a.txt", "1\n2\n3\n");
    tools.write("old.txt", "x\n");
    let patch = "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n\
        --- /dev/null\n+++ b/new/b.txt\n@@ -0,0 +1,2 @@\n+b\n+c\n\
        --- a/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n";
    let apply = async |patch: &str, dry_run: bool| {
        let arguments = json!({ "patch": patch, "dry_run": dry_run });
        tools.call("text_patch_files", arguments).await
    };
    let plan = text(&apply(patch, true).await);
    assert!(
        plan.starts_with("The patch applies; nothing was written.\n"),
        "{plan}"
    );
    assert_eq!(tools.read("a.txt"), "1\n2\n3\n");

    let wrong = patch.replace("-x\n", "-y\n");
    let result = apply(&wrong, false).await;
    let why = "/work/old.txt: hunk 1 (@@ -1 +0,0 @@): line 1 is \"x\", but the patch has \"y\"";
    assert_error(&result, "invalid-arguments", why);
    assert_eq!(tools.read("a.txt"), "1\n2\n3\n");
    assert!(!tools.path("new").exists());

    let done = text(&apply(patch, false).await);
    let all = "Changed /work/a.txt.\nCreated /work/new/b.txt.\nDeleted /work/old.txt.";
    assert_eq!(done, all);
    assert_eq!(tools.read("a.txt"), "1\ntwo\n3\n");
    assert_eq!(tools.read("new/b.txt"), "b\nc\n");
    assert!(!tools.path("old.txt").exists());

    for (patch, code, why) in [
        (patch, "failed", "no such file"),
        (
            "--- a\n+++ b\n@@ -1 +1 @@\n-1\n+2\n",
            "invalid-arguments",
            "names two files, a and b",
        ),
        (
            "@@ -1 +1 @@\n-1\n+2\n",
            "invalid-arguments",
            "names no file",
        ),
        (
            "--- ../x\n+++ ../x\n@@ -1 +1 @@\n-1\n+2\n",
            "denied",
            "outside of the granted folders",
        ),
        (
            "--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-1\n+2\n",
            "denied",
            "outside",
        ),
        (
            "--- /dev/null\n+++ a.txt\n@@ -0,0 +1 @@\n+2\n",
            "invalid-arguments",
            "exists, but the patch creates it",
        ),
        (
            "--- a.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n",
            "invalid-arguments",
            "only a part of its lines",
        ),
        ("", "invalid-arguments", "has no hunk"),
    ] {
        assert_error(&apply(patch, false).await, code, why);
    }
    assert_eq!(tools.read("a.txt"), "1\ntwo\n3\n");
}

#[tokio::test]
async fn files_are_not_changed_where_only_reading_is_granted() {
    let tools = Text::granted(Access::ReadOnly).await;
    tools.write("a.txt", "1\n");
    let patch = json!({ "patch": "--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-1\n+2\n" });
    assert_error(
        &tools.call("text_patch_files", patch).await,
        "denied",
        "not permitted",
    );
    let replace = json!({ "path": "a.txt", "pattern": "1", "replacement": "2" });
    let result = tools.call("text_replace_in_file", replace.clone()).await;
    assert_error(&result, "denied", "not permitted");
    let result = tools.call("text_replace", replace).await;
    assert_eq!(texts(&result), ["2\n", "1 replacement."]);
    assert_eq!(tools.read("a.txt"), "1\n");
}

#[tokio::test]
async fn replacements_are_those_of_python() {
    needs!(mcp_peers);
    let tools = Text::granted(Access::ReadWrite).await;
    let cases = [
        (r"(\w+)@(\w+)", r"\2 at \1", "me@here, you@there"),
        (
            r"(?P<y>\d{4})-(?P<m>\d\d)",
            r"\g<m>/\g<y>",
            "2024-01 and 2025-12",
        ),
        (r"(?m)^", "> ", "one\ntwo\n\nthree"),
        (r"(?m)\s+$", "", "a  \nb\t\n"),
        (r"(?i)É", "e", "éÉe"),
        (r"(?s)<b>.*?</b>", "", "x<b>1\n2</b>y<b></b>z"),
        (r"\b(\w)", r"<\1>", "ab é 1"),
        (r"x", "y", "nothing"),
        (r"(a)|(b)", r"[\1\2]", "abc"),
    ];
    let arguments: Vec<Value> = cases
        .iter()
        .map(|(pattern, replacement, text)| json!([text, pattern, replacement]))
        .collect();
    let expected = reference("replaced", &arguments);
    for ((pattern, replacement, text), expected) in cases.iter().zip(expected) {
        let arguments = json!({ "text": text, "pattern": pattern, "replacement": replacement });
        let result = tools.call("text_replace", arguments).await;
        let [replaced, count] = texts(&result)[..] else {
            panic!("{result:?}");
        };
        assert_eq!(replaced, expected[0], "{pattern}");
        let count: u64 = count.split(' ').next().unwrap().parse().unwrap_or(0);
        assert_eq!(count, expected[1], "{pattern}");
    }
    // Python also matches the empty text right after a match; Rust's `regex`, RE2 and Go do not.
    let empty = json!({ "text": "baac", "pattern": "a*", "replacement": "-" });
    let result = tools.call("text_replace", empty).await;
    assert_eq!(texts(&result)[0], "-b-c-");
    tools.write("f", "aaa");
    let some = json!({ "path": "f", "pattern": "A", "replacement": "$0$0", "ignore_case": true, "count": 2 });
    let result = tools.call("text_replace_in_file", some).await;
    assert_eq!(text(&result), "2 replacements in /work/f.");
    assert_eq!(tools.read("f"), "aaaaa");
    let literal = json!({ "text": "a.c $1", "pattern": ".", "replacement": "$1", "literal": true });
    let result = tools.call("text_replace", literal).await;
    assert_eq!(texts(&result)[0], "a$1c $1");
    for (arguments, why) in [
        (
            json!({ "text": "a", "pattern": "(", "replacement": "" }),
            "pattern: ",
        ),
        (
            json!({ "text": "a", "pattern": "(?=a)", "replacement": "" }),
            "look-around",
        ),
        (
            json!({ "text": "a", "pattern": "a", "replacement": "$2" }),
            "no groups",
        ),
        (
            json!({ "text": "a", "pattern": "a{99999}{99999}", "replacement": "" }),
            "pattern: ",
        ),
        (
            json!({ "pattern": "a", "replacement": "" }),
            "give either `text` or `path`",
        ),
        (
            json!({ "text": "a", "pattern": "a", "replacement": "", "flags": "g" }),
            "flags",
        ),
    ] {
        let result = tools.call("text_replace", arguments).await;
        assert_error(&result, "invalid-arguments", why);
    }
    // Backtracking engines take time without end for this.
    let hard = json!({ "text": "a".repeat(5000), "pattern": "(a*)*b", "replacement": "" });
    let result = tools.call("text_replace", hard).await;
    assert!(texts(&result)[1].starts_with("Nothing matches"));
    let growing =
        json!({ "text": "a".repeat(100_000), "pattern": "", "replacement": "b".repeat(1000) });
    let result = tools.call("text_replace", growing).await;
    assert_error(&result, "failed", "longer than");
}

#[tokio::test]
async fn hashes_and_encodings_are_those_of_python() {
    needs!(mcp_peers);
    let tools = Text::granted(Access::ReadOnly).await;
    let inputs = [
        "",
        "abc",
        "é€😀\n\"'<&>/?=+ %41\\\u{7f}",
        &"x".repeat(100_000),
    ]
    .map(Value::from);
    for (input, expected) in inputs.iter().zip(reference("hash_of", &inputs)) {
        tools.write("f", input.as_str().unwrap());
        for (algorithm, hash) in expected.as_object().unwrap() {
            for source in [("text", input.clone()), ("path", json!("f"))] {
                let mut arguments = json!({ "algorithm": algorithm });
                arguments[source.0] = source.1;
                let answer = structured(&tools.call("text_hash", arguments).await);
                assert_eq!(&answer["hash"], hash, "{algorithm}");
            }
        }
    }
    for (input, expected) in inputs.iter().zip(reference("encoded", &inputs)) {
        for (encoding, encoded) in expected.as_object().unwrap() {
            let encode = json!({ "text": input, "to": encoding });
            assert_eq!(&text(&tools.call("text_convert", encode).await), encoded);
            let decode = json!({ "text": encoded, "from": encoding });
            assert_eq!(&text(&tools.call("text_convert", decode).await), input);
        }
    }
    let escaped = [
        "&lt;&AMP;&eacute;&#233;&#xE9;&nbsp;&notit;&amp",
        "&hellip &#0;&#x80;&unknown;&",
        "%C3%A9%zz%2",
    ]
    .map(Value::from);
    for (input, expected) in escaped.iter().zip(reference("unescaped", &escaped)) {
        for (encoding, text_expected) in expected.as_object().unwrap() {
            let decode = json!({ "text": input, "from": encoding });
            let decoded = text(&tools.call("text_convert", decode).await);
            assert_eq!(&decoded, text_expected, "{input}");
        }
    }
    fs::write(tools.path("bytes"), b"\xff\x00").unwrap();
    let hex = json!({ "path": "bytes", "to": "hex" });
    assert_eq!(text(&tools.call("text_convert", hex).await), "ff00");
    let same = json!({ "text": "a" });
    let result = tools.call("text_convert", same).await;
    assert_error(&result, "invalid-arguments", "are the same");
    let folder = json!({ "path": "." });
    assert_error(
        &tools.call("text_hash", folder).await,
        "failed",
        "it is a folder",
    );
}

#[tokio::test]
async fn lines_words_characters_and_matches_are_counted() {
    let tools = Text::granted(Access::ReadOnly).await;
    tools.write("f", "Strawberry é\n\nlast");
    let count = json!({ "path": "f", "pattern": "R", "ignore_case": true });
    let counts = json!({ "lines": 3, "words": 3, "characters": 18, "bytes": 19, "matches": 3 });
    assert_eq!(structured(&tools.call("text_count", count).await), counts);
    let empty = json!({ "text": "" });
    let counts = json!({ "lines": 0, "words": 0, "characters": 0, "bytes": 0 });
    assert_eq!(structured(&tools.call("text_count", empty).await), counts);
}
