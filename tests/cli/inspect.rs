//! `toolhost inspect`.

use std::path::Path;

use crate::common::binary::Folder;
use crate::common::{guest, sha256};

#[test]
fn inspect_shows_what_a_plugin_is_without_a_manifest() {
    let folder = Folder::empty();
    let path = guest("misbehave");
    let ended = folder.run(&[Path::new("inspect"), &path], "").answered();
    let shown = Shown::parse(&ended.stdout);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(shown.value("sha256"), sha256(&bytes));
    assert_eq!(shown.value("size"), format!("{} bytes", bytes.len()));
    assert_eq!(shown.list("exports"), ["toolhost:plugin/tools@0.1.0"]);
    let imports = shown.list("imports");
    for interface in ["toolhost:plugin/host@", "wasi:http/outgoing-handler@"] {
        assert!(
            imports.iter().any(|import| import.starts_with(interface)),
            "{imports:?}"
        );
    }
    assert!(shown.list("tools").contains(&"spin: Loops forever."));
}

#[test]
fn inspect_names_the_permissions_that_a_plugin_can_use() {
    let folder = Folder::empty();
    let permissions = |name: &str| -> Vec<String> {
        let ended = folder
            .run(&[Path::new("inspect"), &guest(name)], "")
            .answered();
        let shown = Shown::parse(&ended.stdout);
        let line = shown.value("permissions it can use").to_owned();
        line.split(", ").map(str::to_owned).collect()
    };
    assert_eq!(permissions("echo"), ["none"]);
    // It imports the plugin interface's own `host`, through which secrets are had.
    assert_eq!(
        permissions("misbehave"),
        [
            "files", "http", "sockets", "env", "clock", "random", "secrets"
        ]
    );
}

#[test]
fn inspect_explains_a_component_that_is_no_plugin() {
    let folder = Folder::empty();
    for (name, why) in [
        ("other-version", "toolhost:plugin@0.9.0"),
        ("strange-import", "acme:cloud/storage@1.2.3"),
        ("listing-traps", "list-tools"),
    ] {
        let ended = folder.run(&[Path::new("inspect"), &guest(name)], "");
        assert_eq!(ended.status, 1, "{name}: {ended:?}");
        assert!(
            ended.stderr.starts_with("error: ") && ended.stderr.contains(why),
            "{ended:?}"
        );
        let shown = Shown::parse(&ended.stdout);
        assert!(!shown.list("exports").is_empty());
        assert!(!ended.stdout.contains("tools:\n"), "{}", ended.stdout);
    }
}

#[test]
fn inspect_fails_on_what_is_no_component() {
    let folder = Folder::empty();
    folder.write("text.wasm", "just text");
    folder
        .run(&["inspect", "text.wasm"], "")
        .failed("not a component");
    folder
        .run(&["inspect", "none.wasm"], "")
        .failed("none.wasm");
    folder.run(&["inspect", "."], "").failed("not a file");
}

/// The output of `inspect`: `name: value` lines, and `name:` lines with indented ones below.
struct Shown<'a>(&'a str);

impl<'a> Shown<'a> {
    fn parse(text: &'a str) -> Self {
        Shown(text)
    }

    #[track_caller]
    fn value(&self, name: &str) -> &'a str {
        let found = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    #[track_caller]
    fn list(&self, name: &str) -> Vec<&'a str> {
        let title = format!("{name}:");
        let mut lines = self.0.lines().skip_while(|line| **line != title);
        assert!(lines.next().is_some(), "no {name} in {}", self.0);
        lines.map_while(|line| line.strip_prefix("  ")).collect()
    }
}
