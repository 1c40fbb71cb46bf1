//! What `docs/plugins.md` shows works: its blocks are run, section by section.

use std::fs;
use std::time::Instant;

use super::plugin::{Environment, alone, native_rust, programs, rust, shell};
use crate::common::binary::Folder;
use crate::common::{needs, root};

/// A block of code in a document: its language, and its text.
struct Block {
    language: String,
    text: String,
}

/// The blocks of a section of the document.
fn blocks(section: &str) -> Vec<Block> {
    let document = fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let heading = format!("\n## {section}\n");
    let (_, text) = document
        .split_once(&heading)
        .unwrap_or_else(|| panic!("no section {section}"));
    let text = text.split("\n## ").next().unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block {
                language: language.to_owned(),
                text: text.join("\n") + "\n",
            });
        }
    }
    blocks
}

/// The file that a block is: its first line names it, in a comment.
fn file_of(block: &Block) -> Option<&str> {
    let line = block.text.lines().next()?;
    let name = ["# ", "// ", "/* "]
        .iter()
        .find_map(|comment| line.strip_prefix(comment))?;
    Some(name.trim_end_matches(" */"))
}

/// Runs a section: files are written, and commands run, with what they print.
fn works(section: &str, environment: &Environment) {
    let test = format!("the section {section} of docs/plugins.md");
    let found = match environment {
        Ok(_) => Ok(()),
        Err(why) => Err(why.clone()),
    };
    if !needs::is_there(&test, &found) {
        return;
    }
    let environment = environment.as_ref().unwrap();
    let _alone = alone();
    let started = Instant::now();
    let folder = Folder::empty();
    let mut inside = String::from(".");
    let (mut files, mut commands) = (0, 0);
    for block in blocks(section) {
        if block.language != "console" {
            let file = file_of(&block).unwrap_or_else(|| panic!("no file: {}", block.text));
            folder.write(format!("{inside}/{file}"), &block.text);
            files += 1;
            continue;
        }
        let mut lines = block.text.lines().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").expect(line);
            let mut printed = String::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                printed += line;
                printed += "\n";
            }
            commands += 1;
            if let Some(next) = command.strip_prefix("cd ") {
                inside = format!("{inside}/{next}");
                super::plugin::with_lock(&folder, &inside);
                continue;
            }
            let began = Instant::now();
            let native = native_rust();
            let environment = match command.starts_with("cargo ") {
                true => &native,
                false => environment,
            };
            let ended = shell(&folder, environment, &format!("cd {inside}; {command}"));
            assert_eq!(ended.status, 0, "{command}: {ended:#?}");
            assert!(ended.stdout.contains(&printed), "{command}: {ended:#?}");
            say(&format!(
                "  {:>5.1} s  {command}",
                began.elapsed().as_secs_f64()
            ));
        }
    }
    assert!(
        files > 0 && commands > 3,
        "{files} files, {commands} commands"
    );
    say(&format!(
        "{:>7.1} s  {section}",
        started.elapsed().as_secs_f64()
    ));
}

/// Past the harness, which shows nothing of tests that pass.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a language takes is to be seen"
)]
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn python_works() {
    works("Python", &programs(&["python3"]));
}

#[test]
fn javascript_works() {
    works("JavaScript", &programs(&["node", "npm"]));
}

#[test]
fn typescript_works() {
    works("TypeScript", &programs(&["node", "npm"]));
}

#[test]
fn c_works() {
    works("C", &programs(&["make", "cc", "python3"]));
}

#[test]
fn rust_works() {
    works("Rust", rust());
}

/// Its functions become tools with typed components of any kind.
#[test]
fn wit_works() {
    works("WIT", rust());
}

/// Until then: it builds, and the build says why it is no plugin yet.
#[test]
fn a_typed_component_builds() {
    let environment = rust();
    let found = environment.as_ref().map(|_| ()).map_err(Clone::clone);
    if !needs::is_there("a typed component builds", &found) {
        return;
    }
    let _alone = alone();
    let folder = super::plugin::hello("wit");
    let ended = shell(
        &folder,
        environment.as_ref().unwrap(),
        "toolhost build hello",
    );
    assert!(
        folder.path().join("hello/hello.wasm").is_file(),
        "{ended:#?}"
    );
}
