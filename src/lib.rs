//! Runs the tool calls of a language model in parallel, each in a fresh WebAssembly sandbox.
//!
//! A [`Manifest`] names the plugins, compiled WebAssembly components, and what each is granted. A
//! [`ToolHost`] loaded from it takes a batch of [`ToolCall`]s and returns one [`ToolResult`] for
//! each, whatever happens to its siblings: a call that spins, crashes or uses something it was not
//! granted ends as a [`CallError`] of its own.
//!
//! ```no_run
//! use toolhost::{Manifest, ToolCall, ToolHost};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), toolhost::LoadError> {
//! let host = ToolHost::load(Manifest::read("toolhost.toml")?).await?;
//! let calls = [
//!     ToolCall::new("call_1", "calculate", r#"{"expression": "0.1 + 0.2"}"#),
//!     ToolCall::new("call_2", "time_now", r#"{"zone": "Asia/Tokyo"}"#),
//! ];
//! for result in host.run_all(calls).await {
//!     println!("{}: {}", result.name, result.to_text());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Functions of your own program can be tools as well ([`NativeTools`]); they are not sandboxed,
//! everything else is the same:
//!
//! ```
//! use std::future::pending;
//! use std::time::Duration;
//!
//! use serde_json::{Value, json};
//! use toolhost::limits::Limits;
//! use toolhost::{Loader, Manifest, NativeTools, Tool, ToolCall};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), toolhost::LoadError> {
//! let name = json!({
//!     "type": "object",
//!     "properties": { "name": { "type": "string" } },
//!     "required": ["name"],
//! });
//! let tools = NativeTools::new("demo")
//!     .tool_with_schema(Tool::new("greet", "Greets"), name, async |args: Value| {
//!         format!("Hello, {}!", args["name"].as_str().unwrap_or_default())
//!     })
//!     .tool_with_schema(
//!         Tool::new("sleep", "Sleeps").read_only(),
//!         json!({ "type": "object" }),
//!         async |_: Value| pending::<()>().await,
//!     )
//!     .limits(Limits::default().with_timeout(Duration::from_millis(100)));
//! let host = Loader::new(Manifest::default()).provider(tools).load().await?;
//!
//! let calls = [
//!     ToolCall::new("call_1", "greet", r#"{"name": "Ada"}"#),
//!     ToolCall::new("call_2", "sleep", "{}"),
//!     ToolCall::new("call_3", "great", "{}"),
//! ];
//! let results = host.run_all(calls).await;
//! assert_eq!(results[0].to_text(), "Hello, Ada!");
//! assert_eq!(results[1].to_text(), "Error: sleep timed out after 100 ms");
//! assert_eq!(results[2].to_text(), "Error: Unknown tool great. Similar tools: greet");
//! # Ok(())
//! # }
//! ```
//!
//! [`wire`] decodes the calls in an API's response and encodes results in its format; [`summarize`]
//! compacts them. No wasmtime type is part of this interface.

#![warn(unreachable_pub)]

#[cfg(feature = "agent")]
pub mod agent;
pub mod error;
pub mod inspect;
pub mod limits;
pub mod manifest;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod permissions;
pub mod printable;
pub mod prompt;
pub mod resource;

mod audit;
mod bindings;
mod bounded;
mod engine;
mod hook;
mod host;
#[cfg(any(feature = "agent", feature = "mcp"))]
mod http_client;
#[cfg(any(feature = "agent", feature = "mcp"))]
mod kept;
#[cfg(feature = "mcp")]
mod lines;
mod lookup;
mod mask;
mod narrowing;
mod native;
mod order;
mod paths;
mod plugin;
mod private;
pub mod provider;
#[cfg_attr(not(unix), path = "quota/none.rs")]
mod quota;
mod registry;
#[cfg(feature = "mcp")]
mod remote;
pub mod replacement;
#[cfg(any(feature = "agent", feature = "mcp"))]
mod results;
mod sandbox;
mod schema;
#[cfg(feature = "mcp")]
mod serve;
mod setters;
mod thread_time;
mod tls;
pub mod trust_folder;
mod watch;

use toolhost_wire::digest;
#[doc(inline)]
pub use toolhost_wire::{input, json_text, summarize, tool, wire};

pub use engine::CodeCache;
pub use error::{CallError, LoadError};
/// The return type of the methods of [`Hook`], [`Responder`] and [`provider::ToolProvider`].
pub use futures_util::future::BoxFuture;
pub use hook::{Decision, Hook};
pub use host::{
    Batch, CallOptions, LoadEvent, Loader, Narrowed, OpenBatch, Plan, Servers, ToolHost, Unpacked,
};
pub use input::Responder;
pub use manifest::Manifest;
pub use mask::Mask;
pub use narrowing::{NarrowError, Narrowing, ProviderNarrowing};
pub use native::{IntoOutput, Json, NativeContext, NativeFunction, NativeTools};
pub use provider::{NotStarted, Pin, Provider, ToolNote};
#[cfg(feature = "mcp")]
pub use remote::kill_mcp_servers;
/// Tokio's cancellation token: cancels calls from anywhere.
pub use tokio_util::sync::CancellationToken;
pub use tool::{
    CallKind, CallOrigin, Content, Output, Repair, Tool, ToolCall, ToolResult, Usage, Void,
};
pub use watch::{Progress, Watcher};
