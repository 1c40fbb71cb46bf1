//! The host for programs in other languages: JSON Lines over a pair of byte streams, as `toolhost pipe` speaks them.
//!
//! For the command, which loads manifests. `docs/pipe.md` describes the protocol to those who write clients.

#![warn(unreachable_pub)]

mod active_host;
mod frame_reader;
mod outbox;
mod program_tools;
pub mod protocol;
mod runs;
mod session;
mod streamed_run;

pub use session::{HostSource, LoadFailure, PipeError, serve};
