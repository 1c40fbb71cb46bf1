//! Bounds on what one call may use.

use std::time::{Duration, Instant};

pub use bytesize::ByteSize;

/// The longest deadline: clocks overflow somewhere above.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Bounds on one call. Each plugin may have its own; [`Limits::default`] is documented in
/// `docs/manifest.md`, key by key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Wall time from the call's permit to its end, instantiation included.
    /// Taken as [`MAX_TIMEOUT`] where it is longer.
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

impl Limits {
    /// When a call that starts at `start` must have ended.
    pub(crate) fn deadline(&self, start: Instant) -> Instant {
        start + self.timeout.min(MAX_TIMEOUT)
    }
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
