//! A folder in which plugins are written and built, with the compilers of this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::common::binary::{Ended, Folder, run};
use crate::common::root;

/// What compilers need, or why a language cannot be built here.
pub type Environment = Result<BTreeMap<String, String>, String>;

/// Where builds keep their tools, between runs of the tests as well.
pub fn tools() -> PathBuf {
    root().join("target/sdk-tools")
}

/// One build at a time: compilers use all cores, and those of two tests may share a folder.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rust for WebAssembly: rustup's target, or what `cargo xtask sdks` has found instead.
pub fn rust() -> &'static Environment {
    static FOUND: OnceLock<Environment> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut environment = BTreeMap::from([
            // With the versions of `plugins/Cargo.lock`, which are here.
            ("CARGO_NET_OFFLINE".to_owned(), "true".to_owned()),
            (
                "CARGO_TARGET_DIR".to_owned(),
                root()
                    .join("target/guests-build/wasip2")
                    .display()
                    .to_string(),
            ),
        ]);
        if let Ok(found) = std::env::var("TOOLHOST_TEST_RUST") {
            let found = found.lines().filter_map(|line| line.split_once('='));
            environment.extend(found.map(|(key, value)| (key.to_owned(), value.to_owned())));
            return Ok(environment);
        }
        let mut rustc = Command::new("rustc");
        rustc.args(["--print", "target-libdir", "--target", "wasm32-wasip2"]);
        let folder = rustc
            .output()
            .map_err(|error| format!("`rustc`: {error}"))?;
        let folder = String::from_utf8_lossy(&folder.stdout).trim().to_owned();
        match std::fs::read_dir(folder) {
            Ok(_) => Ok(environment),
            Err(_) => Err("no target wasm32-wasip2: run `cargo xtask sdks`".to_owned()),
        }
    })
}

/// Rust for this machine, where the tests of the plugins that ship are built too.
pub fn native_rust() -> BTreeMap<String, String> {
    let folder = root().join("target/guests-build/native");
    BTreeMap::from([
        ("CARGO_NET_OFFLINE".to_owned(), "true".to_owned()),
        ("CARGO_TARGET_DIR".to_owned(), folder.display().to_string()),
    ])
}

/// A language whose compilers are installed by the build itself, once these programs are there.
pub fn programs(names: &[&str]) -> Environment {
    for name in names {
        let found = Command::new(name).arg("--version").output();
        found.map_err(|error| format!("`{name}`: {error}"))?;
    }
    Ok(BTreeMap::new())
}

/// Runs the command line in a folder, as a user would: with `toolhost` in PATH.
pub fn shell(folder: &Folder, environment: &BTreeMap<String, String>, line: &str) -> Ended {
    let toolhost = folder.command_that_finds::<&str>(&[]);
    let binary = PathBuf::from(toolhost.get_program());
    let mut path = vec![binary.parent().unwrap().to_owned()];
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let usual = match environment.get("PATH") {
        Some(path) => path.into(),
        None => usual,
    };
    path.extend(std::env::split_paths(&usual));
    let mut bash = Command::new("bash");
    bash.args(["-e", "-u", "-o", "pipefail", "-c", line]);
    bash.current_dir(folder.path());
    for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        // What cargo tells this test is not for another cargo.
        let is_own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if is_own.iter().any(|own| name.starts_with(own)) {
            bash.env_remove(name);
        }
    }
    for name in [
        "CARGO",
        "LD_LIBRARY_PATH",
        "RUSTC",
        "RUSTDOC",
        "RUSTUP_TOOLCHAIN",
    ] {
        bash.env_remove(name);
    }
    for (name, value) in toolhost.get_envs() {
        match value {
            Some(value) => bash.env(name, value),
            None => bash.env_remove(name),
        };
    }
    bash.env("TOOLHOST_TOOLS", tools())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(environment)
        .env("PATH", std::env::join_paths(path).unwrap());
    run(bash, "")
}

/// A plugin `hello` that was just written.
pub fn hello(language: &str) -> Folder {
    let folder = Folder::empty();
    let new = ["new", "hello", "--lang", language];
    run(folder.command_that_finds(&new), "").answered();
    with_lock(&folder, "hello");
    folder
}

/// The versions that are on this machine, for a plugin in Rust.
pub fn with_lock(folder: &Folder, name: &str) {
    if folder.path().join(name).join("Cargo.toml").is_file() {
        let lock = std::fs::read(root().join("plugins/Cargo.lock")).unwrap();
        folder.write(format!("{name}/Cargo.lock"), lock);
    }
}
