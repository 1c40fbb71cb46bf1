//! Bounds on what one call may use.

use std::time::Duration;

pub use bytesize::ByteSize;

/// Bounds on one call. Each plugin may have its own; [`Limits::default`] is documented in
/// `docs/manifest.md`, key by key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Wall time from the call's permit to its end, instantiation included.
    pub timeout: Duration,
    /// All memories and tables of the instance together.
    pub memory: ByteSize,
    /// The arguments as JSON text.
    pub max_input: ByteSize,
    /// Content and structured output of the result together.
    pub max_output: ByteSize,
    /// Stdout, stderr and log lines together.
    pub max_log: ByteSize,
    /// The plugin's file.
    pub max_component: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            timeout: Duration::from_secs(30),
            memory: ByteSize::mib(64),
            max_input: ByteSize::mib(4),
            max_output: ByteSize::mib(1),
            max_log: ByteSize::kib(256),
            max_component: ByteSize::mib(128),
        }
    }
}
