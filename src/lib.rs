//! Runs the tool calls of a language model in parallel, each in a fresh WebAssembly sandbox.

#![warn(unreachable_pub)]

pub mod error;
pub mod inspect;
pub mod limits;
pub mod manifest;
pub mod permissions;
pub mod summarize;
pub mod tool;
pub mod wire;

mod bindings;
mod engine;
mod host;
mod plugin;
mod registry;
mod sandbox;
mod schema;

pub use engine::CodeCache;
pub use error::{CallError, LoadError};
pub use host::{Batch, LoadEvent, Loader, ToolHost};
pub use manifest::Manifest;
pub use tool::{Content, Output, Tool, ToolCall, ToolResult, Usage};
