//! Embeds the SDKs and the templates of `toolhost new`, as lists of files for `src/cli/sources.rs`, and the plugins that
//! ship, for `src/cli/builtin.rs`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The lists: name, folder, and what of it is embedded. The folder of the Rust SDK is missing in a package of crates.io,
/// as it is a package of its own.
const LISTS: [(&str, &str, &[&str]); 5] = [
    (
        "RUST",
        "plugins/sdk",
        &[
            "Cargo.toml",
            "README.md",
            "src",
            "wit",
            "macros/Cargo.toml",
            "macros/src",
        ],
    ),
    ("PYTHON", "sdk/python/src", &["toolhost_plugin"]),
    (
        "JAVASCRIPT",
        "sdk/javascript",
        &["README.md", "bin", "package.json", "src", "wit"],
    ),
    (
        "C",
        "sdk/c",
        &[
            "README.md",
            "bindings",
            "include",
            "src",
            "toolhost.mk",
            "wit",
        ],
    ),
    ("TEMPLATES", "src/cli/new/templates", &["."]),
];

fn main() {
    if env::var_os("CARGO_FEATURE_CLI").is_none() {
        return;
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut code = String::new();
    for (name, folder, parts) in LISTS {
        let top = root.join(folder);
        let mut files = Vec::new();
        for part in parts {
            let part = top.join(part);
            if part.exists() {
                println!("cargo::rerun-if-changed={}", part.display());
                add(&part, &mut files);
            }
        }
        files.sort();
        writeln!(code, "pub(super) static {name}: Files = Files(&[").expect("a string");
        for file in files {
            let inside = file.strip_prefix(&top).expect("it is in the folder");
            let inside: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
            let inside = inside.join("/");
            writeln!(code, "    ({inside:?}, include_bytes!({file:?})),").expect("a string");
        }
        code.push_str("]);\n");
    }
    fs::write(out.join("sources.rs"), code).expect("the target folder can be written");
    let builtin = builtin(&root);
    fs::write(out.join("builtin.rs"), builtin).expect("the target folder can be written");
}

/// The plugins that `cargo xtask plugins` has built. In a package of crates.io there are none.
fn builtin(root: &Path) -> String {
    let mut code = "static PLUGINS: &[BuiltinPlugin] = &[\n".to_owned();
    let sources = root.join("plugins");
    if sources.join("Cargo.toml").is_file() {
        let built = root.join("target/plugins");
        println!("cargo::rerun-if-changed={}", built.display());
        let entries = fs::read_dir(&built).into_iter().flatten();
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort();
        for file in files {
            let Some(name) = file.file_stem().and_then(|name| name.to_str()) else {
                continue;
            };
            // One that is no more may have been left there.
            let ships =
                file.extension().is_some_and(|it| it == "wasm") && sources.join(name).is_dir();
            if ships {
                println!("cargo::rerun-if-changed={}", file.display());
                writeln!(
                    code,
                    "    BuiltinPlugin {{ name: {name:?}, component: include_bytes!({file:?}) }},"
                )
                .expect("a string");
            }
        }
    }
    code.push_str("];\n");
    code
}

/// Adds the file, or all files in the folder but what tools leave in it.
fn add(path: &Path, files: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        files.push(path.components().collect());
        return;
    }
    for entry in fs::read_dir(path).expect("the folder can be listed") {
        let entry = entry.expect("the folder can be listed");
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_left = ["__pycache__", "node_modules", "target"].contains(&&*name);
        if !is_left && !name.starts_with('.') {
            add(&entry.path(), files);
        }
    }
}
