//! The inside of [`toolhost`](https://docs.rs/toolhost): everything that is neither the Model Context Protocol nor a
//! loop with a model nor the command line.
//!
//! Use `toolhost`, which has what is shown here under its own paths: those are the promised ones. What is not shown is
//! for the other crates of `toolhost`, and may change with any version.

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
pub mod bounded;
#[doc(hidden)]
pub mod host;
#[cfg(feature = "http-client")]
#[doc(hidden)]
pub mod http_client;
#[doc(hidden)]
pub mod kept;
#[doc(hidden)]
pub mod mask;
#[doc(hidden)]
pub mod order;
#[doc(hidden)]
pub mod paths;
#[doc(hidden)]
pub mod plugin;
#[doc(hidden)]
pub mod private;
#[doc(hidden)]
pub mod results;
#[doc(hidden)]
pub mod sandbox;
#[doc(hidden)]
pub mod schema;
#[doc(hidden)]
pub mod seldom;
#[doc(hidden)]
pub mod servers;
#[doc(hidden)]
pub mod tls;
#[doc(hidden)]
pub mod watch;

mod approval;
mod audit;
mod bindings;
mod engine;
mod hook;
mod lookup;
mod narrowing;
mod native;
#[cfg_attr(not(unix), path = "quota/none.rs")]
mod quota;
mod registry;
mod thread_time;

#[doc(hidden)]
pub use toolhost_wire::digest;
#[doc(inline)]
pub use toolhost_wire::{input, summarize, tool, wire};
#[doc(hidden)]
pub use toolhost_wire::{json_text, setters};

pub use approval::{Approval, AskFirst};
pub use engine::CodeCache;
pub use error::{CallError, LoadError};
/// As the methods of [`Hook`], [`Responder`] and [`provider::ToolProvider`] return it.
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
/// Tokio's: what ends calls, from wherever it is cancelled.
pub use tokio_util::sync::CancellationToken;
pub use tool::{
    CallKind, CallOrigin, Content, Output, Repair, Tool, ToolCall, ToolResult, Usage, Void,
};
#[doc(inline)]
pub use toolhost_wire::Responder;
pub use watch::{Progress, Watcher};
