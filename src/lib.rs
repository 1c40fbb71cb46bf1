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
//! Functions of your own program can be tools too ([`NativeTools`]). They are not sandboxed; everything else is the same:
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
//! [`wire`] takes the calls out of an API's response and puts results into its shape;
//! [`summarize`] compacts them.
//!
//! # What a version promises
//!
//! Types that later versions may extend are `#[non_exhaustive]`: make them with their constructors and `with_*` methods,
//! and match them with a `_` arm. Of other crates these are part of the interface, and a new major version of one is a new
//! major version of this crate: `bytesize`, `futures-core`, `http`, `serde`, `serde_json`, `tokio`, `tokio-util`, `tower`
//! and `url`. wasmtime, whose major version moves every month, is not.

#![warn(unreachable_pub)]

#[cfg(feature = "agent")]
#[doc(inline)]
pub use toolhost_agent as agent;
#[doc(hidden)]
pub use toolhost_core::{bounded_read, printable, private_files, replacement, trust_folder};
#[doc(inline)]
pub use toolhost_core::{
    error, inspect, limits, manifest, permissions, prompt, provider, resource,
};
#[cfg(feature = "mcp")]
#[doc(inline)]
pub use toolhost_mcp::server as mcp;
#[doc(hidden)]
pub use toolhost_wire::json_text;
#[doc(inline)]
pub use toolhost_wire::{input, summarize, tool, typescript, wire};

#[doc(inline)]
pub use toolhost_core::{
    Approval, AskFirst, Batch, BoxFuture, CallError, CallOptions, CancellationToken, CodeCache,
    Decision, Hook, IntoOutput, Json, LoadError, LoadEvent, Loader, Manifest, Mask, NarrowError,
    Narrowed, Narrowing, NativeContext, NativeFunction, NativeTools, NotStarted, OpenBatch, Pin,
    Plan, PluginInfo, Progress, Provider, ProviderNarrowing, Servers, ToolHost, ToolNote, Unpacked,
    Watcher,
};
#[cfg(feature = "mcp")]
#[doc(hidden)]
pub use toolhost_mcp::kill_mcp_servers;
#[doc(inline)]
pub use toolhost_wire::{
    CallKind, CallOrigin, Content, Output, Repair, Responder, Tool, ToolCall, ToolResult, Usage,
    Void,
};
