//! [`Lifecycle`]: whether the server accepts requests, drains, or stops.

use tokio_util::sync::CancellationToken;

/// The server's life cycle, shared by all its parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lifecycle {
    /// Cancelled to drain: the listener is closed, and further requests are refused.
    pub(crate) drain: CancellationToken,
    /// Cancelled to stop: running requests are dropped.
    pub(crate) stop: CancellationToken,
}

impl Lifecycle {
    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_cancelled() || self.stop.is_cancelled()
    }
}
