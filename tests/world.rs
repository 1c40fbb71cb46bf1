//! What servers and models really send, through the binary: see `tests/data/world/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::common::binary::{Folder, listed};

#[derive(Deserialize)]
struct Case {
    file: String,
    status: i32,
    results: Vec<Expected>,
    why: String,
}

#[derive(Deserialize)]
struct Expected {
    id: Option<String>,
    name: Option<String>,
    content: Option<String>,
    contains: Option<String>,
    code: Option<String>,
}

#[test]
fn what_the_world_sends_is_run_as_it_is_meant() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/world");
    let lines = std::fs::read_to_string(data.join("expected.jsonl")).unwrap();
    let mut wrong = BTreeMap::new();
    let mut count = 0;
    for line in lines.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        count += 1;
        if let Err(fault) = run(&case, data.join(&case.file)) {
            wrong.insert(case.file, format!("{fault} ({})", case.why));
        }
    }
    assert_eq!(count, 30);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn run(case: &Case, file: PathBuf) -> Result<(), String> {
    let permissions =
        "permissions.files = [{ host = \"w\", guest = \"/w\", access = \"read-write\" }]\n";
    let plugins = ["time", "calculator", "filesystem"].map(listed);
    let folder = Folder::with(plugins.concat() + permissions);
    folder.write("w/a.md", "first\nbanana x\nlast\n");
    let file = file.to_str().unwrap();
    let mut arguments = vec!["run", "--output-format", "json"];
    if file.ends_with(".sse") {
        arguments.push("--sse");
    }
    arguments.push(file);
    let ended = folder.run(&arguments, "");
    if ended.status != case.status {
        return Err(format!("status {}: {}", ended.status, ended.stderr));
    }
    let results = ended.lines();
    if results.len() != case.results.len() {
        return Err(format!(
            "{} results, not {}",
            results.len(),
            case.results.len()
        ));
    }
    for (at, (result, expected)) in results.iter().zip(&case.results).enumerate() {
        differs(result, expected).map_err(|fault| format!("result {at}: {fault}"))?;
    }
    Ok(())
}

fn differs(result: &Value, expected: &Expected) -> Result<(), String> {
    for (key, expected) in [("id", &expected.id), ("name", &expected.name)] {
        if let Some(expected) = expected
            && result[key] != **expected
        {
            return Err(format!("{key} is {}", result[key]));
        }
    }
    let code = result["error"]["code"].as_str();
    if code != expected.code.as_deref() {
        return Err(format!("code is {code:?}: {}", result["content"]));
    }
    let content = result["content"].as_str().unwrap_or_default();
    match (&expected.content, &expected.contains) {
        (Some(expected), _) if content != expected => Err(format!("content is {content:?}")),
        (_, Some(part)) if !content.contains(part) => Err(format!("content is {content:?}")),
        _ => Ok(()),
    }
}
