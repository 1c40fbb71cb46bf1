//! The Model Context Protocol for [`toolhost`](https://docs.rs/toolhost): a [server] for a host's
//! tools, and a client that makes providers of the `[mcp.NAME]` sections of a manifest.
//!
//! Use `toolhost`, which re-exports the documented items under its own, stable paths.

#![warn(unreachable_pub)]

mod client;
mod http_front;
mod json_lines;
pub mod server;

pub use client::kill_mcp_servers;
