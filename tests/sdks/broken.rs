//! Sources that are wrong, in each language: the error has the file and the line, and the component stays as it was.

use std::fs;

use super::plugin::{Environment, alone, hello, programs, rust, shell};
use crate::common::needs;

/// Breaks the plugin of a language, and builds it.
#[track_caller]
fn shows(language: &str, environment: &Environment, file: &str, source: &str, words: &[&str]) {
    let found = environment.as_ref().map(|_| ()).map_err(Clone::clone);
    if !needs::is_there(&format!("a broken plugin in {language}"), &found) {
        return;
    }
    let environment = environment.as_ref().unwrap();
    let _alone = alone();
    let folder = hello(language);
    folder.write(format!("hello/{file}"), source);
    folder.write("hello/hello.wasm", "the component before");
    let ended = shell(&folder, environment, "toolhost build hello");
    assert_eq!((ended.status, &*ended.stdout), (1, ""), "{ended:#?}");
    for words in words.iter().chain(&["error: cannot build hello: "]) {
        assert!(ended.stderr.contains(words), "no {words}: {ended:#?}");
    }
    let kept = fs::read_to_string(folder.path().join("hello/hello.wasm")).unwrap();
    assert_eq!(kept, "the component before");
}

#[test]
fn errors_in_python_have_a_place() {
    let python = programs(&["python3"]);
    let syntax = "from toolhost_plugin import tool\n\ndef f(:\n";
    shows(
        "python",
        &python,
        "app.py",
        syntax,
        &["app.py", "line 3", "SyntaxError"],
    );
    let name = "from toolhost_plugin import tool\n\n\nx = y\n";
    shows(
        "python",
        &python,
        "app.py",
        name,
        &["app.py", "line 4", "NameError"],
    );
    shows("python", &python, "app.py", "x = 1\n", &["tool"]);
}

#[test]
fn errors_in_javascript_and_typescript_have_a_place() {
    let node = programs(&["node", "npm"]);
    for (language, file) in [("js", "index.js"), ("ts", "index.ts")] {
        let syntax = "import { tool } from \"toolhost-plugin\";\n\ntool({ name: );\n";
        shows(language, &node, file, syntax, &[&format!("{file}:3:")]);
        let throws = "import { tool } from \"toolhost-plugin\";\n\n\nnothing.there();\n";
        shows(
            language,
            &node,
            file,
            throws,
            &[&format!("{file}:4"), "ReferenceError"],
        );
        shows(language, &node, file, "export {};\n", &["defines no tools"]);
    }
}

#[test]
fn errors_in_c_have_a_place() {
    let c = programs(&["make", "cc", "python3"]);
    let syntax = "#include <toolhost_plugin.h>\n\nstatic int x = ;\n";
    shows("c", &c, "plugin.c", syntax, &["plugin.c:3:"]);
}

#[test]
fn errors_in_rust_have_a_place() {
    let syntax = "use toolhost_plugin::tool;\n\nfn f( {}\n";
    shows("rust", rust(), "src/lib.rs", syntax, &["src/lib.rs:3:"]);
}

/// The top of a module runs when it is built.
#[test]
fn a_module_that_never_ends_is_ended() {
    let python = "while True:\n    pass\n";
    let javascript = "for (;;) {}\n";
    for (language, programs_of, file, source) in [
        ("python", programs(&["python3"]), "app.py", python),
        ("js", programs(&["node", "npm"]), "index.js", javascript),
    ] {
        let found = programs_of.as_ref().map(|_| ()).map_err(Clone::clone);
        if !needs::is_there("a module that never ends", &found) {
            return;
        }
        let _alone = alone();
        let folder = hello(language);
        let environment = programs_of.unwrap();
        // What builds is installed first.
        if language == "js" {
            let ended = shell(&folder, &environment, "toolhost build hello");
            assert_eq!(ended.status, 0, "{ended:#?}");
        }
        folder.write(format!("hello/{file}"), source);
        let ended = shell(&folder, &environment, "toolhost build hello --timeout 5s");
        assert_eq!((ended.status, &*ended.stdout), (1, ""), "{ended:#?}");
        assert!(ended.stderr.contains("timed out after "), "{ended:#?}");
    }
}
