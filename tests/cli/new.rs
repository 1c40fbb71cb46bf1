//! `toolhost new`: what it writes, and what it refuses. That the plugins build and answer: `tests/sdks`.

use std::fs;

use toml_edit::DocumentMut;

use crate::common::binary::{Folder, run};

const LANGUAGES: [&str; 6] = ["rust", "js", "ts", "python", "c", "wit"];

#[test]
fn each_language_has_a_plugin_with_a_test_and_an_entry_in_the_manifest() {
    let folder = Folder::empty();
    for (number, language) in LANGUAGES.iter().enumerate() {
        let name = format!("plugin-{number}");
        let ended = run(
            folder.command_that_finds(&["new", &name, "--lang", language]),
            "",
        )
        .answered();
        for words in [
            format!("wrote {name}"),
            format!("toolhost build {name}"),
            "run its tests".to_owned(),
        ] {
            assert!(ended.stdout.contains(&words), "{language}: {ended:?}");
        }
        let mut files = Vec::new();
        let mut folders = vec![folder.path().join(&name)];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push(path),
                }
            }
        }
        for file in &files {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(!name.ends_with(".in"), "{}", file.display());
            let text = fs::read_to_string(file).unwrap();
            assert!(!text.contains("{{name}}"), "{}", file.display());
        }
        assert!(folder.path().join(&name).join(".gitignore").is_file());
        let has_test = files.iter().any(|file| {
            let text = fs::read_to_string(file).unwrap();
            text.contains("Hello, Ada!")
        });
        assert!(has_test, "{language}");
    }
    let manifest = fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let document: DocumentMut = manifest.parse().unwrap();
    for (number, _) in LANGUAGES.iter().enumerate() {
        let name = format!("plugin-{number}");
        let path = document["plugin"][&name]["path"].as_str();
        assert_eq!(path, Some(&*format!("{name}/{name}.wasm")), "{manifest}");
    }
}

#[test]
fn tools_of_two_new_plugins_have_two_names() {
    let folder = Folder::with("[plugin.other]\npath = 'other.wasm'\n");
    let new = |name: &str| folder.run(&["new", name, "--lang", "c"], "").answered();
    assert!(new("first").stdout.contains("toolhost call greet "));
    assert!(new("second").stdout.contains("toolhost call second_greet "));
    let manifest = fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let document: DocumentMut = manifest.parse().unwrap();
    assert!(
        document["plugin"]["first"].get("prefix").is_none(),
        "{manifest}"
    );
    let prefix = document["plugin"]["second"]["prefix"].as_str();
    assert_eq!(prefix, Some("second_"), "{manifest}");
}

#[test]
fn it_is_listed_in_the_manifest_above_which_is_otherwise_left_as_it_is() {
    let folder = Folder::empty();
    let before = "# mine\n[host] # the host\nmax-concurrency = 3\n";
    folder.write("toolhost.toml", before);
    fs::create_dir_all(folder.path().join("a b/below")).unwrap();
    let mut command = folder.command_that_finds(&["new", "hello", "--lang", "c"]);
    command.current_dir(folder.path().join("a b/below"));
    run(command, "").answered();
    let after = fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let entry = "\n[plugin.hello]\npath = \"a b/below/hello/hello.wasm\"\n";
    assert_eq!(after, format!("{before}{entry}"));
    // Or in the manifest that is named.
    let new = ["-m", "other.toml", "new", "second", "--lang", "python"];
    run(folder.command_that_finds(&new), "").answered();
    let other = fs::read_to_string(folder.path().join("other.toml")).unwrap();
    assert!(other.contains("path = \"second/second.wasm\""), "{other}");
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_of_what_is_refused() {
    let folder = Folder::with("[plugin.known]\npath = 'x.wasm'\n");
    folder.write("there/mine.txt", "mine");
    let names = || {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = (
        names(),
        fs::read(folder.path().join("toolhost.toml")).unwrap(),
    );
    for (name, why) in [
        ("there", "there already exists; it is not overwritten"),
        ("known", "already has a plugin `known`"),
        ("match", "`match` is a keyword of Rust"),
    ] {
        folder.run(&["new", name, "--lang", "rust"], "").failed(why);
    }
    for name in [
        "",
        "Upper",
        "1st",
        "a.b",
        "a/b",
        "../a",
        "a b",
        "-x",
        "ü",
        "test",
        "toolhost-plugin",
        &"x".repeat(65),
    ] {
        let ended = folder.run(&["new", "--lang", "c", "--", name], "");
        assert_eq!((ended.status, &*ended.stdout), (2, ""), "{name}: {ended:?}");
    }
    let ended = folder.run(&["new", "hello", "--lang", "cobol"], "");
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("python"), "{ended:?}");
    let after = (
        names(),
        fs::read(folder.path().join("toolhost.toml")).unwrap(),
    );
    assert_eq!(after, before);
    // A manifest that is wrong is not added to.
    folder.write("toolhost.toml", "plugin = 3\n");
    folder
        .run(&["new", "hello", "--lang", "c"], "")
        .failed("toolhost.toml");
    assert_eq!(names(), before.0);
}
