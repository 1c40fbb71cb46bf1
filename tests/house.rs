//! What must agree in the repository: copies with what they are copies of, documents with the files that they name,
//! imports with the order of the modules.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::common::root;
use imports::{Between, Modules};

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

/// Packages of the SDK and of the core are built alone: each has the interface in it.
#[test]
fn copies_of_the_interface_are_as_it_is() {
    let interface = files(&root().join("wit"));
    assert!(!interface.is_empty());
    let names = |files: &BTreeMap<PathBuf, PathBuf>| files.keys().cloned().collect::<Vec<_>>();
    for folder in ["plugins/sdk/wit", "crates/toolhost-core/wit"] {
        let copy = files(&root().join(folder));
        assert_eq!(names(&copy), names(&interface), "{folder}");
        for (name, file) in &interface {
            let [copied, original] = [&copy[name], file].map(|file| std::fs::read(file).unwrap());
            assert!(
                copied == original,
                "copy wit/{0} to {folder}/{0}",
                name.display()
            );
        }
    }
}

/// The SDKs for other languages have the current version.
#[test]
fn copies_of_the_interface_in_the_sdks_are_as_it_is() {
    let read = |path: &str| std::fs::read(root().join(path)).unwrap();
    let interface = read("wit/0.1.0/plugin.wit");
    for folder in ["c/wit", "javascript/wit", "python/src/toolhost_plugin/wit"] {
        let copied = read(&format!("sdk/{folder}/plugin.wit"));
        assert!(
            copied == interface,
            "copy wit/0.1.0/plugin.wit to sdk/{folder}"
        );
    }
    let calls = read("wit/calls-0.1.0/calls.wit");
    for folder in ["javascript/wit", "python/src/toolhost_plugin/wit"] {
        let copied = read(&format!("sdk/{folder}/calls.wit"));
        assert!(
            copied == calls,
            "copy wit/calls-0.1.0/calls.wit to sdk/{folder}"
        );
    }
}

/// The Python client makes tools of functions as the SDK does, and is a package of its own.
#[test]
fn copies_of_the_signatures_in_the_python_client_are_as_those_of_the_sdk() {
    let copies = files(&root().join("clients/python/src/toolhost/_signatures"));
    let copies = copies
        .iter()
        .filter(|(name, _)| name.extension().is_some_and(|it| it == "py"));
    let mut count = 0;
    for (name, copy) in copies.filter(|(name, _)| name.as_os_str() != "__init__.py") {
        let original = root().join("sdk/python/src/toolhost_plugin").join(name);
        let [copied, original] = [copy, &original].map(|file| std::fs::read(file).unwrap());
        let name = name.display();
        assert!(copied == original, "copy {name} from the SDK to the client");
        count += 1;
    }
    assert!(count > 5, "only {count} modules were found");
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

/// The folders of sources whose modules docs/architecture.md lists in their order.
const LISTED: [&str; 7] = [
    "crates/toolhost-schema/src/",
    "crates/toolhost-wire/src/",
    "crates/toolhost-core/src/",
    "crates/toolhost-agent/src/",
    "crates/toolhost-mcp/src/",
    "crates/toolhost-pipe/src/",
    "src/",
];

/// The crates in a folder of sources, by their roots.
fn crates(folder: &str) -> Vec<PathBuf> {
    let roots = ["lib.rs", "main.rs"].map(|name| root().join(folder).join(name));
    roots.into_iter().filter(|root| root.is_file()).collect()
}

/// The modules of a folder of sources as docs/architecture.md lists them: the files and folders that begin the lines with
/// two spaces before them, after the line that begins with the folder.
fn listed(folder: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let lines = text.lines();
    let lines = lines.skip_while(|line| line.split_whitespace().next() != Some(folder));
    let section = lines.skip(1).take_while(|line| line.starts_with("  "));
    let entries = section.filter_map(|line| line.strip_prefix("  "));
    let entries = entries.filter(|line| !line.starts_with(' '));
    let names = entries.flat_map(|line| {
        let words = line.split_whitespace();
        words.map_while(|word| word.strip_suffix(".rs").or_else(|| word.strip_suffix('/')))
    });
    names.map(str::to_owned).collect()
}

/// Modules of one parent are in no circle, at any depth. One uses another where it, or a module in it, names the other
/// or something in it: see [`imports`]. That a module uses its parent, or what its parent is in, makes no circle, nor
/// that a parent uses its children: they are one unit.
#[test]
fn modules_of_one_parent_use_each_other_in_no_circle() {
    let mut circles = Vec::new();
    for root in [&LISTED[..], &["xtask/src/"]]
        .concat()
        .into_iter()
        .flat_map(crates)
    {
        for circle in imports::circles(&Modules::read(&root).between_siblings()) {
            circles.push(format!("{}: {circle}", root.display()));
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn modules_use_only_those_above_them_in_the_architectures_list() {
    let mut wrong = Vec::new();
    for folder in LISTED {
        let listed = listed(folder);
        let place = |module: &str| listed.iter().position(|name| name == module);
        let mut known = BTreeSet::from(["main".to_owned()]);
        for root in crates(folder) {
            let modules = Modules::read(&root);
            known.extend(modules.top().map(str::to_owned));
            for module in modules.top().filter(|module| place(module).is_none()) {
                wrong.push(format!("{folder}{module} is not listed"));
            }
            let uses = modules.between_siblings();
            for Between {
                user, used, path, ..
            } in uses.iter().filter(|it| it.parent.is_empty())
            {
                if place(used) > place(user) {
                    wrong.push(format!(
                        "{folder}{user} uses what is below it: {used}, by {path}"
                    ));
                }
            }
        }
        let gone = listed.iter().filter(|name| !known.contains(*name));
        wrong.extend(gone.map(|name| format!("{folder}{name} is listed and not there")));
        assert!(listed.len() > 1, "{folder}: {listed:?}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The packages that a crate of ours is built from, by `cargo tree` with these edges.
fn built_from(package: &str, edges: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--package", package, "--edges", edges]);
    tree.args(["--prefix", "none", "--format", "{p}"]);
    tree.args(["--locked", "--offline"]);
    let tree = tree.current_dir(root()).output().unwrap();
    let said = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{said}");
    let packages = String::from_utf8(tree.stdout).unwrap();
    let names = packages.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn crates_are_built_only_from_those_above_them_in_the_architectures_list() {
    let crates = LISTED.iter().filter_map(|it| it.strip_prefix("crates/"));
    let crates: Vec<&str> = crates.filter_map(|it| it.strip_suffix("/src/")).collect();
    for (place, name) in crates.iter().enumerate() {
        let packages = built_from(name, "normal,build");
        assert!(packages.contains(*name), "{packages:?}");
        let mut below = crates[place + 1..].iter().chain(&["toolhost"]);
        let wrong = below.find(|it| packages.contains(**it));
        assert_eq!(wrong, None, "{name} is built from what is below it");
    }
    assert!(!built_from("toolhost-mcp", "normal").contains("toolhost-agent"));
}

/// `heavy` are the beginnings of names.
fn is_built_without(package: &str, edges: &str, heavy: &[&str]) {
    let names = built_from(package, edges);
    assert!(names.contains("serde_json"), "{names:?}");
    for heavy in heavy {
        let mut found = names.iter().filter(|name| name.starts_with(heavy));
        assert_eq!(found.next(), None);
    }
}

#[test]
fn the_formats_are_built_without_an_engine_or_a_runtime() {
    let heavy = [
        "wasmtime",
        "cranelift",
        "tokio",
        "hyper",
        "reqwest",
        "toolhost-schema",
        "toolhost-core",
    ];
    is_built_without("toolhost-wire", "all", &heavy);
}

#[test]
fn the_core_is_built_without_mcp_and_without_what_serves_or_asks_others() {
    let heavy = ["rmcp", "reqwest", "axum", "tower", "jsonwebtoken", "backon"];
    is_built_without("toolhost-core", "normal,build", &heavy);
}

/// Public types that a later version adds nothing to, each with the reason. All others with public fields or variants are
/// `#[non_exhaustive]`, so that it can.
const COMPLETE: [(&str, &str); 6] = [
    ("Access", "a folder can be written or it cannot"),
    ("Ambient", "a clock is the machine's or none"),
    ("Location", "a place in a text is a line and a column"),
    ("McpTransport", "the protocol has two: a program, and HTTP"),
    ("ResourceBody", "what is no text is bytes"),
    ("Role", "a conversation has two sides"),
];

#[test]
fn public_types_can_grow() {
    let folder = root().join("docs/api");
    let mut found = BTreeSet::new();
    for (name, file) in files(&folder) {
        // Authors of plugins write the types of their interface as literals.
        if name == Path::new("toolhost-plugin.txt") {
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap();
        let exhaustive: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| {
                let of = |kind| line.strip_prefix(kind);
                let name = of("pub struct ").or_else(|| of("pub enum "))?;
                name.split(['<', '(']).next()
            })
            .collect();
        for line in text.lines() {
            let item = line.strip_prefix("pub ").unwrap_or_default();
            let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let path = item.split(|c| !is_word(c)).next().unwrap_or_default();
            let path = path.trim_end_matches(':');
            let Some((owner, _)) = path.rsplit_once("::") else {
                continue;
            };
            if exhaustive.contains(owner) {
                found.insert(owner.rsplit("::").next().unwrap().to_owned());
            }
        }
    }
    let complete: BTreeSet<String> = COMPLETE.map(|(name, _)| name.to_owned()).into();
    assert_eq!(found, complete, "see the constant `COMPLETE`");
}
