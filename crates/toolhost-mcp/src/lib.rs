//! The Model Context Protocol for [`toolhost`](https://docs.rs/toolhost): a [server] of what a host has, and a client
//! of other servers, which makes providers of the `[mcp.NAME]` sections of a manifest.
//!
//! Use `toolhost`, which has what is shown here under its own paths: those are the promised ones.

#![warn(unreachable_pub)]

mod client;
mod http_front;
mod lines;
pub mod server;

pub use client::kill_mcp_servers;

// What is used of the core.
use toolhost_core::{
    bounded, digest, error, host, http_client, input, kept, limits, manifest, mask, order, paths,
    permissions, plugin, prompt, provider, replacement, resource, results, sandbox, schema, seldom,
    servers, tool, watch, wire,
};
