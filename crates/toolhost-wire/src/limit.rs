//! [`Limit`] and [`Bound`]: the limit that a call exceeded.

use std::fmt;
use std::time::Duration;

pub use bytesize::ByteSize;

/// The limit that a call exceeded; its value is a [`Bound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Memories and tables of the instance, and what the host holds on its behalf.
    Memory,
    /// The call stack of the guest.
    Stack,
    /// CPU time.
    Cpu,
    /// Host resources open at once.
    Resources,
    /// What the guest passes to the host in one call.
    Transfer,
    /// The arguments.
    Input,
    /// The result.
    Output,
    /// Stdout, stderr and log lines.
    Log,
    /// HTTP requests.
    Requests,
    /// HTTP requests at once.
    OpenRequests,
    /// The bodies of HTTP responses.
    Response,
    /// The headers of an HTTP request or response.
    Headers,
    /// Waiting calls.
    Queue,
    /// Time spent waiting for a turn.
    QueueTime,
    /// Calls of tools made by one call.
    ToolCalls,
}

/// The value of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// Bytes.
    Size(ByteSize),
    /// A number of things.
    Count(u64),
    /// A span of time.
    Time(Duration),
}

impl From<ByteSize> for Bound {
    fn from(size: ByteSize) -> Self {
        Bound::Size(size)
    }
}

impl From<u32> for Bound {
    fn from(count: u32) -> Self {
        Bound::Count(count.into())
    }
}

impl From<Duration> for Bound {
    fn from(time: Duration) -> Self {
        Bound::Time(time)
    }
}

impl Limit {
    /// The message of a call that exceeded it.
    pub(crate) fn with(self, bound: Bound) -> String {
        let what = match self {
            Limit::Memory => "memory",
            Limit::Stack => "stack size",
            Limit::Cpu => "CPU time",
            Limit::Resources => "open resource",
            Limit::Transfer => "host call transfer",
            Limit::Input => "argument size",
            Limit::Output => "output size",
            Limit::Log => "log size",
            Limit::Requests => "HTTP request",
            Limit::OpenRequests => "concurrent HTTP request",
            Limit::Response => "HTTP response size",
            Limit::Headers => "HTTP header size",
            Limit::Queue => return format!("queue is full ({bound} waiting calls)"),
            Limit::QueueTime => "queue time",
            Limit::ToolCalls => "tool call",
        };
        format!("{what} limit exceeded ({bound})")
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Size(bytes) => f.write_str(&size(*bytes)),
            Bound::Count(count) => count.fmt(f),
            Bound::Time(time) => f.write_str(&seconds(*time)),
        }
    }
}

/// `64 MiB`, `1.5 KiB`: without a fraction if it is zero.
#[doc(hidden)]
pub fn size(size: ByteSize) -> String {
    size.to_string().replacen(".0 ", " ", 1)
}

/// `30 seconds`, `1 second`, `1.5 seconds`, `250 ms`.
#[doc(hidden)]
pub fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        1.0 => "1 second".to_owned(),
        0.0 => "0 seconds".to_owned(),
        ..1.0 => format!("{} ms", duration.as_micros() as f64 / 1_000.0),
        _ => format!("{seconds} seconds"),
    }
}
