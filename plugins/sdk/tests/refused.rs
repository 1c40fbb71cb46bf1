//! Mistakes in plugins, and what the compiler says to them: each file of `refused/` is a plugin with one, and its
//! comments `//~ TEXT` are in the errors. Not held against whole messages, as those are different with each compiler.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn mistakes_are_refused_with_what_to_write() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refused");
    fs::create_dir_all(&folder).unwrap();
    let mut cases = BTreeMap::new();
    let mut manifest = format!(
        "[package]\nname = \"refused\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         toolhost-plugin = {{ path = {sdk:?} }}\n"
    );
    for case in fs::read_dir(sdk.join("tests/refused")).unwrap() {
        let path = case.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        manifest += &format!("[[bin]]\nname = {name:?}\npath = {path:?}\n");
        cases.insert(name, fs::read_to_string(path).unwrap());
    }
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The same versions, so that none has to be fetched.
    fs::copy(sdk.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        // What cargo tells this package of itself has build scripts run again.
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_")) && name != "CARGO_HOME" {
            cargo.env_remove(name);
        }
    }
    let checked = cargo
        .args(["check", "--bins", "--keep-going", "--offline", "--quiet"])
        .args(["--message-format", "json"])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .current_dir(&folder)
        .output()
        .unwrap();
    let stdout = String::from_utf8(checked.stdout).unwrap();
    let mut errors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for message in stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
    {
        if message["reason"] == "compiler-message" && message["message"]["level"] == "error" {
            let name = message["target"]["name"].as_str().unwrap().to_owned();
            let shown = message["message"]["rendered"].as_str().unwrap();
            if !shown.starts_with("error: aborting") {
                errors.entry(name).or_default().insert(shown.to_owned());
            }
        }
    }
    let stderr = String::from_utf8_lossy(&checked.stderr);
    assert!(cases.len() > 1, "{stderr}");
    for (name, case) in cases {
        let shown = errors.remove(&name).unwrap_or_default();
        let expected = case.lines().filter_map(|line| line.strip_prefix("//~ "));
        let expected: Vec<&str> = expected.collect();
        // One mistake, one error, however often the compiler comes across it.
        let count = usize::from(!expected.is_empty());
        let all = Vec::from_iter(shown.iter().map(String::as_str)).concat();
        assert_eq!(shown.len(), count, "errors of `{name}`:\n{all}\n{stderr}");
        for text in expected {
            assert!(all.contains(text), "`{name}`: no {text:?} in\n{all}");
        }
    }
    assert!(errors.is_empty(), "{errors:?}");
}
