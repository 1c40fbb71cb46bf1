//! The core of [`toolhost`](https://docs.rs/toolhost): everything but the Model Context Protocol,
//! the agent and the command line.
//!
//! Use `toolhost`, which re-exports the documented items under its own, stable paths. Everything
//! else is for the other crates of `toolhost`, and may change in any version.

#![warn(unreachable_pub)]

// Files, processes and secrets are guarded by what Unix has; on Windows, what cannot be guarded is refused.
#[cfg(not(any(unix, windows)))]
compile_error!(
    "toolhost is for Unix and Windows: no other system has its guards, or refuses what lacks them"
);

pub mod error;
pub mod inspect;
pub mod limits;
pub mod manifest;
pub mod permissions;
#[doc(hidden)]
pub mod printable;
pub mod prompt;
pub mod provider;
#[doc(hidden)]
pub mod replacement;
pub mod resource;
#[doc(hidden)]
pub mod trust_folder;

#[doc(hidden)]
pub mod bounded_read;
#[doc(hidden)]
pub mod builtin;
#[doc(hidden)]
pub mod client_store;
#[doc(hidden)]
pub mod host;
#[cfg(feature = "http-client")]
#[doc(hidden)]
pub mod http_client;
#[doc(hidden)]
pub mod locks;
#[doc(hidden)]
pub mod log_throttle;
#[doc(hidden)]
pub mod mask;
#[doc(hidden)]
pub mod order;
#[doc(hidden)]
pub mod paths;
#[doc(hidden)]
pub mod plugin;
#[doc(hidden)]
pub mod private_files;
#[doc(hidden)]
pub mod result_store;
#[doc(hidden)]
pub mod sandbox;
#[doc(hidden)]
pub mod schema;
#[doc(hidden)]
pub mod server_starter;
#[doc(hidden)]
pub mod tls;
#[doc(hidden)]
pub mod watch;

mod ancestor;
mod approval;
mod audit;
mod bindings;
mod call_clock;
mod engine;
mod hook;
mod name_resolution;
mod narrowing;
mod native;
#[cfg_attr(not(unix), path = "quota/none.rs")]
mod quota;
mod readings;
mod registry;
mod thread_time;
mod tool_caller;

#[doc(hidden)]
pub use toolhost_wire::digest;
#[doc(inline)]
pub use toolhost_wire::{input, summarize, tool, typescript, wire};
#[doc(hidden)]
pub use toolhost_wire::{json_text, setters};

pub use approval::{Approval, AskFirst};
pub use engine::CodeCache;
#[doc(hidden)]
pub use engine::when_idle;
pub use error::{CallError, LoadError};
/// The return type of the methods of [`Hook`], [`Responder`] and [`provider::ToolProvider`].
pub use futures_util::future::BoxFuture;
pub use hook::{Decision, Hook};
pub use host::{
    Batch, CallOptions, LoadEvent, Loader, Narrowed, OpenBatch, Plan, PluginInfo, Servers,
    ToolHost, Unpacked,
};
pub use manifest::Manifest;
pub use mask::Mask;
pub use narrowing::{NarrowError, Narrowing, ProviderNarrowing};
pub use native::{IntoOutput, Json, NativeContext, NativeFunction, NativeTools};
pub use provider::{NotStarted, Pin, Provider, ToolNote};
/// Tokio's cancellation token: cancels calls from anywhere.
pub use tokio_util::sync::CancellationToken;
pub use tool::{
    CallKind, CallOrigin, Content, Output, Repair, Tool, ToolCall, ToolResult, Usage, Void,
};
#[doc(inline)]
pub use toolhost_wire::Responder;
pub use watch::{Progress, Watcher};
