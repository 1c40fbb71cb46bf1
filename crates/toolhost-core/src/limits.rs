//! [`Limits`]: bounds on what one call may use.

use std::time::{Duration, Instant};

#[doc(inline)]
pub use toolhost_wire::limit::{Bound, ByteSize, Limit};
#[doc(hidden)]
pub use toolhost_wire::limit::{seconds, size};
use toolhost_wire::setters;

/// The longest timeout: above it, clocks would overflow.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The smallest and largest stack of a guest.
pub const STACK_RANGE: [ByteSize; 2] = [ByteSize::kib(64), ByteSize::mib(16)];

/// The largest [`max_depth`](Limits::max_depth).
pub const MAX_DEPTH: u32 = 8;

/// Bounds on one call. Each plugin may have its own; [`Limits::default`] is documented in
/// `docs/manifest.md`, key by key.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use std::time::Duration;
/// use toolhost::limits::{ByteSize, Limits};
///
/// let limits = Limits::default()
///     .with_timeout(Duration::from_secs(5))
///     .with_cpu(Duration::from_secs(1))
///     .with_memory(ByteSize::mib(32));
/// assert_eq!(limits.cpu, Some(Duration::from_secs(1)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Wall time from the call's permit to its end, instantiation included. At most
    /// [`MAX_TIMEOUT`].
    pub timeout: Duration,
    /// CPU time of the call, in the guest or in the host on its behalf, without waiting. Accurate
    /// to a tick of 2 ms.
    pub cpu: Option<Duration>,
    /// All memories and tables of the instance together, with what the host holds on its behalf.
    pub memory: ByteSize,
    /// The call stack of the guest, clamped to [`STACK_RANGE`].
    pub max_stack: ByteSize,
    /// Host resources open at once: files, requests, bodies, timers and so on.
    pub max_resources: u32,
    /// What the guest may pass to the host in one call, or return from one, counted as the host
    /// allocates it; also random bytes that it requests. Four times `max_output` plus 2 MiB when
    /// `None`.
    pub max_transfer: Option<ByteSize>,
    /// The arguments as JSON text.
    pub max_input: ByteSize,
    /// Content and structured output of the result together.
    pub max_output: ByteSize,
    /// Stdout, stderr and log lines together.
    pub max_log: ByteSize,
    /// HTTP requests.
    pub max_requests: u32,
    /// HTTP requests at once, each until its response's body is read to its end or dropped.
    pub max_open_requests: u32,
    /// The bodies of all HTTP responses together.
    pub max_response: ByteSize,
    /// The headers of one HTTP request or response.
    pub max_headers: ByteSize,
    /// Calls of tools that a call makes.
    pub max_tool_calls: u32,
    /// Calls of tools that a call makes, at once; further ones wait.
    pub max_parallel_calls: u32,
    /// How deep calls that call tools may be nested: with 1, only calls that are not themselves made
    /// by a tool call tools, and none calls its own plugin.
    pub max_depth: u32,
    /// The plugin's file.
    pub max_component: ByteSize,
    /// Wall time of compiling the plugin, at load.
    pub max_compile: Duration,
}

setters!(Limits {
    with_timeout: timeout: Duration,
    with_max_resources: max_resources: u32,
    with_max_requests: max_requests: u32,
    with_max_open_requests: max_open_requests: u32,
    with_max_tool_calls: max_tool_calls: u32,
    with_max_parallel_calls: max_parallel_calls: u32,
    with_max_depth: max_depth: u32,
    with_max_compile: max_compile: Duration,
} into {
    with_cpu: cpu: Option<Duration>,
    with_memory: memory: ByteSize,
    with_max_stack: max_stack: ByteSize,
    with_max_transfer: max_transfer: Option<ByteSize>,
    with_max_input: max_input: ByteSize,
    with_max_output: max_output: ByteSize,
    with_max_log: max_log: ByteSize,
    with_max_response: max_response: ByteSize,
    with_max_headers: max_headers: ByteSize,
    with_max_component: max_component: ByteSize,
});

impl Limits {
    /// The deadline of a call that starts at `start`.
    pub(crate) fn deadline(&self, start: Instant) -> Instant {
        start + self.timeout.min(MAX_TIMEOUT)
    }

    /// [`max_transfer`](Limits::max_transfer) with its default: a result is lifted whole before it
    /// is counted, and each piece of it costs more than its text.
    pub(crate) fn transfer(&self) -> ByteSize {
        let derived = self.max_output.as_u64().saturating_mul(4);
        self.max_transfer
            .unwrap_or(ByteSize::b(derived.saturating_add(2 << 20)))
    }

    /// [`transfer`](Limits::transfer) for calls whose values take `cost` bytes each: by default, as
    /// much as values with `max-output` bytes of JSON can take.
    pub(crate) fn transfer_of_values(&self, cost: usize) -> ByteSize {
        let values = self.max_output.as_u64().saturating_mul(cost as u64);
        let derived = values.max(self.transfer().as_u64());
        self.max_transfer.unwrap_or(ByteSize::b(derived))
    }

    /// Lowers to their defaults the limits that bound the time and memory of loading a plugin and
    /// asking it for its tools. Returns whether any was higher.
    pub(crate) fn lower_to_load(&mut self) -> bool {
        let before = self.clone();
        let usual = Limits::default();
        self.timeout = self.timeout.min(usual.timeout);
        self.memory = self.memory.min(usual.memory);
        self.max_stack = self.max_stack.min(usual.max_stack);
        self.max_component = self.max_component.min(usual.max_component);
        self.max_compile = self.max_compile.min(usual.max_compile);
        // By default it is bounded by the timeout.
        self.cpu = self.cpu.map(|cpu| cpu.min(usual.timeout));
        *self != before
    }

    /// [`max_stack`](Limits::max_stack) clamped to its range, in whole pages.
    pub(crate) fn stack(&self) -> ByteSize {
        let [least, most] = STACK_RANGE;
        let bytes = self.max_stack.as_u64();
        ByteSize::b(
            bytes
                .clamp(least.as_u64(), most.as_u64())
                .next_multiple_of(4096),
        )
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            timeout: Duration::from_secs(30),
            cpu: None,
            memory: ByteSize::mib(64),
            max_stack: ByteSize::kib(512),
            max_resources: 1000,
            max_transfer: None,
            max_input: ByteSize::mib(4),
            max_output: ByteSize::mib(1),
            max_log: ByteSize::kib(256),
            max_requests: 100,
            max_open_requests: 16,
            max_response: ByteSize::mib(16),
            max_headers: ByteSize::kib(64),
            max_tool_calls: 256,
            max_parallel_calls: 16,
            max_depth: 1,
            max_component: ByteSize::mib(128),
            max_compile: Duration::from_secs(60),
        }
    }
}
