//! Whether the server takes requests, finishes those that it has, or ends.

use tokio_util::sync::CancellationToken;

/// What happens to the server, as all its parts see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lifecycle {
    /// Nothing new is taken: the listener is closed, and requests that still come are refused.
    pub(crate) drain: CancellationToken,
    /// What still runs is dropped.
    pub(crate) stop: CancellationToken,
}

impl Lifecycle {
    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_cancelled() || self.stop.is_cancelled()
    }
}
