//! What a language model and its tools exchange: [tools](Tool), [calls](ToolCall),
//! [results](ToolResult) and [errors](CallError), as plain data, and the [`wire`] formats of the
//! APIs that carry them.
//!
//! This is the part of `toolhost` that runs nothing, for programs that only decode and encode
//! messages of models. Use `toolhost` itself to run the calls: it has all of this under the same
//! paths.
//!
//! ```
//! use toolhost_wire::wire::{self, Answer};
//! use toolhost_wire::{Output, ToolResult};
//!
//! let response = br#"{"choices": [{"message": {"role": "assistant", "tool_calls": [{
//!     "id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 1, \"b\": 2}"}
//! }]}}]}"#;
//! let (format, calls) = wire::decode(response, None)?;
//! assert_eq!(calls[0].arguments, r#"{"a": 1, "b": 2}"#);
//!
//! let result = ToolResult::of(&calls[0], Ok(Output::text("3")));
//! let messages = format.answers(&[Answer::new(&result)]);
//! assert_eq!(messages[0].get(), r#"{"role":"tool","tool_call_id":"call_1","content":"3"}"#);
//! # Ok::<(), wire::DecodeError>(())
//! ```

#![warn(unreachable_pub)]

#[doc(hidden)]
pub mod digest;
pub mod error;
pub mod input;
#[doc(hidden)]
pub mod json_text;
pub mod limit;
pub mod summarize;
pub mod tool;
pub mod typescript;
pub mod wire;

mod content;
mod responder;
mod setters;

pub use error::CallError;
pub use responder::Responder;
pub use tool::{
    CallKind, CallOrigin, Content, Output, Repair, Tool, ToolCall, ToolResult, Usage, Void,
};
