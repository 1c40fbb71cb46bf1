//! What must agree in the repository: copies with what they are copies of, documents with the files that they name.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::common::root;

/// All files below a folder of the repository, by their paths in it; not what is built or installed.
fn files(folder: &Path) -> BTreeMap<PathBuf, PathBuf> {
    fn add(folder: &Path, top: &Path, files: &mut BTreeMap<PathBuf, PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if ["target", "node_modules", ".git"].contains(&name) {
                continue;
            }
            if path.is_dir() {
                add(&path, top, files);
            } else {
                files.insert(path.strip_prefix(top).unwrap().to_owned(), path);
            }
        }
    }
    let mut all = BTreeMap::new();
    add(folder, folder, &mut all);
    all
}

#[test]
fn the_sdk_carries_the_interface_as_it_is() {
    let interface = files(&root().join("wit"));
    let copy = files(&root().join("plugins/sdk/wit"));
    assert!(!interface.is_empty());
    let names = |files: &BTreeMap<PathBuf, PathBuf>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&copy), names(&interface));
    for (name, file) in interface {
        let [copied, original] = [&copy[&name], &file].map(|file| std::fs::read(file).unwrap());
        assert!(
            copied == original,
            "copy wit/{0} to plugins/sdk/wit/{0}",
            name.display()
        );
    }
}

/// The documents that people read, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let all = files(root()).into_iter();
    let documents = all.filter(|(name, _)| {
        name.extension().is_some_and(|it| it == "md") && !name.starts_with("tests")
    });
    documents
        .map(|(name, file)| (name, std::fs::read_to_string(file).unwrap()))
        .collect()
}

/// The lines of a document that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// What a link to a heading is called, as GitHub does.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter_map(|char| match char {
        ' ' => Some('-'),
        '-' | '_' => Some(char),
        _ => Some(char).filter(|char| char.is_alphanumeric()),
    });
    kept.collect()
}

/// The targets of links in a line: `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, _)| {
        let target = &line[at + 2..];
        target.split_once(')').map(|(target, _)| target)
    })
}

/// A path without its `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn links_in_documents_lead_somewhere() {
    let documents = documents();
    let anchors: BTreeMap<&Path, Vec<String>> = documents
        .iter()
        .map(|(name, text)| {
            let headings = prose(text).filter(|line| line.starts_with('#'));
            let anchors = headings.map(|line| anchor(line.trim_start_matches('#')));
            (&**name, anchors.collect())
        })
        .collect();
    let mut dead = Vec::new();
    let mut count = 0;
    for (name, text) in &documents {
        for target in prose(text).flat_map(links) {
            if target.contains("://") {
                continue;
            }
            count += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => name.clone(),
                file => plain(&name.with_file_name("").join(file)),
            };
            let is_there = match anchors.get(&*file) {
                Some(anchors) => heading.is_empty() || anchors.iter().any(|it| it == heading),
                None => heading.is_empty() && root().join(&file).exists(),
            };
            if !is_there {
                dead.push(format!("{}: {target}", name.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(count > 50, "only {count} links were found");
}

#[test]
fn files_that_contributing_names_are_there() {
    let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let mut missing = Vec::new();
    let mut count = 0;
    for name in prose(&text).flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let is_path = name.contains('/') && !name.contains([' ', '*']) && !name.contains("NAME");
        // What is built is not always there.
        if !is_path || name.starts_with("target/") {
            continue;
        }
        count += 1;
        if !root().join(name).exists() {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
    assert!(count > 30, "only {count} paths were found");
}
