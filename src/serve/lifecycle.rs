//! Whether the server takes requests, finishes those that it has, or ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// What happens to the server, as all its parts see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lifecycle {
    /// Nothing new is taken: the listener is closed, and requests that still come are refused.
    pub(crate) drain: CancellationToken,
    /// What still runs is dropped.
    pub(crate) stop: CancellationToken,
    loading: Arc<AtomicBool>,
}

impl Lifecycle {
    /// While it loads, requests are refused as while it drains, and the listener is open.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "nothing loads while it listens yet")
    )]
    pub(crate) fn set_loading(&self, loading: bool) {
        self.loading.store(loading, Ordering::Relaxed);
    }

    /// Why it takes no requests.
    pub(super) fn unready(&self) -> Option<&'static str> {
        match (self.is_draining(), self.loading.load(Ordering::Relaxed)) {
            (true, _) => Some("the server is ending"),
            (false, true) => Some("the server is starting"),
            (false, false) => None,
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_cancelled() || self.stop.is_cancelled()
    }
}
