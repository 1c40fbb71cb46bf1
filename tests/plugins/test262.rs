//! A sample of Test262 in programs of the plugin `script`: see `tests/data/test262/README.md`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toolhost::ToolHost;

use crate::common::{call, in_time, load, manifest, plugin};

/// Tests that are about the top level of a script: a program is the body of an async function.
const SCRIPTS: [&str; 4] = [
    "test/language/eval-code/indirect/global-env-rec-with.js",
    "test/language/expressions/await/await-BindingIdentifier-in-global.js",
    "test/language/statements/await-using/syntax/await-using-not-allowed-at-top-level-of-script.js",
    "test/language/statements/return/S12.9_A1_T5.js",
];

/// A test, as its header describes it.
struct Test {
    name: String,
    source: String,
    includes: Vec<String>,
    is_async: bool,
    is_strict: bool,
    is_sloppy: bool,
    /// The error that it is about.
    error: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/test262")
}

fn tests() -> Vec<Test> {
    let mut folders = vec![folder().join("test")];
    let mut tests = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => tests.push(Test::read(&path)),
            }
        }
    }
    tests.sort_by(|one, other| one.name.cmp(&other.name));
    tests
}

impl Test {
    fn read(path: &Path) -> Test {
        let source = std::fs::read_to_string(path).unwrap();
        let (_, header) = source.split_once("/*---").unwrap();
        let (header, _) = header.split_once("---*/").unwrap();
        // A list is on one line, or has a line for each item.
        let list = |key: &str| -> Vec<String> {
            let Some((_, rest)) = header.split_once(&format!("\n{key}:")) else {
                return Vec::new();
            };
            let (first, rest) = rest.split_once('\n').unwrap_or((rest, ""));
            let listed = first.trim().trim_matches(['[', ']']).split(',');
            let below = rest
                .lines()
                .map_while(|line| line.trim().strip_prefix("- "));
            let items = listed.chain(below).map(|item| item.trim().to_owned());
            items.filter(|item| !item.is_empty()).collect()
        };
        let flags = list("flags");
        let has = |flag: &str| flags.iter().any(|it| it == flag);
        let (is_async, is_strict, is_sloppy) = (has("async"), has("onlyStrict"), has("noStrict"));
        let negative = header.split_once("\nnegative:").map(|(_, rest)| rest);
        let error = negative.and_then(|rest| rest.split_once("type:"));
        let error = error.and_then(|(_, rest)| rest.lines().next());
        Test {
            name: path.strip_prefix(folder()).unwrap().display().to_string(),
            includes: list("includes"),
            error: error.map(|error| error.trim().to_owned()),
            is_async,
            is_strict,
            is_sloppy,
            source,
        }
    }

    /// What the test needs, as source of a script.
    fn harness(&self) -> String {
        let mut files = vec!["assert.js", "sta.js"];
        files.extend(self.is_async.then_some("doneprintHandle.js"));
        files.extend(self.includes.iter().map(String::as_str));
        let read = |file: &str| std::fs::read_to_string(folder().join("harness").join(file));
        let files = files.into_iter().map(|file| read(file).unwrap());
        files.collect::<Vec<_>>().join("\n")
    }

    /// A program that runs it as a script, which a host of Test262 does.
    fn as_script(&self, is_strict: bool) -> String {
        let strict = if is_strict { "'use strict';\n" } else { "" };
        let source = json!(format!("{strict}{}", self.source));
        self.between(&format!("(0, eval)({source});"), "")
    }

    /// The test as a program.
    fn as_program(&self) -> String {
        let strict = if self.is_strict {
            "'use strict';\n"
        } else {
            ""
        };
        self.between(&self.source, strict)
    }

    fn between(&self, test: &str, first: &str) -> String {
        let harness = json!(self.harness());
        let (before, after) = match self.is_async {
            false => ("", "'done'"),
            true => (
                "let told; const ended = new Promise((resolve) => { told = resolve });\n\
                 globalThis.print = (line) => { told(line) };\n",
                "(await ended).replace('Test262:AsyncTestComplete', 'done')",
            ),
        };
        format!("{first}{before}(0, eval)({harness});\n{test}\n;{after}")
    }

    /// Why it does not pass, if so.
    async fn run(&self, host: &ToolHost, program: &str) -> Result<(), String> {
        let result = in_time(host.call(call("run_script", json!({ "code": program })))).await;
        let said = result.to_text();
        let ended = match (&result.outcome, &self.error) {
            (Ok(output), None) => {
                let structured = output.structured.as_ref().unwrap();
                let answer: Value = serde_json::from_str(structured.get()).unwrap();
                answer["value"] == "done"
            }
            (Err(error), Some(expected)) => {
                let is_failed = error.code() == "failed";
                is_failed && error.to_string().starts_with(&format!("{expected}:"))
            }
            _ => false,
        };
        ended.then_some(()).ok_or(said)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_of_test262_passes() {
    let host = load(manifest([plugin("script")])).await;
    let mut failed = Vec::new();
    let tests = tests();
    for test in &tests {
        let sloppy = (!test.is_strict).then(|| test.as_script(false));
        let strict = (!test.is_sloppy).then(|| test.as_script(true));
        for program in sloppy.into_iter().chain(strict) {
            if let Err(why) = test.run(&host, &program).await {
                failed.push(format!("{}: {why}", test.name));
            }
        }
        if !SCRIPTS.contains(&&*test.name)
            && let Err(why) = test.run(&host, &test.as_program()).await
        {
            failed.push(format!("{} as a program: {why}", test.name));
        }
    }
    assert!((200..=300).contains(&tests.len()), "{}", tests.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
